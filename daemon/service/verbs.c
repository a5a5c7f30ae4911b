/* SPDX-License-Identifier: BSD-2-Clause */
#include "verbs.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "verbs-internal.h"

struct verb {
	const char *name;
	verb_fn *run;
	bool read_only;
};

static const struct verb verbs[] = {
	{"status", verb_status, true},
	{"list", verb_list, true},
	{"show", verb_show, true},
	{"create", verb_create, false},
	{"snapshot", verb_snapshot, false},
	{"clone", verb_clone, false},
	{"delete", verb_delete, false},
	{"reclaim", verb_reclaim, false},
	{"rollback", verb_rollback, false},
	{"undo", verb_undo, false},
	{"rename", verb_rename, false},
	{"resize", verb_resize, false},
	{"scratch", verb_scratch, false},
	{"set", verb_set, false},
	{"check", verb_check_store, true},
	{"scrub", verb_scrub, false},
	{"du", verb_du, true},
	{"dump", verb_dump, true},
	{"traffic", verb_traffic, true},
	{"metrics", verb_metrics, true},
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
