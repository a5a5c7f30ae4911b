/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a checkpoint says of one DATA or GC segment: place, counts of its
 * slots, forwards.  One page of the segment table.  See FORMAT.md, Segment
 * info.
 */
#ifndef FORMAT_SEGMENT_INFO_H
#define FORMAT_SEGMENT_INFO_H

#include <stddef.h>

#include "checkpoint.h"
#include "error.h"
#include "le.h"
#include "segment.h"

#define SEGMENT_INFO_SEALED 1u
#define SEGMENT_INFO_QUARANTINE 2u
#define SEGMENT_INFO_FLAGS_KNOWN 3u

/* One of the forwards at its end. */
#define SEGMENT_INFO_FORWARD_BYTES 10u

struct disk_segment_info {
	struct disk_page_header header;
	le64 segno;
	le64 place; /* PLACE_NONE: lives on as names only */
	le64 sealed_time_ns;
	le64 first_seq;
	le64 last_seq;
	le32 live; /* counted names whose physical address is in it */
	le32 nr_overflow;
	le32 nr_forwards;
	uint8_t kind; /* enum segment_kind: DATA or GC */
	uint8_t flags;
	uint8_t count_bytes; /* 1, 2 or 4; 0: the lists are long */
	uint8_t zero;
	/*
	 * then slots/4 bytes: 2-bit counts, slot 0 in the low bits (3: more,
	 * in the overflow list);
	 * then nr_overflow x count of count_bytes, one for each of those, >= 3;
	 * then nr_forwards x { slot 2, pblock 8 }, ascending;
	 *
	 * long, as they were once, and as they are only read:
	 * nr_overflow x { slot 4, count 4 }, ascending, count >= 3;
	 * nr_forwards x { slot 4, zero 4, pblock 8 }, ascending
	 */
};
_Static_assert(sizeof(struct disk_segment_info) == 72,
	       "see FORMAT.md, Segment info");

struct slot_forward {
	uint32_t slot;
	struct pblock place;
};

struct segment_info {
	uint64_t segno;
	uint64_t place;
	uint64_t sealed_time_ns;
	uint64_t first_seq;
	uint64_t last_seq;
	uint32_t live;
	uint32_t nr_overflow;
	uint32_t nr_forwards;
	enum segment_kind kind;
	uint32_t flags;
	unsigned int count_bytes; /* of an entry of the overflow list */
};

/* Bytes that an entry has where @count is the greatest in the list. */
unsigned int segment_info_count_bytes(uint32_t count);

/*
 * @counts: slots/4 bytes of 2-bit counts.  @overflow: the counts of 3 and more,
 * by slot; what count_bytes says of them in @info is not looked at.  @index:
 * the page's place in the segment table.
 *
 * Returns the length; @ret has room for PAGE_BYTES_MAX.
 */
size_t segment_info_encode(uint32_t index, const struct segment_info *info,
			   unsigned int segment_shift, const uint8_t *counts,
			   const uint32_t *overflow,
			   const struct slot_forward *forwards, void *ret);

int segment_info_decode(const void *page, size_t length, uint32_t index,
			unsigned int segment_shift, struct segment_info *ret,
			struct error *err);
/* After a successful decode: the arrays, by index; no further check needed. */
const uint8_t *segment_info_counts(const void *page);
/* The count of the slot that is the @index-th whose 2-bit count is 3. */
uint32_t segment_info_overflow(const void *page,
			       const struct segment_info *info,
			       unsigned int segment_shift, uint32_t index);
struct slot_forward segment_info_forward(const void *page,
					 const struct segment_info *info,
					 unsigned int segment_shift,
					 uint32_t index);

#endif
