/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NOTES ON THE DESIGN OF RECOVERY
 *
 * Every read-write open recovers; after a clean stop there is just nothing to
 * replay.  Steps, of which a crash anywhere repeats all:
 *   1 choose the superblock: the valid copy with the greater (checkpoint id,
 *     open incarnation); i = its incarnation, b = its segno bound; read the
 *     root of its checkpoint
 *   2 write both copies with i+1 and b+4096, the invalid or older one first,
 *     each synced: now nobody ever uses incarnation i+1 or segnos b.. again;
 *     tail files of recoveries that were cut short go
 *   3 load the tables, walk the log (log-walk.c), replay what it found
 *   4 start the new log: segments from b, incarnation i+1
 *   5 append the batches of the tail file that go on where the log on disk
 *     ends, as new batches
 *   6 checkpoint; only then the old tail file goes, and the host gets frames
 *     back that nobody knows of
 *   7 only then serve
 * A read-only open does 1, 3 and 5 in memory.
 *
 * What the tables take to load grows with the store, the rest does not: so a
 * thread loads them, while 2 is done and the log is walked.  As soon as its
 * headers show what there may be to replay, the leaves for that are read, while
 * another thread verifies the payload.  Where no log is to be replayed, the
 * largest, the node table, is loaded behind the first requests (loader.h).
 *
 * A repair opens with a salvage: 3 takes what it gets and makes it sound
 * before the log is replayed, and 2 comes right before 4, so that nothing is
 * written when it cannot be done.  A crash leaves the store as damaged as it
 * was: only the superblocks of 6 name what was repaired.
 */
#include <inttypes.h>

#include "quota.h"
#include "replay-ahead.h"
#include "replay.h"
#include "salvage.h"

struct recovery {
	struct store *store;
	const struct store_open_options *options;
	struct superblock old; /* as found */
	unsigned int first;    /* the copy that is written first */
	struct root root;      /* of its checkpoint */
	bool loads_behind;     /* the node table: nothing will be replayed */
	struct log_tail tail;
	struct tail_file file;
	/* the tables are loaded by a thread of their own */
	pthread_t loader;
	bool is_loading;
	int load_result;
	struct error load_error;
};

/* ---- 2: claim ---- */

/* More batches than one incarnation writes. */
#define SEQ_RESERVATION (UINT64_C(1) << 48)

/* Beyond the last numbers both copies would be refused for ever. */
static int claim(struct superblock *sb, struct error *err)
{
	if (sb->open_incarnation >= INT64_MAX ||
	    sb->segno_bound > SEGNO_MAX - SEGNO_RESERVATION ||
	    sb->log.seq > INT64_MAX - SEQ_RESERVATION)
		return error_set(err, EUCLEAN,
				 "can be opened read-only only: no numbers are "
				 "left after incarnation %" PRIu64
				 ", batch %" PRIu64 ", segment %" PRIu64,
				 sb->open_incarnation, sb->log.seq,
				 sb->segno_bound);
	sb->open_incarnation++;
	sb->segno_bound += SEGNO_RESERVATION;
	return 0;
}

static int write_claim(struct backend *be, const struct superblock *sb,
		       unsigned int first, struct error *err)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < SUPERBLOCK_COPIES; i++) {
		unsigned int copy = i == 0 ? first : 1 - first;
		struct disk_superblock disk;

		superblock_encode(sb, copy, &disk);
		r = backend_super_write(be, copy, &disk, err);
		if (r == 0)
			r = backend_sync(be, err);
	}
	return r;
}

/* ---- 3: load and replay ---- */

/* The segments that the log went on to after the checkpoint. */
static int add_tail_segments(struct recovery *rec, struct error *err)
{
	struct store *store = rec->store;
	int r;

	for (size_t i = 0; i < rec->tail.batches.len; i++) {
		const struct log_batch *b = &rec->tail.batches.ptr[i];
		struct segment *s = segment_find(&store->segments, b->segno);

		if (s && s->kind == SEGMENT_DATA && s->place == b->place)
			continue;
		if (s)
			return error_set(err, EUCLEAN,
					 "segment %" PRIu64
					 " is not where the log has it",
					 b->segno);
		r = frames_mark_used(&store->frames, b->place, err);
		if (r < 0)
			return r;
		s = segment_new(&store->core, SEGMENT_DATA);
		if (!s || segment_table_prepare(&store->segments) < 0) {
			segment_free(s);
			return error_set(err, ENOMEM, "out of memory");
		}
		s->segno = b->segno;
		s->place = b->place;
		s->first_seq = b->seq;
		segment_insert(&store->segments, s);
	}
	return 0;
}

/* ---- all ---- */

/* Wait for the tables. */
static int end_load(struct recovery *rec, struct error *err)
{
	if (rec->is_loading)
		(void)pthread_join(rec->loader, NULL);
	rec->is_loading = false;
	if (rec->load_result < 0 && err)
		*err = rec->load_error;
	return rec->load_result;
}

/* When they could not be loaded nobody looks at what is found by them. */
static const struct frames *loaded_frames(void *owner)
{
	struct recovery *rec = owner;

	(void)end_load(rec, NULL);
	return &rec->store->frames;
}

/*
 * Read the leaves that a replay of @batches and of the tail file needs.  With
 * tables that could not be loaded there will be none.
 */
static void read_leaves(void *owner, const struct log_batch_vector *batches)
{
	struct recovery *rec = owner;
	struct store *store = rec->store;
	struct leaf_list leaves = {0};

	if (replay_list_leaves(store->core.be, &rec->old, batches, &rec->file,
			       &leaves) == 0 &&
	    leaves.len > 0 && end_load(rec, NULL) == 0) {
		mutex_lock(&store->core.lock);
		replay_read_leaves(store, &leaves);
		mutex_unlock(&store->core.lock);
	}
	leaf_list_done(&leaves);
}

/*
 * The tail file of the log that both superblocks name.  When they are claimed
 * nobody wants others, and there is room for a new one.
 */
static void find_tail_file(struct recovery *rec)
{
	const struct store_open_options *o = rec->options;
	struct tail_owner owner;

	if (o->at_checkpoint)
		return;
	core_tail_owner(&rec->store->core, &owner);
	if (tail_file_find(o->tail_dirs, &owner, rec->old.log.incarnation,
			   &rec->file, NULL) < 0)
		rec->file = (struct tail_file){0};
	if (!o->read_only && !rec->store->salvage)
		tail_file_remove_others(o->tail_dirs, &owner,
					rec->old.log.incarnation);
}

static int find_tail(struct recovery *rec, struct error *err)
{
	const struct log_walker walker = {loaded_frames, read_leaves, rec};
	const struct store_open_options *o = rec->options;
	struct backend *be = rec->store->core.be;
	int r = 0;

	if (o->at_checkpoint) {
		rec->tail = (struct log_tail){
			.end_seq = rec->old.log.seq - 1,
			.end_hash = rec->old.log.prev_hash,
			.successor_place = PLACE_NONE,
		};
		return 0;
	}
	if (!o->read_only)
		r = backend_sync(be, err);
	if (r == 0)
		r = log_tail_find(be, &rec->old, &walker, true, &rec->tail,
				  err);
	if (r < 0)
		return r;
	if (rec->tail.damaged && !rec->store->salvage) {
		tail_file_done(&rec->file); /* it goes on elsewhere */
		r = error_set(err, EUCLEAN,
			      "log is damaged after batch %" PRIu64
			      ": later batches had been durable; open "
			      "read-only to copy what is there",
			      rec->tail.end_seq);
		return o->read_only ? 0 : r;
	}
	if (rec->tail.damaged && !rec->store->salvage->cut_log)
		return error_set(err, EBUSY,
				 "log is damaged after batch %" PRIu64
				 ": what lies beyond would be given up",
				 rec->tail.end_seq);
	return 0;
}

/* The frame the old log had reserved for its successor. */
static int reserve_successor(struct recovery *rec, struct error *err)
{
	struct store *store = rec->store;
	uint64_t place = rec->tail.successor_place;

	if (place == PLACE_NONE || frames_is_used(&store->frames, place)) {
		rec->tail.successor_place = PLACE_NONE;
		return 0;
	}
	return frames_mark_used(&store->frames, place, err);
}

static int find_checkpoint(struct recovery *rec, struct error *err)
{
	struct store *store = rec->store;
	struct core *core = &store->core;
	int r;

	mutex_lock(&core->lock);
	core->next_segno = rec->old.segno_bound;
	core->segno_bound = core->read_only ? SEGNO_MAX : store->sb.segno_bound;
	r = checkpoint_find(store, &rec->root, err);
	mutex_unlock(&core->lock);
	return r;
}

static int load_checkpoint(struct recovery *rec, struct error *err)
{
	struct store *store = rec->store;
	int r;

	mutex_lock(&store->core.lock);
	r = checkpoint_load(store, &rec->root, rec->loads_behind, err);
	mutex_unlock(&store->core.lock);
	if (r < 0 || !store->salvage)
		return r;
	r = salvage_segments(store, err);
	if (r == 0 && store->salvage->repairs)
		r = repair_tables(store, err);
	return r;
}

static void *run_loader(void *opaque)
{
	struct recovery *rec = opaque;

	rec->load_result = load_checkpoint(rec, &rec->load_error);
	return NULL;
}

/*
 * Begin to load the tables.  A repair does one thing after the other: what it
 * says of the log is about what it made of the tables.
 */
static int begin_load(struct recovery *rec, struct error *err)
{
	if (!rec->store->salvage &&
	    pthread_create(&rec->loader, NULL, run_loader, rec) == 0) {
		rec->is_loading = true;
		return 0;
	}
	(void)run_loader(rec);
	return end_load(rec, err);
}

static int claim_store(struct recovery *rec, struct error *err)
{
	if (rec->options->read_only)
		return 0;
	return write_claim(rec->store->core.be, &rec->store->sb, rec->first,
			   err);
}

static int make_log(struct recovery *rec, struct error *err)
{
	const struct store_open_options *o = rec->options;
	struct store *store = rec->store;
	uint32_t nr = o->nr_buffers ? o->nr_buffers : LOG_BUFFERS_DEFAULT;

	if (o->read_only) /* nothing is written: everything stays in buffers */
		nr = 2 * rec->file.nr_buffers + 8;
	return log_init(&store->log, &store->core, &store->frames,
			&store->segments, o->tail_dirs, nr, err);
}

/*
 * All that needs no tables: the store is claimed, room made for a new log while
 * the medium is busy with the tables, the end of the old one found.
 * *ret_claimed: what failed came after the claim.
 */
static int do_meanwhile(struct recovery *rec, bool *ret_claimed,
			struct error *err)
{
	int r = 0;

	if (!rec->store->salvage)
		r = claim_store(rec, err);
	*ret_claimed = r == 0;
	if (r == 0)
		find_tail_file(rec);
	if (r == 0 && !rec->store->salvage)
		r = make_log(rec, err);
	return r < 0 ? r : find_tail(rec, err);
}

/*
 * Where there is a log it is replayed, and that needs nodes from everywhere.
 * (Should there be a tail file only, that is nothing: what it needs is loaded
 * as it is needed.)
 */
static bool may_load_behind(const struct recovery *rec)
{
	const struct store_open_options *o = rec->options;

	return o->load_behind && !o->read_only && !rec->store->salvage &&
	       log_tail_is_empty(rec->store->core.be, &rec->old);
}

/* What is told is the failure of the first step, whichever came first. */
static int load_tables(struct recovery *rec, struct error *err)
{
	struct error failure = ERROR_NONE;
	bool claimed;
	int r, other;

	r = begin_load(rec, err);
	if (r < 0)
		return r;
	other = do_meanwhile(rec, &claimed, &failure);
	r = end_load(rec, claimed ? err : NULL);
	if (other < 0 && (r == 0 || !claimed)) {
		if (err)
			*err = failure;
		return other;
	}
	return r;
}

static int load_log(struct recovery *rec,
		    struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	struct store *store = rec->store;
	int r;

	mutex_lock(&store->core.lock);
	r = add_tail_segments(rec, err);
	if (r == 0)
		r = reserve_successor(rec, err);
	if (r == 0 && store->salvage)
		salvage_frames(store);
	if (r == 0 && frames_loaded(&store->frames) < 0)
		r = error_set(err, ENOMEM, "out of memory");
	if (r == 0)
		r = replay_log(store, &rec->tail, err);
	mutex_unlock(&store->core.lock);
	return r;
}

/*
 * memory= less the buffers of the log and of both streams, but never nearly
 * nothing.
 */
static uint64_t nodes_memory(const struct store *store,
			     const struct store_open_options *options)
{
	uint64_t all =
		options->memory_bytes ? options->memory_bytes : MEMORY_DEFAULT;
	uint64_t buffers = store->log.tail.map_bytes +
			   2 * segment_stream_bytes(&store->core);

	return buffers < all / 4 * 3 ? all - buffers : all / 4;
}

static int start_log(struct recovery *rec, struct error *err)
{
	const struct store_open_options *o = rec->options;
	struct store *store = rec->store;
	struct error ignored = ERROR_NONE;
	int r;

	while (!o->read_only &&
	       !frames_available(&store->frames, FRAME_USER_RECOVERY, 3) &&
	       frames_grow(&store->frames, false, &ignored) == 0)
		;
	r = log_start(&store->log, rec->tail.end_seq + 1, rec->tail.end_hash,
		      rec->tail.time_ns, err);
	if (r < 0)
		return r;
	store->nodes.bytes_max = nodes_memory(store, o);
	mutex_lock(&store->core.lock);
	segment_table_seal_open(&store->segments, store->log.current,
				rec->tail.end_seq);
	mutex_unlock(&store->core.lock);
	return 0;
}

static int finish(struct recovery *rec, struct error *err)
{
	struct store *store = rec->store;
	uint64_t place = rec->tail.successor_place;
	bool is_crash = rec->tail.batches.len > 0 || rec->file.map;
	struct tail_owner owner;
	int r;

	if (rec->options->read_only)
		return 0;
	store->meta.stream.user = FRAME_USER_RECOVERY;
	mutex_lock(&store->admin);
	r = checkpoint_run(store, err);
	mutex_unlock(&store->admin);
	store->meta.stream.user = FRAME_USER_CHECKPOINT;
	if (r < 0)
		return r;
	mutex_lock(&store->core.lock);
	if (place != PLACE_NONE)
		frames_release(&store->frames, place);
	mutex_unlock(&store->core.lock);
	/*
	 * Both superblocks name a checkpoint that knows no such frame: after
	 * another crash nobody looks for anything in one.
	 */
	if (is_crash && !store->salvage)
		frames_punch_forgotten(&store->frames);
	core_tail_owner(&store->core, &owner);
	tail_file_remove_others(rec->options->tail_dirs, &owner,
				store->core.incarnation);
	return 0;
}

static int recover(struct recovery *rec, struct error *err)
{
	struct store *store = rec->store;
	int r;

	store->replaying = true;
	rec->loads_behind = may_load_behind(rec);
	r = find_checkpoint(rec, err);
	if (r == 0)
		r = load_tables(rec, err);
	if (r == 0)
		r = load_log(rec, err);
	if (r == 0 && store->salvage)
		r = claim_store(rec, err);
	if (r == 0 && store->salvage)
		r = make_log(rec, err);
	if (r == 0)
		r = start_log(rec, err);
	if (r == 0 && rec->file.map)
		r = replay_tail_file(store, &rec->file, &rec->old, &rec->tail,
				     err);
	mutex_lock(&store->core.lock);
	if (store->salvage)
		salvage_end_ids(store);
	mutex_unlock(&store->core.lock);
	if (r == 0)
		r = finish(rec, err);
	mutex_lock(&store->core.lock);
	charges_load(store);
	mutex_unlock(&store->core.lock);
	store->replaying = false;
	store->log_is_damaged = rec->tail.damaged && !store->salvage;
	if (r == 0 && store->log_is_damaged)
		store_message(store, MESSAGE_WARNING, EVENT_DAMAGE,
			      "log is damaged, read-only as it was then: "
			      "batch=%" PRIu64,
			      rec->tail.end_seq);
	if (r == 0 && store->recovered_batches > 0)
		store_message(store, MESSAGE_INFO, EVENT_RECOVERY,
			      "recovered: batches=%" PRIu64
			      " of_tail_file=%" PRIu64,
			      store->recovered_batches,
			      store->recovered_tail_batches);
	log_tail_done(&rec->tail);
	tail_file_done(&rec->file);
	return r;
}

int recovery_open(struct backend *be, const struct superblock *sb,
		  unsigned int first, const struct store_open_options *options,
		  struct salvage *salvage, struct store **ret,
		  struct error *err)
{
	struct recovery rec = {.options = options, .old = *sb, .first = first};
	struct superblock now = *sb;
	int r = 0;

	if (!options->read_only)
		r = claim(&now, err);
	if (r == 0)
		r = store_new(be, &now, options, &rec.store, err);
	if (r < 0)
		return r;
	rec.store->salvage = salvage;
	r = recover(&rec, err);
	rec.store->salvage = NULL;
	if (r < 0) {
		/* our own new tail file holds nothing that is not on disk or
		 * in the old one */
		if (!options->read_only)
			tail_file_remove(&rec.store->log.tail);
		store_free(rec.store, false);
		return r;
	}
	*ret = rec.store;
	return 0;
}
