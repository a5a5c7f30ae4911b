/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs that change a store: one record of its log each. */
#include "verbs-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "engine.h"
#include "json.h"
#include "names.h"
#include "units.h"

/* What most verbs give: { "names": [...] }. */
static int give_names(const char *const *names, size_t nr,
		      struct json_object **ret, struct error *err)
{
	struct json_object *data = json_object_new_object();
	struct json_object *array = json_object_new_array();

	if (!data || !array) {
		json_object_put(data);
		json_object_put(array);
		return error_set(err, ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < nr; i++)
		(void)json_object_array_add(array,
					    json_object_new_string(names[i]));
	(void)json_object_object_add(data, "names", array);
	*ret = data;
	return 0;
}

/* { "name": ..., "size": ... }; NULL: out of memory. */
static struct json_object *json_sized(const char *name, uint64_t size)
{
	struct json_object *ret = json_object_new_object();

	if (!ret)
		return NULL;
	json_put_string(ret, "name", name);
	json_put_uint(ret, "size", size);
	return ret;
}

/* What is to have which size. */
struct size_args {
	const char *name;
	uint64_t size;
	bool dry_run;
};

static int size_args_get(struct json_object *args, struct size_args *ret,
			 struct error *err)
{
	int r;

	ret->dry_run = false;
	r = args_find_bool(args, "dry_run", &ret->dry_run, err);
	if (r == 0)
		r = args_string(args, "name", &ret->name, err);
	if (r == 0)
		r = args_size(args, "size", &ret->size, err);
	return r;
}

int verb_create(struct store *store, struct json_object *args,
		struct json_object **ret, struct error *err)
{
	struct size_args a;
	int r;

	r = size_args_get(args, &a, err);
	if (r < 0)
		return r;
	if (a.dry_run)
		r = store_create_dry_run(store, a.name, a.size, err);
	else
		r = store_create(store, a.name, a.size, err);
	if (r < 0)
		return r;
	return verb_give(json_sized(a.name, a.size), ret, err);
}

/* The arguments of the verbs on sets of names. */
struct set_args {
	const char *const *names;
	size_t nr;
	bool dry_run;
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_named_once(const char *const *names, size_t nr,
			    struct error *err)
{
	CLEANUP_FREE const char **sorted = calloc(nr, sizeof(*sorted));
	struct name name;

	if (!sorted)
		return error_set(err, ENOMEM, "out of memory");
	memcpy(sorted, names, nr * sizeof(*sorted));
	qsort(sorted, nr, sizeof(*sorted), compare_names);
	for (size_t i = 1; i < nr; i++) {
		if (strcmp(sorted[i - 1], sorted[i]) != 0)
			continue;
		if (name_parse(sorted[i], &name, err) < 0)
			return -EINVAL; /* not to be repeated as it is */
		return error_set(err, EINVAL, "%s: named twice", sorted[i]);
	}
	return 0;
}

/* free(ret->names), also after an error */
static int set_args_get(struct json_object *args, struct set_args *ret,
			const char ***ret_names, struct error *err)
{
	int r;

	ret->dry_run = false;
	r = args_find_bool(args, "dry_run", &ret->dry_run, err);
	if (r == 0)
		r = args_names(args, "names", false, ret_names, &ret->nr, err);
	if (r < 0)
		return r;
	ret->names = (const char *const *)*ret_names;
	return check_named_once(ret->names, ret->nr, err);
}

int verb_snapshot(struct store *store, struct json_object *args,
		  struct json_object **ret, struct error *err)
{
	CLEANUP_FREE const char **names = NULL;
	const char *message = NULL;
	struct set_args set;
	int r;

	r = set_args_get(args, &set, &names, err);
	if (r == 0)
		r = args_find_string(args, "message", &message, err);
	if (r < 0)
		return r;
	if (set.dry_run)
		r = store_snapshot_dry_run(store, set.names, set.nr, err);
	else
		r = store_snapshot(store, set.names, set.nr, message, err);
	if (r < 0)
		return r;
	return give_names(set.names, set.nr, ret, err);
}

int verb_clone(struct store *store, struct json_object *args,
	       struct json_object **ret, struct error *err)
{
	CLEANUP_FREE const char **names = NULL;
	const char *snapshot;
	struct set_args set;
	int r;

	r = set_args_get(args, &set, &names, err);
	if (r == 0)
		r = args_string(args, "snapshot", &snapshot, err);
	if (r < 0)
		return r;
	if (set.dry_run)
		r = store_clone_dry_run(store, snapshot, set.names, set.nr,
					err);
	else
		r = store_clone(store, snapshot, set.names, set.nr, err);
	if (r < 0)
		return r;
	return give_names(set.names, set.nr, ret, err);
}

static int delete_dry_run(struct store *store, const struct set_args *set,
			  bool recursive, struct json_object *data,
			  struct error *err)
{
	struct space_freed freed;
	int r;

	r = store_delete_dry_run(store, set->names, set->nr, recursive, &freed,
				 err);
	if (r < 0)
		return r;
	json_put_blocks(data, "freed", freed.blocks);
	json_put_bool(data, "exact", freed.exact);
	return 0;
}

/* { "names": [...] }: @set and, when @recursive, the volumes' snapshots. */
static int delete_names(struct store *store, const struct set_args *set,
			bool recursive, struct json_object **ret,
			struct error *err)
{
	CLEANUP_FREE struct volume_info *infos = NULL;
	CLEANUP_FREE const char **names = NULL;
	size_t nr, nr_names = 0;
	int r;

	if (!recursive)
		return give_names(set->names, set->nr, ret, err);
	r = store_list(store, &infos, &nr, err);
	if (r < 0)
		return r;
	names = calloc(nr + 1, sizeof(*names));
	if (!names)
		return error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < nr; i++)
		if (verb_names_cover(set->names, set->nr, &infos[i]))
			names[nr_names++] = infos[i].name;
	return give_names((const char *const *)names, nr_names, ret, err);
}

int verb_delete(struct store *store, struct json_object *args,
		struct json_object **ret, struct error *err)
{
	CLEANUP_FREE const char **names = NULL;
	struct json_object *data = NULL;
	bool recursive = false;
	struct set_args set;
	int r;

	r = set_args_get(args, &set, &names, err);
	if (r == 0)
		r = args_find_bool(args, "recursive", &recursive, err);
	if (r == 0)
		r = delete_names(store, &set, recursive, &data, err);
	if (r < 0)
		return r;
	if (set.dry_run)
		r = delete_dry_run(store, &set, recursive, data, err);
	else
		r = store_delete(store, set.names, set.nr, recursive, err);
	if (r < 0) {
		json_object_put(data);
		return r;
	}
	*ret = data;
	return 0;
}

int verb_reclaim(struct store *store, struct json_object *args,
		 struct json_object **ret, struct error *err)
{
	struct reclaim reclaim = {0};
	struct json_object *data;
	int r;

	r = args_find_uint(args, "checkpoint", &reclaim.checkpoint_id, err);
	if (r == 0)
		r = store_reclaim(store, &reclaim, err);
	if (r < 0)
		return r;
	data = json_object_new_object();
	if (data) {
		json_put_bool(data, "done", reclaim.done);
		json_put_uint(data, "checkpoint", reclaim.checkpoint_id);
		json_put_uint(data, "nodes", reclaim.nodes);
		json_put_uint(data, "bytes", reclaim.bytes);
	}
	return verb_give(data, ret, err);
}

/* @kept: NULL in a dry run. */
static struct json_object *rollback_entry(const char *name, const char *kept)
{
	struct json_object *entry = json_object_new_object();
	char volume[NAME_MAX_BYTES + 1];
	size_t length = strcspn(name, "@");

	if (!entry)
		return NULL;
	/* The engine took the name: it is not too long. */
	memcpy(volume, name, length);
	volume[length] = '\0';
	json_put_string(entry, "name", name);
	json_put_string(entry, "volume", volume);
	if (kept)
		json_put_string(entry, "kept", kept);
	return entry;
}

int verb_rollback(struct store *store, struct json_object *args,
		  struct json_object **ret, struct error *err)
{
	CLEANUP_FREE char(*kept)[NAME_MAX_BYTES + 1] = NULL;
	CLEANUP_FREE const char **names = NULL;
	const char *keep = NULL;
	struct json_object *array;
	struct set_args set;
	int r;

	r = set_args_get(args, &set, &names, err);
	if (r == 0)
		r = args_find_string(args, "keep", &keep, err);
	if (r < 0)
		return r;
	kept = calloc(set.nr, sizeof(*kept));
	if (!kept)
		return error_set(err, ENOMEM, "out of memory");
	if (set.dry_run)
		r = store_rollback_dry_run(store, set.names, set.nr, err);
	else if (keep)
		r = store_rollback_keeping(store, set.names, set.nr, keep, kept,
					   err);
	else
		r = store_rollback(store, set.names, set.nr, kept, err);
	if (r < 0)
		return r;
	array = json_object_new_array();
	if (!array)
		return error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < set.nr; i++)
		(void)json_object_array_add(
			array, rollback_entry(set.names[i],
					      set.dry_run ? NULL : kept[i]));
	*ret = array;
	return 0;
}

int verb_undo(struct store *store, struct json_object *args,
	      struct json_object **ret, struct error *err)
{
	CLEANUP_FREE const char **names = NULL;
	struct set_args set;
	int r;

	r = set_args_get(args, &set, &names, err);
	if (r < 0)
		return r;
	if (set.dry_run)
		r = store_undo_dry_run(store, set.names, set.nr, err);
	else
		r = store_undo(store, set.names, set.nr, err);
	if (r < 0)
		return r;
	return give_names(set.names, set.nr, ret, err);
}

/* [ { "name": new, "was": old } ... ] */
static int give_renamed(const struct set_args *set, const char *const *to,
			struct json_object **ret, struct error *err)
{
	struct json_object *array = json_object_new_array(), *entry;

	if (!array)
		return error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < set->nr; i++) {
		entry = json_object_new_object();
		if (entry) {
			json_put_string(entry, "name", to[i]);
			json_put_string(entry, "was", set->names[i]);
		}
		(void)json_object_array_add(array, entry);
	}
	*ret = array;
	return 0;
}

int verb_rename(struct store *store, struct json_object *args,
		struct json_object **ret, struct error *err)
{
	CLEANUP_FREE const char **names = NULL, **to_names = NULL;
	const char *const *to;
	struct set_args set;
	size_t nr_to;
	int r;

	r = set_args_get(args, &set, &names, err);
	if (r == 0)
		r = args_names(args, "to", false, &to_names, &nr_to, err);
	if (r == 0 && nr_to != set.nr)
		r = error_set(err, EINVAL, "to: must be as many as names");
	if (r < 0)
		return r;
	to = (const char *const *)to_names;
	if (set.dry_run)
		r = store_rename_dry_run(store, set.names, to, set.nr, err);
	else
		r = store_rename(store, set.names, to, set.nr, err);
	return r < 0 ? r : give_renamed(&set, to, ret, err);
}

int verb_resize(struct store *store, struct json_object *args,
		struct json_object **ret, struct error *err)
{
	uint64_t was, lost = 0;
	struct json_object *data;
	struct size_args a;
	bool shrink = false;
	int r;

	r = size_args_get(args, &a, err);
	if (r == 0)
		r = args_find_bool(args, "shrink", &shrink, err);
	if (r < 0)
		return r;
	if (a.dry_run)
		r = store_resize_dry_run(store, a.name, a.size, shrink, &was,
					 &lost, err);
	else
		r = store_resize(store, a.name, a.size, shrink, &was, err);
	if (r < 0)
		return r;
	data = json_sized(a.name, a.size);
	if (data)
		json_put_uint(data, "was", was);
	if (data && a.dry_run)
		json_put_uint(data, "lost", lost);
	return verb_give(data, ret, err);
}

int verb_scratch(struct store *store, struct json_object *args,
		 struct json_object **ret, struct error *err)
{
	char name[NAME_MAX_BYTES + 1];
	struct volume_info info;
	const char *snapshot;
	int r;

	r = args_string(args, "snapshot", &snapshot, err);
	if (r == 0)
		r = store_scratch(store, snapshot, name, err);
	if (r == 0)
		r = store_find(store, name, &info, err);
	if (r < 0)
		return r;
	return verb_give(json_sized(name, info.size), ret, err);
}
