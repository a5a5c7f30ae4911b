/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NOTES ON THE DESIGN OF THE CLEANER
 *
 * Victim: the sealed segment with the greatest (1 - u) x age / (1 + u), u the
 * live share of its slots and age the time since it was sealed, also for GC
 * segments (Rosenblum and Ousterhout, 1992, with the age of the segment
 * instead of its youngest block).  Segments above 0.95 are left alone,
 * unless writers wait for the last frames; when more than nine tenths of the
 * store are live, the emptiest is taken.
 *
 * A slot of a victim is live when it is its own name's place, or that of the
 * name in its GCMOVE entry.  Its block is read, verified by the checksum in
 * the batch header, appended to the GC stream and forwarded (gc-writer.h).
 * Whatever happens to the name meanwhile, overwritten, deleted, renamed, is
 * seen in the hold that would set the forward; then the copy is dead.
 *
 * What is moved for the first time and what is moved again go to streams of
 * their own: a block that outlived a move is colder, and mixed with those that
 * are still dying it is copied again and again.  With 80 % live and nine of
 * ten writes to a tenth of the blocks, 1.9 blocks are written for one, with a
 * single stream 2.2; where all blocks are alike it makes no difference.
 *
 * A block that does not verify stays where it is: the segment is put under
 * quarantine and never chosen again.  Readers of the block get their error
 * from the block itself.
 */
#include "cleaner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "store.h"

/* Of a segment; what has to be dead for it to be worth cleaning. */
#define GAIN_PERMILLE 50u
#define GAIN_PERMILLE_TIGHT 5u
#define GREEDY_ABOVE_PERCENT 90u
/* Segments looked at in one hold of core. */
#define SEGMENTS_PER_HOLD 512u
/*
 * Passes over a victim.  What the second finds was renamed to its place
 * during the first; such a name has no forward, so a third finds nothing
 * unless the segment is damaged.
 */
#define PASSES_MAX 2u

int cleaner_init(struct store *store, struct error *err)
{
	struct cleaner *c = &store->cleaner;

	c->memory = aligned_alloc(
		BLOCK_SIZE, BATCH_HEADER_SIZE + BATCH_PAYLOAD_MAX * BLOCK_SIZE);
	if (!c->memory)
		return error_set(err, ENOMEM, "out of memory");
	for (int i = 0; i < NR_GC_STREAMS; i++)
		if (gc_writer_init(&c->streams[i].writer, &store->core,
				   &store->frames, &store->segments, err) < 0)
			return -ENOMEM;
	return 0;
}

void cleaner_done(struct store *store)
{
	for (int i = 0; i < NR_GC_STREAMS; i++)
		gc_writer_done(&store->cleaner.streams[i].writer);
	free(store->cleaner.memory);
	store->cleaner.memory = NULL;
}

uint64_t cleaner_copied_blocks(const struct store *store)
{
	const struct gc_stream *streams = store->cleaner.streams;

	return streams[GC_FIRST].writer.copied_blocks +
	       streams[GC_AGAIN].writer.copied_blocks;
}

uint64_t cleaner_moved_blocks(const struct store *store)
{
	const struct gc_stream *streams = store->cleaner.streams;

	return streams[GC_FIRST].writer.moved_blocks +
	       streams[GC_AGAIN].writer.moved_blocks;
}

/* ---- victim ---- */

static bool can_be_victim(const struct store *store, const struct segment *s,
			  bool tight)
{
	uint32_t least = tight ? GAIN_PERMILLE_TIGHT : GAIN_PERMILLE;

	return s && s->sealed && s->place != PLACE_NONE && !s->dying &&
	       !s->frame_dying && !s->quarantine && !s->victim && s->live > 0 &&
	       s->live * 1000 <= cleaner_segment_blocks(store) * (1000 - least);
}

/* Is all of @s on the medium, or is some of it in buffers only? */
static bool is_written(const struct store *store, const struct segment *s)
{
	return s->kind == SEGMENT_GC || s->last_seq <= store->log.written_seq;
}

static double score(const struct store *store, const struct segment *s,
		    uint64_t now_ns, bool greedy)
{
	double u = (double)s->live / cleaner_segment_blocks(store);
	double age = now_ns > s->sealed_time_ns
			     ? (double)(now_ns - s->sealed_time_ns)
			     : 0;

	return greedy ? 1 - u : (1 - u) * (age + 1) / (1 + u);
}

static bool is_greedy(const struct store *store)
{
	uint64_t blocks = (store->frames.nr - store->frames.reserve) *
			  cleaner_segment_blocks(store);

	return store->segments.live_blocks >
	       blocks / 100 * GREEDY_ABOVE_PERCENT;
}

/*
 * The best segment now.  The table may change while core is given away
 * between two looks: what was found is looked at again at the end.
 * *ret_later: there will be others, when they are written.
 */
static struct segment *find_victim(struct store *store, bool tight,
				   bool *ret_later) NO_THREAD_SAFETY_ANALYSIS
{
	struct segment_table *t = &store->segments;
	uint64_t now = clock_ns(), best_segno = 0;
	bool greedy = is_greedy(store);
	double best = -1;
	struct segment *s;

	mutex_assert_held(&store->core.lock);
	for (uint32_t i = 0; i < t->pages.nr_pages; i++) {
		if (i % SEGMENTS_PER_HOLD == SEGMENTS_PER_HOLD - 1) {
			mutex_unlock(&store->core.lock);
			mutex_give_way(&store->core.lock);
			mutex_lock(&store->core.lock);
		}
		s = t->by_index[i];
		if (!can_be_victim(store, s, tight))
			continue;
		if (!is_written(store, s)) {
			*ret_later = true;
		} else if (score(store, s, now, greedy) > best) {
			best = score(store, s, now, greedy);
			best_segno = s->segno;
		}
	}
	s = best_segno ? segment_find(t, best_segno) : NULL;
	return can_be_victim(store, s, tight) ? s : NULL;
}

static bool take_victim(struct store *store)
{
	struct cleaner *c = &store->cleaner;
	bool later = false;

	mutex_lock(&store->core.lock);
	if (!c->victim) {
		/* what comes while core is given away may not be seen */
		bool tight = cleaner_is_tight(store);
		uint64_t chances = store->segments.nr_chances;

		c->victim = find_victim(store, tight, &later);
		c->hopeless = !c->victim && !later;
		c->hopeless_tight = tight;
		c->hopeless_chances = chances;
		if (c->victim) {
			c->scraping = !can_be_victim(store, c->victim, false);
			c->victim->pins++;
			c->victim->victim = true;
			c->victim->bad = false;
			c->nr_victims++;
			c->slot = 1;
		}
	}
	mutex_unlock(&store->core.lock);
	return c->victim;
}

/* All its blocks were moved that could be.  True: into quarantine. */
static bool end_victim(struct store *store, struct segment *s)
{
	bool quarantined = false;

	mutex_assert_held(&store->core.lock);
	s->pins--;
	s->victim = false;
	if (s->live > 0 && (s->bad || ++s->passes > PASSES_MAX)) {
		segment_quarantine(&store->segments, s);
		quarantined = true;
	}
	return quarantined;
}

/* The blocks of all that were walked have been written and forwarded. */
static void end_walked(struct store *store, struct gc_stream *stream)
{
	uint64_t bad[WALKED_MAX];
	uint32_t nr_bad = 0;

	mutex_lock(&store->core.lock);
	store_changed(store); /* blocks are elsewhere now */
	for (uint32_t i = 0; i < stream->nr_walked; i++)
		if (end_victim(store, stream->walked[i]))
			bad[nr_bad++] = stream->walked[i]->segno;
	stream->nr_walked = 0;
	free_dying(store);
	cond_broadcast(&store->core.changed);
	mutex_unlock(&store->core.lock);
	for (uint32_t i = 0; i < nr_bad; i++)
		store_message(store, MESSAGE_ERROR, EVENT_DAMAGE,
			      "blocks cannot be moved, their segment is left "
			      "alone: segment=%" PRIu64,
			      bad[i]);
}

/* Where the victim's blocks go.  Cleaner lock. */
static struct gc_stream *victim_stream(struct cleaner *c)
{
	return &c->streams[c->victim->kind == SEGMENT_GC ? GC_AGAIN : GC_FIRST];
}

/* The victim has no further batch. */
static void walk_ended(struct store *store, struct gc_stream *stream)
{
	struct cleaner *c = &store->cleaner;

	mutex_lock(&store->core.lock);
	stream->walked[stream->nr_walked++] = c->victim;
	c->victim = NULL;
	mutex_unlock(&store->core.lock);
}

/* ---- move ---- */

/* One batch of the victim: which of its blocks are live, under what name. */
struct batch_view {
	struct batch_header header;
	struct birth names[BATCH_PAYLOAD_MAX];
	bool live[BATCH_PAYLOAD_MAX];
	uint32_t first, last; /* live ones; first > last: there is none */
};

static bool resolves_to(struct store *store, struct birth name, uint64_t segno,
			uint32_t slot)
{
	struct segment *s;
	uint32_t at;

	return count_get(&store->segments, name) > 0 &&
	       segment_resolve(&store->segments, name, &s, &at, NULL) == 0 &&
	       s->segno == segno && at == slot;
}

/* The name of the live block in @slot of the victim; false: it is dead. */
static bool find_name(struct store *store, const struct disk_batch *disk,
		      const struct batch_view *view, uint32_t i,
		      struct birth *ret)
{
	uint64_t segno = view->header.segno;
	uint32_t slot = view->header.slot + 1 + i;
	struct batch_entry e;

	*ret = birth_make(segno, slot);
	if (resolves_to(store, *ret, segno, slot))
		return true;
	if (view->header.kind != SEGMENT_GC ||
	    batch_get_entry(disk, i, SEGMENT_GC, &e, NULL) < 0)
		return false;
	*ret = batch_entry_birth(&e);
	return resolves_to(store, *ret, segno, slot);
}

static void view_batch(struct store *store, const struct disk_batch *disk,
		       struct batch_view *view)
{
	uint32_t nr = view->header.nr_payload;

	view->first = BATCH_PAYLOAD_MAX; /* a batch may have no blocks at all */
	view->last = 0;
	mutex_lock(&store->core.lock);
	for (uint32_t i = 0; i < nr; i++) {
		view->live[i] =
			find_name(store, disk, view, i, &view->names[i]);
		if (!view->live[i])
			continue;
		if (view->first == BATCH_PAYLOAD_MAX)
			view->first = i;
		view->last = i;
	}
	mutex_unlock(&store->core.lock);
}

/* The header of the victim's next batch; false: there is none. */
static bool read_header(struct store *store, struct batch_header *ret)
{
	struct cleaner *c = &store->cleaner;
	const struct segment *s = c->victim;
	struct disk_batch *disk = (struct disk_batch *)c->memory;

	return c->slot < store->core.nr_slots &&
	       backend_read(store->core.be, s->place, c->slot * BLOCK_SIZE,
			    disk, BLOCK_SIZE, 0, NULL) == 0 &&
	       batch_decode(disk, ret, NULL) == 0 && ret->kind == s->kind &&
	       ret->segno == s->segno && ret->slot == c->slot &&
	       memcmp(ret->uuid, store->core.uuid, sizeof(ret->uuid)) == 0 &&
	       c->slot + 1 + ret->nr_payload <= store->core.nr_slots;
}

/* Read what is live of the batch, at once. */
static int read_payload(struct store *store, const struct batch_view *view)
{
	struct cleaner *c = &store->cleaner;

	return backend_read(store->core.be, c->victim->place,
			    (c->slot + 1 + view->first) * BLOCK_SIZE,
			    c->memory + BATCH_HEADER_SIZE +
				    (size_t)view->first * BLOCK_SIZE,
			    (view->last - view->first + 1) * BLOCK_SIZE, 0,
			    NULL);
}

/* A block that does not verify, once more around the page cache. */
static bool read_again(struct store *store, uint32_t i, uint8_t *block,
		       uint32_t checksum)
{
	struct cleaner *c = &store->cleaner;

	return backend_read(store->core.be, c->victim->place,
			    (c->slot + 1 + i) * BLOCK_SIZE, block, BLOCK_SIZE,
			    BACKEND_READ_AROUND_CACHE, NULL) == 0 &&
	       checksum32(block, BLOCK_SIZE) == checksum;
}

static void note_bad_block(struct store *store)
{
	store->cleaner.victim->bad = true;
	mutex_lock(&store->core.lock);
	store->checksum_errors++;
	mutex_unlock(&store->core.lock);
}

static int move_blocks(struct store *store, const struct batch_view *view,
		       struct gc_writer *gc, struct error *err)
{
	struct cleaner *c = &store->cleaner;
	const struct disk_batch *disk = (const struct disk_batch *)c->memory;
	bool whole;
	int r = 0;

	if (view->first > view->last)
		return 0;
	whole = read_payload(store, view) == 0;
	for (uint32_t i = view->first; r == 0 && i <= view->last; i++) {
		uint8_t *block =
			c->memory + BATCH_HEADER_SIZE + (size_t)i * BLOCK_SIZE;
		uint32_t checksum = batch_get_checksum(disk, i);

		if (!view->live[i])
			continue;
		if (!(whole && checksum32(block, BLOCK_SIZE) == checksum) &&
		    !read_again(store, i, block, checksum)) {
			note_bad_block(store);
			continue;
		}
		r = gc_writer_ready(gc, err);
		if (r == 0)
			gc_writer_put(gc, view->names[i],
				      pblock_make(view->header.segno,
						  c->slot + 1 + i),
				      block, checksum);
	}
	return r;
}

/* Write what was put, if anything; the walked are done.  Cleaner lock. */
static int flush(struct store *store, struct gc_stream *stream,
		 struct error *err)
{
	int r;

	if (stream->writer.nr == 0 && stream->nr_walked == 0)
		return 0;
	r = gc_writer_flush(&stream->writer, err);
	if (r == 0)
		end_walked(store, stream);
	return r;
}

static int flush_all(struct store *store, struct error *err)
{
	int r = 0;

	for (int i = 0; r == 0 && i < NR_GC_STREAMS; i++)
		r = flush(store, &store->cleaner.streams[i], err);
	return r;
}

/* One batch of the victim. */
static int step(struct store *store, struct error *err)
{
	struct cleaner *c = &store->cleaner;
	struct gc_stream *stream = victim_stream(c);
	struct batch_view view;
	int r = 0;

	if (!read_header(store, &view.header)) {
		if (stream->nr_walked == WALKED_MAX)
			r = flush(store, stream, err);
		if (r == 0)
			walk_ended(store, stream);
		return r;
	}
	view_batch(store, (const struct disk_batch *)c->memory, &view);
	r = move_blocks(store, &view, &stream->writer, err);
	if (r == 0)
		c->slot += 1 + view.header.nr_payload;
	/* a batch was written: what was walked before is in it */
	if (stream->writer.nr_batches != stream->nr_batches)
		end_walked(store, stream);
	stream->nr_batches = stream->writer.nr_batches;
	return r;
}

/* From here on, to the end, a map node that is touched is counted (I13). */
static void begin_cleaning(struct store *store) ACQUIRE(store->cleaner.lock)
{
	mutex_lock(&store->cleaner.lock);
	mutex_lock(&store->core.lock);
	nodes_cleaning_begin(&store->nodes);
	mutex_unlock(&store->core.lock);
}

static void end_cleaning(struct store *store) RELEASE(store->cleaner.lock)
{
	mutex_lock(&store->core.lock);
	nodes_cleaning_end(&store->nodes);
	mutex_unlock(&store->core.lock);
	mutex_unlock(&store->cleaner.lock);
}

int cleaner_step(struct store *store, struct error *err)
{
	int r;

	begin_cleaning(store);
	if (take_victim(store)) {
		r = step(store, err);
		r = r < 0 ? r : 1;
	} else {
		r = flush_all(store, err);
	}
	end_cleaning(store);
	return r;
}

int cleaner_rest(struct store *store, struct error *err)
{
	int r;

	begin_cleaning(store);
	r = flush_all(store, err);
	end_cleaning(store);
	return r;
}
