/* SPDX-License-Identifier: BSD-2-Clause */
/* Limits of superblock, segment header, batch and operation. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "batch.h"
#include "limits.h"
#include "operation.h"
#include "samples.h"
#include "segment.h"
#include "superblock.h"
#include "volume-record.h"

static void a_superblock_out_of_range_is_refused(void **state)
{
	static const struct limit limits[] = {
		REFUSED("superblock", EINVAL, "no varve superblock",
			{0, 1, 'V'}),
		REFUSED("superblock", ENOTSUP,
			"superblock B: format version 2 is newer than 1",
			AT(disk_superblock, version, 2)),
		REFUSED("superblock", EUCLEAN, "format version 0",
			AT(disk_superblock, version, 0)),
		REFUSED("superblock", ENOTSUP,
			"unknown incompatible features 0x8000000000000000",
			AT(disk_superblock, features_incompat,
			   UINT64_C(1) << 63)),
		REFUSED("superblock", ENOTSUP,
			"unknown incompatible features 0x4",
			AT(disk_superblock, features_incompat, 7)),
		ACCEPTED("superblock",
			 AT(disk_superblock, features_incompat, 0)),
		ACCEPTED("superblock",
			 AT(disk_superblock, features_ro_compat, UINT64_MAX)),
		REFUSED("superblock", EUCLEAN, "superblock B: holds copy 0",
			AT(disk_superblock, copy, 0)),
		REFUSED("superblock", EUCLEAN, "block shift 9",
			AT(disk_superblock, block_shift, 9)),
		REFUSED("superblock", EUCLEAN, "segment shift 15",
			AT(disk_superblock, segment_shift, 15)),
		REFUSED("superblock", EUCLEAN, "segment shift 24",
			AT(disk_superblock, segment_shift, 24)),
		REFUSED("superblock", EUCLEAN, "segment shift 255",
			AT(disk_superblock, segment_shift, 255)),
		REFUSED("superblock", EUCLEAN, "checksum kind 2",
			AT(disk_superblock, checksum_kind, 2)),
		REFUSED("superblock", EUCLEAN, "capacity 196607",
			AT(disk_superblock, capacity, 196607)),
		ACCEPTED("superblock", AT(disk_superblock, capacity, 196608)),
		REFUSED("superblock", EUCLEAN, "capacity",
			AT(disk_superblock, capacity, 16777215),
			AT(disk_superblock, segment_shift, 23)),
		REFUSED("superblock", EUCLEAN, "capacity",
			AT(disk_superblock, capacity, UINT64_C(1) << 63)),
		REFUSED("superblock", EUCLEAN, "incarnation",
			AT(disk_superblock, open_incarnation, UINT64_MAX)),
		REFUSED("superblock", EUCLEAN, "checkpoint id",
			AT(disk_superblock, checkpoint_id, UINT64_MAX)),
		REFUSED("superblock", EUCLEAN, "segment bound",
			AT(disk_superblock, segno_bound, SEGNO_MAX + 1)),
		REFUSED("superblock", EUCLEAN,
			"root: segment 1000 is beyond the bound 1000",
			AT(disk_superblock, segno_bound, 1000)),
		REFUSED("superblock", EUCLEAN, "root: segment 0",
			AT(disk_superblock, root_segno, 0)),
		REFUSED("superblock", EUCLEAN, "root: segment 1000",
			AT(disk_superblock, root_offset, 8184)),
		REFUSED("superblock", EUCLEAN, "root: length 127",
			AT(disk_superblock, root_length, 127)),
		REFUSED("superblock", EUCLEAN, "beyond its end",
			AT(disk_superblock, root_length, 65536 - 12304 + 1)),
		ACCEPTED("superblock",
			 AT(disk_superblock, root_length, 65536 - 12304)),
		REFUSED("superblock", EUCLEAN, "beyond its end",
			AT(disk_superblock, root_offset, 0xfffffff8),
			AT(disk_superblock, root_length, 0xfffffff8)),
		REFUSED("superblock", EUCLEAN, "root: no place",
			AT(disk_superblock, root_place, UINT64_MAX)),
		REFUSED("superblock", EUCLEAN, "log: segment 0",
			AT(disk_superblock, log_segno, 0)),
		REFUSED("superblock", EUCLEAN, "log: segment 8192",
			AT(disk_superblock, log_segno, 8192)),
		REFUSED("superblock", EUCLEAN, "log: slot 0",
			AT(disk_superblock, log_slot, 0)),
		REFUSED("superblock", EUCLEAN, "log: slot 16",
			AT(disk_superblock, log_slot, 16)),
		REFUSED("superblock", EUCLEAN, "log: no place",
			AT(disk_superblock, log_place, UINT64_MAX)),
		REFUSED("superblock", EUCLEAN, "log: incarnation 10",
			AT(disk_superblock, log_incarnation, 10)),
		REFUSED("superblock", EUCLEAN, "reserved bytes",
			AT(disk_superblock, zero, 1)),
		REFUSED("superblock", EUCLEAN, "reserved bytes", {4087, 1, 1}),
	};

	CHECK(limits);
}

static void a_segment_header_out_of_range_is_refused(void **state)
{
	static const struct limit limits[] = {
		REFUSED("segment-header", EINVAL, "place 18: no segment header",
			{0, 1, 'V'}),
		REFUSED("segment-header", EUCLEAN,
			"place 18: segment 1001: header of place 19",
			AT(disk_segment_header, place, 19)),
		REFUSED("segment-header", EUCLEAN, "segment 0",
			AT(disk_segment_header, segno, 0)),
		REFUSED("segment-header", EUCLEAN, "number out of range",
			AT(disk_segment_header, segno, SEGNO_MAX + 1)),
		REFUSED("segment-header", EUCLEAN, "kind 0",
			AT(disk_segment_header, kind, 0)),
		REFUSED("segment-header", EUCLEAN, "kind 4",
			AT(disk_segment_header, kind, 4)),
		REFUSED("segment-header", EUCLEAN, "only data has one",
			AT(disk_segment_header, kind, SEGMENT_META)),
		ACCEPTED("segment-header",
			 AT(disk_segment_header, kind, SEGMENT_META),
			 AT(disk_segment_header, next_segno, 0),
			 AT(disk_segment_header, next_place, UINT64_MAX)),
		REFUSED("segment-header", EUCLEAN, "next segment 1001",
			AT(disk_segment_header, next_segno, 1001)),
		REFUSED("segment-header", EUCLEAN, "next segment",
			AT(disk_segment_header, next_segno, SEGNO_MAX + 1)),
		REFUSED("segment-header", EUCLEAN, "without next segment",
			AT(disk_segment_header, next_segno, 0)),
		REFUSED("segment-header", EUCLEAN, "next place",
			AT(disk_segment_header, next_place, UINT64_MAX)),
		REFUSED("segment-header", EUCLEAN, "next place 18",
			AT(disk_segment_header, next_place, 18)),
		REFUSED("segment-header", EUCLEAN, "reserved bytes",
			{4087, 1, 1}),
	};

	CHECK(limits);
}

/* Field of entry @n. */
#define ENTRY(n, member, value) \
	{ \
		BATCH_FIXED_SIZE + n *BATCH_ENTRY_SIZE + \
			offsetof(struct disk_batch_entry, member), \
			sizeof(((struct disk_batch_entry *)0)->member), value \
	}

static void a_batch_header_out_of_range_is_refused(void **state)
{
	static const struct limit limits[] = {
		REFUSED("batch-data", EINVAL, "no batch header", {0, 1, 'V'}),
		REFUSED("batch-data", EUCLEAN,
			"segment 1001 slot 5: kind 0 is not known",
			AT(disk_batch, kind, 0)),
		REFUSED("batch-data", EUCLEAN, "segment out of range",
			AT(disk_batch, segno, 0)),
		REFUSED("batch-data", EUCLEAN, "segment out of range",
			AT(disk_batch, segno, SEGNO_MAX + 1)),
		REFUSED("batch-data", EUCLEAN, "slot out of range",
			AT(disk_batch, slot, 0)),
		REFUSED("batch-data", EUCLEAN, "slot out of range",
			AT(disk_batch, slot, 2048)),
		/* 4 blocks of payload after slot 2043 just fit */
		ACCEPTED("batch-data", AT(disk_batch, slot, 2043)),
		REFUSED("batch-data", EUCLEAN, "do not fit",
			AT(disk_batch, slot, 2044)),
		REFUSED("batch-data", EUCLEAN, "3 payload blocks",
			AT(disk_batch, nr_payload, 3)),
		REFUSED("batch-data", EUCLEAN, "entry 4: op 0 is not known",
			AT(disk_batch, nr_entries, 5)),
		REFUSED("batch-data", EUCLEAN, "251 entries",
			AT(disk_batch, nr_entries, 251)),
		REFUSED("batch-data", EUCLEAN, "65535 entries",
			AT(disk_batch, nr_entries, 65535)),
		REFUSED("batch-data", EUCLEAN, "entries",
			AT(disk_batch, nr_entries, 3)),
		REFUSED("batch-meta", EUCLEAN, "0 entries in a metadata batch",
			AT(disk_batch, nr_entries, 0)),
		REFUSED("batch-data", EUCLEAN,
			"batch 7000 says 7001 is durable",
			AT(disk_batch, durable_seq, 7001)),
		/* the other streams carry the log's durable_seq */
		ACCEPTED("batch-meta", AT(disk_batch, durable_seq, 7001)),
		REFUSED("batch-data", EUCLEAN, "reserved bytes",
			AT(disk_batch, reserved, 1)),
		REFUSED("batch-data", EUCLEAN, "reserved bytes", {160, 1, 1}),
		REFUSED("batch-data", EUCLEAN, "reserved bytes", {4079, 1, 1}),
	};

	CHECK(limits);
}

static void a_batch_entry_out_of_range_is_refused(void **state)
{
	static const struct limit limits[] = {
		REFUSED("batch-data", EUCLEAN,
			"segment 1001 slot 5: entry 0: op 32 is not known to "
			"this version",
			ENTRY(0, op, OP_REF)),
		REFUSED("batch-data", EUCLEAN, "op 33 is not known",
			ENTRY(0, op, OP_CWRITE)),
		REFUSED("batch-data", EUCLEAN, "op 255 is not known",
			ENTRY(0, op, 255)),
		REFUSED("batch-data", EUCLEAN, "entry 3: flags 0x1",
			ENTRY(3, flags, 1)),
		REFUSED("batch-data", EUCLEAN, "entry 0: op 4 is not allowed",
			ENTRY(0, op, OP_GCMOVE)),
		REFUSED("batch-data", EUCLEAN, "entry 0: op 5 is not allowed",
			ENTRY(0, op, OP_META)),
		REFUSED("batch-gc", EUCLEAN, "entry 1: op 1 is not allowed",
			ENTRY(1, op, OP_WRITE)),
		REFUSED("batch-meta", EUCLEAN, "entry 0: op 17 is not allowed",
			ENTRY(0, op, OP_SNAPSHOT)),
		REFUSED("batch-data", EUCLEAN, "entry 0: volume 0",
			ENTRY(0, volume, 0)),
		REFUSED("batch-data", EUCLEAN, "count 0 of payload blocks",
			ENTRY(0, count_low, 0)),
		REFUSED("batch-data", EUCLEAN, "count 256 of payload blocks",
			ENTRY(0, count_low, 256)),
		REFUSED("batch-data", EUCLEAN, "is not inside a volume",
			ENTRY(0, first_block, VOLUME_BLOCKS_MAX - 2)),
		ACCEPTED("batch-data",
			 ENTRY(0, first_block, VOLUME_BLOCKS_MAX - 3)),
		REFUSED("batch-data", EUCLEAN, "entry 2: block 1 count 0",
			ENTRY(2, count_low, 0)),
		ACCEPTED("batch-data", ENTRY(1, count_low, 0xffff),
			 ENTRY(1, count_high, 0xffff)),
		REFUSED("batch-data", EUCLEAN, "is not inside a volume",
			ENTRY(1, first_block, UINT64_C(0xffffffffffff))),
		REFUSED("batch-data", EUCLEAN, "entry 3: volume 1",
			ENTRY(3, volume, 1)),
		REFUSED("batch-data", EUCLEAN, "entry 3: volume 0 block 1",
			ENTRY(3, first_block, 1)),
		REFUSED("batch-gc", EUCLEAN, "names no block",
			ENTRY(0, volume, 0)),
		REFUSED("batch-gc", EUCLEAN, "slot 2048 names no block",
			ENTRY(0, first_block, UINT64_C(2048) << 32)),
		REFUSED("batch-gc", EUCLEAN, "count 2 of a move",
			ENTRY(0, count_low, 2)),
		REFUSED("batch-meta", EUCLEAN, "volume 1 is not zero",
			ENTRY(0, volume, 1)),
		REFUSED("batch-meta", EUCLEAN, "count 65538",
			ENTRY(0, count_high, 1)),
	};

	CHECK(limits);
}

static void an_operation_out_of_range_is_refused(void **state)
{
	static const struct limit limits[] = {
		REFUSED("operation", EUCLEAN, "operation: no magic",
			{0, 1, 'V'}),
		REFUSED("operation", EUCLEAN, "op 17 is not 20",
			AT(disk_operation, op, OP_SNAPSHOT)),
		REFUSED("operation", EUCLEAN, "no item",
			AT(disk_operation, nr_items, 0)),
		REFUSED("operation", EUCLEAN, "item 2: beyond the end",
			AT(disk_operation, nr_items, 3)),
		REFUSED("operation", EUCLEAN, "length 23",
			AT(disk_operation, length, 23)),
		REFUSED("operation", EUCLEAN, "length 4097",
			AT(disk_operation, length, 4097)),
		REFUSED("operation", EUCLEAN, "length",
			AT(disk_operation, length, 0xffffffff)),
		REFUSED("operation", EUCLEAN, "length 120 is not the 112",
			AT(disk_operation, length, 120)),
		REFUSED("operation", EUCLEAN, "item 0: no volume", {24, 4, 0}),
		REFUSED("operation", EUCLEAN, "item 0: no other volume",
			{28, 4, 0}),
		REFUSED("operation", EUCLEAN, "item 0: no new id", {32, 4, 0}),
		REFUSED("operation", EUCLEAN, "item 0: flags 0x10",
			{36, 4, 16}),
		REFUSED("operation", EUCLEAN, "item 0: an unused size",
			{40, 8, 512}),
		REFUSED("operation", EUCLEAN, "item 0: strings beyond the end",
			{48, 2, 0xffff}),
		REFUSED("operation", EUCLEAN, "item 0: strings beyond the end",
			{50, 2, 0xffff}),
		REFUSED("operation", EUCLEAN, "item 1: no name", {96, 2, 0},
			{98, 2, 8}),
		REFUSED("operation", EUCLEAN, "item 1: \"be#ore-r\"",
			{106, 1, '#'}),
		REFUSED("operation", EUCLEAN, "item 1: \"be@ore-r\"",
			{106, 1, '@'}),
		REFUSED("operation", EUCLEAN, "zero byte in the name",
			{106, 1, 0}),
		REFUSED("operation", EUCLEAN, "attribute without key",
			{60, 1, '='}),
		REFUSED("operation", EUCLEAN, "does not end", {69, 1, 'x'}),
		REFUSED("operation", EUCLEAN, "reserved bytes", {70, 1, 1}),
		REFUSED("operation", EUCLEAN, "reserved bytes", {4095, 1, 1}),
	};

	CHECK(limits);
}

static void a_batch_takes_200_entries_with_one_block_each(void **state)
{
	assert_true(batch_has_room(199, 200));
	assert_false(batch_has_room(200, 201));
}

static void a_batch_takes_255_payload_blocks(void **state)
{
	assert_true(batch_has_room(0, 255));
	assert_false(batch_has_room(0, 256));
	assert_true(batch_has_room(185, 255));
	assert_false(batch_has_room(186, 255));
}

static void a_full_batch_decodes(void **state)
{
	struct batch_header header = {
		.kind = SEGMENT_DATA, .seq = 1, .segno = 1, .slot = 1};
	struct batch_entry entry = {.op = OP_WRITE, .volume = 1, .count = 1};
	struct disk_batch batch;

	batch_init(&batch, &header);
	for (uint32_t i = 0; i < 200; i++) {
		batch_put_entry(&batch, i, &entry);
		batch_put_checksum(&batch, i, 0xffffffff);
	}
	(void)batch_seal(&batch, 200, 200, 0, 0);
	assert_int_equal(batch_decode(&batch, &header, NULL), 0);
	assert_int_equal(header.nr_payload, 200);
}

static void a_started_batch_shows_no_entry(void **state)
{
	struct batch_header header = {
		.kind = SEGMENT_DATA, .seq = 1, .segno = 1, .slot = 1};
	struct disk_batch batch;

	sample_find("batch-data")->encode(&batch); /* a buffer used before */
	batch_init(&batch, &header);
	assert_int_equal(batch_decode_unsealed(&batch, &header, NULL), 0);
	assert_int_equal(header.nr_entries, 0);
	assert_int_equal(header.hash, 0);
}

static void an_unsealed_batch_shows_what_was_published(void **state)
{
	struct batch_header header = {
		.kind = SEGMENT_DATA, .seq = 1, .segno = 1, .slot = 1};
	struct batch_entry entry = {.op = OP_WRITE, .volume = 1, .count = 2};
	struct disk_batch batch;

	batch_init(&batch, &header);
	batch_put_entry(&batch, 0, &entry);
	batch_publish(&batch, 1, 2);
	batch_put_entry(&batch, 1, &entry);
	/* killed between the stores of the two counts */
	batch.nr_payload = 4;
	assert_int_equal(batch_decode_unsealed(&batch, &header, NULL), 0);
	assert_int_equal(header.nr_entries, 1);
	assert_int_equal(header.nr_payload, 2);
	assert_int_equal(batch_decode(&batch, &header, NULL), -EBADMSG);
}

/* Encode and decode one item of @op. */
static int try_item(enum op op, const struct operation_item *item)
{
	struct operation o = {.op = op, .nr_items = 1};
	uint8_t payload[2 * BLOCK_SIZE] = {0};

	operation_encode(&o, item, payload);
	return operation_decode(payload, sizeof(payload), op, &o, NULL);
}

static void a_created_volume_has_a_possible_size(void **state)
{
	static const uint64_t bad[] = {
		0, 1, 511, 513, VOLUME_BYTES_MAX + 512, UINT64_MAX - 511};
	struct operation_item item = {
		.new_id = 1, .size = 512, .name = "vm1", .name_length = 3};

	assert_int_equal(try_item(OP_CREATE, &item), 0);
	item.size = VOLUME_BYTES_MAX;
	assert_int_equal(try_item(OP_CREATE, &item), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		item.size = bad[i];
		assert_int_equal(try_item(OP_CREATE, &item), -EUCLEAN);
	}
}

static void an_operation_has_what_its_kind_needs(void **state)
{
	static const struct {
		enum op op;
		struct operation_item item;
	} items[] = {
		{OP_CREATE, {0, 0, 1, 0, 512, "v", 1, NULL, 0}},
		{OP_SNAPSHOT, {1, 0, 2, 0, 0, "s", 1, "k=v", 4}},
		{OP_CLONE, {0, 2, 3, 0, 0, "g/v", 3, NULL, 0}},
		{OP_DELETE, {1, 0, 0, 0, 0, NULL, 0, NULL, 0}},
		{OP_ROLLBACK, {1, 2, 3, 0, 0, "s", 1, NULL, 0}},
		{OP_UNDO, {1, 3, 0, 0, 0, NULL, 0, NULL, 0}},
		{OP_RESIZE, {1, 0, 0, 0, 1024, NULL, 0, NULL, 0}},
		{OP_SET_NAME, {1, 0, 0, 0, 0, "v2", 2, NULL, 0}},
		{OP_SET, {1, 0, 0, 0, 0, NULL, 0, "k=v", 4}},
	};
	size_t nr = sizeof(items) / sizeof(items[0]);

	for (size_t i = 0; i < nr; i++) {
		assert_int_equal(try_item(items[i].op, &items[i].item), 0);
		/* what is right for one operation is wrong for the next */
		assert_int_equal(
			try_item(items[(i + 1) % nr].op, &items[i].item),
			-EUCLEAN);
	}
}

static void a_name_of_256_bytes_is_refused(void **state)
{
	struct operation_item item = {.new_id = 1, .size = 512};
	char name[256];

	memset(name, 'a', sizeof(name));
	item.name = name;
	item.name_length = 255;
	assert_int_equal(try_item(OP_CREATE, &item), 0);
	item.name_length = 256;
	assert_int_equal(try_item(OP_CREATE, &item), -EUCLEAN);
}

static void attributes_of_2049_bytes_are_refused(void **state)
{
	struct operation_item item = {.volume = 1};
	char attrs[VOLUME_ATTRS_MAX_BYTES + 1];

	memset(attrs, 'a', sizeof(attrs));
	attrs[1] = '=';
	attrs[VOLUME_ATTRS_MAX_BYTES - 1] = '\0';
	item.attrs = attrs;
	item.attrs_length = VOLUME_ATTRS_MAX_BYTES;
	assert_int_equal(try_item(OP_SET, &item), 0);
	attrs[VOLUME_ATTRS_MAX_BYTES - 1] = 'a';
	attrs[VOLUME_ATTRS_MAX_BYTES] = '\0';
	item.attrs_length++;
	assert_int_equal(try_item(OP_SET, &item), -EUCLEAN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_superblock_out_of_range_is_refused),
		cmocka_unit_test(a_segment_header_out_of_range_is_refused),
		cmocka_unit_test(a_batch_header_out_of_range_is_refused),
		cmocka_unit_test(a_batch_entry_out_of_range_is_refused),
		cmocka_unit_test(an_operation_out_of_range_is_refused),
		cmocka_unit_test(a_batch_takes_200_entries_with_one_block_each),
		cmocka_unit_test(a_batch_takes_255_payload_blocks),
		cmocka_unit_test(a_full_batch_decodes),
		cmocka_unit_test(a_started_batch_shows_no_entry),
		cmocka_unit_test(an_unsealed_batch_shows_what_was_published),
		cmocka_unit_test(a_created_volume_has_a_possible_size),
		cmocka_unit_test(an_operation_has_what_its_kind_needs),
		cmocka_unit_test(a_name_of_256_bytes_is_refused),
		cmocka_unit_test(attributes_of_2049_bytes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
