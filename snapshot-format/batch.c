/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The batch header's codec.
 *
 * A header under construction may lie in memory that outlives the process.
 * What a reader then trusts is the number of entries, which is stored in one
 * piece and only when everything it covers is in place.  A killed process has
 * executed a prefix of its instructions, so it is the compiler that must keep
 * these stores in order.
 */
#include "batch.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "bytes.h"
#include "checksum.h"

#define FIRST_BLOCK_BITS 48
#define FIRST_BLOCK_MAX ((UINT64_C(1) << FIRST_BLOCK_BITS) - 1)
#define ENTRIES_MAX ((BATCH_HEADER_SIZE - BATCH_FIXED_SIZE) / BATCH_ENTRY_SIZE)

/* nr_entries is stored as an integer into a struct of bytes. */
typedef uint16_t __attribute__((may_alias)) aliasing_u16;

_Static_assert(offsetof(struct disk_batch, body) == BATCH_FIXED_SIZE,
	       "see FORMAT.md, Batch");
_Static_assert(offsetof(struct disk_batch, nr_entries) % 2 == 0,
	       "stored in one piece");

bool op_is_metadata(enum op op)
{
	return op >= OP_CREATE && op <= OP_UNDO;
}

bool op_has_payload(enum op op)
{
	return op == OP_WRITE || op == OP_GCMOVE || op == OP_META ||
	       op_is_metadata(op);
}

/* ---- building ---- */

static void barrier(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void store_nr_entries(struct disk_batch *batch, uint32_t nr_entries)
{
	void *field = &batch->nr_entries;

	assert((uintptr_t)field % sizeof(aliasing_u16) == 0);
	__atomic_store_n((aliasing_u16 *)field, htole16((uint16_t)nr_entries),
			 __ATOMIC_RELEASE);
}

void batch_init(struct disk_batch *ret, const struct batch_header *header)
{
	store_nr_entries(ret, 0);
	ret->nr_payload = 0;
	barrier();
	ret->hash = le64_make(0);
	barrier();
	memset(ret->magic, 0, sizeof(ret->magic));
	barrier();

	ret->kind = (uint8_t)header->kind;
	ret->seq = le64_make(header->seq);
	ret->segno = le64_make(header->segno);
	ret->slot = le32_make(header->slot);
	ret->zero = le32_make(0);
	ret->incarnation = le64_make(header->incarnation);
	ret->prev_hash = le64_make(header->prev_hash);
	ret->durable_seq = le64_make(header->durable_seq);
	ret->time_ns = le64_make(header->time_ns);
	memcpy(ret->uuid, header->uuid, sizeof(ret->uuid));
	ret->reserved = le64_make(0);
	memset(ret->body, 0, sizeof(ret->body));

	barrier();
	memcpy(ret->magic, BATCH_MAGIC, sizeof(ret->magic));
}

static bool counts_fit(uint32_t nr_entries, uint32_t nr_payload)
{
	return nr_entries <= ENTRIES_MAX && nr_payload <= BATCH_PAYLOAD_MAX &&
	       BATCH_FIXED_SIZE + nr_entries * BATCH_ENTRY_SIZE +
			       nr_payload * 4 <=
		       BATCH_HEADER_SIZE;
}

bool batch_has_room(uint32_t nr_entries, uint32_t nr_payload_total)
{
	return nr_entries < ENTRIES_MAX &&
	       counts_fit(nr_entries + 1, nr_payload_total);
}

static uint64_t first_block_get(const uint8_t bytes[6])
{
	uint64_t ret = 0;

	for (int i = 5; i >= 0; i--)
		ret = ret << 8 | bytes[i];
	return ret;
}

static void first_block_put(uint64_t first_block, uint8_t ret[6])
{
	for (int i = 0; i < 6; i++)
		ret[i] = (uint8_t)(first_block >> (8 * i));
}

void batch_put_entry(struct disk_batch *batch, uint32_t index,
		     const struct batch_entry *entry)
{
	struct disk_batch_entry disk = {
		.op = (uint8_t)entry->op,
		.count_low = le16_make((uint16_t)entry->count),
		.volume = le32_make(entry->volume),
		.count_high = le16_make((uint16_t)(entry->count >> 16)),
	};

	assert(index < ENTRIES_MAX && entry->first_block <= FIRST_BLOCK_MAX);
	first_block_put(entry->first_block, disk.first_block);
	memcpy(batch->body + (size_t)index * BATCH_ENTRY_SIZE, &disk,
	       sizeof(disk));
}

/* Where the checksum of a payload block lies in the body. */
static size_t checksum_offset(uint32_t payload_index)
{
	assert(payload_index < BATCH_PAYLOAD_MAX);
	return BATCH_HEADER_SIZE - BATCH_FIXED_SIZE -
	       4 * ((size_t)payload_index + 1);
}

void batch_put_checksum(struct disk_batch *batch, uint32_t payload_index,
			uint32_t checksum)
{
	le32 disk = le32_make(checksum);

	memcpy(batch->body + checksum_offset(payload_index), &disk,
	       sizeof(disk));
}

uint32_t batch_get_checksum(const struct disk_batch *batch,
			    uint32_t payload_index)
{
	le32 disk;

	memcpy(&disk, batch->body + checksum_offset(payload_index),
	       sizeof(disk));
	return le32_get(disk);
}

void batch_publish(struct disk_batch *batch, uint32_t nr_entries,
		   uint32_t nr_payload)
{
	assert(counts_fit(nr_entries, nr_payload));
	batch->nr_payload = (uint8_t)nr_payload;
	barrier();
	store_nr_entries(batch, nr_entries);
	barrier();
}

/* The hash of the header with the hash field zero. */
static uint64_t batch_hash(const struct disk_batch *batch)
{
	struct disk_batch copy = *batch;

	copy.hash = le64_make(0);
	return checksum64(&copy, sizeof(copy));
}

uint64_t batch_seal(struct disk_batch *batch, uint32_t nr_entries,
		    uint32_t nr_payload, uint64_t durable_seq, uint64_t time_ns)
{
	uint64_t hash;

	batch_publish(batch, nr_entries, nr_payload);
	batch->durable_seq = le64_make(durable_seq);
	batch->time_ns = le64_make(time_ns);
	batch->hash = le64_make(0);
	hash = checksum64(batch, sizeof(*batch));
	barrier();
	batch->hash = le64_make(hash);
	return hash;
}

/* ---- entries ---- */

uint32_t batch_entry_payload(const struct batch_entry *e)
{
	return op_has_payload(e->op) ? e->count : 0;
}

/*
 * The ten bytes of volume and first block, taken together: segment number in
 * the first eight, slot in the last two.
 */
struct batch_entry batch_entry_gcmove(struct birth name)
{
	uint64_t segno = birth_segno(name);

	return (struct batch_entry){
		.op = OP_GCMOVE,
		.volume = (uint32_t)segno,
		.first_block = (uint64_t)birth_slot(name) << 32 | segno >> 32,
		.count = 1,
	};
}

struct birth batch_entry_birth(const struct batch_entry *e)
{
	return birth_make((e->first_block & UINT32_MAX) << 32 | e->volume,
			  (uint32_t)(e->first_block >> 32));
}

static int check_range_entry(const struct batch_entry *e, struct error *err)
{
	if (e->volume == 0)
		return error_set(err, EUCLEAN, "volume 0");
	if (e->count == 0 ||
	    !range_is_inside(e->first_block, e->count, VOLUME_BLOCKS_MAX))
		return error_set(err, EUCLEAN,
				 "block %" PRIu64 " count %" PRIu32
				 " is not inside a volume",
				 e->first_block, e->count);
	return 0;
}

static int check_payload_count(const struct batch_entry *e, struct error *err)
{
	if (e->count == 0 || e->count > BATCH_PAYLOAD_MAX)
		return error_set(err, EUCLEAN,
				 "count %" PRIu32 " of payload blocks",
				 e->count);
	return 0;
}

static int check_gcmove(const struct batch_entry *e, struct error *err)
{
	uint64_t segno = (e->first_block & UINT32_MAX) << 32 | e->volume;
	uint64_t slot = e->first_block >> 32;

	if (segno == 0 || segno > SEGNO_MAX || slot >= SLOTS_MAX)
		return error_set(err, EUCLEAN,
				 "segment %" PRIu64 " slot %" PRIu64
				 " names no block",
				 segno, slot);
	if (e->count != 1)
		return error_set(err, EUCLEAN, "count %" PRIu32 " of a move",
				 e->count);
	return 0;
}

static int check_metadata(const struct batch_entry *e, struct error *err)
{
	if (e->volume != 0 || e->first_block != 0)
		return error_set(err, EUCLEAN,
				 "volume %" PRIu32 " block %" PRIu64
				 " of a metadata operation are not zero",
				 e->volume, e->first_block);
	return check_payload_count(e, err);
}

static bool kind_allows(enum segment_kind kind, enum op op)
{
	switch (kind) {
	case SEGMENT_DATA:
		return op == OP_WRITE || op == OP_ZERO || op == OP_TRIM ||
		       op_is_metadata(op);
	case SEGMENT_GC:
		return op == OP_GCMOVE;
	case SEGMENT_META:
		return op == OP_META;
	}
	return false;
}

static bool op_is_known(uint8_t op)
{
	return (op >= OP_WRITE && op <= OP_META) || op_is_metadata((enum op)op);
}

static int check_entry(const struct disk_batch_entry *disk,
		       const struct batch_entry *e, enum segment_kind kind,
		       struct error *err)
{
	int r;

	if (!op_is_known(disk->op))
		return error_set(err, EUCLEAN,
				 "op %u is not known to this version",
				 disk->op);
	if (disk->flags != 0)
		return error_set(err, EUCLEAN,
				 "flags %#x are not known to this version",
				 disk->flags);
	if (!kind_allows(kind, e->op))
		return error_set(err, EUCLEAN,
				 "op %u is not allowed in segments of kind %u",
				 disk->op, (unsigned int)kind);
	switch (e->op) {
	case OP_WRITE:
		r = check_payload_count(e, err);
		return r < 0 ? r : check_range_entry(e, err);
	case OP_ZERO:
	case OP_TRIM:
		return check_range_entry(e, err);
	case OP_GCMOVE:
		return check_gcmove(e, err);
	case OP_META:
		if (e->volume != 0)
			return error_set(err, EUCLEAN,
					 "volume %" PRIu32 " is not zero",
					 e->volume);
		return check_payload_count(e, err);
	default:
		return check_metadata(e, err);
	}
}

int batch_get_entry(const struct disk_batch *batch, uint32_t index,
		    enum segment_kind kind, struct batch_entry *ret,
		    struct error *err)
{
	struct disk_batch_entry disk;
	struct batch_entry e;
	int r;

	assert(index < ENTRIES_MAX);
	memcpy(&disk, batch->body + (size_t)index * BATCH_ENTRY_SIZE,
	       sizeof(disk));
	e = (struct batch_entry){
		.op = (enum op)disk.op,
		.volume = le32_get(disk.volume),
		.first_block = first_block_get(disk.first_block),
		.count = (uint32_t)le16_get(disk.count_low) |
			 (uint32_t)le16_get(disk.count_high) << 16,
	};
	r = check_entry(&disk, &e, kind, err);
	if (r < 0) {
		(void)error_prefix(err, "entry %" PRIu32, index);
		return r;
	}
	*ret = e;
	return 0;
}

/* ---- decoding ---- */

static void get_fields(const struct disk_batch *batch, struct batch_header *ret)
{
	*ret = (struct batch_header){
		.kind = (enum segment_kind)batch->kind,
		.nr_payload = batch->nr_payload,
		.nr_entries = le16_get(batch->nr_entries),
		.seq = le64_get(batch->seq),
		.segno = le64_get(batch->segno),
		.slot = le32_get(batch->slot),
		.incarnation = le64_get(batch->incarnation),
		.prev_hash = le64_get(batch->prev_hash),
		.durable_seq = le64_get(batch->durable_seq),
		.time_ns = le64_get(batch->time_ns),
		.hash = le64_get(batch->hash),
	};
	memcpy(ret->uuid, batch->uuid, sizeof(ret->uuid));
}

static int check_fixed(const struct disk_batch *batch,
		       const struct batch_header *h, struct error *err)
{
	if (h->kind < SEGMENT_DATA || h->kind > SEGMENT_META)
		return error_set(err, EUCLEAN, "kind %u is not known",
				 batch->kind);
	if (h->segno == 0 || h->segno > SEGNO_MAX)
		return error_set(err, EUCLEAN, "segment out of range");
	if (h->slot == 0 || h->slot >= SLOTS_MAX)
		return error_set(err, EUCLEAN, "slot out of range");
	if (le32_get(batch->zero) != 0 || le64_get(batch->reserved) != 0)
		return error_set(err, EUCLEAN, "reserved bytes are not zero");
	if (h->kind == SEGMENT_DATA && h->durable_seq > h->seq)
		return error_set(err, EUCLEAN,
				 "batch %" PRIu64 " says %" PRIu64
				 " is durable",
				 h->seq, h->durable_seq);
	return 0;
}

/* Check every entry; *ret_payload is the sum of what they cover. */
static int check_entries(const struct disk_batch *batch,
			 const struct batch_header *h, uint32_t *ret_payload,
			 struct error *err)
{
	struct batch_entry e;
	uint32_t nr_payload = 0;
	int r;

	if (h->nr_entries > ENTRIES_MAX)
		return error_set(err, EUCLEAN, "%" PRIu32 " entries",
				 h->nr_entries);
	if (h->kind == SEGMENT_META && h->nr_entries != 1)
		return error_set(err, EUCLEAN,
				 "%" PRIu32 " entries in a metadata batch",
				 h->nr_entries);
	for (uint32_t i = 0; i < h->nr_entries; i++) {
		r = batch_get_entry(batch, i, h->kind, &e, err);
		if (r < 0)
			return r;
		nr_payload += batch_entry_payload(&e);
	}
	if (!counts_fit(h->nr_entries, nr_payload) ||
	    h->slot + nr_payload >= SLOTS_MAX)
		return error_set(err, EUCLEAN,
				 "%" PRIu32 " entries with %" PRIu32
				 " payload blocks do not fit",
				 h->nr_entries, nr_payload);
	*ret_payload = nr_payload;
	return 0;
}

static int check_payload(const struct disk_batch *batch,
			 const struct batch_header *h, uint32_t nr_payload,
			 struct error *err)
{
	size_t used = (size_t)h->nr_entries * BATCH_ENTRY_SIZE;
	size_t unused = sizeof(batch->body) - used - 4 * (size_t)nr_payload;

	if (h->nr_payload != nr_payload)
		return error_set(err, EUCLEAN,
				 "%" PRIu32 " payload blocks, but entries "
				 "cover %" PRIu32,
				 h->nr_payload, nr_payload);
	if (!bytes_are_zero(batch->body + used, unused))
		return error_set(err, EUCLEAN, "reserved bytes are not zero");
	return 0;
}

static int decode(const struct disk_batch *batch, bool sealed,
		  struct batch_header *ret, struct error *err)
{
	struct batch_header h;
	uint32_t nr_payload = 0;
	int r;

	if (memcmp(batch->magic, BATCH_MAGIC, sizeof(batch->magic)) != 0)
		return error_set(err, EINVAL, "no batch header");
	if (sealed && le64_get(batch->hash) != batch_hash(batch))
		return error_set(err, EBADMSG,
				 "batch header: hash does not match");
	get_fields(batch, &h);
	r = check_fixed(batch, &h, err);
	if (r == 0)
		r = check_entries(batch, &h, &nr_payload, err);
	if (r == 0 && sealed)
		r = check_payload(batch, &h, nr_payload, err);
	if (r < 0) {
		(void)error_prefix(err, "segment %" PRIu64 " slot %" PRIu32,
				   h.segno, h.slot);
		return r;
	}
	h.nr_payload = nr_payload;
	*ret = h;
	return 0;
}

int batch_decode(const struct disk_batch *batch, struct batch_header *ret,
		 struct error *err)
{
	return decode(batch, true, ret, err);
}

int batch_decode_unsealed(const struct disk_batch *batch,
			  struct batch_header *ret, struct error *err)
{
	return decode(batch, false, ret, err);
}
