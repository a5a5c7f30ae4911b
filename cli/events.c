/* SPDX-License-Identifier: BSD-2-Clause */
/* varve events: what the server has to tell, as lines of JSON. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <json-c/json.h>

#include "command.h"
#include "connect.h"
#include "options.h"
#include "output.h"

/* Seconds the server holds a question that has no answer yet. */
#define WAIT_S 30

static int parse_after(const struct options *options, uint64_t *ret)
{
	const char *text = options->after;
	char *end;

	*ret = 0;
	if (!text)
		return 0;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || *ret > INT64_MAX)
		return usage_error(options->command,
				   "--after: '%s' is no number of an event",
				   text);
	return 0;
}

static int ask(struct connection *c, uint64_t after, int wait,
	       struct json_object **ret)
{
	struct json_object *args = must(json_object_new_object());

	json_object_object_add(args, "after", json_object_new_uint64(after));
	json_object_object_add(args, "wait", json_object_new_int(wait));
	return connection_call(c, "events", args, ret);
}

/* What the server does not have any more leaves a line, too. */
static void print_missed(uint64_t nr)
{
	printf("{\"event\":\"missed\",\"level\":\"warning\","
	       "\"text\":\"events that are lost: number=%llu\","
	       "\"number\":%llu}\n",
	       (unsigned long long)nr, (unsigned long long)nr);
}

/* False when nobody takes them. */
static bool print_events(struct json_object *data, uint64_t after)
{
	uint64_t missed = member_number(data, "missed");
	struct json_object *events;
	size_t i;

	if (after && missed)
		print_missed(missed);
	if (json_object_object_get_ex(data, "events", &events))
		for (i = 0; i < json_object_array_length(events); i++)
			puts(json_object_to_json_string_ext(
				json_object_array_get_idx(events, i),
				JSON_C_TO_STRING_PLAIN |
					JSON_C_TO_STRING_NOSLASHESCAPE));
	return fflush(stdout) == 0;
}

static int print_from(struct connection *c, uint64_t after, bool follow)
{
	struct json_object *data;
	bool taken;
	int r;

	r = ask(c, after, 0, &data);
	while (r == 0) {
		taken = print_events(data, after);
		after = member_number(data, "last");
		json_object_put(data);
		if (!follow || !taken)
			return 0; /* main() looks at standard output */
		r = ask(c, after, WAIT_S, &data);
	}
	return r;
}

static int events_run(const struct options *options)
{
	const char *store = options_store(options);
	struct connection *c = NULL;
	uint64_t after;
	int r;

	if (!store)
		return EXIT_USAGE;
	r = parse_after(options, &after);
	if (r == 0)
		r = connection_open(store, CONNECT_SERVED, &c);
	if (r == 0)
		r = print_from(c, after, options->follow);
	return connection_close(c, r);
}

const struct command command_events = {
	.name = "events",
	.synopsis = "[--follow] [--after SEQ]",
	.summary = "print what the server has to tell, as lines of JSON",
	.details = "Recovery, damage, failures, space; the server keeps the "
		   "last 1024.  With\n--follow it goes on until the server "
		   "ends, and then exits with 10.",
	.accepts = OPTION_FOLLOW,
	.run = events_run,
};
