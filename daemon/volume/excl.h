/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What would come free: of one volume or snapshot alone, or of a set.
 *
 * NOTES ON THE DESIGN.  The answer is a walk of the nodes exclusive to the
 * set (freed.h), and the store goes on being used meanwhile.  What a walk
 * finds is exact when nothing happened that could change it:
 *
 *  - the reaper had nothing to do: until it is done, what was deleted is
 *    held by its queue, and so it is waited for first;
 *  - no volume dropped a block that others may hold (store.given_up), and no
 *    verb shared or unshared a map (store.nr_operations);
 *  - nobody wrote to a head of the set (volume.nr_changes).
 *
 * Writes elsewhere move references between nodes and blocks, but as long as
 * none of a block is dropped they free nothing of the set and take nothing
 * from it.  A walk that was disturbed is done again, at most WALKS_MAX times
 * and within WAIT_MS; the last answer is then given as not exact.  One whose
 * nodes cannot all be read says that nobody can tell.
 *
 * The answer for one volume is kept with the numbers above, and holds while
 * they do.
 */
#ifndef VOLUME_EXCL_H
#define VOLUME_EXCL_H

#include "store.h"

/* How long a question of any number of parts may wait for the reaper. */
#define EXCL_WAIT_MS 10000u

/* What must stay as it is while a walk goes on, or an answer is kept. */
struct excl_moment {
	uint64_t sharing; /* rises when maps or blocks become less shared */
	uint64_t changes; /* of the heads of the set */
	bool settled;	  /* the reaper has nothing to do */
};

/* Core not held. */
struct excl_moment excl_now(struct store *store,
			    const struct index_vector *ids);
/* Did nothing happen between the two that changes an answer? */
bool excl_is_same(const struct excl_moment *before,
		  const struct excl_moment *now);

/*
 * What would come free if the volumes @ids were deleted, all of them.  An id
 * that exists no more holds nothing.  Damage is no failure: then it is
 * BLOCKS_UNKNOWN.  Core and admin not held.
 */
int excl_of_set(struct store *store, const struct index_vector *ids,
		uint64_t deadline_ms, struct space_freed *ret,
		struct error *err);
/* The same of one. */
int excl_of_one(struct store *store, uint32_t id, uint64_t deadline_ms,
		struct space_freed *ret, struct error *err);

#endif
