/* SPDX-License-Identifier: BSD-2-Clause */
/* Samples of superblock, segments, batches and operations. */
#include "samples-private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "batch.h"
#include "checksum.h"
#include "operation.h"
#include "segment.h"
#include "superblock.h"

/* ---- superblock ---- */

static const struct superblock superblock = {
	.features_incompat = FEATURES_INCOMPAT_KNOWN,
	.features_ro_compat = 0,
	.features_compat = 4,
	.uuid = UUID,
	.open_incarnation = 9,
	.checkpoint_id = 33,
	.capacity = (128u << 10) + 64 * (64u << 10),
	.segno_bound = 8192,
	.segment_shift = SHIFT,
	.root = {.segno = 1000,
		 .offset = 12304,
		 .length = 280,
		 .checksum = UINT64_C(0x1122334455667788),
		 .place = 17},
	.log = {.segno = 1001,
		.slot = 5,
		.seq = 7000,
		.prev_hash = UINT64_C(0x99aabbccddeeff00),
		.incarnation = 8,
		.place = 18},
};

static const struct free_bytes superblock_free[] = {
	FIELD(struct disk_superblock, segment_shift,
	      "larger, while the capacity holds one segment"),
	{16, 16, "features_incompat, known bits"},
	FIELD(struct disk_superblock, features_ro_compat,
	      "unknown bits: open read-only"),
	FIELD(struct disk_superblock, features_compat, "unknown bits: ignored"),
	FIELD(struct disk_superblock, uuid, "any"),
	FIELD(struct disk_superblock, open_incarnation, "a counter"),
	FIELD(struct disk_superblock, checkpoint_id, "a counter"),
	FIELD(struct disk_superblock, capacity, "larger is possible"),
	{80, 86, "segno_bound, but for its upper bits"},
	{88, 89, "root_segno below the bound"},
	{96, 97, "root_offset inside the segment"},
	{100, 101, "root_length inside the segment"},
	FIELD(struct disk_superblock, root_checksum, "any"),
	FIELD(struct disk_superblock, root_place, "any"),
	{120, 121, "log_segno below the bound"},
	{128, 128, "log_slot inside the segment"},
	FIELD(struct disk_superblock, log_seq, "a counter"),
	FIELD(struct disk_superblock, log_prev_hash, "any"),
	{152, 152, "log_incarnation, up to open_incarnation"},
	FIELD(struct disk_superblock, log_place, "any"),
	END_OF_LIST,
};

static size_t encode_superblock(void *ret)
{
	superblock_encode(&superblock, 1, ret);
	return SUPERBLOCK_SIZE;
}

static int decode_superblock(const void *bytes, size_t length,
			     struct error *err)
{
	struct superblock sb;

	assert_int_equal(length, SUPERBLOCK_SIZE);
	return superblock_decode(bytes, 1, &sb, err);
}

static void compare_superblock(const void *bytes, size_t length)
{
	const struct superblock *e = &superblock;
	struct superblock sb;

	assert_int_equal(superblock_decode(bytes, 1, &sb, NULL), 0);
	assert_int_equal(sb.features_incompat, e->features_incompat);
	assert_int_equal(sb.features_ro_compat, e->features_ro_compat);
	assert_int_equal(sb.features_compat, e->features_compat);
	assert_memory_equal(sb.uuid, e->uuid, 16);
	assert_int_equal(sb.open_incarnation, e->open_incarnation);
	assert_int_equal(sb.checkpoint_id, e->checkpoint_id);
	assert_int_equal(sb.capacity, e->capacity);
	assert_int_equal(sb.segno_bound, e->segno_bound);
	assert_int_equal(sb.segment_shift, e->segment_shift);
	assert_int_equal(sb.root.segno, e->root.segno);
	assert_int_equal(sb.root.offset, e->root.offset);
	assert_int_equal(sb.root.length, e->root.length);
	assert_int_equal(sb.root.checksum, e->root.checksum);
	assert_int_equal(sb.root.place, e->root.place);
	assert_int_equal(sb.log.segno, e->log.segno);
	assert_int_equal(sb.log.slot, e->log.slot);
	assert_int_equal(sb.log.seq, e->log.seq);
	assert_int_equal(sb.log.prev_hash, e->log.prev_hash);
	assert_int_equal(sb.log.incarnation, e->log.incarnation);
	assert_int_equal(sb.log.place, e->log.place);
}

/* Superblock and segment header: the last 8 bytes cover those before. */
static void fix_trailer(void *bytes, size_t length)
{
	le64 checksum = le64_make(checksum64(bytes, length - 8));

	memcpy((uint8_t *)bytes + length - 8, &checksum, 8);
}

/* ---- segment header ---- */

static const struct segment_header segment_header = {
	.kind = SEGMENT_DATA,
	.uuid = UUID,
	.segno = 1001,
	.place = 18,
	.incarnation = 8,
	.first_seq = 6990,
	.time_ns = TIME,
	.next_segno = 1004,
	.next_place = 21,
};

static const struct free_bytes segment_header_free[] = {
	FIELD(struct disk_segment_header, uuid, "checked by who walks"),
	{24, 25, "segno below its successor's"},
	FIELD(struct disk_segment_header, incarnation, "checked by who walks"),
	FIELD(struct disk_segment_header, first_seq, "a counter"),
	FIELD(struct disk_segment_header, time_ns, "any"),
	{64, 70, "next_segno, but for its upper bits"},
	FIELD(struct disk_segment_header, next_place, "any"),
	END_OF_LIST,
};

static size_t encode_segment_header(void *ret)
{
	segment_header_encode(&segment_header, ret);
	return SEGMENT_HEADER_SIZE;
}

static int decode_segment_header(const void *bytes, size_t length,
				 struct error *err)
{
	struct segment_header h;

	assert_int_equal(length, SEGMENT_HEADER_SIZE);
	return segment_header_decode(bytes, segment_header.place, &h, err);
}

static void compare_segment_header(const void *bytes, size_t length)
{
	const struct segment_header *e = &segment_header;
	struct segment_header h;

	assert_int_equal(segment_header_decode(bytes, e->place, &h, NULL), 0);
	assert_int_equal(h.kind, e->kind);
	assert_memory_equal(h.uuid, e->uuid, 16);
	assert_int_equal(h.segno, e->segno);
	assert_int_equal(h.place, e->place);
	assert_int_equal(h.incarnation, e->incarnation);
	assert_int_equal(h.first_seq, e->first_seq);
	assert_int_equal(h.time_ns, e->time_ns);
	assert_int_equal(h.next_segno, e->next_segno);
	assert_int_equal(h.next_place, e->next_place);
}

/* ---- batches ---- */

/* What a batch sample is made of. */
struct batch_sample {
	struct batch_header header;
	struct batch_entry entries[4];
	uint32_t checksums[4];
};

static const struct batch_sample batch_data = {
	.header = {.kind = SEGMENT_DATA,
		   .nr_payload = 4,
		   .nr_entries = 4,
		   .seq = 7000,
		   .segno = 1001,
		   .slot = 5,
		   .incarnation = 8,
		   .prev_hash = UINT64_C(0x99aabbccddeeff00),
		   .durable_seq = 6999,
		   .time_ns = TIME,
		   .uuid = UUID},
	.entries = {{OP_WRITE, 7, UINT64_C(0x123456789), 3},
		    {OP_ZERO, 7, 4096, 0x20001},
		    {OP_TRIM, 8, 1, 64},
		    {OP_SNAPSHOT, 0, 0, 1}},
	.checksums = {0x11111111, 0x22222222, 0x33333333, 0x44444444},
};

static const struct batch_sample batch_meta = {
	.header = {.kind = SEGMENT_META,
		   .nr_payload = 2,
		   .nr_entries = 1,
		   .seq = 12,
		   .segno = 1000,
		   .slot = 1,
		   .incarnation = 8,
		   .prev_hash = UINT64_C(0x0102030405060708),
		   .durable_seq = 6999,
		   .time_ns = TIME,
		   .uuid = UUID},
	.entries = {{OP_META, 0, 33, 2}},
	.checksums = {0x55555555, 0x66666666},
};

static struct batch_sample batch_gc(void)
{
	struct batch_sample ret = {
		.header = {.kind = SEGMENT_GC,
			   .nr_payload = 2,
			   .nr_entries = 2,
			   .seq = 3,
			   .segno = 1002,
			   .slot = 1,
			   .incarnation = 8,
			   .prev_hash = UINT64_C(0x0102030405060708),
			   .durable_seq = 6999,
			   .time_ns = TIME,
			   .uuid = UUID},
		.checksums = {0x77777777, 0x88888888},
	};

	ret.entries[0] = batch_entry_gcmove(birth_make(900, 2047));
	ret.entries[1] =
		batch_entry_gcmove(birth_make(UINT64_C(0x4000500060007), 2));
	return ret;
}

static const struct free_bytes batch_data_free[] = {
	FIELD(struct disk_batch, seq, "a counter"),
	{16, 22, "segno, but for its upper bits"},
	{24, 25, "slot, as far as the format knows"},
	BYTES_OF(struct disk_batch, incarnation, prev_hash,
		 "checked by who walks"),
	{48, 49, "durable_seq, not beyond seq"},
	BYTES_OF(struct disk_batch, time_ns, uuid, "checked by who walks"),
	{100, 108, "write: volume and block"},
	{112, 112, "zero: op becomes trim"},
	{114, 124, "zero: count (low half), volume and block"},
	{126, 127, "zero: count (high half)"},
	{128, 128, "trim: op becomes zero"},
	{130, 140, "trim: count (low half), volume and block"},
	{142, 143, "trim: count (high half)"},
	{144, 144, "snapshot: op becomes another operation"},
	{4080, 4095, "checksums of payload"},
	END_OF_LIST,
};

static const struct free_bytes batch_gc_free[] = {
	FIELD(struct disk_batch, seq, "a counter"),
	{16, 22, "segno, but for its upper bits"},
	{24, 25, "slot, as far as the format knows"},
	BYTES_OF(struct disk_batch, incarnation, uuid, "checked by who walks"),
	{100, 106, "name: segment"},
	{108, 109, "name: slot"},
	{116, 122, "name: segment"},
	{124, 125, "name: slot"},
	{4088, 4095, "checksums of payload"},
	END_OF_LIST,
};

static const struct free_bytes batch_meta_free[] = {
	FIELD(struct disk_batch, seq, "a counter"),
	{16, 22, "segno, but for its upper bits"},
	{24, 25, "slot, as far as the format knows"},
	BYTES_OF(struct disk_batch, incarnation, uuid, "checked by who walks"),
	{104, 109, "checkpoint id"},
	{4088, 4095, "checksums of payload"},
	END_OF_LIST,
};

static size_t encode_batch(const struct batch_sample *sample, void *ret)
{
	const struct batch_header *h = &sample->header;

	memset(ret, 0xa5, BATCH_HEADER_SIZE); /* a buffer used before */
	batch_init(ret, h);
	for (uint32_t i = 0; i < h->nr_payload; i++)
		batch_put_checksum(ret, i, sample->checksums[i]);
	for (uint32_t i = 0; i < h->nr_entries; i++)
		batch_put_entry(ret, i, &sample->entries[i]);
	(void)batch_seal(ret, h->nr_entries, h->nr_payload, h->durable_seq,
			 h->time_ns);
	return BATCH_HEADER_SIZE;
}

static void compare_batch(const struct batch_sample *sample, const void *bytes)
{
	const struct batch_header *e = &sample->header;
	struct batch_header h;

	assert_int_equal(batch_decode(bytes, &h, NULL), 0);
	assert_int_equal(h.kind, e->kind);
	assert_int_equal(h.nr_payload, e->nr_payload);
	assert_int_equal(h.nr_entries, e->nr_entries);
	assert_int_equal(h.seq, e->seq);
	assert_int_equal(h.segno, e->segno);
	assert_int_equal(h.slot, e->slot);
	assert_int_equal(h.incarnation, e->incarnation);
	assert_int_equal(h.prev_hash, e->prev_hash);
	assert_int_equal(h.durable_seq, e->durable_seq);
	assert_int_equal(h.time_ns, e->time_ns);
	assert_memory_equal(h.uuid, e->uuid, 16);
	for (uint32_t i = 0; i < e->nr_entries; i++) {
		struct batch_entry entry;

		assert_int_equal(
			batch_get_entry(bytes, i, e->kind, &entry, NULL), 0);
		assert_int_equal(entry.op, sample->entries[i].op);
		assert_int_equal(entry.volume, sample->entries[i].volume);
		assert_int_equal(entry.first_block,
				 sample->entries[i].first_block);
		assert_int_equal(entry.count, sample->entries[i].count);
	}
	for (uint32_t i = 0; i < e->nr_payload; i++)
		assert_int_equal(batch_get_checksum(bytes, i),
				 sample->checksums[i]);
}

static size_t encode_batch_data(void *ret)
{
	return encode_batch(&batch_data, ret);
}

static size_t encode_batch_meta(void *ret)
{
	return encode_batch(&batch_meta, ret);
}

static size_t encode_batch_gc(void *ret)
{
	struct batch_sample sample = batch_gc();

	return encode_batch(&sample, ret);
}

static int decode_batch(const void *bytes, size_t length, struct error *err)
{
	struct batch_header h;

	assert_int_equal(length, BATCH_HEADER_SIZE);
	return batch_decode(bytes, &h, err);
}

static void compare_batch_data(const void *bytes, size_t length)
{
	compare_batch(&batch_data, bytes);
}

static void compare_batch_meta(const void *bytes, size_t length)
{
	compare_batch(&batch_meta, bytes);
}

static void compare_batch_gc(const void *bytes, size_t length)
{
	struct batch_sample sample = batch_gc();

	compare_batch(&sample, bytes);
	assert_int_equal(birth_segno(batch_entry_birth(&sample.entries[1])),
			 UINT64_C(0x4000500060007));
	assert_int_equal(birth_slot(batch_entry_birth(&sample.entries[0])),
			 2047);
}

static void fix_batch(void *bytes, size_t length)
{
	struct disk_batch *batch = bytes;

	batch->hash = le64_make(0);
	batch->hash = le64_make(checksum64(batch, sizeof(*batch)));
}

/* ---- operation ---- */

static const struct operation operation = {
	.op = OP_ROLLBACK,
	.nr_items = 2,
	.time_ns = TIME,
};
static const struct operation_item operation_items[2] = {
	{.volume = 7,
	 .other = 8,
	 .new_id = 9,
	 .flags = VOLUME_FLAG_OLD_HEAD,
	 .name = "kept",
	 .name_length = 4,
	 .attrs = "message=x",
	 .attrs_length = 10},
	{.volume = 10,
	 .other = 11,
	 .new_id = 12,
	 .flags = VOLUME_FLAG_OLD_HEAD,
	 .name = "before-r",
	 .name_length = 8},
};

static size_t encode_operation(void *ret)
{
	memset(ret, 0, BLOCK_SIZE);
	operation_encode(&operation, operation_items, ret);
	return BLOCK_SIZE;
}

static int decode_operation(const void *bytes, size_t length, struct error *err)
{
	struct operation o;

	return operation_decode(bytes, length, OP_ROLLBACK, &o, err);
}

static void compare_operation(const void *bytes, size_t length)
{
	struct operation_item item;
	struct operation o;
	size_t cursor = 0;

	assert_int_equal(operation_decode(bytes, length, OP_ROLLBACK, &o, NULL),
			 0);
	assert_int_equal(o.op, operation.op);
	assert_int_equal(o.nr_items, 2);
	assert_int_equal(o.length, operation_bytes(operation_items, 2));
	assert_int_equal(o.time_ns, operation.time_ns);
	for (uint32_t i = 0; i < 2; i++) {
		const struct operation_item *e = &operation_items[i];

		operation_next_item(bytes, &cursor, &item);
		assert_int_equal(item.volume, e->volume);
		assert_int_equal(item.other, e->other);
		assert_int_equal(item.new_id, e->new_id);
		assert_int_equal(item.flags, e->flags);
		assert_int_equal(item.size, e->size);
		assert_int_equal(item.name_length, e->name_length);
		assert_memory_equal(item.name, e->name, e->name_length);
		assert_int_equal(item.attrs_length, e->attrs_length);
		if (e->attrs_length)
			assert_memory_equal(item.attrs, e->attrs,
					    e->attrs_length);
	}
	assert_int_equal(cursor, o.length);
}

static const struct free_bytes operation_free[] = {
	FIELD(struct disk_operation, time_ns, "any"),
	{24, 36, "first item: ids, known flags"},
	{56, 66, "first item: letters of name and attributes"},
	{68, 68, "first item: letter of an attribute"},
	{72, 84, "second item: ids, known flags"},
	{104, 111, "second item: letters of the name"},
	END_OF_LIST,
};

/* ---- all of them ---- */

const struct sample log_samples[] = {
	SAMPLE(superblock, "superblock", superblock, fix_trailer),
	SAMPLE(segment_header, "segment-header", segment_header, fix_trailer),
	SAMPLE(batch_data, "batch-data", batch, fix_batch),
	SAMPLE(batch_gc, "batch-gc", batch, fix_batch),
	SAMPLE(batch_meta, "batch-meta", batch, fix_batch),
	SAMPLE(operation, "operation", operation, NULL),
};
