/* SPDX-License-Identifier: BSD-2-Clause */
/* varve list: volumes and snapshots as a table. */
#include <string.h>

#include <json-c/json.h>

#include "attachment.h"
#include "columns.h"
#include "command.h"
#include "connect.h"
#include "options.h"
#include "output.h"

static const struct column known[] = {
	{"name", "NAME", "name", TEXT},
	{"type", "TYPE", "type", TEXT},
	{"size", "SIZE", "size", BYTES},
	{"refer", "REFER", "refer", BYTES},
	{"written", "WRITTEN", "written", BYTES},
	{"excl", "EXCL", "excl", BYTES},
	{"age", "AGE", "created", AGE},
	{"created", "CREATED", "created", TEXT},
	{"origin", "ORIGIN", "origin", TEXT},
	{"snapshots", "SNAPSHOTS", "snapshots", COUNT},
	{"readers", "READERS", "readers", COUNT},
	{"writers", "WRITERS", "writers", COUNT},
	{"attached", "ATTACHED", "name", DEVICE},
	{"message", "MESSAGE", "message", TEXT},
	{NULL, NULL, NULL, TEXT},
};

#define COLUMNS_DEFAULT "name,size,refer,written,age"

struct listing {
	const struct options *options;
	struct columns columns;
	bool volumes;
	bool snapshots;
	bool hidden;
};

/* By default volumes; of those named, the snapshots too. */
static int parse_types(struct listing *l)
{
	const struct options *o = l->options;
	const char *text = o->types;
	size_t length;

	l->volumes = !text;
	l->snapshots = !text && (o->nr_operands || o->recursive);
	for (; text; text = text[length] ? text + length + 1 : NULL) {
		length = strcspn(text, ",");
		if (length == 6 && memcmp(text, "volume", 6) == 0)
			l->volumes = true;
		else if (length == 8 && memcmp(text, "snapshot", 8) == 0)
			l->snapshots = true;
		else if (length == 3 && memcmp(text, "all", 3) == 0)
			l->volumes = l->snapshots = true;
		else if (length == 6 && memcmp(text, "hidden", 6) == 0)
			l->hidden = true;
		else
			return usage_error(o->command,
					   "no type '%.*s'; there are "
					   "volume, snapshot, hidden and all",
					   (int)length, text);
	}
	if (l->hidden && !l->volumes && !l->snapshots)
		l->volumes = l->snapshots = true;
	return 0;
}

/* Only what will be printed is asked for: a list may be long. */
static struct json_object *list_members(const struct listing *l)
{
	struct json_object *members = must(json_object_new_array());

	json_object_array_add(members, json_object_new_string("name"));
	for (size_t i = 0; i < l->columns.nr; i++)
		json_object_array_add(
			members,
			json_object_new_string(l->columns.list[i]->member));
	return members;
}

static struct json_object *list_args(const struct listing *l)
{
	const char *type = !l->snapshots ? "volume"
			   : l->volumes	 ? "all"
					 : "snapshot";
	struct json_object *args = must(json_object_new_object());

	if (l->options->nr_operands)
		json_object_object_add(args, "names",
				       operand_array(l->options, 0));
	json_object_object_add(args, "type", json_object_new_string(type));
	json_object_object_add(args, "hidden",
			       json_object_new_boolean(l->hidden));
	if (!l->options->json || l->options->columns)
		json_object_object_add(args, "members", list_members(l));
	return args;
}

/* Could what each would free be counted, where that was asked for? */
static int check_list(struct json_object *infos)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_object_array_length(infos); i++)
		r = check_counted(json_object_array_get_idx(infos, i), "excl");
	return r;
}

static int list_run(const struct options *options)
{
	struct listing l = {.options = options};
	struct attachments attachments;
	struct json_object *data;
	int r;

	r = columns_parse(options, known, COLUMNS_DEFAULT, &l.columns);
	if (r == 0)
		r = parse_types(&l);
	if (r == 0)
		r = connect_run(options, "list", list_args(&l), &data);
	if (r)
		return r;
	if (options->json) {
		print_json(json_object_get(data));
	} else {
		attachments_load_of(options_store(options), &attachments);
		columns_print(&l.columns, options, data, &attachments);
		attachments_done(&attachments);
	}
	r = check_list(data);
	json_object_put(data);
	return r;
}

const struct command command_list = {
	.name = "list",
	.synopsis = "[-r] [-t TYPE] [-o COLUMNS] [-Hp] "
		    "[VOLUME|VOLUME@SNAPSHOT]...",
	.summary = "list volumes, or one with its snapshots",
	.details =
		"Columns: name type size refer written excl age created "
		"origin snapshots readers\nwriters attached message.  REFER is "
		"what it maps; WRITTEN what was written since\nthe snapshot "
		"before it was taken; EXCL what would come free if it alone "
		"were\ndeleted, which takes a while to count.",
	.accepts = OPTION_TABLE | OPTION_TYPES | OPTION_RECURSIVE,
	.max_operands = -1,
	.run = list_run,
};
