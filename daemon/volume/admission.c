/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Admission: what a hold of core needs before it changes anything, and what
 * to do when there is not enough of it.  All waiting happens here, with no
 * lock held but core, which the wait gives up (I9).
 */
#include "quota.h"

#include <assert.h>
#include <inttypes.h>

/* A record with its name; attributes are rare. */
#define VOLUME_BYTES_MEAN 512u
/* More than that makes checkpoints no rarer worth its memory. */
#define DIRTY_BYTES_ENOUGH (UINT64_C(64) << 20)
/* Checkpoints in a row that gain no frame; then only what changes helps. */
#define SHORT_CHECKPOINTS 8u
#define RELIEF_WAIT_MS 100u
#define CHECK_WAIT_MS 500u

int store_fault(struct store *store, uint32_t id,
		struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	struct error failure = ERROR_NONE;
	bool damaged;
	int r;

	mutex_unlock(&store->core.lock);
	r = nodes_fault(&store->nodes, id, &failure);
	damaged = r == -EBADMSG || r == -EUCLEAN;
	if (damaged && err)
		store_message(store, MESSAGE_ERROR, EVENT_DAMAGE,
			      "unreadable map node: %s: node=%" PRIu32,
			      failure.message, id);
	mutex_lock(&store->core.lock);
	if (damaged && err)
		store->checksum_errors++;
	return r < 0 ? error_set(err, -r, "%s", failure.message) : 0;
}

/* Bytes the dirty pages of @table and the directories above them take. */
static uint64_t pages_bytes(const struct page_table *table, uint64_t page)
{
	uint64_t nr = table->dirty.len;
	uint64_t directories = table->nr_directories + 1u;

	return nr * page + (nr < directories ? nr : directories) * PAGE_BYTES;
}

/* Bytes the next checkpoint would write, at most. */
uint64_t dirty_bytes(const struct store *store)
{
	uint64_t nr_slots = store->core.nr_slots;
	uint64_t overflow = store->segments.pages.dirty.len * nr_slots;

	if (overflow > store->segments.overflow.nr)
		overflow = store->segments.overflow.nr;
	return store->nodes.dirty_bytes +
	       pages_bytes(&store->nodes.pages, PAGE_BYTES) +
	       pages_bytes(&store->volumes.pages, VOLUME_BYTES_MEAN) +
	       pages_bytes(&store->frames.pages, PAGE_BYTES) +
	       pages_bytes(&store->segments.pages, 128 + nr_slots / 4) +
	       overflow * segment_info_count_bytes(
				  store->segments.overflow.greatest) +
	       store->segments.dirty_forwards * SEGMENT_INFO_FORWARD_BYTES +
	       store->nodes.reaper.len * sizeof(uint32_t);
}

/* What a frame can take of it, less headers and what does not fit its end. */
static uint64_t frame_bytes(const struct store *store)
{
	uint64_t slots = store->core.nr_slots;

	return (slots - slots / 16 - 3) * BLOCK_SIZE;
}

/*
 * Are there more frames for @user than whatever is dirty and pending could
 * take, and as much again?  The reserve is for headers, the root, and what one
 * hold adds to a limit.
 */
static bool frames_abound(const struct store *store, enum frame_user user)
{
	return frames_suffice(&store->frames, user,
			      store->frames.reserve +
				      2 * DIRTY_BYTES_ENOUGH /
					      frame_bytes(store));
}

/*
 * What may be dirty: what a quarter of the reserve takes, which is always
 * there, and half of the frames that are ready beyond the reserve.  With many
 * snapshots all that is dirty by a delete is most of the tables, as blocks and
 * nodes die everywhere.  Where that does not fit, checkpoint after checkpoint
 * writes most pages for a count or two in each.
 */
static uint64_t dirty_bytes_max(const struct store *store)
{
	const struct frames *f = &store->frames;
	uint64_t least = f->reserve / 4 * frame_bytes(store), ret = least;

	if (f->ready.len > f->reserve)
		ret += (f->ready.len - f->reserve) / 2 * frame_bytes(store);
	if (ret > DIRTY_BYTES_ENOUGH)
		ret = DIRTY_BYTES_ENOUGH;
	return ret > least ? ret : least;
}

/*
 * Is there a frame for @user, and are there those that the next checkpoint
 * takes for what is dirty, without going deeper into the reserve than @user
 * may?  Else what is admitted now would take the share of others then.
 */
static bool frames_suffice_then(const struct store *store, enum frame_user user)
{
	uint64_t nr = store->log.spare ? 0 : 1, bytes;

	if (frames_abound(store, user))
		return true;
	bytes = dirty_bytes(store) +
		(store->checkpoint_running ? store->pending_bytes : 0);
	return frames_suffice(&store->frames, user,
			      nr + bytes / frame_bytes(store) + (bytes > 0));
}

/* Bytes of the root that the next checkpoint would write. */
static uint64_t next_root_bytes(const struct store *store)
{
	const struct root root = {
		.nr_meta_segments = (uint32_t)store->segments.meta.len,
		.nr_pages = {store->nodes.pages.nr_pages,
			     store->segments.pages.nr_pages,
			     store->volumes.pages.nr_pages,
			     store->frames.pages.nr_pages,
			     store->reaper_pages.nr_pages},
	};

	return root_bytes(&root);
}

bool checkpoint_fits(const struct store *store, uint64_t bytes, uint64_t nr)
{
	bytes += next_root_bytes(store);
	return frames_suffice(&store->frames, FRAME_USER_CHECKPOINT,
			      nr + bytes / frame_bytes(store) + 1);
}

/*
 * Does META need the frames that are left, and more dirt would take them?  As
 * much as is written dies elsewhere, in segments that are half empty then: to
 * get a frame back the META cleaner moves about as much again, and @nr more
 * frames are its own and for the checkpoint with which they come back.
 */
static bool is_short(const struct store *store, uint64_t nr)
{
	if (frames_abound(store, FRAME_USER_CHECKPOINT))
		return false;
	return !checkpoint_fits(
		store, 2 * dirty_bytes(store) + store->pending_bytes, nr);
}

bool room_is_short(const struct store *store)
{
	/* META first, as long as that gains something */
	return is_short(store, store->nr_short < SHORT_CHECKPOINTS ? 3 : 2);
}

bool room_is_coming(const struct store *store)
{
	return room_is_short(store) &&
	       (store->nr_short < SHORT_CHECKPOINTS ||
		store->frames.nr_used < store->short_used);
}

void note_room(struct store *store)
{
	uint64_t nr_used = store->frames.nr_used;

	mutex_assert_held(&store->core.lock);
	if (!is_short(store, 3)) {
		store->nr_short = 0;
	} else if (store->nr_short == 0 || nr_used < store->short_used) {
		store->short_used = nr_used;
		store->nr_short = 1;
	} else {
		store->nr_short++;
	}
}

bool dirty_limit_reached(const struct store *store)
{
	/* a crash during a checkpoint leaves its share to recovery as well */
	return store->nodes.dirty.len >= 2 * CHECKPOINT_DIRTY_NODES ||
	       dirty_bytes(store) + store->pending_bytes / 2 >=
		       dirty_bytes_max(store);
}

uint64_t checkpoint_frames(const struct store *store)
{
	/* and for its root, a page that did not fit, a META victim */
	return 3 + dirty_bytes(store) / frame_bytes(store);
}

bool checkpoint_has_room(const struct store *store)
{
	return frames_suffice(&store->frames, FRAME_USER_CHECKPOINT,
			      checkpoint_frames(store));
}

uint32_t checkpoint_nodes_max(const struct store *store)
{
	return store->segments.meta_bytes < CHECKPOINT_META_DENSE
		       ? CHECKPOINT_DIRTY_NODES
		       : CHECKPOINT_DIRTY_NODES / 16 * 9;
}

bool checkpoint_is_due(const struct store *store)
{
	const struct core *core = &store->core;

	return store->checkpoint_wanted ||
	       store->log.bytes >= store->checkpoint_log_bytes ||
	       store->nodes.dirty.len >= checkpoint_nodes_max(store) ||
	       dirty_bytes(store) >= dirty_bytes_max(store) / 4 * 3 ||
	       core->segno_bound - core->next_segno < SEGNO_RESERVATION / 2 ||
	       room_is_coming(store);
}

bool checkpoint_is_old(const struct store *store, uint64_t now_ms)
{
	if (store->dirty_since_ms)
		return now_ms >= store->dirty_since_ms + CHECKPOINT_AGE_MS;
	return frames_have_spare(&store->frames,
				 store->segments.nr_dead_frames) &&
	       now_ms >= store->checkpointed_at_ms + CHECKPOINT_IDLE_MS;
}

/*
 * After a crash all that is unflushed is read, and the dirty leaves one by one,
 * each as long as some blocks in a row: together no more where there are many
 * of those.
 */
#define LEAF_READ_BLOCKS 3u

bool flush_is_due(const struct store *store)
{
	uint64_t most = store->checkpoint_log_bytes / 8, least = most / 8;
	uint64_t leaves =
		store->nodes.dirty.len * LEAF_READ_BLOCKS * BLOCK_SIZE;

	return store->log.unflushed_bytes >=
	       (leaves < most - least ? most - leaves : least);
}

bool reaper_may_work(const struct store *store)
{
	return !checkpoint_is_due(store) && !room_is_short(store) &&
	       dirty_bytes(store) + store->pending_bytes / 2 <
		       dirty_bytes_max(store) / 4 * 3;
}

/* Has the reaper or the cleaner work to do, now or after a checkpoint? */
static bool workers_get_on(const struct store *store)
{
	return (!room_is_short(store) || room_is_coming(store)) &&
	       (store->nodes.reaper.len > 0 || cleaner_can_help(store));
}

/* Would a checkpoint, the reaper or the end of a check give frames back? */
static bool space_is_coming(const struct store *store)
{
	/* the grower has a frame in hand, or gets those that are punched */
	if (store->frames.nr_growing > 0 || store->frames.retired.len > 0)
		return true;
	return checkpoint_would_free(store) || store->dying.len > 0 ||
	       store->checkpoint_running || workers_get_on(store);
}

/* Clean in this thread, as long as it is wanted.  Core not held. */
static int clean_here(struct store *store, struct error *err)
{
	bool wanted = !store->core.has_workers;
	int r = 1;

	while (wanted && r > 0) {
		r = cleaner_step(store, err);
		mutex_lock(&store->core.lock);
		/* what is moved becomes dirty, too */
		wanted = cleaner_is_wanted(store) &&
			 !checkpoint_is_due(store) && !room_is_short(store);
		mutex_unlock(&store->core.lock);
	}
	/* no frame to move to: a checkpoint may give some back */
	if (r >= 0 || r == -ENOSPC)
		r = cleaner_rest(store, err);
	return r;
}

/* Reap, clean and checkpoint in this thread.  Core held, dropped. */
static int relieve_here(struct store *store, bool admin_held,
			struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	int r;

	mutex_unlock(&store->core.lock);
	r = reap_all(store, admin_held, err);
	if (r == 0 || r == -ENOSPC)
		r = clean_here(store, err);
	if (r == 0)
		r = admin_held ? checkpoint_run(store, err)
			       : store_checkpoint(store, err);
	mutex_lock(&store->core.lock);
	return r < 0 ? r : -EAGAIN;
}

/* Would reaping, cleaning and a checkpoint change anything? */
static bool relief_would_help(struct store *store)
{
	/* does the cleaner make the next checkpoint worth more? */
	bool cleans = store->core.has_workers && !store->cleaner.hopeless &&
		      cleaner_is_wanted(store);

	return (!store->core.has_workers && cleaner_can_help(store)) ||
	       dirty_limit_reached(store) || checkpoint_is_due(store) ||
	       (checkpoint_would_free(store) &&
		(!cleans || cleaner_wants_checkpoint(store))) ||
	       (store->nodes.reaper.len > 0 && image_leaves_room(store) &&
		!room_is_short(store));
}

/*
 * Let what is dead become free and what is dirty clean, or wait a moment for
 * it.  Core held, dropped.
 */
static int relieve(struct store *store, bool admin_held, struct error *err)
{
	struct core *core = &store->core;
	bool helps = relief_would_help(store);

	mutex_assert_held(&core->lock);
	if (helps && (!core->has_workers || admin_held))
		return relieve_here(store, admin_held, err);
	if (!core->has_workers)
		return error_set(err, ENOSPC, "store is full");
	if (helps && !store->checkpoint_running) {
		store->checkpoint_wanted = true;
		core_wake(core, WORKER_DRIVER);
		core_wake(core, WORKER_JANITOR);
	}
	core_wake(core, WORKER_CLEANER);
	(void)cond_wait_ms(&core->changed, &core->lock, RELIEF_WAIT_MS);
	return -EAGAIN;
}

int admission_relieve(struct store *store, const struct admission *admission,
		      struct error *err)
{
	return relieve(store, admission->admin_held, err);
}

/* The same where nothing comes by itself: somebody may delete something. */
static int pause_for_space(struct store *store)
{
	mutex_assert_held(&store->core.lock);
	(void)cond_wait_ms(&store->core.changed, &store->core.lock,
			   RELIEF_WAIT_MS);
	return -EAGAIN;
}

void store_changed(struct store *store)
{
	mutex_assert_held(&store->core.lock);
	if (store->dirty_since_ms)
		return;
	store->dirty_since_ms = monotonic_ms();
	core_wake(&store->core, WORKER_DRIVER); /* they set their timers */
	core_wake(&store->core, WORKER_WATCHER);
}

bool admission_may_wait(struct admission *admission)
{
	uint64_t now = monotonic_ms();

	if (admission->deadline_ms == 0)
		admission->deadline_ms = now + SPACE_WAIT_MS;
	return now < admission->deadline_ms;
}

/*
 * A request that has waited for a while ends the checks whose images hold on
 * to frames: they can be run again.
 */
static void end_checks(struct store *store, const struct admission *admission)
{
	uint64_t waited = monotonic_ms() + SPACE_WAIT_MS;

	mutex_assert_held(&store->core.lock);
	if (store->nr_images > 0 && store->dying.len > 0 &&
	    waited >= admission->deadline_ms + CHECK_WAIT_MS)
		store->images_revoked = true;
}

/*
 * What is dirty has frames set aside for the next checkpoint, and what that
 * replaces becomes free after it: nobody is refused before.  Requests that are
 * refused leave no node dirty, so that many of them cost one checkpoint.
 */
static bool may_gain_by_checkpoint(const struct store *store,
				   enum frame_user user)
{
	if (store->nr_images > 0)
		return false;
	return store->nodes.dirty.len > 0 ||
	       (user != FRAME_USER_WRITE && dirty_bytes(store) > 0);
}

/* There is none: @err says why, and is given back after the wait. */
static int wait_for_space(struct store *store, struct admission *admission,
			  struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	size_t nr_dying;

	mutex_assert_held(&store->core.lock);
	(void)admission_may_wait(admission); /* the time begins */
	nr_dying = store->dying.len;
	free_dying(store); /* a reader may have left */
	if (store->dying.len < nr_dying)
		return -EAGAIN;
	if (frames_want_growth(&store->frames)) {
		mutex_unlock(&store->core.lock);
		(void)frames_grow(&store->frames, false,
				  NULL); /* told by the state */
		mutex_lock(&store->core.lock);
		return -EAGAIN;
	}
	if (!admission_may_wait(admission))
		return -ENOSPC;
	end_checks(store, admission);
	if (may_gain_by_checkpoint(store, admission->user))
		store->checkpoint_wanted = true;
	if (space_is_coming(store) || store->checkpoint_wanted)
		return relieve(store, admission->admin_held, err);
	return admission->pause ? pause_for_space(store) : -ENOSPC;
}

/*
 * Wait for the cleaner to gain a frame, a little while: a writer that meets
 * the last free frame waits for a checkpoint as well, and so many frames are
 * few that are freed by one.  Core held, dropped when true.
 */
static bool wait_for_cleaner(struct store *store, struct admission *admission)
{
	uint64_t now;

	mutex_assert_held(&store->core.lock);
	if (admission->user != FRAME_USER_WRITE || !store->core.has_workers ||
	    store->replaying || !cleaner_falls_behind(store))
		return false;
	now = monotonic_ms();
	if (admission->paced_until_ms == 0)
		admission->paced_until_ms = now + RELIEF_WAIT_MS;
	if (now >= admission->paced_until_ms)
		return false;
	core_wake(&store->core, WORKER_CLEANER);
	(void)cond_wait_ms(&store->core.changed, &store->core.lock,
			   RELIEF_WAIT_MS);
	return true;
}

int store_admit(struct store *store, struct admission *admission,
		struct error *err)
{
	struct core *core = &store->core;
	enum frame_user user = admission->user;
	bool admin_held = admission->admin_held;
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
	if (wait_for_cleaner(store, admission))
		return -EAGAIN;
	if (admission->volume && charge_is_busy(admission->volume)) {
		cond_wait(&core->changed, &core->lock);
		return -EAGAIN;
	}
	if (!core->read_only && !store->replaying &&
	    !frames_suffice_then(store, user))
		r = error_set(err, ENOSPC, "store is full");
	else
		r = log_ready(&store->log, user, err);
	if (r == 0 && user == FRAME_USER_WRITE && store->unfilled > 0)
		r = reservations_admit(store, admission, err);
	if (r == -ENOSPC && !core->read_only && !store->replaying)
		return wait_for_space(store, admission, err);
	if (r == -ENOSPC && frames_want_growth(&store->frames))
		return wait_for_space(store, admission, err);
	if (r < 0)
		return r;
	if (nodes_prepare(&store->nodes) < 0)
		return error_set(err, ENOMEM, "out of memory");
	store_changed(store);
	if (core->has_workers && !store->checkpoint_running &&
	    (checkpoint_is_due(store) || flush_is_due(store)))
		core_wake(core, WORKER_DRIVER);
	return 0;
}
