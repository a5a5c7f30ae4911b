/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What segment-table.c, segment-counts.c, forward.c and segment-repair.c
 * share.  Core held for every function.
 */
#ifndef STORE_SEGMENT_INTERNAL_H
#define STORE_SEGMENT_INTERNAL_H

#include "segment-table.h"

/* Room that one hold of core may need: one leaf shadowed, one written. */
#define OVERFLOW_SLACK (2 * LEAF_BLOCKS)

/* Where the list of those with @segno's hash begins. */
static inline struct segment **bucket_of(const struct segment_table *table,
					 uint64_t segno)
{
	return &table->buckets[segno & (table->nr_buckets - 1)];
}

/* As segment_find(), which remembers the last one. */
static inline struct segment *segment_look_up(const struct segment_table *table,
					      uint64_t segno)
{
	struct segment *s = *bucket_of(table, segno);

	while (s && s->segno != segno)
		s = s->hash_next;
	return s;
}

/* The two bits of @slot; 3: more, in the overflow table. */
static inline uint32_t slot_count_get(const struct segment *s, uint32_t slot)
{
	return s->counts[slot / 4] >> (slot % 4 * 2) & 3;
}

static inline void slot_count_set(struct segment *s, uint32_t slot,
				  uint32_t value)
{
	unsigned int shift = slot % 4 * 2;

	s->counts[slot / 4] = (uint8_t)((s->counts[slot / 4] & ~(3u << shift)) |
					value << shift);
}

/* The page of @s is about to change. */
void segment_touch(struct segment_table *table, struct segment *s);
/* The count of @name, a slot of @s, was @old and is @count. */
void count_store(struct segment_table *table, struct segment *s,
		 struct birth name, uint32_t old, uint32_t count);
/* Put @s on the list of the dead, once. */
void segment_note_dead(struct segment_table *table, struct segment *s);
/* One counted name more or less lies in @s. */
void segment_add_live(struct segment_table *table, struct segment *s,
		      int delta);
/* One name of @s more or less is counted. */
void segment_add_names(struct segment_table *table, struct segment *s,
		       int delta);
/* The name (@s, @slot) is not counted any more: forget where its block is. */
void forward_drop(struct segment_table *table, struct segment *s,
		  uint32_t slot);

#endif
