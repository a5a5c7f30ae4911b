/* SPDX-License-Identifier: BSD-2-Clause */
/* Codecs of map nodes: leaves, dense, near or as a run, and inner nodes. */
#include "map-node.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bytes.h"
#include "checksum.h"

#define HEADER_BYTES sizeof(struct disk_node_header)
#define LEAF_ENTRY_BYTES 12u
#define NEAR_ENTRY_BYTES 8u

/* ---- encoding ---- */

static void put_header(void *ret, enum node_kind kind, unsigned int level,
		       unsigned int encoding, uint32_t id, uint32_t epoch)
{
	struct disk_node_header disk = {
		.kind = (uint8_t)kind,
		.level = (uint8_t)level,
		.encoding = (uint8_t)encoding,
		.id = le32_make(id),
		.epoch = le32_make(epoch),
	};

	assert(id > 0 && epoch > 0);
	memcpy(ret, &disk, sizeof(disk));
}

/* Hash the record, whose hash field is zero, and fill that field. */
static uint32_t put_hash(void *record, size_t length)
{
	uint32_t hash = checksum32(record, length);
	le32 disk = le32_make(hash);

	memcpy((uint8_t *)record + offsetof(struct disk_node_header, hash),
	       &disk, sizeof(disk));
	return hash;
}

static void put_le32(uint8_t *ret, uint32_t value)
{
	le32 disk = le32_make(value);

	memcpy(ret, &disk, sizeof(disk));
}

static void put_le64(uint8_t *ret, uint64_t value)
{
	le64 disk = le64_make(value);

	memcpy(ret, &disk, sizeof(disk));
}

/* 64 data blocks of one segment in consecutive slots? */
static bool leaf_is_run(const struct leaf_content *leaf)
{
	const struct leaf_entry *first = &leaf->entries[0];
	uint64_t slot = UINT64_C(1) << SEGNO_BITS;

	if (leaf_entry_kind(*first) != ENTRY_DATA ||
	    birth_slot(leaf_entry_birth(*first)) + LEAF_BLOCKS > SLOTS_MAX)
		return false;
	for (unsigned int i = 1; i < LEAF_BLOCKS; i++)
		if (leaf->entries[i].ref != first->ref + i * slot)
			return false;
	return true;
}

/* The lowest segno of its data; 0: not all are near it; 1: it has no data. */
static uint64_t near_base(const struct leaf_content *leaf)
{
	uint64_t least = SEGNO_MAX, most = 0;

	for (unsigned int i = 0; i < LEAF_BLOCKS; i++) {
		struct birth name = leaf_entry_birth(leaf->entries[i]);

		if (leaf_entry_kind(leaf->entries[i]) != ENTRY_DATA)
			continue;
		if (birth_slot(name) == 0)
			return 0;
		if (birth_segno(name) < least)
			least = birth_segno(name);
		if (birth_segno(name) > most)
			most = birth_segno(name);
	}
	if (most == 0)
		return 1;
	return most - least < 1u << NEAR_SEGNO_BITS ? least : 0;
}

/* Slot 0 holds no data: there the kind of what is none is told. */
static uint32_t near_ref(struct leaf_entry e, uint64_t base)
{
	struct birth name = leaf_entry_birth(e);

	if (leaf_entry_kind(e) != ENTRY_DATA)
		return leaf_entry_kind(e);
	return birth_slot(name) << NEAR_SEGNO_BITS |
	       (uint32_t)(birth_segno(name) - base);
}

static void put_run(const struct leaf_content *leaf, uint8_t *p)
{
	put_le64(p, leaf->entries[0].ref);
	for (size_t i = 0; i < LEAF_BLOCKS; i++)
		put_le32(p + 8 + 4 * i, leaf->entries[i].checksum);
}

static void put_near(const struct leaf_content *leaf, uint64_t base, uint8_t *p)
{
	put_le64(p, base);
	p += 8;
	for (unsigned int i = 0; i < LEAF_BLOCKS; i++, p += NEAR_ENTRY_BYTES) {
		put_le32(p, near_ref(leaf->entries[i], base));
		put_le32(p + 4, leaf->entries[i].checksum);
	}
}

static void put_dense(const struct leaf_content *leaf, uint8_t *p)
{
	for (unsigned int i = 0; i < LEAF_BLOCKS; i++, p += LEAF_ENTRY_BYTES) {
		put_le64(p, leaf->entries[i].ref);
		put_le32(p + 8, leaf->entries[i].checksum);
	}
}

size_t leaf_encode(uint32_t id, uint32_t epoch, const struct leaf_content *leaf,
		   void *ret, uint32_t *ret_hash)
{
	uint8_t *p = (uint8_t *)ret + HEADER_BYTES;
	bool is_run = leaf_is_run(leaf);
	uint64_t base = is_run ? 0 : near_base(leaf);
	enum leaf_encoding encoding;
	size_t length;

	if (is_run) {
		encoding = LEAF_RUN;
		length = NODE_LEAF_RUN_BYTES;
		put_run(leaf, p);
	} else if (base != 0) {
		encoding = LEAF_NEAR;
		length = NODE_LEAF_NEAR_BYTES;
		put_near(leaf, base, p);
	} else {
		encoding = LEAF_DENSE;
		length = NODE_LEAF_DENSE_BYTES;
		put_dense(leaf, p);
	}
	put_header(ret, NODE_LEAF, 0, encoding, id, epoch);
	*ret_hash = put_hash(ret, length);
	return length;
}

size_t inner_encode(uint32_t id, uint32_t epoch, unsigned int level,
		    const struct inner_content *inner, void *ret,
		    uint32_t *ret_hash)
{
	uint8_t *p = (uint8_t *)ret + HEADER_BYTES;

	assert(level >= 1 && level <= INNER_LEVELS);
	put_header(ret, NODE_INNER, level, 0, id, epoch);
	for (unsigned int i = 0; i < INNER_CHILDREN; i++)
		put_le32(p + 4 * (size_t)i, inner->children[i]);
	*ret_hash = put_hash(ret, NODE_INNER_BYTES);
	return NODE_INNER_BYTES;
}

/* ---- decoding ---- */

static uint32_t get_le32(const uint8_t *p)
{
	le32 disk;

	memcpy(&disk, p, sizeof(disk));
	return le32_get(disk);
}

static uint64_t get_le64(const uint8_t *p)
{
	le64 disk;

	memcpy(&disk, p, sizeof(disk));
	return le64_get(disk);
}

static int check_hash(const void *record, size_t length,
		      const struct disk_node_header *header, uint32_t checksum,
		      struct error *err)
{
	uint8_t copy[NODE_BYTES_MAX];

	if (le32_get(header->hash) != checksum)
		return error_set(err, EBADMSG,
				 "hash %08" PRIx32 " is not %08" PRIx32
				 " of the reference",
				 le32_get(header->hash), checksum);
	memcpy(copy, record, length);
	memset(copy + offsetof(struct disk_node_header, hash), 0, 4);
	if (checksum32(copy, length) != checksum)
		return error_set(err, EBADMSG, "checksum does not match");
	return 0;
}

static int check_header(const struct disk_node_header *header, uint32_t id,
			enum node_kind kind, unsigned int level,
			struct error *err)
{
	if (header->kind != kind)
		return error_set(err, EUCLEAN, "kind %u is not %u",
				 header->kind, (unsigned int)kind);
	if (header->level != level)
		return error_set(err, EUCLEAN, "level %u is not %u",
				 header->level, level);
	if (header->zero != 0)
		return error_set(err, EUCLEAN, "reserved byte is not zero");
	if (le32_get(header->id) != id)
		return error_set(err, EUCLEAN, "id %" PRIu32,
				 le32_get(header->id));
	if (le32_get(header->epoch) == 0)
		return error_set(err, EUCLEAN, "epoch 0");
	return 0;
}

/* What leaves and inner nodes have in common; *ret is the header. */
static int get_header(const void *record, size_t length, uint32_t id,
		      enum node_kind kind, unsigned int level,
		      uint32_t checksum, struct disk_node_header *ret,
		      struct error *err)
{
	int r;

	if (length < HEADER_BYTES || length > NODE_BYTES_MAX)
		return error_set(err, EUCLEAN, "length %zu", length);
	memcpy(ret, record, sizeof(*ret));
	r = check_hash(record, length, ret, checksum, err);
	if (r == 0)
		r = check_header(ret, id, kind, level, err);
	return r;
}

static int check_leaf_entry(struct leaf_entry e, struct error *err)
{
	switch (e.ref >> 62) {
	case ENTRY_DATA:
		if ((e.ref & SEGNO_MAX) == 0)
			return error_set(err, EUCLEAN, "data in segment 0");
		return 0;
	default: /* hole, zero, lost */
		if (e.ref << 2 != 0 || e.checksum != 0)
			return error_set(err, EUCLEAN,
					 "a hole, zero or lost block with a "
					 "name");
		return 0;
	}
}

static int get_dense(const uint8_t *p, struct leaf_content *ret,
		     struct error *err)
{
	int r;

	for (unsigned int i = 0; i < LEAF_BLOCKS; i++) {
		struct leaf_entry e = {
			.ref = get_le64(p + (size_t)i * LEAF_ENTRY_BYTES),
			.checksum =
				get_le32(p + (size_t)i * LEAF_ENTRY_BYTES + 8),
		};

		r = check_leaf_entry(e, err);
		if (r < 0) {
			(void)error_prefix(err, "entry %u", i);
			return r;
		}
		ret->entries[i] = e;
	}
	return 0;
}

static int get_near(const uint8_t *p, struct leaf_content *ret,
		    struct error *err)
{
	uint64_t base = get_le64(p);

	if (base == 0 || base > SEGNO_MAX)
		return error_set(err, EUCLEAN, "names near segment %" PRIu64,
				 base);
	p += 8;
	for (unsigned int i = 0; i < LEAF_BLOCKS; i++, p += NEAR_ENTRY_BYTES) {
		uint32_t ref = get_le32(p), slot = ref >> NEAR_SEGNO_BITS;
		uint64_t low = ref & ((1u << NEAR_SEGNO_BITS) - 1);
		uint32_t checksum = get_le32(p + 4);

		if (slot != 0 && base + low <= SEGNO_MAX)
			ret->entries[i] = leaf_entry_data(
				birth_make(base + low, slot), checksum);
		else if (slot == 0 && checksum == 0 && low <= ENTRY_LOST &&
			 low != ENTRY_DATA)
			ret->entries[i] = (struct leaf_entry){low << 62, 0};
		else
			return error_set(err, EUCLEAN,
					 "entry %u: reference %08" PRIx32, i,
					 ref);
	}
	return 0;
}

static int get_run(const uint8_t *p, struct leaf_content *ret,
		   struct error *err)
{
	struct leaf_entry first = {.ref = get_le64(p)};
	struct birth name;
	int r;

	r = check_leaf_entry(first, err);
	if (r < 0)
		return r;
	if (leaf_entry_kind(first) != ENTRY_DATA)
		return error_set(err, EUCLEAN, "a run that is no data");
	name = leaf_entry_birth(first);
	if (birth_slot(name) + LEAF_BLOCKS > SLOTS_MAX)
		return error_set(err, EUCLEAN,
				 "a run from slot %" PRIu32
				 " ends beyond the last",
				 birth_slot(name));
	for (uint32_t i = 0; i < LEAF_BLOCKS; i++)
		ret->entries[i] = leaf_entry_data(
			birth_make(birth_segno(name), birth_slot(name) + i),
			get_le32(p + 8 + 4 * (size_t)i));
	return 0;
}

static int get_leaf(const void *record, size_t length, uint8_t encoding,
		    struct leaf_content *ret, struct error *err)
{
	const uint8_t *p = (const uint8_t *)record + HEADER_BYTES;

	if (encoding == LEAF_DENSE && length == NODE_LEAF_DENSE_BYTES)
		return get_dense(p, ret, err);
	if (encoding == LEAF_NEAR && length == NODE_LEAF_NEAR_BYTES)
		return get_near(p, ret, err);
	if (encoding == LEAF_RUN && length == NODE_LEAF_RUN_BYTES)
		return get_run(p, ret, err);
	return error_set(err, EUCLEAN, "encoding %u with length %zu", encoding,
			 length);
}

int leaf_decode(const void *record, size_t length, uint32_t id,
		uint32_t checksum, uint32_t *ret_epoch,
		struct leaf_content *ret, struct error *err)
{
	struct disk_node_header header = {0};
	struct leaf_content leaf;
	int r;

	r = get_header(record, length, id, NODE_LEAF, 0, checksum, &header,
		       err);
	if (r == 0)
		r = get_leaf(record, length, header.encoding, &leaf, err);
	if (r < 0) {
		(void)error_prefix(err, "node %" PRIu32 " (leaf)", id);
		return r;
	}
	*ret_epoch = le32_get(header.epoch);
	*ret = leaf;
	return 0;
}

static int get_inner(const void *record, size_t length, uint32_t id,
		     uint8_t encoding, struct inner_content *ret,
		     struct error *err)
{
	const uint8_t *p = (const uint8_t *)record + HEADER_BYTES;

	if (encoding != 0 || length != NODE_INNER_BYTES)
		return error_set(err, EUCLEAN, "encoding %u with length %zu",
				 encoding, length);
	for (unsigned int i = 0; i < INNER_CHILDREN; i++) {
		ret->children[i] = get_le32(p + 4 * (size_t)i);
		if (ret->children[i] == id)
			return error_set(err, EUCLEAN,
					 "child %u is the node itself", i);
	}
	return 0;
}

int inner_decode(const void *record, size_t length, uint32_t id,
		 unsigned int level, uint32_t checksum, uint32_t *ret_epoch,
		 struct inner_content *ret, struct error *err)
{
	struct disk_node_header header = {0};
	struct inner_content inner;
	int r;

	assert(level >= 1 && level <= INNER_LEVELS);
	r = get_header(record, length, id, NODE_INNER, level, checksum, &header,
		       err);
	if (r == 0)
		r = get_inner(record, length, id, header.encoding, &inner, err);
	if (r < 0) {
		(void)error_prefix(err, "node %" PRIu32 " (level %u)", id,
				   level);
		return r;
	}
	*ret_epoch = le32_get(header.epoch);
	*ret = inner;
	return 0;
}
