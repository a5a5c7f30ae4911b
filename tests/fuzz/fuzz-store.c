/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening and using a store made of hostile bytes.
 *
 * An input names one of several small stores, how to open it, and bytes to
 * change: lines of 64 bytes that are not zero are numbered, so that most
 * changes meet a structure.  In three of four inputs checksums always match
 * (fuzz-checksum.c).  Whatever the bytes say, every call returns, with a
 * sentence when it fails, and takes memory in proportion to the store.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz-checksum.h"
#include "fuzz-edit.h"
#include "fuzz.h"
#include "store-use.h"
#include "test-store.h"
#include "units.h"

#define NR_FRAMES 64u
#define NR_STORES 6u
#define LINES_MAX 16384u
/* The medium in memory, and tables and nodes of what it holds. */
#define MEMORY_MAX (NR_FRAMES * (UINT64_C(4) << TEST_SEGMENT_SHIFT))

struct line {
	uint64_t place; /* of the frame; NR_FRAMES + copy: a superblock */
	uint32_t offset;
};

static struct base {
	struct memory_disk *disk;
	struct line lines[LINES_MAX];
	size_t nr_lines;
} bases[2 * NR_STORES]; /* the second half with real checksums */
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
		      uint8_t ret[EDIT_LINE_BYTES])
{
	struct error err = ERROR_NONE;
	struct disk_superblock disk;

	if (line.place < NR_FRAMES) {
		must(backend_read(be, line.place, line.offset, ret,
				  EDIT_LINE_BYTES, 0, &err),
		     &err);
		return;
	}
	must(backend_super_read(be, (unsigned int)(line.place - NR_FRAMES),
				&disk, &err),
	     &err);
	memcpy(ret, (const uint8_t *)&disk + line.offset, EDIT_LINE_BYTES);
}

static void number_lines(struct base *base, struct backend *be, uint64_t place,
			 uint32_t length)
{
	static const uint8_t zeros[EDIT_LINE_BYTES];
	uint8_t bytes[EDIT_LINE_BYTES];

	for (uint32_t at = 0; at < length; at += EDIT_LINE_BYTES) {
		struct line line = {place, at};

		read_line(be, line, bytes);
		if (memcmp(bytes, zeros, EDIT_LINE_BYTES) != 0 &&
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
	struct store_stat stat;
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
	must(store_checkpoint(store, &err), &err);
	keep(disk);
	write_blocks(store, "v", 60, 1);
	write_blocks(store, "v", 40, 2);
	must(store_clean(store, &err), &err);
	store_stat(store, &stat);
	if (stat.forwarded_blocks == 0)
		fuzz_fail("making a store", "nothing to clean");
	keep(disk); /* with forwards */
	write_blocks(store, "v", 30, 3);
	must(store_close(store, true, &err), &err);
	keep(disk); /* with renamed blocks */
	memory_disk_put(disk);
}

/* ---- the changes ---- */

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
		   const struct base *base, const uint8_t *edit)
{
	struct line line = base->lines[edit_line(edit, base->nr_lines)];
	uint8_t old[EDIT_LINE_BYTES], bytes[EDIT_LINE_BYTES];
	uint8_t other[EDIT_LINE_BYTES];

	read_line(be, line, old);
	read_line(be, base->lines[edit_source(edit, base->nr_lines)], other);
	memcpy(bytes, old, sizeof(bytes));
	edit_apply(edit, other, bytes);
	for (unsigned int i = 0; i < EDIT_LINE_BYTES; i++) {
		uint8_t mask = old[i] ^ bytes[i];

		if (mask == 0 || is_geometry(line, i))
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

	if (nr_bases == 0) {
		make_stores();
		fuzz_real_checksums = true;
		make_stores();
	}
	if (size < 2)
		return 0;
	fuzz_real_checksums = data[0] >> 6 == 3;
	base = &bases[data[0] % NR_STORES +
		      (fuzz_real_checksums ? NR_STORES : 0)];
	how = data[1];
	fuzz_limit_memory(MEMORY_MAX);
	data += 2;
	size -= 2;
	disk = memory_disk_rebuild(base->disk, 0, CRASH_KEEP_ALL, 0);
	be = open_backend(disk);
	for (size_t i = 0; i < size / EDIT_BYTES && i < EDITS_MAX; i++)
		change(disk, be, base, data + i * EDIT_BYTES);
	backend_close(be);
	if (how & 32)
		store_repair_and_check(disk, how & 64);
	open_and_use(disk, how);
	if (how & 16) /* what the first left behind */
		open_and_use(disk, 2);
	memory_disk_put(disk);
	fuzz_limit_memory(0);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed)
{
	struct rng rng = {seed};

	return edit_mutate(data, size, max_size, 2, &rng);
}
