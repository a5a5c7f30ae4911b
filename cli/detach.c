/* SPDX-License-Identifier: BSD-2-Clause */
/* varve detach: undo an attach, also one whose server or nbdfuse has died. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "attachment.h"
#include "cleanup.h"
#include "command.h"
#include "connect.h"
#include "options.h"
#include "output.h"

static bool is_meant(const struct attachment *a, const char *operand)
{
	if (strncmp(operand, "/dev/", 5) == 0)
		return strcmp(a->device, operand) == 0;
	return strcmp(a->name, operand) == 0;
}

/* Exactly one must be meant. */
static int find_one(const struct attachments *all, const char *operand,
		    struct attachment **ret)
{
	size_t i;

	*ret = NULL;
	for (i = 0; i < all->nr; i++) {
		if (!is_meant(&all->ptr[i], operand))
			continue;
		if (*ret) {
			print_error("%s: attached more than once; name the "
				    "device",
				    operand);
			return EXIT_USAGE;
		}
		*ret = &all->ptr[i];
	}
	if (*ret)
		return 0;
	print_error("%s: not attached", operand);
	return EXIT_NOT_FOUND;
}

static void print_detached(const struct options *options,
			   const struct attachment *a, const char *device)
{
	struct json_object *data;

	if (options->json) {
		data = must(json_object_new_object());
		json_object_object_add(data, "device",
				       json_object_new_string(device));
		json_object_object_add(data, "name",
				       json_object_new_string(a->name));
		print_json(data);
	} else if (!options->quiet) {
		printf("%s%s%s  detached\n", device, *device ? "  " : "",
		       a->name);
	}
}

static int detach_one(const struct options *options, struct attachments *all)
{
	struct error err = ERROR_NONE;
	char device[DEVICE_PATH_MAX];
	struct attachment *a;
	int r;

	r = find_one(all, options->operands[0], &a);
	if (r)
		return r;
	memcpy(device, a->device, sizeof(device));
	r = attachment_release(a, &err);
	if (r < 0) {
		print_error("%s", err.message);
		return verb_exit_code(r);
	}
	attachment_forget(a);
	print_detached(options, a, device);
	return 0;
}

static int detach_run(const struct options *options)
{
	const char *store =
		options->store ? options->store : getenv("VARVE_STORE");
	struct error err = ERROR_NONE;
	CLEANUP_CLOSE int lock = -1;
	struct store_identity identity;
	struct attachments all;
	int r;

	if (geteuid() != 0) {
		print_error("%s: only root can detach", options->operands[0]);
		return EXIT_PERMISSION;
	}
	if (store && *store) {
		r = store_identify(store, &identity);
		if (r)
			return r;
	}
	lock = attachments_lock(&err);
	if (lock < 0) {
		print_error("%s", err.message);
		return verb_exit_code(lock);
	}
	if (store && *store)
		attachments_load_of(store, &all);
	else
		attachments_load(&all);
	r = detach_one(options, &all);
	attachments_done(&all);
	return r;
}

const struct command command_detach = {
	.name = "detach",
	.synopsis = "DEVICE|VOLUME|VOLUME@SNAPSHOT",
	.summary = "take an attached block device away",
	.details = "Refused while the device is mounted or open.  Works when "
		   "the store is no longer\nserved; without -s it looks at "
		   "the devices of all stores.",
	.min_operands = 1,
	.max_operands = 1,
	.run = detach_run,
};
