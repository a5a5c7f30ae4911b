/* SPDX-License-Identifier: BSD-2-Clause */
#include "verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "engine.h"
#include "json.h"
#include "units.h"

typedef int verb_fn(struct store *store, struct json_object *args,
		    struct json_object **ret, struct error *err);

/* A dump or a report longer than this is cut. */
#define LINES_BYTES_MAX (64u << 20)

/* Takes @object over; NULL (no memory) is an error. */
static int give(struct json_object *object, struct json_object **ret,
		struct error *err)
{
	if (!object)
		return error_set(err, ENOMEM, "out of memory");
	*ret = object;
	return 0;
}

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

static int verb_status(struct store *store, struct json_object *args,
		       struct json_object **ret, struct error *err)
{
	struct store_stat stat;

	store_stat(store, &stat);
	return give(json_status(&stat), ret, err);
}

/* True for the volume @name, its snapshots, or the snapshot @name. */
static bool name_covers(const char *name, const struct volume_info *info)
{
	size_t length = strlen(name);

	if (strncmp(info->name, name, length) != 0)
		return false;
	return info->name[length] == '\0' ||
	       (info->snapshot && info->name[length] == '@');
}

static bool any_name_covers(const char *const *names, size_t nr,
			    const struct volume_info *info)
{
	for (size_t i = 0; i < nr; i++)
		if (name_covers(names[i], info))
			return true;
	return nr == 0;
}

static int check_names_exist(struct store *store, const char *const *names,
			     size_t nr, struct error *err)
{
	struct volume_info info;
	int r;

	for (size_t i = 0; i < nr; i++) {
		r = store_find(store, names[i], &info, err);
		if (r < 0)
			return r;
	}
	return 0;
}

struct list_filter {
	const char **names;
	size_t nr_names;
	const char *type;
	bool hidden;
};

static bool filter_passes(const struct list_filter *filter,
			  const struct volume_info *info)
{
	if (info->hidden && !filter->hidden)
		return false;
	if (strcmp(filter->type, "volume") == 0 && info->snapshot)
		return false;
	if (strcmp(filter->type, "snapshot") == 0 && !info->snapshot)
		return false;
	return any_name_covers((const char *const *)filter->names,
			       filter->nr_names, info);
}

static int list_filtered(struct store *store, const struct list_filter *filter,
			 struct json_object **ret, struct error *err)
{
	CLEANUP_FREE struct volume_info *infos = NULL;
	struct json_object *array;
	size_t nr;
	int r;

	r = store_list(store, &infos, &nr, err);
	if (r < 0)
		return r;
	array = json_object_new_array();
	if (!array)
		return error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < nr; i++)
		if (filter_passes(filter, &infos[i]))
			(void)json_object_array_add(array,
						    json_info(&infos[i]));
	*ret = array;
	return 0;
}

static int verb_list(struct store *store, struct json_object *args,
		     struct json_object **ret, struct error *err)
{
	struct list_filter filter = {.type = "all"};
	CLEANUP_FREE const char **names = NULL;
	int r;

	r = args_find_string(args, "type", &filter.type, err);
	if (r == 0)
		r = args_find_bool(args, "hidden", &filter.hidden, err);
	if (r == 0)
		r = args_names(args, "names", true, &names, &filter.nr_names,
			       err);
	if (r < 0)
		return r;
	if (strcmp(filter.type, "all") != 0 &&
	    strcmp(filter.type, "volume") != 0 &&
	    strcmp(filter.type, "snapshot") != 0)
		return error_set(err, EINVAL,
				 "type: must be volume, snapshot or all");
	filter.names = names;
	r = check_names_exist(store, (const char *const *)names,
			      filter.nr_names, err);
	if (r < 0)
		return r;
	return list_filtered(store, &filter, ret, err);
}

static int verb_show(struct store *store, struct json_object *args,
		     struct json_object **ret, struct error *err)
{
	struct volume_info info;
	const char *name;
	int r;

	r = args_string(args, "name", &name, err);
	if (r == 0)
		r = store_find(store, name, &info, err);
	if (r < 0)
		return r;
	return give(json_info(&info), ret, err);
}

static int verb_create(struct store *store, struct json_object *args,
		       struct json_object **ret, struct error *err)
{
	struct json_object *data;
	bool dry_run = false;
	const char *name;
	uint64_t size;
	int r;

	r = args_find_bool(args, "dry_run", &dry_run, err);
	if (r == 0)
		r = args_string(args, "name", &name, err);
	if (r == 0)
		r = args_size(args, "size", &size, err);
	if (r < 0)
		return r;
	if (dry_run)
		r = store_create_dry_run(store, name, size, err);
	else
		r = store_create(store, name, size, err);
	if (r < 0)
		return r;
	data = json_object_new_object();
	if (data) {
		json_put_string(data, "name", name);
		json_put_uint(data, "size", size);
	}
	return give(data, ret, err);
}

/* The arguments of the verbs on sets of names. */
struct set_args {
	const char *const *names;
	size_t nr;
	bool dry_run;
};

/* free(ret->names) */
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
	return 0;
}

static int verb_snapshot(struct store *store, struct json_object *args,
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

static int verb_clone(struct store *store, struct json_object *args,
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
	uint64_t blocks;
	int r;

	r = store_delete_dry_run(store, set->names, set->nr, recursive, &blocks,
				 err);
	if (r == 0)
		json_put_uint(data, "freed", blocks * BLOCK_SIZE);
	return r;
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
		if (any_name_covers(set->names, set->nr, &infos[i]))
			names[nr_names++] = infos[i].name;
	return give_names((const char *const *)names, nr_names, ret, err);
}

static int verb_delete(struct store *store, struct json_object *args,
		       struct json_object **ret, struct error *err)
{
	CLEANUP_FREE const char **names = NULL;
	struct json_object *data;
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

static int verb_rollback(struct store *store, struct json_object *args,
			 struct json_object **ret, struct error *err)
{
	CLEANUP_FREE char(*kept)[NAME_MAX_BYTES + 1] = NULL;
	CLEANUP_FREE const char **names = NULL;
	struct json_object *array;
	struct set_args set;
	int r;

	r = set_args_get(args, &set, &names, err);
	if (r < 0)
		return r;
	kept = calloc(set.nr, sizeof(*kept));
	if (!kept)
		return error_set(err, ENOMEM, "out of memory");
	if (set.dry_run)
		r = store_rollback_dry_run(store, set.names, set.nr, err);
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

static int verb_undo(struct store *store, struct json_object *args,
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

static int verb_scratch(struct store *store, struct json_object *args,
			struct json_object **ret, struct error *err)
{
	char name[NAME_MAX_BYTES + 1];
	struct json_object *data;
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
	data = json_object_new_object();
	if (data) {
		json_put_string(data, "name", name);
		json_put_uint(data, "size", info.size);
	}
	return give(data, ret, err);
}

/* Lines of a report or a dump, on their way into an array. */
struct lines {
	struct json_object *array;
	size_t bytes;
	bool truncated;
};

static void lines_add(void *opaque, const char *line)
{
	struct lines *lines = opaque;

	lines->bytes += strlen(line) + 1;
	if (lines->bytes > LINES_BYTES_MAX)
		lines->truncated = true;
	if (!lines->truncated)
		(void)json_object_array_add(lines->array,
					    json_object_new_string(line));
}

/* { "lines": [...], "truncated": ... }; @ret_lines->array is part of it. */
static struct json_object *lines_start(struct lines *ret_lines)
{
	struct json_object *data = json_object_new_object();

	*ret_lines = (struct lines){.array = json_object_new_array()};
	if (!data || !ret_lines->array) {
		json_object_put(data);
		json_object_put(ret_lines->array);
		return NULL;
	}
	(void)json_object_object_add(data, "lines", ret_lines->array);
	return data;
}

static int verb_check_store(struct store *store, struct json_object *args,
			    struct json_object **ret, struct error *err)
{
	struct check_report report = {0};
	struct json_object *data;
	struct lines lines;
	int r;

	data = lines_start(&lines);
	if (!data)
		return error_set(err, ENOMEM, "out of memory");
	r = store_check(store, lines_add, &lines, &report, err);
	/* Damage that was found and listed is the answer, not a failure. */
	if (r < 0 && !(r == -EUCLEAN && report.nr_errors > 0)) {
		json_object_put(data);
		return r;
	}
	json_put_uint(data, "errors", report.nr_errors);
	json_put_uint(data, "nodes", report.nr_nodes);
	json_put_uint(data, "blocks", report.nr_blocks);
	json_put_uint(data, "segments", report.nr_segments);
	json_put_uint(data, "volumes", report.nr_volumes);
	json_put_bool(data, "truncated", lines.truncated);
	*ret = data;
	return 0;
}

static int verb_dump(struct store *store, struct json_object *args,
		     struct json_object **ret, struct error *err)
{
	const char *what = "all";
	struct json_object *data;
	struct lines lines;
	int r;

	r = args_find_string(args, "what", &what, err);
	if (r < 0)
		return r;
	data = lines_start(&lines);
	if (!data)
		return error_set(err, ENOMEM, "out of memory");
	r = store_dump(store, what, lines_add, &lines, err);
	if (r < 0) {
		json_object_put(data);
		return r;
	}
	json_put_bool(data, "truncated", lines.truncated);
	*ret = data;
	return 0;
}

struct verb {
	const char *name;
	verb_fn *run;
	bool read_only;
};

static const struct verb verbs[] = {
	{"status", verb_status, true},	    {"list", verb_list, true},
	{"show", verb_show, true},	    {"create", verb_create, false},
	{"snapshot", verb_snapshot, false}, {"clone", verb_clone, false},
	{"delete", verb_delete, false},	    {"rollback", verb_rollback, false},
	{"undo", verb_undo, false},	    {"scratch", verb_scratch, false},
	{"check", verb_check_store, true},  {"dump", verb_dump, true},
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

bool verb_is_read_only(const char *verb)
{
	const struct verb *v = find_verb(verb);

	return v && v->read_only;
}

int verb_run(struct store *store, const char *verb, struct json_object *args,
	     struct json_object **ret_data, struct error *err)
{
	const struct verb *v = find_verb(verb);

	if (!v)
		return error_set(err, EINVAL, "no such verb");
	if (args && !json_object_is_type(args, json_type_object))
		return error_set(err, EINVAL, "args: must be an object");
	return v->run(store, args, ret_data, err);
}

enum exit_code verb_exit_code(int r)
{
	switch (-r) {
	case 0:
		return EXIT_DONE;
	case EINVAL:
		return EXIT_USAGE;
	case ENOSPC:
		return EXIT_FULL;
	case EBUSY:
		return EXIT_BUSY;
	case ENOENT:
		return EXIT_NOT_FOUND;
	case EEXIST:
		return EXIT_EXISTS;
	case EBADMSG:
	case EUCLEAN:
		return EXIT_CORRUPT;
	case EACCES:
	case EPERM:
	case EROFS:
		return EXIT_PERMISSION;
	default:
		return EXIT_FAILED;
	}
}

enum exit_code open_exit_code(int r)
{
	switch (-r) {
	case ENOENT:
	case ENOTDIR:
	case EINVAL:
		return EXIT_NO_STORE;
	case EWOULDBLOCK:
	case EBUSY:
		return EXIT_LOCKED;
	default:
		return verb_exit_code(r);
	}
}
