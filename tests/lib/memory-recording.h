/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was done to a medium since the recording began, as numbered events,
 * and the medium as of a crash after any of them.
 *
 * For each completed sync the image then durable is kept; a rebuild starts
 * from the last of them and applies only what came after.
 */
#ifndef LIB_MEMORY_RECORDING_H
#define LIB_MEMORY_RECORDING_H

#include "backend-memory.h"
#include "memory-image.h"
#include "vector.h"

struct event {
	enum memory_op op;
	uint64_t place; /* or the copy of a superblock, or bytes to grow to */
	uint32_t offset, length;
	uint8_t *data;	     /* of a write: malloc'ed */
	struct image *image; /* of a sync: what is durable */
};

DEFINE_VECTOR(events, struct event);

struct recording {
	struct image *start; /* NULL: nothing is recorded */
	struct events events;
};

/* Begin, or begin anew. */
void recording_start(struct recording *recording, const struct image *image);
void recording_done(struct recording *recording);

/* Add an event, which the caller completes; NULL: nothing is recorded. */
struct event *recording_add(struct recording *recording, enum memory_op op,
			    uint64_t place);
bool event_is_write(const struct event *event);
/* Of the first @nr_events, those that no sync among them covers. */
uint64_t recording_nr_unsynced(const struct recording *recording,
			       uint64_t nr_events);

/*
 * The image after the first @nr_events events and a crash; to be done().
 * @now lends its geometry: a recording may have begun without one.  Returns
 * its signature, see memory_disk_signature().
 */
uint64_t recording_rebuild(const struct recording *recording,
			   const struct image *now, uint64_t nr_events,
			   enum crash_policy policy, uint64_t seed,
			   struct image *ret);

#endif
