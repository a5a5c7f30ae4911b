/* SPDX-License-Identifier: BSD-2-Clause */
/* The segment header's codec. */
#include "segment.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "bytes.h"
#include "checksum.h"

static uint64_t header_checksum(const struct disk_segment_header *disk)
{
	return checksum64(disk, offsetof(struct disk_segment_header, checksum));
}

void segment_header_encode(const struct segment_header *header,
			   struct disk_segment_header *ret)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->magic, SEGMENT_MAGIC, sizeof(ret->magic));
	memcpy(ret->uuid, header->uuid, sizeof(ret->uuid));
	ret->segno = le64_make(header->segno);
	ret->place = le64_make(header->place);
	ret->incarnation = le64_make(header->incarnation);
	ret->first_seq = le64_make(header->first_seq);
	ret->time_ns = le64_make(header->time_ns);
	ret->next_segno = le64_make(header->next_segno);
	ret->next_place = le64_make(header->next_place);
	ret->kind = (uint8_t)header->kind;
	ret->checksum = le64_make(header_checksum(ret));
}

static int check_next(const struct segment_header *h, struct error *err)
{
	if (h->next_segno == 0) {
		if (h->next_place != PLACE_NONE)
			return error_set(err, EUCLEAN,
					 "a next place without next segment");
		return 0;
	}
	if (h->kind != SEGMENT_DATA)
		return error_set(err, EUCLEAN,
				 "a next segment where only data has one");
	/* segment numbers are given out in rising order */
	if (h->next_segno <= h->segno || h->next_segno > SEGNO_MAX)
		return error_set(err, EUCLEAN, "next segment %" PRIu64,
				 h->next_segno);
	if (h->next_place == PLACE_NONE || h->next_place == h->place)
		return error_set(err, EUCLEAN, "next place %" PRIu64,
				 h->next_place);
	return 0;
}

static int check_header(const struct disk_segment_header *disk, uint64_t place,
			const struct segment_header *h, struct error *err)
{
	if (disk->kind < SEGMENT_DATA || disk->kind > SEGMENT_META)
		return error_set(err, EUCLEAN, "kind %u is not known",
				 disk->kind);
	if (h->segno == 0 || h->segno > SEGNO_MAX)
		return error_set(err, EUCLEAN, "number out of range");
	if (h->place != place)
		return error_set(err, EUCLEAN, "header of place %" PRIu64,
				 h->place);
	if (!bytes_are_zero(disk->reserved, sizeof(disk->reserved)))
		return error_set(err, EUCLEAN, "reserved bytes are not zero");
	return check_next(h, err);
}

int segment_header_decode(const struct disk_segment_header *disk,
			  uint64_t place, struct segment_header *ret,
			  struct error *err)
{
	struct segment_header h;
	int r;

	if (memcmp(disk->magic, SEGMENT_MAGIC, sizeof(disk->magic)) != 0)
		return error_set(err, EINVAL,
				 "place %" PRIu64 ": no segment header", place);
	if (le64_get(disk->checksum) != header_checksum(disk))
		return error_set(err, EBADMSG,
				 "place %" PRIu64
				 ": segment header: checksum does not match",
				 place);
	h = (struct segment_header){
		.kind = (enum segment_kind)disk->kind,
		.segno = le64_get(disk->segno),
		.place = le64_get(disk->place),
		.incarnation = le64_get(disk->incarnation),
		.first_seq = le64_get(disk->first_seq),
		.time_ns = le64_get(disk->time_ns),
		.next_segno = le64_get(disk->next_segno),
		.next_place = le64_get(disk->next_place),
	};
	memcpy(h.uuid, disk->uuid, sizeof(h.uuid));
	r = check_header(disk, place, &h, err);
	if (r < 0) {
		(void)error_prefix(err, "place %" PRIu64 ": segment %" PRIu64,
				   place, h.segno);
		return r;
	}
	*ret = h;
	return 0;
}

int record_address_check(uint64_t segno, uint32_t offset, uint32_t length,
			 unsigned int segment_shift, struct error *err)
{
	if (segno == 0 || segno > SEGNO_MAX)
		return error_set(err, EUCLEAN,
				 "segment %" PRIu64 " is out of range", segno);
	if (offset % 8 != 0 || offset < RECORD_OFFSET_MIN)
		return error_set(err, EUCLEAN,
				 "segment %" PRIu64
				 ": no record at offset %" PRIu32,
				 segno, offset);
	if (!range_is_inside(offset, length, UINT64_C(1) << segment_shift))
		return error_set(err, EUCLEAN,
				 "segment %" PRIu64 ": offset %" PRIu32
				 " length %" PRIu32 " is beyond its end",
				 segno, offset, length);
	return 0;
}
