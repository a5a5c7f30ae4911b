/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A workload that runs on a recorded disk and on the model at once.
 *
 * It keeps the model's hash after every change that a crash may leave as the
 * last one: after each verb, and after each block of a write, zero or trim
 * (the engine cuts those into pieces, which are logged in rising order).  A
 * store recovered from a crash after @k events must have one of the hashes
 * that workload_window() returns.
 */
#ifndef CRASH_WORKLOAD_H
#define CRASH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend-memory.h"
#include "engine.h"
#include "error.h"
#include "model-volume.h"
#include "random.h"
#include "vector.h"

DEFINE_VECTOR(hashes, uint64_t);

struct step {
	char what[96];
	uint64_t events_before, events_after;
	size_t last_state; /* index of the hash it ends with */
	bool durable;	   /* everything up to here, once it has returned */
};

DEFINE_VECTOR(steps, struct step);

struct workload {
	struct memory_disk *disk;
	struct store *store;
	struct model *model;
	struct hashes states;
	struct steps steps;
	struct rng rng;
	struct store_open_options options;
	bool may_fail; /* a failure is noted here and does not end the program
			*/
	bool stopped;  /* the store has: no operation does anything now */
	int failure;   /* negative errno of the last operation */
	struct error err;
	/* around what the store does for an operation; may be NULL */
	void (*inside)(struct workload *w, bool enters);
	uint64_t nr_refused;	 /* operations */
	uint64_t nr_reaped;	 /* nodes that work_reap() found in the queue */
	uint64_t nr_moved;	 /* blocks, by the cleaner */
	uint64_t nr_renamed;	 /* blocks that were moved */
	uint64_t nr_moved_nodes; /* by the META cleaner */
};

#define WORK_FRAMES 128u /* room for every workload */
#define WORK_FRAMES_FEW 40u

/*
 * A store of @nr_frames with the volumes a (300 KiB) and b (130 KiB), some
 * data in both.
 */
void workload_init(struct workload *w, uint64_t seed, uint64_t nr_frames,
		   unsigned int segment_shift);
/*
 * A workload on a store that exists, as @model describes it; both are taken
 * over.
 */
void workload_start(struct workload *w, uint64_t seed, struct memory_disk *disk,
		    struct model *model);
void workload_done(struct workload *w);
/* The recording begins; what there is now is durable. */
void workload_record(struct workload *w);

/*
 * Each does one thing to both.  A failure ends the program; with may_fail it
 * goes to w->failure.  When the store has stopped the model goes on as if it
 * had worked, since a crash may show it: only it is not durable.  Else the
 * operation was refused: a verb changed nothing, a write, zero or trim got as
 * far as it reads back.
 */
void work_write(struct workload *w, const char *volume, uint64_t length,
		uint64_t offset, bool fua);
void work_zero(struct workload *w, const char *volume, uint64_t length,
	       uint64_t offset, bool fua);
/* @length and @offset: whole blocks. */
void work_trim(struct workload *w, const char *volume, uint64_t length,
	       uint64_t offset, bool fua);
/* A write, zero or trim somewhere in a or b; now and then with FUA if @fua. */
void work_random_data(struct workload *w, bool fua);
void work_flush(struct workload *w);
void work_create(struct workload *w, const char *name, uint64_t size);
void work_snapshot(struct workload *w, const char *const *names, size_t nr);
void work_clone(struct workload *w, const char *snapshot,
		const char *const *names, size_t nr);
void work_delete(struct workload *w, const char *const *names, size_t nr);
void work_rollback(struct workload *w, const char *const *names, size_t nr);
void work_undo(struct workload *w, const char *const *names, size_t nr);
/* Names change with those of nr pairs; @from volumes, or snapshots. */
void work_rename(struct workload *w, const char *const *from,
		 const char *const *to, size_t nr);
void work_resize(struct workload *w, const char *volume, uint64_t size);
void work_set(struct workload *w, const char *volume, uint64_t quota,
	      bool pause);
/* @more frames, for the store. */
void work_grow(struct workload *w, uint64_t more);
void work_checkpoint(struct workload *w);
void work_reap(struct workload *w);
/* One slice; what is found is a failure. */
void work_scrub(struct workload *w, uint64_t max_bytes);
/* Something that changes nothing. */
void work_call(struct workload *w, const char *what,
	       int (*call)(struct workload *w, struct error *err));
/* The cleaner moves what is worth it; a checkpoint follows. */
void work_clean(struct workload *w);
/* The cleaner reads blocks; it moves them when it goes on. */
void work_clean_some(struct workload *w);
/* What a worker does: write a batch before somebody flushes it. */
void work_write_early(struct workload *w);
/* What a worker does after an idle second: log what is durable. */
void work_idle(struct workload *w);
/*
 * Flush, stop and open again; not clean: as if the process died.  When the
 * store does not open it is tried once more, and must.
 */
void work_reopen(struct workload *w, bool clean);

struct window {
	size_t first, last; /* indices into states, both allowed */
	const char *step;   /* what was going on */
};

struct window workload_window(const struct workload *w, uint64_t nr_events);
bool workload_allows(const struct workload *w, struct window window,
		     uint64_t hash);

#endif
