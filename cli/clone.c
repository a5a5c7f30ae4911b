/* SPDX-License-Identifier: BSD-2-Clause */
/* varve clone: new volumes that start as a snapshot. */
#include <stdio.h>

#include <json-c/json.h>

#include "command.h"
#include "connect.h"
#include "options.h"
#include "output.h"

static int clone_run(const struct options *options)
{
	struct json_object *args = names_args(options, 1), *data;
	int r;

	json_object_object_add(args, "snapshot",
			       json_object_new_string(options->operands[0]));
	r = connect_run(options, "clone", args, &data);
	if (r)
		return r;
	if (options->json)
		print_json(json_object_get(data));
	else if (!options->quiet)
		print_names(data, options->dry_run ? "  would be made" : "");
	json_object_put(data);
	return 0;
}

const struct command command_clone = {
	.name = "clone",
	.synopsis = "[-n] VOLUME@SNAPSHOT NEW-VOLUME...",
	.summary = "make volumes that start as a snapshot",
	.details = "Nothing is copied.  A clone does not need its snapshot: "
		   "either may be deleted.",
	.accepts = OPTION_DRY_RUN,
	.min_operands = 2,
	.max_operands = -1,
	.run = clone_run,
};
