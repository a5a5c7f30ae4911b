/* SPDX-License-Identifier: BSD-2-Clause */
#include "frames.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "clock.h"
#include "segment.h"

static bool bit_get(const uint8_t *bits, uint64_t i)
{
	return bits[i / 8] >> (i % 8) & 1;
}

static void bit_set(uint8_t *bits, uint64_t i, bool value)
{
	if (value)
		bits[i / 8] |= (uint8_t)(1u << (i % 8));
	else
		bits[i / 8] &= (uint8_t) ~(1u << (i % 8));
}

uint64_t frames_reserve(uint64_t nr_frames)
{
	return 16 + nr_frames / 1024;
}

uint64_t frames_capacity_max(unsigned int segment_shift)
{
	uint64_t blocks = segment_slots(segment_shift) - 2, nr_frames;

	if (blocks > BATCH_PAYLOAD_MAX)
		blocks = BATCH_PAYLOAD_MAX;
	nr_frames = blocks * BLOCK_SIZE / 2 / sizeof(struct disk_page_ref) *
		    DIRECTORY_PAGE_ENTRIES;
	return backend_frame_offset(nr_frames, segment_shift);
}

static uint32_t nr_map_pages(uint64_t nr_frames)
{
	return (uint32_t)(round_up_u64(nr_frames, FRAME_MAP_PAGE_FRAMES) /
			  FRAME_MAP_PAGE_FRAMES);
}

static size_t frame_page_encode(void *owner, uint32_t index, void *ret)
{
	struct frames *frames = owner;

	frame_map_page_encode(
		index,
		frames->allocated + (size_t)index * (FRAME_MAP_PAGE_FRAMES / 8),
		ret);
	return PAGE_BYTES;
}

int frames_init(struct frames *frames, struct core *core, uint64_t nr_frames)
{
	uint32_t nr_pages = nr_map_pages(nr_frames);
	size_t bytes = (size_t)nr_pages * (FRAME_MAP_PAGE_FRAMES / 8);
	int r;

	*frames = (struct frames){
		.core = core,
		.nr = nr_frames,
		.reserve = frames_reserve(nr_frames),
	};
	r = page_table_init(&frames->pages, core, TABLE_FRAME,
			    frame_page_encode, frames);
	if (r < 0)
		return r;
	frames->allocated = calloc(1, bytes);
	frames->used = calloc(1, bytes);
	if (!frames->allocated || !frames->used)
		return -ENOMEM;
	return page_table_grow(&frames->pages, nr_pages);
}

void frames_done(struct frames *frames)
{
	free(frames->allocated);
	free(frames->used);
	place_vector_done(&frames->ready);
	place_vector_done(&frames->retiring);
	place_vector_done(&frames->retired);
	page_table_done(&frames->pages);
	*frames = (struct frames){0};
}

int frames_load(struct frames *frames, uint32_t index, const void *page,
		size_t length, struct error *err)
{
	uint8_t bits[FRAME_MAP_PAGE_FRAMES / 8];
	uint64_t first = (uint64_t)index * FRAME_MAP_PAGE_FRAMES;
	int r;

	r = frame_map_page_decode(page, length, index, bits, err);
	if (r < 0)
		return r;
	for (uint64_t i = 0; i < FRAME_MAP_PAGE_FRAMES; i++) {
		if (!bit_get(bits, i))
			continue;
		if (first + i >= frames->nr)
			return error_set(err, EUCLEAN,
					 "frame map: frame %" PRIu64
					 " is beyond the store",
					 first + i);
		bit_set(frames->allocated, first + i, true);
		frames->nr_allocated++;
	}
	return 0;
}

int frames_mark_used(struct frames *frames, uint64_t place, struct error *err)
{
	mutex_assert_held(&frames->core->lock);
	if (place >= frames->nr)
		return error_set(err, EUCLEAN,
				 "place %" PRIu64 " is beyond the store",
				 place);
	if (bit_get(frames->used, place))
		return error_set(err, EUCLEAN,
				 "two segments claim frame %" PRIu64, place);
	bit_set(frames->used, place, true);
	frames->nr_used++;
	/* grown since the map was written: the crash may have undone that */
	if (!bit_get(frames->allocated, place))
		frames->nr_doubtful++;
	return 0;
}

bool frames_is_used(const struct frames *frames, uint64_t place)
{
	return place < frames->nr && bit_get(frames->used, place);
}

void frames_believe_used(struct frames *frames, uint32_t index)
{
	uint64_t i = (uint64_t)index * FRAME_MAP_PAGE_FRAMES;
	uint64_t end = i + FRAME_MAP_PAGE_FRAMES;

	mutex_assert_held(&frames->core->lock);
	page_table_touch(&frames->pages, index);
	for (; i < end && i < frames->nr; i++) {
		if (!bit_get(frames->used, i) || bit_get(frames->allocated, i))
			continue;
		bit_set(frames->allocated, i, true);
		frames->nr_allocated++;
		frames->nr_doubtful--;
	}
}

bool frames_is_allocated(const struct frames *frames, uint64_t place)
{
	return place < frames->nr && bit_get(frames->allocated, place);
}

int frames_loaded(struct frames *frames)
{
	frames->ready.len = 0;
	/* the lowest frames are taken first: they lie at the end */
	for (uint64_t i = frames->nr; i-- > 0;) {
		if (!bit_get(frames->allocated, i) || bit_get(frames->used, i))
			continue;
		if (place_vector_push(&frames->ready, i) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* What @user leaves. */
static uint64_t frames_kept(const struct frames *frames, enum frame_user user)
{
	switch (user) {
	case FRAME_USER_WRITE:
		return frames->reserve;
	case FRAME_USER_METADATA:
		return frames->reserve / 4 * 3;
	case FRAME_USER_CLEANER:
	case FRAME_USER_DELETE:
		return frames->reserve / 2;
	case FRAME_USER_CHECKPOINT:
		return frames->reserve / 4;
	case FRAME_USER_RECOVERY:
		break;
	}
	return 0;
}

/* Frames that are ready or can be. */
static uint64_t frames_left(const struct frames *frames)
{
	return frames->host_full ? frames->ready.len
				 : frames->nr - frames->nr_used;
}

bool frames_suffice(const struct frames *frames, enum frame_user user,
		    uint64_t nr)
{
	return frames_left(frames) >= frames_kept(frames, user) + nr;
}

bool frames_available(const struct frames *frames, enum frame_user user,
		      uint32_t nr)
{
	return frames->ready.len >= frames_kept(frames, user) + nr;
}

uint64_t frames_take(struct frames *frames, enum frame_user user)
{
	uint64_t place;

	mutex_assert_held(&frames->core->lock);
	if (!frames_available(frames, user, 1))
		return PLACE_NONE;
	place = frames->ready.ptr[--frames->ready.len];
	assert(!bit_get(frames->used, place));
	assert(bit_get(frames->allocated, place));
	bit_set(frames->used, place, true);
	frames->nr_used++;
	frames->nr_taken++;
	core_wake(frames->core, WORKER_JANITOR); /* to replace and to tell */
	core_wake(frames->core, WORKER_CLEANER);
	return place;
}

void frames_release(struct frames *frames, uint64_t place)
{
	mutex_assert_held(&frames->core->lock);
	assert(bit_get(frames->used, place));
	bit_set(frames->used, place, false);
	frames->nr_used--;
	core_wake(frames->core, WORKER_JANITOR); /* to tell */
	if (!bit_get(frames->allocated, place)) {
		/* the grower takes it from here, and need not wait: the host
		 * had room for it */
		frames->nr_doubtful--;
		frames->retry_at_ms = 0;
		cond_broadcast(&frames->core->changed);
		return;
	}
	if (place_vector_push(&frames->ready, place) < 0)
		core_fail_nomem(frames->core);
	cond_broadcast(&frames->core->changed);
}

uint64_t frames_free(const struct frames *frames)
{
	uint64_t left = frames_left(frames);

	return left > frames->reserve ? left - frames->reserve : 0;
}

bool frames_want_growth(const struct frames *frames)
{
	if (frames->ready.len >= frames->reserve + FRAMES_SPARE_MAX)
		return false;
	if (frames->nr_allocated + frames->nr_growing + frames->nr_doubtful +
		    frames->retiring.len + frames->retired.len >=
	    frames->nr)
		return false;
	return !frames->host_full || monotonic_ms() >= frames->retry_at_ms;
}

/* How many frames from @place on need no look: a byte of the maps is full. */
static uint64_t nr_passed_over(const struct frames *frames, uint64_t place)
{
	uint64_t i = place / 8;

	return place % 8 == 0 && place + 8 <= frames->nr &&
			       (frames->allocated[i] | frames->used[i]) == 0xff
		       ? 8
		       : 1;
}

static uint64_t find_unallocated(struct frames *frames)
{
	uint64_t step;

	for (uint64_t n = 0; n < frames->nr; n += step) {
		uint64_t place = frames->scan;

		step = nr_passed_over(frames, place);
		frames->scan = (place + step) % frames->nr;
		if (!bit_get(frames->allocated, place) &&
		    !bit_get(frames->used, place))
			return place;
	}
	return PLACE_NONE;
}

/* Mark @place used while the grower works on it, or not any more. */
static void grow_done(struct frames *frames, uint64_t place, int result)
{
	mutex_assert_held(&frames->core->lock);
	bit_set(frames->used, place, false);
	frames->nr_growing--;
	cond_broadcast(&frames->core->changed);
	if (result < 0) {
		frames->host_full = true;
		frames->retry_at_ms = monotonic_ms() + FRAMES_RETRY_MS;
		frames->scan = place;
		return;
	}
	frames->host_full = false;
	page_table_touch(&frames->pages,
			 (uint32_t)(place / FRAME_MAP_PAGE_FRAMES));
	bit_set(frames->allocated, place, true);
	frames->nr_allocated++;
	if (place_vector_push(&frames->ready, place) < 0)
		core_fail_nomem(frames->core);
}

int frames_grow(struct frames *frames, bool zero_fill, struct error *err)
{
	struct core *core = frames->core;
	uint64_t place;
	int r;

	mutex_lock(&core->lock);
	place = find_unallocated(frames);
	if (place != PLACE_NONE) {
		bit_set(frames->used, place, true);
		frames->nr_growing++;
	}
	mutex_unlock(&core->lock);
	if (place == PLACE_NONE)
		return error_set(err, ENOSPC, "every frame is allocated");

	r = backend_allocate(core->be, place, zero_fill, err);

	mutex_lock(&core->lock);
	grow_done(frames, place, r);
	mutex_unlock(&core->lock);
	return r;
}

bool frames_wait_grown(struct frames *frames, enum frame_user user)
{
	struct core *core = frames->core;
	bool ret;

	mutex_lock(&core->lock);
	while (frames->nr_growing > 0 && !frames_available(frames, user, 1))
		cond_wait(&core->changed, &core->lock);
	ret = frames_available(frames, user, 1);
	mutex_unlock(&core->lock);
	return ret;
}

/* Larger copies of both bitmaps; on failure none. */
static int extend_bits(struct frames *frames, uint32_t nr_pages)
{
	size_t old = frames->pages.nr_pages * (FRAME_MAP_PAGE_FRAMES / 8);
	size_t bytes = (size_t)nr_pages * (FRAME_MAP_PAGE_FRAMES / 8);
	uint8_t *allocated = calloc(1, bytes), *used = calloc(1, bytes);

	if (!allocated || !used) {
		free(allocated);
		free(used);
		return -ENOMEM;
	}
	memcpy(allocated, frames->allocated, old);
	memcpy(used, frames->used, old);
	free(frames->allocated);
	free(frames->used);
	frames->allocated = allocated;
	frames->used = used;
	return 0;
}

int frames_extend(struct frames *frames, uint64_t nr)
{
	uint64_t more = frames_reserve(nr) - frames->reserve;
	uint32_t nr_pages = nr_map_pages(nr);

	mutex_assert_held(&frames->core->lock);
	assert(nr >= frames->nr && nr - frames->nr >= more);
	if (place_vector_reserve(&frames->ready, more) < 0 ||
	    extend_bits(frames, nr_pages) < 0 ||
	    page_table_grow(&frames->pages, nr_pages) < 0)
		return -ENOMEM;
	for (uint64_t i = frames->nr; i < frames->nr + more; i++) {
		page_table_touch(&frames->pages,
				 (uint32_t)(i / FRAME_MAP_PAGE_FRAMES));
		bit_set(frames->allocated, i, true);
	}
	return 0;
}

void frames_extended(struct frames *frames, uint64_t nr)
{
	uint64_t more = frames_reserve(nr) - frames->reserve;

	mutex_assert_held(&frames->core->lock);
	for (uint64_t i = frames->nr + more; i-- > frames->nr;)
		if (place_vector_push(&frames->ready, i) < 0)
			core_fail_nomem(frames->core);
	frames->nr_allocated += more;
	frames->reserve += more;
	frames->nr = nr;
	core_wake(frames->core, WORKER_JANITOR); /* to grow and to tell */
	core_wake(frames->core, WORKER_CLEANER);
	cond_broadcast(&frames->core->changed);
}

bool frames_have_spare(const struct frames *frames, uint64_t nr_coming)
{
	return frames->ready.len + nr_coming >
	       frames->reserve + FRAMES_SPARE_MAX + FRAMES_SPARE_MAX / 2;
}

void frames_retire_spare(struct frames *frames, bool idle, uint64_t nr_wanted)
{
	uint64_t keep = frames->reserve + FRAMES_SPARE_MAX + nr_wanted;

	mutex_assert_held(&frames->core->lock);
	/* what one interval took the next one takes again */
	if (!idle)
		keep += FRAMES_SPARE_MAX + frames->nr_taken;
	frames->nr_taken = 0;
	while (frames->ready.len > keep) {
		uint64_t place = frames->ready.ptr[frames->ready.len - 1];

		if (place_vector_push(&frames->retiring, place) < 0)
			return; /* they stay allocated, which is no error */
		frames->ready.len--;
		page_table_touch(&frames->pages,
				 (uint32_t)(place / FRAME_MAP_PAGE_FRAMES));
		bit_set(frames->allocated, place, false);
		frames->nr_allocated--;
		bit_set(frames->used, place, true); /* until it is punched */
	}
}

void frames_cut(struct frames *frames)
{
	struct place_vector empty = frames->retired;

	mutex_assert_held(&frames->core->lock);
	assert(frames->retired.len == 0);
	frames->retired = frames->retiring;
	frames->retiring = empty;
	frames->scan = 0;
}

void frames_punch_forgotten(struct frames *frames)
{
	/* nobody is served meanwhile, and a host may take long for each */
	uint64_t deadline_ms = monotonic_ms() + FRAMES_FORGOTTEN_MS;
	uint64_t nr = 0;

	/* in the order in which the grower took them, see frames.scan */
	for (uint64_t place = 0;
	     place < frames->nr && nr < FRAMES_FORGOTTEN_MAX &&
	     monotonic_ms() < deadline_ms;
	     place += nr_passed_over(frames, place)) {
		if (bit_get(frames->allocated, place) ||
		    bit_get(frames->used, place))
			continue;
		(void)backend_free(frames->core->be, place,
				   NULL); /* best effort */
		nr++;
	}
}

void frames_punch_retired(struct frames *frames)
{
	/* only the checkpoint driver touches the vector between two cuts */
	for (size_t i = 0; i < frames->retired.len; i++)
		(void)backend_free(frames->core->be, frames->retired.ptr[i],
				   NULL); /* best effort */
	mutex_lock(&frames->core->lock);
	if (frames->retired.len > 0) /* the host has room for these at least */
		frames->retry_at_ms = 0;
	for (size_t i = 0; i < frames->retired.len; i++)
		bit_set(frames->used, frames->retired.ptr[i], false);
	frames->retired.len = 0;
	core_wake(frames->core, WORKER_JANITOR); /* to grow */
	cond_broadcast(&frames->core->changed);
	mutex_unlock(&frames->core->lock);
}
