/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Admission: what a hold of core needs before it changes anything, and what
 * to do when there is not enough of it.  All waiting happens here, with no
 * lock held but core, which the wait gives up (I9).
 */
#include "store.h"

#include <assert.h>

int store_fault(struct store *store, uint32_t id,
		struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	int r;

	mutex_unlock(&store->core.lock);
	r = nodes_fault(&store->nodes, id, err);
	mutex_lock(&store->core.lock);
	return r;
}

/* Bytes the next checkpoint would write, directories aside. */
static uint64_t dirty_bytes(const struct store *store)
{
	return store->nodes.dirty_bytes +
	       (store->nodes.pages.dirty.len + store->volumes.pages.dirty.len +
		store->frames.pages.dirty.len) *
		       (uint64_t)PAGE_BYTES +
	       store->segments.pages.dirty.len *
		       (uint64_t)(128 + store->core.nr_slots / 4);
}

/* What a quarter of the reserve can take, less headers and directories. */
static uint64_t dirty_bytes_max(const struct store *store)
{
	uint64_t slots = store->core.nr_slots;

	return store->frames.reserve / 4 * (slots - slots / 16 - 3) *
	       BLOCK_SIZE;
}

/* Nobody may go on before a checkpoint has run. */
static bool dirty_limit_reached(const struct store *store)
{
	return store->nodes.dirty.len >= 2 * CHECKPOINT_DIRTY_NODES ||
	       dirty_bytes(store) >= dirty_bytes_max(store);
}

bool checkpoint_is_due(const struct store *store)
{
	const struct core *core = &store->core;

	return store->checkpoint_wanted ||
	       store->log.bytes >= store->checkpoint_log_bytes ||
	       store->nodes.dirty.len >= CHECKPOINT_DIRTY_NODES ||
	       dirty_bytes(store) >= dirty_bytes_max(store) / 4 * 3 ||
	       core->segno_bound - core->next_segno < SEGNO_RESERVATION / 2;
}

/* Would a checkpoint or the reaper give frames back? */
static bool space_is_coming(const struct store *store)
{
	return store->segments.dead.len > 0 || store->dying.len > 0 ||
	       store->nodes.reaper.len > 0 || store->checkpoint_running;
}

/* Reap and checkpoint in this thread.  Core held, dropped. */
static int relieve_here(struct store *store, bool admin_held,
			struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	int r;

	mutex_unlock(&store->core.lock);
	r = reap_all(store, admin_held, err);
	if (r == 0)
		r = admin_held ? checkpoint_run(store, err)
			       : store_checkpoint(store, err);
	mutex_lock(&store->core.lock);
	return r < 0 ? r : -EAGAIN;
}

/* Make room for a checkpoint's worth of changes.  Core held, dropped. */
static int relieve(struct store *store, bool admin_held, struct error *err)
{
	mutex_assert_held(&store->core.lock);
	if (!store->core.has_workers || admin_held)
		return relieve_here(store, admin_held, err);
	store->checkpoint_wanted = true;
	core_wake(&store->core, WORKER_DRIVER);
	(void)cond_wait_ms(&store->core.changed, &store->core.lock, 100);
	return -EAGAIN;
}

static int wait_for_space(struct store *store, bool admin_held,
			  uint64_t *deadline_ms,
			  struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	int r;

	mutex_assert_held(&store->core.lock);
	if (*deadline_ms == 0)
		*deadline_ms = monotonic_ms() + SPACE_WAIT_MS;
	if (frames_want_growth(&store->frames)) {
		mutex_unlock(&store->core.lock);
		(void)frames_grow(&store->frames, false,
				  NULL); /* told by the state */
		mutex_lock(&store->core.lock);
		return -EAGAIN;
	}
	if (!space_is_coming(store) || monotonic_ms() >= *deadline_ms)
		return error_set(err, ENOSPC, "store is full");
	r = relieve(store, admin_held, err);
	return r;
}

int store_admit(struct store *store, enum frame_user user, bool admin_held,
		uint64_t *deadline_ms, struct error *err)
{
	struct core *core = &store->core;
	int r;

	mutex_assert_held(&core->lock);
	if (store->replaying)
		user = FRAME_USER_RECOVERY;
	if (store->stopped && admin_held) /* the last checkpoint needs admin */
		return error_set(err, EIO, "server is stopping");
	if (store->stopped) {
		/* the server is about to exit: the client will resend */
		cond_wait(&core->changed, &core->lock);
		return -EAGAIN;
	}
	if (core->read_only && !store->replaying)
		return error_set(err, EROFS, "store is open read-only");
	r = core_check(core, err);
	if (r < 0)
		return r;
	if (!core->read_only && !store->replaying) {
		if (dirty_limit_reached(store) ||
		    (!core->has_workers && checkpoint_is_due(store)))
			return relieve(store, admin_held, err);
	}
	r = log_ready(&store->log, user, err);
	if (r == -ENOSPC && !core->read_only && !store->replaying)
		return wait_for_space(store, admin_held, deadline_ms, err);
	if (r == -ENOSPC && frames_want_growth(&store->frames))
		return wait_for_space(store, admin_held, deadline_ms, err);
	if (r < 0)
		return r;
	if (nodes_prepare(&store->nodes) < 0)
		return error_set(err, ENOMEM, "out of memory");
	if (store->dirty_since_ms == 0) {
		store->dirty_since_ms = monotonic_ms();
		core_wake(core, WORKER_DRIVER); /* it sets its timer */
	}
	if (core->has_workers && !store->checkpoint_running &&
	    checkpoint_is_due(store))
		core_wake(core, WORKER_DRIVER);
	return 0;
}
