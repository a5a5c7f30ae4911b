/* SPDX-License-Identifier: BSD-2-Clause */
/* varve snapshot: all the operands in one instant. */
#include <stdio.h>

#include <json-c/json.h>

#include "command.h"
#include "connect.h"
#include "freeze.h"
#include "options.h"
#include "output.h"

static int snapshot_run(const struct options *options)
{
	struct json_object *args = names_args(options, 0), *data;
	int r;

	if (options->text)
		json_object_object_add(args, "message",
				       json_object_new_string(options->text));
	if (freeze_is_wanted(options))
		r = freeze_and_snapshot(options, args, &data);
	else
		r = connect_run(options, "snapshot", args, &data);
	if (r)
		return r;
	if (options->json)
		print_json(json_object_get(data));
	else if (!options->quiet && freeze_is_wanted(options))
		freeze_print(data, options->dry_run);
	else if (!options->quiet)
		print_names(data, options->dry_run ? "  would be taken" : "");
	json_object_put(data);
	return 0;
}

const struct command command_snapshot = {
	.name = "snapshot",
	.synopsis = "[-n] [-m TEXT] [--freeze] VOLUME@SNAPSHOT...",
	.summary = "keep volumes as they are now",
	.details =
		"Several are taken in the same instant, or none is.\n\n"
		"A snapshot holds what had been written, as after a power cut. "
		" --freeze makes the\nfile systems that are mounted from the "
		"volumes on this host write everything out\nand stand still "
		"meanwhile; --freeze-cmd and --thaw-cmd do so with a database "
		"or a\nvirtual machine.  All is thawed again whatever fails, "
		"also when this program is\nkilled, and after the time limit; "
		"no snapshot is kept of what was not frozen all\nthe time.  "
		"A volume that is attached and not mounted needs no freezing.",
	.accepts = OPTION_DRY_RUN | OPTION_TEXT | OPTION_FREEZE,
	.min_operands = 1,
	.max_operands = -1,
	.run = snapshot_run,
};
