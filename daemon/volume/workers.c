/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The workers: five threads that call the engine in bounded slices.
 *   writer   writes full batches early, advertises durable_seq when idle
 *   janitor  makes frames ready, lets the reaper work, tells how full it is
 *   cleaner  empties segments that are mostly dead
 *   driver   runs checkpoints, flushes when no client does, drops scratch
 *            views nobody uses, says it when the store has become fail-stop
 *   watcher  says it when a write or a sync takes long: the others may be the
 *            ones who wait for it
 * After some opens a sixth one, the loader (loader.h), ends by itself.
 * A worker owns no data; it sleeps while there is nothing to do and wakes by
 * a timer only while something is dirty.
 */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "loader.h"
#include "space.h"

#define IDLE_TICK_MS 1000u
/* The reaper works so long and rests so long while it disturbs others. */
#define REAP_MS 1u
#define REAP_REST_MS 3u
/* A checkpoint ends sooner than that, or later. */
#define CLEANER_WAIT_MS 100u
/* A write or a sync in flight for so long is worth a word. */
#define STALL_MS 10000u

/*
 * Sleep until woken; at most a tick when @timer.  Who dropped core before may
 * have missed that it is to end: then it does not sleep.  Core held.
 */
static void nap(struct store *store, enum worker worker, bool timer)
{
	struct core *core = &store->core;

	mutex_assert_held(&core->lock);
	if (store->stopping)
		return;
	if (timer)
		(void)cond_wait_ms(&core->work[worker], &core->lock,
				   IDLE_TICK_MS);
	else
		cond_wait(&core->work[worker], &core->lock);
}

/*
 * A worker that wakes must not take the processor from the thread that
 * serves a client: there is time, the buffers are many.  Best effort.
 */
static void yield_to_clients(void)
{
	const struct sched_param param = {0};

	(void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &param);
}

static void *writer_main(void *arg)
{
	struct store *store = arg;
	struct core *core = &store->core;
	struct log *log = &store->log;

	yield_to_clients();
	mutex_lock(&core->lock);
	while (!store->stopping) {
		if (log_write_one(log))
			continue;
		log_advertise_durable(log);
		log->timer_armed = log->durable_seq > log->advertised_seq;
		nap(store, WORKER_WRITER, log->timer_armed);
	}
	mutex_unlock(&core->lock);
	return NULL;
}

/*
 * One slice of the reaper.  Returns 1: did something; 0: nothing to do;
 * -errno: a node cannot be read, so the queue stays as it is until the store
 * is opened again.  Core held, dropped.
 */
static int reap_slice(struct store *store, struct error *err)
{
	struct error failure = ERROR_NONE;
	uint32_t missing = 0;
	int r;

	mutex_assert_held(&store->core.lock);
	if (store->nodes.reaper.len == 0 || store->core.failed ||
	    store->reaper_stuck || !image_leaves_room(store) ||
	    nodes_prepare(&store->nodes) < 0)
		return 0;
	if (!reaper_may_work(store)) { /* but after a checkpoint */
		core_wake(&store->core, WORKER_DRIVER);
		return 0;
	}
	store_changed(store);
	r = reaper_step(&store->nodes, &missing, &failure);
	if (r == -EAGAIN) {
		r = store_fault(store, missing, err);
		store->reaper_stuck = r < 0;
		return r < 0 ? r : 1;
	}
	if (r < 0)
		core_fail(&store->core, &failure);
	if (store->nodes.reaper.len == 0) { /* a count may wait for that */
		cond_broadcast(&store->core.changed);
		core_wake(&store->core, WORKER_CLEANER); /* more is dead */
	}
	return 1;
}

/*
 * The reaper has all the time there is as long as it is in nobody's way: how
 * long it has worked without a rest, and whether others waited for it.
 */
struct pace {
	uint64_t since_ms;
	bool disturbs;
};

/*
 * After a slice.  Writers that are short of space wait for the reaper, not
 * for a lock.  Core held, dropped.
 */
static void keep_pace(struct store *store, struct pace *pace)
{
	struct core *core = &store->core;

	mutex_assert_held(&core->lock);
	if (monotonic_ms() < pace->since_ms + REAP_MS)
		return;
	if (pace->disturbs && !store->stopping &&
	    frames_available(&store->frames, FRAME_USER_WRITE, 1))
		(void)cond_wait_ms(&core->work[WORKER_JANITOR], &core->lock,
				   REAP_REST_MS);
	*pace = (struct pace){.since_ms = monotonic_ms()};
}

/* Make a frame ready.  Core held, dropped. */
static void grow(struct store *store) NO_THREAD_SAFETY_ANALYSIS
{
	bool zero_fill = log_flushes_are_small(&store->log);

	mutex_unlock(&store->core.lock);
	(void)frames_grow(&store->frames, zero_fill, NULL); /* state tells */
	mutex_lock(&store->core.lock);
}

static void *janitor_main(void *arg) NO_THREAD_SAFETY_ANALYSIS
{
	struct store *store = arg;
	struct core *core = &store->core;
	struct error err = ERROR_NONE;
	struct pace pace = {0};
	int r;

	yield_to_clients();
	mutex_lock(&core->lock);
	while (!store->stopping) {
		if (!core->failed && frames_want_growth(&store->frames)) {
			grow(store);
			continue;
		}
		if (space_tell(store))
			continue;
		r = reap_slice(store, &err);
		if (r != 0) {
			mutex_unlock(&core->lock);
			pace.disturbs |= mutex_is_awaited(&core->lock);
			mutex_give_way(&core->lock);
			if (r < 0)
				store_message(store, MESSAGE_ERROR,
					      EVENT_DAMAGE,
					      "cannot free what was deleted: "
					      "%s",
					      err.message);
			mutex_lock(&core->lock);
			keep_pace(store, &pace);
			continue;
		}
		nap(store, WORKER_JANITOR, store->frames.host_full);
	}
	mutex_unlock(&core->lock);
	return NULL;
}

/* What the cleaner emptied comes back with a checkpoint.  Core held. */
static void free_what_is_clean(struct store *store)
{
	if (cleaner_wants_checkpoint(store)) {
		store->checkpoint_wanted = true;
		core_wake(&store->core, WORKER_DRIVER);
	}
}

/* Do writers wait for what the checkpoint that runs gives back?  Core held. */
static bool writers_wait(const struct store *store)
{
	return store->checkpoint_running &&
	       store->frames.ready.len <= store->frames.reserve;
}

static void *cleaner_main(void *arg) NO_THREAD_SAFETY_ANALYSIS
{
	struct store *store = arg;
	struct core *core = &store->core;
	int r = 1;

	yield_to_clients();
	mutex_lock(&core->lock);
	while (!store->stopping) {
		free_what_is_clean(store);
		if (r <= 0 || !cleaner_is_wanted(store)) {
			mutex_unlock(&core->lock);
			(void)cleaner_rest(store, NULL); /* the state tells */
			mutex_lock(&core->lock);
			free_what_is_clean(store);
			nap(store, WORKER_CLEANER,
			    r < 0 || cleaner_waits_for_idle(store));
			r = 1;
			continue;
		}
		if (dirty_limit_reached(store) || room_is_short(store) ||
		    writers_wait(store)) {
			/* goes on after it: what moves becomes dirty, too,
			 * and the frames that come back are theirs */
			core_wake(core, WORKER_DRIVER);
			(void)cond_wait_ms(&core->changed, &core->lock,
					   CLEANER_WAIT_MS);
			continue;
		}
		mutex_unlock(&core->lock);
		r = cleaner_step(store, NULL); /* the state tells */
		mutex_give_way(&core->lock);
		mutex_lock(&core->lock);
	}
	mutex_unlock(&core->lock);
	return NULL;
}

/* A scratch view to drop now, its name in @ret.  Core held. */
static bool find_idle_scratch(const struct store *store,
			      char ret[NAME_MAX_BYTES + 1], bool *ret_timer)
{
	for (size_t i = 0; i < store->volumes.all.len; i++) {
		const struct volume *v = store->volumes.all.ptr[i];

		if (!(v->flags & VOLUME_FLAG_SCRATCH) || volume_is_open(v))
			continue;
		*ret_timer = true;
		if (monotonic_ms() < v->idle_since_ms + SCRATCH_IDLE_MS)
			continue;
		memcpy(ret, v->name, sizeof(v->name));
		return true;
	}
	return false;
}

/*
 * Say once why nothing is written any more; those whose requests fail from
 * now on learn it each by itself.  Core held, dropped.
 */
static void tell_failure(struct store *store) NO_THREAD_SAFETY_ANALYSIS
{
	struct error failure = store->core.failure;

	store->failure_told = true;
	mutex_unlock(&store->core.lock);
	store_message(store, MESSAGE_ERROR, EVENT_FAILED,
		      "store stopped, reads only until it is opened again: %s",
		      failure.message);
	mutex_lock(&store->core.lock);
}

static void *driver_main(void *arg) NO_THREAD_SAFETY_ANALYSIS
{
	struct store *store = arg;
	struct core *core = &store->core;
	char name[NAME_MAX_BYTES + 1];
	const char *names[] = {name};

	yield_to_clients();
	mutex_lock(&core->lock);
	while (!store->stopping) {
		bool timer = checkpoint_is_old(store, UINT64_MAX);
		int r;

		if (core->failed) {
			if (store->failure_told)
				nap(store, WORKER_DRIVER, false);
			else
				tell_failure(store);
			continue;
		}
		if (checkpoint_is_due(store) ||
		    checkpoint_is_old(store, monotonic_ms())) {
			mutex_unlock(&core->lock);
			/* a failure stops the store: told above */
			(void)store_checkpoint(store, NULL);
			mutex_lock(&core->lock);
		} else if (flush_is_due(store)) {
			mutex_unlock(&core->lock);
			(void)store_flush(store, NULL); /* as above */
			mutex_lock(&core->lock);
		} else if (find_idle_scratch(store, name, &timer)) {
			mutex_unlock(&core->lock);
			/* a client may have come back: then it stays */
			r = store_delete(store, names, 1, false, NULL);
			mutex_lock(&core->lock);
			if (r < 0) /* there may be no room: later */
				nap(store, WORKER_DRIVER, true);
		} else {
			nap(store, WORKER_DRIVER, timer);
		}
	}
	mutex_unlock(&core->lock);
	return NULL;
}

/*
 * Which write or sync, by its begin, has been in flight for too long; 0: none.
 */
static uint64_t find_stalled(const struct store *store)
{
	uint64_t since = backend_in_flight_since(store->core.be);

	return since && monotonic_ms() >= since + STALL_MS ? since : 0;
}

/* Say that the medium does not answer, or that it does again.  As @since. */
static void tell_stalled(struct store *store, uint64_t since,
			 bool is_over) NO_THREAD_SAFETY_ANALYSIS
{
	uint64_t seconds = (monotonic_ms() - since) / 1000;

	mutex_unlock(&store->core.lock);
	if (is_over)
		store_message(store, MESSAGE_INFO, EVENT_STALLED,
			      "the medium answers again: seconds=%" PRIu64,
			      seconds);
	else
		store_message(store, MESSAGE_WARNING, EVENT_STALLED,
			      "the medium does not answer, waiting: "
			      "seconds=%" PRIu64,
			      seconds);
	mutex_lock(&store->core.lock);
}

static void *watcher_main(void *arg)
{
	struct store *store = arg;
	struct core *core = &store->core;
	/* the begin of what was told, and which one is now */
	uint64_t stalled = 0, now_stalled;

	yield_to_clients();
	mutex_lock(&core->lock);
	while (!store->stopping) {
		now_stalled = find_stalled(store);
		/* when it ends and another is stalled still, nothing is over */
		if ((now_stalled != 0) != (stalled != 0)) {
			tell_stalled(store, stalled ? stalled : now_stalled,
				     stalled != 0);
			stalled = now_stalled;
			continue;
		}
		nap(store, WORKER_WATCHER,
		    store->dirty_since_ms || store->checkpoint_running ||
			    backend_in_flight_since(core->be));
	}
	mutex_unlock(&core->lock);
	return NULL;
}

static void *loader_main(void *arg)
{
	yield_to_clients();
	loader_run(arg);
	return NULL;
}

/* Core not held. */
static void start_loader(struct store *store)
{
	bool is_wanted;

	mutex_lock(&store->core.lock);
	is_wanted = store->loads_behind;
	mutex_unlock(&store->core.lock);
	if (!is_wanted)
		return;
	store->has_loader =
		pthread_create(&store->loader, NULL, loader_main, store) == 0;
	if (!store->has_loader)
		loader_run(store);
}

int store_start(struct store *store, struct error *err)
{
	static void *(*const mains[NR_WORKERS])(void *) = {
		writer_main, janitor_main, cleaner_main, driver_main,
		watcher_main};

	assert(store->nr_workers == 0);
	if (store->core.read_only)
		return 0;
	mutex_lock(&store->core.lock);
	store->core.has_workers = true;
	mutex_unlock(&store->core.lock);
	for (unsigned int i = 0; i < NR_WORKERS; i++) {
		int r = pthread_create(&store->workers[i], NULL, mains[i],
				       store);

		if (r != 0) {
			workers_stop(store);
			return error_set(err, r, "cannot start a thread: %s",
					 strerror(r));
		}
		store->nr_workers++;
	}
	start_loader(store);
	return 0;
}

void workers_stop(struct store *store)
{
	mutex_lock(&store->core.lock);
	store->stopping = true;
	for (int i = 0; i < NR_WORKERS; i++)
		core_wake(&store->core, (enum worker)i);
	mutex_unlock(&store->core.lock);
	for (unsigned int i = 0; i < store->nr_workers; i++)
		(void)pthread_join(store->workers[i], NULL);
	store->nr_workers = 0;
	if (store->has_loader)
		(void)pthread_join(store->loader, NULL);
	store->has_loader = false;
	mutex_lock(&store->core.lock);
	store->core.has_workers = false;
	store->stopping = false;
	mutex_unlock(&store->core.lock);
}
