/* SPDX-License-Identifier: BSD-2-Clause */
#include "segment-internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

/* ---- segments ---- */

struct segment *segment_new(const struct core *core, enum segment_kind kind)
{
	size_t counts = kind == SEGMENT_META ? 0 : core->nr_slots / 4;
	struct segment *s = calloc(1, sizeof(*s) + counts);

	if (!s)
		return NULL;
	s->kind = kind;
	s->index = NO_INDEX;
	s->place = PLACE_NONE;
	if (counts > 0)
		s->counts = (uint8_t *)(s + 1);
	return s;
}

void segment_free(struct segment *s)
{
	if (!s)
		return;
	free(s->scrubbed);
	free(s->forwards);
	free(s);
}

void segment_to_info(const struct segment *s, struct segment_info *ret)
{
	*ret = (struct segment_info){
		.segno = s->segno,
		.place = s->frame_dying ? PLACE_NONE : s->place,
		.sealed_time_ns = s->sealed_time_ns,
		.first_seq = s->first_seq,
		.last_seq = s->last_seq,
		.live = s->live,
		.nr_overflow = s->nr_overflow,
		.nr_forwards = s->nr_forwards,
		.kind = s->kind,
		.flags = (s->sealed ? SEGMENT_INFO_SEALED : 0) |
			 (s->quarantine ? SEGMENT_INFO_QUARANTINE : 0),
	};
}

static size_t segment_page_encode(void *owner, uint32_t index, void *ret)
{
	struct segment_table *table = owner;
	struct segment *s = table->by_index[index];
	unsigned int shift = table->core->segment_shift;
	uint32_t overflow[SLOTS_MAX];
	struct segment_info info;
	uint32_t nr = 0;

	if (!s || s->dying)
		return 0;
	for (uint32_t slot = 0; s->nr_overflow && slot < table->core->nr_slots;
	     slot++) {
		if (slot_count_get(s, slot) != 3)
			continue;
		overflow[nr++] = overflow_get(&table->overflow,
					      birth_make(s->segno, slot).value);
	}
	assert(nr == s->nr_overflow);
	segment_to_info(s, &info);
	return segment_info_encode(index, &info, shift, s->counts, overflow,
				   s->forwards, ret);
}

int segment_table_init(struct segment_table *table, struct core *core)
{
	int r;

	*table = (struct segment_table){.core = core, .nr_buckets = 1024};
	r = page_table_init(&table->pages, core, TABLE_SEGMENT,
			    segment_page_encode, table);
	if (r < 0)
		return r;
	table->buckets = calloc(table->nr_buckets, sizeof(*table->buckets));
	if (!table->buckets)
		return -ENOMEM;
	return overflow_reserve(&table->overflow, OVERFLOW_SLACK);
}

void segment_table_done(struct segment_table *table)
{
	for (uint32_t i = 0; table->buckets && i < table->nr_buckets; i++) {
		while (table->buckets[i]) {
			struct segment *s = table->buckets[i];

			table->buckets[i] = s->hash_next;
			segment_free(s);
		}
	}
	free(table->buckets);
	free(table->by_index);
	overflow_done(&table->overflow);
	index_vector_done(&table->free_indices);
	segment_vector_done(&table->dead);
	segment_vector_done(&table->meta);
	page_table_done(&table->pages);
	*table = (struct segment_table){0};
}

struct segment *segment_find(struct segment_table *table, uint64_t segno)
{
	struct segment *s = table->last;

	if (s && s->segno == segno)
		return s;
	s = segment_look_up(table, segno);
	if (s)
		table->last = s;
	return s;
}

struct segment *segment_find_meta(struct segment_table *table, uint64_t segno)
{
	struct segment *s = segment_find(table, segno);

	return s && s->kind == SEGMENT_META ? s : NULL;
}

static int buckets_grow(struct segment_table *table)
{
	uint32_t nr = table->nr_buckets * 2;
	struct segment **buckets = calloc(nr, sizeof(*buckets));

	if (!buckets)
		return -ENOMEM;
	for (uint32_t i = 0; i < table->nr_buckets; i++) {
		while (table->buckets[i]) {
			struct segment *s = table->buckets[i];

			table->buckets[i] = s->hash_next;
			s->hash_next = buckets[s->segno & (nr - 1)];
			buckets[s->segno & (nr - 1)] = s;
		}
	}
	free(table->buckets);
	table->buckets = buckets;
	table->nr_buckets = nr;
	return 0;
}

/* Room for pages 0..nr-1. */
static int indices_grow(struct segment_table *table, uint32_t nr)
{
	struct segment **by_index;
	int r;

	r = page_table_grow(&table->pages, nr);
	if (r < 0 || table->by_index_cap >= table->pages.cap)
		return r;
	by_index = reallocarray(table->by_index, table->pages.cap,
				sizeof(*by_index));
	if (!by_index)
		return -ENOMEM;
	memset(by_index + table->by_index_cap, 0,
	       (table->pages.cap - table->by_index_cap) * sizeof(*by_index));
	table->by_index = by_index;
	table->by_index_cap = table->pages.cap;
	return 0;
}

int segment_table_prepare(struct segment_table *table)
{
	int r;

	mutex_assert_held(&table->core->lock);
	if (table->nr_segments >= table->nr_buckets * 2) {
		r = buckets_grow(table);
		if (r < 0)
			return r;
	}
	if (table->free_indices.len == 0) {
		uint32_t index = table->pages.nr_pages;

		r = indices_grow(table, index + 1);
		if (r < 0)
			return r;
		r = index_vector_push(&table->free_indices, index);
		if (r < 0)
			return r;
	}
	/* every segment may die: the push in count_add() must not fail */
	r = segment_vector_reserve(&table->dead, table->nr_segments + 1);
	if (r < 0)
		return r;
	r = index_vector_reserve(&table->free_indices, table->nr_segments + 1);
	if (r < 0)
		return r;
	r = segment_vector_reserve(&table->meta, 1);
	if (r < 0)
		return r;
	return overflow_reserve(&table->overflow, OVERFLOW_SLACK);
}

uint64_t segment_memory_bytes(const struct core *core, uint64_t nr)
{
	return nr * (sizeof(struct segment) + core->nr_slots / 4 +
		     sizeof(struct page));
}

void segment_table_memory(const struct segment_table *table,
			  struct segment_memory *ret)
{
	mutex_assert_held(&table->core->lock);
	ret->counts = segment_memory_bytes(table->core, table->nr_segments) +
		      overflow_bytes(&table->overflow);
	ret->forwards = table->nr_forwards * sizeof(struct slot_forward);
}

void segment_insert(struct segment_table *table, struct segment *s)
{
	struct segment **bucket = bucket_of(table, s->segno);

	mutex_assert_held(&table->core->lock);
	s->hash_next = *bucket;
	*bucket = s;
	table->nr_segments++;
	if (s->kind == SEGMENT_META) {
		assert(table->meta.len < table->meta.cap);
		table->meta.ptr[table->meta.len++] = s;
		return;
	}
	if (s->index == NO_INDEX) {
		assert(table->free_indices.len > 0);
		s->index = table->free_indices.ptr[--table->free_indices.len];
	}
	/* touched before the page changes: it becomes this segment's */
	page_table_touch(&table->pages, s->index);
	assert(!table->by_index[s->index]);
	table->by_index[s->index] = s;
}

static void meta_remove(struct segment_table *table, const struct segment *s)
{
	size_t i = 0;

	while (table->meta.ptr[i] != s)
		i++;
	table->meta.ptr[i] = table->meta.ptr[--table->meta.len];
}

void segment_remove(struct segment_table *table, struct segment *s)
{
	struct segment **p = bucket_of(table, s->segno);

	mutex_assert_held(&table->core->lock);
	while (*p != s)
		p = &(*p)->hash_next;
	*p = s->hash_next;
	table->nr_segments--;
	if (table->last == s)
		table->last = NULL;
	if (s->kind == SEGMENT_META)
		meta_remove(table, s);
	else
		table->nr_nameless -= s->place == PLACE_NONE;
	table->nr_forwards -= s->nr_forwards;
	if (s->index != NO_INDEX) {
		assert(table->by_index[s->index] == s);
		if (page_table_is_dirty(&table->pages, s->index))
			table->dirty_forwards -= s->nr_forwards;
		table->by_index[s->index] = NULL;
		/* reserved by segment_table_prepare() */
		(void)index_vector_push(&table->free_indices, s->index);
	}
}

void segment_cut_dead(struct segment_table *table, struct segment *s)
{
	mutex_assert_held(&table->core->lock);
	assert(s->listed);
	s->listed = false;
	table->nr_dead_frames -= s->place != PLACE_NONE;
	/* a damaged table counted wrongly, or forwarded what nobody named */
	if (s->live > 0 || (s->names > 0 && s->place == PLACE_NONE))
		return;
	segment_touch(table, s);
	if (s->names == 0)
		s->dying = true;
	else
		s->frame_dying = true;
}

void segment_lose_frame(struct segment_table *table, struct segment *s)
{
	mutex_assert_held(&table->core->lock);
	assert(s->frame_dying);
	s->frame_dying = false;
	s->place = PLACE_NONE;
	table->nr_nameless++;
	if (s->names == 0)
		segment_note_dead(table, s);
}

void segment_touch(struct segment_table *table, struct segment *s)
{
	if (s->index == NO_INDEX)
		return;
	if (!page_table_is_dirty(&table->pages, s->index))
		table->dirty_forwards += s->nr_forwards;
	page_table_touch(&table->pages, s->index);
}

void segment_touch_page(struct segment_table *table, uint32_t index)
{
	mutex_assert_held(&table->core->lock);
	if (table->by_index[index])
		segment_touch(table, table->by_index[index]);
	else
		page_table_touch(&table->pages, index);
}

void segment_table_cut(struct segment_table *table)
{
	mutex_assert_held(&table->core->lock);
	table->dirty_forwards = 0;
}

void segment_note_dead(struct segment_table *table, struct segment *s)
{
	if (s->listed || s->dying || s->frame_dying)
		return;
	s->listed = true;
	table->nr_dead_frames += s->place != PLACE_NONE;
	if (segment_vector_push(&table->dead, s) < 0) {
		mutex_assert_held(&table->core->lock);
		core_fail_nomem(table->core);
	}
}

void segment_seal(struct segment_table *table, struct segment *s,
		  uint64_t last_seq)
{
	mutex_assert_held(&table->core->lock);
	assert(!s->sealed);
	segment_touch(table, s);
	s->sealed = true;
	s->sealed_time_ns = clock_ns();
	s->last_seq = last_seq;
	table->nr_chances += s->kind != SEGMENT_META;
	if (s->live == 0)
		segment_note_dead(table, s);
}

void segment_table_seal_open(struct segment_table *table,
			     const struct segment *except, uint64_t last_seq)
{
	for (uint32_t i = 0; i < table->nr_buckets; i++)
		for (struct segment *s = table->buckets[i]; s; s = s->hash_next)
			if (!s->sealed && s != except &&
			    s->kind != SEGMENT_META)
				/* where the GC stream ended nobody knows */
				segment_seal(table, s,
					     s->kind == SEGMENT_DATA
						     ? last_seq
						     : s->first_seq);
}

void segment_table_seal_open_meta(struct segment_table *table, uint64_t below)
{
	for (size_t i = 0; i < table->meta.len; i++) {
		struct segment *s = table->meta.ptr[i];

		if (!s->sealed && s->segno < below)
			segment_seal(table, s, 0);
	}
}

void segment_add_live(struct segment_table *table, struct segment *s, int delta)
{
	segment_touch(table, s);
	table->nr_live -= s->live > 0;
	s->live += (uint32_t)delta;
	table->nr_live += s->live > 0;
	if (s->live == 0 && s->sealed)
		segment_note_dead(table, s);
}

void segment_add_names(struct segment_table *table, struct segment *s,
		       int delta)
{
	table->nr_named -= s->names > 0;
	s->names += (uint32_t)delta;
	table->nr_named += s->names > 0;
	if (s->names == 0 && s->place == PLACE_NONE)
		segment_note_dead(table, s);
}

void segment_quarantine(struct segment_table *table, struct segment *s)
{
	segment_touch(table, s);
	s->quarantine = true;
}

int segment_add_meta(struct segment_table *table, uint64_t segno, int64_t delta,
		     struct error *err)
{
	struct segment *s = segment_find_meta(table, segno);

	mutex_assert_held(&table->core->lock);
	if (!s || (delta < 0 && s->live < (uint64_t)-delta))
		return error_set(err, EUCLEAN,
				 "segment %" PRIu64
				 " holds no such metadata record",
				 segno);
	s->live = (uint32_t)(s->live + delta);
	table->meta_bytes += (uint64_t)delta;
	if (s->live == 0 && s->sealed)
		segment_note_dead(table, s);
	return 0;
}

void segment_drop_meta(struct segment_table *table, uint64_t segno,
		       uint32_t bytes)
{
	struct segment *s = segment_find_meta(table, segno);

	/* cannot fail: it was counted when it was written */
	(void)segment_add_meta(table, segno, -(int64_t)bytes, NULL);
	if (s)
		s->dropped_generation = table->core->generation;
}

bool segment_is_replaced(const struct segment_table *table,
			 const struct segment *s)
{
	return s->kind == SEGMENT_META && s->live == 0 &&
	       s->dropped_generation != table->core->generation;
}

/* ---- loading ---- */

/* How many slots have a count.  An open looks at those of all segments. */
static uint32_t nr_counted(const uint8_t *counts, uint32_t length)
{
	uint32_t ret = 0;

	for (uint32_t i = 0; i < length; i += sizeof(uint64_t)) {
		uint64_t word = 0;

		memcpy(&word, counts + i,
		       length - i < sizeof(word) ? length - i : sizeof(word));
		ret += (uint32_t)__builtin_popcountll((word | word >> 1) &
						      0x5555555555555555);
	}
	return ret;
}

static int load_arrays(struct segment_table *table, struct segment *s,
		       const void *page, const struct segment_info *info,
		       struct error *err)
{
	unsigned int shift = table->core->segment_shift;

	memcpy(s->counts, segment_info_counts(page), table->core->nr_slots / 4);
	s->names = nr_counted(s->counts, table->core->nr_slots / 4);
	table->live_blocks += s->names;
	if (overflow_reserve(&table->overflow,
			     info->nr_overflow + OVERFLOW_SLACK) < 0)
		return error_set(err, ENOMEM, "out of memory");
	for (uint32_t slot = 0; s->nr_overflow < info->nr_overflow; slot++)
		if (slot_count_get(s, slot) == 3)
			overflow_set(&table->overflow,
				     birth_make(s->segno, slot).value,
				     segment_info_overflow(page, info, shift,
							   s->nr_overflow++));
	if (info->nr_forwards == 0)
		return 0;
	s->forwards = calloc(info->nr_forwards, sizeof(*s->forwards));
	if (!s->forwards)
		return error_set(err, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < info->nr_forwards; i++)
		s->forwards[i] = segment_info_forward(page, info, shift, i);
	s->nr_forwards = s->forwards_cap = info->nr_forwards;
	table->nr_forwards += s->nr_forwards;
	return 0;
}

int segment_table_load(struct segment_table *table, uint32_t index,
		       const void *page, size_t length, struct error *err)
{
	struct segment_info info;
	struct segment *s;
	int r;

	mutex_assert_held(&table->core->lock);
	r = segment_info_decode(page, length, index, table->core->segment_shift,
				&info, err);
	if (r < 0)
		return r;
	if (segment_find(table, info.segno))
		return error_set(err, EUCLEAN,
				 "segment %" PRIu64 " is listed twice",
				 info.segno);
	if (info.place != PLACE_NONE &&
	    info.place >= table->core->be->nr_frames)
		return error_set(err, EUCLEAN,
				 "segment %" PRIu64 ": place %" PRIu64
				 " is beyond the store",
				 info.segno, info.place);
	if (segment_table_prepare(table) < 0 ||
	    indices_grow(table, index + 1) < 0)
		return error_set(err, ENOMEM, "out of memory");
	s = segment_new(table->core, info.kind);
	if (!s)
		return error_set(err, ENOMEM, "out of memory");
	s->segno = info.segno;
	s->place = info.place;
	s->sealed = info.flags & SEGMENT_INFO_SEALED;
	s->quarantine = info.flags & SEGMENT_INFO_QUARANTINE;
	s->sealed_time_ns = info.sealed_time_ns;
	s->first_seq = info.first_seq;
	s->last_seq = info.last_seq;
	s->live = info.live;
	r = load_arrays(table, s, page, &info, err);
	if (r < 0) {
		segment_free(s);
		return r;
	}
	s->hash_next = *bucket_of(table, s->segno);
	*bucket_of(table, s->segno) = s;
	table->nr_segments++;
	s->index = index;
	table->by_index[index] = s;
	table->nr_nameless += s->place == PLACE_NONE;
	table->nr_live += s->live > 0;
	table->nr_named += s->names > 0;
	if (s->live == 0 &&
	    (s->place == PLACE_NONE ? s->names == 0 : s->sealed))
		segment_note_dead(table, s);
	return 0;
}

int segment_table_loaded(struct segment_table *table, uint32_t nr_pages)
{
	int r = indices_grow(table, nr_pages);

	table->free_indices.len = 0;
	for (uint32_t i = 0; r == 0 && i < nr_pages; i++)
		if (!table->by_index[i])
			r = index_vector_push(&table->free_indices, i);
	return r;
}
