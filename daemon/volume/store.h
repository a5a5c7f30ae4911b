/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store, as the files of this folder see it.  Users include engine.h.
 *
 * Locks, outermost first: scrub->lock (one slice of a scrub), admin (metadata
 * verbs, checkpoint, check: one at a time), log.flush_lock, core.lock.
 */
#ifndef VOLUME_STORE_H
#define VOLUME_STORE_H

#include <errno.h>
#include <pthread.h>

#include "cleaner.h"
#include "cleanup.h"
#include "clock.h"
#include "core.h"
#include "engine.h"
#include "extent-map.h"
#include "frames.h"
#include "log.h"
#include "meta-writer.h"
#include "nodes.h"
#include "operation.h"
#include "reaper.h"
#include "segment-table.h"
#include "superblock.h"
#include "volumes.h"

#define MEMORY_DEFAULT (UINT64_C(256) << 20)
#define LOG_BUFFERS_DEFAULT 32u
#define CHECKPOINT_LOG_BYTES (UINT64_C(1) << 30)
#define CHECKPOINT_AGE_MS 30000u
#define CHECKPOINT_IDLE_MS 10000u
#define CHECKPOINT_DIRTY_NODES 32768u
/* Live metadata, bytes: with more, dirty leaves do not lie side by side. */
#define CHECKPOINT_META_DENSE (UINT64_C(96) << 20)
#define SPACE_WAIT_MS 10000u
#define SCRATCH_IDLE_MS 120000u
/* Segnos a superblock reserves at a time. */
#define SEGNO_RESERVATION 4096u

struct store {
	struct core core;
	/* metadata verbs, checkpoint driver, check: one at a time */
	struct mutex admin;
	struct superblock sb; /* guarded by admin: as both copies say */
	uint64_t capacity;    /* guarded by admin: what the next one says */
	struct frames frames;
	struct segment_table segments;
	struct nodes nodes;
	struct volumes volumes;
	struct page_table reaper_pages;
	struct log log;
	struct meta_writer meta;
	struct scrub *scrub;
	struct cleaner cleaner;
	uint64_t checkpoint_log_bytes;
	uint64_t tables_max_bytes;
	void (*message)(void *opaque, enum message_level level,
			enum store_event event, const char *text);
	void *message_opaque;
	struct salvage *salvage; /* while a damaged store is opened; NULL */

	/* guarded by core.lock */
	bool checkpoint_wanted;
	bool checkpoint_running;
	uint64_t checkpointed_at_ms; /* monotonic: when the last one ended */
	uint64_t pending_bytes;	     /* what it had to write, at its cut */
	bool log_is_damaged; /* read-only: replayed up to the damage only */
	bool replaying;	     /* recovery: no checkpoint, the reserve is open */
	bool stopping;	     /* workers end */
	bool stopped;	     /* no request is admitted any more */
	bool failure_told;   /* EVENT_FAILED was sent */
	bool reaper_stuck;   /* a node to be freed cannot be read */
	uint64_t dirty_since_ms; /* 0: nothing changed since the last cut */
	/* checkpoints since the room for them is short and no frame was
	 * gained, and the fewest frames that were used meanwhile */
	unsigned int nr_short;
	uint64_t short_used;
	uint64_t checksum_errors;
	struct scrub_record scrub_record; /* what a checkpoint writes of it */
	bool scrub_changed;		  /* since a checkpoint wrote it */
	uint32_t scrub_stage, scrub_position; /* where it really is */
	uint64_t recovered_batches;
	uint64_t recovered_tail_batches;
	struct index_vector reaper_cut; /* the reaper queue at the cut */
	struct segment_vector dying; /* dead at a durable cut, still pinned */
	uint64_t given_up; /* blocks volumes dropped that others may hold */
	uint64_t nr_operations;	 /* metadata operations since open */
	uint64_t unfilled;	 /* blocks of all reservations */
	unsigned int space_told; /* threshold in percent, 0: none */
	bool host_full_told;
	uint32_t nr_images; /* checks of an image: dying META segments stay */
	/* the checks are to end, so that a checkpoint has room; no lock */
	_Atomic bool images_revoked;
	uint64_t meta_below; /* segnos of META segments of an earlier open */
	bool loads_behind;   /* until tables_loaded() */

	pthread_t workers[NR_WORKERS];
	unsigned int nr_workers;
	pthread_t loader; /* ends by itself, see loader.h */
	bool has_loader;
};

/* Send one message; no lock held that the receiver could need. */
void store_message(struct store *store, enum message_level level,
		   enum store_event event, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* ---- store.c ---- */

/*
 * A store without content: all modules made for @sb's geometry.  For init
 * and open.  Takes nothing over on failure.
 */
int store_new(struct backend *be, const struct superblock *sb,
	      const struct store_open_options *options, struct store **ret,
	      struct error *err);
/* Free everything; the back end is closed when @close_backend. */
void store_free(struct store *store, bool close_backend);

/* ---- reclaim.c ---- */

/* Free the frames of dying segments that nobody reads any more.  Core held. */
void free_dying(struct store *store);
/*
 * Would a checkpoint make frames free?  Not those of META segments while a
 * check reads an image: one checkpoint after the other would fill the store.
 * Core held.
 */
bool checkpoint_would_free(const struct store *store);
/*
 * May reaper and cleaner go on?  While a check reads an image no metadata
 * becomes free, so that each checkpoint of what they change takes frames for
 * good: then not beyond what metadata operations may take.  Core held.
 */
bool image_leaves_room(const struct store *store);
/*
 * End the checks whose images hold on to what the checkpoint that begins now
 * needs: one that runs out of frames stops the store, a check can be run
 * again.  Core held, dropped until they have ended.
 */
void revoke_images(struct store *store);

/* What is reaped or moved becomes dirty: no more than admission allows. */
int checkpoint_when_due(struct store *store, bool admin_held,
			struct error *err);
/*
 * Let the reaper work until its queue is empty, with a checkpoint whenever
 * one is due.  @admin_held: the caller holds admin.
 */
int reap_all(struct store *store, bool admin_held, struct error *err);
/*
 * For somebody who waits until the reaper has nothing to do: let it get on,
 * for a tenth of a second or, without workers, to its end.  Core held; it is
 * dropped.
 */
int reap_some(struct store *store, struct error *err);
/*
 * Segments of blocks that a checkpoint frees.  What it writes lets segments
 * of metadata die each time: they are not counted.  Core held.
 */
uint64_t dead_segments(const struct store *store);

/* ---- admission.c ---- */

/* Who asks to be admitted, and how long it has waited. */
struct admission {
	enum frame_user user;
	bool admin_held;	     /* a checkpoint is run in place */
	bool pause;		     /* wait for space even if none is coming */
	const struct volume *volume; /* that is written to; NULL: none */
	uint64_t deadline_ms;	     /* monotonic; 0: it has not waited yet */
	uint64_t paced_until_ms;     /* the same, for the cleaner's pace */
};

/*
 * Everything one hold of core needs: not fail-stop, a place in the log,
 * frames for the user, spare nodes.  Core held; it may be dropped: returns
 * -EAGAIN then, and the caller looks at the world again.  Waits for space at
 * most 10 s, then -ENOSPC.
 */
int store_admit(struct store *store, struct admission *admission,
		struct error *err);

/*
 * Something has changed that a checkpoint has to write: there will be one
 * before long.  Core held.
 */
void store_changed(struct store *store);

/*
 * Do what may give back what @admission waits for, or wait a moment for it.
 * Core held, dropped: -EAGAIN; or an error.
 */
int admission_relieve(struct store *store, const struct admission *admission,
		      struct error *err);

/*
 * What is reaped becomes dirty, too.  The last quarter of what may be dirty
 * is for writers: they would wait for a checkpoint with it; and the frames
 * for META come first.  Core held.
 */
bool reaper_may_work(const struct store *store);

/* May it wait (any longer)?  It has begun to, then. */
bool admission_may_wait(struct admission *admission);

/*
 * Drop core, fault node @id in, take core.  Damage is counted and told, unless
 * @err is NULL: then that is the caller's business.
 */
int store_fault(struct store *store, uint32_t id, struct error *err);

/*
 * For whoever looks at a map until all it needs is in memory, with core held
 * but for the faults:
 *
 *	do
 *		r = extent_map_...(..., &missing, err);
 *	while (store_look_again(store, missing, &r, err));
 */
static inline bool store_look_again(struct store *store, uint32_t missing,
				    int *r, struct error *err)
{
	if (*r != -EAGAIN)
		return false;
	*r = store_fault(store, missing, err);
	return *r == 0;
}

/* Bytes a checkpoint would write now, at most.  Core held. */
uint64_t dirty_bytes(const struct store *store);

/* The next checkpoint writes page @index of @table, as it is.  Core held. */
static inline void store_touch_page(struct store *store,
				    struct page_table *table, uint32_t index)
{
	if (table->kind == TABLE_SEGMENT)
		segment_touch_page(&store->segments, index);
	else
		page_table_touch(table, index);
}
/*
 * Is so much dirty that nobody may add to it before a checkpoint has run?
 * Core held.
 */
bool dirty_limit_reached(const struct store *store);
/*
 * Does a checkpoint that writes @bytes and its root leave @nr frames of what
 * checkpoints may take?  Core held.
 */
bool checkpoint_fits(const struct store *store, uint64_t bytes, uint64_t nr);
/*
 * Are so few frames left to checkpoints that neither reaper nor cleaner may
 * make anything dirty?  Core held.
 */
bool room_is_short(const struct store *store);
/* And a checkpoint may well give some back?  Core held. */
bool room_is_coming(const struct store *store);
/* A checkpoint is over: has it given any back?  Core held. */
void note_room(struct store *store);
/* Frames that one takes now, at most.  Core held. */
uint64_t checkpoint_frames(const struct store *store);
/* Are there frames for a checkpoint now?  Core held. */
bool checkpoint_has_room(const struct store *store);
/* Has a limit been reached that a checkpoint resets?  Core held. */
bool checkpoint_is_due(const struct store *store);
/*
 * A checkpoint is due when so many nodes are dirty: a recovery reads them all,
 * and where metadata is much each of them is a read of its own.  Core held.
 */
uint32_t checkpoint_nodes_max(const struct store *store);
/*
 * Has the oldest change waited long enough, or the store been idle so long
 * that it gives frames back which busy times needed?  Core held.
 */
bool checkpoint_is_old(const struct store *store, uint64_t now_ms);
/*
 * Has so much been written since the last flush that recovery should not have
 * to read it all to see whether it is whole?  Core held.
 */
bool flush_is_due(const struct store *store);

/* ---- checkpoint.c ---- */

/* Admin held, core not. */
int checkpoint_run(struct store *store, struct error *err);

/* ---- scrub.c ---- */

/* How far the scrub under way is.  Core held. */
unsigned int scrub_percent(struct store *store);

/* ---- operations.c ---- */

/* Is one of @items about volume @id? */
bool items_name(const struct operation_item *items, uint32_t nr, uint32_t id);

/*
 * Would @operation with @items be possible now?  Errors as engine.h says,
 * naming the operand.  Core held.
 */
int operation_check(struct store *store, const struct operation *operation,
		    const struct operation_item *items, struct error *err);
/*
 * Have in memory what doing it will change: then it cannot fail half done.
 * -EAGAIN: core was dropped, check again.  Core held, nodes prepared.
 */
int operation_prepare(struct store *store, const struct operation *operation,
		      const struct operation_item *items, struct error *err);
/*
 * Do it, in memory.  It was checked and prepared (or is replayed: then an
 * error is damage).  Core held, volumes and nodes prepared.
 */
int operation_apply(struct store *store, const struct operation *operation,
		    const struct operation_item *items, uint64_t seq,
		    struct error *err);
/* Do @items fit one batch?  -EINVAL: there are too many. */
int operation_check_size(const struct store *store,
			 const struct operation_item *items, uint32_t nr,
			 struct error *err);
/*
 * Check, log, apply and flush.  Admin held, core not.  For each item of a
 * CREATE, SNAPSHOT, CLONE or ROLLBACK new_id is filled in.
 */
int operation_run(struct store *store, struct operation *operation,
		  struct operation_item *items, struct error *err);

/* ---- rename.c ---- */

/* operation_check() of a SET_NAME. */
int rename_check(struct store *store, const struct operation_item *items,
		 uint32_t nr, struct error *err);
/* After one was applied: the scratch views of what it names follow. */
void rename_views(struct store *store, const struct operation_item *items,
		  uint32_t nr);

/* ---- resize.c: the same three steps of a RESIZE of one head ---- */

int resize_check(const struct store *store, const struct volume *head,
		 uint64_t size, struct error *err);
int resize_prepare(struct store *store, struct volume *head, uint64_t size,
		   struct error *err);
int resize_apply(struct store *store, struct volume *head, uint64_t size,
		 struct error *err);

/* ---- volume-write.c, also used by recovery ---- */

/*
 * Map @nr logged blocks of @v from @first to names from @name; faults nodes
 * in.  Core held; it may be dropped only while nothing was logged in this
 * hold, that is in recovery.
 */
int volume_map_blocks(struct store *store, struct volume *v,
		      struct vblock first, uint32_t nr, struct birth name,
		      const uint32_t *checksums, struct error *err);
/* The same for holes. */
int volume_clear_blocks(struct store *store, struct volume *v,
			struct vblock first, uint64_t nr, struct error *err);
/* Log and map whole blocks (recovery of the tail file). */
int volume_write_blocks(struct store *store, uint32_t volume,
			struct vblock first, uint32_t nr, const void *data,
			struct error *err);

/* ---- recovery.c ---- */

/*
 * Read the root of the checkpoint that @store->sb names into *ret; the
 * directories of its tables are on their way.  Core held.
 */
int checkpoint_find(struct store *store, struct root *ret, struct error *err);
/*
 * Load the tables of the checkpoint with @root, found; @behind: but for the
 * pages of the node table, which the loader loads.  Core held.
 */
int checkpoint_load(struct store *store, const struct root *root, bool behind,
		    struct error *err);
/*
 * Open the store that @sb describes, whose geometry @be has, and recover;
 * copy @first of the superblock is written first.  As store_open().
 */
int recovery_open(struct backend *be, const struct superblock *sb,
		  unsigned int first, const struct store_open_options *options,
		  struct salvage *salvage, struct store **ret,
		  struct error *err);

/* ---- store-open.c ---- */

/* Read and choose the superblock; *ret_first: the copy to write first. */
int superblock_choose(struct backend *be, struct superblock *ret,
		      unsigned int *ret_first, struct error *err);

/* ---- workers.c ---- */

void workers_stop(struct store *store);

#endif
