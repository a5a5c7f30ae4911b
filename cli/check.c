/* SPDX-License-Identifier: BSD-2-Clause */
/* varve check: recount what the store believes of itself. */
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "command.h"
#include "connect.h"
#include "options.h"
#include "output.h"

static void print_sum(struct json_object *data)
{
	static const char *const what[] = {"volumes", "nodes", "blocks",
					   "segments"};
	uint64_t errors = member_number(data, "errors");
	size_t i;

	if (errors)
		printf("%llu error%s found:", (unsigned long long)errors,
		       errors == 1 ? "" : "s");
	else
		printf("no errors:");
	for (i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		uint64_t nr = member_number(data, what[i]);

		/* without the s of the plural */
		printf("%s %llu %.*s", i ? "," : "", (unsigned long long)nr,
		       (int)strlen(what[i]) - (nr == 1), what[i]);
	}
	if (member_number(data, "lost"))
		printf(", %llu lost in a repair",
		       (unsigned long long)member_number(data, "lost"));
	putchar('\n');
}

static int check_run(const struct options *options)
{
	struct json_object *data;
	uint64_t errors;
	int r;

	r = connect_run(options, "check", NULL, &data);
	if (r)
		return r;
	errors = member_number(data, "errors");
	if (options->json) {
		print_json(json_object_get(data));
	} else if (errors || !options->quiet) {
		print_lines(data);
		print_sum(data);
	}
	json_object_put(data);
	return errors ? EXIT_CORRUPT : 0;
}

const struct command command_check = {
	.name = "check",
	.synopsis = "",
	.summary = "check the store, in use or not",
	.details = "Counts every reference again and compares.  Nothing is "
		   "changed.\nExits with 8 when something is wrong.",
	.run = check_run,
};
