/* SPDX-License-Identifier: BSD-2-Clause */
/* varve delete: volumes and snapshots; asks before a volume's snapshots go. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "cleanup.h"
#include "command.h"
#include "connect.h"
#include "hold.h"
#include "interrupt.h"
#include "options.h"
#include "output.h"
#include "progress.h"
#include "size.h"

static struct json_object *delete_args(const struct options *options,
				       bool dry_run)
{
	struct json_object *args = names_args(options, 0);

	json_object_object_add(args, "recursive",
			       json_object_new_boolean(options->recursive));
	json_object_object_add(args, "dry_run",
			       json_object_new_boolean(dry_run));
	return args;
}

static void print_dry_run(struct json_object *data)
{
	const char *about = member_bool(data, "exact") ? "" : "about ";
	uint64_t freed = member_number(data, "freed");
	char text[SIZE_TEXT_BYTES];

	print_names(data, "  would be deleted");
	if (!member_is_known(data, "freed"))
		return;
	size_format_long(freed, text);
	if (freed < 1024)
		printf("would free %s%s\n", about, text);
	else
		printf("would free %s%s (%llu bytes)\n", about, text,
		       (unsigned long long)freed);
}

/* Is the name typed again? */
static bool name_is_typed(const char *name)
{
	CLEANUP_FREE char *line = NULL;
	size_t room = 0;
	ssize_t length;

	fprintf(stderr,
		"varve: %s and all its snapshots are about to go; type the "
		"name again: ",
		name);
	fflush(stderr);
	length = getline(&line, &room, stdin);
	if (length > 0 && line[length - 1] == '\n')
		line[length - 1] = '\0';
	return length > 0 && strcmp(line, name) == 0;
}

/* Only volumes lose more than was named, and only people mistype. */
static int confirm(const struct options *options)
{
	int i;

	if (!options->recursive || options->yes || !isatty(STDIN_FILENO))
		return 0;
	for (i = 0; i < options->nr_operands; i++) {
		if (strchr(options->operands[i], '@'))
			continue;
		if (name_is_typed(options->operands[i]))
			continue;
		print_error("%s: not the same name: nothing is deleted",
			    options->operands[i]);
		return EXIT_FAILED;
	}
	return 0;
}

/* Ask for one slice; *checkpoint goes from answer to question. */
static int reclaim(struct connection *c, uint64_t *checkpoint, uint64_t *nodes,
		   bool *done)
{
	struct json_object *args = must(json_object_new_object()), *data;
	int r;

	json_object_object_add(args, "checkpoint",
			       json_object_new_uint64(*checkpoint));
	r = connection_call(c, "reclaim", args, &data);
	if (r)
		return r;
	*checkpoint = member_number(data, "checkpoint");
	*nodes = member_number(data, "nodes");
	*done = member_bool(data, "done");
	json_object_put(data);
	return 0;
}

/* Until all the space has come back. */
static int wait_for_space(struct connection *c, const struct options *options)
{
	uint64_t checkpoint = 0, nodes = 0;
	struct progress progress;
	bool done = false;
	int r;

	(void)progress_init(&progress, options); /* it was looked at before */
	do {
		r = reclaim(c, &checkpoint, &nodes, &done);
		progress_count(&progress, nodes, "map nodes");
	} while (r == 0 && !done && !interrupt_signal());
	progress_done(&progress);
	if (r || done)
		return r;
	connection_leave_deleted(c);
	print_error("interrupted; it is deleted, and its space comes back %s",
		    connection_greeting(c) ? "by and by"
					   : "when the store is served");
	return 128 + interrupt_signal();
}

static void print_deleted(struct json_object *data,
			  const struct options *options)
{
	if (options->json)
		print_json(json_object_get(data));
	else if (options->dry_run)
		print_dry_run(data);
	else if (!options->quiet)
		print_names(data, "  deleted");
	(void)fflush(stdout); /* main() looks at the result */
}

static int delete_names(const struct options *options, unsigned int flags)
{
	const char *store = options_store(options);
	struct connection *c = NULL;
	struct json_object *data;
	int r;

	if (!store)
		return EXIT_USAGE;
	if (options->verbose)
		flags |= CONNECT_VERBOSE;
	r = connection_open(store, flags, &c);
	if (r == 0)
		r = connection_call(c, "delete",
				    delete_args(options, options->dry_run),
				    &data);
	if (r)
		return connection_close(c, r);
	if (options->wait)
		interrupt_catch();
	print_deleted(data, options);
	r = check_counted(data, "freed");
	json_object_put(data);
	if (options->wait && !options->dry_run)
		r = wait_for_space(c, options);
	return connection_close(c, r);
}

static int delete_run(const struct options *options)
{
	struct progress progress;
	int r = progress_init(&progress, options);

	if (r == 0)
		r = operands_check_not_attached(options, 1);
	if (r == 0 && !options->dry_run)
		r = confirm(options);
	return r ? r
		 : delete_names(options, options->dry_run ? CONNECT_READ
							  : CONNECT_WRITE);
}

const struct command command_delete = {
	.name = "delete",
	.synopsis = "[-n] [-r] [--wait] [--yes] VOLUME@SNAPSHOT|VOLUME...",
	.summary = "delete snapshots, or whole volumes",
	.details =
		"A volume that has snapshots needs -r, and on a terminal "
		"its name typed again.\nWhat is open or attached is not "
		"deleted.  -n also says how much would come free.\nThe space "
		"comes back in the background; --wait waits for all of it.",
	.accepts = OPTION_DRY_RUN | OPTION_RECURSIVE | OPTION_YES |
		   OPTION_WAIT | OPTION_PROGRESS,
	.min_operands = 1,
	.max_operands = -1,
	.run = delete_run,
};
