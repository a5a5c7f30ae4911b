/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * varve import: a new volume with the content of a disk image.
 *
 * It grows under another name, and gets its own when all of it is there: so
 * a volume of that name is whole, whatever happens meanwhile.
 */
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "command.h"
#include "connect.h"
#include "image.h"
#include "interrupt.h"
#include "names.h"
#include "nbd-uri.h"
#include "options.h"
#include "output.h"
#include "private-server.h"
#include "program.h"
#include "size.h"

#define UNFINISHED ".importing"

struct import {
	const struct options *options;
	const char *store;
	const char *name;
	char unfinished[NAME_MAX_BYTES + sizeof(UNFINISHED)];
	struct image image;
	uint64_t size;
	struct progress progress;
};

static struct json_object *create_args(const struct import *im,
				       const char *name, bool dry_run)
{
	struct json_object *args = name_args(name);

	json_object_object_add(args, "size", json_object_new_uint64(im->size));
	json_object_object_add(args, "dry_run",
			       json_object_new_boolean(dry_run));
	return args;
}

/* All of it is there, durable with the new name. */
static int finish(const struct import *im)
{
	struct json_object *args = names_args_of(array_of(im->unfinished));

	json_object_object_add(args, "to", array_of(im->name));
	return image_call(im->store, "rename", args, NULL);
}

static void take_away(const struct import *im)
{
	/* why it failed has been said; why this does is said, too */
	(void)image_call(im->store, "delete",
			 names_args_of(array_of(im->unfinished)), NULL);
}

static int copy(struct import *im)
{
	char uri[NBD_URI_MAX];
	/* -n: it is there, and reads as zeros; unordered, since nothing lies
	 * in order in a volume anyway */
	const char *const args[] = {
		"qemu-img", "convert", "-p",	    "-n", "--target-is-zero",
		"-W",	    "-t",      "writeback", "-f", im->image.format,
		"-O",	    "raw",     IMAGE_PATH,  uri,  NULL};
	struct program program = {
		.args = args, .input_fd = im->image.fd, .heard_fd = 1};
	int r = image_uri(im->store, im->unfinished, uri);

	if (r)
		return r;
	r = image_copy(&program, im->image.operand, &im->progress, im->size);
	/* the image was only read: this is the store's */
	if (r == EXIT_FAILED && strstr(program.complaint, "No space left"))
		return EXIT_FULL;
	return r;
}

static int import_served(struct import *im)
{
	int r;

	/* before an hour of copying */
	r = image_call(im->store, "create", create_args(im, im->name, true),
		       NULL);
	if (r == 0)
		r = image_call(im->store, "create",
			       create_args(im, im->unfinished, false), NULL);
	if (r)
		return r;
	r = copy(im);
	if (r == 0)
		r = image_check_unchanged(&im->image);
	if (r == 0 && interrupt_signal())
		r = 128 + interrupt_signal();
	if (r == 0)
		r = finish(im);
	if (r)
		take_away(im);
	return r;
}

static void print_imported(const struct import *im)
{
	const struct options *options = im->options;
	char text[SIZE_TEXT_BYTES];

	if (options->json) {
		image_print_json(&im->image, im->name, im->size);
		return;
	}
	size_format_long(im->size, text);
	if (!options->quiet)
		printf("%s  %s  %s %s\n", im->name, text,
		       options->dry_run ? "would be imported from"
					: "imported from",
		       im->image.operand);
}

/* Long names fail as the volume's own would, at once. */
static int name_it(struct import *im)
{
	struct error err = ERROR_NONE;
	struct name name;

	im->name = im->options->operands[0];
	if (name_parse_volume(im->name, &name, &err) < 0) {
		print_error("%s", err.message);
		return EXIT_USAGE;
	}
	snprintf(im->unfinished, sizeof(im->unfinished), "%s" UNFINISHED,
		 im->name);
	return 0;
}

static int import_now(struct import *im)
{
	struct private_server server;
	int r;

	interrupt_catch();
	r = private_server_start(im->store, false, &server);
	if (r)
		return r;
	r = import_served(im);
	if (r && interrupt_signal())
		print_error("interrupted; nothing was imported");
	return private_server_stop(&server, r);
}

static int import_run(const struct options *options)
{
	struct import im = {.options = options,
			    .store = options_store(options)};
	struct store_identity identity;
	int r = im.store ? 0 : EXIT_USAGE;

	if (r == 0)
		r = progress_init(&im.progress, options);
	if (r == 0)
		r = name_it(&im);
	if (r == 0)
		r = image_init(options, &im.image);
	if (r == 0)
		r = store_identify(im.store, &identity);
	if (r == 0)
		r = image_open_file(&im.image, &im.size);
	if (r == 0)
		r = options->dry_run
			    ? connect_run(options, "create",
					  create_args(&im, im.name, true), NULL)
			    : import_now(&im);
	if (r == 0)
		print_imported(&im);
	image_close_file(&im.image);
	return r;
}

const struct command command_import = {
	.name = "import",
	.synopsis = "[-n] [--format FORMAT] VOLUME FILE",
	.summary = "make a volume of a disk image",
	.details =
		"FILE, an image or a block device, is qcow2 when its name "
		"ends so, else\nraw; where its name or its content is another "
		"format's, --format says which is\nmeant.  What is zeros there "
		"takes no space here.\n\n"
		"The volume appears when all of it is there; until then it "
		"is called\n VOLUME" UNFINISHED ", and whatever fails or "
		"interrupts the import takes\nthat away again; only what is "
		"killed leaves it, to be deleted.\nA file that is written to "
		"meanwhile is not imported.  Needs qemu-img.",
	.accepts = OPTION_DRY_RUN | OPTION_FORMAT | OPTION_PROGRESS,
	.min_operands = 2,
	.max_operands = 2,
	.run = import_run,
};
