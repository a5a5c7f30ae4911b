/* SPDX-License-Identifier: BSD-2-Clause */
/* varve check: is the store sound, and if not, make it so. */
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "command.h"
#include "connect.h"
#include "engine.h"
#include "options.h"
#include "output.h"
#include "runtime.h"

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

static int ask_served(struct connection *c, const struct options *options,
		      struct json_object **ret)
{
	if (!options->repair)
		return connection_call(c, "check", NULL, ret);
	print_error("%s: in use; stop its server before a repair",
		    options_store(options));
	return EXIT_BUSY;
}

static int work_closed(struct backend *be, const struct options *options,
		       struct json_object **ret)
{
	const struct repair_options repair = {
		.dry_run = options->dry_run,
		.cut_log = options->cut_log,
		.tail_dirs = runtime_tail_dirs(),
	};
	struct error err = ERROR_NONE;
	int r;

	if (options->repair)
		r = verb_repair_closed(be, &repair, ret, &err);
	else
		r = verb_check_closed(be, repair.tail_dirs, ret, &err);
	if (r == 0)
		return 0;
	print_error("%s: %s", options_store(options), err.message);
	return open_exit_code(r);
}

static int get_report(const struct options *options, struct json_object **ret)
{
	unsigned int flags =
		CONNECT_CLOSED |
		(options->repair && !options->dry_run ? CONNECT_WRITE
						      : CONNECT_READ) |
		(options->verbose ? CONNECT_VERBOSE : 0);
	const char *store = options_store(options);
	struct connection *c;
	int r;

	if (!store)
		return EXIT_USAGE;
	r = connection_open(store, flags, &c);
	if (r)
		return r;
	if (connection_backend(c))
		r = work_closed(connection_backend(c), options, ret);
	else
		r = ask_served(c, options, ret);
	return connection_close(c, r);
}

static int print_report(const struct options *options, struct json_object *data)
{
	uint64_t errors = member_number(data, "errors");
	const char *failure = member_string(data, "failure");
	bool repaired = member_bool(data, "repaired");

	if (options->json) {
		print_json(json_object_get(data));
	} else if (errors || !options->quiet) {
		print_lines(data);
		print_sum(data);
		if (repaired)
			puts("the store is sound now");
	}
	if (*failure)
		print_error("%s: %s", options_store(options), failure);
	return errors && !repaired ? EXIT_CORRUPT : 0;
}

static int check_run(const struct options *options)
{
	struct json_object *data = NULL;
	int r;

	if (!options->repair && (options->cut_log || options->dry_run))
		return usage_error(options->command, "%s goes with --repair",
				   options->cut_log ? "--cut-log"
						    : "--dry-run");
	r = get_report(options, &data);
	if (r == 0)
		r = print_report(options, data);
	json_object_put(data);
	return r;
}

const struct command command_check = {
	.name = "check",
	.synopsis = "[--repair [-n] [--cut-log]]",
	.summary = "check the store, in use or not, and repair it",
	.details = "Counts every reference again and compares.  Says what is "
		   "wrong, and which\nvolumes, ranges and snapshots that "
		   "concerns.  Without --repair nothing is changed.\n\n"
		   "A repair restores what can be, and says what it gives up: "
		   "such blocks read as\nerrors until they are written anew.  "
		   "What lies behind damage in the log is given\nup with "
		   "--cut-log only.\n\n"
		   "Exits with 8 when something is wrong, and was not "
		   "repaired.",
	.accepts = OPTION_REPAIR | OPTION_DRY_RUN,
	.run = check_run,
};
