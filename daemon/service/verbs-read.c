/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs that look at a store and change nothing. */
#include "verbs-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "engine.h"
#include "json.h"

int verb_status(struct store *store, struct json_object *args,
		struct json_object **ret, struct error *err)
{
	struct store_stat stat;

	store_stat(store, &stat);
	return verb_give(json_status(&stat), ret, err);
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
	uint32_t members; /* of each info */
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
	return verb_names_cover((const char *const *)filter->names,
				filter->nr_names, info);
}

static int list_filtered(struct store *store, const struct list_filter *filter,
			 struct json_object **ret, struct error *err)
{
	CLEANUP_FREE struct volume_info *infos = NULL;
	struct json_object *array;
	size_t nr, nr_passed = 0;
	int r;

	r = store_list(store, &infos, &nr, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < nr; i++)
		if (filter_passes(filter, &infos[i]))
			infos[nr_passed++] = infos[i];
	if (info_has_excl(filter->members))
		r = store_excl(store, infos, nr_passed, err);
	if (r < 0)
		return r;
	array = json_object_new_array_ext((int)nr_passed);
	if (!array)
		return error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < nr_passed; i++)
		(void)json_object_array_add(
			array, json_info(&infos[i], filter->members));
	*ret = array;
	return 0;
}

int verb_list(struct store *store, struct json_object *args,
	      struct json_object **ret, struct error *err)
{
	struct list_filter filter = {.type = "all", .members = INFO_STANDARD};
	CLEANUP_FREE const char **names = NULL;
	int r;

	r = args_find_string(args, "type", &filter.type, err);
	if (r == 0)
		r = args_find_bool(args, "hidden", &filter.hidden, err);
	if (r == 0)
		r = args_find_info_members(args, "members", &filter.members,
					   err);
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

int verb_show(struct store *store, struct json_object *args,
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
	return verb_give(json_info(&info, INFO_STANDARD), ret, err);
}

int verb_check_store(struct store *store, struct json_object *args,
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
	return verb_give_report(data, &lines, &report, r, ret);
}

/* A slice that takes about a second on a slow disk. */
#define SCRUB_BYTES_DEFAULT (64u << 20)
#define SCRUB_BYTES_MAX (1u << 30)

static int scrub_options_get(struct json_object *args,
			     struct scrub_options *ret, struct error *err)
{
	int r;

	*ret = (struct scrub_options){.max_bytes = SCRUB_BYTES_DEFAULT};
	r = args_find_uint(args, "bytes", &ret->max_bytes, err);
	if (r == 0)
		r = args_find_uint(args, "id", &ret->began_ns, err);
	if (r == 0)
		r = args_find_bool(args, "restart", &ret->restart, err);
	if (ret->max_bytes > SCRUB_BYTES_MAX)
		ret->max_bytes = SCRUB_BYTES_MAX;
	return r;
}

int verb_scrub(struct store *store, struct json_object *args,
	       struct json_object **ret, struct error *err)
{
	struct scrub_progress progress = {0};
	struct scrub_options options;
	struct json_object *data;
	struct lines lines;
	int r;

	r = scrub_options_get(args, &options, err);
	if (r < 0)
		return r;
	data = lines_start(&lines);
	if (!data)
		return error_set(err, ENOMEM, "out of memory");
	r = store_scrub(store, &options, &progress, lines_add, &lines, err);
	/* Damage that was found and listed is the answer, not a failure. */
	if (r < 0 && !(r == -EUCLEAN && progress.done)) {
		json_object_put(data);
		return r;
	}
	json_put_bool(data, "done", progress.done);
	json_put_uint(data, "id", progress.began_ns);
	json_put_uint(data, "percent", progress.percent);
	json_put_uint(data, "bytes", progress.bytes);
	json_put_uint(data, "errors", progress.errors);
	json_put_bool(data, "busy", progress.busy);
	json_put_bool(data, "truncated", lines.truncated);
	*ret = data;
	return 0;
}

/* A word of a client is not repeated in an error: it may hold anything. */
static bool dump_is_known(const char *what)
{
	static const char *const known[] = {"super",   "log",	"segments",
					    "volumes", "nodes", "all"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(what, known[i]) == 0)
			return true;
	return false;
}

int verb_dump(struct store *store, struct json_object *args,
	      struct json_object **ret, struct error *err)
{
	const char *what = "all";
	struct json_object *data;
	struct lines lines;
	int r;

	r = args_find_string(args, "what", &what, err);
	if (r < 0)
		return r;
	if (!dump_is_known(what))
		return error_set(err, EINVAL,
				 "what: must be super, log, segments, volumes, "
				 "nodes or all");
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
