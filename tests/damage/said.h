/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What check, scrub or repair said, line by line, and whether it names a
 * block: lines `VOLUME: offset BYTES, length BYTES: WHAT; shared with VOLUME,
 * VOLUME and N more`.
 */
#ifndef DAMAGE_SAID_H
#define DAMAGE_SAID_H

#include "content.h"
#include "vector.h"

DEFINE_VECTOR(lines, char *);

struct said {
	struct lines lines;
};

/* A line_fn, @opaque is a struct said. */
void said_hear(void *opaque, const char *line);
void said_done(struct said *said);

/* The first line, or "". */
const char *said_first(const struct said *said);
/* Is block @block of @name in one of the ranges? */
bool said_names(const struct said *said, const char *name, struct vblock block);
/* Every block of @unread is; else false, and a sentence. */
bool said_names_all(const struct said *said, const struct state *state,
		    const struct unread *unread, struct error *err);

#endif
