/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The object `info` of PROTOCOL.md: one volume or snapshot.  Lists have
 * thousands of them, so whoever asks may name the members that he needs.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "print.h"

enum member_kind {
	TEXT,	/* char [] */
	NUMBER, /* uint32_t */
	BYTES,	/* uint64_t */
	BLOCKS, /* uint64_t, told in bytes */
	LIMIT,	/* uint64_t, bytes; 0: there is none */
	TIME,	/* uint64_t */
	FLAG,	/* bool */
	TYPE,	/* and others that need a function of their own */
	PARENT,
	ON_FULL,
};

#define FIELD(name) offsetof(struct volume_info, name)

static const struct member {
	const char *name;
	enum member_kind kind;
	size_t offset; /* in struct volume_info */
} members[] = {
	{"name", TEXT, FIELD(name)},
	{"type", TYPE, 0},
	{"size", BYTES, FIELD(size)},
	{"refer", BLOCKS, FIELD(refer_blocks)},
	{"written", BLOCKS, FIELD(written_blocks)},
	{"created", TIME, FIELD(created_ns)},
	{"origin", TEXT, FIELD(origin)},
	{"parent", PARENT, 0},
	{"snapshots", NUMBER, FIELD(nr_snapshots)},
	{"readers", NUMBER, FIELD(nr_readers)},
	{"writers", NUMBER, FIELD(nr_writers)},
	{"attached", NUMBER, FIELD(nr_attached)},
	{"message", TEXT, FIELD(message)},
	{"quota", LIMIT, FIELD(quota_bytes)},
	{"reservation", LIMIT, FIELD(reservation_bytes)},
	{"on_full", ON_FULL, 0},
	{"hidden", FLAG, FIELD(hidden)},
	{"scratch", FLAG, FIELD(scratch)},
	{"old_head", FLAG, FIELD(old_head)},
	{"excl", BLOCKS, FIELD(excl_blocks)},
};

#define NR_MEMBERS (sizeof(members) / sizeof(members[0]))

static uint64_t number_of(const struct volume_info *info,
			  const struct member *m)
{
	uint64_t ret;

	memcpy(&ret, (const char *)info + m->offset, sizeof(ret));
	return ret;
}

static struct json_object *time_of(const struct volume_info *info,
				   const struct member *m)
{
	char text[TIME_TEXT_BYTES];

	time_format(number_of(info, m), text);
	return json_object_new_string(text);
}

static struct json_object *count_of(const struct volume_info *info,
				    const struct member *m)
{
	uint32_t number;

	memcpy(&number, (const char *)info + m->offset, sizeof(number));
	return json_object_new_uint64(number);
}

static struct json_object *flag_of(const struct volume_info *info,
				   const struct member *m)
{
	bool flag;

	memcpy(&flag, (const char *)info + m->offset, sizeof(flag));
	return json_object_new_boolean(flag);
}

static struct json_object *parent_of(const struct volume_info *info)
{
	if (!info->snapshot)
		return json_object_new_string("");
	return json_object_new_string_len(info->name,
					  (int)strcspn(info->name, "@"));
}

/* NULL is null, and what there is no memory for. */
static struct json_object *value_of(const struct volume_info *info,
				    const struct member *m)
{
	switch (m->kind) {
	case TEXT:
		return json_object_new_string((const char *)info + m->offset);
	case NUMBER:
		return count_of(info, m);
	case BYTES:
		return json_object_new_uint64(number_of(info, m));
	case BLOCKS:
		return json_blocks(number_of(info, m));
	case LIMIT:
		if (number_of(info, m) == 0)
			return NULL;
		return json_object_new_uint64(number_of(info, m));
	case TIME:
		return time_of(info, m);
	case FLAG:
		return flag_of(info, m);
	case TYPE:
		return json_object_new_string(info->snapshot ? "snapshot"
							     : "volume");
	case PARENT:
		return parent_of(info);
	case ON_FULL:
		return json_object_new_string(info->pause_on_full ? "pause"
								  : "error");
	}
	return NULL;
}

struct json_object *json_info(const struct volume_info *info, uint32_t which)
{
	struct json_object *ret = json_object_new_object();

	for (uint32_t i = 0; ret && i < NR_MEMBERS; i++)
		if (which & (UINT32_C(1) << i))
			(void)json_object_object_add_ex(
				ret, members[i].name,
				value_of(info, &members[i]),
				JSON_C_OBJECT_ADD_KEY_IS_NEW |
					JSON_C_OBJECT_KEY_IS_CONSTANT);
	return ret;
}

static uint32_t find_member(const char *name)
{
	for (uint32_t i = 0; i < NR_MEMBERS; i++)
		if (strcmp(members[i].name, name) == 0)
			return UINT32_C(1) << i;
	return 0;
}

bool info_has_excl(uint32_t which)
{
	return which & find_member("excl");
}

int args_find_info_members(struct json_object *args, const char *key,
			   uint32_t *ret, struct error *err)
{
	const char **names = NULL;
	uint32_t which = 0;
	size_t nr;
	int r = args_names(args, key, true, &names, &nr, err);

	for (size_t i = 0; r == 0 && i < nr; i++) {
		uint32_t bit = find_member(names[i]);

		/* a word of a client is not repeated: it may hold anything */
		if (!bit)
			r = error_set(err, EINVAL, "%s: no such member", key);
		which |= bit;
	}
	free(names);
	if (r == 0 && nr > 0)
		*ret = which;
	return r;
}
