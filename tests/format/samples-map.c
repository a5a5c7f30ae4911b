/* SPDX-License-Identifier: BSD-2-Clause */
/* Samples of map nodes and the node table. */
#include "samples-private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "checksum.h"
#include "map-node.h"
#include "node-table.h"

/* ---- map nodes ---- */

#define NODE_ID 77u
#define NODE_EPOCH 5u

static void make_dense(struct leaf_content *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->entries[0] = leaf_entry_data(birth_make(1001, 6), 0x11111111);
	ret->entries[1] =
		leaf_entry_data(birth_make(SEGNO_MAX, 2047), 0xffffffff);
	ret->entries[3].ref = (uint64_t)ENTRY_ZERO << 62;
	ret->entries[4] = leaf_entry_lost();
	for (uint32_t i = 5; i < LEAF_BLOCKS; i++)
		ret->entries[i] =
			leaf_entry_data(birth_make(i, 100 - i), 0x01010101 * i);
}

static void make_near(struct leaf_content *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->entries[0] = leaf_entry_data(birth_make(1001, 6), 0x11111111);
	ret->entries[1] =
		leaf_entry_data(birth_make(1001 + 0x1fffff, 2047), 0xffffffff);
	ret->entries[3].ref = (uint64_t)ENTRY_ZERO << 62;
	ret->entries[4] = leaf_entry_lost();
	for (uint32_t i = 5; i < LEAF_BLOCKS; i++)
		ret->entries[i] = leaf_entry_data(birth_make(1001 + i, 100 - i),
						  0x01010101 * i);
}

static void make_run(struct leaf_content *ret)
{
	for (uint32_t i = 0; i < LEAF_BLOCKS; i++)
		ret->entries[i] = leaf_entry_data(birth_make(1001, 1984 + i),
						  0x01010101 * i);
}

static void make_inner(struct inner_content *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->children[0] = 78;
	ret->children[511] = 0xfffffffe;
}

typedef void make_leaf(struct leaf_content *ret);

static size_t encode_leaf(make_leaf *make, void *ret)
{
	struct leaf_content leaf;
	uint32_t hash;

	make(&leaf);
	return leaf_encode(NODE_ID, NODE_EPOCH, &leaf, ret, &hash);
}

static size_t encode_leaf_dense(void *ret)
{
	return encode_leaf(make_dense, ret);
}

static size_t encode_leaf_near(void *ret)
{
	return encode_leaf(make_near, ret);
}

static size_t encode_leaf_run(void *ret)
{
	return encode_leaf(make_run, ret);
}

static size_t encode_inner(void *ret)
{
	struct inner_content inner;
	uint32_t hash;

	make_inner(&inner);
	return inner_encode(NODE_ID, NODE_EPOCH, 2, &inner, ret, &hash);
}

/* The hash that a reference to this record would carry. */
static uint32_t node_hash(const void *bytes)
{
	const struct disk_node_header *header = bytes;

	return le32_get(header->hash);
}

static int decode_leaf(const void *bytes, size_t length, struct error *err)
{
	struct leaf_content leaf;
	uint32_t epoch;

	return leaf_decode(bytes, length, NODE_ID, node_hash(bytes), &epoch,
			   &leaf, err);
}

static int decode_inner(const void *bytes, size_t length, struct error *err)
{
	struct inner_content inner;
	uint32_t epoch;

	return inner_decode(bytes, length, NODE_ID, 2, node_hash(bytes), &epoch,
			    &inner, err);
}

static void compare_leaf(make_leaf *make, const void *bytes, size_t length)
{
	struct leaf_content leaf, e;
	uint32_t epoch;

	make(&e);
	assert_int_equal(leaf_decode(bytes, length, NODE_ID, node_hash(bytes),
				     &epoch, &leaf, NULL),
			 0);
	assert_int_equal(epoch, NODE_EPOCH);
	for (uint32_t i = 0; i < LEAF_BLOCKS; i++) {
		assert_int_equal(leaf.entries[i].ref, e.entries[i].ref);
		assert_int_equal(leaf.entries[i].checksum,
				 e.entries[i].checksum);
	}
}

static void compare_leaf_dense(const void *bytes, size_t length)
{
	compare_leaf(make_dense, bytes, length);
}

static void compare_leaf_near(const void *bytes, size_t length)
{
	compare_leaf(make_near, bytes, length);
}

static void compare_leaf_run(const void *bytes, size_t length)
{
	compare_leaf(make_run, bytes, length);
}

static void compare_inner(const void *bytes, size_t length)
{
	struct inner_content inner, e;
	uint32_t epoch;

	make_inner(&e);
	assert_int_equal(inner_decode(bytes, length, NODE_ID, 2,
				      node_hash(bytes), &epoch, &inner, NULL),
			 0);
	assert_int_equal(epoch, NODE_EPOCH);
	assert_memory_equal(inner.children, e.children, sizeof(e.children));
}

static void fix_node(void *bytes, size_t length)
{
	struct disk_node_header *header = bytes;

	header->hash = le32_make(0);
	header->hash = le32_make(checksum32(bytes, length));
}

static const struct free_bytes leaf_dense_free[] = {
	FIELD(struct disk_node_header, epoch, "a counter"),
	{16, 39, "entries of kind data: any name and checksum"},
	{47, 47, "entry 2: a hole becomes zero or lost"},
	{59, 59, "entry 3: zero becomes a hole or lost"},
	{71, 71, "entry 4: lost becomes zero"},
	{76, 783, "entries of kind data: any name and checksum"},
	END_OF_LIST,
};

static const struct free_bytes leaf_near_free[] = {
	FIELD(struct disk_node_header, epoch, "a counter"),
	{16, 22, "segno, but for its upper bits"},
	{24, 39, "entries of kind data: any name and checksum"},
	{40, 40, "entry 2: a hole becomes zero or lost"},
	{42, 43, "entry 2: a hole becomes data"},
	{48, 48, "entry 3: zero becomes a hole or lost"},
	{50, 51, "entry 3: zero becomes data"},
	{56, 56, "entry 4: lost becomes zero"},
	{58, 59, "entry 4: lost becomes data"},
	{64, 535, "entries of kind data: any name and checksum"},
	END_OF_LIST,
};

static const struct free_bytes leaf_run_free[] = {
	FIELD(struct disk_node_header, epoch, "a counter"),
	{16, 23, "first name: any whose run ends in the segment"},
	{24, 279, "checksums"},
	END_OF_LIST,
};

static const struct free_bytes inner_free[] = {
	FIELD(struct disk_node_header, epoch, "a counter"),
	{16, 2063, "children"},
	END_OF_LIST,
};

/* ---- node table ---- */

static void make_node_entries(struct node_entry ret[NODE_TABLE_PAGE_ENTRIES])
{
	memset(ret, 0, NODE_TABLE_PAGE_ENTRIES * sizeof(*ret));
	ret[0] = (struct node_entry){.segno = 1000,
				     .offset = 12288,
				     .length = NODE_INNER_BYTES,
				     .count = 2,
				     .checksum = 0xaabbccdd,
				     .used = 70000};
	ret[1] = (struct node_entry){.segno = 1000,
				     .offset = 14352,
				     .length = NODE_LEAF_DENSE_BYTES,
				     .count = 0xffffffff,
				     .checksum = 1,
				     .used = 3};
	ret[144] = (struct node_entry){.segno = 999,
				       .offset = 8192,
				       .length = NODE_LEAF_RUN_BYTES,
				       .count = 1,
				       .checksum = 0xffffffff,
				       .used = 64};
}

static size_t encode_node_table(void *ret)
{
	struct node_entry entries[NODE_TABLE_PAGE_ENTRIES];

	make_node_entries(entries);
	node_table_page_encode(6, entries, ret);
	return PAGE_BYTES;
}

static int decode_node_table(const void *bytes, size_t length,
			     struct error *err)
{
	struct node_entry entries[NODE_TABLE_PAGE_ENTRIES];

	return node_table_page_decode(bytes, length, 6, entries, err);
}

static void compare_node_table(const void *bytes, size_t length)
{
	struct node_entry entries[NODE_TABLE_PAGE_ENTRIES];
	struct node_entry e[NODE_TABLE_PAGE_ENTRIES];

	make_node_entries(e);
	assert_int_equal(
		node_table_page_decode(bytes, length, 6, entries, NULL), 0);
	for (unsigned int i = 0; i < NODE_TABLE_PAGE_ENTRIES; i++) {
		assert_int_equal(entries[i].segno, e[i].segno);
		assert_int_equal(entries[i].offset, e[i].offset);
		assert_int_equal(entries[i].length, e[i].length);
		assert_int_equal(entries[i].count, e[i].count);
		assert_int_equal(entries[i].checksum, e[i].checksum);
		assert_int_equal(entries[i].used, e[i].used);
	}
}

static const struct free_bytes node_table_free[] = {
	{16, 22, "inner: segno"},
	{24, 26, "inner: offset"},
	{32, 43, "inner: count, checksum, used"},
	{44, 50, "dense: segno"},
	{52, 54, "dense: offset"},
	{60, 68, "dense: count, checksum, used up to 64"},
	{4048, 4054, "run: segno"},
	{4056, 4058, "run: offset"},
	{4064, 4071, "run: count, checksum"},
	END_OF_LIST,
};

/* ---- all of them ---- */

const struct sample map_samples[] = {
	SAMPLE(leaf_dense, "leaf-dense", leaf, fix_node),
	SAMPLE(leaf_near, "leaf-near", leaf, fix_node),
	SAMPLE(leaf_run, "leaf-run", leaf, fix_node),
	SAMPLE(inner, "inner", inner, fix_node),
	SAMPLE(node_table, "node-table", node_table, NULL),
};
