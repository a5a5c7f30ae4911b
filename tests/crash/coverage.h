/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the crash test has met: for each kind of log record, of metadata
 * record and of step of a checkpoint or a recovery, how often it was recorded
 * and how many crashes came right after it.  What was never met fails the
 * test: else a workload that has lost its point would go on passing.
 */
#ifndef CRASH_COVERAGE_H
#define CRASH_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "backend-memory.h"
#include "vector.h"

/* The crash of a workload, of its recovery, and of the recovery after that. */
#define CRASH_LEVELS 3u

enum feature {
	/* entries of the log */
	MET_WRITE,
	MET_ZERO,
	MET_TRIM,
	MET_CREATE,
	MET_SNAPSHOT,
	MET_CLONE,
	MET_DELETE,
	MET_ROLLBACK,
	MET_UNDO,
	MET_SET,
	MET_SET_NAME,
	MET_RESIZE,
	MET_DURABLE,   /* a batch that only says what is durable */
	MET_LOG_BEGUN, /* a batch without entries that begins a segment */
	/* log and metadata as they are written */
	MET_LOG_BATCH,
	MET_LOG_SEGMENT,
	MET_LOG_FRAME_AGAIN,
	MET_META_BATCH,
	MET_META_SEGMENT,
	MET_META_FRAME_AGAIN,
	MET_GC_BATCH,
	MET_GC_SEGMENT,
	MET_GC_FRAME_AGAIN,
	MET_LEAF_NEAR,
	MET_LEAF_RUN,
	MET_INNER,
	MET_NODE_TABLE,
	MET_SEGMENT_INFO,
	MET_OVERFLOW, /* a count of 3 or more */
	MET_FORWARDS, /* of blocks that were moved */
	MET_NAMES,    /* a segment without a frame */
	MET_VOLUME,
	MET_FRAME_MAP,
	MET_REAPER,
	MET_REAPER_QUEUE, /* with nodes in it */
	MET_DIRECTORY,
	MET_ROOT,
	/* steps */
	MET_FLUSH,
	MET_GROW,
	MET_LONGER,
	MET_PUNCH,
	MET_CHECKPOINT_SYNC,
	MET_CHECKPOINT_A,
	MET_CHECKPOINT_A_SYNC,
	MET_CHECKPOINT_B,
	MET_CHECKPOINT_B_SYNC,
	MET_CLAIM_FIRST,
	MET_CLAIM_FIRST_SYNC,
	MET_CLAIM_SECOND,
	MET_CLAIM_SECOND_SYNC,
	MET_RECOVERY_SYNC, /* before the log is read */
	NR_FEATURES,
};

/* What each event of a recording is: a bit for each feature. */
DEFINE_VECTOR(features, uint64_t);

/* Bits of all events of @disk's recording; to be done(). */
struct features features_of(struct memory_disk *disk,
			    unsigned int segment_shift);

/* Things that no event shows. */
enum circumstance {
	SEEN_LOG_EMPTY, /* recovery had nothing to replay */
	SEEN_LOG_REPLAYED,
	SEEN_COPY_A_NEWER,
	SEEN_COPY_B_NEWER,
	SEEN_COPY_A_INVALID,
	SEEN_COPY_B_INVALID,
	SEEN_TWO_CAPACITIES,
	SEEN_QUEUE, /* nodes to be freed after recovery */
	SEEN_FULL,  /* the workload was refused for lack of space */
	SEEN_REAPED,
	SEEN_META_CLEANED,
	SEEN_MOVED,   /* blocks, by the cleaner */
	SEEN_RENAMED, /* blocks that it had moved */
	NR_CIRCUMSTANCES,
};

struct coverage {
	uint64_t recorded[NR_FEATURES];
	uint64_t crashed[CRASH_LEVELS][NR_FEATURES];
	uint64_t replayed[NR_FEATURES];
	uint64_t seen[NR_CIRCUMSTANCES];
};

/* A recording was made. */
void coverage_recorded(struct coverage *coverage, const struct features *f);
/* A crash after the first @nr_events; @whole: with all that was written. */
void coverage_crashed(struct coverage *coverage, const struct features *f,
		      uint64_t nr_events, unsigned int level, bool whole);
/* The state of the superblock copies that a recovery finds. */
void coverage_superblocks(struct coverage *coverage, struct memory_disk *disk);

/* Print the table; the number of what was never met. */
unsigned int coverage_print(const struct coverage *coverage);

#endif
