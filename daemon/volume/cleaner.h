/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cleaner: moves live blocks out of segments that are mostly dead, so
 * that their frames become free.
 *
 * It changes where blocks are, never what maps say (I13).  It works in
 * slices of one batch of a victim; a checkpoint then frees what it emptied.
 */
#ifndef VOLUME_CLEANER_H
#define VOLUME_CLEANER_H

#include "gc-writer.h"

struct store;

/* Victims whose blocks wait for the GC batch to be full. */
#define WALKED_MAX 64u

/*
 * Blocks that are moved for the first time lie apart from those that outlived
 * a move: the latter are colder.
 */
enum { GC_FIRST, GC_AGAIN, NR_GC_STREAMS };

struct gc_stream {
	struct gc_writer writer; /* its counters guarded by core.lock */
	/* pinned; walked to their ends, moved when the batch is written;
	 * guarded by core.lock */
	struct segment *walked[WALKED_MAX];
	uint32_t nr_walked;
	uint64_t nr_batches; /* at the last look; guarded by cleaner.lock */
};

struct cleaner {
	struct mutex lock; /* rank LOCK_CLEANER: one at a time; held over I/O */
	struct gc_stream streams[NR_GC_STREAMS];
	uint8_t *memory; /* a batch of the victim */

	/* guarded by core.lock */
	struct segment *victim; /* pinned; NULL: none */
	bool scraping;		/* there was little to gain from the last */
	bool running;		/* below the goal until it is well above */
	/* nothing was worth cleaning when there had been so many chances */
	bool hopeless;
	bool hopeless_tight; /* however little there was to gain */
	uint64_t hopeless_chances;
	uint64_t nr_victims;
	uint64_t seen_seq; /* of the log, when it was last found moving */
	uint64_t seen_ms;
	/* writers need not wait before the next segment, this one, is opened */
	uint64_t enough_at_segno;

	/* guarded by lock */
	uint32_t slot; /* of the victim's next batch */
};

int cleaner_init(struct store *store, struct error *err);
void cleaner_done(struct store *store);

/* ---- cleaner-pace.c; core held ---- */

/* Blocks that a full GC segment holds. */
uint32_t cleaner_segment_blocks(const struct store *store);
/* Do writers wait for frames, or are they about to? */
bool cleaner_is_tight(const struct store *store);
/* Is it frames that bound how much lies dead?  Core held. */
bool cleaner_frames_are_few(const struct store *store);
/* Should it work now?  Core held. */
bool cleaner_is_wanted(struct store *store);
/* May it still make room?  Core held. */
bool cleaner_can_help(const struct store *store);
/* Should writers wait for it now and then, so that it keeps up?  Core held. */
bool cleaner_falls_behind(struct store *store);
/* Is what it emptied worth a checkpoint, or needed?  Core held. */
bool cleaner_wants_checkpoint(struct store *store);
/* Is it waiting for idleness, so that a timer is worth it?  Core held. */
bool cleaner_waits_for_idle(const struct store *store);
/* ---- cleaner.c ---- */

/* Blocks copied since open; of them those that were still live.  Core held. */
uint64_t cleaner_copied_blocks(const struct store *store);
uint64_t cleaner_moved_blocks(const struct store *store);

/*
 * One slice.  Returns 1: did something; 0: nothing is worth cleaning;
 * -ENOSPC: no frame to move to; -EIO: fail-stop; -ENOMEM.  Core not held.
 */
int cleaner_step(struct store *store, struct error *err);
/* It rests now: what was read is written and forwarded.  Errors as above. */
int cleaner_rest(struct store *store, struct error *err);

#endif
