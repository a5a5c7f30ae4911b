/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What volumes should hold: a number for each block of interest.
 *
 * Blocks are many apart, so that few of them need many nodes.  Each write
 * gives each block a number never used before, which it is filled with; 0 is
 * zeros.  So content from another time or place is always told.
 */
#ifndef DAMAGE_CONTENT_H
#define DAMAGE_CONTENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine.h"
#include "units.h"

#define NR_BLOCKS 84u
#define CONTENTS_MAX 16u
/* Number of a block that a repair had to give up: it cannot be read. */
#define NUMBER_LOST UINT32_MAX
/* Covers the last block of interest. */
#define VOLUME_BYTES (UINT64_C(128) << 30)

struct content {
	char name[NAME_MAX_BYTES + 1]; /* vol, vol@s or a scratch view */
	bool snapshot;
	uint64_t quota; /* of a head; 0: none */
	uint32_t numbers[NR_BLOCKS];
};

struct state {
	uint64_t seq; /* of the batch after which this is so */
	unsigned int nr;
	struct content contents[CONTENTS_MAX];
};

/* Where block of interest @i is. */
struct vblock block_of_interest(unsigned int i);
void fill_block(uint8_t ret[BLOCK_SIZE], uint32_t number);

struct content *state_find(struct state *state, const char *name);
/* A copy of @from under @name; @from NULL: holes. */
struct content *state_add(struct state *state, const struct content *from,
			  const char *name, bool snapshot);
void state_remove(struct state *state, const char *name);

/*
 * The same as text: a line for each volume with its quota, then one for each
 * run of blocks whose numbers rise by one: first block, count, first number.
 */
void state_print(const struct state *state, FILE *to);
/* What state_print() wrote; ends the program when it is anything else. */
void state_parse(struct state *ret, FILE *from);

/* Which blocks of @state could not be read, those known to be lost aside. */
struct unread {
	uint64_t nr;
	bool blocks[CONTENTS_MAX][NR_BLOCKS];
	char example[512]; /* what one of the reads said */
};

/*
 * Compare names and every block of interest of @store with @state.  A block
 * that cannot be read is noted; any other difference gives false and a
 * sentence.
 */
bool state_compare(const struct state *state, struct store *store,
		   struct unread *ret, struct error *err);
/* The same, but there may be more volumes than those of @state. */
bool state_compare_contents(const struct state *state, struct store *store,
			    struct unread *ret, struct error *err);

#endif
