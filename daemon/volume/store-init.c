/* SPDX-License-Identifier: BSD-2-Clause */
/* Making a store: the first checkpoint of an empty one. */
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "store.h"

static int make_uuid(uint8_t ret[16], struct error *err)
{
	static const uint8_t zero[16];

	if (memcmp(ret, zero, sizeof(zero)) != 0)
		return 0;
	if (getrandom(ret, 16, 0) != 16)
		return error_set(err, EIO, "no random numbers");
	ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x40); /* RFC 9562, version 4 */
	ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80);
	return 0;
}

#define FIRST_FRAMES 4u

/* The reserve is allocated now and never punched. */
static int allocate_reserve(struct store *store, struct error *err)
{
	/* and what the first checkpoint and the first log take */
	uint64_t want = store->frames.reserve + FIRST_FRAMES;
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < want; i++)
		r = frames_grow(&store->frames, false, err);
	return r;
}

static int first_checkpoint(struct store *store, struct error *err)
{
	int r;

	r = log_init(&store->log, &store->core, &store->frames,
		     &store->segments, NULL, LOG_BUFFERS_DEFAULT, err);
	if (r == 0)
		r = log_start(&store->log, 1, 0, 0, err);
	if (r < 0)
		return r;
	mutex_lock(&store->admin);
	r = checkpoint_run(store, err);
	mutex_unlock(&store->admin);
	return r;
}

/*
 * Segments as large as leaves a store this many of them: what it keeps free,
 * has open and sets aside is a number of segments.
 */
#define FRAMES_WANTED 2048u
#define SEGMENT_SHIFT_WANTED 20 /* 1 MiB; smaller ones make writes small */

uint64_t store_capacity_min(void)
{
	return backend_frame_offset(STORE_FRAMES_MIN, SEGMENT_SHIFT_WANTED);
}

uint64_t store_capacity_max(void)
{
	return frames_capacity_max(SEGMENT_SHIFT_MAX);
}

static unsigned int choose_shift(uint64_t capacity)
{
	unsigned int shift = SEGMENT_SHIFT_MAX;

	while (shift > SEGMENT_SHIFT_WANTED &&
	       capacity >> shift < FRAMES_WANTED)
		shift--;
	return shift;
}

int store_init(struct backend *be, const struct store_init_options *options,
	       struct error *err)
{
	struct store_open_options open_options = {0};
	unsigned int shift = options->segment_shift
				     ? options->segment_shift
				     : choose_shift(options->capacity);
	struct superblock sb = {.segment_shift = shift,
				.capacity = options->capacity,
				.open_incarnation = 1,
				.segno_bound = 1 + SEGNO_RESERVATION};
	struct store *store;
	int r;

	if (shift < SEGMENT_SHIFT_MIN || shift > SEGMENT_SHIFT_MAX)
		return error_set(err, EINVAL, "segment shift %u", shift);
	if (backend_nr_frames(options->capacity, shift) < STORE_FRAMES_MIN)
		return error_set(err, EINVAL,
				 "%" PRIu64 " bytes are too few for a store, "
				 "it takes at least %" PRIu64,
				 options->capacity,
				 backend_frame_offset(STORE_FRAMES_MIN, shift));
	if (options->capacity > frames_capacity_max(shift))
		return error_set(err, EINVAL,
				 "%" PRIu64 " bytes are too many for a store, "
				 "it takes at most %" PRIu64,
				 options->capacity, frames_capacity_max(shift));
	memcpy(sb.uuid, options->uuid, sizeof(sb.uuid));
	r = make_uuid(sb.uuid, err);
	if (r < 0)
		return r;
	be->segment_shift = shift;
	be->nr_frames = backend_nr_frames(options->capacity, shift);
	r = store_new(be, &sb, &open_options, &store, err);
	if (r < 0)
		return r;
	store->core.next_segno = 1;
	store->core.segno_bound = sb.segno_bound;
	r = allocate_reserve(store, err);
	if (r == 0)
		r = first_checkpoint(store, err);
	store_free(store, false);
	return r;
}
