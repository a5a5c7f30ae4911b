/* SPDX-License-Identifier: BSD-2-Clause */
/* Stores of small segments in memory, for test programs without cmocka. */
#include "test-store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

struct memory_disk *test_store_disk(uint64_t nr_frames)
{
	return test_store_disk_of(nr_frames, TEST_SEGMENT_SHIFT);
}

struct memory_disk *test_store_disk_of(uint64_t nr_frames,
				       unsigned int segment_shift)
{
	struct store_init_options options = {
		.segment_shift = segment_shift,
		.capacity = backend_frame_offset(nr_frames, segment_shift),
	};
	struct memory_disk *disk = memory_disk_create(options.capacity);
	struct backend *be = backend_memory_open(disk);
	struct error err = ERROR_NONE;

	if (store_init(be, &options, &err) < 0)
		die("store_init: %s", err.message);
	backend_close(be);
	return disk;
}

int test_store_open(struct memory_disk *disk,
		    const struct store_open_options *options,
		    struct store **ret, struct error *err)
{
	struct backend *be = backend_memory_open(disk);
	int r = store_open(be, options, ret, err);

	if (r < 0)
		backend_close(be);
	return r;
}

static void keep_first_line(void *opaque, const char *line)
{
	struct error *err = opaque;

	if (!err->code)
		(void)error_set(err, EUCLEAN, "check: %s", line);
}

bool test_store_check(struct store *store, struct error *err)
{
	struct error first = ERROR_NONE, last = ERROR_NONE;
	struct check_report report = {0};
	int r = store_check(store, keep_first_line, &first, &report, &last);
	struct store_stat st;

	store_stat(store, &st);
	if (st.nodes_touched) {
		(void)error_set(err, EUCLEAN,
				"moving blocks touched %" PRIu64 " map nodes",
				st.nodes_touched);
		return false;
	}
	if (r == 0 && !first.code && report.nr_errors == 0)
		return true;
	*err = first.code ? first : last;
	return false;
}

/* The index of --NAME, or 0; a value that should follow must be there. */
static int find_option(int argc, char **argv, const char *name, int values)
{
	for (int i = 1; i + values < argc; i++)
		if (strncmp(argv[i], "--", 2) == 0 &&
		    strcmp(argv[i] + 2, name) == 0)
			return i;
	return 0;
}

static void remove_arguments(int *argc, char **argv, int at, int nr)
{
	memmove(argv + at, argv + at + nr,
		(size_t)(*argc - at - nr + 1) * sizeof(*argv));
	*argc -= nr;
}

uint64_t test_option(int *argc, char **argv, const char *name,
		     uint64_t fallback)
{
	int i = find_option(*argc, argv, name, 1);
	uint64_t ret;
	char *end;

	if (!i)
		return fallback;
	ret = strtoull(argv[i + 1], &end, 0);
	if (end == argv[i + 1] || *end)
		die("--%s %s: not a number", name, argv[i + 1]);
	remove_arguments(argc, argv, i, 2);
	return ret;
}

bool test_flag(int *argc, char **argv, const char *name)
{
	int i = find_option(*argc, argv, name, 0);

	if (i)
		remove_arguments(argc, argv, i, 1);
	return i != 0;
}
