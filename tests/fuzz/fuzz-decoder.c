/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile bytes for one decoder of the format: the one called TARGET.
 *
 * An input is two bytes, the length of a structure and in the top bit whether
 * its checksum stays as it is, and the structure, whose zeros at the end are
 * left out.  Unless told otherwise the checksum is put right, so that what
 * lies behind it is met.  Inputs begin with the golden bytes.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "fuzz.h"
#include "map-node.h"
#include "operation.h"
#include "print.h"
#include "samples.h"
#include "segment-info.h"

#define HEAD_BYTES 2u
#define AS_IT_IS 0x8000u
#define SAMPLES_MAX 3

struct target {
	const char *name;
	const char *samples[SAMPLES_MAX]; /* golden/NAME.hex */
	bool any_length; /* else the decoder is not told a length */
	/* decode and look at all of it; NULL: as the sample does */
	int (*decode)(const void *bytes, size_t length, struct error *err);
};

/* ---- those with more to look at than the sample has ---- */

static int look_at_batch(const struct disk_batch *batch,
			 const struct batch_header *h, struct error *err)
{
	uint32_t payload = 0;
	struct batch_entry e;
	char text[300];

	(void)batch_header_print(h, text, sizeof(text));
	for (uint32_t i = 0; i < h->nr_entries; i++) {
		int r = batch_get_entry(batch, i, h->kind, &e, err);

		if (r < 0)
			return r;
		payload += batch_entry_payload(&e);
		(void)batch_entry_print(&e, text, sizeof(text));
	}
	if (payload > h->nr_payload)
		fuzz_fail("batch", "entries with more payload than it has");
	for (uint32_t i = 0; i < h->nr_payload; i++)
		(void)batch_get_checksum(batch, i);
	return 0;
}

static int decode_batch(const void *bytes, size_t length, struct error *err)
{
	struct batch_header h;
	int r = batch_decode(bytes, &h, err);

	if (r == 0 && look_at_batch(bytes, &h, err) < 0)
		fuzz_fail("batch", "decoded with an entry that is not valid");
	return r;
}

static int decode_unsealed(const void *bytes, size_t length, struct error *err)
{
	struct batch_header h;
	int r = batch_decode_unsealed(bytes, &h, err);

	return r < 0 ? r : look_at_batch(bytes, &h, err);
}

static int decode_operation(const void *bytes, size_t length, struct error *err)
{
	uint8_t op = length > 4 ? ((const uint8_t *)bytes)[4] : 0;
	struct operation_item item;
	struct operation o;
	size_t cursor = 0;
	char text[4096];
	int r;

	r = operation_decode(bytes, length, op_is_metadata(op) ? op : OP_CREATE,
			     &o, err);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < o.nr_items; i++) {
		operation_next_item(bytes, &cursor, &item);
		(void)operation_item_print(&item, text, sizeof(text));
	}
	if (cursor != o.length)
		fuzz_fail("operation", "items that end beside its end");
	return 0;
}

static uint32_t node_hash(const void *bytes, size_t length)
{
	const struct disk_node_header *header = bytes;

	return length < sizeof(*header) ? 0 : le32_get(header->hash);
}

/* A checkpoint writes anew what was read. */
static void encode_again(const struct leaf_content *leaf, uint32_t epoch)
{
	uint8_t record[NODE_BYTES_MAX];
	struct leaf_content again;
	uint32_t hash, epoch_again;
	size_t length = leaf_encode(77, epoch, leaf, record, &hash);

	if (leaf_decode(record, length, 77, hash, &epoch_again, &again, NULL) <
		    0 ||
	    epoch_again != epoch)
		fuzz_fail("leaf", "cannot be written anew");
	for (uint32_t i = 0; i < LEAF_BLOCKS; i++)
		if (again.entries[i].ref != leaf->entries[i].ref ||
		    again.entries[i].checksum != leaf->entries[i].checksum)
			fuzz_fail("leaf", "another one when written anew");
}

static int decode_leaf(const void *bytes, size_t length, struct error *err)
{
	struct leaf_content leaf;
	uint32_t epoch;
	int r;

	r = leaf_decode(bytes, length, 77, node_hash(bytes, length), &epoch,
			&leaf, err);
	for (uint32_t i = 0; r == 0 && i < LEAF_BLOCKS; i++)
		if (leaf_entry_kind(leaf.entries[i]) == ENTRY_DATA &&
		    birth_segno(leaf_entry_birth(leaf.entries[i])) == 0)
			fuzz_fail("leaf", "decoded with data in segment 0");
	if (r == 0)
		encode_again(&leaf, epoch);
	return r;
}

static int decode_inner(const void *bytes, size_t length, struct error *err)
{
	struct inner_content inner;
	uint32_t epoch;

	return inner_decode(bytes, length, 77, 2, node_hash(bytes, length),
			    &epoch, &inner, err);
}

static int decode_segment_info(const void *bytes, size_t length,
			       struct error *err)
{
	struct segment_info info;
	uint32_t slots = 1u << (SAMPLE_SEGMENT_SHIFT - BLOCK_SHIFT);
	int r = segment_info_decode(bytes, length, 4, SAMPLE_SEGMENT_SHIFT,
				    &info, err);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < info.nr_overflow; i++)
		if (segment_info_overflow(bytes, &info, SAMPLE_SEGMENT_SHIFT,
					  i) < 3)
			fuzz_fail("segment info", "a small count in the list");
	for (uint32_t i = 0; i < info.nr_forwards; i++)
		if (segment_info_forward(bytes, &info, SAMPLE_SEGMENT_SHIFT, i)
			    .slot >= slots)
			fuzz_fail("segment info", "a forward of no slot");
	return 0;
}

/* ---- the targets ---- */

static const struct target targets[] = {
	{"superblock", {"superblock"}, false, NULL},
	{"segment-header", {"segment-header"}, false, NULL},
	{"batch",
	 {"batch-data", "batch-gc", "batch-meta"},
	 false,
	 decode_batch},
	{"batch-unsealed", {"batch-data"}, false, decode_unsealed},
	{"operation", {"operation"}, true, decode_operation},
	{"leaf", {"leaf-dense", "leaf-near", "leaf-run"}, true, decode_leaf},
	{"inner", {"inner"}, true, decode_inner},
	{"node-table", {"node-table"}, true, NULL},
	{"segment-info",
	 {"segment-info", "segment-info-long"},
	 true,
	 decode_segment_info},
	{"volume-record", {"volume-head", "volume-snapshot"}, true, NULL},
	{"frame-map", {"frame-map"}, true, NULL},
	{"reaper-queue", {"reaper"}, true, NULL},
	{"directory", {"directory"}, true, NULL},
	{"root", {"root"}, true, NULL},
};

static const struct target *target(void)
{
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		if (strcmp(targets[i].name, TARGET) == 0)
			return &targets[i];
	fuzz_fail(TARGET, "no such target");
}

static size_t golden(const struct target *t, uint64_t n, void *ret)
{
	size_t nr = 0;

	while (nr < SAMPLES_MAX && t->samples[nr])
		nr++;
	return sample_find(t->samples[n % nr])->encode(ret);
}

/* The structure that an input stands for; returns its length. */
static size_t unpack(const struct target *t, const uint8_t *data, size_t size,
		     uint8_t ret[SAMPLE_BYTES_MAX])
{
	const struct sample *sample = sample_find(t->samples[0]);
	size_t word = data[0] | (size_t)data[1] << 8;
	size_t length = t->any_length
				? (word & ~(size_t)AS_IT_IS) % SAMPLE_BYTES_MAX
				: sample->encode(ret);

	size -= HEAD_BYTES;
	memset(ret, 0, SAMPLE_BYTES_MAX);
	memcpy(ret, data + HEAD_BYTES, size < length ? size : length);
	if (!(word & AS_IT_IS) && sample->fix &&
	    length >= sizeof(struct disk_node_header))
		sample->fix(ret, length);
	return length;
}

/* The other way; returns the size of the input. */
static size_t pack(const uint8_t *bytes, size_t length, bool as_it_is,
		   uint8_t *ret)
{
	size_t word = length | (as_it_is ? AS_IT_IS : 0);
	size_t size = length;

	while (size > 0 && bytes[size - 1] == 0)
		size--;
	ret[0] = (uint8_t)word;
	ret[1] = (uint8_t)(word >> 8);
	memcpy(ret + HEAD_BYTES, bytes, size);
	return HEAD_BYTES + size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[SAMPLE_BYTES_MAX];
	const struct target *t = target();
	struct error err = ERROR_NONE;
	size_t length;
	void *exact;

	if (size < HEAD_BYTES)
		return 0;
	length = unpack(t, data, size, bytes);
	exact = fuzz_exact(bytes, length);
	fuzz_check_decoder(t->name,
			   t->decode ? t->decode(exact, length, &err)
				     : sample_find(t->samples[0])
					       ->decode(exact, length, &err),
			   &err);
	free(exact);
	return 0;
}

/* Most fields are at the start, and a change of one byte says most. */
static size_t change(struct rng *rng, uint8_t *bytes, size_t length)
{
	size_t at = rng_below(rng, rng_one_in(rng, 2) && length > 128 ? 128
								      : length);
	size_t nr = (size_t)1 << rng_below(rng, 4);

	switch (rng_below(rng, 6)) {
	case 0:
		return LLVMFuzzerMutate(bytes, length, SAMPLE_BYTES_MAX - 1);
	case 1:
		bytes[at] ^= (uint8_t)(1u << rng_below(rng, 8));
		break;
	case 2:
		bytes[at] = (uint8_t)(bytes[at] + 1);
		break;
	case 3:
		bytes[at] = (uint8_t)(bytes[at] - 1);
		break;
	default:
		at -= at % nr;
		for (size_t i = at; i < at + nr && i < length; i++)
			bytes[i] = nr % 3 ? 0xff : (uint8_t)rng_next(rng);
	}
	return length;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed)
{
	static uint8_t bytes[SAMPLE_BYTES_MAX];
	static uint8_t input[HEAD_BYTES + SAMPLE_BYTES_MAX];
	const struct target *t = target();
	struct rng rng = {seed};
	size_t length, was, packed;

	if (size < HEAD_BYTES + 8 || rng_one_in(&rng, 64))
		was = length = golden(t, rng_next(&rng), bytes);
	else
		was = length = unpack(t, data, size, bytes);
	if (length > 0)
		length = change(&rng, bytes, length);
	/* a length of their own have few structures */
	if (!rng_one_in(&rng, 8))
		length = was;
	packed = pack(bytes, length, rng_one_in(&rng, 16), input);
	if (packed > max_size)
		return size;
	memcpy(data, input, packed);
	return packed;
}
