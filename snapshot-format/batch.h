/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A batch: one header block and up to 255 payload blocks, the unit of
 * appending.  See FORMAT.md, Batch.
 *
 * A batch header is built in place: entries grow up from byte 96, checksums
 * of payload blocks grow down from the end of the block.  The counts are
 * stored last (a release store by the caller's log writer), so that a reader
 * of a half-built header sees only what is complete.
 */
#ifndef FORMAT_BATCH_H
#define FORMAT_BATCH_H

#include "le.h"
#include "error.h"
#include "segment.h"
#include "units.h"

#define BATCH_HEADER_SIZE 4096u
#define BATCH_FIXED_SIZE 96u
#define BATCH_ENTRY_SIZE 16u
#define BATCH_MAGIC "vBat"
#define BATCH_BYTES_MAX (1u << 20)
#define BATCH_PAYLOAD_MAX 255u

enum op {
	OP_WRITE = 1,
	OP_ZERO = 2,
	OP_TRIM = 3,
	OP_GCMOVE = 4, /* GC only */
	OP_META = 5,   /* META only: all payload of the batch */
	/* metadata operations: the payload is an operation (operation.h) */
	OP_CREATE = 16,
	OP_SNAPSHOT = 17,
	OP_CLONE = 18,
	OP_DELETE = 19,
	OP_ROLLBACK = 20,
	OP_RESIZE = 21,
	OP_SET_NAME = 22,
	OP_SET = 23,
	OP_UNDO = 24,
	/* reserved numbers: refused */
	OP_REF = 32,
	OP_CWRITE = 33,
	OP_POINT = 34,
	OP_POINT_DROP = 35,
};

/* True for the operations whose payload is an operation. */
bool op_is_metadata(enum op op);
/* True when the entry's count is a number of payload blocks. */
bool op_has_payload(enum op op);

struct disk_batch_entry {
	uint8_t op;
	uint8_t flags; /* zero */
	le16 count_low;
	le32 volume;
	uint8_t first_block[6];
	le16 count_high;
};
_Static_assert(sizeof(struct disk_batch_entry) == BATCH_ENTRY_SIZE,
	       "see FORMAT.md, Batch");

struct disk_batch {
	uint8_t magic[4];
	uint8_t kind; /* enum segment_kind */
	uint8_t nr_payload;
	le16 nr_entries;
	le64 seq;
	le64 segno;
	le32 slot;
	le32 zero;
	le64 incarnation;
	le64 prev_hash;
	le64 durable_seq;
	le64 time_ns;
	uint8_t uuid[16];
	le64 reserved;
	le64 hash; /* of the 4096 bytes with this field zero */
	uint8_t body[BATCH_HEADER_SIZE - BATCH_FIXED_SIZE];
};
_Static_assert(sizeof(struct disk_batch) == BATCH_HEADER_SIZE,
	       "see FORMAT.md, Batch");

struct batch_entry {
	enum op op;
	uint32_t volume;
	uint64_t first_block; /* GCMOVE: birth; see batch_entry_gcmove() */
	uint32_t count;	      /* blocks */
};

struct batch_header {
	enum segment_kind kind;
	uint32_t nr_payload;
	uint32_t nr_entries;
	uint64_t seq;
	uint64_t segno;
	uint32_t slot;
	uint64_t incarnation;
	uint64_t prev_hash;
	uint64_t durable_seq;
	uint64_t time_ns;
	uint8_t uuid[16];
	uint64_t hash; /* set by seal and decode */
};

/*
 * Start a header in @ret: fixed fields of @header, no entry, no payload, no
 * hash.  @ret may hold an older header: whoever looks at it after the process
 * was killed half way finds no entry, then no magic, then the new header.
 */
void batch_init(struct disk_batch *ret, const struct batch_header *header);

/*
 * True when one more entry fits beside @nr_entries ones; @nr_payload_total
 * counts the new entry's payload blocks too.
 */
bool batch_has_room(uint32_t nr_entries, uint32_t nr_payload_total);

/* Store entry @index; does not change the counts. */
void batch_put_entry(struct disk_batch *batch, uint32_t index,
		     const struct batch_entry *entry);
void batch_put_checksum(struct disk_batch *batch, uint32_t payload_index,
			uint32_t checksum);
uint32_t batch_get_checksum(const struct disk_batch *batch,
			    uint32_t payload_index);

/*
 * Let a reader after the death of the process see the first @nr_entries
 * entries: stores nr_payload, then nr_entries in one store.  Payload,
 * checksums and entries must be in place.  @batch is 2-byte aligned.
 */
void batch_publish(struct disk_batch *batch, uint32_t nr_entries,
		   uint32_t nr_payload);

/* Set the counts, durable_seq and time, then the hash, which is returned. */
uint64_t batch_seal(struct disk_batch *batch, uint32_t nr_entries,
		    uint32_t nr_payload, uint64_t durable_seq,
		    uint64_t time_ns);

/*
 * Decode and validate a sealed header: magic, hash, counts that fit the
 * block, every entry, and that the entries' payload sums to nr_payload.
 * -EINVAL: no magic; -EBADMSG: hash; -EUCLEAN: structure.
 */
int batch_decode(const struct disk_batch *batch, struct batch_header *ret,
		 struct error *err);
/*
 * The same for a header that was never sealed (tail file): no hash check.
 * Of the counts only nr_entries is believed; ret->nr_payload is computed.
 */
int batch_decode_unsealed(const struct disk_batch *batch,
			  struct batch_header *ret, struct error *err);

/* Entry @index of a batch; -EUCLEAN when it is not valid for @kind. */
int batch_get_entry(const struct disk_batch *batch, uint32_t index,
		    enum segment_kind kind, struct batch_entry *ret,
		    struct error *err);

/* Number of payload blocks entry @e covers (0 for ZERO, TRIM). */
uint32_t batch_entry_payload(const struct batch_entry *e);

/* GCMOVE: volume and first_block hold segno (64) and slot (16) of a birth. */
struct batch_entry batch_entry_gcmove(struct birth name);
struct birth batch_entry_birth(const struct batch_entry *e);

#endif
