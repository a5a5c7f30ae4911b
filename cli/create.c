/* SPDX-License-Identifier: BSD-2-Clause */
/* varve create: a new, empty volume. */
#include <stdio.h>

#include <json-c/json.h>

#include "command.h"
#include "connect.h"
#include "options.h"
#include "output.h"
#include "size.h"

static int create_run(const struct options *options)
{
	struct error err = ERROR_NONE;
	struct json_object *args, *data;
	char text[SIZE_TEXT_BYTES];
	uint64_t size;
	int r;

	if (size_parse(options->operands[1], &size, &err) < 0) {
		print_error("%s", err.message);
		return EXIT_USAGE;
	}
	args = must(json_object_new_object());
	json_object_object_add(args, "name",
			       json_object_new_string(options->operands[0]));
	json_object_object_add(args, "size", json_object_new_uint64(size));
	json_object_object_add(args, "dry_run",
			       json_object_new_boolean(options->dry_run));
	r = connect_run(options, "create", args, &data);
	if (r)
		return r;
	size_format_long(size, text);
	if (options->json)
		print_json(json_object_get(data));
	else if (!options->quiet)
		printf("%s%s  %s\n", options->dry_run ? "would create " : "",
		       options->operands[0], text);
	json_object_put(data);
	return 0;
}

const struct command command_create = {
	.name = "create",
	.synopsis = "[-n] VOLUME SIZE",
	.summary = "make a volume",
	.details = "SIZE is a multiple of 512 bytes, at most 32T.  Nothing is "
		   "set aside for it:\na volume takes space as it is written.",
	.accepts = OPTION_DRY_RUN,
	.min_operands = 2,
	.max_operands = 2,
	.run = create_run,
};
