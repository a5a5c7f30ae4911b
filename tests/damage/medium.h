/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes of a disk in memory, one block at a time: frames, and the two
 * superblocks as frames of one block behind them.
 */
#ifndef DAMAGE_MEDIUM_H
#define DAMAGE_MEDIUM_H

#include <stdbool.h>
#include <stdint.h>

#include "backend-memory.h"
#include "units.h"

#define NR_FRAMES 96u

struct address {
	uint64_t place; /* NR_FRAMES + copy: a superblock */
	uint32_t slot;
};

struct medium {
	struct memory_disk *disk;
	struct backend *be;
	uint32_t nr_slots;
};

/* Holds no reference to @disk. */
void medium_open(struct medium *ret, struct memory_disk *disk,
		 unsigned int segment_shift);
void medium_close(struct medium *medium);

static inline bool address_is_super(struct address at)
{
	return at.place >= NR_FRAMES;
}

/* Blocks of the frame @at is in. */
uint32_t medium_nr_slots(const struct medium *medium, struct address at);
void medium_read(const struct medium *medium, struct address at,
		 uint8_t ret[BLOCK_SIZE]);
void medium_write(const struct medium *medium, struct address at,
		  const uint8_t data[BLOCK_SIZE]);
/* Any bytes of one frame. */
void medium_read_bytes(const struct medium *medium, uint64_t place,
		       uint32_t offset, void *ret, uint32_t length);

/* Write all of it to @path, as a store in a file, with holes. */
void medium_save(const struct medium *medium, const char *path);

/* A copy of @disk as it is now; cheap. */
struct memory_disk *disk_copy(struct memory_disk *disk);

#endif
