/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lines of a damage report: ranges, given in order of offset, joined
 * where the same volumes cannot read blocks next to each other.
 */
#ifndef VOLUME_DAMAGE_LINES_H
#define VOLUME_DAMAGE_LINES_H

#include "damage.h"

/* Consecutive blocks that the same volumes cannot read. */
struct damage_range {
	uint64_t block, nr_blocks;
	uint64_t what; /* the first bad node, or name */
	uint64_t nr;   /* of them */
	bool is_node;
	struct index_vector members; /* volume ids, sorted */
};

DEFINE_VECTOR(damage_range_vector, struct damage_range);

struct damage_lines {
	struct store *store;
	line_fn *line;
	void *opaque;
	uint64_t nr;			 /* said so far */
	bool cut;			 /* there is more than can be said */
	struct damage_range_vector open; /* may still grow */
};

/* Takes range->members over.  -ENOMEM. */
int damage_lines_add(struct damage_lines *lines, struct damage_range *range);
/* No more ranges: say those that are open. */
void damage_lines_end(struct damage_lines *lines);
/* One line of another kind. */
void damage_lines_say(struct damage_lines *lines, const char *text);
void damage_lines_done(struct damage_lines *lines);

#endif
