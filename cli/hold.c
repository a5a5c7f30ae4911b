/* SPDX-License-Identifier: BSD-2-Clause */
#include "hold.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <json-c/json.h>

#include "attachment.h"
#include "command.h"
#include "connect.h"
#include "device-size.h"
#include "options.h"
#include "output.h"

#define HOLDS_MAX 64

struct holds {
	int fds[HOLDS_MAX];
	size_t nr;
	bool dry_run;
	int lock; /* while it is held nobody attaches; negative: none */
};

/* Does @operand, vol or vol@s, name the head attached as @a? */
static bool is_head_of(const struct attachment *a, const char *operand)
{
	size_t length = strcspn(operand, "@");

	return !strchr(a->name, '@') && strlen(a->name) == length &&
	       memcmp(a->name, operand, length) == 0;
}

static int hold_one(const struct options *options, const struct attachment *a,
		    struct holds *holds)
{
	struct error err = ERROR_NONE;
	int fd;

	if (holds->nr == HOLDS_MAX) {
		print_error("more than %d devices are attached", HOLDS_MAX);
		return EXIT_FAILED;
	}
	fd = device_hold(a->device, a->read_only, &err);
	if (fd < 0) {
		print_error("%s: %s", a->name, err.message);
		return verb_exit_code(fd);
	}
	holds->fds[holds->nr++] = fd;
	if (a->is_nbd && !attachment_is_linked(a)) {
		print_error("%s: %s: its server is gone; detach it first",
			    a->name, a->device);
		return EXIT_BUSY;
	}
	/* dirty pages belong to the head as it was */
	if (!options->dry_run && fsync(fd) < 0 && a->pid) {
		print_error("%s: %s: cannot write out: %s; detach it first",
			    a->name, a->device, strerror(errno));
		return EXIT_FAILED;
	}
	return 0;
}

bool operands_name(const struct options *options, const struct attachment *a)
{
	int i;

	for (i = 0; i < options->nr_operands; i++)
		if (is_head_of(a, options->operands[i]))
			return true;
	return false;
}

/* Is @a of @name, or of a snapshot of it? */
static bool is_of(const struct attachment *a, const char *name)
{
	size_t length = strlen(name);

	return strncmp(a->name, name, length) == 0 &&
	       (a->name[length] == '\0' || a->name[length] == '@');
}

int operands_check_not_attached(const struct options *options, int step)
{
	const char *store = options_store(options);
	struct attachments all;
	int r = 0;

	if (!store)
		return EXIT_USAGE;
	attachments_load_of(store, &all);
	for (size_t i = 0; r == 0 && i < all.nr; i++)
		for (int k = 0; r == 0 && k < options->nr_operands; k += step) {
			const struct attachment *a = &all.ptr[i];

			if (!a->device[0] || !is_of(a, options->operands[k]))
				continue;
			print_error("%s: attached as %s", a->name, a->device);
			r = EXIT_BUSY;
		}
	attachments_done(&all);
	return r;
}

static void holds_release(struct holds *holds)
{
	size_t i;

	for (i = 0; i < holds->nr; i++) {
		/* only root holds devices, and for root this cannot fail */
		if (!holds->dry_run)
			(void)ioctl(holds->fds[i], BLKFLSBUF, 0);
		(void)close(holds->fds[i]); /* nothing was written */
	}
	holds->nr = 0;
	if (holds->lock >= 0)
		(void)close(holds->lock); /* nor there */
}

/*
 * Hold the devices of the volumes that the operands name (vol or vol@s).
 * Returns an exit code; EXIT_BUSY: one is in use.
 */
static int holds_take(const struct options *options, struct holds *ret)
{
	const char *store = options_store(options);
	struct attachments all;
	size_t i;
	int r = 0;

	ret->nr = 0;
	ret->dry_run = options->dry_run;
	if (!store)
		return EXIT_USAGE;
	ret->lock = -1;
	/* only root attaches, and not where it cannot have this lock */
	if (geteuid() == 0 && !options->dry_run)
		ret->lock = attachments_lock(NULL);
	attachments_load_of(store, &all);
	for (i = 0; i < all.nr && r == 0; i++)
		if (all.ptr[i].device[0] && operands_name(options, &all.ptr[i]))
			r = hold_one(options, &all.ptr[i], ret);
	attachments_done(&all);
	if (r)
		holds_release(ret);
	return r;
}

int hold_and_run(const struct options *options, const char *verb,
		 struct json_object *args, struct json_object **ret)
{
	struct holds holds;
	int r;

	*ret = NULL;
	r = holds_take(options, &holds);
	if (r) {
		json_object_put(args);
		return r;
	}
	r = connect_run(options, verb, args, ret);
	if (r == 0)
		r = device_size_follow(options);
	holds_release(&holds);
	return r;
}
