/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Forwards: where the blocks are that the cleaner moved.
 *
 * A segment holds the forwards of its own names, sorted by slot; only counted
 * names have one.  A name without a forward means its own address.
 */
#include "segment-internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Index of the first forward of @s at or behind @slot. */
static uint32_t forward_index(const struct segment *s, uint32_t slot)
{
	uint32_t low = 0, high = s->nr_forwards;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (s->forwards[middle].slot < slot)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct slot_forward *forward_find(const struct segment *s, uint32_t slot)
{
	uint32_t i = forward_index(s, slot);

	return i < s->nr_forwards && s->forwards[i].slot == slot
		       ? &s->forwards[i]
		       : NULL;
}

struct pblock segment_place(struct segment_table *table, struct birth name)
{
	const struct segment *s = segment_find(table, birth_segno(name));
	const struct slot_forward *f = NULL;

	if (s && s->nr_forwards)
		f = forward_find(s, birth_slot(name));
	return f ? f->place : pblock_make(birth_segno(name), birth_slot(name));
}

int segment_resolve(struct segment_table *table, struct birth name,
		    struct segment **ret_segment, uint32_t *ret_slot,
		    struct error *err)
{
	struct segment *s = segment_find(table, birth_segno(name));
	uint32_t slot = birth_slot(name);
	const struct slot_forward *f = NULL;

	if (s && s->nr_forwards)
		f = forward_find(s, slot);
	if (f) {
		s = segment_find(table, pblock_segno(f->place));
		slot = pblock_slot(f->place);
	}
	if (!s || s->place == PLACE_NONE || s->kind == SEGMENT_META ||
	    slot == 0 || slot >= table->core->nr_slots)
		return error_set(err, EUCLEAN,
				 "name %" PRIu64 ":%" PRIu32
				 " has no physical address",
				 birth_segno(name), birth_slot(name));
	*ret_segment = s;
	*ret_slot = slot;
	return 0;
}

int forward_reserve(struct segment *s, uint32_t nr)
{
	uint32_t cap = s->forwards_cap ? s->forwards_cap : 8;
	struct slot_forward *forwards;

	if (s->nr_forwards + nr <= s->forwards_cap)
		return 0;
	while (cap < s->nr_forwards + nr)
		cap *= 2;
	forwards = reallocarray(s->forwards, cap, sizeof(*forwards));
	if (!forwards)
		return -ENOMEM;
	s->forwards = forwards;
	s->forwards_cap = cap;
	return 0;
}

static void forward_put(struct segment_table *table, struct segment *s,
			uint32_t slot, struct pblock to)
{
	uint32_t i = forward_index(s, slot);

	if (i == s->nr_forwards || s->forwards[i].slot != slot) {
		assert(s->nr_forwards < s->forwards_cap);
		memmove(s->forwards + i + 1, s->forwards + i,
			(s->nr_forwards - i) * sizeof(*s->forwards));
		s->nr_forwards++;
		table->nr_forwards++;
		table->dirty_forwards++;
	}
	s->forwards[i] = (struct slot_forward){.slot = slot, .place = to};
}

int segment_set_forward(struct segment_table *table, struct segment *s,
			uint32_t slot, struct pblock to)
{
	if (forward_reserve(s, 1) < 0)
		return -ENOMEM;
	segment_touch(table, s);
	forward_put(table, s, slot, to);
	return 0;
}

void forward_drop(struct segment_table *table, struct segment *s, uint32_t slot)
{
	uint32_t i = forward_index(s, slot);

	if (i == s->nr_forwards || s->forwards[i].slot != slot)
		return;
	segment_touch(table, s);
	s->nr_forwards--;
	table->nr_forwards--;
	table->dirty_forwards--;
	memmove(s->forwards + i, s->forwards + i + 1,
		(s->nr_forwards - i) * sizeof(*s->forwards));
}

bool forward_set(struct segment_table *table, struct birth name,
		 struct pblock from, struct pblock to)
{
	struct segment *s, *old_holder, *holder;
	uint32_t at;

	mutex_assert_held(&table->core->lock);
	if (count_get(table, name) == 0 ||
	    segment_resolve(table, name, &old_holder, &at, NULL) < 0 ||
	    old_holder->segno != pblock_segno(from) || at != pblock_slot(from))
		return false;
	s = segment_find(table, birth_segno(name));
	holder = segment_find(table, pblock_segno(to));
	segment_touch(table, s);
	forward_put(table, s, birth_slot(name), to);
	segment_add_live(table, holder, 1);
	segment_add_live(table, old_holder, -1);
	return true;
}

bool name_rename(struct segment_table *table, struct birth name,
		 struct birth *ret)
{
	struct segment *s = segment_find(table, birth_segno(name)), *holder;
	uint32_t slot = birth_slot(name), at;

	mutex_assert_held(&table->core->lock);
	if (!s || !s->nr_forwards || !forward_find(s, slot) ||
	    slot_count_get(s, slot) != 1 ||
	    segment_resolve(table, name, &holder, &at, NULL) < 0 ||
	    slot_count_get(holder, at) != 0)
		return false;
	segment_touch(table, s);
	segment_touch(table, holder);
	slot_count_set(s, slot, 0);
	slot_count_set(holder, at, 1);
	forward_drop(table, s, slot);
	segment_add_names(table, holder, 1);
	segment_add_names(table, s, -1);
	table->nr_renamed++;
	*ret = birth_make(holder->segno, at);
	return true;
}

bool segments_want_rename(const struct segment_table *table)
{
	return table->nr_forwards > table->live_blocks / 32;
}
