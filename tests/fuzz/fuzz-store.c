/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening and using a store made of hostile bytes.
 *
 * An input names one of several small stores, how to open it, and bytes to
 * change: lines of 64 bytes that are not zero are numbered, so that most
 * changes meet a structure.  Checksums always match (fuzz-checksum.c).
 * Whatever the bytes say, every call returns, with a sentence when it fails.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "store-use.h"
#include "test-store.h"
#include "units.h"

#define NR_FRAMES 64u
#define NR_STORES 4u
#define LINE_BYTES 64u
#define LINES_MAX 16384u
#define CHANGE_BYTES 6u
#define CHANGES_MAX 12u

struct line {
	uint64_t place; /* of the frame; NR_FRAMES + copy: a superblock */
	uint32_t offset;
};

static struct base {
	struct memory_disk *disk;
	struct line lines[LINES_MAX];
	size_t nr_lines;
} bases[NR_STORES];
static unsigned int nr_bases;

/* ---- the stores ---- */

static void must(int r, const struct error *err)
{
	if (r < 0)
		fuzz_fail("making a store", err->message);
}

/* Blocks that are zeros but for their first bytes: few lines are data. */
static void write_blocks(struct store *store, const char *name, uint64_t nr,
			 uint64_t step)
{
	static const uint8_t block[BLOCK_SIZE] = "data";
	struct error err = ERROR_NONE;
	struct volume_handle *handle;

	must(volume_open(store, name, VOLUME_OPEN_WRITE, &handle, &err), &err);
	for (uint64_t i = 0; i < nr; i++)
		must(volume_write(handle, block, sizeof(block),
				  i * step * BLOCK_SIZE, false, &err),
		     &err);
	must(volume_trim(handle, BLOCK_SIZE, step * BLOCK_SIZE, false, &err),
	     &err);
	volume_close(handle);
}

static void read_line(struct backend *be, struct line line,
		      uint8_t ret[LINE_BYTES])
{
	struct error err = ERROR_NONE;
	struct disk_superblock disk;

	if (line.place < NR_FRAMES) {
		must(backend_read(be, line.place, line.offset, ret, LINE_BYTES,
				  0, &err),
		     &err);
		return;
	}
	must(backend_super_read(be, (unsigned int)(line.place - NR_FRAMES),
				&disk, &err),
	     &err);
	memcpy(ret, (const uint8_t *)&disk + line.offset, LINE_BYTES);
}

static void number_lines(struct base *base, struct backend *be, uint64_t place,
			 uint32_t length)
{
	static const uint8_t zeros[LINE_BYTES];
	uint8_t bytes[LINE_BYTES];

	for (uint32_t at = 0; at < length; at += LINE_BYTES) {
		struct line line = {place, at};

		read_line(be, line, bytes);
		if (memcmp(bytes, zeros, LINE_BYTES) != 0 &&
		    base->nr_lines < LINES_MAX)
			base->lines[base->nr_lines++] = line;
	}
}

static struct backend *open_backend(struct memory_disk *disk)
{
	struct backend *be = backend_memory_open(disk);

	be->segment_shift = TEST_SEGMENT_SHIFT;
	be->nr_frames = NR_FRAMES;
	return be;
}

/* @disk as it is now becomes one more of the stores. */
static void keep(struct memory_disk *disk)
{
	struct base *base = &bases[nr_bases++];
	struct backend *be;

	memory_disk_record(disk);
	base->disk = memory_disk_rebuild(disk, 0, CRASH_KEEP_ALL, 0);
	memory_disk_record(base->disk);
	be = open_backend(base->disk);
	/* the superblocks twice: all hangs on them */
	for (unsigned int i = 0; i < 2 * SUPERBLOCK_COPIES; i++)
		number_lines(base, be, NR_FRAMES + i % SUPERBLOCK_COPIES,
			     sizeof(struct disk_superblock));
	for (uint64_t place = 0; place < NR_FRAMES; place++)
		number_lines(base, be, place, 1u << TEST_SEGMENT_SHIFT);
	backend_close(be);
}

static void make_stores(void)
{
	static const char *const clones[] = {"c"}, *const gone[] = {"v@1"},
				 *const first[] = {"v@1"},
				 *const both[] = {"v@2", "w@2"};
	struct memory_disk *disk = test_store_disk(NR_FRAMES);
	struct store_open_options options = {.nr_buffers = 4};
	char kept[2][NAME_MAX_BYTES + 1];
	struct error err = ERROR_NONE;
	struct store *store;

	keep(disk);
	must(test_store_open(disk, &options, &store, &err), &err);
	must(store_create(store, "v", 1 << 30, &err), &err);
	must(store_create(store, "w", 64 << 10, &err), &err);
	write_blocks(store, "v", 40, 300);
	must(store_snapshot(store, first, 1, "a note", &err), &err);
	write_blocks(store, "w", 16, 1);
	must(store_clone(store, "v@1", clones, 1, &err), &err);
	must(store_checkpoint(store, &err), &err);
	keep(disk);
	write_blocks(store, "c", 10, 900);
	write_blocks(store, "v", 16, 2);
	must(store_snapshot(store, both, 2, NULL, &err), &err);
	must(store_delete(store, gone, 1, false, &err), &err);
	must(store_flush(store, &err), &err);
	keep(disk); /* with a log to replay */
	must(store_rollback(store, both, 2, kept, &err), &err);
	must(store_close(store, true, &err), &err);
	keep(disk);
	memory_disk_put(disk);
}

/* ---- the changes ---- */

static uint8_t changed(const uint8_t *bytes, unsigned int i, uint8_t how,
		       uint8_t value, const uint8_t *other)
{
	switch (how % 8) {
	case 0:
		return (uint8_t)(bytes[i] ^ value);
	case 1:
		return value;
	case 2:
	case 3:
		return how & 8 ? 0xff : 0;
	case 4:
		return (uint8_t)(bytes[i] + 1);
	case 5:
		return (uint8_t)(bytes[i] - 1);
	default:
		return other[i];
	}
}

/* The disk in memory has one geometry, and no file would end early. */
static bool is_geometry(struct line line, unsigned int at)
{
	uint32_t offset = line.offset + at;

	if (line.place < NR_FRAMES)
		return false;
	return offset == offsetof(struct disk_superblock, segment_shift) ||
	       offset / 8 == offsetof(struct disk_superblock, capacity) / 8;
}

static void change(struct memory_disk *disk, struct backend *be,
		   const struct base *base, const uint8_t *input)
{
	struct line line = base->lines[(input[0] | (size_t)input[1] << 8) %
				       base->nr_lines];
	struct line source = base->lines[input[5] * 31u % base->nr_lines];
	unsigned int at = input[2] % LINE_BYTES;
	/* a byte, or a field of 2, 4 or 8 */
	unsigned int nr = 1u << (input[3] >> 6);
	uint8_t bytes[LINE_BYTES], other[LINE_BYTES];

	read_line(be, line, bytes);
	read_line(be, source, other);
	at -= at % nr;
	if (input[3] % 8 == 0 || input[3] % 8 == 1 || input[3] % 8 == 4 ||
	    input[3] % 8 == 5)
		nr = 1;
	for (unsigned int i = at; i < at + nr; i++) {
		uint8_t mask =
			bytes[i] ^ changed(bytes, i, input[3], input[4], other);

		if (is_geometry(line, i))
			continue;
		if (line.place < NR_FRAMES)
			memory_disk_damage(disk, line.place, line.offset + i,
					   mask);
		else
			memory_disk_damage_super(
				disk, (unsigned int)(line.place - NR_FRAMES),
				line.offset + i, mask);
	}
}

static void open_and_use(struct memory_disk *disk, uint8_t how)
{
	struct store_open_options options = {
		.nr_buffers = 4,
		.read_only = how % 4 < 2,
		.at_checkpoint = how % 4 == 1,
	};

	(void)store_open_and_use(disk, &options, how % 8 < 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory_disk *disk;
	const struct base *base;
	struct backend *be;
	uint8_t how;

	if (nr_bases == 0)
		make_stores();
	if (size < 2)
		return 0;
	base = &bases[data[0] % NR_STORES];
	how = data[1];
	data += 2;
	size -= 2;
	disk = memory_disk_rebuild(base->disk, 0, CRASH_KEEP_ALL, 0);
	be = open_backend(disk);
	for (size_t i = 0; i < size / CHANGE_BYTES && i < CHANGES_MAX; i++)
		change(disk, be, base, data + i * CHANGE_BYTES);
	backend_close(be);
	open_and_use(disk, how);
	if (how & 16) /* what the first left behind */
		open_and_use(disk, 2);
	memory_disk_put(disk);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed)
{
	struct rng rng = {seed};
	size_t nr;

	if (size < 2 + CHANGE_BYTES || rng_one_in(&rng, 8)) {
		/* mostly one change: the more, the sooner it is refused */
		nr = rng_one_in(&rng, 3) ? rng_below(&rng, CHANGES_MAX) : 1;
		size = 2 + CHANGE_BYTES * nr;
		for (size_t i = 0; size <= max_size && i < size; i++)
			data[i] = (uint8_t)rng_next(&rng);
		return size <= max_size ? size : 0;
	}
	if (rng_one_in(&rng, 2))
		return LLVMFuzzerMutate(data, size, max_size);
	nr = (size - 2) / CHANGE_BYTES;
	if (nr < CHANGES_MAX && size + CHANGE_BYTES <= max_size &&
	    rng_one_in(&rng, 3))
		nr++;
	size = 2 + CHANGE_BYTES * nr;
	for (size_t i = size - CHANGE_BYTES; i < size; i++)
		data[i] = (uint8_t)rng_next(&rng);
	return size;
}
