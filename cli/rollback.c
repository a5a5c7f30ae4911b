/* SPDX-License-Identifier: BSD-2-Clause */
/* varve rollback: volumes become what a snapshot kept. */
#include <stdio.h>

#include <json-c/json.h>

#include "command.h"
#include "hold.h"
#include "options.h"
#include "output.h"

static void print_rolled_back(const struct options *options,
			      struct json_object *data)
{
	struct json_object *one;
	size_t i;

	for (i = 0; i < json_object_array_length(data); i++) {
		one = json_object_array_get_idx(data, i);
		if (options->dry_run)
			printf("%s  would be rolled back to %s\n",
			       member_string(one, "volume"),
			       member_string(one, "name"));
		else
			printf("%s  rolled back to %s, was kept as %s\n",
			       member_string(one, "volume"),
			       member_string(one, "name"),
			       member_string(one, "kept"));
	}
}

static int rollback_run(const struct options *options)
{
	struct json_object *data;
	int r;

	r = hold_and_run(options, "rollback", names_args(options, 0), &data);
	if (!data)
		return r;
	if (options->json)
		print_json(json_object_get(data));
	else if (!options->quiet)
		print_rolled_back(options, data);
	json_object_put(data);
	return r;
}

const struct command command_rollback = {
	.name = "rollback",
	.synopsis = "[-n] VOLUME@SNAPSHOT...",
	.summary = "take volumes back to snapshots",
	.details =
		"Newer snapshots stay, and what the volume was is kept as "
		"another one: see undo.\nSeveral volumes go back in the same "
		"instant.  Refused while anybody has a\nvolume open for "
		"writing; an attached device that is not in use does not "
		"count.",
	.accepts = OPTION_DRY_RUN,
	.min_operands = 1,
	.max_operands = -1,
	.run = rollback_run,
};
