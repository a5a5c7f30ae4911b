/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The units of the store and the only conversions between them.
 *
 * A volume's block number, a birth address and a physical address are three
 * different one-field structs, so that one cannot be passed for another.
 */
#ifndef FORMAT_UNITS_H
#define FORMAT_UNITS_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#define BLOCK_SHIFT 12
#define BLOCK_SIZE 4096u

#define SLOT_BITS 11
#define SLOTS_MAX (1u << SLOT_BITS)
#define SEGNO_BITS 51
#define SEGNO_MAX ((UINT64_C(1) << SEGNO_BITS) - 1)

#define SEGMENT_SHIFT_MIN 16 /* 64 KiB: tests */
#define SEGMENT_SHIFT_MAX 23 /* 8 MiB */

#define LEAF_BLOCKS 64u
#define LEAF_BYTES (LEAF_BLOCKS * BLOCK_SIZE)
#define INNER_CHILDREN 512u
#define INNER_LEVELS 3u
/* 64 x 512^3 blocks = 2^33 blocks = 32 TiB */
#define VOLUME_BLOCKS_MAX (UINT64_C(1) << 33)
#define VOLUME_BYTES_MAX (VOLUME_BLOCKS_MAX << BLOCK_SHIFT)

/* A block of a volume, counted from its start. */
struct vblock {
	uint64_t index;
};

/* The permanent name of a block's content: segno << 11 | slot. */
struct birth {
	uint64_t value;
};

/* Where a block lies now: segno << 11 | slot of the segment that holds it. */
struct pblock {
	uint64_t value;
};

static inline struct birth birth_make(uint64_t segno, uint32_t slot)
{
	assert(segno <= SEGNO_MAX && slot < SLOTS_MAX);
	return (struct birth){segno << SLOT_BITS | slot};
}

static inline uint64_t birth_segno(struct birth b)
{
	return b.value >> SLOT_BITS;
}

static inline uint32_t birth_slot(struct birth b)
{
	return (uint32_t)(b.value & (SLOTS_MAX - 1));
}

static inline struct pblock pblock_make(uint64_t segno, uint32_t slot)
{
	assert(segno <= SEGNO_MAX && slot < SLOTS_MAX);
	return (struct pblock){segno << SLOT_BITS | slot};
}

static inline uint64_t pblock_segno(struct pblock p)
{
	return p.value >> SLOT_BITS;
}

static inline uint32_t pblock_slot(struct pblock p)
{
	return (uint32_t)(p.value & (SLOTS_MAX - 1));
}

static inline uint32_t segment_slots(unsigned int segment_shift)
{
	return 1u << (segment_shift - BLOCK_SHIFT);
}

static inline uint64_t round_up_u64(uint64_t x, uint64_t to)
{
	assert(to > 0 && x <= UINT64_MAX - (to - 1));
	return (x + to - 1) / to * to;
}

static inline uint64_t bytes_to_blocks_up(uint64_t bytes)
{
	return bytes / BLOCK_SIZE + (bytes % BLOCK_SIZE != 0);
}

/* True when [offset, offset + length) lies in [0, size) without overflow. */
static inline bool range_is_inside(uint64_t offset, uint64_t length,
				   uint64_t size)
{
	uint64_t end;

	return !__builtin_add_overflow(offset, length, &end) && end <= size;
}

#endif
