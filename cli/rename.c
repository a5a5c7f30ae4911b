/* SPDX-License-Identifier: BSD-2-Clause */
/* varve rename: other names for volumes and snapshots. */
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "command.h"
#include "connect.h"
#include "hold.h"
#include "options.h"
#include "output.h"

static struct json_object *every_other(const struct options *options, int from)
{
	struct json_object *array = must(json_object_new_array());

	for (int i = from; i < options->nr_operands; i += 2)
		json_object_array_add(
			array, json_object_new_string(options->operands[i]));
	return array;
}

static struct json_object *rename_args(const struct options *options)
{
	struct json_object *args = must(json_object_new_object());

	json_object_object_add(args, "names", every_other(options, 0));
	json_object_object_add(args, "to", every_other(options, 1));
	json_object_object_add(args, "dry_run",
			       json_object_new_boolean(options->dry_run));
	return args;
}

static void print_renamed(const struct options *options,
			  struct json_object *data)
{
	for (size_t i = 0; i < json_object_array_length(data); i++) {
		struct json_object *one = json_object_array_get_idx(data, i);

		printf("%s  %s %s\n", member_string(one, "was"),
		       options->dry_run ? "would be renamed to" : "renamed to",
		       member_string(one, "name"));
	}
}

static int rename_run(const struct options *options)
{
	struct json_object *data;
	int r;

	if (options->nr_operands % 2)
		return usage_error(&command_rename,
				   "'%s' has no new name beside it",
				   options->operands[options->nr_operands - 1]);
	r = operands_check_not_attached(options, 2);
	if (r == 0)
		r = connect_run(options, "rename", rename_args(options), &data);
	if (r)
		return r;
	if (options->json)
		print_json(json_object_get(data));
	else if (!options->quiet)
		print_renamed(options, data);
	json_object_put(data);
	return 0;
}

const struct command command_rename = {
	.name = "rename",
	.synopsis = "[-n] OLD NEW [OLD NEW]...",
	.summary = "give volumes or snapshots other names",
	.details =
		"Of a volume, or of a snapshot: VOLUME@OLD VOLUME@NEW.  A "
		"volume takes its snapshots\nalong.  All of the pairs are "
		"renamed in one instant, or none.  What is open or\nattached "
		"is not renamed.",
	.accepts = OPTION_DRY_RUN,
	.min_operands = 2,
	.max_operands = -1,
	.run = rename_run,
};
