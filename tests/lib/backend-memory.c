/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A back end in memory, with faults and crash recording: the disk and its
 * operations.
 */
#include "backend-memory.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory-image.h"
#include "memory-recording.h"
#include "mutex.h"

struct fault {
	uint64_t countdown; /* 0: none */
	int code;
	bool forever;
};

struct memory_disk {
	atomic_uint refs;
	struct mutex lock; /* everything below; rank LOCK_BACKEND */
	struct cond changed;
	unsigned int segment_shift; /* 0: no frame was touched yet */
	struct image image;
	uint64_t nr_allocated, frames_limit, nr_unallocated_writes;
	uint64_t counts[NR_MEMORY_OPS];
	struct fault faults[NR_MEMORY_OPS];
	bool faults_suspended;
	uint64_t nr_faults;
	bool paused[NR_MEMORY_OPS];
	unsigned int nr_held_up[NR_MEMORY_OPS];
	struct recording recording;
	uint64_t signature; /* of a rebuild */
};

struct backend_memory {
	struct backend be; /* first */
	struct memory_disk *disk;
};

static const char *const op_names[NR_MEMORY_OPS] = {
	"read", "write",      "sync",	     "allocate",
	"free", "super-read", "super-write", "grow",
};

static void *must(void *p)
{
	if (!p) {
		fprintf(stderr, "backend-memory: out of memory\n");
		abort();
	}
	return p;
}

/* ---- the disk ---- */

struct memory_disk *memory_disk_create(uint64_t capacity)
{
	struct memory_disk *disk = must(calloc(1, sizeof(*disk)));

	atomic_init(&disk->refs, 1);
	disk->image.bytes = capacity;
	disk->frames_limit = UINT64_MAX;
	mutex_init(&disk->lock, LOCK_BACKEND);
	cond_init(&disk->changed);
	return disk;
}

struct memory_disk *memory_disk_get(struct memory_disk *disk)
{
	atomic_fetch_add(&disk->refs, 1);
	return disk;
}

void memory_disk_put(struct memory_disk *disk)
{
	if (!disk || atomic_fetch_sub(&disk->refs, 1) != 1)
		return;
	recording_done(&disk->recording);
	image_done(&disk->image);
	cond_done(&disk->changed);
	mutex_done(&disk->lock);
	free(disk);
}

/* The first access to a frame fixes the geometry. */
static void fix_geometry(struct memory_disk *disk, const struct backend *be)
	REQUIRES(disk->lock)
{
	if (disk->segment_shift == 0) {
		disk->segment_shift = be->segment_shift;
		image_size(
			&disk->image,
			backend_nr_frames(disk->image.bytes, be->segment_shift),
			(size_t)1 << be->segment_shift);
	}
	assert(disk->segment_shift == be->segment_shift);
	assert(be->nr_frames <= disk->image.nr_frames);
}

/* Count the operation, wait while it is paused, fail it if it is to. */
static int enter(struct memory_disk *disk, enum memory_op op, struct error *err)
	REQUIRES(disk->lock)
{
	struct fault *fault = &disk->faults[op];

	disk->counts[op]++;
	disk->nr_held_up[op]++;
	cond_broadcast(&disk->changed);
	while (disk->paused[op])
		cond_wait(&disk->changed, &disk->lock);
	disk->nr_held_up[op]--;
	if (disk->faults_suspended || fault->countdown == 0 ||
	    --fault->countdown > 0)
		return 0;
	fault->countdown = fault->forever ? 1 : 0;
	disk->nr_faults++;
	return error_set(err, fault->code, "injected fault: %s: %s",
			 op_names[op], strerror(fault->code));
}

/* ---- the back end ---- */

static struct memory_disk *disk_of(struct backend *be)
{
	return ((struct backend_memory *)be)->disk;
}

static int read_locked(struct memory_disk *disk, struct backend *be,
		       uint64_t place, uint32_t offset, void *ret,
		       uint32_t length, struct error *err) REQUIRES(disk->lock)
{
	const uint8_t *bytes;
	int r = enter(disk, MEMORY_READ, err);

	if (r < 0)
		return r;
	fix_geometry(disk, be);
	bytes = image_peek(&disk->image, place);
	if (bytes)
		memcpy(ret, bytes + offset, length);
	else
		memset(ret, 0, length);
	return 0;
}

static int memory_read(struct backend *be, uint64_t place, uint32_t offset,
		       void *ret, uint32_t length, unsigned int flags,
		       struct error *err)
{
	struct memory_disk *disk = disk_of(be);
	int r;

	mutex_lock(&disk->lock);
	r = read_locked(disk, be, place, offset, ret, length, err);
	mutex_unlock(&disk->lock);
	return r;
}

/* Account for a frame that comes into use. */
static int allocate_frame(struct memory_disk *disk, uint64_t place,
			  struct error *err) REQUIRES(disk->lock)
{
	if (disk->image.allocated[place])
		return 0;
	if (disk->nr_allocated >= disk->frames_limit)
		return error_set(err, ENOSPC, "no room for frame %" PRIu64,
				 place);
	disk->image.allocated[place] = true;
	disk->nr_allocated++;
	return 0;
}

static void gather(uint8_t *to, const struct iovec *iov, int nr_iov)
{
	for (int i = 0; i < nr_iov; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
}

static int write_locked(struct memory_disk *disk, struct backend *be,
			uint64_t place, uint32_t offset,
			const struct iovec *iov, int nr_iov, struct error *err)
	REQUIRES(disk->lock)
{
	struct event *event;
	int r = enter(disk, MEMORY_WRITE, err);

	if (r < 0)
		return r;
	fix_geometry(disk, be);
	if (!disk->image.allocated[place])
		disk->nr_unallocated_writes++;
	r = allocate_frame(disk, place, err);
	if (r < 0)
		return r;
	gather(image_frame(&disk->image, place) + offset, iov, nr_iov);
	event = recording_add(&disk->recording, MEMORY_WRITE, place);
	if (event) {
		event->offset = offset;
		for (int i = 0; i < nr_iov; i++)
			event->length += (uint32_t)iov[i].iov_len;
		event->data = must(malloc(event->length + 1));
		gather(event->data, iov, nr_iov);
	}
	return 0;
}

static int memory_write(struct backend *be, uint64_t place, uint32_t offset,
			const struct iovec *iov, int nr_iov, struct error *err)
{
	struct memory_disk *disk = disk_of(be);
	int r;

	mutex_lock(&disk->lock);
	r = write_locked(disk, be, place, offset, iov, nr_iov, err);
	mutex_unlock(&disk->lock);
	return r;
}

static int memory_sync(struct backend *be, struct error *err)
{
	struct memory_disk *disk = disk_of(be);
	struct event *event;
	int r;

	mutex_lock(&disk->lock);
	r = enter(disk, MEMORY_SYNC, err);
	event = r < 0 ? NULL : recording_add(&disk->recording, MEMORY_SYNC, 0);
	if (event)
		event->image = image_dup(&disk->image);
	mutex_unlock(&disk->lock);
	return r;
}

static int allocate_locked(struct memory_disk *disk, struct backend *be,
			   uint64_t place, bool zero_fill, struct error *err)
	REQUIRES(disk->lock)
{
	struct event *event;
	int r = enter(disk, MEMORY_ALLOCATE, err);

	if (r < 0)
		return r;
	fix_geometry(disk, be);
	r = allocate_frame(disk, place, err);
	if (r < 0)
		return r;
	event = recording_add(&disk->recording, MEMORY_ALLOCATE, place);
	if (!zero_fill)
		return 0;
	memset(image_frame(&disk->image, place), 0, disk->image.segment_bytes);
	if (event) {
		event->length = (uint32_t)disk->image.segment_bytes;
		event->data = must(calloc(1, event->length));
	}
	return 0;
}

static int memory_allocate(struct backend *be, uint64_t place, bool zero_fill,
			   struct error *err)
{
	struct memory_disk *disk = disk_of(be);
	int r;

	mutex_lock(&disk->lock);
	r = allocate_locked(disk, be, place, zero_fill, err);
	mutex_unlock(&disk->lock);
	return r;
}

static int memory_free(struct backend *be, uint64_t place, struct error *err)
{
	struct memory_disk *disk = disk_of(be);
	int r;

	mutex_lock(&disk->lock);
	r = enter(disk, MEMORY_FREE, err);
	if (r == 0)
		fix_geometry(disk, be);
	if (r == 0 && disk->image.allocated[place]) {
		disk->nr_allocated--;
		image_free_frame(&disk->image, place, false);
		(void)recording_add(&disk->recording, MEMORY_FREE, place);
	}
	mutex_unlock(&disk->lock);
	return r;
}

static void memory_will_read(struct backend *be, uint64_t place,
			     uint32_t offset, uint32_t length)
{
}

static int memory_drop_cache(struct backend *be, uint64_t place,
			     struct error *err)
{
	return 0; /* there is no cache */
}

static int memory_super_read(struct backend *be, unsigned int copy,
			     struct disk_superblock *ret, struct error *err)
{
	struct memory_disk *disk = disk_of(be);
	int r;

	mutex_lock(&disk->lock);
	r = enter(disk, MEMORY_SUPER_READ, err);
	if (r == 0)
		*ret = disk->image.super[copy];
	mutex_unlock(&disk->lock);
	return r;
}

static int memory_super_write(struct backend *be, unsigned int copy,
			      const struct disk_superblock *super,
			      struct error *err)
{
	struct memory_disk *disk = disk_of(be);
	struct event *event;
	int r;

	mutex_lock(&disk->lock);
	r = enter(disk, MEMORY_SUPER_WRITE, err);
	if (r == 0) {
		disk->image.super[copy] = *super;
		event = recording_add(&disk->recording, MEMORY_SUPER_WRITE,
				      copy);
		if (event) {
			event->length = sizeof(*super);
			event->data = must(malloc(sizeof(*super)));
			memcpy(event->data, super, sizeof(*super));
		}
	}
	mutex_unlock(&disk->lock);
	return r;
}

static int memory_grow(struct backend *be, uint64_t capacity, struct error *err)
{
	struct memory_disk *disk = disk_of(be);
	int r;

	mutex_lock(&disk->lock);
	r = enter(disk, MEMORY_GROW, err);
	if (r == 0 && disk->image.bytes < capacity) {
		fix_geometry(disk, be);
		disk->image.bytes = capacity;
		image_extend(&disk->image,
			     backend_nr_frames(capacity, be->segment_shift));
		(void)recording_add(&disk->recording, MEMORY_GROW, capacity);
	}
	mutex_unlock(&disk->lock);
	return r;
}

/* Not recorded: after a crash the disk may be longer. */
static void memory_shrink(struct backend *be, uint64_t size_bytes)
{
	struct memory_disk *disk = disk_of(be);

	mutex_lock(&disk->lock);
	if (disk->image.bytes > size_bytes)
		disk->image.bytes = size_bytes;
	mutex_unlock(&disk->lock);
}

static void memory_stat(struct backend *be, struct backend_stat *ret)
{
	struct memory_disk *disk = disk_of(be);

	mutex_lock(&disk->lock);
	*ret = (struct backend_stat){
		.size_bytes = disk->image.bytes,
		.allocated_bytes =
			disk->nr_allocated * disk->image.segment_bytes,
	};
	mutex_unlock(&disk->lock);
}

static void memory_close(struct backend *be)
{
	memory_disk_put(disk_of(be));
	free(be);
}

static const struct backend_ops memory_ops = {
	.close = memory_close,
	.read = memory_read,
	.write = memory_write,
	.sync = memory_sync,
	.allocate = memory_allocate,
	.free = memory_free,
	.drop_cache = memory_drop_cache,
	.will_read = memory_will_read,
	.super_read = memory_super_read,
	.super_write = memory_super_write,
	.grow = memory_grow,
	.shrink = memory_shrink,
	.stat = memory_stat,
};

struct backend *backend_memory_open(struct memory_disk *disk)
{
	struct backend_memory *m = must(calloc(1, sizeof(*m)));

	m->be.ops = &memory_ops;
	m->disk = memory_disk_get(disk);
	return &m->be;
}

/* ---- faults ---- */

void memory_disk_fault(struct memory_disk *disk, enum memory_op op, uint64_t nr,
		       int error_code, bool forever)
{
	mutex_lock(&disk->lock);
	disk->faults[op] = (struct fault){nr, error_code, forever};
	mutex_unlock(&disk->lock);
}

void memory_disk_suspend_faults(struct memory_disk *disk, bool suspended)
{
	mutex_lock(&disk->lock);
	disk->faults_suspended = suspended;
	mutex_unlock(&disk->lock);
}

uint64_t memory_disk_nr_faults(struct memory_disk *disk)
{
	uint64_t ret;

	mutex_lock(&disk->lock);
	ret = disk->nr_faults;
	mutex_unlock(&disk->lock);
	return ret;
}

static void set_paused(struct memory_disk *disk, enum memory_op op, bool paused)
{
	mutex_lock(&disk->lock);
	disk->paused[op] = paused;
	cond_broadcast(&disk->changed);
	mutex_unlock(&disk->lock);
}

void memory_disk_pause(struct memory_disk *disk, enum memory_op op)
{
	set_paused(disk, op, true);
}

void memory_disk_resume(struct memory_disk *disk, enum memory_op op)
{
	set_paused(disk, op, false);
}

void memory_disk_wait_paused(struct memory_disk *disk, enum memory_op op)
{
	mutex_lock(&disk->lock);
	while (disk->nr_held_up[op] == 0)
		cond_wait(&disk->changed, &disk->lock);
	mutex_unlock(&disk->lock);
}

void memory_disk_limit_frames(struct memory_disk *disk, uint64_t nr)
{
	mutex_lock(&disk->lock);
	disk->frames_limit = nr;
	mutex_unlock(&disk->lock);
}

uint64_t memory_disk_count(struct memory_disk *disk, enum memory_op op)
{
	uint64_t ret;

	mutex_lock(&disk->lock);
	ret = disk->counts[op];
	mutex_unlock(&disk->lock);
	return ret;
}

uint64_t memory_disk_unallocated_writes(struct memory_disk *disk)
{
	uint64_t ret;

	mutex_lock(&disk->lock);
	ret = disk->nr_unallocated_writes;
	mutex_unlock(&disk->lock);
	return ret;
}

void memory_disk_damage(struct memory_disk *disk, uint64_t place,
			uint32_t offset, uint8_t mask)
{
	mutex_lock(&disk->lock);
	image_frame(&disk->image, place)[offset] ^= mask;
	mutex_unlock(&disk->lock);
}

void memory_disk_damage_super(struct memory_disk *disk, unsigned int copy,
			      uint32_t offset, uint8_t mask)
{
	mutex_lock(&disk->lock);
	((uint8_t *)&disk->image.super[copy])[offset] ^= mask;
	mutex_unlock(&disk->lock);
}

/* ---- recording ---- */

void memory_disk_record(struct memory_disk *disk)
{
	mutex_lock(&disk->lock);
	recording_start(&disk->recording, &disk->image);
	mutex_unlock(&disk->lock);
}

uint64_t memory_disk_nr_events(struct memory_disk *disk)
{
	uint64_t ret;

	mutex_lock(&disk->lock);
	ret = disk->recording.events.len;
	mutex_unlock(&disk->lock);
	return ret;
}

const struct event *memory_disk_event(struct memory_disk *disk, uint64_t event)
{
	const struct event *ret;

	mutex_lock(&disk->lock);
	assert(event < disk->recording.events.len);
	ret = &disk->recording.events.ptr[event];
	mutex_unlock(&disk->lock);
	return ret;
}

uint64_t memory_disk_nr_unsynced(struct memory_disk *disk, uint64_t nr_events)
{
	uint64_t ret;

	mutex_lock(&disk->lock);
	ret = recording_nr_unsynced(&disk->recording, nr_events);
	mutex_unlock(&disk->lock);
	return ret;
}

void memory_disk_print_event(struct memory_disk *disk, uint64_t event,
			     char *ret, size_t size)
{
	const struct event *e;

	mutex_lock(&disk->lock);
	assert(event < disk->recording.events.len);
	e = &disk->recording.events.ptr[event];
	(void)snprintf(ret, size,
		       "event %" PRIu64 ": %s place %" PRIu64 " offset %" PRIu32
		       " length %" PRIu32,
		       event, op_names[e->op], e->place, e->offset, e->length);
	mutex_unlock(&disk->lock);
}

struct memory_disk *memory_disk_rebuild(struct memory_disk *disk,
					uint64_t nr_events,
					enum crash_policy policy, uint64_t seed)
{
	struct memory_disk *ret = memory_disk_create(disk->image.bytes);

	mutex_lock(&disk->lock);
	ret->signature =
		recording_rebuild(&disk->recording, &disk->image, nr_events,
				  policy, seed, &ret->image);
	ret->segment_shift = disk->segment_shift;
	mutex_unlock(&disk->lock);
	for (uint64_t i = 0; i < ret->image.nr_frames; i++)
		ret->nr_allocated += ret->image.allocated[i];
	return ret;
}

uint64_t memory_disk_signature(struct memory_disk *disk)
{
	return disk->signature;
}
