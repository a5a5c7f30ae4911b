/* SPDX-License-Identifier: BSD-2-Clause */
/* varve attach: a volume or snapshot as a block device of this host. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "attachment.h"
#include "boot.h"
#include "cleanup.h"
#include "command.h"
#include "connect.h"
#include "foreground.h"
#include "monitor.h"
#include "nbd-kernel.h"
#include "nbdfuse.h"
#include "options.h"
#include "output.h"
#include "size.h"

struct attach {
	const struct options *options;
	struct connection *connection;
	const char *store;
	const char *wanted; /* a device; NULL: any */
	int wanted_number;  /* of /dev/nbdN; -1: any */
	int lock;
	bool snapshot;
	uint64_t handles; /* that the server has of the attached volume */
	struct attachment attachment;
};

static int attach_failed(int r, const struct error *err)
{
	print_error("%s", err->message);
	return verb_exit_code(r);
}

/* /dev/nbdN and /dev/loopN say which way; else the kernel does. */
static int choose_way(struct attach *at)
{
	struct nbd_kernel *kernel;
	struct error err = ERROR_NONE;
	unsigned int number;
	bool has_nbd;

	at->wanted_number = -1;
	if (at->wanted && strncmp(at->wanted, "/dev/loop", 9) == 0)
		return 0;
	if (at->wanted && !nbd_parse_path(at->wanted, &number)) {
		print_error("%s: a volume is attached to /dev/nbdN or "
			    "/dev/loopN",
			    at->wanted);
		return EXIT_USAGE;
	}
	if (at->wanted)
		at->wanted_number = (int)number;
	if (at->options->dry_run)
		return 0; /* it may load a module */
	has_nbd = nbd_kernel_open(&kernel, &err) == 0;
	if (has_nbd)
		nbd_kernel_close(kernel);
	if (at->wanted && !has_nbd) {
		print_error("%s: %s; without a device it would be a loop "
			    "device",
			    at->wanted, err.message);
		return EXIT_FAILED;
	}
	at->attachment.is_nbd = has_nbd;
	at->attachment.number = -1;
	return 0;
}

/* The unit knows only the name. */
static int check_enable(const struct attach *at)
{
	const struct options *o = at->options;

	if (at->snapshot)
		return usage_error(o->command,
				   "%s: only a volume is attached at boot",
				   o->operands[0]);
	if (at->wanted || o->read_only || o->foreground)
		return usage_error(o->command, "--enable goes without %s",
				   at->wanted	  ? at->wanted
				   : o->read_only ? "--read-only"
						  : "--foreground");
	return 0;
}

static int check_operands(struct attach *at)
{
	const struct options *o = at->options;
	struct error err = ERROR_NONE;
	struct name name;

	if (name_parse(o->operands[0], &name, &err) < 0) {
		print_error("%s", err.message);
		return EXIT_USAGE;
	}
	if (name.until[0] || name.view != VIEW_NONE) {
		print_error("%s: only a volume or a snapshot is attached",
			    o->operands[0]);
		return EXIT_USAGE;
	}
	at->snapshot = name.snapshot[0] != '\0';
	at->wanted = o->nr_operands > 1 ? o->operands[1] : NULL;
	return o->enable ? check_enable(at) : 0;
}

/*
 * Is @a of use?  A snapshot may be attached again; a head may not, unless its
 * nbdfuse has died, or talks to a server that has (then this one has no
 * handle of it: nbdfuse does not reconnect).
 */
static bool is_alive(const struct attach *at, const struct attachment *a)
{
	if (a->is_nbd)
		return a->device[0];
	if (!a->pid || !a->device[0])
		return false;
	return at->snapshot || at->handles > 0;
}

/*
 * A head's device that has lost its monitor gets a new one, and is told of.
 * Who stays has it himself, instead of the one there is.
 */
static int attach_again(struct attach *at, const struct attachment *a)
{
	const struct options *o = at->options;
	struct error err = ERROR_NONE;
	int r;

	at->attachment = *a;
	if (o->enable)
		return 0;
	if (!a->is_nbd || (a->pid && !o->foreground) ||
	    (at->wanted && strcmp(at->wanted, a->device) != 0)) {
		print_error("%s: attached already as %s", a->name, a->device);
		return EXIT_BUSY;
	}
	if (o->dry_run)
		return 0;
	attachment_end_helper(a);
	r = monitor_resume(&at->attachment, at->lock, &err);
	return r < 0 ? attach_failed(r, &err) : 0;
}

static bool is_of_store(const struct attach *at, const struct attachment *a)
{
	const struct store_identity *ours = &at->attachment.identity;

	return a->identity.device == ours->device &&
	       a->identity.inode == ours->inode;
}

static int remove_remains(struct attachment *a)
{
	struct error err = ERROR_NONE;
	int r = attachment_release(a, &err);

	if (r < 0)
		return attach_failed(r, &err);
	attachment_forget(a);
	return 0;
}

/*
 * A head is attached once; what is left of a dead one is taken away.  So is
 * what is left of any /dev/nbdN, since its number may be given anew.
 */
static int check_attached(struct attach *at, bool *ret_again)
{
	struct attachments all;
	struct attachment *a;
	bool same;
	int r = 0;
	size_t i;

	*ret_again = false;
	attachments_load(&all);
	for (i = 0; i < all.nr && r == 0 && !*ret_again; i++) {
		a = &all.ptr[i];
		same = is_of_store(at, a) &&
		       strcmp(a->name, at->attachment.name) == 0;
		if ((same || a->is_nbd) && !is_alive(at, a)) {
			if (!at->options->dry_run)
				r = remove_remains(a);
		} else if (same && !at->snapshot) {
			r = attach_again(at, a);
			*ret_again = true;
		}
	}
	attachments_done(&all);
	return r;
}

/* Is it there, and how large is it? */
static int look_at_volume(struct attach *at)
{
	struct attachment *a = &at->attachment;
	struct json_object *data;
	int r;

	r = connection_call(at->connection, "show", name_args(a->name), &data);
	if (r)
		return r;
	a->size = member_number(data, "size");
	at->handles = member_number(data, "attached");
	json_object_put(data);
	return 0;
}

/* What is the server to be asked for? */
static int choose_export(struct attach *at)
{
	struct attachment *a = &at->attachment;
	struct json_object *args, *data;
	int r;

	a->read_only = at->options->read_only;
	if (!at->snapshot || a->read_only) {
		snprintf(a->export, sizeof(a->export), "%s%s", a->name,
			 at->snapshot ? "" : ":attached");
		return 0;
	}
	args = must(json_object_new_object());
	json_object_object_add(args, "snapshot",
			       json_object_new_string(a->name));
	r = connection_call(at->connection, "scratch", args, &data);
	if (r)
		return r;
	snprintf(a->scratch, sizeof(a->scratch), "%s",
		 member_string(data, "name"));
	snprintf(a->export, sizeof(a->export), "%s", a->scratch);
	json_object_put(data);
	return 0;
}

static int make_loop(struct attach *at, const char *socket, struct error *err)
{
	struct attachment *a = &at->attachment;
	int r = nbdfuse_start(a, socket, err);

	if (r == 0)
		r = attachment_mounted(a, err);
	if (r == 0)
		r = loop_make(a->mount, a->size, a->read_only, at->wanted,
			      a->device, err);
	if (r == 0)
		attachment_refresh(a); /* its pid */
	return r;
}

static int make_device(struct attach *at, const char *socket)
{
	struct attachment *a = &at->attachment;
	struct error err = ERROR_NONE;
	int r;

	r = attachment_make(a, &err);
	if (r == 0 && a->is_nbd)
		r = monitor_start(a, at->wanted_number, at->lock, &err);
	else if (r == 0)
		r = make_loop(at, socket, &err);
	if (r == 0)
		return 0;
	(void)attachment_release(a, NULL); /* the failure told is the first */
	attachment_forget(a);
	return attach_failed(r, &err);
}

static void add_text(struct json_object *data, const char *key,
		     const char *text)
{
	json_object_object_add(data, key, json_object_new_string(text));
}

static void print_attached_json(const struct attach *at, const char *unit)
{
	struct json_object *data = must(json_object_new_object());
	const struct attachment *a = &at->attachment;

	if (*a->device)
		add_text(data, "device", a->device);
	add_text(data, "name", a->name);
	json_object_object_add(data, "size", json_object_new_uint64(a->size));
	json_object_object_add(data, "read_only",
			       json_object_new_boolean(a->read_only));
	json_object_object_add(data, "scratch",
			       json_object_new_boolean(a->scratch[0] != '\0'));
	if (*unit)
		add_text(data, "unit", unit);
	print_json(data);
}

static void print_attached(const struct attach *at)
{
	const struct attachment *a = &at->attachment;
	const struct options *o = at->options;
	char text[SIZE_TEXT_BYTES], unit[BOOT_UNIT_MAX] = "";

	if (o->enable)
		boot_unit(a->name, unit);
	if (o->json) {
		print_attached_json(at, unit);
		return;
	}
	if (o->quiet)
		return;
	size_format_long(a->size, text);
	if (o->dry_run)
		printf("%s  %s  would be attached", a->name, text);
	else
		printf("%s  %s  %s  %s", a->device, a->name, text,
		       a->read_only    ? "ro"
		       : a->scratch[0] ? "rw, scratch"
				       : "rw");
	printf("%s%s\n", *unit ? ", at boot by " : "", unit);
	(void)fflush(stdout); /* who stays is heard of now */
}

static int attach_locked(struct attach *at)
{
	struct json_object *greeting = connection_greeting(at->connection);
	const char *socket = member_string(greeting, "socket");
	bool again = false;
	int r;

	if (!*socket) {
		print_error("%s: its server has no Unix socket to attach to",
			    at->store);
		return EXIT_NO_STORE;
	}
	if (member_bool(greeting, "read_only") && !at->options->read_only) {
		print_error("%s: served read-only; attach with --read-only",
			    at->attachment.name);
		return EXIT_FAILED;
	}
	snprintf(at->attachment.uuid, sizeof(at->attachment.uuid), "%s",
		 member_string(greeting, "uuid"));
	r = look_at_volume(at);
	if (r == 0)
		r = check_attached(at, &again);
	if (r || again || at->options->dry_run || at->options->enable)
		return r;
	r = choose_export(at);
	if (r == 0)
		r = make_device(at, socket);
	return r;
}

static int fill_in(struct attach *at)
{
	struct attachment *a = &at->attachment;

	snprintf(a->name, sizeof(a->name), "%s", at->options->operands[0]);
	if (!realpath(at->store, a->store)) {
		print_error("%s: %s", at->store, strerror(errno));
		return EXIT_NO_STORE;
	}
	return store_identify(at->store, &a->identity);
}

/* Its unit attaches it. */
static int attach_by_unit(struct attach *at)
{
	struct attachments all;
	char name[NAME_MAX_BYTES + 1];
	bool found = false;
	int r;

	memcpy(name, at->attachment.name, sizeof(name));
	r = boot_enable(name);
	if (r)
		return r;
	attachments_load_of(at->store, &all);
	for (size_t i = 0; i < all.nr && !found; i++) {
		found = strcmp(all.ptr[i].name, name) == 0 &&
			all.ptr[i].device[0];
		if (found)
			at->attachment = all.ptr[i];
	}
	attachments_done(&all);
	if (found)
		return 0;
	print_error("%s: not attached by its unit", name);
	return EXIT_FAILED;
}

/* With a connection to the server. */
static int attach(struct attach *at)
{
	const struct options *o = at->options;
	struct error err = ERROR_NONE;
	CLEANUP_CLOSE int lock = -1;
	int r;

	if (geteuid() != 0) {
		print_error("%s: only root can attach", o->operands[0]);
		return EXIT_PERMISSION;
	}
	r = o->enable ? boot_check_store(at->store, o->operands[0])
		      : choose_way(at);
	if (r)
		return r;
	if (!o->dry_run) {
		at->lock = lock = attachments_lock(&err);
		if (lock < 0)
			return attach_failed(lock, &err);
	}
	r = fill_in(at);
	return r ? r : attach_locked(at);
}

static int attach_run(const struct options *options)
{
	struct attach at = {.options = options};
	int r;

	r = check_operands(&at);
	if (r)
		return r;
	at.store = options_store(options);
	if (!at.store)
		return EXIT_USAGE;
	if (options->foreground)
		foreground_begin();
	r = connection_open(at.store, CONNECT_SERVED, &at.connection);
	if (r)
		return r;
	r = connection_close(at.connection, attach(&at));
	if (r == 0 && options->enable && !options->dry_run)
		r = attach_by_unit(&at);
	if (r)
		return r;
	print_attached(&at);
	return options->foreground && !options->dry_run
		       ? foreground_stay(&at.attachment)
		       : 0;
}

const struct command command_attach = {
	.name = "attach",
	.synopsis = "[-n] [--read-only] [--enable] [--foreground] "
		    "VOLUME|VOLUME@SNAPSHOT [/dev/nbdN]",
	.summary = "make a block device of a volume or snapshot",
	.details =
		"The store must be served.  A snapshot is attached as a "
		"private writable view, so\nthat a file system can replay its "
		"journal; what is written there is dropped at\ndetach.  "
		"--read-only attaches the bare snapshot.\n\n"
		"The device is the kernel's NBD client, which lets requests "
		"wait while the store's\nserver is started anew, for up to two "
		"minutes.  Where the kernel has none, or when\n/dev/loopN is "
		"named, it is a loop device behind nbdfuse, which does not.\n\n"
		"--enable is for volumes of varve.conf's store.  systemd then "
		"has a unit,\nvarve-attach@VOLUME.service, that attaches the "
		"volume now and at boot, and detaches\nit when the host is "
		"shut down.",
	.accepts = OPTION_DRY_RUN | OPTION_READ_ONLY | OPTION_ATTACH,
	.min_operands = 1,
	.max_operands = 2,
	.run = attach_run,
};
