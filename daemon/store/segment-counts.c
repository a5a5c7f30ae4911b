/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts of names. */
#include "segment-internal.h"

#include <assert.h>
#include <inttypes.h>

uint32_t count_get(struct segment_table *table, struct birth name)
{
	struct segment *s = segment_find(table, birth_segno(name));
	uint32_t count;

	if (!s || !s->counts || birth_slot(name) >= table->core->nr_slots)
		return 0;
	count = slot_count_get(s, birth_slot(name));
	return count < 3 ? count : overflow_get(&table->overflow, name.value);
}

void counts_prefetch(const struct segment_table *table,
		     const struct birth *names, uint32_t nr)
{
	mutex_assert_held(&table->core->lock);
	for (uint32_t i = 0; i < nr; i++)
		__builtin_prefetch(bucket_of(table, birth_segno(names[i])));
	for (uint32_t i = 0; i < nr; i++)
		__builtin_prefetch(*bucket_of(table, birth_segno(names[i])));
	for (uint32_t i = 0; i < nr; i++) {
		const struct segment *s =
			segment_look_up(table, birth_segno(names[i]));

		/* hostile: neither the slot nor the segment need exist */
		if (!s || !s->counts ||
		    birth_slot(names[i]) >= table->core->nr_slots)
			continue;
		__builtin_prefetch(s->counts + birth_slot(names[i]) / 4, 1);
		__builtin_prefetch(&table->pages.pages[s->index].generation);
	}
}

void count_store(struct segment_table *table, struct segment *s,
		 struct birth name, uint32_t old, uint32_t count)
{
	segment_touch(table, s);
	slot_count_set(s, birth_slot(name), count < 3 ? count : 3);
	if (count >= 3) {
		overflow_set(&table->overflow, name.value, count);
		s->nr_overflow += old < 3;
	} else if (old >= 3) {
		overflow_remove(&table->overflow, name.value);
		s->nr_overflow--;
	}
}

int count_add(struct segment_table *table, struct birth name, int delta,
	      struct error *err)
{
	uint32_t slot = birth_slot(name);
	struct segment *s, *holder;
	uint32_t old, at;
	int r;

	mutex_assert_held(&table->core->lock);
	assert(delta == 1 || delta == -1);
	s = segment_find(table, birth_segno(name));
	if (!s || !s->counts || slot == 0 || slot >= table->core->nr_slots)
		return error_set(err, EUCLEAN,
				 "name %" PRIu64 ":%" PRIu32
				 " is in no segment",
				 birth_segno(name), slot);
	old = count_get(table, name);
	if ((delta < 0 && old == 0) || (delta > 0 && old == UINT32_MAX))
		return error_set(err, EUCLEAN,
				 "name %" PRIu64 ":%" PRIu32 ": count %" PRIu32
				 " cannot change by %d",
				 birth_segno(name), slot, old, delta);
	if (old + (uint32_t)delta > 0 && old > 0) {
		count_store(table, s, name, old, old + (uint32_t)delta);
		return 0;
	}
	r = segment_resolve(table, name, &holder, &at, err);
	if (r < 0)
		return r;
	count_store(table, s, name, old, old + (uint32_t)delta);
	table->live_blocks += (uint64_t)(int64_t)delta;
	segment_add_live(table, holder, delta);
	segment_add_names(table, s, delta);
	if (delta < 0) {
		forward_drop(table, s, slot);
		table->nr_chances++;
	}
	return 0;
}
