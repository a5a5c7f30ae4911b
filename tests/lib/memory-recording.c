/* SPDX-License-Identifier: BSD-2-Clause */
/* What was done to a medium, and what a crash leaves of it. */
#include "memory-recording.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

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

static enum fate choose_fate(enum crash_policy policy, bool last,
			     struct rng *rng)
{
	bool kept = rng_one_in(rng, 2);

	switch (policy) {
	case CRASH_KEEP_ALL:
		return FATE_KEEP;
	case CRASH_KEEP_NONE:
		return FATE_DROP;
	case CRASH_TEAR:
		return (enum fate)rng_below(rng, FATE_GARBAGE);
	case CRASH_REORDER:
		return last || kept ? FATE_KEEP : FATE_DROP;
	case CRASH_GARBAGE:
		return last ? FATE_GARBAGE : kept ? FATE_KEEP : FATE_DROP;
	default:
		return kept ? FATE_KEEP : FATE_DROP;
	}
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

static void apply_event(struct image *image, const struct event *event,
			enum fate fate, struct rng *rng)
{
	if (fate == FATE_DROP)
		return;
	switch (event->op) {
	case MEMORY_SUPER_WRITE:
		apply_sectors((uint8_t *)&image->super[event->place], event,
			      fate, rng);
		break;
	case MEMORY_FREE:
		image_free_frame(image, event->place, rng_one_in(rng, 2));
		break;
	case MEMORY_ALLOCATE:
	case MEMORY_WRITE:
		image->allocated[event->place] = true;
		if (event->data)
			apply_sectors(image_frame(image, event->place) +
					      event->offset,
				      event, fate, rng);
		break;
	default:
		break;
	}
}

/* The events that no sync among the first @nr_events covers begin here. */
static uint64_t first_unsynced(const struct events *events, uint64_t nr_events)
{
	while (nr_events > 0 && !events->ptr[nr_events - 1].image)
		nr_events--;
	return nr_events;
}

static void apply_events(struct image *image, const struct events *events,
			 uint64_t first, uint64_t nr_events,
			 enum crash_policy policy, uint64_t seed)
{
	struct rng rng = {seed};
	uint64_t last = nr_events;

	for (uint64_t i = first; i < nr_events; i++)
		if (event_is_write(&events->ptr[i]))
			last = i;
	for (uint64_t i = first; i < nr_events; i++)
		apply_event(image, &events->ptr[i],
			    choose_fate(policy, i == last, &rng), &rng);
}

void recording_rebuild(const struct recording *recording,
		       const struct image *now, uint64_t nr_events,
		       enum crash_policy policy, uint64_t seed,
		       struct image *ret)
{
	const struct events *events = &recording->events;
	uint64_t first;

	assert(recording->start && nr_events <= events->len);
	first = first_unsynced(events, nr_events);
	image_copy(ret,
		   first ? events->ptr[first - 1].image : recording->start);
	if (!ret->frames && now->frames)
		image_size(ret, now->nr_frames, now->segment_bytes);
	apply_events(ret, events, first, nr_events, policy, seed);
}

const char *crash_policy_name(enum crash_policy policy)
{
	static const char *const names[NR_CRASH_POLICIES] = {
		"keep-all", "keep-none", "drop", "tear", "reorder", "garbage",
	};

	return names[policy];
}
