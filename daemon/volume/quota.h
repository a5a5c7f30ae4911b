/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Quotas and reservations: what each head is charged for, who may write.
 *
 * NOTES ON THE DESIGN.  A head is charged for the data blocks that it and its
 * snapshots hold alone: what would come free if all of them were deleted.
 * That number cannot be kept exactly, since it changes with what other
 * volumes do to blocks they share, so it is kept between two bounds:
 *
 *  - Writing changes it by what the hold changed the store's live blocks: a
 *    new block is +1, one that was replaced and that nobody else has is -1.
 *  - What is detached (a trimmed subtree, a deleted snapshot, a snapshot that
 *    was cloned) lowers it by something between 0 and the blocks below.
 *  - What other volumes drop can raise it, but by no more than they dropped,
 *    nor by more than was shared when the head was last counted.
 *  - Snapshot, rollback and undo leave the set of roots, so they change
 *    nothing.
 *
 * Only when a decision lies between the bounds is the head counted, by a walk
 * of what its roots reach alone.  Meanwhile its writers wait, since a walk is
 * right only while nobody copies nodes of it; nobody else does.  After an
 * open the bounds are 0 and all that head and snapshots refer to.
 *
 * Lock: core held for every function, unless said otherwise.
 */
#ifndef VOLUME_QUOTA_H
#define VOLUME_QUOTA_H

#include "store.h"

/* What a change of a map begins with. */
struct charge_mark {
	uint64_t live, refer;
};

struct charge_mark charge_begin(const struct store *store,
				const struct volume *v);

/* Since @mark, blocks of @v were written; or were cleared. */
void charge_written(struct store *store, struct volume *v,
		    struct charge_mark mark);
void charge_cleared(struct store *store, struct volume *v,
		    struct charge_mark mark);

/* @v is about to be deleted. */
void charge_deleted(struct store *store, struct volume *v);
/* @clone was made of @snapshot. */
void charge_cloned(struct store *store, const struct volume *snapshot,
		   struct volume *clone);
/* The settings of @v have changed from @before. */
void charge_settings(struct store *store, const struct volume *v,
		     const struct settings *before);
/* The store was opened: all charges anew. */
void charges_load(struct store *store);

/* Is @v being counted?  Then wait and look again. */
static inline bool charge_is_busy(const struct volume *v)
{
	return v->charge.counting;
}

/*
 * Are @nr more blocks surely within the quota?  If not, quota_admit() decides
 * for those that are really @need-ed: 0; -ENOSPC; -EAGAIN: core was dropped.
 */
bool quota_has_room(const struct store *store, const struct volume *v,
		    uint64_t nr);
int quota_admit(struct store *store, struct volume *v, uint64_t need,
		struct admission *admission, struct error *err);

/*
 * Does the free space cover what is reserved for others than @v (NULL: for
 * anybody)?
 */
bool reservations_are_covered(const struct store *store,
			      const struct volume *v);
/* The same after counting, if that can help: 0, -ENOSPC, -EAGAIN. */
int reservations_admit(struct store *store, struct admission *admission,
		       struct error *err);

/* Could @v have a reservation of @bytes?  -ENOSPC. */
int reservation_check(struct store *store, const struct volume *v,
		      uint64_t bytes, struct error *err);
/*
 * Count every head with a reservation, and the one called @also.  Lock:
 * neither core nor admin held.
 */
int reservations_count(struct store *store, const char *also,
		       struct error *err);

/*
 * Count head @id unless its charge is known; -ENOENT: gone.  Lock: neither
 * core nor admin held.
 */
int charge_count(struct store *store, uint32_t id, struct error *err);

#endif
