/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nodes of the extent map: inner nodes of 512 children, leaves of 64 blocks.
 * See FORMAT.md, Map node.
 */
#ifndef FORMAT_MAP_NODE_H
#define FORMAT_MAP_NODE_H

#include <stddef.h>

#include "le.h"
#include "error.h"
#include "units.h"

enum node_kind {
	NODE_LEAF = 1,
	NODE_INNER = 2,
};

/* 3, sparse, is reserved. */
enum leaf_encoding {
	LEAF_DENSE = 1,
	LEAF_RUN = 2,  /* 64 data blocks with consecutive names */
	LEAF_NEAR = 4, /* names of segments that are not far apart */
};

/*
 * A name of a near leaf: its segno, less the lowest, and its slot.  So many
 * segnos are 16 TiB of writes, or, since each open takes 4096 at least, 500
 * opens between the first block of a leaf and the last.
 */
#define NEAR_SEGNO_BITS (32 - SLOT_BITS)

enum entry_kind {
	ENTRY_HOLE = 0,
	ENTRY_DATA = 1,
	ENTRY_ZERO = 2,
	ENTRY_LOST = 3, /* the map was damaged here: not known what it held */
};

/* ref: bits 0-50 segno, 51-61 slot, 62-63 kind. */
struct leaf_entry {
	uint64_t ref;
	uint32_t checksum;
};

static inline enum entry_kind leaf_entry_kind(struct leaf_entry e)
{
	return (enum entry_kind)(e.ref >> 62);
}

static inline struct birth leaf_entry_birth(struct leaf_entry e)
{
	return birth_make(e.ref & SEGNO_MAX,
			  (uint32_t)(e.ref >> SEGNO_BITS) & (SLOTS_MAX - 1));
}

static inline struct leaf_entry leaf_entry_data(struct birth name,
						uint32_t checksum)
{
	return (struct leaf_entry){(uint64_t)ENTRY_DATA << 62 |
					   (uint64_t)birth_slot(name)
						   << SEGNO_BITS |
					   birth_segno(name),
				   checksum};
}

static inline struct leaf_entry leaf_entry_lost(void)
{
	return (struct leaf_entry){(uint64_t)ENTRY_LOST << 62, 0};
}

struct disk_node_header {
	uint8_t kind;
	uint8_t level; /* 0: leaf, 1..3: inner */
	uint8_t encoding;
	uint8_t zero;
	le32 id;
	le32 epoch;
	le32 hash; /* checksum32 of the record with this field zero */
};
_Static_assert(sizeof(struct disk_node_header) == 16,
	       "see FORMAT.md, Map node");

#define NODE_INNER_BYTES (16u + INNER_CHILDREN * 4)
#define NODE_LEAF_DENSE_BYTES (16u + LEAF_BLOCKS * 12)
#define NODE_LEAF_NEAR_BYTES (16u + 8u + LEAF_BLOCKS * 8)
#define NODE_LEAF_RUN_BYTES (16u + 8u + LEAF_BLOCKS * 4)
#define NODE_BYTES_MAX NODE_INNER_BYTES

struct leaf_content {
	struct leaf_entry entries[LEAF_BLOCKS];
};

struct inner_content {
	uint32_t children[INNER_CHILDREN]; /* node ids, 0: hole */
};

/*
 * Encode into @ret (NODE_BYTES_MAX bytes).  The shortest leaf encoding is
 * chosen.  *ret_hash is what references to the record store.
 * Returns the length in bytes.
 */
size_t leaf_encode(uint32_t id, uint32_t epoch, const struct leaf_content *leaf,
		   void *ret, uint32_t *ret_hash);
size_t inner_encode(uint32_t id, uint32_t epoch, unsigned int level,
		    const struct inner_content *inner, void *ret,
		    uint32_t *ret_hash);

/*
 * Decode a record of @length bytes that a reference named with @id, @level
 * and @checksum.  -EBADMSG: checksum; -EUCLEAN: structure.  Entries of kind
 * data have segno > 0.  *ret_epoch is set.
 */
int leaf_decode(const void *record, size_t length, uint32_t id,
		uint32_t checksum, uint32_t *ret_epoch,
		struct leaf_content *ret, struct error *err);
int inner_decode(const void *record, size_t length, uint32_t id,
		 unsigned int level, uint32_t checksum, uint32_t *ret_epoch,
		 struct inner_content *ret, struct error *err);

#endif
