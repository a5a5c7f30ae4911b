/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Growing a store.
 *
 * NOTES ON THE DESIGN.  A store is as large as the superblock says that names
 * its checkpoint.  So it grows with a checkpoint, in this order:
 *   1 the file becomes longer; a device is long enough
 *   2 what the larger reserve takes is allocated, at the old end: a host that
 *     has no room for it refuses here, and nothing was promised
 *   3 a checkpoint, whose frame map has those frames, is written and synced;
 *     then superblock A with the new capacity, then B
 *   4 now the new frames may be taken
 * A crash before A leaves a store of the old size, on a file that may be
 * longer; between A and B the newer one counts, as always, and the older one
 * is of the old size, in which nothing names a new frame.
 *
 * Admin is held throughout: no other checkpoint, nor the image of a check,
 * sees a store of two sizes.
 */
#include <assert.h>
#include <inttypes.h>

#include "settings.h"
#include "store.h"

/* Can the store grow to *@capacity?  CAPACITY_MAX becomes a number. */
static int check_capacity(struct store *store, uint64_t *capacity,
			  struct error *err)
{
	uint64_t most = frames_capacity_max(store->core.segment_shift);
	char now[SIZE_TEXT_BYTES];
	struct backend_stat stat;

	backend_stat(store->core.be, &stat);
	settings_format_size(store->sb.capacity, now);
	if (*capacity == CAPACITY_MAX && !stat.is_device)
		return error_set(err, EINVAL,
				 "max is for a store on a block device, a file "
				 "has no size of its own");
	if (*capacity == CAPACITY_MAX)
		*capacity = stat.size_bytes < most ? stat.size_bytes : most;
	if (*capacity < store->sb.capacity)
		return error_set(err, EINVAL,
				 "a store cannot shrink: its capacity is %s",
				 now);
	if (*capacity > most && *capacity > store->sb.capacity)
		return error_set(err, EINVAL,
				 "the largest store is %" PRIu64
				 " GiB: a larger one has too many segments for "
				 "a checkpoint",
				 most >> 30);
	if (stat.is_device && *capacity > stat.size_bytes)
		return error_set(err, EINVAL,
				 "the device holds only %" PRIu64 " bytes",
				 stat.size_bytes);
	return 0;
}

/*
 * Allocate @nr frames from @first on, all or none.  The back end knows them
 * already; in memory nobody does.
 */
static int allocate_frames(struct backend *be, uint64_t first, uint64_t nr,
			   struct error *err)
{
	uint64_t done = 0;
	int r = 0;

	while (r == 0 && done < nr) {
		r = backend_allocate(be, first + done, false, err);
		done += r == 0;
	}
	while (r < 0 && done-- > 0)
		(void)backend_free(be, first + done, NULL); /* best effort */
	return r == -ENOSPC ? error_prefix(err, "no room for the reserve of a "
						"larger store")
			    : r;
}

/* Steps 1 and 2; and the tables know what step 3 is to write. */
static int make_larger(struct store *store, uint64_t capacity, uint64_t nr,
		       struct error *err)
{
	struct backend *be = store->core.be;
	uint64_t nr_old = store->frames.nr;
	struct backend_stat before;
	uint64_t more = frames_reserve(nr) - store->frames.reserve;
	int r;

	backend_stat(be, &before);
	r = backend_grow(be, capacity, err);
	if (r < 0)
		return r;
	be->nr_frames = nr;
	r = allocate_frames(be, nr_old, more, err);
	if (r == 0) {
		mutex_lock(&store->core.lock);
		if (frames_extend(&store->frames, nr) < 0)
			r = error_set(err, ENOMEM, "out of memory");
		else
			store->checkpoint_wanted = true;
		mutex_unlock(&store->core.lock);
		for (uint64_t i = 0; r < 0 && i < more; i++)
			(void)backend_free(be, nr_old + i, NULL);
	}
	if (r < 0) {
		be->nr_frames = nr_old;
		backend_shrink(be, before.size_bytes);
	}
	return r;
}

static int grow_locked(struct store *store, uint64_t *capacity, bool dry_run,
		       struct error *err)
{
	struct core *core = &store->core;
	uint64_t nr;
	int r;

	mutex_assert_held(&store->admin);
	mutex_lock(&core->lock);
	r = core_check(core, err);
	mutex_unlock(&core->lock);
	if (r == 0)
		r = check_capacity(store, capacity, err);
	if (r < 0 || dry_run || *capacity == store->sb.capacity)
		return r;
	nr = backend_nr_frames(*capacity, core->segment_shift);
	r = make_larger(store, *capacity, nr, err);
	if (r < 0)
		return r;
	store->capacity = *capacity;
	r = checkpoint_run(store, err);
	if (r < 0) /* fail-stop: only reopening knows how large it is */
		return r;
	mutex_lock(&core->lock);
	frames_extended(&store->frames, nr);
	r = core_check(core, err);
	mutex_unlock(&core->lock);
	return r;
}

static int grow(struct store *store, uint64_t capacity, bool dry_run,
		uint64_t *ret, struct error *err)
{
	int r;

	mutex_lock(&store->admin);
	r = grow_locked(store, &capacity, dry_run, err);
	mutex_unlock(&store->admin);
	if (r == 0)
		*ret = capacity;
	return r;
}

int store_set_capacity(struct store *store, uint64_t capacity, uint64_t *ret,
		       struct error *err)
{
	if (store->core.read_only)
		return error_set(err, EROFS, "store is open read-only");
	return grow(store, capacity, false, ret, err);
}

int store_set_capacity_dry_run(struct store *store, uint64_t capacity,
			       uint64_t *ret, struct error *err)
{
	return grow(store, capacity, true, ret, err);
}
