/* SPDX-License-Identifier: BSD-2-Clause */
#include "verbs-internal.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "engine.h"

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
