/* SPDX-License-Identifier: BSD-2-Clause */
/* The codec of segment info pages. */
#include "segment-info.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bytes.h"

#define COUNT_MORE 3u /* 2-bit count: see the overflow list */
/* Slots 0 and 1 hold the segment header and the first batch header. */
#define FIRST_PAYLOAD_SLOT 2u
/* Entries of long lists: a slot of 4 bytes and a count, or a place. */
#define LONG_OVERFLOW_BYTES 8u
#define LONG_FORWARD_BYTES 16u

static size_t counts_bytes(unsigned int segment_shift)
{
	return segment_slots(segment_shift) / 4;
}

static size_t overflow_offset(unsigned int segment_shift)
{
	return sizeof(struct disk_segment_info) + counts_bytes(segment_shift);
}

static bool is_long(const struct segment_info *info)
{
	return info->count_bytes == 0;
}

static size_t overflow_entry_bytes(const struct segment_info *info)
{
	return is_long(info) ? LONG_OVERFLOW_BYTES : info->count_bytes;
}

static size_t forward_entry_bytes(const struct segment_info *info)
{
	return is_long(info) ? LONG_FORWARD_BYTES : SEGMENT_INFO_FORWARD_BYTES;
}

static size_t forwards_offset(const struct segment_info *info,
			      unsigned int segment_shift)
{
	return overflow_offset(segment_shift) +
	       info->nr_overflow * overflow_entry_bytes(info);
}

static size_t info_bytes(const struct segment_info *info,
			 unsigned int segment_shift)
{
	return forwards_offset(info, segment_shift) +
	       info->nr_forwards * forward_entry_bytes(info);
}

/* ---- encoding ---- */

static void put_fixed(uint32_t index, const struct segment_info *info,
		      uint32_t length, uint8_t *ret)
{
	struct disk_segment_info disk = {
		.segno = le64_make(info->segno),
		.place = le64_make(info->place),
		.sealed_time_ns = le64_make(info->sealed_time_ns),
		.first_seq = le64_make(info->first_seq),
		.last_seq = le64_make(info->last_seq),
		.live = le32_make(info->live),
		.nr_overflow = le32_make(info->nr_overflow),
		.nr_forwards = le32_make(info->nr_forwards),
		.kind = (uint8_t)info->kind,
		.flags = (uint8_t)info->flags,
		.count_bytes = (uint8_t)info->count_bytes,
	};

	page_header_encode(PAGE_SEGMENT_INFO, 0, index, length, &disk.header);
	memcpy(ret, &disk, sizeof(disk));
}

unsigned int segment_info_count_bytes(uint32_t count)
{
	if (count <= UINT8_MAX)
		return 1;
	return count <= UINT16_MAX ? 2 : 4;
}

static uint32_t greatest(const uint32_t *counts, uint32_t nr)
{
	uint32_t ret = 0;

	for (uint32_t i = 0; i < nr; i++)
		if (counts[i] > ret)
			ret = counts[i];
	return ret;
}

size_t segment_info_encode(uint32_t index, const struct segment_info *info,
			   unsigned int segment_shift, const uint8_t *counts,
			   const uint32_t *overflow,
			   const struct slot_forward *forwards, void *ret)
{
	struct segment_info wide = *info;
	uint8_t *p = ret;
	size_t length;
	le16 slot;
	le32 count;
	le64 place;

	wide.count_bytes =
		segment_info_count_bytes(greatest(overflow, info->nr_overflow));
	length = info_bytes(&wide, segment_shift);
	put_fixed(index, &wide, (uint32_t)length, p);
	p += sizeof(struct disk_segment_info);
	memcpy(p, counts, counts_bytes(segment_shift));
	p += counts_bytes(segment_shift);
	for (uint32_t i = 0; i < info->nr_overflow; i++) {
		count = le32_make(overflow[i]);
		memcpy(p, &count, wide.count_bytes);
		p += wide.count_bytes;
	}
	for (uint32_t i = 0; i < info->nr_forwards; i++) {
		slot = le16_make((uint16_t)forwards[i].slot);
		place = le64_make(forwards[i].place.value);
		memcpy(p, &slot, sizeof(slot));
		memcpy(p + sizeof(slot), &place, sizeof(place));
		p += SEGMENT_INFO_FORWARD_BYTES;
	}
	return length;
}

/* ---- decoding ---- */

const uint8_t *segment_info_counts(const void *page)
{
	return (const uint8_t *)page + sizeof(struct disk_segment_info);
}

/* Entry @index of the overflow list. */
static const uint8_t *overflow_entry(const void *page,
				     const struct segment_info *info,
				     unsigned int segment_shift, uint32_t index)
{
	assert(index < info->nr_overflow);
	return (const uint8_t *)page + overflow_offset(segment_shift) +
	       index * overflow_entry_bytes(info);
}

uint32_t segment_info_overflow(const void *page,
			       const struct segment_info *info,
			       unsigned int segment_shift, uint32_t index)
{
	const uint8_t *p = overflow_entry(page, info, segment_shift, index);
	le32 count = le32_make(0);

	if (is_long(info))
		memcpy(&count, p + sizeof(le32), sizeof(count));
	else
		memcpy(&count, p, info->count_bytes);
	return le32_get(count);
}

struct slot_forward segment_info_forward(const void *page,
					 const struct segment_info *info,
					 unsigned int segment_shift,
					 uint32_t index)
{
	size_t entry_bytes = forward_entry_bytes(info);
	const uint8_t *p = (const uint8_t *)page +
			   forwards_offset(info, segment_shift) +
			   index * entry_bytes;
	le32 slot = le32_make(0);
	le64 place;

	assert(index < info->nr_forwards);
	memcpy(&slot, p, is_long(info) ? sizeof(le32) : sizeof(le16));
	memcpy(&place, p + entry_bytes - sizeof(place), sizeof(place));
	return (struct slot_forward){le32_get(slot), {le64_get(place)}};
}

static unsigned int count_of(const uint8_t *counts, uint32_t slot)
{
	return counts[slot / 4] >> (slot % 4 * 2) & 3u;
}

static int check_numbers(const struct disk_segment_info *disk,
			 const struct segment_info *info, size_t length,
			 unsigned int segment_shift, struct error *err)
{
	uint32_t slots = segment_slots(segment_shift);

	if (info->nr_overflow > slots || info->nr_forwards > slots ||
	    info->live > slots)
		return error_set(err, EUCLEAN,
				 "live %" PRIu32 ", %" PRIu32
				 " overflows, %" PRIu32 " forwards in %" PRIu32
				 " slots",
				 info->live, info->nr_overflow,
				 info->nr_forwards, slots);
	if (info->count_bytes == 3 || info->count_bytes > sizeof(le32))
		return error_set(err, EUCLEAN, "counts of %u bytes",
				 info->count_bytes);
	if (length != info_bytes(info, segment_shift))
		return error_set(err, EUCLEAN,
				 "length %zu is not the %zu of its lists",
				 length, info_bytes(info, segment_shift));
	if (disk->zero != 0)
		return error_set(err, EUCLEAN, "reserved bytes are not zero");
	return 0;
}

static int check_fixed(const struct segment_info *info, struct error *err)
{
	if (info->segno == 0 || info->segno > SEGNO_MAX)
		return error_set(err, EUCLEAN, "number out of range");
	if (info->kind != SEGMENT_DATA && info->kind != SEGMENT_GC)
		return error_set(err, EUCLEAN, "kind %u",
				 (unsigned int)info->kind);
	if (info->flags & ~SEGMENT_INFO_FLAGS_KNOWN)
		return error_set(err, EUCLEAN, "flags %#" PRIx32, info->flags);
	if (info->place == PLACE_NONE && info->live != 0)
		return error_set(err, EUCLEAN,
				 "%" PRIu32 " live blocks without a place",
				 info->live);
	/* a segment that was sealed empty ends before it begins */
	if (info->last_seq != 0 && info->first_seq > info->last_seq + 1)
		return error_set(err, EUCLEAN,
				 "batches %" PRIu64 " to %" PRIu64,
				 info->first_seq, info->last_seq);
	return 0;
}

#define SLOTS_AT_ONCE 32u

static bool has_count_more(const uint8_t counts[SLOTS_AT_ONCE / 4])
{
	uint64_t word;

	memcpy(&word, counts, sizeof(word));
	return word & word >> 1 & 0x5555555555555555;
}

/* Entry @index of the overflow list is of @slot: a long one says so. */
static int check_overflow(const void *page, const struct segment_info *info,
			  unsigned int segment_shift, uint32_t index,
			  uint32_t slot, struct error *err)
{
	uint32_t count =
		segment_info_overflow(page, info, segment_shift, index);
	le32 said = le32_make(slot);

	if (is_long(info))
		memcpy(&said, overflow_entry(page, info, segment_shift, index),
		       sizeof(said));
	if (le32_get(said) == slot && count >= COUNT_MORE)
		return 0;
	return error_set(err, EUCLEAN,
			 "overflow %" PRIu32 ": slot %" PRIu32 " count %" PRIu32
			 " where slot %" PRIu32 " is expected",
			 index, le32_get(said), count, slot);
}

/* The overflow list holds exactly the slots whose 2-bit count says so. */
static int check_counts(const void *page, const struct segment_info *info,
			unsigned int segment_shift, struct error *err)
{
	const uint8_t *counts = segment_info_counts(page);
	uint32_t slots = segment_slots(segment_shift), next = 0;
	int r;

	for (uint32_t slot = 0; slot < slots; slot++) {
		unsigned int count = count_of(counts, slot);

		/* an open store has millions of slots: most say nothing here */
		if (slot % SLOTS_AT_ONCE == 0 && slot > 0 &&
		    slot + SLOTS_AT_ONCE <= slots &&
		    !has_count_more(counts + slot / 4)) {
			slot += SLOTS_AT_ONCE - 1;
			continue;
		}
		if (count != 0 && slot < FIRST_PAYLOAD_SLOT)
			return error_set(err, EUCLEAN,
					 "slot %" PRIu32
					 ": a count where no payload can be",
					 slot);
		if (count != COUNT_MORE)
			continue;
		if (next == info->nr_overflow)
			return error_set(err, EUCLEAN,
					 "slot %" PRIu32
					 ": not in the overflow list",
					 slot);
		r = check_overflow(page, info, segment_shift, next++, slot,
				   err);
		if (r < 0)
			return r;
	}
	if (next != info->nr_overflow)
		return error_set(err, EUCLEAN,
				 "%" PRIu32 " overflows, but %" PRIu32
				 " slots say so",
				 info->nr_overflow, next);
	return 0;
}

static int check_forwards(const void *page, const struct segment_info *info,
			  unsigned int segment_shift, struct error *err)
{
	const uint8_t *p =
		(const uint8_t *)page + forwards_offset(info, segment_shift);
	uint32_t slots = segment_slots(segment_shift);
	uint32_t from = FIRST_PAYLOAD_SLOT;

	for (uint32_t i = 0; i < info->nr_forwards; i++) {
		struct slot_forward f =
			segment_info_forward(page, info, segment_shift, i);

		if (f.slot < from || f.slot >= slots)
			return error_set(err, EUCLEAN,
					 "forward %" PRIu32 ": slot %" PRIu32
					 " is not in %" PRIu32
					 " to below %" PRIu32,
					 i, f.slot, from, slots);
		from = f.slot + 1;
		if (is_long(info) &&
		    !bytes_are_zero(p + i * LONG_FORWARD_BYTES + 4, 4))
			return error_set(err, EUCLEAN,
					 "forward %" PRIu32
					 ": reserved bytes are not zero",
					 i);
		if (f.place.value >> (SEGNO_BITS + SLOT_BITS) != 0 ||
		    pblock_segno(f.place) == 0 ||
		    pblock_slot(f.place) < FIRST_PAYLOAD_SLOT ||
		    pblock_slot(f.place) >= slots)
			return error_set(
				err, EUCLEAN,
				"forward %" PRIu32 ": leads to no block", i);
	}
	return 0;
}

static void get_fixed(const struct disk_segment_info *disk,
		      struct segment_info *ret)
{
	*ret = (struct segment_info){
		.segno = le64_get(disk->segno),
		.place = le64_get(disk->place),
		.sealed_time_ns = le64_get(disk->sealed_time_ns),
		.first_seq = le64_get(disk->first_seq),
		.last_seq = le64_get(disk->last_seq),
		.live = le32_get(disk->live),
		.nr_overflow = le32_get(disk->nr_overflow),
		.nr_forwards = le32_get(disk->nr_forwards),
		.kind = (enum segment_kind)disk->kind,
		.flags = disk->flags,
		.count_bytes = disk->count_bytes,
	};
}

int segment_info_decode(const void *page, size_t length, uint32_t index,
			unsigned int segment_shift, struct segment_info *ret,
			struct error *err)
{
	struct disk_segment_info disk;
	struct segment_info info;
	int r;

	r = page_header_check(page, length, PAGE_SEGMENT_INFO, 0, index, err);
	if (r < 0)
		return r;
	if (length < overflow_offset(segment_shift))
		return error_set(err, EUCLEAN,
				 "segment info page %" PRIu32 ": length %zu",
				 index, length);
	memcpy(&disk, page, sizeof(disk));
	get_fixed(&disk, &info);
	r = check_numbers(&disk, &info, length, segment_shift, err);
	if (r == 0)
		r = check_fixed(&info, err);
	if (r == 0)
		r = check_counts(page, &info, segment_shift, err);
	if (r == 0)
		r = check_forwards(page, &info, segment_shift, err);
	if (r < 0) {
		(void)error_prefix(
			err, "segment info page %" PRIu32 ": segment %" PRIu64,
			index, info.segno);
		return r;
	}
	*ret = info;
	return 0;
}
