/* SPDX-License-Identifier: BSD-2-Clause */
/* varve undo: take a rollback back. */
#include <stdio.h>

#include <json-c/json.h>

#include "command.h"
#include "hold.h"
#include "options.h"
#include "output.h"

static int undo_run(const struct options *options)
{
	struct json_object *data;
	int r;

	r = hold_and_run(options, "undo", names_args(options, 0), &data);
	if (!data)
		return r;
	if (options->json)
		print_json(json_object_get(data));
	else if (!options->quiet)
		print_names(data,
			    options->dry_run
				    ? "  would be swapped with what its "
				      "rollback kept"
				    : "  swapped with what its rollback kept");
	json_object_put(data);
	return r;
}

const struct command command_undo = {
	.name = "undo",
	.synopsis = "[-n] VOLUME...",
	.summary = "undo the last rollback of volumes",
	.details = "A volume becomes again what it was before its last "
		   "rollback; undone twice, it\nis rolled back again.",
	.accepts = OPTION_DRY_RUN,
	.min_operands = 1,
	.max_operands = -1,
	.run = undo_run,
};
