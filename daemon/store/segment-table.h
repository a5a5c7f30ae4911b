/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segments in memory: where each one is, the counts of its slots, forwards.
 *
 * A name (birth address) is counted by the leaf entries that hold it (I2).
 * A segment's live number is the counted names whose physical address is in
 * it (I6); for a META segment it is the bytes of the records that the tables
 * reference.  A sealed segment with live 0 never holds anything again,
 * because names are never reused (I1) and only GC segments being filled take
 * moved blocks: its frame becomes free under I7.  When some of its names are
 * still counted, because the cleaner moved their blocks, it lives on without
 * a frame until the last of them is gone.
 *
 * Lock: core held for every function, unless said otherwise.
 */
#ifndef STORE_SEGMENT_TABLE_H
#define STORE_SEGMENT_TABLE_H

#include "overflow-table.h"
#include "page-table.h"
#include "segment-info.h"
#include "segment.h"

#define NO_INDEX UINT32_MAX

struct segment {
	/* what a count takes comes first: one cache miss */
	uint64_t segno;
	struct segment *hash_next;
	uint8_t *counts; /* slots/4 bytes of 2-bit counts; META: NULL */
	uint64_t place;	 /* PLACE_NONE: names only */
	enum segment_kind kind;
	uint32_t live;	 /* blocks; META: bytes */
	uint32_t names;	 /* counted names that begin with this segno */
	uint32_t index;	 /* page in the segment table, or NO_INDEX */
	uint32_t pins;	 /* readers that may still read its frame */
	uint32_t passes; /* of the cleaner, after which something was left */
	bool sealed;
	bool quarantine;
	bool victim; /* a cleaner is at work on it */
	bool bad;    /* and met a block that does not verify */
	bool listed; /* in the list of the dead */
	/* META: core's when a record was dropped that none took the place of */
	uint64_t dropped_generation;
	/* dead at a cut; freed when that is durable and pins reach 0 */
	bool dying;	  /* all of it */
	bool frame_dying; /* only its frame: names are left */
	uint64_t sealed_time_ns;
	uint64_t first_seq, last_seq;
	uint8_t *scrubbed; /* bit per slot: a scrub saw the name; or NULL */
	struct slot_forward *forwards; /* sorted by slot */
	uint32_t nr_forwards, forwards_cap;
	uint32_t nr_overflow; /* slots whose count is 3 or more */
};

DEFINE_VECTOR(segment_vector, struct segment *);

struct segment_table {
	struct core *core;
	struct page_table pages;
	struct segment **buckets;
	uint32_t nr_buckets, nr_segments;
	struct segment *last; /* found by the last look-up */
	struct segment **by_index;
	uint32_t by_index_cap;
	struct index_vector free_indices;
	/* sealed and live 0, or without a frame and names; not yet cut */
	struct segment_vector dead;
	uint64_t nr_dead_frames;    /* of them, those that have one */
	struct segment_vector meta; /* all META segments */
	struct overflow_table overflow;
	uint64_t live_blocks; /* names with a count above 0 */
	uint64_t nr_forwards; /* of them, forwarded */
	/* of these, in pages changed since the last cut */
	uint64_t dirty_forwards;
	uint64_t nr_renamed; /* since open */
	/* names whose count fell to 0, and DATA and GC segments that were
	 * sealed, since open: either may make a victim */
	uint64_t nr_chances;
	uint32_t nr_nameless; /* segments without a frame: names only */
	uint32_t nr_live;     /* segments that hold live blocks */
	uint32_t nr_named;    /* segments whose names are counted */
	uint64_t meta_bytes;  /* live bytes of all META segments */
};

int segment_table_init(struct segment_table *table, struct core *core);
void segment_table_done(struct segment_table *table);

/* A zeroed segment with its counts (META: none); NULL: out of memory.  No
 * lock needed. */
struct segment *segment_new(const struct core *core, enum segment_kind kind);
void segment_free(struct segment *segment);

struct segment *segment_find(struct segment_table *table, uint64_t segno);
/* One of META; NULL as well when it is of another kind. */
struct segment *segment_find_meta(struct segment_table *table, uint64_t segno);

/* Make the hash, the table of pages and the overflow table large enough for
 * one more segment and a leaf's worth of counts.  -ENOMEM. */
int segment_table_prepare(struct segment_table *table);

struct segment_memory {
	uint64_t counts;   /* segments, and counts of 3 and more */
	uint64_t forwards; /* at least */
};

/* Memory that the table takes. */
void segment_table_memory(const struct segment_table *table,
			  struct segment_memory *ret);
/* What @nr segments take, without overflow and forwards. */
uint64_t segment_memory_bytes(const struct core *core, uint64_t nr);

/* Add @segment; DATA and GC segments get a page of the table.  Must follow a
 * successful segment_table_prepare(). */
void segment_insert(struct segment_table *table, struct segment *segment);
/* Take @segment out of the hash; its page is left to segment_drop_page(). */
void segment_remove(struct segment_table *table, struct segment *segment);
/* No block will be appended to @segment any more. */
void segment_seal(struct segment_table *table, struct segment *segment,
		  uint64_t last_seq);

/* Recovery: nothing is appended any more to any DATA or GC but @except. */
void segment_table_seal_open(struct segment_table *table,
			     const struct segment *except, uint64_t last_seq);

/*
 * Nothing is appended to META segments of an earlier open, whose segnos are
 * below @below: from now on one without live records is dead.
 */
void segment_table_seal_open_meta(struct segment_table *table, uint64_t below);

/* A block of @segment cannot be read: never clean it. */
void segment_quarantine(struct segment_table *table, struct segment *segment);

/* META: @delta bytes more or fewer are referenced in segment @segno. */
int segment_add_meta(struct segment_table *table, uint64_t segno, int64_t delta,
		     struct error *err);
/*
 * META: @bytes fewer, and not because a checkpoint wrote them anew: the one
 * that is running may still name them.
 */
void segment_drop_meta(struct segment_table *table, uint64_t segno,
		       uint32_t bytes);
/* META: is all of @segment dead, and does a running checkpoint name none? */
bool segment_is_replaced(const struct segment_table *table,
			 const struct segment *segment);

/*
 * Where the content of @name is now: the name itself or its forward.
 * *ret_segment is the segment that holds it.  -EUCLEAN: nowhere.
 */
int segment_resolve(struct segment_table *table, struct birth name,
		    struct segment **ret_segment, uint32_t *ret_slot,
		    struct error *err);

/* The same, whether there is such a place or not. */
struct pblock segment_place(struct segment_table *table, struct birth name);

/*
 * The cut decides what becomes of @segment, taken from the list of the dead:
 * without names all of it goes, else only its frame.  Its page is
 * touched.
 */
void segment_cut_dead(struct segment_table *table, struct segment *segment);
/* Page @index is written anew, as it is, whoever has it. */
void segment_touch_page(struct segment_table *table, uint32_t index);
/* The cut: no page has changed since. */
void segment_table_cut(struct segment_table *table);
/* The frame of @segment, whose names live on, is free. */
void segment_lose_frame(struct segment_table *table, struct segment *segment);

/* ---- segment-counts.c ---- */

/* Count of @name; 0 when its segment is gone. */
uint32_t count_get(struct segment_table *table, struct birth name);
/*
 * The counts of all @names are about to change: what it takes lies all over
 * memory, and is fetched at once rather than one after the other.
 */
void counts_prefetch(const struct segment_table *table,
		     const struct birth *names, uint32_t nr);
/*
 * Change the count of @name by +1 or -1.  The only function that changes a
 * count.  -EUCLEAN: no such name, or below zero; nothing is changed then.
 */
int count_add(struct segment_table *table, struct birth name, int delta,
	      struct error *err);

/* ---- forward.c ---- */

/* Room for @nr more forwards, so that forward_set() cannot fail.  -ENOMEM. */
int forward_reserve(struct segment *segment, uint32_t nr);
/*
 * The block of @name, which was found at @from, is also at @to now: from here
 * on the name means that place (I13).  False, and nothing is changed, when
 * the name is not counted any more or is elsewhere by now.  Follows a
 * forward_reserve() in the same hold.
 */
bool forward_set(struct segment_table *table, struct birth name,
		 struct pblock from, struct pblock to);
/*
 * Give the block of @name, which is forwarded and counted once, the place
 * where it is as its name.  False: it is neither.  *ret is the new name.
 */
bool name_rename(struct segment_table *table, struct birth name,
		 struct birth *ret);

/* Are so many blocks forwarded that renaming is worth its time? */
bool segments_want_rename(const struct segment_table *table);

/* What a checkpoint stores of @segment, arrays aside. */
void segment_to_info(const struct segment *segment, struct segment_info *ret);

/* Load one page of the segment table (open).  @page was verified. */
int segment_table_load(struct segment_table *table, uint32_t index,
		       const void *page, size_t length, struct error *err);
/* After the last page: the places between them are free.  -ENOMEM. */
int segment_table_loaded(struct segment_table *table, uint32_t nr_pages);

/*
 * Repair: the count of a slot is @count, whatever it was.  The live numbers
 * are wrong until they are added up: they and the list of the dead follow
 * from the counts.  -ENOMEM.
 */
int segment_set_count(struct segment_table *table, struct segment *segment,
		      uint32_t slot, uint32_t count);
/* Repair: the block of @slot was found at @to.  -ENOMEM. */
int segment_set_forward(struct segment_table *table, struct segment *segment,
			uint32_t slot, struct pblock to);
int segment_table_add_up(struct segment_table *table);

#endif
