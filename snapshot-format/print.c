/* SPDX-License-Identifier: BSD-2-Clause */
/* Structures as lines of text. */
#include "print.h"

#include <inttypes.h>
#include <stdio.h>

#define NS_PER_SECOND 1000000000u
#define SECONDS_PER_DAY 86400u

void uuid_format(const uint8_t uuid[16], char ret[UUID_TEXT_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	char *p = ret;

	for (unsigned int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = digits[uuid[i] >> 4];
		*p++ = digits[uuid[i] & 15];
	}
	*p = '\0';
}

/*
 * Year, month and day of a day counted from 1970-01-01.  gmtime_r() would do,
 * but it reads the time zone file and takes a lock.
 */
static void day_to_date(uint32_t day, uint32_t *ret_year, uint32_t *ret_month,
			uint32_t *ret_day)
{
	static const uint8_t month_days[] = {31, 28, 31, 30, 31, 30,
					     31, 31, 30, 31, 30, 31};
	uint32_t year = 1970, month = 0;

	for (;;) {
		bool leap =
			(year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

		if (day < 365u + leap) {
			while (day >= month_days[month] +
					      (uint32_t)(leap && month == 1)) {
				day -= month_days[month] +
				       (uint32_t)(leap && month == 1);
				month++;
			}
			break;
		}
		day -= 365u + leap;
		year++;
	}
	*ret_year = year;
	*ret_month = month + 1;
	*ret_day = day + 1;
}

void time_format(uint64_t time_ns, char ret[TIME_TEXT_BYTES])
{
	uint64_t seconds = time_ns / NS_PER_SECOND;
	uint32_t clock = (uint32_t)(seconds % SECONDS_PER_DAY);
	uint32_t year, month, day;

	day_to_date((uint32_t)(seconds / SECONDS_PER_DAY), &year, &month, &day);
	(void)snprintf(ret, TIME_TEXT_BYTES, "%04u-%02u-%02uT%02u:%02u:%02uZ",
		       year % 10000u, month % 100u, day % 100u,
		       clock / 3600 % 24u, clock / 60 % 60, clock % 60);
}

const char *op_name(enum op op)
{
	switch (op) {
	case OP_WRITE:
		return "write";
	case OP_ZERO:
		return "zero";
	case OP_TRIM:
		return "trim";
	case OP_GCMOVE:
		return "gcmove";
	case OP_META:
		return "meta";
	case OP_CREATE:
		return "create";
	case OP_SNAPSHOT:
		return "snapshot";
	case OP_CLONE:
		return "clone";
	case OP_DELETE:
		return "delete";
	case OP_ROLLBACK:
		return "rollback";
	case OP_RESIZE:
		return "resize";
	case OP_SET_NAME:
		return "set-name";
	case OP_SET:
		return "set";
	case OP_UNDO:
		return "undo";
	case OP_REF:
	case OP_CWRITE:
	case OP_POINT:
	case OP_POINT_DROP:
		return "reserved";
	}
	return "unknown";
}

const char *segment_kind_name(enum segment_kind kind)
{
	switch (kind) {
	case SEGMENT_DATA:
		return "data";
	case SEGMENT_GC:
		return "gc";
	case SEGMENT_META:
		return "meta";
	}
	return "unknown";
}

/* A place as text: a number, or "none". */
struct place_text {
	char text[24];
};

static struct place_text place_format(uint64_t place)
{
	struct place_text ret = {"none"};

	if (place != PLACE_NONE)
		(void)snprintf(ret.text, sizeof(ret.text), "%" PRIu64, place);
	return ret;
}

int superblock_print(const struct superblock *sb, char *ret, size_t size)
{
	char uuid[UUID_TEXT_BYTES];

	uuid_format(sb->uuid, uuid);
	return snprintf(ret, size,
			"superblock uuid %s version %u features %#" PRIx64
			"/%#" PRIx64 "/%#" PRIx64 " capacity %" PRIu64
			" segment-shift %u incarnation %" PRIu64
			" checkpoint %" PRIu64 " bound %" PRIu64
			" root segment %" PRIu64 " offset %" PRIu32
			" length %" PRIu32 " checksum %016" PRIx64 " place %s"
			" log segment %" PRIu64 " slot %" PRIu32 " seq %" PRIu64
			" prev %016" PRIx64 " incarnation %" PRIu64 " place %s",
			uuid, FORMAT_VERSION, sb->features_incompat,
			sb->features_ro_compat, sb->features_compat,
			sb->capacity, sb->segment_shift, sb->open_incarnation,
			sb->checkpoint_id, sb->segno_bound, sb->root.segno,
			sb->root.offset, sb->root.length, sb->root.checksum,
			place_format(sb->root.place).text, sb->log.segno,
			sb->log.slot, sb->log.seq, sb->log.prev_hash,
			sb->log.incarnation, place_format(sb->log.place).text);
}

int segment_header_print(const struct segment_header *h, char *ret, size_t size)
{
	char time[TIME_TEXT_BYTES];

	time_format(h->time_ns, time);
	return snprintf(
		ret, size,
		"segment %" PRIu64 " kind %s place %s incarnation %" PRIu64
		" first-seq %" PRIu64 " time %s next %" PRIu64 " next-place %s",
		h->segno, segment_kind_name(h->kind),
		place_format(h->place).text, h->incarnation, h->first_seq, time,
		h->next_segno, place_format(h->next_place).text);
}

int batch_header_print(const struct batch_header *h, char *ret, size_t size)
{
	char time[TIME_TEXT_BYTES];

	time_format(h->time_ns, time);
	return snprintf(ret, size,
			"batch %" PRIu64 " kind %s segment %" PRIu64
			" slot %" PRIu32 " incarnation %" PRIu64
			" entries %" PRIu32 " payload %" PRIu32
			" durable %" PRIu64 " time %s prev %016" PRIx64
			" hash %016" PRIx64,
			h->seq, segment_kind_name(h->kind), h->segno, h->slot,
			h->incarnation, h->nr_entries, h->nr_payload,
			h->durable_seq, time, h->prev_hash, h->hash);
}

int batch_entry_print(const struct batch_entry *e, char *ret, size_t size)
{
	struct birth name;

	switch (e->op) {
	case OP_WRITE:
	case OP_ZERO:
	case OP_TRIM:
		return snprintf(ret, size,
				"%s volume %" PRIu32 " block %" PRIu64
				" count %" PRIu32,
				op_name(e->op), e->volume, e->first_block,
				e->count);
	case OP_GCMOVE:
		name = batch_entry_birth(e);
		return snprintf(ret, size,
				"gcmove segment %" PRIu64 " slot %" PRIu32,
				birth_segno(name), birth_slot(name));
	case OP_META:
		return snprintf(ret, size,
				"meta checkpoint %" PRIu64 " count %" PRIu32,
				e->first_block, e->count);
	default:
		return snprintf(ret, size, "%s count %" PRIu32, op_name(e->op),
				e->count);
	}
}

int node_entry_print(uint32_t id, const struct node_entry *e, char *ret,
		     size_t size)
{
	return snprintf(ret, size,
			"node %" PRIu32 " count %" PRIu32 " used %" PRIu32
			" segment %" PRIu64 " offset %" PRIu32 " length %u"
			" checksum %08" PRIx32,
			id, e->count, e->used, e->segno, e->offset, e->length,
			e->checksum);
}

int segment_info_print(const struct segment_info *info, char *ret, size_t size)
{
	char time[TIME_TEXT_BYTES];

	time_format(info->sealed_time_ns, time);
	return snprintf(
		ret, size,
		"segment %" PRIu64 " kind %s place %s live %" PRIu32
		" overflows %" PRIu32 " forwards %" PRIu32 " first-seq %" PRIu64
		" last-seq %" PRIu64 " sealed %s quarantine %s",
		info->segno, segment_kind_name(info->kind),
		place_format(info->place).text, info->live, info->nr_overflow,
		info->nr_forwards, info->first_seq, info->last_seq,
		info->flags & SEGMENT_INFO_SEALED ? time : "no",
		info->flags & SEGMENT_INFO_QUARANTINE ? "yes" : "no");
}

int volume_record_print(const struct volume_record *r, char *ret, size_t size)
{
	char time[TIME_TEXT_BYTES];

	time_format(r->created_ns, time);
	return snprintf(ret, size,
			"%s %" PRIu32 " name %s flags %#" PRIx32
			" parent %" PRIu32 " origin %" PRIu32 " kept %" PRIu32
			" root %" PRIu32 " epoch %" PRIu32 " size %" PRIu64
			" refer %" PRIu64 " written %" PRIu64
			" created %s seq %" PRIu64 " attributes %u",
			r->kind == VOLUME_SNAPSHOT ? "snapshot" : "volume",
			r->id, r->name, r->flags, r->parent, r->origin, r->kept,
			r->root, r->epoch, r->size, r->refer, r->written, time,
			r->seq, r->attrs_length);
}

int operation_item_print(const struct operation_item *item, char *ret,
			 size_t size)
{
	return snprintf(
		ret, size,
		"item volume %" PRIu32 " other %" PRIu32 " new %" PRIu32
		" flags %#" PRIx32 " size %" PRIu64 " name %.*s attributes %u",
		item->volume, item->other, item->new_id, item->flags,
		item->size, (int)item->name_length,
		item->name_length ? item->name : "", item->attrs_length);
}

int root_print(const struct root *root, char *ret, size_t size)
{
	char time[TIME_TEXT_BYTES];

	time_format(root->time_ns, time);
	return snprintf(
		ret, size,
		"root checkpoint %" PRIu64 " time %s next-segment %" PRIu64
		" next-volume %" PRIu32 " next-node %" PRIu32
		" next-epoch %" PRIu32 " meta-segments %" PRIu32
		" pages node %" PRIu32 " segment %" PRIu32 " volume %" PRIu32
		" frame %" PRIu32 " reaper %" PRIu32,
		root->checkpoint_id, time, root->next_segno,
		root->next_volume_id, root->next_node_id, root->next_epoch,
		root->nr_meta_segments, root->nr_pages[TABLE_NODE],
		root->nr_pages[TABLE_SEGMENT], root->nr_pages[TABLE_VOLUME],
		root->nr_pages[TABLE_FRAME], root->nr_pages[TABLE_REAPER]);
}
