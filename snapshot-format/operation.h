/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A metadata operation: the payload of a CREATE, SNAPSHOT, CLONE, DELETE,
 * ROLLBACK, UNDO, RESIZE, SET_NAME or SET entry.  One operation has one or
 * more items that happen together.  See FORMAT.md, Metadata operations.
 *
 *   op        volume          other            new_id          strings
 *   CREATE    0               0                volume          name
 *   SNAPSHOT  source          0                snapshot        name
 *   CLONE     0               source snapshot  volume          name
 *   DELETE    what goes       0                0
 *   ROLLBACK  head            snapshot         kept old head   name of kept
 *   UNDO      head            kept old head    0
 *   RESIZE    head            0                0               (size)
 *   SET_NAME  what is renamed 0                0               name
 *   SET       what changes    0                0               attrs
 */
#ifndef FORMAT_OPERATION_H
#define FORMAT_OPERATION_H

#include <stddef.h>

#include "batch.h"
#include "error.h"
#include "le.h"
#include "volume-record.h"

#define OPERATION_MAGIC "vOp\n"

struct disk_operation {
	uint8_t magic[4];
	uint8_t op;
	uint8_t zero;
	le16 nr_items;
	le32 length; /* bytes, this header included */
	le32 zero2;
	le64 time_ns;
};
_Static_assert(sizeof(struct disk_operation) == 24,
	       "see FORMAT.md, Metadata operations");

struct disk_operation_item {
	le32 volume;
	le32 other;
	le32 new_id;
	le32 flags; /* VOLUME_FLAG_* of the new record */
	le64 size;
	le16 name_length;
	le16 attrs_length;
	le32 zero;
	/* then name and attrs, padded with zeros to a multiple of 8 */
};
_Static_assert(sizeof(struct disk_operation_item) == 32,
	       "see FORMAT.md, Metadata operations");

struct operation_item {
	uint32_t volume;
	uint32_t other;
	uint32_t new_id;
	uint32_t flags;
	uint64_t size;
	const char *name; /* not NUL-terminated */
	uint16_t name_length;
	const char *attrs;
	uint16_t attrs_length;
};

struct operation {
	enum op op;
	uint32_t nr_items;
	uint32_t length; /* bytes, set by decode */
	uint64_t time_ns;
};

/* Bytes that header and items take. */
size_t operation_bytes(const struct operation_item *items, uint32_t nr_items);
/* @ret: operation_bytes() bytes; the caller zero-fills up to a block. */
void operation_encode(const struct operation *operation,
		      const struct operation_item *items, void *ret);

/*
 * Decode the header and check every item against @length (the payload in
 * bytes, a multiple of the block) and against what @op needs.
 */
int operation_decode(const void *payload, size_t length, enum op op,
		     struct operation *ret, struct error *err);
/* Iterate: *cursor starts at 0.  Only after a successful decode. */
void operation_next_item(const void *payload, size_t *cursor,
			 struct operation_item *ret);

#endif
