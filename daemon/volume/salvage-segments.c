/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segments that leaves name and no page of the segment table lists: found by
 * the headers in the frames and the moves that GC batches tell of.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "recount.h"
#include "salvage.h"

struct missing {
	struct store *store;
	struct segno_vector segnos; /* ascending */
	struct segment_vector found;
	uint64_t nr_forwards;
};

/* ---- which ---- */

/* Where @segno is, or belongs. */
static size_t missing_place(const struct missing *m, uint64_t segno)
{
	size_t low = 0, high = m->segnos.len;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (m->segnos.ptr[middle] < segno)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_missing(const struct missing *m, uint64_t segno)
{
	size_t i = missing_place(m, segno);

	return i < m->segnos.len && m->segnos.ptr[i] == segno;
}

/* The segment that should hold the block of @e. */
static uint64_t segno_of(struct store *store, struct leaf_entry e)
{
	struct pblock at;

	mutex_lock(&store->core.lock);
	at = segment_place(&store->segments, leaf_entry_birth(e));
	mutex_unlock(&store->core.lock);
	return pblock_segno(at);
}

static int note_missing(void *opaque, const struct recount_finding *f,
			struct error *err)
{
	struct missing *m = opaque;

	for (uint32_t i = 0; i < LEAF_BLOCKS; i++) {
		uint64_t segno;
		size_t at;

		if (!(f->entries >> i & 1))
			continue;
		segno = segno_of(m->store, f->leaf->entries[i]);
		at = missing_place(m, segno);
		if (is_missing(m, segno))
			continue;
		if (segno_vector_reserve(&m->segnos, 1) < 0)
			return error_set(err, ENOMEM, "out of memory");
		memmove(&m->segnos.ptr[at + 1], &m->segnos.ptr[at],
			(m->segnos.len - at) * sizeof(*m->segnos.ptr));
		m->segnos.ptr[at] = segno;
		m->segnos.len++;
	}
	return 0;
}

/* ---- where ---- */

/*
 * What the headers in frame @place say it holds.  That of the segment may be
 * lost: then the first batch tells.
 */
static bool identify_frame(struct store *store, uint64_t place,
			   const uint8_t *blocks, struct segment *ret)
{
	struct segment_header s;
	struct batch_header b;

	if (segment_header_decode((const void *)blocks, place, &s, NULL) == 0 &&
	    memcmp(s.uuid, store->core.uuid, sizeof(s.uuid)) == 0) {
		*ret = (struct segment){.segno = s.segno,
					.kind = s.kind,
					.sealed_time_ns = s.time_ns,
					.first_seq = s.first_seq};
		return s.kind != SEGMENT_META;
	}
	if (batch_decode((const void *)(blocks + BLOCK_SIZE), &b, NULL) == 0 &&
	    memcmp(b.uuid, store->core.uuid, sizeof(b.uuid)) == 0 &&
	    b.slot == 1) {
		*ret = (struct segment){.segno = b.segno,
					.kind = b.kind,
					.sealed_time_ns = b.time_ns,
					.first_seq = b.seq};
		return b.kind != SEGMENT_META;
	}
	return false;
}

/* The number of the last batch in frame @place, found by their headers. */
static uint64_t last_seq(struct store *store, uint64_t place,
			 const struct segment *s)
{
	uint64_t seq = s->first_seq - 1;
	struct disk_batch disk;
	struct batch_header h;

	for (uint32_t slot = 1; slot < store->core.nr_slots;
	     slot += 1 + h.nr_payload) {
		if (backend_read(store->core.be, place, slot * BLOCK_SIZE,
				 &disk, sizeof(disk), 0, NULL) < 0 ||
		    batch_decode(&disk, &h, NULL) < 0 || h.segno != s->segno ||
		    h.slot != slot)
			break;
		seq = h.seq;
	}
	return seq;
}

static int add_segment(struct missing *m, uint64_t place,
		       const struct segment *what, struct error *err)
{
	struct store *store = m->store;
	struct segment *s;
	int r;

	r = frames_mark_used(&store->frames, place, err);
	if (r < 0)
		return r;
	s = segment_new(&store->core, what->kind);
	if (!s || segment_table_prepare(&store->segments) < 0 ||
	    segment_vector_reserve(&m->found, 1) < 0) {
		segment_free(s);
		return error_set(err, ENOMEM, "out of memory");
	}
	s->segno = what->segno;
	s->place = place;
	s->first_seq = what->first_seq;
	/* the log goes on in one: recovery seals what it has left behind */
	if (s->segno != store->sb.log.segno) {
		s->sealed = true;
		s->sealed_time_ns = what->sealed_time_ns;
		s->last_seq = last_seq(store, place, s);
	}
	segment_insert(&store->segments, s);
	m->found.ptr[m->found.len++] = s;
	return 0;
}

/*
 * GC segments are taken in any case: nothing names those whose forwards are
 * lost, too.  What turns out to hold nothing is dropped as any dead segment.
 */
static int search_frames(struct missing *m, struct error *err)
{
	struct store *store = m->store;
	uint8_t blocks[2 * BLOCK_SIZE];
	struct segment what;
	int r = 0;

	for (uint64_t place = 0; r == 0 && place < store->core.be->nr_frames;
	     place++) {
		if (frames_is_used(&store->frames, place))
			continue;
		r = backend_read(store->core.be, place, 0, blocks,
				 sizeof(blocks), 0, err);
		if (r < 0 && salvage_may_lose(store->salvage, r))
			r = 0;
		else if (r == 0 &&
			 identify_frame(store, place, blocks, &what) &&
			 (is_missing(m, what.segno) ||
			  what.kind == SEGMENT_GC) &&
			 !segment_find(&store->segments, what.segno))
			r = add_segment(m, place, &what, err);
	}
	return r;
}

/* ---- forwards ---- */

/* A segment of which only names are left. */
static int add_names(struct missing *m, uint64_t segno, struct segment **ret,
		     struct error *err)
{
	struct store *store = m->store;
	struct segment *s = segment_new(&store->core, SEGMENT_DATA);

	if (!s || segment_table_prepare(&store->segments) < 0 ||
	    segment_vector_reserve(&m->found, 1) < 0) {
		segment_free(s);
		return error_set(err, ENOMEM, "out of memory");
	}
	s->segno = segno;
	s->sealed = true;
	segment_insert(&store->segments, s);
	m->found.ptr[m->found.len++] = s;
	*ret = s;
	return 0;
}

/* The block of @name was moved to @slot of @gc, where it is whole. */
static int restore_forward(struct missing *m, struct birth name,
			   const struct segment *gc, uint32_t slot,
			   struct error *err)
{
	struct segment_table *t = &m->store->segments;
	struct segment *s = segment_find(t, birth_segno(name));
	int r = 0;

	if (birth_slot(name) >= m->store->core.nr_slots)
		return 0;
	if (!s)
		r = add_names(m, birth_segno(name), &s, err);
	if (r == 0 && segment_set_forward(t, s, birth_slot(name),
					  pblock_make(gc->segno, slot)) < 0)
		r = error_set(err, ENOMEM, "out of memory");
	m->nr_forwards += r == 0;
	return r;
}

/* Payload block @i of @disk is what its header says. */
static bool payload_is_whole(struct store *store, uint64_t place,
			     const struct batch_header *h,
			     const struct disk_batch *disk, uint32_t i)
{
	uint8_t block[BLOCK_SIZE];

	return backend_read(store->core.be, place,
			    (h->slot + 1 + i) * BLOCK_SIZE, block,
			    sizeof(block), 0, NULL) == 0 &&
	       checksum32(block, sizeof(block)) == batch_get_checksum(disk, i);
}

static int restore_of_batch(struct missing *m, const struct segment *gc,
			    const struct disk_batch *disk,
			    const struct batch_header *h, struct error *err)
{
	int r = 0;

	/* a GC batch has one entry for each block */
	for (uint32_t i = 0; r == 0 && i < h->nr_entries; i++) {
		struct batch_entry e;
		struct birth name;

		r = batch_get_entry(disk, i, h->kind, &e, err);
		if (r < 0)
			return 0; /* as if it were not there */
		name = batch_entry_birth(&e);
		if (is_missing(m, birth_segno(name)) &&
		    payload_is_whole(m->store, gc->place, h, disk, i))
			r = restore_forward(m, name, gc, h->slot + 1 + i, err);
	}
	return r;
}

static int restore_of_segment(struct missing *m, const struct segment *gc,
			      struct error *err)
{
	struct store *store = m->store;
	struct disk_batch disk;
	struct batch_header h;
	int r = 0;

	for (uint32_t slot = 1; r == 0 && slot < store->core.nr_slots;
	     slot += 1 + h.nr_payload) {
		if (backend_read(store->core.be, gc->place, slot * BLOCK_SIZE,
				 &disk, sizeof(disk), 0, NULL) < 0 ||
		    batch_decode(&disk, &h, NULL) < 0 || h.kind != SEGMENT_GC ||
		    h.segno != gc->segno || h.slot != slot ||
		    slot + 1 + h.nr_payload > store->core.nr_slots)
			break;
		r = restore_of_batch(m, gc, &disk, &h, err);
	}
	return r;
}

static int compare_segnos(const void *a, const void *b)
{
	const struct segment *x = *(struct segment *const *)a;
	const struct segment *y = *(struct segment *const *)b;

	return (x->segno > y->segno) - (x->segno < y->segno);
}

/*
 * Blocks of missing segments that the cleaner has moved say so in the GC
 * batches that hold them; when a block was moved twice, every copy that
 * verifies is the block.
 */
static int restore_forwards(struct missing *m, struct error *err)
{
	struct segment_table *t = &m->store->segments;
	struct segment_vector gc = {0};
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < t->pages.nr_pages; i++)
		if (t->by_index[i] && t->by_index[i]->kind == SEGMENT_GC &&
		    t->by_index[i]->place != PLACE_NONE)
			r = segment_vector_push(&gc, t->by_index[i]);
	if (r < 0)
		(void)error_set(err, ENOMEM, "out of memory");
	else if (gc.len)
		qsort(gc.ptr, gc.len, sizeof(*gc.ptr), compare_segnos);
	for (size_t i = 0; r == 0 && i < gc.len; i++)
		r = restore_of_segment(m, gc.ptr[i], err);
	segment_vector_done(&gc);
	if (r == 0 && m->nr_forwards)
		salvage_say(m->store->salvage,
			    "moved blocks found again: %" PRIu64,
			    m->nr_forwards);
	return r;
}

/* ---- all ---- */

static int found_again(void *opaque, const struct recount_finding *f,
		       struct error *err)
{
	(void)opaque; /* it was said, or is about to be */
	(void)f;
	(void)err;
	return 0;
}

static int count_segments(struct missing *m, struct error *err)
{
	struct store *store = m->store;
	struct recount rc;
	int r;

	r = recount_init(&rc, store, found_again, NULL, err);
	if (r == 0)
		r = recount_walk(&rc, err);
	mutex_lock(&store->core.lock);
	for (size_t i = 0; r == 0 && i < m->found.len; i++)
		r = recount_assign_segment(&rc, m->found.ptr[i], err);
	if (r == 0 && segment_table_add_up(&store->segments) < 0)
		r = error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < m->found.len; i++)
		if (m->found.ptr[i]->live > 0)
			salvage_say(store->salvage,
				    "segment %" PRIu64 ": found in frame "
				    "%" PRIu64 ", its blocks are counted anew",
				    m->found.ptr[i]->segno,
				    m->found.ptr[i]->place);
	mutex_unlock(&store->core.lock);
	recount_done(&rc);
	return r;
}

int salvage_segments(struct store *store, struct error *err)
{
	struct missing m = {.store = store};
	struct recount rc;
	int r;

	if (!salvage_has_lost(store->salvage, TABLE_SEGMENT))
		return 0;
	r = recount_init(&rc, store, note_missing, &m, err);
	if (r == 0)
		r = recount_walk(&rc, err);
	recount_done(&rc);
	if (r == 0 && m.segnos.len > 0) {
		mutex_lock(&store->core.lock);
		r = search_frames(&m, err);
		if (r == 0)
			r = restore_forwards(&m, err);
		mutex_unlock(&store->core.lock);
	}
	if (r == 0 && m.found.len > 0)
		r = count_segments(&m, err);
	segno_vector_done(&m.segnos);
	segment_vector_done(&m.found);
	return r;
}
