/* SPDX-License-Identifier: BSD-2-Clause */
/* varve version: which varve this is, and the format it writes. */
#include <stdio.h>

#include <json-c/json.h>

#include "command.h"
#include "options.h"
#include "output.h"
#include "superblock.h"

static int version_run(const struct options *options)
{
	struct json_object *data;

	if (!options->json) {
		printf("varve %s\n", VARVE_VERSION);
		return 0;
	}
	data = must(json_object_new_object());
	json_object_object_add(data, "version",
			       json_object_new_string(VARVE_VERSION));
	json_object_object_add(data, "format",
			       json_object_new_int(FORMAT_VERSION));
	print_json(data);
	return 0;
}

const struct command command_version = {
	.name = "version",
	.synopsis = "",
	.summary = "print the version",
	.run = version_run,
};
