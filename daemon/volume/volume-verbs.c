/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The metadata verbs of engine.h: operands in, one operation out.  A dry run
 * builds and checks the same operation and stops there.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "change.h"
#include "excl.h"
#include "text.h"

static int find_snapshot(struct store *store, const char *text,
			 struct volume **ret, struct error *err)
{
	struct name name;
	int r;

	r = name_parse_snapshot(text, &name, err);
	return r < 0 ? r : change_find(store, text, ret, err);
}

/* ---- create ---- */

static int create_one(struct store *store, const char *name, uint64_t size,
		      bool dry_run, struct error *err)
{
	struct operation_item item;
	struct name parsed;
	struct change change;
	int r;

	r = name_parse_volume(name, &parsed, err);
	if (r < 0)
		return r;
	r = volume_size_check(name, size, err);
	if (r < 0)
		return r;
	r = change_begin(&change, store, OP_CREATE, dry_run, err);
	if (r < 0)
		return r;
	item = item_named(name);
	item.size = size;
	r = change_add(&change, &item, err);
	r = change_run(&change, r, err);
	change_end(&change);
	return r;
}

int store_create(struct store *store, const char *name, uint64_t size,
		 struct error *err)
{
	return create_one(store, name, size, false, err);
}

int store_create_dry_run(struct store *store, const char *name, uint64_t size,
			 struct error *err)
{
	return create_one(store, name, size, true, err);
}

/* ---- snapshot ---- */

#define MESSAGE_KEY "message="

static int add_snapshot(struct change *change, const char *text,
			const char *attrs, uint16_t attrs_length,
			struct error *err)
{
	struct operation_item item;
	struct volume *head;
	struct name name;
	int r;

	r = name_parse_snapshot(text, &name, err);
	if (r == 0)
		r = change_find(change->store, name.volume, &head, err);
	if (r < 0)
		return r;
	/* the word lies behind the '@' of the operand, which stays */
	item = item_named(strchr(text, '@') + 1);
	item.volume = head->id;
	item.attrs = attrs;
	item.attrs_length = attrs_length;
	return change_add(change, &item, err);
}

static int snapshot_set(struct store *store, const char *const *names,
			size_t nr, const char *text, bool dry_run,
			struct error *err)
{
	char attrs[512];
	uint16_t attrs_length = 0;
	struct change change;
	int r;

	if (text && !text_is_plain(text))
		return error_set(err, EINVAL,
				 "message: must be one line of UTF-8 without "
				 "control characters");
	if (text && *text) {
		int n = snprintf(attrs, sizeof(attrs), MESSAGE_KEY "%s", text);

		if (n < 0 || (size_t)n >= sizeof(attrs))
			return error_set(err, EINVAL,
					 "message is longer than %zu bytes",
					 sizeof(attrs) - sizeof(MESSAGE_KEY));
		attrs_length = (uint16_t)(n + 1);
	}
	r = change_begin(&change, store, OP_SNAPSHOT, dry_run, err);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < nr; i++)
		r = add_snapshot(&change, names[i], attrs, attrs_length, err);
	r = change_run(&change, r, err);
	change_end(&change);
	return r;
}

int store_snapshot(struct store *store, const char *const *names, size_t nr,
		   const char *text, struct error *err)
{
	return snapshot_set(store, names, nr, text, false, err);
}

int store_snapshot_dry_run(struct store *store, const char *const *names,
			   size_t nr, struct error *err)
{
	return snapshot_set(store, names, nr, NULL, true, err);
}

/* ---- clone and scratch ---- */

static int add_clone(struct change *change, uint32_t origin, const char *text,
		     struct error *err)
{
	struct operation_item item;
	struct name name;
	int r;

	r = name_parse_volume(text, &name, err);
	if (r < 0)
		return r;
	item = item_named(text);
	item.other = origin;
	return change_add(change, &item, err);
}

static int clone_set(struct store *store, const char *from,
		     const char *const *names, size_t nr, bool dry_run,
		     struct error *err)
{
	struct volume *origin;
	struct change change;
	int r;

	r = change_begin(&change, store, OP_CLONE, dry_run, err);
	if (r < 0)
		return r;
	r = find_snapshot(store, from, &origin, err);
	for (size_t i = 0; r == 0 && i < nr; i++)
		r = add_clone(&change, origin->id, names[i], err);
	r = change_run(&change, r, err);
	change_end(&change);
	return r;
}

int store_clone(struct store *store, const char *from, const char *const *names,
		size_t nr, struct error *err)
{
	return clone_set(store, from, names, nr, false, err);
}

int store_clone_dry_run(struct store *store, const char *from,
			const char *const *names, size_t nr, struct error *err)
{
	return clone_set(store, from, names, nr, true, err);
}

int store_scratch(struct store *store, const char *from,
		  char ret_name[NAME_MAX_BYTES + 1], struct error *err)
{
	char name[NAME_MAX_BYTES + 32];
	struct operation_item item;
	struct volume *origin;
	struct change change;
	int r;

	r = change_begin(&change, store, OP_CLONE, false, err);
	if (r < 0)
		return r;
	r = find_snapshot(store, from, &origin, err);
	if (r == 0) {
		/* admin is held: the id is this operation's */
		int n = snprintf(name, sizeof(name), "%s:scratch.%" PRIu32,
				 from, store->volumes.next_id);

		if (n > (int)NAME_MAX_BYTES)
			r = error_set(err, EINVAL,
				      "%s: name is too long for "
				      "a scratch view",
				      from);
	}
	if (r == 0) {
		item = item_named(name);
		item.other = origin->id;
		item.flags = VOLUME_FLAG_HIDDEN | VOLUME_FLAG_SCRATCH;
		r = change_add(&change, &item, err);
	}
	r = change_run(&change, r, err);
	change_end(&change);
	if (r == 0) {
		memcpy(ret_name, name, strlen(name) + 1);
		core_wake(&store->core, WORKER_DRIVER); /* it sets its timer */
	}
	return r;
}

/* ---- delete ---- */

static int add_delete(struct change *change, uint32_t id, struct error *err)
{
	struct operation_item item = {.volume = id};

	for (size_t i = 0; i < change->items.len; i++)
		if (change->items.ptr[i].volume == id)
			return 0;
	return change_add(change, &item, err);
}

static int add_deletes(struct change *change, const char *text, bool recursive,
		       struct error *err)
{
	struct volumes *volumes = &change->store->volumes;
	struct volume *v;
	int r;

	r = change_find(change->store, text, &v, err);
	for (size_t i = 0; r == 0 && recursive && i < volumes->all.len; i++) {
		const struct volume *s = volumes->all.ptr[i];

		if (s->kind == VOLUME_SNAPSHOT && s->parent == v->id)
			r = add_delete(change, s->id, err);
	}
	return r < 0 ? r : add_delete(change, v->id, err);
}

static int collect_ids(const struct change *change, struct index_vector *ids,
		       struct error *err)
{
	for (size_t i = 0; i < change->items.len; i++)
		if (index_vector_push(ids, change->items.ptr[i].volume) < 0)
			return error_set(err, ENOMEM, "out of memory");
	return 0;
}

/* @ids, which may be NULL, are those that go. */
static int delete_set(struct store *store, const char *const *names, size_t nr,
		      bool recursive, bool dry_run, struct index_vector *ids,
		      struct error *err)
{
	struct change change;
	int r;

	r = change_begin(&change, store, OP_DELETE, dry_run, err);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < nr; i++)
		r = add_deletes(&change, names[i], recursive, err);
	r = change_run(&change, r, err);
	if (r == 0 && ids)
		r = collect_ids(&change, ids, err);
	change_end(&change);
	return r;
}

int store_delete(struct store *store, const char *const *names, size_t nr,
		 bool recursive, struct error *err)
{
	return delete_set(store, names, nr, recursive, false, NULL, err);
}

int store_delete_dry_run(struct store *store, const char *const *names,
			 size_t nr, bool recursive, struct space_freed *ret,
			 struct error *err)
{
	struct index_vector ids = {0};
	int r;

	r = delete_set(store, names, nr, recursive, true, &ids, err);
	/* the walk is long and needs nobody to wait for it */
	if (r == 0)
		r = excl_of_set(store, &ids, monotonic_ms() + EXCL_WAIT_MS, ret,
				err);
	index_vector_done(&ids);
	return r;
}

/* ---- rollback and undo ---- */

/* A volume's name and this are never too long together. */
#define KEPT_WORD_MAX 64

/* before-rollback-<time>, with -2, -3 ... when it is taken. */
static void kept_name(struct store *store, const struct volume *head,
		      char ret[NAME_MAX_BYTES + 1])
{
	time_t now = (time_t)(clock_ns() / 1000000000);
	char stamp[32];
	struct tm tm;

	(void)gmtime_r(&now, &tm);
	(void)strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	(void)snprintf(ret, NAME_MAX_BYTES + 1, "before-rollback-%s", stamp);
	mutex_lock(&store->core.lock);
	for (int i = 2;
	     volume_find_snapshot(&store->volumes, head->id, ret) != NULL; i++)
		(void)snprintf(ret, NAME_MAX_BYTES + 1, "before-rollback-%s-%d",
			       stamp, i);
	mutex_unlock(&store->core.lock);
}

/* The name that the caller wants for the old head. */
static int wanted_name(struct store *store, const struct volume *head,
		       const char *keep, char ret[NAME_MAX_BYTES + 1],
		       struct error *err)
{
	bool exists;
	int r;

	r = name_check_snapshot_word(keep, err);
	if (r < 0)
		return r;
	if (strlen(keep) > KEPT_WORD_MAX)
		return error_set(err, EINVAL, "keep: longer than %d bytes",
				 KEPT_WORD_MAX);
	mutex_lock(&store->core.lock);
	exists = volume_find_snapshot(&store->volumes, head->id, keep) != NULL;
	mutex_unlock(&store->core.lock);
	if (exists)
		return error_set(err, EEXIST, "%s@%s: exists already",
				 head->name, keep);
	(void)snprintf(ret, NAME_MAX_BYTES + 1, "%s", keep);
	return 0;
}

/* @keep: the word after @ for the old heads; NULL: we choose it. */
static int rollback_set(struct store *store, const char *const *names,
			size_t nr, const char *keep,
			char (*ret_kept)[NAME_MAX_BYTES + 1], bool dry_run,
			struct error *err)
{
	CLEANUP_FREE char(*words)[NAME_MAX_BYTES + 1] = NULL;
	struct change change;
	int r;

	words = calloc(nr ? nr : 1, sizeof(*words));
	if (!words)
		return error_set(err, ENOMEM, "out of memory");
	r = change_begin(&change, store, OP_ROLLBACK, dry_run, err);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < nr; i++) {
		struct volume *s, *head;
		struct operation_item item;

		r = find_snapshot(store, names[i], &s, err);
		if (r < 0)
			break;
		head = volume_find_id(&store->volumes, s->parent);
		if (!keep)
			kept_name(store, head, words[i]);
		else
			r = wanted_name(store, head, keep, words[i], err);
		if (r < 0)
			break;
		item = item_named(words[i]);
		item.volume = head->id;
		item.other = s->id;
		r = change_add(&change, &item, err);
		if (r == 0 && ret_kept)
			(void)snprintf(ret_kept[i], NAME_MAX_BYTES + 1,
				       "%.*s@%.64s", NAME_MAX_BYTES - 66,
				       head->name, words[i]);
	}
	r = change_run(&change, r, err);
	change_end(&change);
	return r;
}

int store_rollback(struct store *store, const char *const *names, size_t nr,
		   char (*ret_kept)[NAME_MAX_BYTES + 1], struct error *err)
{
	return rollback_set(store, names, nr, NULL, ret_kept, false, err);
}

int store_rollback_keeping(struct store *store, const char *const *names,
			   size_t nr, const char *keep,
			   char (*ret_kept)[NAME_MAX_BYTES + 1],
			   struct error *err)
{
	return rollback_set(store, names, nr, keep, ret_kept, false, err);
}

int store_rollback_dry_run(struct store *store, const char *const *names,
			   size_t nr, struct error *err)
{
	return rollback_set(store, names, nr, NULL, NULL, true, err);
}

static int undo_set(struct store *store, const char *const *names, size_t nr,
		    bool dry_run, struct error *err)
{
	struct change change;
	int r;

	r = change_begin(&change, store, OP_UNDO, dry_run, err);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < nr; i++) {
		struct operation_item item = {0};
		struct name name;
		struct volume *v;

		r = name_parse_volume(names[i], &name, err);
		if (r == 0)
			r = change_find(store, names[i], &v, err);
		if (r == 0 && v->kept == 0)
			r = error_set(err, ENOENT, "%s: no rollback to undo",
				      names[i]);
		if (r < 0)
			break;
		item.volume = v->id;
		item.other = v->kept;
		r = change_add(&change, &item, err);
	}
	r = change_run(&change, r, err);
	change_end(&change);
	return r;
}

int store_undo(struct store *store, const char *const *names, size_t nr,
	       struct error *err)
{
	return undo_set(store, names, nr, false, err);
}

int store_undo_dry_run(struct store *store, const char *const *names, size_t nr,
		       struct error *err)
{
	return undo_set(store, names, nr, true, err);
}
