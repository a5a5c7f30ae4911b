/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a store must do about a damage, worked out from what was hit and not
 * from what the engine says.
 *
 * The log, as FORMAT.md has it: headers are walked to the first that was hit;
 * D is the largest durable_seq of those; the first operation, or batch beyond
 * D, whose payload was hit ends the log, too.  K is the largest durable_seq
 * of any header that was not hit: that much can be known to have been
 * durable, and must not be lost without a word.
 */
#ifndef DAMAGE_VERDICT_H
#define DAMAGE_VERDICT_H

#include "strike.h"

struct verdict {
	const struct survey *survey; /* by the superblock that counts */
	bool supers_lost;	     /* both: refused */
	bool super_hit;
	bool super_invalid; /* that one does not decode any more */
	bool pages_hit;	    /* needed to open: refused */
	bool nodes_hit;	    /* refused, or some blocks cannot be read */
	bool data_hit;
	bool dead_hit;	     /* perhaps what only the reaper still knows */
	uint64_t end_seq;    /* where the log ends */
	bool log_is_whole;   /* nothing was cut off it */
	bool log_is_damaged; /* the end is before K: refused to writers */
	/* a header that is somewhere else now may prove it, too */
	bool log_may_be_damaged;
};

void verdict_find(struct verdict *ret, const struct strike *strike);
/* The same when the checkpoint before is used. */
void verdict_find_older(struct verdict *ret, const struct strike *strike);

/* Does reading block of interest @block of the @i-th content meet a hit? */
bool verdict_is_unread(const struct verdict *verdict,
		       const struct strike *strike, unsigned int i,
		       unsigned int block);

#endif
