/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all engine modules share: the core lock, the store's geometry and
 * identity, the fail-stop state and the checkpoint generation.
 *
 * core.lock protects the open batch, map nodes, counts, segments, frames and
 * volumes.  It is held for one leaf's work and never across I/O.
 */
#ifndef STORE_CORE_H
#define STORE_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "backend.h"
#include "error.h"
#include "mutex.h"
#include "tail-file.h"

/* The workers (daemon/volume/workers.c); each sleeps until it is woken. */
enum worker {
	WORKER_WRITER,	/* a batch is full, or durable_seq is to be told */
	WORKER_JANITOR, /* frames are wanted, the reaper has work */
	WORKER_CLEANER, /* frames get scarce */
	WORKER_DRIVER,	/* a checkpoint is due, a scratch view is idle */
	WORKER_WATCHER, /* something will be written */
	NR_WORKERS,
};

struct core {
	struct mutex lock; /* rank LOCK_CORE */
	/* a request may go on: batches written, space, fail-stop */
	struct cond changed;
	struct cond work[NR_WORKERS]; /* one worker sleeps on each */
	struct backend *be;
	uint8_t uuid[16];
	unsigned int segment_shift;
	uint32_t nr_slots; /* of a segment, header included */
	uint64_t incarnation;
	bool read_only; /* nothing is ever written */
	bool has_workers;

	/* guarded by lock */
	uint64_t next_segno;
	uint64_t segno_bound;
	/*
	 * What a running checkpoint freezes has a generation below this one;
	 * what is dirty for the next has this one.
	 */
	uint64_t generation;
	/*
	 * META records of unwritten_segno from this offset on have an address,
	 * but are in the checkpoint's memory only; segno 0: there are none.
	 */
	uint64_t unwritten_segno;
	uint32_t unwritten_offset;
	int failed; /* errno: the store is fail-stop; 0: it is not */
	struct error failure;
};

/*
 * Make the store fail-stop (I12) because of @err; the first failure is kept.
 * Wakes all waiters.  Lock: core held.
 */
void core_fail(struct core *core, const struct error *err) REQUIRES(core->lock);
/* The same for an allocation that failed in the middle of a change. */
void core_fail_nomem(struct core *core) REQUIRES(core->lock);

/* Most payload blocks of one batch: the limit, or what a segment holds. */
uint32_t core_batch_payload_max(const struct core *core);

/* There is work for @worker.  Cheap when it is awake or does not exist. */
void core_wake(struct core *core, enum worker worker);

/* 0, or -EIO with the reason once the store is fail-stop.  Core held. */
int core_check(struct core *core, struct error *err) REQUIRES(core->lock);

/* Can the META record at @offset of @segno be read?  Core held. */
bool core_record_is_written(const struct core *core, uint64_t segno,
			    uint32_t offset) REQUIRES(core->lock);

/* A segno that was never used (I1), 0 when the bound is reached. */
uint64_t core_new_segno(struct core *core) REQUIRES(core->lock);

/* Whose tail files are this store's. */
void core_tail_owner(const struct core *core, struct tail_owner *ret);

#endif
