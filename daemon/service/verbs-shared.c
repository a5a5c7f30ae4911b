/* SPDX-License-Identifier: BSD-2-Clause */
#include "verbs-internal.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "engine.h"
#include "json.h"

/* Takes @object over; NULL (no memory) is an error. */
int verb_give(struct json_object *object, struct json_object **ret,
	      struct error *err)
{
	if (!object)
		return error_set(err, ENOMEM, "out of memory");
	*ret = object;
	return 0;
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

bool verb_names_cover(const char *const *names, size_t nr,
		      const struct volume_info *info)
{
	for (size_t i = 0; i < nr; i++)
		if (name_covers(names[i], info))
			return true;
	return nr == 0;
}

/* A dump or a report longer than this is cut. */
#define LINES_BYTES_MAX (64u << 20)

void lines_add(void *opaque, const char *line)
{
	struct lines *lines = opaque;

	lines->bytes += strlen(line) + 1;
	if (lines->bytes > LINES_BYTES_MAX)
		lines->truncated = true;
	if (!lines->truncated)
		(void)json_object_array_add(lines->array,
					    json_object_new_string(line));
}

struct json_object *lines_start(struct lines *ret)
{
	struct json_object *data = json_object_new_object();

	*ret = (struct lines){.array = json_object_new_array()};
	if (!data || !ret->array) {
		json_object_put(data);
		json_object_put(ret->array);
		return NULL;
	}
	(void)json_object_object_add(data, "lines", ret->array);
	return data;
}

int verb_give_report(struct json_object *data, const struct lines *lines,
		     const struct check_report *report, int r,
		     struct json_object **ret)
{
	if (r == -ENOMEM || (r < 0 && report->nr_errors == 0)) {
		json_object_put(data);
		return r;
	}
	json_put_uint(data, "errors", report->nr_errors);
	json_put_uint(data, "nodes", report->nr_nodes);
	json_put_uint(data, "blocks", report->nr_blocks);
	json_put_uint(data, "lost", report->nr_lost);
	json_put_uint(data, "segments", report->nr_segments);
	json_put_uint(data, "volumes", report->nr_volumes);
	json_put_bool(data, "truncated", lines->truncated);
	*ret = data;
	return 0;
}
