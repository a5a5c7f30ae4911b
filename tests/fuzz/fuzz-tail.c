/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A tail file made of hostile bytes: its header and the batches, sealed and
 * not, that a recovery takes from it.
 *
 * A store whose process died left one.  An input says how to open the store
 * and what to change in the file.  Checksums always match (fuzz-checksum.c).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz-edit.h"
#include "fuzz.h"
#include "store-use.h"
#include "test-store.h"

#define NR_FRAMES 64u
#define HEAD_BYTES 1u
/* The medium in memory, and tables and nodes of what it holds. */
#define MEMORY_MAX (NR_FRAMES * (UINT64_C(4) << TEST_SEGMENT_SHIFT))

static char dir[] = "/dev/shm/varve-fuzz-XXXXXX";
static const char *const dirs[] = {dir, NULL};

static struct {
	struct memory_disk *disk;
	char name[512]; /* of the tail file */
	uint8_t *bytes;
	size_t size;
	size_t *lines; /* offsets of those that are not zero */
	size_t nr_lines;
} base;

static void must(int r, const char *why)
{
	if (r < 0)
		fuzz_fail("making a tail file", why);
}

/* ---- the directory ---- */

static void each_file(void (*fn)(const char *path))
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	char path[512];

	if (!d)
		fuzz_fail(dir, strerror(errno));
	while ((entry = readdir(d))) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (entry->d_name[0] != '.')
			fn(path);
	}
	(void)closedir(d);
}

static void remove_file(const char *path)
{
	(void)unlink(path);
}

static void keep_name(const char *path)
{
	(void)snprintf(base.name, sizeof(base.name), "%s", path);
}

static void remove_dir(void)
{
	each_file(remove_file);
	(void)rmdir(dir);
}

static void read_tail(void)
{
	int fd = open(base.name, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		fuzz_fail(base.name, strerror(errno));
	base.size = (size_t)st.st_size;
	base.bytes = malloc(base.size);
	if (!base.bytes ||
	    read(fd, base.bytes, base.size) != (ssize_t)base.size)
		fuzz_fail(base.name, "cannot be read");
	(void)close(fd);
}

static void write_tail(const uint8_t *bytes)
{
	int fd =
		open(base.name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, bytes, base.size) != (ssize_t)base.size)
		fuzz_fail(base.name, strerror(errno));
	(void)close(fd);
}

static void number_lines(void)
{
	static const uint8_t zeros[EDIT_LINE_BYTES];

	base.lines = calloc(base.size / EDIT_LINE_BYTES, sizeof(*base.lines));
	if (!base.lines)
		fuzz_fail("calloc", "no memory");
	for (size_t at = 0; at < base.size; at += EDIT_LINE_BYTES)
		if (memcmp(base.bytes + at, zeros, sizeof(zeros)) != 0)
			base.lines[base.nr_lines++] = at;
}

/* ---- the store ---- */

/* Blocks that are zeros but for their first bytes: few lines are data. */
static void write_blocks(struct store *store, uint64_t first, uint64_t nr)
{
	static const uint8_t block[4096] = "data";
	struct error err = ERROR_NONE;
	struct volume_handle *handle;

	must(volume_open(store, "v", VOLUME_OPEN_WRITE, &handle, &err),
	     err.message);
	for (uint64_t i = first; i < first + nr; i++)
		must(volume_write(handle, block, sizeof(block), i * 4096, false,
				  &err),
		     err.message);
	must(volume_trim(handle, 8192, first * 4096, false, &err), err.message);
	volume_close(handle);
}

/* The file as it is has something that is not on the disk. */
static void check_store(void)
{
	struct memory_disk *disk =
		memory_disk_rebuild(base.disk, 0, CRASH_KEEP_ALL, 0);
	struct store_open_options options = {.read_only = true,
					     .tail_dirs = dirs};
	struct error err = ERROR_NONE;
	struct store_stat stat;
	struct store *store;

	must(test_store_open(disk, &options, &store, &err), err.message);
	store_stat(store, &stat);
	if (stat.recovered_tail_batches == 0)
		fuzz_fail(base.name, "nothing is recovered from it");
	(void)store_close(store, false, NULL);
	memory_disk_put(disk);
}

/* Batches in every state: written, sealed and open. */
static void make_store(void)
{
	static const char *const snapshots[] = {"v@1"};
	struct memory_disk *disk = test_store_disk(NR_FRAMES);
	struct store_open_options options = {.nr_buffers = 4,
					     .tail_dirs = dirs};
	struct error err = ERROR_NONE;
	struct store *store;

	if (!mkdtemp(dir) || atexit(remove_dir) != 0)
		fuzz_fail(dir, strerror(errno));
	must(test_store_open(disk, &options, &store, &err), err.message);
	must(store_create(store, "v", 1 << 30, &err), err.message);
	write_blocks(store, 0, 20);
	must(store_snapshot(store, snapshots, 1, "a note", &err), err.message);
	write_blocks(store, 10, 20);
	(void)store_close(store, false, NULL); /* dead in any case */
	memory_disk_record(disk);
	base.disk = disk;
	each_file(keep_name);
	read_tail();
	number_lines();
	check_store();
}

/* ---- the target ---- */

static void change(uint8_t *bytes, const uint8_t *edit)
{
	uint8_t *line = bytes + base.lines[edit_line(edit, base.nr_lines)];
	const uint8_t *other =
		base.bytes + base.lines[edit_source(edit, base.nr_lines)];

	edit_apply(edit, other, line);
}

static void open_and_use(uint8_t how)
{
	struct store_open_options options = {
		.nr_buffers = 4,
		.tail_dirs = dirs,
		.read_only = how % 4 == 0,
	};
	struct memory_disk *disk =
		memory_disk_rebuild(base.disk, 0, CRASH_KEEP_ALL, 0);

	(void)store_open_and_use(disk, &options, how % 8 < 4);
	if (how & 16) /* what the first left behind */
		(void)store_open_and_use(disk, &options, false);
	memory_disk_put(disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *bytes;

	if (!base.disk)
		make_store();
	if (size < HEAD_BYTES)
		return 0;
	bytes = fuzz_exact(base.bytes, base.size);
	for (size_t i = 0;
	     i < (size - HEAD_BYTES) / EDIT_BYTES && i < EDITS_MAX; i++)
		change(bytes, data + HEAD_BYTES + i * EDIT_BYTES);
	write_tail(bytes);
	free(bytes);
	fuzz_limit_memory(MEMORY_MAX);
	open_and_use(data[0]);
	fuzz_limit_memory(0);
	each_file(remove_file);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed)
{
	struct rng rng = {seed};

	return edit_mutate(data, size, max_size, HEAD_BYTES, &rng);
}
