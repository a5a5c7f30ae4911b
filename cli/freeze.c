/* SPDX-License-Identifier: BSD-2-Clause */
#include "freeze.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "attachment.h"
#include "command.h"
#include "connect.h"
#include "duration.h"
#include "guardian.h"
#include "mounts.h"
#include "options.h"
#include "output.h"

#define LIMIT_MS 10000

/* One of the volumes. */
struct subject {
	const char *name; /* vol@s */
	char volume[NAME_MAX_BYTES + 1];
	char device[DEVICE_PATH_MAX]; /* "": not attached */
	int hold;		      /* of a device that is not mounted; -1 */
	struct filesystems filesystems;
	/* one for each; not started: an earlier volume has one for it */
	struct guardian *guardians;
};

struct freeze {
	const struct options *options;
	int64_t limit_ms;
	struct subject *subjects;
	size_t nr;
	struct guardian commands; /* of --freeze-cmd */
	int64_t frozen_ms;	  /* the longest */
};

bool freeze_is_wanted(const struct options *options)
{
	return options->freeze || options->freeze_cmd || options->thaw_cmd ||
	       options->freeze_timeout;
}

static int failed(const struct subject *s, int r, const struct error *err)
{
	if (s)
		print_error("%s: %s", s->volume, err->message);
	else
		print_error("%s", err->message);
	return r == -EBUSY		     ? EXIT_BUSY
	       : r == -EPERM || r == -EACCES ? EXIT_PERMISSION
					     : EXIT_FAILED;
}

static int check_options(struct freeze *f)
{
	const struct options *o = f->options;
	struct error err = ERROR_NONE;

	f->limit_ms = LIMIT_MS;
	if (!o->freeze_cmd != !o->thaw_cmd)
		return usage_error(o->command,
				   "--freeze-cmd and --thaw-cmd need each "
				   "other");
	if (!o->freeze && !o->freeze_cmd)
		return usage_error(o->command,
				   "--freeze-timeout needs --freeze or "
				   "--freeze-cmd");
	if (o->freeze_timeout &&
	    duration_parse(o->freeze_timeout, &f->limit_ms, &err) < 0)
		return usage_error(o->command, "--freeze-timeout: %s",
				   err.message);
	return 0;
}

/* ---- what is there to be frozen ---- */

/*
 * Attached, but not mounted: there is nothing to freeze if nobody uses it, and
 * while we hold it nobody can begin to.
 */
static int hold_device(struct subject *s, const struct attachment *a)
{
	struct error err = ERROR_NONE;
	int r;

	r = device_hold(a->device, a->read_only, &err);
	if (r < 0) {
		print_error("%s: cannot be frozen: %s", s->volume, err.message);
		return verb_exit_code(r);
	}
	s->hold = r;
	if (fsync(s->hold) == 0)
		return 0;
	print_error("%s: %s: cannot write out: %s", s->volume, a->device,
		    strerror(errno));
	return EXIT_FAILED;
}

/* A file system may lie on several volumes. */
static bool is_guarded(const struct freeze *f, const struct filesystem *fs)
{
	const struct subject *s;
	size_t i;

	for (s = f->subjects; s < f->subjects + f->nr; s++)
		for (i = 0; s->guardians && i < s->filesystems.nr; i++)
			if (s->guardians[i].pid &&
			    s->filesystems.ptr[i].major == fs->major &&
			    s->filesystems.ptr[i].minor == fs->minor)
				return true;
	return false;
}

static int start_guardians(const struct freeze *f, struct subject *s)
{
	struct error err = ERROR_NONE;
	struct frozen what = {.limit_ms = f->limit_ms};
	size_t i;
	int r;

	s->guardians = must(calloc(s->filesystems.nr, sizeof(*s->guardians)));
	for (i = 0; i < s->filesystems.nr; i++) {
		what.fd = s->filesystems.ptr[i].fd;
		if (is_guarded(f, &s->filesystems.ptr[i]))
			continue;
		r = guardian_start(&what, &s->guardians[i], &err);
		if (r < 0)
			return failed(s, r, &err);
	}
	return 0;
}

static int look_at_device(const struct freeze *f, struct subject *s,
			  const struct attachment *a)
{
	struct error err = ERROR_NONE;
	int r;

	memcpy(s->device, a->device, sizeof(s->device));
	r = filesystems_open(a->device, &s->filesystems, &err);
	if (r < 0)
		return failed(s, r, &err);
	if (s->filesystems.nr == 0)
		return hold_device(s, a);
	if (geteuid() != 0) {
		print_error("%s: only root can freeze a file system",
			    s->volume);
		return EXIT_PERMISSION;
	}
	return f->options->dry_run ? 0 : start_guardians(f, s);
}

static int look_at_subject(const struct freeze *f, struct subject *s,
			   const struct attachments *all)
{
	size_t i;
	int r = 0;

	for (i = 0; i < all->nr && r == 0; i++)
		if (strcmp(all->ptr[i].name, s->volume) == 0 &&
		    all->ptr[i].device[0])
			r = look_at_device(f, s, &all->ptr[i]);
	return r;
}

static int start_commands(struct freeze *f)
{
	struct frozen what = {
		.fd = -1,
		.freeze_command = f->options->freeze_cmd,
		.thaw_command = f->options->thaw_cmd,
		.limit_ms = f->limit_ms,
	};
	struct error err = ERROR_NONE;
	int r;

	r = guardian_start(&what, &f->commands, &err);
	return r < 0 ? failed(NULL, r, &err) : 0;
}

/* Before the store is opened: guardians take its descriptors with them. */
static int prepare(struct freeze *f, const char *store,
		   struct json_object *names)
{
	struct attachments all = {0};
	struct subject *s;
	size_t i;
	int r = 0;

	f->nr = json_object_array_length(names);
	f->subjects = must(calloc(f->nr, sizeof(*f->subjects)));
	for (i = 0; i < f->nr; i++) {
		s = &f->subjects[i];
		s->hold = -1;
		s->name = json_object_get_string(
			json_object_array_get_idx(names, i));
		snprintf(s->volume, sizeof(s->volume), "%.*s",
			 (int)strcspn(s->name, "@"), s->name);
	}
	if (f->options->freeze)
		attachments_load_of(store, &all);
	for (i = 0; i < f->nr && r == 0; i++)
		r = look_at_subject(f, &f->subjects[i], &all);
	attachments_done(&all);
	if (r == 0 && f->options->freeze_cmd && !f->options->dry_run)
		r = start_commands(f);
	return r;
}

/* Who else writes to it?  What is mounted is asked of the right server. */
static int check_users(const struct freeze *f, const struct subject *s,
		       struct connection *c)
{
	struct json_object *data;
	int r;

	r = connection_call(c, "show", name_args(s->volume), &data);
	if (r)
		return r;
	if (s->filesystems.nr > 0 && member_number(data, "attached") == 0) {
		print_error("%s: cannot be frozen: %s has lost its server",
			    s->volume, s->device);
		r = EXIT_FAILED;
	} else if (member_number(data, "writers") > 0 &&
		   !f->options->freeze_cmd) {
		print_error("%s: cannot be frozen: an NBD client has it open "
			    "for writing (see --freeze-cmd)",
			    s->volume);
		r = EXIT_BUSY;
	}
	json_object_put(data);
	return r;
}

static int check_subjects(const struct freeze *f, struct connection *c)
{
	size_t i;
	int r = 0;

	for (i = 0; i < f->nr && r == 0 && f->options->freeze; i++)
		r = check_users(f, &f->subjects[i], c);
	return r;
}

/* ---- frozen ---- */

static int freeze_commands(struct freeze *f)
{
	struct error err = ERROR_NONE;
	int r;

	if (!f->commands.pid)
		return 0;
	guardian_freeze(&f->commands);
	r = guardian_wait_frozen(&f->commands, &err);
	return r < 0 ? failed(NULL, r, &err) : 0;
}

/* Most of what is dirty goes out before anybody has to wait for it. */
static void write_out(const struct subject *s)
{
	size_t i;

	for (i = 0; i < s->filesystems.nr; i++)
		(void)syncfs(s->filesystems.ptr[i].fd); /* FIFREEZE tells */
}

static int wait_frozen(struct subject *s)
{
	struct error err = ERROR_NONE;
	size_t i;
	int r;

	for (i = 0; i < s->filesystems.nr; i++) {
		if (!s->guardians[i].pid)
			continue;
		r = guardian_wait_frozen(&s->guardians[i], &err);
		if (r < 0) {
			(void)error_prefix(&err, "%s",
					   s->filesystems.ptr[i].point);
			return failed(s, r, &err);
		}
	}
	return 0;
}

static int freeze_all(struct freeze *f)
{
	size_t i, j;
	int r;

	r = freeze_commands(f);
	for (i = 0; i < f->nr && r == 0; i++)
		write_out(&f->subjects[i]);
	for (i = 0; i < f->nr && r == 0; i++)
		for (j = 0; j < f->subjects[i].filesystems.nr; j++)
			guardian_freeze(&f->subjects[i].guardians[j]);
	for (i = 0; i < f->nr && r == 0; i++)
		r = wait_frozen(&f->subjects[i]);
	return r;
}

static int thaw_one(struct freeze *f, struct subject *s, size_t i)
{
	struct error err = ERROR_NONE;
	int64_t ms = 0;
	int r;

	if (!s->guardians[i].pid)
		return 0;
	r = guardian_thaw(&s->guardians[i], &ms, &err);
	if (ms > f->frozen_ms)
		f->frozen_ms = ms;
	if (r == 0)
		return 0;
	(void)error_prefix(&err, "%s", s->filesystems.ptr[i].point);
	return failed(s, r, &err);
}

/* All of them, and the first failure. */
static int thaw_all(struct freeze *f)
{
	struct error err = ERROR_NONE;
	int r = 0, one;
	size_t i, j;

	for (i = 0; i < f->nr; i++)
		for (j = 0; j < f->subjects[i].filesystems.nr; j++) {
			one = thaw_one(f, &f->subjects[i], j);
			r = r ? r : one;
		}
	if (!f->commands.pid)
		return r;
	one = guardian_thaw(&f->commands, &f->frozen_ms, &err);
	if (one < 0)
		one = failed(NULL, one, &err);
	return r ? r : one;
}

/* Now at the latest all is thawed. */
static void end_guardians(struct freeze *f)
{
	struct error err = ERROR_NONE;
	struct subject *s;
	size_t i, j;

	for (i = 0; i < f->nr; i++) {
		s = &f->subjects[i];
		for (j = 0; s->guardians && j < s->filesystems.nr; j++) {
			if (guardian_end(&s->guardians[j], &err) == 0)
				continue;
			(void)error_prefix(&err, "%s",
					   s->filesystems.ptr[j].point);
			(void)failed(s, -ECHILD, &err); /* is not the first */
		}
	}
	if (guardian_end(&f->commands, &err) < 0)
		(void)failed(NULL, -ECHILD, &err); /* is not the first */
}

static void freeze_done(struct freeze *f)
{
	size_t i;

	end_guardians(f);
	for (i = 0; i < f->nr; i++) {
		free(f->subjects[i].guardians);
		filesystems_close(&f->subjects[i].filesystems);
		if (f->subjects[i].hold >= 0)
			(void)close(f->subjects[i].hold); /* not written */
	}
	free(f->subjects);
}

/* ---- the snapshot ---- */

static struct json_object *mount_points(const struct subject *s)
{
	struct json_object *all = must(json_object_new_array());
	size_t i;

	for (i = 0; i < s->filesystems.nr; i++)
		json_object_array_add(
			all,
			json_object_new_string(s->filesystems.ptr[i].point));
	return all;
}

static void add_frozen(const struct freeze *f, struct json_object *data)
{
	struct json_object *all = must(json_object_new_array()), *one;
	const struct options *o = f->options;
	const struct subject *s;

	for (s = f->subjects; s < f->subjects + f->nr; s++) {
		one = must(json_object_new_object());
		json_object_object_add(one, "name",
				       json_object_new_string(s->name));
		if (o->freeze)
			json_object_object_add(one, "mounted", mount_points(s));
		if (!o->dry_run && (s->filesystems.nr > 0 || o->freeze_cmd))
			json_object_object_add(
				one, "ms", json_object_new_int64(f->frozen_ms));
		json_object_array_add(all, one);
	}
	json_object_object_add(data, "frozen", all);
}

/* They are not what was asked for. */
static void drop_snapshots(const struct freeze *f, struct connection *c,
			   struct json_object *names)
{
	if (connection_call(c, "delete", names_args_of(json_object_get(names)),
			    NULL))
		print_error("%s: was taken, though not all was frozen",
			    f->subjects[0].name);
}

static int snapshot_frozen(struct freeze *f, struct connection *c,
			   struct json_object *args, struct json_object **ret)
{
	struct json_object *names;
	int r, thawed;

	r = freeze_all(f);
	if (r)
		return r;
	r = connection_call(c, "snapshot", json_object_get(args), ret);
	thawed = thaw_all(f);
	if (r || !thawed)
		return r;
	if (json_object_object_get_ex(args, "names", &names))
		drop_snapshots(f, c, names);
	json_object_put(*ret);
	*ret = NULL;
	return thawed;
}

/*
 * What we have to say may go to a file on what is frozen, and so it waits
 * until all is thawed.
 */
static int snapshot_silently(struct freeze *f, struct connection *c,
			     struct json_object *args, struct json_object **ret)
{
	static char said[16384];
	int r;

	(void)fflush(stdout);
	(void)setvbuf(stderr, said, _IOFBF, sizeof(said));
	r = snapshot_frozen(f, c, args, ret);
	end_guardians(f);
	(void)fflush(stderr);
	(void)setvbuf(stderr, NULL, _IONBF, 0);
	return r;
}

/* The same checks as the verb's own: what cannot be is not begun. */
static int dry_run(struct connection *c, struct json_object *args,
		   struct json_object **ret)
{
	struct json_object *copy = NULL;

	(void)json_object_deep_copy(args, &copy, NULL); /* NULL: no memory */
	json_object_object_add(must(copy), "dry_run",
			       json_object_new_boolean(true));
	return connection_call(c, "snapshot", copy, ret);
}

static int connected(struct freeze *f, struct connection *c,
		     struct json_object *args, struct json_object **ret)
{
	int r;

	r = dry_run(c, args, ret);
	if (r == 0)
		r = check_subjects(f, c);
	if (r || f->options->dry_run)
		return r;
	json_object_put(*ret);
	*ret = NULL;
	return snapshot_silently(f, c, args, ret);
}

static int prepared(struct freeze *f, const char *store,
		    struct json_object *args, struct json_object **ret)
{
	unsigned int flags =
		(f->options->dry_run ? CONNECT_READ : CONNECT_WRITE) |
		(f->options->verbose ? CONNECT_VERBOSE : 0);
	struct connection *c = NULL;
	int r;

	r = connection_open(store, flags, &c);
	if (r == 0)
		r = connected(f, c, args, ret);
	return connection_close(c, r);
}

int freeze_and_snapshot(const struct options *options, struct json_object *args,
			struct json_object **ret)
{
	struct freeze f = {.options = options};
	const char *store = options_store(options);
	struct json_object *names;
	int r = EXIT_USAGE;

	*ret = NULL;
	if (store)
		r = check_options(&f);
	if (r == 0 && json_object_object_get_ex(args, "names", &names))
		r = prepare(&f, store, names);
	if (r == 0)
		r = prepared(&f, store, args, ret);
	if (r == 0)
		add_frozen(&f, *ret);
	freeze_done(&f);
	json_object_put(args);
	if (r) {
		json_object_put(*ret);
		*ret = NULL;
	}
	return r;
}

/* ---- what is said of it ---- */

static void print_one(struct json_object *one, bool dry_run)
{
	struct json_object *paths = NULL;
	size_t i, nr = 0;

	printf("%s%s", member_string(one, "name"),
	       dry_run ? "  would be taken" : "");
	if (json_object_object_get_ex(one, "mounted", &paths))
		nr = json_object_array_length(paths);
	if (member_is_known(one, "ms"))
		printf("  frozen %llu ms",
		       (unsigned long long)member_number(one, "ms"));
	else if (paths && nr == 0)
		printf("  not mounted");
	for (i = 0; i < nr && dry_run; i++)
		printf("%s%s", i ? ", " : "  frozen: ",
		       json_object_get_string(
			       json_object_array_get_idx(paths, i)));
	putchar('\n');
}

void freeze_print(struct json_object *data, bool dry_run)
{
	struct json_object *all;
	size_t i;

	if (!json_object_object_get_ex(data, "frozen", &all))
		return;
	for (i = 0; i < json_object_array_length(all); i++)
		print_one(json_object_array_get_idx(all, i), dry_run);
}
