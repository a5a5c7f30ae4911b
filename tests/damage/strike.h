/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One damage to one store: chosen by a number, done to a copy of the image,
 * and what it hit.
 */
#ifndef DAMAGE_STRIKE_H
#define DAMAGE_STRIKE_H

#include "specimen.h"

enum method {
	FLIP_BIT,
	FLIP_BYTES,
	ZERO_BLOCK,
	ZERO_FRAME,
	SWAP_BLOCKS,
	SWAP_FRAMES,
	DUPLICATE,   /* another block over this one */
	OLD_BLOCK,   /* what the same block held before */
	OLD_VERSION, /* an earlier version of the same structure */
	NR_METHODS,
};

extern const char *const method_names[NR_METHODS];

struct strike {
	const struct specimen *specimen;
	struct structure aim;
	enum method method;
	struct medium medium; /* of the damaged copy */
	struct memory_disk *disk;
	/* frames (NR_FRAMES + copy: superblocks) that were written to */
	uint64_t places[2];
	unsigned int nr_places;
};

/*
 * Damage a copy of @specimen's image at a structure of @kind.  False: there
 * is none of that kind, or nothing would have changed.
 */
bool strike_make(struct strike *ret, const struct specimen *specimen,
		 enum kind kind, struct rng *rng);
void strike_done(struct strike *strike);

/* Are bytes of @s other than they were? */
bool strike_hit(const struct strike *strike, const struct structure *s);
/* Some structure of one of the kinds @first to @last of @survey. */
bool strike_hit_kinds(const struct strike *strike, const struct survey *survey,
		      enum kind first, enum kind last);

/* What was done and where, for messages. */
void strike_print(const struct strike *strike, char *ret, size_t size);

#endif
