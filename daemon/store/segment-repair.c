/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts as a repair found them, and what follows from them. */
#include "segment-internal.h"

#include <stdlib.h>

int segment_set_count(struct segment_table *table, struct segment *s,
		      uint32_t slot, uint32_t count)
{
	struct birth name = birth_make(s->segno, slot);
	uint32_t old = count_get(table, name);

	mutex_assert_held(&table->core->lock);
	if (count == 0)
		forward_drop(table, s, slot);
	if (old == count)
		return 0;
	if (overflow_reserve(&table->overflow, OVERFLOW_SLACK) < 0)
		return -ENOMEM;
	count_store(table, s, name, old, count);
	return 0;
}

/*
 * The names of @s that are counted; adds to the live numbers of where their
 * blocks are.
 */
static void add_up_segment(struct segment_table *table, struct segment *s,
			   uint32_t *live)
{
	struct segment *holder;
	uint32_t at;

	s->names = 0;
	for (uint32_t slot = 1; slot < table->core->nr_slots; slot++) {
		if (slot_count_get(s, slot) == 0)
			continue;
		s->names++;
		if (segment_resolve(table, birth_make(s->segno, slot), &holder,
				    &at, NULL) < 0)
			continue;
		live[holder->index]++;
		table->live_blocks++;
	}
}

static void list_dead(struct segment_table *table)
{
	table->dead.len = 0;
	table->nr_dead_frames = 0;
	for (uint32_t i = 0; i < table->nr_buckets; i++) {
		for (struct segment *s = table->buckets[i]; s;
		     s = s->hash_next) {
			s->listed = false;
			if (s->place == PLACE_NONE ? s->names == 0
						   : s->sealed && s->live == 0)
				segment_note_dead(table, s);
		}
	}
}

int segment_table_add_up(struct segment_table *table)
{
	uint32_t nr = table->pages.nr_pages;
	uint32_t *live = calloc(nr + 1, sizeof(*live));

	mutex_assert_held(&table->core->lock);
	if (!live)
		return -ENOMEM;
	table->live_blocks = 0;
	table->nr_live = 0;
	table->nr_named = 0;
	for (uint32_t i = 0; i < nr; i++)
		if (table->by_index[i])
			add_up_segment(table, table->by_index[i], live);
	for (uint32_t i = 0; i < nr; i++) {
		struct segment *s = table->by_index[i];

		if (!s)
			continue;
		table->nr_live += live[i] > 0;
		table->nr_named += s->names > 0;
		if (s->live == live[i])
			continue;
		segment_touch(table, s);
		s->live = live[i];
	}
	free(live);
	list_dead(table);
	return 0;
}
