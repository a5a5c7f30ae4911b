/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random values survive encoding and decoding; random bytes with a correct
 * checksum are decoded or refused, and the sanitizers stay silent.
 *
 * VARVE_SEED sets the seed, VARVE_ROUNDS the number of rounds.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "batch.h"
#include "checkpoint.h"
#include "map-node.h"
#include "node-table.h"
#include "operation.h"
#include "random.h"
#include "samples.h"
#include "segment-info.h"
#include "volume-record.h"

static uint64_t seed;
static unsigned int nr_rounds = 300;
static struct rng rng;

static int restart(void **state)
{
	rng = (struct rng){seed};
	return 0;
}

static uint32_t random_u32(void)
{
	return (uint32_t)rng_next(&rng);
}

static uint64_t random_segno(void)
{
	return 1 + rng_below(&rng, SEGNO_MAX);
}

static struct birth random_birth(void)
{
	uint64_t segno = random_segno();

	return birth_make(segno, (uint32_t)rng_below(&rng, SLOTS_MAX));
}

/* As a near leaf can hold it. */
static struct birth random_birth_near(uint64_t segno)
{
	return birth_make(segno + random_u32() % (1u << NEAR_SEGNO_BITS),
			  1 + random_u32() % (SLOTS_MAX - 1));
}

/* ---- batches ---- */

static struct batch_entry random_data_entry(uint32_t payload_left)
{
	struct batch_entry e = {.volume = 1 + random_u32() / 2};
	uint64_t most;

	switch (rng_below(&rng, 4)) {
	case 0:
		e.op = rng_one_in(&rng, 2) ? OP_ZERO : OP_TRIM;
		e.first_block = rng_below(&rng, VOLUME_BLOCKS_MAX);
		most = VOLUME_BLOCKS_MAX - e.first_block;
		if (most > UINT32_MAX)
			most = UINT32_MAX;
		e.count = 1 + (uint32_t)rng_below(&rng, most);
		return e;
	case 1:
		return (struct batch_entry){
			.op = (enum op)(OP_CREATE + rng_below(&rng, 9)),
			.count = 1};
	default:
		e.op = OP_WRITE;
		e.count = 1 + (uint32_t)rng_below(&rng, payload_left < 8
								? payload_left
								: 8);
		e.first_block =
			rng_below(&rng, VOLUME_BLOCKS_MAX - e.count + 1);
		return e;
	}
}

static void batch_round(void)
{
	struct batch_entry entries[256], e;
	uint32_t nr_entries = 0, nr_payload = 0, checksums[256];
	uint32_t stop = (uint32_t)rng_below(&rng, 251);
	struct batch_header header = {.kind = SEGMENT_DATA,
				      .seq = UINT64_MAX,
				      .segno = random_segno(),
				      .slot = 1};
	struct disk_batch batch;

	batch_init(&batch, &header);
	while (nr_entries < stop && nr_payload < BATCH_PAYLOAD_MAX) {
		e = random_data_entry(BATCH_PAYLOAD_MAX - nr_payload);
		if (!batch_has_room(nr_entries,
				    nr_payload + batch_entry_payload(&e)))
			break;
		for (uint32_t i = 0; i < batch_entry_payload(&e); i++) {
			checksums[nr_payload] = random_u32();
			batch_put_checksum(&batch, nr_payload,
					   checksums[nr_payload]);
			nr_payload++;
		}
		batch_put_entry(&batch, nr_entries, &e);
		entries[nr_entries++] = e;
		batch_publish(&batch, nr_entries, nr_payload);
	}
	assert_int_equal(batch_decode_unsealed(&batch, &header, NULL), 0);
	assert_int_equal(header.nr_payload, nr_payload);
	(void)batch_seal(&batch, nr_entries, nr_payload, 5, 6);
	assert_int_equal(batch_decode(&batch, &header, NULL), 0);
	assert_int_equal(header.nr_entries, nr_entries);
	for (uint32_t i = 0; i < nr_entries; i++) {
		assert_int_equal(
			batch_get_entry(&batch, i, SEGMENT_DATA, &e, NULL), 0);
		assert_int_equal(e.op, entries[i].op);
		assert_int_equal(e.volume, entries[i].volume);
		assert_int_equal(e.first_block, entries[i].first_block);
		assert_int_equal(e.count, entries[i].count);
	}
	for (uint32_t i = 0; i < nr_payload; i++)
		assert_int_equal(batch_get_checksum(&batch, i), checksums[i]);
}

static void random_batches_survive(void **state)
{
	for (unsigned int i = 0; i < nr_rounds; i++)
		batch_round();
}

static void random_names_survive_a_gcmove(void **state)
{
	for (unsigned int i = 0; i < nr_rounds; i++) {
		struct birth name = random_birth();
		struct batch_entry e = batch_entry_gcmove(name);

		assert_int_equal(batch_entry_birth(&e).value, name.value);
	}
}

/* ---- nodes ---- */

static void random_leaf(struct leaf_content *ret)
{
	static const uint64_t kinds[] = {ENTRY_HOLE, ENTRY_ZERO, ENTRY_LOST};
	struct birth first = birth_make(
		random_segno(),
		(uint32_t)rng_below(&rng, SLOTS_MAX - LEAF_BLOCKS + 1));
	bool run = rng_one_in(&rng, 3), near = rng_one_in(&rng, 2);

	for (uint32_t i = 0; i < LEAF_BLOCKS; i++) {
		if (run)
			ret->entries[i] = leaf_entry_data(
				birth_make(birth_segno(first),
					   birth_slot(first) + i),
				random_u32());
		else if (rng_one_in(&rng, 3))
			ret->entries[i] = (struct leaf_entry){
				kinds[rng_below(&rng, 3)] << 62, 0};
		else if (near)
			ret->entries[i] = leaf_entry_data(
				random_birth_near(birth_segno(first)),
				random_u32());
		else
			ret->entries[i] =
				leaf_entry_data(random_birth(), random_u32());
	}
}

static void random_leaves_survive(void **state)
{
	for (unsigned int n = 0; n < nr_rounds; n++) {
		uint32_t id = 1 + random_u32() / 2, epoch = 1 + id, hash;
		uint8_t record[NODE_BYTES_MAX];
		struct leaf_content leaf, decoded;
		size_t length;

		random_leaf(&leaf);
		length = leaf_encode(id, epoch, &leaf, record, &hash);
		assert_int_equal(leaf_decode(record, length, id, hash, &epoch,
					     &decoded, NULL),
				 0);
		assert_int_equal(epoch, id + 1);
		for (unsigned int i = 0; i < LEAF_BLOCKS; i++) {
			assert_int_equal(decoded.entries[i].ref,
					 leaf.entries[i].ref);
			assert_int_equal(decoded.entries[i].checksum,
					 leaf.entries[i].checksum);
		}
	}
}

static void random_inner_nodes_survive(void **state)
{
	for (unsigned int n = 0; n < nr_rounds; n++) {
		struct inner_content inner, decoded;
		uint8_t record[NODE_BYTES_MAX];
		uint32_t hash, epoch;
		size_t length;

		for (unsigned int i = 0; i < INNER_CHILDREN; i++)
			inner.children[i] =
				rng_one_in(&rng, 2) ? 0 : random_u32() | 2;
		length = inner_encode(1, 7, 3, &inner, record, &hash);
		assert_int_equal(inner_decode(record, length, 1, 3, hash,
					      &epoch, &decoded, NULL),
				 0);
		assert_memory_equal(&decoded, &inner, sizeof(inner));
	}
}

/* ---- tables ---- */

static void segment_info_round(unsigned int shift)
{
	uint32_t slots = segment_slots(shift);
	struct segment_info info = {.segno = random_segno(),
				    .place = rng_below(&rng, 1000),
				    .live = slots,
				    .kind = SEGMENT_GC},
			    decoded;
	struct slot_forward forwards[SLOTS_MAX];
	uint32_t overflow[SLOTS_MAX];
	uint8_t counts[SLOTS_MAX / 4] = {0}, page[PAGE_BYTES_MAX];
	uint32_t most = UINT32_MAX >> (32 - (8 << rng_below(&rng, 3)));
	size_t length;

	for (uint32_t slot = 2; slot < slots; slot++) {
		unsigned int count = (unsigned int)rng_below(&rng, 4);

		counts[slot / 4] |= (uint8_t)(count << (slot % 4 * 2));
		if (count == 3)
			overflow[info.nr_overflow++] =
				3 + random_u32() % (most - 2);
		if (rng_one_in(&rng, 2))
			forwards[info.nr_forwards++] = (struct slot_forward){
				slot, pblock_make(random_segno(), slot)};
	}
	length = segment_info_encode(1, &info, shift, counts, overflow,
				     forwards, page);
	assert_true(length <= sizeof(page));
	assert_int_equal(
		segment_info_decode(page, length, 1, shift, &decoded, NULL), 0);
	assert_memory_equal(segment_info_counts(page), counts, slots / 4);
	for (uint32_t i = 0; i < info.nr_overflow; i++)
		assert_int_equal(
			segment_info_overflow(page, &decoded, shift, i),
			overflow[i]);
	for (uint32_t i = 0; i < info.nr_forwards; i++)
		assert_int_equal(segment_info_forward(page, &decoded, shift, i)
					 .place.value,
				 forwards[i].place.value);
}

static void random_segment_infos_survive(void **state)
{
	for (unsigned int n = 0; n < nr_rounds; n++)
		segment_info_round(
			SEGMENT_SHIFT_MIN +
			(unsigned int)rng_below(&rng,
						SEGMENT_SHIFT_MAX -
							SEGMENT_SHIFT_MIN + 1));
}

static void random_node_table_pages_survive(void **state)
{
	static const uint16_t lengths[] = {
		NODE_INNER_BYTES, NODE_LEAF_DENSE_BYTES, NODE_LEAF_NEAR_BYTES,
		NODE_LEAF_RUN_BYTES};

	for (unsigned int n = 0; n < nr_rounds; n++) {
		struct node_entry entries[NODE_TABLE_PAGE_ENTRIES] = {{0}};
		struct node_entry decoded[NODE_TABLE_PAGE_ENTRIES];
		struct disk_node_table_page page;

		for (unsigned int i = 1; i < NODE_TABLE_PAGE_ENTRIES; i++) {
			if (rng_one_in(&rng, 3))
				continue;
			entries[i] = (struct node_entry){
				.segno = random_segno(),
				.offset = 8192 +
					  8 * (uint32_t)rng_below(&rng, 100000),
				.length = lengths[rng_below(&rng, 4)],
				.count = 1 + random_u32() / 2,
				.checksum = random_u32(),
				.used = LEAF_BLOCKS,
			};
		}
		node_table_page_encode(n, entries, &page);
		assert_int_equal(node_table_page_decode(&page, sizeof(page), n,
							decoded, NULL),
				 0);
		for (unsigned int i = 0; i < NODE_TABLE_PAGE_ENTRIES; i++) {
			assert_int_equal(decoded[i].segno, entries[i].segno);
			assert_int_equal(decoded[i].offset, entries[i].offset);
			assert_int_equal(decoded[i].count, entries[i].count);
			assert_int_equal(decoded[i].checksum,
					 entries[i].checksum);
		}
	}
}

static void random_operations_survive(void **state)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";

	for (unsigned int n = 0; n < nr_rounds; n++) {
		struct operation_item items[20], item;
		uint32_t nr = 1 + (uint32_t)rng_below(&rng, 20);
		struct operation o = {.op = OP_SNAPSHOT, .nr_items = nr};
		uint8_t payload[BLOCK_SIZE] = {0};
		size_t cursor = 0;

		for (uint32_t i = 0; i < nr; i++)
			items[i] = (struct operation_item){
				.volume = 1 + random_u32() / 2,
				.new_id = 1 + random_u32() / 2,
				.name = letters,
				.name_length =
					(uint16_t)(1 + rng_below(&rng, 52)),
			};
		operation_encode(&o, items, payload);
		assert_int_equal(operation_decode(payload, sizeof(payload),
						  OP_SNAPSHOT, &o, NULL),
				 0);
		assert_int_equal(o.nr_items, nr);
		for (uint32_t i = 0; i < nr; i++) {
			operation_next_item(payload, &cursor, &item);
			assert_int_equal(item.volume, items[i].volume);
			assert_int_equal(item.new_id, items[i].new_id);
			assert_int_equal(item.name_length,
					 items[i].name_length);
			assert_memory_equal(item.name, letters,
					    item.name_length);
		}
		assert_int_equal(cursor, operation_bytes(items, nr));
	}
}

/* ---- damage ---- */

/* Overwrite a few bytes, mostly with what upsets counts and lengths. */
static void scribble(uint8_t *bytes, size_t length)
{
	static const uint8_t values[] = {0, 1, 3, 0x7f, 0x80, 0xfe, 0xff};

	for (uint64_t n = 1 + rng_below(&rng, 6); n > 0; n--) {
		size_t at =
			rng_one_in(&rng, 4)
				? rng_below(&rng, length)
				: rng_below(&rng, length < 160 ? length : 160);

		bytes[at] = rng_one_in(&rng, 3)
				    ? (uint8_t)random_u32()
				    : values[rng_below(&rng, sizeof(values))];
	}
}

/*
 * The bytes lie in memory of exactly their length, so that
 * AddressSanitizer sees a read beyond them.
 */
static void scribbled_structures_are_decoded_or_refused(void **state)
{
	for (unsigned int n = 0; n < nr_rounds * 20; n++) {
		const struct sample *s = sample_at(rng_below(&rng, NR_SAMPLES));
		uint8_t original[SAMPLE_BYTES_MAX];
		size_t length = s->encode(original);
		struct error err = ERROR_NONE;
		uint8_t *bytes = malloc(length);
		int r;

		assert_non_null(bytes);
		memcpy(bytes, original, length);
		scribble(bytes, length);
		if (s->fix)
			s->fix(bytes, length);
		r = s->decode(bytes, length, &err);
		free(bytes);
		if (r != 0 && (r != -err.code || !err.message[0]))
			fail_msg("%s: %d, error %d '%s'", s->name, r, err.code,
				 err.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(random_batches_survive, restart),
		cmocka_unit_test_setup(random_names_survive_a_gcmove, restart),
		cmocka_unit_test_setup(random_leaves_survive, restart),
		cmocka_unit_test_setup(random_inner_nodes_survive, restart),
		cmocka_unit_test_setup(random_segment_infos_survive, restart),
		cmocka_unit_test_setup(random_node_table_pages_survive,
				       restart),
		cmocka_unit_test_setup(random_operations_survive, restart),
		cmocka_unit_test_setup(
			scribbled_structures_are_decoded_or_refused, restart),
	};
	const char *text = getenv("VARVE_SEED");

	seed = text ? strtoull(text, NULL, 0) : rng_time_seed();
	text = getenv("VARVE_ROUNDS");
	if (text)
		nr_rounds = (unsigned int)strtoul(text, NULL, 0);
	printf("VARVE_SEED=%" PRIu64 "\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
