/* SPDX-License-Identifier: BSD-2-Clause */
/* varve dump: the store's structures as text. */
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "command.h"
#include "connect.h"
#include "options.h"
#include "output.h"

static bool is_known(const char *what)
{
	static const char *const known[] = {"super",   "log",	"segments",
					    "volumes", "nodes", "all"};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(what, known[i]) == 0)
			return true;
	return false;
}

static int dump_run(const struct options *options)
{
	const char *what = options->nr_operands ? options->operands[0] : "all";
	struct json_object *args, *data;
	int r;

	if (!is_known(what))
		return usage_error(options->command, "nothing named '%s'",
				   what);
	args = must(json_object_new_object());
	json_object_object_add(args, "what", json_object_new_string(what));
	r = connect_run(options, "dump", args, &data);
	if (r)
		return r;
	if (options->json)
		print_json(json_object_get(data));
	else
		print_lines(data);
	if (member_bool(data, "truncated")) {
		print_error("the dump is too long and was cut; dump one part");
		r = EXIT_PARTLY;
	}
	json_object_put(data);
	return r;
}

const struct command command_dump = {
	.name = "dump",
	.synopsis = "[super|log|segments|volumes|nodes|all]",
	.summary = "print the store's structures",
	.max_operands = 1,
	.run = dump_run,
};
