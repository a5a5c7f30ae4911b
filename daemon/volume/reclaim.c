/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was deleted becomes free: nodes by the reaper, by hand where no worker
 * does it; frames by a checkpoint, once nobody reads them; and waiting for it.
 */
#include <inttypes.h>

#include "store.h"

/* A slice of waiting, or of work: the caller wants to show how far it is. */
#define SLICE_MS 200u

/* ---- frames ---- */

void free_dying(struct store *store)
{
	size_t left = 0;

	mutex_assert_held(&store->core.lock);
	for (size_t i = 0; i < store->dying.len; i++) {
		struct segment *s = store->dying.ptr[i];
		/* of what its image names a check reads the metadata only */
		bool is_read = s->kind == SEGMENT_META && store->nr_images > 0;

		if (s->pins > 0 || is_read) {
			store->dying.ptr[left++] = s;
			continue;
		}
		if (s->frame_dying) {
			frames_release(&store->frames, s->place);
			segment_lose_frame(&store->segments, s);
			continue;
		}
		segment_remove(&store->segments, s);
		if (s->place != PLACE_NONE)
			frames_release(&store->frames, s->place);
		segment_free(s);
	}
	store->dying.len = left;
}

bool image_leaves_room(const struct store *store)
{
	return store->nr_images == 0 ||
	       frames_available(&store->frames, FRAME_USER_METADATA, 1);
}

bool checkpoint_would_free(const struct store *store)
{
	if (store->nr_images == 0)
		return store->segments.nr_dead_frames > 0;
	for (size_t i = 0; i < store->segments.dead.len; i++)
		if (store->segments.dead.ptr[i]->kind != SEGMENT_META)
			return true;
	return false;
}

void revoke_images(struct store *store)
{
	mutex_assert_held(&store->core.lock);
	while (store->nr_images > 0 && !checkpoint_has_room(store)) {
		store->images_revoked = true;
		cond_wait(&store->core.changed, &store->core.lock);
	}
}

/* ---- nodes ---- */

/*
 * May what is reaped become dirty?  0; 1: not before a checkpoint; -ENOSPC:
 * not until somebody else makes room.
 */
static int check_room(const struct store *store, struct error *err)
{
	if (store->nodes.reaper.len == 0 || !room_is_short(store))
		return 0;
	if (checkpoint_is_due(store))
		return 1;
	return error_set(err, ENOSPC,
			 "store is too full to free what was deleted");
}

/* One step; returns 1: did something, 0: the queue is empty, or an error. */
static int reap_one(struct store *store, struct error *err)
{
	struct core *core = &store->core;
	struct error failure = ERROR_NONE;
	uint32_t missing = 0;
	int r;

	mutex_lock(&core->lock);
	r = core_check(core, err);
	if (r == 0 && nodes_prepare(&store->nodes) < 0)
		r = error_set(err, ENOMEM, "out of memory");
	if (r == 0)
		r = check_room(store, err);
	if (r == 0) {
		r = reaper_step(&store->nodes, &missing, &failure);
		if (r < 0 && r != -EAGAIN) {
			core_fail(core, &failure);
			if (err)
				*err = failure;
		}
	}
	if (r == -EAGAIN) {
		r = store_fault(store, missing, err);
		r = r < 0 ? r : 1;
	}
	mutex_unlock(&core->lock);
	return r;
}

int checkpoint_when_due(struct store *store, bool admin_held, struct error *err)
{
	bool due;

	mutex_lock(&store->core.lock);
	due = checkpoint_is_due(store);
	mutex_unlock(&store->core.lock);
	if (!due || store->core.read_only)
		return 0;
	return admin_held ? checkpoint_run(store, err)
			  : store_checkpoint(store, err);
}

/* As reap_one(). */
static int reap_step(struct store *store, bool admin_held, struct error *err)
{
	int r = checkpoint_when_due(store, admin_held, err);

	return r < 0 ? r : reap_one(store, err);
}

int reap_all(struct store *store, bool admin_held, struct error *err)
{
	int r;

	do
		r = reap_step(store, admin_held, err);
	while (r > 0);
	return r;
}

int reap_some(struct store *store, struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	struct core *core = &store->core;
	int r = 0;

	mutex_assert_held(&core->lock);
	if (core->has_workers) {
		core_wake(core, WORKER_JANITOR);
		(void)cond_wait_ms(&core->changed, &core->lock, 100);
	} else {
		mutex_unlock(&core->lock);
		r = reap_all(store, false, err);
		mutex_lock(&core->lock);
	}
	return r;
}

int store_reap(struct store *store, struct error *err)
{
	return reap_all(store, false, err);
}

/* ---- until it is free ---- */

static uint64_t nr_of_blocks(const struct segment_vector *segments)
{
	uint64_t nr = 0;

	for (size_t i = 0; i < segments->len; i++)
		nr += segments->ptr[i]->kind != SEGMENT_META;
	return nr;
}

uint64_t dead_segments(const struct store *store)
{
	return nr_of_blocks(&store->segments.dead) +
	       nr_of_blocks(&store->dying);
}

/*
 * All nodes are freed.  Which checkpoint frees the segments: its cut comes
 * after now, so it is not one that is running.
 */
static void note_reaped(struct store *store, struct reclaim *reclaim)
{
	mutex_assert_held(&store->core.lock);
	if (reclaim->checkpoint_id == 0 && store->nodes.reaper.len == 0)
		reclaim->checkpoint_id =
			store->sb.checkpoint_id + 1 + store->checkpoint_running;
}

/* It is durable, and has given the frames back. */
static bool is_free(const struct store *store, const struct reclaim *reclaim)
{
	uint64_t id = store->sb.checkpoint_id;

	return reclaim->checkpoint_id && id >= reclaim->checkpoint_id &&
	       (id > reclaim->checkpoint_id || !store->checkpoint_running) &&
	       store->dying.len == 0;
}

static void report(const struct store *store, struct reclaim *reclaim)
{
	reclaim->nodes = store->nodes.reaper.len;
	reclaim->bytes = dead_segments(store) << store->core.segment_shift;
	reclaim->done = is_free(store, reclaim);
}

/* The workers do it. */
static int wait_slice(struct store *store, struct reclaim *reclaim,
		      struct error *err)
{
	struct core *core = &store->core;
	uint64_t deadline = monotonic_ms() + SLICE_MS;
	int r = 0;

	mutex_assert_held(&core->lock);
	for (;;) {
		uint64_t now = monotonic_ms();

		note_reaped(store, reclaim);
		free_dying(store); /* a reader may have left */
		if (is_free(store, reclaim) || now >= deadline)
			return 0;
		r = core_check(core, err);
		if (r == 0 && store->reaper_stuck)
			r = error_set(err, EUCLEAN,
				      "what was deleted cannot be freed: a map "
				      "node cannot be read");
		/* not while a checkpoint, or the end of a check, may help */
		if (r == 0 && !store->checkpoint_running &&
		    store->nr_images == 0 && !checkpoint_would_free(store))
			r = check_room(store, err);
		if (r < 0)
			return r;
		if (reclaim->checkpoint_id > store->sb.checkpoint_id &&
		    !store->checkpoint_running) {
			store->checkpoint_wanted = true;
			core_wake(core, WORKER_DRIVER);
		}
		(void)cond_wait_ms(&core->changed, &core->lock,
				   (uint32_t)(deadline - now));
	}
}

/* Nobody else does it. */
static int work_slice(struct store *store, struct reclaim *reclaim,
		      struct error *err)
{
	uint64_t deadline = monotonic_ms() + SLICE_MS;
	int r;

	do
		r = reap_step(store, false, err);
	while (r > 0 && monotonic_ms() < deadline);
	if (r != 0)
		return r < 0 ? r : 0;
	mutex_lock(&store->core.lock);
	note_reaped(store, reclaim);
	store->checkpoint_wanted = true; /* even if it has nothing to write */
	mutex_unlock(&store->core.lock);
	return store_checkpoint(store, err);
}

int store_reclaim(struct store *store, struct reclaim *reclaim,
		  struct error *err)
{
	struct core *core = &store->core;
	bool has_workers;
	int r = 0;

	if (core->read_only)
		return error_set(err, EROFS, "store is open read-only");
	mutex_lock(&core->lock);
	if (reclaim->checkpoint_id > store->sb.checkpoint_id + 2)
		r = error_set(err, EINVAL,
			      "no answer named checkpoint %" PRIu64,
			      reclaim->checkpoint_id);
	has_workers = core->has_workers;
	if (r == 0 && has_workers)
		r = wait_slice(store, reclaim, err);
	mutex_unlock(&core->lock);
	if (r == 0 && !has_workers)
		r = work_slice(store, reclaim, err);
	mutex_lock(&core->lock);
	report(store, reclaim);
	mutex_unlock(&core->lock);
	return r;
}
