/* SPDX-License-Identifier: BSD-2-Clause */
/* varve metrics: the server's numbers, for Prometheus. */
#include <stdio.h>

#include <json-c/json.h>

#include "command.h"
#include "connect.h"
#include "options.h"
#include "output.h"

static int metrics_run(const struct options *options)
{
	const char *store = options_store(options);
	struct connection *c = NULL;
	struct json_object *data;
	int r;

	if (!store)
		return EXIT_USAGE;
	r = connection_open(store, CONNECT_SERVED, &c);
	if (r == 0)
		r = connection_call(c, "metrics", NULL, &data);
	if (r)
		return connection_close(c, r);
	if (options->json)
		print_json(json_object_get(data));
	else
		fputs(member_string(data, "text"), stdout);
	json_object_put(data);
	return connection_close(c, 0);
}

const struct command command_metrics = {
	.name = "metrics",
	.synopsis = "",
	.summary = "print metrics in the text format of Prometheus",
	.details = "Requests and what they took, volumes, space, cleaner, "
		   "memory, errors.  The same\nby HTTP: varve serve "
		   "--metrics.",
	.run = metrics_run,
};
