/* SPDX-License-Identifier: BSD-2-Clause */
/* varve snapshot: all the operands in one instant. */
#include <stdio.h>

#include <json-c/json.h>

#include "command.h"
#include "connect.h"
#include "options.h"
#include "output.h"

static int snapshot_run(const struct options *options)
{
	struct json_object *args = names_args(options, 0), *data;
	int r;

	if (options->text)
		json_object_object_add(args, "message",
				       json_object_new_string(options->text));
	r = connect_run(options, "snapshot", args, &data);
	if (r)
		return r;
	if (options->json)
		print_json(json_object_get(data));
	else if (!options->quiet)
		print_names(data, options->dry_run ? "  would be taken" : "");
	json_object_put(data);
	return 0;
}

const struct command command_snapshot = {
	.name = "snapshot",
	.synopsis = "[-n] [-m TEXT] VOLUME@SNAPSHOT...",
	.summary = "keep volumes as they are now",
	.details = "Several are taken in the same instant, or none is.",
	.accepts = OPTION_DRY_RUN | OPTION_TEXT,
	.min_operands = 1,
	.max_operands = -1,
	.run = snapshot_run,
};
