/* SPDX-License-Identifier: BSD-2-Clause */
/* varve init: make an empty store in a new file or on a block device. */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <json-c/json.h>

#include "backend-file.h"
#include "cleanup.h"
#include "command.h"
#include "engine.h"
#include "options.h"
#include "output.h"
#include "size.h"
#include "units.h"

/* Of the free space of the file system, when no size is given. */
#define DEFAULT_SHARE_PERCENT 90

static bool is_device(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

/* What is not chosen is no larger than a store can be. */
static uint64_t at_most(uint64_t bytes)
{
	uint64_t most = store_capacity_max();

	return bytes < most ? bytes : most;
}

/* A round share of what is free where @path will lie. */
static int default_capacity(const char *path, uint64_t *ret)
{
	CLEANUP_FREE char *copy = must(strdup(path));
	uint64_t unit = UINT64_C(1) << SEGMENT_SHIFT_MAX, bytes;
	struct statvfs fs;

	if (statvfs(dirname(copy), &fs) < 0) {
		print_error("%s: %s", path, strerror(errno));
		return errno == EACCES ? EXIT_PERMISSION : EXIT_NO_STORE;
	}
	bytes = (uint64_t)fs.f_bavail * fs.f_frsize / 100 *
		DEFAULT_SHARE_PERCENT;
	while (bytes / unit >= 512 && unit < UINT64_C(1) << 30)
		unit <<= 1;
	*ret = at_most(bytes / unit * unit);
	return 0;
}

static int choose_capacity(const struct options *options, const char *path,
			   uint64_t *ret)
{
	struct error err = ERROR_NONE;

	if (options->size) {
		if (size_parse(options->size, ret, &err) == 0)
			return 0;
		print_error("%s", err.message);
		return EXIT_USAGE;
	}
	*ret = 0; /* a device whole */
	return is_device(path) ? 0 : default_capacity(path, ret);
}

/* @chosen: by --size, else what the place has room for. */
static int check_capacity(const char *path, uint64_t capacity, bool chosen)
{
	uint64_t min = store_capacity_min();
	char min_text[SIZE_TEXT_BYTES], text[SIZE_TEXT_BYTES];

	size_format(capacity, text);
	size_format(min, min_text);
	if (capacity > store_capacity_max()) {
		print_error("%s: --size %s is more than a store can be: use "
			    "--size %lluG or less",
			    path, text,
			    (unsigned long long)(store_capacity_max() >> 30));
		return EXIT_USAGE;
	}
	if (capacity >= min)
		return 0;
	if (chosen)
		print_error("%s: --size %s is too small for a store: use "
			    "--size %s or more",
			    path, text, min_text);
	else
		print_error("%s: there is room for %s only, and the "
			    "smallest store is %s",
			    path, text, min_text);
	return chosen ? EXIT_USAGE : EXIT_FULL;
}

static int init_exit(int r, const struct error *err)
{
	print_error("%s", err->message);
	if (r == -ENOENT)
		return EXIT_NO_STORE;
	if (r == -EWOULDBLOCK)
		return EXIT_LOCKED;
	return verb_exit_code(r);
}

/* A store made by halves must not be left lying about. */
static int init_backend(struct backend *be, const char *path, uint64_t capacity)
{
	struct store_init_options init = {.capacity = capacity};
	struct error err = ERROR_NONE;
	int r = store_init(be, &init, &err);

	backend_close(be);
	if (r == 0)
		return 0;
	if (!is_device(path))
		(void)unlink(path); /* the failure told is the first */
	(void)error_prefix(&err, "%s", path);
	return init_exit(r, &err);
}

static void print_made(const struct options *options, const char *path,
		       uint64_t capacity)
{
	char text[SIZE_TEXT_BYTES];
	struct json_object *data;

	if (options->json) {
		data = must(json_object_new_object());
		json_object_object_add(data, "store",
				       json_object_new_string(path));
		json_object_object_add(data, "capacity",
				       json_object_new_uint64(capacity));
		print_json(data);
		return;
	}
	size_format_long(capacity, text);
	if (!options->quiet)
		printf("%s  %s%s\n", path, text,
		       options->size || is_device(path)
			       ? ""
			       : "  (most of what is free; --size chooses)");
}

static int init_run(const struct options *options)
{
	struct error err = ERROR_NONE;
	struct backend *be;
	uint64_t capacity;
	const char *path;
	int r;

	path = options->nr_operands ? options->operands[0]
				    : options_store(options);
	if (!path)
		return EXIT_USAGE;
	r = choose_capacity(options, path, &capacity);
	if (r)
		return r;
	/* a device says its size only when it is open */
	if (capacity)
		r = check_capacity(path, capacity, options->size != NULL);
	if (r)
		return r;
	r = backend_file_create(path, capacity, false, &be, &capacity, &err);
	if (r < 0)
		return init_exit(r, &err);
	if (is_device(path) && !options->size)
		capacity = at_most(capacity);
	if (is_device(path))
		r = check_capacity(path, capacity, options->size != NULL);
	if (r) {
		backend_close(be);
		return r;
	}
	r = init_backend(be, path, capacity);
	if (r)
		return r;
	print_made(options, path, capacity);
	return 0;
}

const struct command command_init = {
	.name = "init",
	.synopsis = "[--size SIZE] [STORE]",
	.summary = "make a store, in a new file or on a block device",
	.details =
		"A file is sparse: it takes space as volumes are written, up "
		"to SIZE.  Without\n--size that is most of what its file "
		"system has free; a device is used whole.  The "
		"smallest store is 33M.",
	.accepts = OPTION_SIZE,
	.max_operands = 1,
	.run = init_run,
};
