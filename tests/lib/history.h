/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What clients that ran at the same time did and saw, and whether any order
 * of it explains that.
 *
 * Typical use, in rounds:
 *  a) history_new(); for each thread a client of its own;
 *  b) in the threads: op = history_begin(), history_fill() for a write, the
 *     request, history_end() or, with what was read, history_saw();
 *  c) when all threads have ended: one client reads everything, then
 *     history_check(), and history_next_round().
 *
 * Bytes are looked at in units of 64.  A unit written by an operation holds
 * that operation's id, so a read knows whose write it saw; zeros may be of
 * any operation that clears.  Time is a counter that all threads draw from:
 * an operation that ended before another one began comes before it.
 *
 * A cut is a read of everything in one instant: a snapshot.
 */
#ifndef LIB_HISTORY_H
#define LIB_HISTORY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define HISTORY_UNIT 64u
#define HISTORY_CLIENTS_MAX 64u

enum history_kind {
	HISTORY_READ,
	HISTORY_WRITE,
	HISTORY_CLEAR, /* zero and trim */
	HISTORY_CUT,
};

struct history_op {
	enum history_kind kind;
	uint32_t id;
	uint32_t first, nr; /* units */
	uint64_t start, end;
	uint32_t *seen; /* READ, CUT: ids of the units; 0: zeros */
	/* of history_check(): its place among those looked at, and the last
	 * start of a write that a cut shows */
	uint32_t slot;
	uint64_t last_shown;
};

struct history_client {
	uint32_t number;
	uint32_t nr_before; /* operations of earlier rounds */
	struct history_op *ops;
	size_t nr, capacity;
};

struct history {
	uint32_t nr_units;
	uint32_t *base; /* what the round began with */
	_Atomic uint64_t clock;
	struct history_client clients[HISTORY_CLIENTS_MAX];
};

/* All zeros to begin with.  Aborts without memory, as all of these. */
struct history *history_new(uint32_t nr_units);
void history_free(struct history *history);

/*
 * Note that client @number (its own thread calls) sends an operation now;
 * returns its index, for the functions below.
 */
size_t history_begin(struct history *history, uint32_t number,
		     enum history_kind kind, uint32_t first, uint32_t nr);
/* What write @op is to write: nr units. */
void history_fill(const struct history *history, uint32_t number, size_t op,
		  void *ret);
/* It was acknowledged. */
void history_end(struct history *history, uint32_t number, size_t op);
/*
 * So was the end of the request of a read; for a cut, which is read later,
 * history_end() tells that instead, and must have been called before.
 * -EIO: a unit is torn, or holds what was written elsewhere.
 */
int history_saw(struct history *history, uint32_t number, size_t op,
		const void *data, struct error *err);

/* An operation with given times; for tests of the checker. */
struct history_op *history_add(struct history *history, uint32_t number,
			       enum history_kind kind, uint32_t first,
			       uint32_t nr, uint64_t start, uint64_t end);

/* -EIO: no order explains what was seen. */
int history_check(struct history *history, struct error *err);
/* Forget the round but for what the last read of all units saw. */
void history_next_round(struct history *history, const struct history_op *last);
/* Operations of this round. */
size_t history_nr_ops(const struct history *history);

#endif
