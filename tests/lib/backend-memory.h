/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A back end in memory, for tests: faults on demand, and a recording from
 * which the disk as of a crash after any event can be rebuilt.
 *
 * Typical use:
 *  a) disk = memory_disk_create(capacity); be = backend_memory_open(disk);
 *     store_init(be, ...); backend_close(be); open it again ...
 *     memory_disk_put(disk);
 *  b) memory_disk_fault(disk, MEMORY_SYNC, 3, EIO, true);
 *  c) memory_disk_record(disk); run something;
 *     for each event k and policy:
 *       crashed = memory_disk_rebuild(disk, k, policy, seed);
 *
 * The disk outlives its back ends, as a medium outlives its host.  Each
 * operation takes effect at one instant.  Thread-safe (LOCK_BACKEND), but
 * for record and rebuild, which want the disk idle.
 */
#ifndef LIB_BACKEND_MEMORY_H
#define LIB_BACKEND_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend.h"

struct memory_disk;
struct event; /* memory-recording.h */

enum memory_op {
	MEMORY_READ,
	MEMORY_WRITE,
	MEMORY_SYNC,
	MEMORY_ALLOCATE,
	MEMORY_FREE,
	MEMORY_SUPER_READ,
	MEMORY_SUPER_WRITE,
	MEMORY_GROW,
	NR_MEMORY_OPS,
};

/*
 * What a crash does to the events (writes, frees, allocations) that no
 * completed sync covers.
 */
enum crash_policy {
	CRASH_KEEP_ALL,
	CRASH_KEEP_NONE,
	CRASH_DROP,	/* each write kept or dropped by chance */
	CRASH_TEAR,	/* kept, dropped, or torn at 512 bytes, by chance */
	CRASH_REORDER,	/* the latest is there, earlier ones by chance */
	CRASH_GARBAGE,	/* as DROP; sectors of the last one hold garbage */
	CRASH_LOSE_ONE, /* all kept but one, number seed % nr */
	CRASH_KEEP_ONE, /* none kept but that one */
	NR_CRASH_POLICIES,
};

/*
 * A zeroed disk of @capacity bytes, one reference.  It grows like a file.
 * Aborts without memory.
 */
struct memory_disk *memory_disk_create(uint64_t capacity);
struct memory_disk *memory_disk_get(struct memory_disk *disk);
void memory_disk_put(struct memory_disk *disk);

/* A back end on @disk, which it holds a reference to.  Never NULL. */
struct backend *backend_memory_open(struct memory_disk *disk);

/*
 * From now on the @nr-th operation @op (1: the next one) fails with the
 * positive errno @error_code, without effect; with @forever each later one
 * too.  @nr 0: no fault.
 */
void memory_disk_fault(struct memory_disk *disk, enum memory_op op, uint64_t nr,
		       int error_code, bool forever);

/* While suspended, operations neither count down nor fail. */
void memory_disk_suspend_faults(struct memory_disk *disk, bool suspended);
/* How many operations have failed by a fault. */
uint64_t memory_disk_nr_faults(struct memory_disk *disk);

/* Hold up every @op from now on, before it takes effect, until resumed. */
void memory_disk_pause(struct memory_disk *disk, enum memory_op op);
void memory_disk_resume(struct memory_disk *disk, enum memory_op op);
/* Wait until an operation is held up. */
void memory_disk_wait_paused(struct memory_disk *disk, enum memory_op op);

/* At most @nr frames are ever allocated at once; then allocate: -ENOSPC. */
void memory_disk_limit_frames(struct memory_disk *disk, uint64_t nr);

/* How often an operation was called, failed ones included. */
uint64_t memory_disk_count(struct memory_disk *disk, enum memory_op op);
/* Writes to frames that had not been allocated. */
uint64_t memory_disk_unallocated_writes(struct memory_disk *disk);

/* Flip the bits of @mask in one byte of a frame, or of a superblock copy. */
void memory_disk_damage(struct memory_disk *disk, uint64_t place,
			uint32_t offset, uint8_t mask);
void memory_disk_damage_super(struct memory_disk *disk, unsigned int copy,
			      uint32_t offset, uint8_t mask);

/* Start a recording; what the disk holds now counts as synced. */
void memory_disk_record(struct memory_disk *disk);
/* Events so far: writes, super writes, syncs, frees, allocations, growth. */
uint64_t memory_disk_nr_events(struct memory_disk *disk);
/* One of them; it stays where it is until the next one is recorded. */
const struct event *memory_disk_event(struct memory_disk *disk, uint64_t event);
/* How many of the first @nr_events no completed sync covers. */
uint64_t memory_disk_nr_unsynced(struct memory_disk *disk, uint64_t nr_events);
/* One line that names an event, for messages. */
void memory_disk_print_event(struct memory_disk *disk, uint64_t event,
			     char *ret, size_t size);

/*
 * A new disk as of a crash after the first @nr_events events of @disk's
 * recording (0: as recording began).  What the last completed sync covered
 * is there; of the rest @policy keeps some, chosen by @seed.  Shares memory
 * with the recording: cheap.
 */
struct memory_disk *memory_disk_rebuild(struct memory_disk *disk,
					uint64_t nr_events,
					enum crash_policy policy,
					uint64_t seed);

/*
 * What a rebuilt disk kept and lost, as a number: the same for two rebuilds
 * of one recording and event that left the same.
 */
uint64_t memory_disk_signature(struct memory_disk *disk);

const char *crash_policy_name(enum crash_policy policy);

#endif
