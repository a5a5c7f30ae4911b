/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What damage means to users: from map nodes that cannot be read and blocks
 * that do not verify to volumes, byte ranges and the snapshots that share
 * them.
 *
 * Typical use: damage_init(); damage_add_node() and damage_add_block() for
 * what was found; damage_report(); damage_done().
 */
#ifndef VOLUME_DAMAGE_H
#define VOLUME_DAMAGE_H

#include "store.h"

DEFINE_VECTOR(birth_vector, struct birth);

/* One thread at a time uses it; no lock. */
struct damage {
	struct index_vector nodes;  /* ids */
	struct birth_vector blocks; /* names */
	uint64_t nr_dropped;	    /* that there was no room to remember */
};

/* Nodes, and blocks, that are remembered. */
#define DAMAGE_MAX (1u << 20)
/* Lines of a report, and names in one line. */
#define DAMAGE_LINES_MAX 10000u
#define DAMAGE_NAMES_MAX 8u

void damage_init(struct damage *damage);
void damage_done(struct damage *damage);
/* The same one twice is once.  Never fails: see nr_dropped. */
void damage_add_node(struct damage *damage, uint32_t id);
void damage_add_block(struct damage *damage, struct birth name);
bool damage_is_empty(const struct damage *damage);

/*
 * Call @line for each range of bytes that @damage makes unreadable, in order
 * of offset, with the volumes and snapshots that share it, and at the end for
 * what no volume reaches.  A node that turns out to be unreadable is reported
 * like those of @damage.  *ret_lines (may be NULL) is the number of lines.
 *
 * Reads every node once when there are bad blocks, else inner nodes only.  On
 * a store that is being written the answer is as good as any moment's.
 * Locks: none held; may block.  -ENOMEM.
 */
int damage_report(struct store *store, struct damage *damage, line_fn *line,
		  void *opaque, uint64_t *ret_lines, struct error *err);

#endif
