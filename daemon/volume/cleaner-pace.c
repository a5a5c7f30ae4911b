/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When the cleaner works, and who waits for it.
 *
 * A store cleans before it grows.  While it is written to it may use twice
 * what is live and 128 MiB; idle, a quarter more than what is live; and it
 * always keeps 1/64 of its frames free below its capacity, those included
 * that the next checkpoint gives back.
 *
 * The fewer these are, the fewer blocks die before they are moved; the more
 * they are, the fewer checkpoints are needed, each of which writes pages of
 * most tables.  Writers that are faster than the cleaner would always meet the
 * last frame, and a checkpoint would free a frame or two: so they wait a
 * little as soon as half of these frames are gone.
 */
#include "store.h"

#define BUSY_SLACK_BYTES (UINT64_C(128) << 20)
#define WORTH_BYTES (UINT64_C(32) << 20)
#define IDLE_AFTER_MS 10000u
#define FREE_MIN 4u
/* Frames that last while a checkpoint runs. */
#define FREE_LAST 2u

/* Those that no check holds on to. */
static uint64_t count_dying(const struct store *store)
{
	uint64_t ret = 0;

	if (store->nr_images == 0)
		return store->dying.len;
	for (size_t i = 0; i < store->dying.len; i++)
		ret += store->dying.ptr[i]->kind != SEGMENT_META;
	return ret;
}

/* Frames that a durable checkpoint will give back. */
static uint64_t frames_coming(const struct store *store)
{
	const struct gc_stream *streams = store->cleaner.streams;

	return store->segments.nr_dead_frames + count_dying(store) +
	       streams[GC_FIRST].nr_walked + streams[GC_AGAIN].nr_walked;
}

uint32_t cleaner_segment_blocks(const struct store *store)
{
	uint32_t slots = store->core.nr_slots - 1;

	return slots - (slots + GC_BATCH_BLOCKS) / (GC_BATCH_BLOCKS + 1);
}

/* Frames that what is live would fill. */
static uint64_t frames_live(const struct store *store)
{
	uint64_t slots = cleaner_segment_blocks(store);

	return (store->segments.live_blocks + slots - 1) / slots +
	       store->segments.meta.len;
}

/* Frames that writers may still take. */
static uint64_t frames_left(const struct store *store)
{
	const struct frames *f = &store->frames;
	uint64_t allocated = f->ready.len;
	uint64_t more = f->host_full
				? 0
				: f->nr - f->nr_allocated - f->retiring.len -
					  f->retired.len - f->nr_doubtful;

	allocated += more;
	return allocated > f->reserve ? allocated - f->reserve : 0;
}

static bool is_idle(struct store *store)
{
	struct cleaner *c = &store->cleaner;
	uint64_t now = monotonic_ms();

	if (c->seen_seq != store->log.next_seq) {
		c->seen_seq = store->log.next_seq;
		c->seen_ms = now;
	}
	return now >= c->seen_ms + IDLE_AFTER_MS;
}

/* Of the file, the reserve and what is kept ready are not for segments. */
static uint64_t frames_busy_goal(const struct store *store)
{
	uint64_t live = frames_live(store);
	uint64_t file =
		2 * live + (BUSY_SLACK_BYTES >> store->core.segment_shift);
	uint64_t other = store->frames.reserve + 2 * FRAMES_SPARE_MAX;

	return file > live + 2 * other ? file - other : live + other;
}

static uint64_t frames_idle_goal(const struct store *store)
{
	return frames_live(store) + frames_live(store) / 4 + FRAMES_SPARE_MAX;
}

/* Frames it keeps free, those included that a checkpoint will give back. */
static uint64_t frames_kept_free(const struct store *store)
{
	uint64_t nr = store->frames.nr / 64;

	return nr > FREE_MIN ? nr : FREE_MIN;
}

bool cleaner_is_tight(const struct store *store)
{
	return frames_left(store) + frames_coming(store) <
	       frames_kept_free(store) / 4;
}

bool cleaner_frames_are_few(const struct store *store)
{
	return frames_left(store) + frames_coming(store) <
	       2 * frames_kept_free(store);
}

bool cleaner_is_wanted(struct store *store)
{
	struct cleaner *c = &store->cleaner;
	uint64_t low = frames_kept_free(store);
	uint64_t used = store->frames.nr_used;
	uint64_t coming = frames_coming(store);
	uint64_t left = frames_left(store) + coming;

	mutex_assert_held(&store->core.lock);
	if (!cleaner_can_help(store))
		return false;
	used = used > coming ? used - coming : 0;
	/* once it runs it makes some room, so that it need not run at once */
	c->running = left < (c->running ? low + low / 4 : low) ||
		     used > frames_busy_goal(store) ||
		     (used > frames_idle_goal(store) && is_idle(store));
	return c->running;
}

bool cleaner_can_help(const struct store *store)
{
	const struct cleaner *c = &store->cleaner;

	return !store->core.failed && !store->core.read_only &&
	       image_leaves_room(store) &&
	       !(c->hopeless &&
		 (c->hopeless_tight || !cleaner_is_tight(store)) &&
		 store->segments.nr_chances == c->hopeless_chances);
}

static bool writers_should_wait(const struct store *store)
{
	return frames_left(store) + frames_coming(store) <
		       frames_kept_free(store) / 2 ||
	       store->frames.nr_used > frames_busy_goal(store) / 32 * 33;
}

bool cleaner_falls_behind(struct store *store)
{
	struct cleaner *c = &store->cleaner;

	mutex_assert_held(&store->core.lock);
	/* running: so it was when it last looked */
	if (!c->running || c->hopeless || c->scraping ||
	    !cleaner_can_help(store))
		return false;
	/* enough is enough until one more segment is opened */
	if (c->enough_at_segno == store->core.next_segno)
		return false;
	if (writers_should_wait(store))
		return true;
	c->enough_at_segno = store->core.next_segno;
	return false;
}

/* Would a checkpoint do instead of growing? */
static bool is_beyond_goal(const struct store *store, uint64_t few)
{
	uint64_t dead = store->segments.nr_dead_frames;

	return store->frames.nr_used > frames_busy_goal(store) &&
	       (dead >= few ||
		dead << store->core.segment_shift >= WORTH_BYTES);
}

/*
 * Enough to be worth it before the last free frame is gone; and when it is,
 * as soon as there is something for the writers, or for the cleaner, which
 * needs frames itself.
 */
bool cleaner_wants_checkpoint(struct store *store)
{
	const struct frames *f = &store->frames;
	uint64_t few = frames_kept_free(store) / 2;
	uint64_t dead = store->segments.nr_dead_frames;

	mutex_assert_held(&store->core.lock);
	if (!checkpoint_would_free(store) || store->checkpoint_running)
		return false;
	if (is_beyond_goal(store, few))
		return true;
	if (frames_want_growth(f) && !f->host_full)
		return false;
	if (f->ready.len > f->reserve + FREE_LAST)
		return dead >= few && f->ready.len < f->reserve + few;
	return f->ready.len + frames_coming(store) > f->reserve + 1 ||
	       f->ready.len <= f->reserve / 2 + FREE_LAST ||
	       !cleaner_is_wanted(store);
}

bool cleaner_waits_for_idle(const struct store *store)
{
	return cleaner_can_help(store) &&
	       store->frames.nr_used >
		       frames_idle_goal(store) + frames_coming(store);
}
