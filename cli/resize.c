/* SPDX-License-Identifier: BSD-2-Clause */
/* varve resize: another size for a volume, and for its device. */
#include <stdio.h>

#include <json-c/json.h>

#include "command.h"
#include "connect.h"
#include "device-size.h"
#include "options.h"
#include "output.h"
#include "size.h"

static void print_resized(const struct options *options,
			  struct json_object *data)
{
	uint64_t lost = member_number(data, "lost");
	char was[SIZE_TEXT_BYTES], now[SIZE_TEXT_BYTES], text[SIZE_TEXT_BYTES];

	size_format_long(member_number(data, "was"), was);
	size_format_long(member_number(data, "size"), now);
	printf("%s  %s%s, was %s\n", member_string(data, "name"),
	       options->dry_run ? "would be " : "", now, was);
	if (!member_is_known(data, "lost") ||
	    member_number(data, "size") >= member_number(data, "was"))
		return;
	size_format_long(lost, text);
	printf("would lose %s of data beyond the new end\n", text);
}

static struct json_object *resize_args(const struct options *options,
				       uint64_t size)
{
	struct json_object *args = must(json_object_new_object());

	json_object_object_add(args, "name",
			       json_object_new_string(options->operands[0]));
	json_object_object_add(args, "size", json_object_new_uint64(size));
	json_object_object_add(args, "shrink",
			       json_object_new_boolean(options->shrink));
	json_object_object_add(args, "dry_run",
			       json_object_new_boolean(options->dry_run));
	return args;
}

static int resize_run(const struct options *options)
{
	struct error err = ERROR_NONE;
	struct json_object *data;
	uint64_t size;
	int r;

	if (size_parse(options->operands[1], &size, &err) < 0) {
		print_error("%s", err.message);
		return EXIT_USAGE;
	}
	r = connect_run(options, "resize", resize_args(options, size), &data);
	if (r)
		return r;
	if (options->json)
		print_json(json_object_get(data));
	else if (!options->quiet)
		print_resized(options, data);
	json_object_put(data);
	return device_size_follow(options);
}

const struct command command_resize = {
	.name = "resize",
	.synopsis = "[-n] [--shrink] VOLUME SIZE",
	.summary = "change the size of a volume",
	.details =
		"A volume grows while it is used.  A device that it is "
		"attached as grows with it,\nand then its file system can be "
		"grown (resize2fs, xfs_growfs); other NBD clients\nsee the "
		"new size when they connect again.\n\n"
		"A volume shrinks only with --shrink, and only while nobody "
		"has it open: what lies\nbeyond the new end is lost.  Shrink "
		"the file system in it first; -n says how much\ndata would "
		"go.  Snapshots keep their size.",
	.accepts = OPTION_DRY_RUN | OPTION_SHRINK,
	.min_operands = 2,
	.max_operands = 2,
	.run = resize_run,
};
