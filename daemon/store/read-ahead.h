/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many small reads at once: the back end is told what will be read, in the
 * order in which it lies there, so that the medium works on all of it while
 * the caller reads one after the other.
 *
 * Typical use: read_ahead_add() ..., read_ahead_submit(), backend_read() ...,
 * read_ahead_done().  A hint changes no outcome: whatever fails here fails
 * again, or not, when it is read.  No lock needed.
 */
#ifndef STORE_READ_AHEAD_H
#define STORE_READ_AHEAD_H

#include "backend.h"
#include "vector.h"

/* One request for two ranges is cheaper than to leave out so little. */
#define READ_AHEAD_GAP_BYTES (16u << 10)

struct read_range {
	uint64_t place;
	uint32_t offset, length;
};

/* qsort(): in the order in which they lie there. */
int read_range_compare(const void *a, const void *b);

DEFINE_VECTOR(read_range_vector, struct read_range);

struct read_ahead {
	struct backend *be;
	struct read_range_vector ranges; /* not yet submitted */
};

/* Note a range; submits by itself when there are many. */
void read_ahead_add(struct read_ahead *ahead, uint64_t place, uint32_t offset,
		    uint32_t length);
void read_ahead_submit(struct read_ahead *ahead);
void read_ahead_done(struct read_ahead *ahead);

#endif
