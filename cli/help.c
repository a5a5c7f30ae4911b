/* SPDX-License-Identifier: BSD-2-Clause */
/* varve help: all verbs, or one of them. */
#include <stdio.h>

#include <json-c/json.h>

#include "command.h"
#include "options.h"
#include "output.h"

static void print_overview(void)
{
	const struct command *c;
	unsigned int i;

	printf("usage: varve [-s STORE] VERB [OPTIONS] OPERANDS\n\n"
	       "A disk you can snapshot, clone and roll back.\n\n");
	for (i = 0; (c = command_at(i)); i++)
		printf("  %-10s %s\n", c->name, c->summary);
	printf("\nThe store is a file or a block device: -s STORE, else "
	       "$VARVE_STORE, else that of\nvarve.conf(5).  varve VERB --help "
	       "says more of each.\n"
	       "\nExit codes: 0 done, 1 failed, 2 usage, 4 store full, 5 busy "
	       "or attached,\n6 not found, 7 exists, 8 damage found, 10 no "
	       "store or server, 11 locked,\n12 no permission; any other: "
	       "failed.\n");
}

static void print_overview_json(void)
{
	struct json_object *data = must(json_object_new_array());
	struct json_object *one;
	const struct command *c;
	unsigned int i;

	for (i = 0; (c = command_at(i)); i++) {
		one = must(json_object_new_object());
		json_object_object_add(one, "verb",
				       json_object_new_string(c->name));
		json_object_object_add(one, "synopsis",
				       json_object_new_string(c->synopsis));
		json_object_object_add(one, "summary",
				       json_object_new_string(c->summary));
		json_object_array_add(data, one);
	}
	print_json(data);
}

static int help_run(const struct options *options)
{
	const struct command *command;

	if (options->nr_operands == 0) {
		if (options->json)
			print_overview_json();
		else
			print_overview();
		return 0;
	}
	command = command_find(options->operands[0]);
	if (!command)
		return usage_error(NULL, "unknown verb '%s'",
				   options->operands[0]);
	options_help(command, stdout);
	return 0;
}

const struct command command_help = {
	.name = "help",
	.synopsis = "[VERB]",
	.summary = "say how to use varve, or one verb",
	.max_operands = 1,
	.run = help_run,
};
