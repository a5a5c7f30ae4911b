/* SPDX-License-Identifier: BSD-2-Clause */
/* varve list: volumes and snapshots as a table. */
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "attachment.h"
#include "cleanup.h"
#include "command.h"
#include "connect.h"
#include "options.h"
#include "output.h"
#include "size.h"

enum column_kind { TEXT, BYTES, COUNT, AGE, DEVICE };

static const struct column {
	const char *name; /* for -o; the header in capitals */
	const char *header;
	const char *member;
	enum column_kind kind;
} known[] = {
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
};

#define NR_KNOWN (sizeof(known) / sizeof(known[0]))
#define COLUMNS_MAX 32
#define COLUMNS_DEFAULT "name,size,refer,written,age"

struct listing {
	const struct options *options;
	const struct column *columns[COLUMNS_MAX];
	size_t nr_columns;
	bool volumes;
	bool snapshots;
	bool hidden;
	struct attachments attachments;
};

static const struct column *find_column(const char *word, size_t length)
{
	size_t i;

	for (i = 0; i < NR_KNOWN; i++)
		if (strlen(known[i].name) == length &&
		    memcmp(known[i].name, word, length) == 0)
			return &known[i];
	return NULL;
}

static int parse_columns(struct listing *l)
{
	const char *text =
		l->options->columns ? l->options->columns : COLUMNS_DEFAULT;
	const struct column *column;
	size_t length;

	for (;; text += length + 1) {
		length = strcspn(text, ",");
		column = find_column(text, length);
		if (!column)
			return usage_error(l->options->command,
					   "no column '%.*s'", (int)length,
					   text);
		if (l->nr_columns == COLUMNS_MAX)
			return usage_error(l->options->command,
					   "more than %d columns", COLUMNS_MAX);
		l->columns[l->nr_columns++] = column;
		if (!text[length])
			return 0;
	}
}

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
			return usage_error(o->command, "no type '%.*s'",
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
	for (size_t i = 0; i < l->nr_columns; i++)
		json_object_array_add(
			members, json_object_new_string(l->columns[i]->member));
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

static void add_number(struct table *table, uint64_t n)
{
	char text[SIZE_TEXT_BYTES];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	table_cell(table, text);
}

static void add_bytes(const struct listing *l, struct table *table, uint64_t n)
{
	char text[SIZE_TEXT_BYTES];

	if (l->options->exact) {
		add_number(table, n);
		return;
	}
	size_format(n, text);
	table_cell(table, text);
}

static void add_age(const struct listing *l, struct table *table,
		    const char *created)
{
	int64_t seconds = age_seconds(created);
	char text[AGE_TEXT_BYTES];

	if (l->options->exact) {
		add_number(table, seconds < 0 ? 0 : (uint64_t)seconds);
		return;
	}
	age_format(seconds, text);
	table_cell(table, text);
}

static void add_cell(const struct listing *l, struct table *table,
		     struct json_object *info, const struct column *column)
{
	const char *member = column->member, *text;

	switch (column->kind) {
	case TEXT:
		text = member_string(info, member);
		table_cell(table, *text ? text : "-");
		break;
	case BYTES:
		if (member_is_known(info, member))
			add_bytes(l, table, member_number(info, member));
		else
			table_cell(table, "-");
		break;
	case COUNT:
		add_number(table, member_number(info, member));
		break;
	case AGE:
		add_age(l, table, member_string(info, member));
		break;
	case DEVICE:
		text = attachments_device(&l->attachments,
					  member_string(info, member));
		table_cell(table, text ? text : "-");
		break;
	}
}

static void print_table(const struct listing *l, struct json_object *infos)
{
	const char *headers[COLUMNS_MAX];
	bool right[COLUMNS_MAX];
	struct table table;
	size_t i, j;

	for (i = 0; i < l->nr_columns; i++) {
		headers[i] = l->columns[i]->header;
		right[i] = l->columns[i]->kind == BYTES ||
			   l->columns[i]->kind == COUNT ||
			   l->columns[i]->kind == AGE;
	}
	table_init(&table, l->nr_columns, headers, right);
	for (i = 0; i < json_object_array_length(infos); i++)
		for (j = 0; j < l->nr_columns; j++)
			add_cell(l, &table, json_object_array_get_idx(infos, i),
				 l->columns[j]);
	table_print(&table, l->options);
	table_done(&table);
}

static int list_run(const struct options *options)
{
	struct listing l = {.options = options};
	struct json_object *data;
	int r;

	r = parse_columns(&l);
	if (r == 0)
		r = parse_types(&l);
	if (r == 0)
		r = connect_run(options, "list", list_args(&l), &data);
	if (r)
		return r;
	if (options->json) {
		print_json(json_object_get(data));
	} else {
		attachments_load_of(options_store(options), &l.attachments);
		print_table(&l, data);
		attachments_done(&l.attachments);
	}
	json_object_put(data);
	return 0;
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
