/* SPDX-License-Identifier: BSD-2-Clause */
/* The verb that changes the settings of a volume, or of the store. */
#include "verbs-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "engine.h"
#include "json.h"

#define NUMBER_TEXT_BYTES 24

/* A setting as the engine takes it; @number is room for a number's text. */
static int get_setting(const char *key, struct json_object *value,
		       char number[NUMBER_TEXT_BYTES], struct setting *ret,
		       struct error *err)
{
	const char *text = json_object_get_string(value);

	*ret = (struct setting){key, text};
	if (json_object_is_type(value, json_type_string) &&
	    strlen(text) == (size_t)json_object_get_string_len(value))
		return 0;
	if (!json_object_is_type(value, json_type_int))
		return error_set(err, EINVAL,
				 "settings: must have numbers and strings");
	/* where json-c makes of a number the nearest one that fits */
	if (json_object_get_uint64(value) > INT64_MAX)
		return error_set(err, EINVAL, "%s: the number is too large",
				 key);
	(void)snprintf(number, NUMBER_TEXT_BYTES, "%lld",
		       (long long)json_object_get_int64(value));
	ret->value = number;
	return 0;
}

static int set_all(struct store *store, const char *name, bool dry_run,
		   struct json_object *object, struct error *err)
{
	size_t nr = (size_t)json_object_object_length(object), i = 0;
	CLEANUP_FREE struct setting *settings =
		calloc(nr + 1, sizeof(*settings));
	CLEANUP_FREE char(*numbers)[NUMBER_TEXT_BYTES] =
		calloc(nr + 1, sizeof(*numbers));
	int r;

	if (!settings || !numbers)
		return error_set(err, ENOMEM, "out of memory");
	json_object_object_foreach(object, key, value)
	{
		r = get_setting(key, value, numbers[i], &settings[i], err);
		if (r < 0)
			return r;
		i++;
	}
	return dry_run ? store_set_dry_run(store, name, settings, nr, err)
		       : store_set(store, name, settings, nr, err);
}

/* The capacity that @object asks for. */
static int get_capacity(struct json_object *object, uint64_t *ret,
			struct error *err)
{
	struct json_object *value = NULL;

	if (json_object_object_length(object) != 1 ||
	    !json_object_object_get_ex(object, "capacity", &value))
		return error_set(err, EINVAL,
				 "unknown setting, a store has only capacity");
	if (json_object_is_type(value, json_type_string) &&
	    strcmp(json_object_get_string(value), "max") == 0) {
		*ret = CAPACITY_MAX;
		return 0;
	}
	if (!json_object_is_type(value, json_type_int))
		return error_set(err, EINVAL, "capacity must be a size or max");
	*ret = json_object_get_uint64(value);
	if (*ret > INT64_MAX)
		*ret = INT64_MAX; /* more than a store can be, either way */
	return 0;
}

static int set_capacity(struct store *store, struct json_object *object,
			bool dry_run, struct json_object **ret,
			struct error *err)
{
	struct json_object *data, *settings;
	uint64_t capacity;
	int r;

	r = get_capacity(object, &capacity, err);
	if (r < 0)
		return r;
	r = dry_run ? store_set_capacity_dry_run(store, capacity, &capacity,
						 err)
		    : store_set_capacity(store, capacity, &capacity, err);
	if (r < 0)
		return error_prefix(err, "capacity");
	data = json_object_new_object();
	settings = json_object_new_object();
	if (data && settings)
		json_put_uint(settings, "capacity", capacity);
	if (data)
		(void)json_object_object_add(data, "settings", settings);
	return verb_give(data, ret, err);
}

int verb_set(struct store *store, struct json_object *args,
	     struct json_object **ret, struct error *err)
{
	struct json_object *object = NULL, *data;
	bool dry_run = false;
	const char *name = NULL;
	int r;

	r = args_find_bool(args, "dry_run", &dry_run, err);
	if (r == 0)
		r = args_find_string(args, "name", &name, err);
	if (r < 0)
		return r;
	if (!json_object_object_get_ex(args, "settings", &object) ||
	    !json_object_is_type(object, json_type_object))
		return error_set(err, EINVAL, "settings: must be an object");
	if (!name)
		return set_capacity(store, object, dry_run, ret, err);
	r = set_all(store, name, dry_run, object, err);
	if (r < 0)
		return r;
	data = json_object_new_object();
	if (data) {
		json_put_string(data, "name", name);
		(void)json_object_object_add(data, "settings",
					     json_object_get(object));
	}
	return verb_give(data, ret, err);
}
