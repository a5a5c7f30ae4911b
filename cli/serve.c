/* SPDX-License-Identifier: BSD-2-Clause */
/* varve serve: becomes varved, or starts it in the background. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "background.h"
#include "cleanup.h"
#include "client.h"
#include "command.h"
#include "config.h"
#include "connect.h"
#include "options.h"
#include "output.h"
#include "varved-path.h"

#define ARGS_MAX 256

struct serve {
	const struct options *options;
	char varved[PATH_MAX];
	char store[PATH_MAX]; /* absolute */
	/* what relative paths became */
	char config[PATH_MAX];
	char socket[PATH_MAX];
	char tls_certificates[PATH_MAX];
	char tls_psk[PATH_MAX];
	const char *args[ARGS_MAX];
	int nr_args;
};

static int add_word(struct serve *s, const char *word)
{
	if (s->nr_args == ARGS_MAX - 1)
		return usage_error(s->options->command, "too many operands");
	s->args[s->nr_args++] = word;
	return 0;
}

static int add_option(struct serve *s, const char *option, const char *value)
{
	int r;

	if (!value)
		return 0;
	r = add_word(s, option);
	return r ? r : add_word(s, value);
}

/* A background server does not stay in this directory. */
static int add_path(struct serve *s, const char *option, const char *path,
		    char room[PATH_MAX])
{
	CLEANUP_FREE char *cwd = NULL;

	if (!path || path[0] == '/')
		return add_option(s, option, path);
	cwd = must(getcwd(NULL, 0));
	if (snprintf(room, PATH_MAX, "%s/%s", cwd, path) >= PATH_MAX)
		return usage_error(s->options->command, "%s is too long",
				   option);
	return add_option(s, option, room);
}

static int build_args(struct serve *s)
{
	const struct options *o = s->options;
	int i, r;

	r = add_word(s, s->varved);
	if (r == 0 && options_store_is_configured(o))
		r = add_path(s, "--config", config_path(), s->config);
	r = r ? r : add_path(s, "--socket", o->socket, s->socket);
	r = r ? r : add_option(s, "--mode", o->mode);
	r = r ? r : add_option(s, "--group", o->group);
	r = r ? r : add_option(s, "--port", o->port);
	r = r ? r : add_option(s, "--address", o->address);
	r = r ? r
	      : add_path(s, "--tls-certificates", o->tls_certificates,
			 s->tls_certificates);
	r = r ? r : add_path(s, "--tls-psk", o->tls_psk, s->tls_psk);
	if (r == 0 && o->tls_verify_peer)
		r = add_word(s, "--tls-verify-peer");
	r = r ? r : add_option(s, "--threads", o->threads);
	r = r ? r : add_option(s, "--connections", o->connections);
	r = r ? r : add_option(s, "--memory", o->memory);
	r = r ? r : add_option(s, "--memory-tables", o->memory_tables);
	r = r ? r : add_option(s, "--metrics", o->metrics);
	if (r == 0 && o->read_only)
		r = add_word(s, "--read-only");
	if (r == 0 && o->verbose)
		r = add_word(s, "--verbose");
	r = r ? r : add_word(s, s->store);
	if (r == 0 && o->nr_operands)
		r = add_word(s, "--");
	for (i = 0; i < o->nr_operands && r == 0; i++)
		r = add_word(s, o->operands[i]);
	return r;
}

static int refuse_served(const struct serve *s)
{
	struct client *client;

	if (client_connect(s->store, &client, NULL) < 0)
		return 0;
	print_error("%s: served already, by process %llu", s->store,
		    (unsigned long long)member_number(client_greeting(client),
						      "pid"));
	client_close(client);
	return EXIT_LOCKED;
}

static void print_serving(const struct serve *s, struct json_object *greeting)
{
	const char *socket = member_string(greeting, "socket");
	uint64_t pid = member_number(greeting, "pid");
	struct json_object *data;

	if (s->options->json) {
		data = must(json_object_new_object());
		json_object_object_add(data, "store",
				       json_object_new_string(s->store));
		json_object_object_add(data, "socket",
				       json_object_new_string(socket));
		json_object_object_add(data, "pid",
				       json_object_new_uint64(pid));
		print_json(data);
	} else if (!s->options->quiet) {
		printf("%s  socket %s  pid %llu\n", s->store, socket,
		       (unsigned long long)pid);
	}
}

static int serve_in_background(const struct serve *s)
{
	struct client *client;
	int r;

	r = background_start(s->store, s->args, &client);
	if (r)
		return r;
	print_serving(s, client_greeting(client));
	client_close(client);
	return 0;
}

static int serve_run(const struct options *options)
{
	struct serve s = {.options = options};
	const char *store = options_store(options);
	struct store_identity identity;
	int r;

	if (!store)
		return EXIT_USAGE;
	if (options->nr_operands > options->nr_after_dashes)
		return usage_error(options->command, "too many operands: '%s'",
				   options->operands[0]);
	r = store_identify(store, &identity);
	if (r)
		return r;
	if (!realpath(store, s.store)) {
		print_error("%s: %s", store, strerror(errno));
		return EXIT_NO_STORE;
	}
	r = varved_find(s.varved);
	if (r == 0)
		r = build_args(&s);
	if (r == 0)
		r = refuse_served(&s);
	if (r)
		return r;
	if (options->daemon)
		return serve_in_background(&s);
	execv(s.varved, (char *const *)s.args);
	print_error("%s: %s", s.varved, strerror(errno));
	return EXIT_FAILED;
}

const struct command command_serve = {
	.name = "serve",
	.synopsis =
		"[--daemon] [--socket PATH] [OPTIONS] [-- NBDKIT-OPTION...]",
	.summary = "serve the store's volumes over NBD",
	.details =
		"Becomes varved, which serves every volume and snapshot under "
		"its name.  With\n--daemon it returns once they are served.  "
		"SIGTERM stops the server in order;\nno signal loses what was "
		"acknowledged.\n\nFor the store that the configuration "
		"file names, its settings hold too, unless an\noption says "
		"otherwise.",
	.accepts = OPTION_SERVE | OPTION_READ_ONLY,
	.max_operands = -1,
	.run = serve_run,
};
