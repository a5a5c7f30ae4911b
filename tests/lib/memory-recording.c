/* SPDX-License-Identifier: BSD-2-Clause */
/* What was done to a medium, and what a crash leaves of it. */
#include "memory-recording.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "random.h"

#define SECTOR 512u

void recording_done(struct recording *recording)
{
	for (size_t i = 0; i < recording->events.len; i++) {
		free(recording->events.ptr[i].data);
		image_free(recording->events.ptr[i].image);
	}
	events_done(&recording->events);
	image_free(recording->start);
	recording->start = NULL;
}

void recording_start(struct recording *recording, const struct image *image)
{
	recording_done(recording);
	recording->start = image_dup(image);
}

struct event *recording_add(struct recording *recording, enum memory_op op,
			    uint64_t place)
{
	struct event event = {.op = op, .place = place};
	int r;

	if (!recording->start)
		return NULL;
	r = events_push(&recording->events, event);
	assert(r == 0);
	return &recording->events.ptr[recording->events.len - 1];
}

bool event_is_write(const struct event *event)
{
	return event->op == MEMORY_WRITE || event->op == MEMORY_SUPER_WRITE;
}

/* ---- rebuilding ---- */

enum fate {
	FATE_DROP,
	FATE_KEEP,
	FATE_PREFIX,  /* the first sectors arrived */
	FATE_SECTORS, /* some sectors arrived */
	FATE_GARBAGE, /* the same, and some hold garbage */
};

struct crash {
	enum crash_policy policy;
	uint64_t first;	 /* event that no sync covers */
	uint64_t last;	 /* write among those, or beyond them */
	uint64_t chosen; /* LOSE_ONE, KEEP_ONE: which */
	struct rng rng;
	uint64_t signature;
};

static enum fate choose_fate(struct crash *crash, uint64_t event)
{
	bool kept = rng_one_in(&crash->rng, 2);
	bool last = event == crash->last, chosen = event == crash->chosen;

	switch (crash->policy) {
	case CRASH_KEEP_ALL:
		return FATE_KEEP;
	case CRASH_KEEP_NONE:
		return FATE_DROP;
	case CRASH_TEAR:
		return (enum fate)rng_below(&crash->rng, FATE_GARBAGE);
	case CRASH_REORDER:
		return last || kept ? FATE_KEEP : FATE_DROP;
	case CRASH_GARBAGE:
		return last ? FATE_GARBAGE : kept ? FATE_KEEP : FATE_DROP;
	case CRASH_LOSE_ONE:
		return chosen ? FATE_DROP : FATE_KEEP;
	case CRASH_KEEP_ONE:
		return chosen ? FATE_KEEP : FATE_DROP;
	default:
		return kept ? FATE_KEEP : FATE_DROP;
	}
}

static void sign(struct crash *crash, uint64_t value)
{
	uint64_t pair[2] = {crash->signature, value};

	crash->signature = checksum64(pair, sizeof(pair));
}

static void apply_sectors(uint8_t *to, const struct event *event,
			  enum fate fate, struct rng *rng)
{
	uint32_t nr = event->length / SECTOR;
	uint32_t prefix = (uint32_t)rng_below(rng, nr + 1);

	for (uint32_t i = 0; i < nr; i++) {
		uint8_t *sector = to + i * SECTOR;
		uint64_t dice = rng_below(rng, 4);

		if (fate == FATE_GARBAGE && dice == 3)
			for (uint32_t b = 0; b < SECTOR; b++)
				sector[b] = (uint8_t)rng_next(rng);
		else if (fate == FATE_KEEP ||
			 (fate == FATE_PREFIX && i < prefix) ||
			 (fate >= FATE_SECTORS && dice % 2 == 0))
			memcpy(sector, event->data + i * SECTOR, SECTOR);
	}
}

/* The bytes of @event go to @to, which belongs to the image. */
static void apply_bytes(struct crash *crash, const struct event *event,
			enum fate fate, uint8_t *to)
{
	apply_sectors(to, event, fate, &crash->rng);
	if (fate != FATE_KEEP)
		sign(crash, checksum64(to, event->length));
}

static void apply_event(struct image *image, const struct event *event,
			enum fate fate, struct crash *crash)
{
	bool zeros;

	sign(crash, fate);
	if (fate == FATE_DROP)
		return;
	switch (event->op) {
	case MEMORY_SUPER_WRITE:
		apply_bytes(crash, event, fate,
			    (uint8_t *)&image->super[event->place]);
		break;
	case MEMORY_FREE:
		zeros = rng_one_in(&crash->rng, 2);
		sign(crash, zeros);
		image_free_frame(image, event->place, zeros);
		break;
	case MEMORY_ALLOCATE:
	case MEMORY_WRITE:
		image->allocated[event->place] = true;
		if (event->data)
			apply_bytes(crash, event, fate,
				    image_frame(image, event->place) +
					    event->offset);
		break;
	case MEMORY_GROW:
		image->bytes = event->place;
		break;
	default:
		break;
	}
}

uint64_t recording_nr_unsynced(const struct recording *recording,
			       uint64_t nr_events)
{
	const struct events *events = &recording->events;
	uint64_t nr = 0;

	assert(recording->start && nr_events <= events->len);
	while (nr < nr_events && !events->ptr[nr_events - nr - 1].image)
		nr++;
	return nr;
}

static struct crash crash_plan(const struct events *events, uint64_t nr_events,
			       uint64_t nr_unsynced, enum crash_policy policy,
			       uint64_t seed)
{
	struct crash crash = {
		.policy = policy,
		.first = nr_events - nr_unsynced,
		.last = nr_events,
		.rng = {seed},
	};

	for (uint64_t i = crash.first; i < nr_events; i++)
		if (event_is_write(&events->ptr[i]))
			crash.last = i;
	if (nr_unsynced)
		crash.chosen = crash.first + seed % nr_unsynced;
	return crash;
}

uint64_t recording_rebuild(const struct recording *recording,
			   const struct image *now, uint64_t nr_events,
			   enum crash_policy policy, uint64_t seed,
			   struct image *ret)
{
	const struct events *events = &recording->events;
	uint64_t nr = recording_nr_unsynced(recording, nr_events);
	struct crash crash = crash_plan(events, nr_events, nr, policy, seed);

	image_copy(ret, crash.first ? events->ptr[crash.first - 1].image
				    : recording->start);
	if (!ret->frames && now->frames)
		image_size(ret, now->nr_frames, now->segment_bytes);
	if (ret->frames)
		image_extend(ret, now->nr_frames);
	for (uint64_t i = crash.first; i < nr_events; i++)
		apply_event(ret, &events->ptr[i], choose_fate(&crash, i),
			    &crash);
	return crash.signature;
}

const char *crash_policy_name(enum crash_policy policy)
{
	static const char *const names[NR_CRASH_POLICIES] = {
		"keep-all", "keep-none", "drop",     "tear",
		"reorder",  "garbage",	 "lose-one", "keep-one",
	};

	return names[policy];
}
