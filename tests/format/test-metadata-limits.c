/* SPDX-License-Identifier: BSD-2-Clause */
/* Limits of map nodes, pages, records and the root. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint.h"
#include "limits.h"
#include "map-node.h"
#include "node-table.h"
#include "samples.h"
#include "segment-info.h"
#include "segment.h"
#include "volume-record.h"

#define REF(kind, slot, segno) \
	((uint64_t)(kind) << 62 | (uint64_t)(slot) << 51 | (segno))

static void a_map_node_out_of_range_is_refused(void **state)
{
	static const struct limit limits[] = {
		REFUSED("inner", EUCLEAN, "node 77 (level 2): kind 1 is not 2",
			AT(disk_node_header, kind, NODE_LEAF)),
		REFUSED("leaf-run", EUCLEAN, "node 77 (leaf): kind 2 is not 1",
			AT(disk_node_header, kind, NODE_INNER)),
		REFUSED("inner", EUCLEAN, "level 3 is not 2",
			AT(disk_node_header, level, 3)),
		REFUSED("leaf-run", EUCLEAN, "level 1 is not 0",
			AT(disk_node_header, level, 1)),
		REFUSED("inner", EUCLEAN, "encoding 1",
			AT(disk_node_header, encoding, 1)),
		REFUSED("leaf-run", EUCLEAN, "encoding 1 with length 280",
			AT(disk_node_header, encoding, LEAF_DENSE)),
		REFUSED("leaf-dense", EUCLEAN, "encoding 2 with length 784",
			AT(disk_node_header, encoding, LEAF_RUN)),
		REFUSED("leaf-dense", EUCLEAN, "encoding 3",
			AT(disk_node_header, encoding, 3)),
		REFUSED("inner", EUCLEAN, "reserved byte",
			AT(disk_node_header, zero, 1)),
		REFUSED("inner", EUCLEAN, "id 78",
			AT(disk_node_header, id, 78)),
		REFUSED("inner", EUCLEAN, "epoch 0",
			AT(disk_node_header, epoch, 0)),
		REFUSED("inner", EUCLEAN, "child 1 is the node itself",
			{20, 4, 77}),
		REFUSED("leaf-dense", EUCLEAN, "entry 0: data in segment 0",
			{16, 8, REF(ENTRY_DATA, 6, 0)}),
		REFUSED("leaf-dense", EUCLEAN,
			"entry 0: a hole, zero or lost block with a name",
			{16, 8, REF(ENTRY_LOST, 6, 1)}),
		REFUSED("leaf-dense", EUCLEAN, "entry 2: a hole, zero",
			{40, 8, 1}),
		REFUSED("leaf-dense", EUCLEAN, "entry 2: a hole, zero",
			{48, 4, 1}),
		REFUSED("leaf-dense", EUCLEAN, "entry 3: a hole, zero",
			{60, 4, 1}),
		REFUSED("leaf-dense", EUCLEAN, "entry 4: a hole, zero",
			{64, 8, REF(ENTRY_LOST, 1, 0)}),
		REFUSED("leaf-near", EUCLEAN, "encoding 1 with length 536",
			AT(disk_node_header, encoding, LEAF_DENSE)),
		REFUSED("leaf-near", EUCLEAN, "names near segment 0",
			{16, 8, 0}),
		REFUSED("leaf-near", EUCLEAN, "names near segment 22517998136",
			{16, 8, SEGNO_MAX + 1}),
		ACCEPTED("leaf-near", {16, 8, SEGNO_MAX - 0x1fffff}),
		REFUSED("leaf-near", EUCLEAN, "entry 1: reference ffffffff",
			{16, 8, SEGNO_MAX - 0x1ffffe}),
		REFUSED("leaf-near", EUCLEAN, "entry 2: reference 00000001",
			{40, 4, ENTRY_DATA}),
		REFUSED("leaf-near", EUCLEAN, "entry 2: reference 00000004",
			{40, 4, 4}),
		REFUSED("leaf-near", EUCLEAN, "entry 2: reference 001ffff",
			{40, 4, 0x1fffff}),
		REFUSED("leaf-near", EUCLEAN, "entry 2: reference 00000000",
			{44, 4, 1}),
		REFUSED("leaf-near", EUCLEAN, "entry 4: reference 00000003",
			{60, 4, 1}),
		REFUSED("leaf-run", EUCLEAN, "a run that is no data",
			{16, 8, 0}),
		REFUSED("leaf-run", EUCLEAN, "a run from slot 1985",
			{16, 8, REF(ENTRY_DATA, 1985, 1)}),
		REFUSED("leaf-run", EUCLEAN, "data in segment 0",
			{16, 8, REF(ENTRY_DATA, 2, 0)}),
	};

	CHECK(limits);
}

static void a_page_out_of_range_is_refused(void **state)
{
	static const struct limit limits[] = {
		REFUSED("reaper", EUCLEAN,
			"reaper queue page 1: kind 19 is not 20",
			AT(disk_page_header, kind, PAGE_FRAME_MAP)),
		REFUSED("frame-map", EUCLEAN, "frame map page 2: table 1",
			AT(disk_page_header, table, 1)),
		REFUSED("directory", EUCLEAN, "table 1 is not 2",
			AT(disk_page_header, table, TABLE_SEGMENT)),
		REFUSED("node-table", EUCLEAN, "holds page 7",
			AT(disk_page_header, index, 7)),
		REFUSED("segment-info", EUCLEAN, "length 4096 is not 100",
			AT(disk_page_header, length, 4096)),
		REFUSED("volume-head", EUCLEAN, "reserved bytes",
			AT(disk_page_header, zero2, 1)),
		REFUSED("reaper", EUCLEAN, "after the end of the list",
			{20, 4, 0}),
		REFUSED("directory", EUCLEAN,
			"directory page 3 of table 2: entry 0: no page, but "
			"not all zero",
			{16, 8, 0}),
		REFUSED("directory", EUCLEAN, "entry 0: segment",
			{16, 8, SEGNO_MAX + 1}),
		REFUSED("directory", EUCLEAN, "no record at offset 8188",
			{24, 4, 8188}),
		REFUSED("directory", EUCLEAN, "no record at offset 8184",
			{24, 4, 8184}),
		REFUSED("directory", EUCLEAN, "beyond its end", {24, 4, 61448}),
		REFUSED("directory", EUCLEAN, "page length 15", {28, 4, 15}),
		REFUSED("directory", EUCLEAN, "page length 65537",
			{28, 4, 65537}),
	};

	CHECK(limits);
}

static void a_node_table_entry_out_of_range_is_refused(void **state)
{
	static const struct limit limits[] = {
		REFUSED("node-table", EUCLEAN,
			"node table page 6: node 870: free, but not all zero",
			{32, 4, 0}),
		REFUSED("node-table", EUCLEAN, "node 872: free", {80, 1, 1}),
		REFUSED("node-table", EUCLEAN, "node 870: segment 0",
			{16, 8, 0}),
		REFUSED("node-table", EUCLEAN, "node 870: length 16",
			{28, 2, 16}),
		REFUSED("node-table", EUCLEAN, "65 data blocks in a leaf",
			{68, 4, 65}),
		ACCEPTED("node-table", {56, 2, NODE_LEAF_NEAR_BYTES}),
		REFUSED("node-table", EUCLEAN, "65 data blocks in a leaf",
			{56, 2, NODE_LEAF_NEAR_BYTES}, {68, 4, 65}),
		REFUSED("node-table", EUCLEAN, "node 1014: 63 data blocks",
			{4072, 4, 63}),
		REFUSED("node-table", EUCLEAN, "reserved bytes", {30, 2, 1}),
		REFUSED("node-table", EUCLEAN, "reserved bytes", {4095, 1, 1}),
	};

	CHECK(limits);
}

static void node_0_and_nodes_beyond_32_bits_are_refused(void **state)
{
	static const uint32_t last_page = UINT32_MAX / NODE_TABLE_PAGE_ENTRIES;
	struct node_entry entries[NODE_TABLE_PAGE_ENTRIES] = {{0}};
	struct disk_node_table_page page;
	/* id 2^32 in the last page */
	unsigned int beyond =
		(unsigned int)((UINT64_C(1) << 32) -
			       (uint64_t)last_page * NODE_TABLE_PAGE_ENTRIES);
	const struct node_entry leaf = {.segno = 1,
					.offset = 8192,
					.length = NODE_LEAF_DENSE_BYTES,
					.count = 1};

	entries[0] = leaf;
	node_table_page_encode(0, entries, &page);
	assert_int_equal(
		node_table_page_decode(&page, sizeof(page), 0, entries, NULL),
		-EUCLEAN);
	memset(entries, 0, sizeof(entries));
	entries[beyond - 1] = leaf;
	node_table_page_encode(last_page, entries, &page);
	assert_int_equal(node_table_page_decode(&page, sizeof(page), last_page,
						entries, NULL),
			 0);
	entries[beyond] = leaf;
	node_table_page_encode(last_page, entries, &page);
	assert_int_equal(node_table_page_decode(&page, sizeof(page), last_page,
						entries, NULL),
			 -EUCLEAN);
}

static void a_segment_info_out_of_range_is_refused(void **state)
{
	static const struct limit limits[] = {
		REFUSED("segment-info", EUCLEAN,
			"segment info page 4: segment 0: number out of range",
			AT(disk_segment_info, segno, 0)),
		REFUSED("segment-info", EUCLEAN, "5 live blocks without",
			AT(disk_segment_info, place, UINT64_MAX)),
		ACCEPTED("segment-info",
			 AT(disk_segment_info, place, UINT64_MAX),
			 AT(disk_segment_info, live, 0)),
		REFUSED("segment-info", EUCLEAN, "live 17",
			AT(disk_segment_info, live, 17)),
		REFUSED("segment-info", EUCLEAN, "overflows",
			AT(disk_segment_info, nr_overflow, 0xffffffff)),
		REFUSED("segment-info", EUCLEAN, "forwards",
			AT(disk_segment_info, nr_forwards, 0xffffffff)),
		REFUSED("segment-info", EUCLEAN, "length 100 is not",
			AT(disk_segment_info, nr_forwards, 3)),
		REFUSED("segment-info", EUCLEAN, "batches 7002 to 7000",
			AT(disk_segment_info, first_seq, 7002)),
		ACCEPTED("segment-info",
			 AT(disk_segment_info, first_seq, 7001)),
		REFUSED("segment-info", EUCLEAN, "kind 3",
			AT(disk_segment_info, kind, SEGMENT_META)),
		ACCEPTED("segment-info",
			 AT(disk_segment_info, kind, SEGMENT_GC)),
		REFUSED("segment-info", EUCLEAN, "flags 0x4",
			AT(disk_segment_info, flags, 4)),
		REFUSED("segment-info", EUCLEAN, "counts of 3 bytes",
			AT(disk_segment_info, count_bytes, 3)),
		REFUSED("segment-info", EUCLEAN, "counts of 5 bytes",
			AT(disk_segment_info, count_bytes, 5)),
		REFUSED("segment-info", EUCLEAN, "length 100 is not the 98",
			AT(disk_segment_info, count_bytes, 1)),
		REFUSED("segment-info", EUCLEAN, "length 100 is not the 124",
			AT(disk_segment_info, count_bytes, 0)),
		REFUSED("segment-info", EUCLEAN, "reserved bytes",
			AT(disk_segment_info, zero, 1)),
		REFUSED("segment-info", EUCLEAN, "slot 1: a count",
			{72, 1, 0x94}),
		REFUSED("segment-info", EUCLEAN, "2 overflows, but 1 slots",
			{75, 1, 0}),
		REFUSED("segment-info", EUCLEAN, "slot 15: not in the overflow",
			{74, 1, 0xc0}),
		REFUSED("segment-info", EUCLEAN, "overflow 0: slot 6 count 2",
			{76, 2, 2}),
		ACCEPTED("segment-info", {76, 2, UINT16_MAX}),
		REFUSED("segment-info", EUCLEAN, "forward 0: slot 1",
			{80, 2, 1}),
		REFUSED("segment-info", EUCLEAN, "forward 1: slot 3",
			{90, 2, 3}),
		REFUSED("segment-info", EUCLEAN, "forward 1: slot 16",
			{90, 2, 16}),
		REFUSED("segment-info", EUCLEAN, "forward 0: leads to no block",
			{82, 8, 2}),
		REFUSED("segment-info", EUCLEAN, "forward 0: leads to no block",
			{82, 8, 1 << 11 | 16}),
		REFUSED("segment-info", EUCLEAN, "forward 0: leads to no block",
			{82, 8, UINT64_C(1) << 62 | 1 << 11 | 2}),
	};

	CHECK(limits);
}

static void counts_take_as_few_bytes_as_the_greatest_needs(void **state)
{
	static const uint32_t greatest[] = {
		3,	    UINT8_MAX,	    UINT8_MAX + 1,
		UINT16_MAX, UINT16_MAX + 1, UINT32_MAX};
	static const size_t bytes[] = {1, 1, 2, 2, 4, 4};
	static const uint8_t counts[4] = {0x30, 0, 0, 0x30};

	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		struct segment_info info = {
			.segno = 1, .kind = SEGMENT_DATA, .nr_overflow = 2};
		uint32_t overflow[2] = {greatest[i], 3};
		uint8_t page[PAGE_BYTES_MAX];
		size_t length = segment_info_encode(0, &info, 16, counts,
						    overflow, NULL, page);

		assert_int_equal(length, sizeof(struct disk_segment_info) +
						 sizeof(counts) + 2 * bytes[i]);
		assert_int_equal(
			segment_info_decode(page, length, 0, 16, &info, NULL),
			0);
		for (uint32_t k = 0; k < 2; k++)
			assert_int_equal(
				segment_info_overflow(page, &info, 16, k),
				overflow[k]);
	}
}

static void long_lists_out_of_range_are_refused(void **state)
{
	static const struct limit limits[] = {
		REFUSED("segment-info-long", EUCLEAN, "reserved bytes",
			AT(disk_segment_info, zero, 1)),
		REFUSED("segment-info-long", EUCLEAN,
			"overflow 0: slot 6 count 3 where slot 5 is expected",
			{73, 1, 0x3c}),
		REFUSED("segment-info-long", EUCLEAN,
			"2 overflows, but 1 slots", {75, 1, 0}),
		REFUSED("segment-info-long", EUCLEAN,
			"slot 15: not in the overflow", {74, 1, 0xc0},
			{84, 4, 11}),
		REFUSED("segment-info-long", EUCLEAN,
			"overflow 0: slot 6 count 2", {80, 4, 2}),
		REFUSED("segment-info-long", EUCLEAN, "forward 0: slot 1",
			{92, 4, 1}),
		REFUSED("segment-info-long", EUCLEAN, "forward 1: slot 65542",
			{108, 4, 1 << 16 | 6}),
		REFUSED("segment-info-long", EUCLEAN,
			"forward 0: reserved bytes", {96, 4, 1}),
		REFUSED("segment-info-long", EUCLEAN,
			"forward 0: leads to no block", {100, 8, 2}),
	};

	CHECK(limits);
}

static void a_volume_record_out_of_range_is_refused(void **state)
{
	static const struct limit limits[] = {
		REFUSED("volume-head", EUCLEAN, "volume page 2: volume 0: id 0",
			AT(disk_volume_record, id, 0)),
		REFUSED("volume-head", EUCLEAN, "kind 3",
			AT(disk_volume_record, kind, 3)),
		REFUSED("volume-head", EUCLEAN, "flags 0x10",
			AT(disk_volume_record, flags, 16)),
		REFUSED("volume-head", EUCLEAN, "a head with parent 1",
			AT(disk_volume_record, parent, 1)),
		REFUSED("volume-head", EUCLEAN, "epoch 0",
			AT(disk_volume_record, epoch, 0)),
		REFUSED("volume-snapshot", EUCLEAN, "a snapshot with parent 0",
			AT(disk_volume_record, parent, 0)),
		REFUSED("volume-snapshot", EUCLEAN, "a snapshot with parent 9",
			AT(disk_volume_record, parent, 9)),
		REFUSED("volume-snapshot", EUCLEAN, "keeps volume 1",
			AT(disk_volume_record, kept, 1)),
		REFUSED("volume-head", EUCLEAN, "size 0",
			AT(disk_volume_record, size, 0)),
		REFUSED("volume-head", EUCLEAN, "size 513",
			AT(disk_volume_record, size, 513)),
		ACCEPTED("volume-head",
			 AT(disk_volume_record, size, VOLUME_BYTES_MAX)),
		REFUSED("volume-head", EUCLEAN, "size 35184372089344",
			AT(disk_volume_record, size, VOLUME_BYTES_MAX + 512)),
		ACCEPTED("volume-head",
			 AT(disk_volume_record, refer, VOLUME_BLOCKS_MAX)),
		REFUSED("volume-head", EUCLEAN, "refers to",
			AT(disk_volume_record, refer, VOLUME_BLOCKS_MAX + 1)),
		REFUSED("volume-head", EUCLEAN, "bytes of name and attributes",
			AT(disk_volume_record, name_length, 9)),
		REFUSED("volume-head", EUCLEAN, "bytes of name and attributes",
			AT(disk_volume_record, attrs_length, 0xffff)),
		REFUSED("volume-head", EUCLEAN, "an attribute without key",
			AT(disk_volume_record, name_length, 9),
			AT(disk_volume_record, attrs_length, 12),
			{105, 1, '='}),
		REFUSED("volume-head", EUCLEAN, "\"/eb/root\"", {96, 1, '/'}),
		REFUSED("volume-snapshot", EUCLEAN, "\"be/ore-rollback",
			{98, 1, '/'}),
		REFUSED("volume-head", EUCLEAN, "does not end", {116, 1, 'x'}),
	};

	CHECK(limits);
}

static void a_scratch_record_has_its_whole_name(void **state)
{
	struct volume_record record = {
		.id = 1,
		.kind = VOLUME_HEAD,
		.flags = VOLUME_FLAG_HIDDEN | VOLUME_FLAG_SCRATCH,
		.epoch = 1,
		.size = 512,
		.name = "vm@monday:scratch.3",
	};
	uint8_t page[VOLUME_RECORD_BYTES_MAX];
	size_t length = volume_record_encode(0, &record, page);

	assert_int_equal(volume_record_decode(page, length, 0, &record, NULL),
			 0);
	record.flags = VOLUME_FLAG_HIDDEN;
	length = volume_record_encode(0, &record, page);
	assert_int_equal(volume_record_decode(page, length, 0, &record, NULL),
			 -EUCLEAN);
	record.flags = VOLUME_FLAG_SCRATCH;
	strcpy(record.name, "vm@monday:scratch");
	length = volume_record_encode(0, &record, page);
	assert_int_equal(volume_record_decode(page, length, 0, &record, NULL),
			 -EUCLEAN);
}

static void a_root_out_of_range_is_refused(void **state)
{
	static const struct limit limits[] = {
		REFUSED("root", EUCLEAN, "root: no checkpoint root",
			{0, 1, 'V'}),
		REFUSED("root", EUCLEAN, "root: is of checkpoint 32, not 33",
			AT(disk_root, checkpoint_id, 32)),
		REFUSED("root", EUCLEAN, "next segment 0",
			AT(disk_root, next_segno, 0)),
		REFUSED("root", EUCLEAN, "next segment",
			AT(disk_root, next_segno, SEGNO_MAX + 1)),
		REFUSED("root", EUCLEAN, "next id or epoch",
			AT(disk_root, next_volume_id, 0)),
		REFUSED("root", EUCLEAN, "next id or epoch",
			AT(disk_root, next_node_id, 0)),
		REFUSED("root", EUCLEAN, "next id or epoch",
			AT(disk_root, next_epoch, 0)),
		REFUSED("root", EUCLEAN, "length 256 is not the",
			AT(disk_root, nr_meta_segments, 0xffffffff)),
		REFUSED("root", EUCLEAN, "length 256 is not the",
			{48, 4, 0xffffffff}),
		REFUSED("root", EUCLEAN, "reserved bytes", {127, 1, 1}),
		REFUSED("root", EUCLEAN, "reserved bytes", {105, 1, 1}),
		REFUSED("root", EUCLEAN, "root: errors of no scrub",
			AT(disk_root, scrub_ended_ns, 0)),
		REFUSED("root", EUCLEAN, "root: position of no scrub",
			AT(disk_root, scrub_began_ns, 0)),
		REFUSED("root", EUCLEAN, "position of no scrub",
			AT(disk_root, scrub_began_ns, 0),
			AT(disk_root, scrub_segno, 0),
			AT(disk_root, scrub_stage, 0)),
		REFUSED("root", EUCLEAN, "scrub in stage 7",
			AT(disk_root, scrub_stage, NR_SCRUB_STAGES)),
		REFUSED("root", EUCLEAN, "scrub began at segment 0",
			AT(disk_root, scrub_segno, 0)),
		REFUSED("root", EUCLEAN, "scrub began at segment 1006",
			AT(disk_root, scrub_segno, 1006)),
		ACCEPTED("root", AT(disk_root, scrub_ended_ns, 0),
			 AT(disk_root, scrub_errors, 0)),
		ACCEPTED("root", AT(disk_root, scrub_stage, SCRUB_NEW_NODES)),
		REFUSED("root", EUCLEAN, "metadata segment 0", {128, 8, 0}),
		REFUSED("root", EUCLEAN, "metadata segment 999 is not above",
			{144, 8, 999}),
		REFUSED("root", EUCLEAN, "metadata segment 1005",
			{144, 8, 1005}),
		REFUSED("root", EUCLEAN, "metadata segment 1000 has no place",
			{152, 8, UINT64_MAX}),
		REFUSED("root", EUCLEAN,
			"root: directory page 1 of table 1: length 4088",
			{220, 4, 4088}),
	};

	CHECK(limits);
}

static void a_node_whose_reference_has_another_checksum_is_refused(void **state)
{
	struct leaf_content leaf = {{{0, 0}}};
	uint8_t record[NODE_BYTES_MAX];
	uint32_t hash, epoch;
	size_t length = leaf_encode(3, 4, &leaf, record, &hash);

	assert_int_equal(
		leaf_decode(record, length, 3, hash, &epoch, &leaf, NULL), 0);
	assert_int_equal(
		leaf_decode(record, length, 3, hash + 1, &epoch, &leaf, NULL),
		-EBADMSG);
}

static size_t encoded_bytes(const struct leaf_content *leaf)
{
	uint8_t record[NODE_BYTES_MAX];
	uint32_t hash;

	return leaf_encode(1, 1, leaf, record, &hash);
}

static void consecutive_blocks_make_a_run_leaf(void **state)
{
	struct leaf_content leaf;

	for (uint32_t i = 0; i < LEAF_BLOCKS; i++)
		leaf.entries[i] = leaf_entry_data(birth_make(5, 2 + i), i);
	assert_int_equal(encoded_bytes(&leaf), NODE_LEAF_RUN_BYTES);
	leaf.entries[63] = leaf_entry_data(birth_make(5, 66), 63);
	assert_int_equal(encoded_bytes(&leaf), NODE_LEAF_NEAR_BYTES);
	leaf.entries[63] = leaf_entry_data(birth_make(6, 65), 63);
	assert_int_equal(encoded_bytes(&leaf), NODE_LEAF_NEAR_BYTES);
	leaf.entries[63] = (struct leaf_entry){0, 0};
	assert_int_equal(encoded_bytes(&leaf), NODE_LEAF_NEAR_BYTES);
}

static void names_far_apart_make_a_dense_leaf(void **state)
{
	const uint64_t far = UINT64_C(1) << NEAR_SEGNO_BITS;
	struct leaf_content leaf = {{{0, 0}}};

	assert_int_equal(encoded_bytes(&leaf), NODE_LEAF_NEAR_BYTES);
	leaf.entries[7] = leaf_entry_data(birth_make(5, 2), 1);
	leaf.entries[9] = leaf_entry_data(birth_make(5 + far - 1, 2), 1);
	assert_int_equal(encoded_bytes(&leaf), NODE_LEAF_NEAR_BYTES);
	leaf.entries[9] = leaf_entry_data(birth_make(5 + far, 2), 1);
	assert_int_equal(encoded_bytes(&leaf), NODE_LEAF_DENSE_BYTES);
	/* damage that a dense leaf may have, and a near one cannot */
	leaf.entries[9] = leaf_entry_data(birth_make(5, 0), 1);
	assert_int_equal(encoded_bytes(&leaf), NODE_LEAF_DENSE_BYTES);
}

static void a_node_whose_own_hash_is_wrong_is_refused(void **state)
{
	struct leaf_content leaf = {{{0, 0}}};
	struct disk_node_header header;
	uint8_t record[NODE_BYTES_MAX];
	uint32_t hash, epoch;
	size_t length = leaf_encode(3, 4, &leaf, record, &hash);

	memcpy(&header, record, sizeof(header));
	header.hash = le32_make(hash + 1);
	memcpy(record, &header, sizeof(header));
	assert_int_equal(
		leaf_decode(record, length, 3, hash, &epoch, &leaf, NULL),
		-EBADMSG);
}

static void a_longer_page_is_refused(void **state)
{
	static const char *const names[] = {"node-table", "frame-map", "reaper",
					    "directory"};
	uint8_t bytes[SAMPLE_BYTES_MAX] = {0};
	struct disk_page_header header;

	for (size_t i = 0; i < 4; i++) {
		const struct sample *sample = sample_find(names[i]);

		(void)sample->encode(bytes);
		memcpy(&header, bytes, sizeof(header));
		header.length = le32_make(PAGE_BYTES + 16);
		memcpy(bytes, &header, sizeof(header));
		assert_int_equal(sample->decode(bytes, PAGE_BYTES + 16, NULL),
				 -EUCLEAN);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_map_node_out_of_range_is_refused),
		cmocka_unit_test(a_page_out_of_range_is_refused),
		cmocka_unit_test(a_node_table_entry_out_of_range_is_refused),
		cmocka_unit_test(node_0_and_nodes_beyond_32_bits_are_refused),
		cmocka_unit_test(a_segment_info_out_of_range_is_refused),
		cmocka_unit_test(
			counts_take_as_few_bytes_as_the_greatest_needs),
		cmocka_unit_test(long_lists_out_of_range_are_refused),
		cmocka_unit_test(a_volume_record_out_of_range_is_refused),
		cmocka_unit_test(a_scratch_record_has_its_whole_name),
		cmocka_unit_test(a_root_out_of_range_is_refused),
		cmocka_unit_test(
			a_node_whose_reference_has_another_checksum_is_refused),
		cmocka_unit_test(consecutive_blocks_make_a_run_leaf),
		cmocka_unit_test(names_far_apart_make_a_dense_leaf),
		cmocka_unit_test(a_node_whose_own_hash_is_wrong_is_refused),
		cmocka_unit_test(a_longer_page_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
