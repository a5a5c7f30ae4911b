/* SPDX-License-Identifier: BSD-2-Clause */
/* varve detach: undo an attach, also one whose server or nbdfuse has died. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "attachment.h"
#include "block-device.h"
#include "boot.h"
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

static void print_detached(const struct options *options, const char *name,
			   const char *device)
{
	struct json_object *data;

	if (options->json) {
		data = must(json_object_new_object());
		json_object_object_add(data, "device",
				       json_object_new_string(device));
		json_object_object_add(data, "name",
				       json_object_new_string(name));
		print_json(data);
	} else if (!options->quiet) {
		printf("%s%s%s  %s%s\n", device, *device ? "  " : "", name,
		       options->dry_run ? "would be detached" : "detached",
		       options->disable ? ", not attached at boot" : "");
	}
}

/* Would it be refused? */
static int try_release(const struct attachment *a, struct error *err)
{
	int fd;

	if (!a->device[0])
		return 0;
	fd = device_hold(a->device, a->read_only, err);
	if (fd < 0)
		return error_prefix(err, "%s", a->name);
	(void)close(fd); /* nothing was written */
	return 0;
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
	if (options->disable && strchr(a->name, '@'))
		return usage_error(options->command,
				   "%s: only a volume is attached at boot",
				   a->name);
	memcpy(device, a->device, sizeof(device));
	r = options->dry_run ? try_release(a, &err)
			     : attachment_release(a, &err);
	if (r < 0) {
		print_error("%s", err.message);
		return verb_exit_code(r);
	}
	if (!options->dry_run)
		attachment_forget(a);
	if (!options->dry_run && options->disable && boot_disable(a->name))
		return EXIT_PARTLY;
	print_detached(options, a->name, device);
	return 0;
}

/* Is it of @store that the unit of what is meant attaches it? */
static int check_disable(const char *operand, const char *store,
			 const struct attachments *all)
{
	const char *volume = operand;
	struct error err = ERROR_NONE;
	struct name name;

	for (size_t i = 0; i < all->nr; i++)
		if (is_meant(&all->ptr[i], operand))
			volume = all->ptr[i].name;
	if (name_parse_volume(volume, &name, &err) < 0)
		return 0; /* has no unit: refused later */
	return boot_check_store(store, volume);
}

/* What is enabled and not attached at the moment is disabled all the same. */
static int disable_one(const struct options *options, const char *store,
		       const struct attachments *all)
{
	const char *volume = options->operands[0];
	struct error err = ERROR_NONE;
	struct name name;
	size_t i;
	int r = check_disable(volume, store, all);

	if (r)
		return r;
	for (i = 0; i < all->nr; i++)
		if (is_meant(&all->ptr[i], volume))
			return -ENOENT;
	if (name_parse(volume, &name, &err) < 0 || name.snapshot[0] ||
	    name.until[0] || name.view != VIEW_NONE || !boot_is_enabled(volume))
		return -ENOENT;
	if (!options->dry_run)
		r = boot_disable(volume);
	if (r == 0)
		print_detached(options, volume, "");
	return r;
}

/* The store that is meant; NULL: whichever. */
static int choose_store(const struct options *options, const char **ret)
{
	struct store_identity identity;

	if (options->disable) {
		*ret = options_store(options);
		return *ret ? store_identify(*ret, &identity) : EXIT_USAGE;
	}
	*ret = options->store ? options->store : getenv("VARVE_STORE");
	if (*ret && **ret)
		return store_identify(*ret, &identity);
	*ret = NULL;
	return 0;
}

static int detach_run(const struct options *options)
{
	struct error err = ERROR_NONE;
	CLEANUP_CLOSE int lock = -1;
	struct attachments all;
	const char *store;
	int r;

	if (geteuid() != 0) {
		print_error("%s: only root can detach", options->operands[0]);
		return EXIT_PERMISSION;
	}
	r = choose_store(options, &store);
	if (r)
		return r;
	if (!options->dry_run) {
		lock = attachments_lock(&err);
		if (lock < 0) {
			print_error("%s", err.message);
			return verb_exit_code(lock);
		}
	}
	if (store)
		attachments_load_of(store, &all);
	else
		attachments_load(&all);
	r = options->disable ? disable_one(options, store, &all) : -ENOENT;
	if (r == -ENOENT)
		r = detach_one(options, &all);
	attachments_done(&all);
	return r;
}

const struct command command_detach = {
	.name = "detach",
	.synopsis = "[-n] [--disable] DEVICE|VOLUME|VOLUME@SNAPSHOT",
	.summary = "take an attached block device away",
	.details = "Refused while the device is mounted or open.  Works when "
		   "the store is no longer\nserved; without -s it looks at "
		   "the devices of all stores.\n\n"
		   "--disable undoes attach --enable, also when the volume is "
		   "not attached.",
	.accepts = OPTION_DRY_RUN | OPTION_DISABLE,
	.min_operands = 1,
	.max_operands = 1,
	.run = detach_run,
};
