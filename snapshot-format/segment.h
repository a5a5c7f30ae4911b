/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The segment header: slot 0 of every segment.  See FORMAT.md, Segment
 * header.
 */
#ifndef FORMAT_SEGMENT_H
#define FORMAT_SEGMENT_H

#include "le.h"
#include "error.h"
#include "units.h"

#define SEGMENT_HEADER_SIZE 4096u
#define SEGMENT_MAGIC "varveseg"
#define PLACE_NONE UINT64_MAX

enum segment_kind {
	SEGMENT_DATA = 1,
	SEGMENT_GC = 2,
	SEGMENT_META = 3,
};

struct disk_segment_header {
	uint8_t magic[8];
	uint8_t uuid[16];
	le64 segno;
	le64 place;
	le64 incarnation;
	le64 first_seq;
	le64 time_ns;
	le64 next_segno; /* 0: none */
	le64 next_place; /* PLACE_NONE: none */
	uint8_t kind;
	uint8_t reserved[4007];
	le64 checksum; /* of the bytes before it */
};
_Static_assert(sizeof(struct disk_segment_header) == SEGMENT_HEADER_SIZE,
	       "see FORMAT.md, Segment header");

struct segment_header {
	enum segment_kind kind;
	uint8_t uuid[16];
	uint64_t segno;
	uint64_t place;
	uint64_t incarnation;
	uint64_t first_seq;
	uint64_t time_ns; /* since 1970, UTC */
	uint64_t next_segno;
	uint64_t next_place;
};

void segment_header_encode(const struct segment_header *header,
			   struct disk_segment_header *ret);

/* @place: where it was read from.  -EBADMSG, -EUCLEAN; -EINVAL: no magic. */
int segment_header_decode(const struct disk_segment_header *disk,
			  uint64_t place, struct segment_header *ret,
			  struct error *err);

/* The first two slots hold the segment header and a batch header. */
#define RECORD_OFFSET_MIN (2 * BLOCK_SIZE)

/*
 * Check that a record can lie there: -EUCLEAN unless @segno is in 1 to
 * SEGNO_MAX, @offset is a multiple of 8 behind the first two slots and the
 * record ends inside the segment.
 */
int record_address_check(uint64_t segno, uint32_t offset, uint32_t length,
			 unsigned int segment_shift, struct error *err);

#endif
