/* SPDX-License-Identifier: BSD-2-Clause */
/* varve du: where the space is, and what would give it back. */
#include <json-c/json.h>

#include "columns.h"
#include "command.h"
#include "connect.h"
#include "options.h"
#include "output.h"

static const struct column known[] = {
	{"name", "NAME", "name", TEXT},
	{"type", "TYPE", "type", TEXT},
	{"refer", "REFER", "refer", BYTES},
	{"head", "HEAD", "head", BYTES},
	{"snapshots", "SNAPSHOTS", "snapshots", BYTES},
	{"both", "BOTH", "both", BYTES},
	{"excl", "EXCL", "excl", BYTES},
	{NULL, NULL, NULL, TEXT},
};

#define COLUMNS_DEFAULT "name,refer,head,snapshots,both,excl"

/* A row below the others: member @key of @data as EXCL. */
static void add_sum(struct json_object *rows, struct json_object *data,
		    const char *key, const char *name)
{
	struct json_object *row = must(json_object_new_object());

	json_object_object_add(row, "name", json_object_new_string(name));
	json_object_object_add(
		row, "excl",
		json_object_get(json_object_object_get(data, key)));
	json_object_array_add(rows, row);
}

/* The sums are for people: no volume has such a name. */
static void print_du(const struct columns *columns,
		     const struct options *options, struct json_object *data)
{
	struct json_object *rows = NULL;

	if (!json_object_object_get_ex(data, "volumes", &rows))
		return;
	if (!options->no_header) {
		add_sum(rows, data, "shared", "(shared)");
		add_sum(rows, data, "total", "(total)");
	}
	columns_print(columns, options, rows, NULL);
	if (member_is_known(data, "total") && !member_bool(data, "exact") &&
	    !options->quiet)
		print_error("the store was written to meanwhile: these are "
			    "about right");
}

static int du_run(const struct options *options)
{
	struct json_object *args = must(json_object_new_object()), *data;
	struct columns columns;
	int r;

	if (options->nr_operands)
		json_object_object_add(args, "names",
				       operand_array(options, 0));
	r = columns_parse(options, known, COLUMNS_DEFAULT, &columns);
	if (r == 0)
		r = connect_run(options, "du", args, &data);
	else
		json_object_put(args);
	if (r)
		return r;
	if (options->json)
		print_json(json_object_get(data));
	else
		print_du(&columns, options, data);
	r = check_counted(data, "total");
	json_object_put(data);
	return r;
}

const struct command command_du = {
	.name = "du",
	.synopsis = "[-o COLUMNS] [-Hp] [VOLUME|VOLUME@SNAPSHOT]...",
	.summary = "where the space is, and what would give it back",
	.details =
		"REFER is what the volume maps.  HEAD is held by the volume "
		"itself and nobody else,\nSNAPSHOTS by its snapshots, BOTH by "
		"it and them; EXCL is the sum: what delete -r\nwould free.  "
		"(shared) is held by several of those listed and nobody else; "
		"with it\nEXCL adds up to (total), what deleting all of them "
		"would free.\n"
		"Columns: name type refer head snapshots both excl.",
	.accepts = OPTION_TABLE,
	.max_operands = -1,
	.run = du_run,
};
