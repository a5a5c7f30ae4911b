/* SPDX-License-Identifier: BSD-2-Clause */
#include "connect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <json-c/json.h>

#include "backend-file.h"
#include "client.h"
#include "command.h"
#include "duration.h"
#include "engine.h"
#include "options.h"
#include "output.h"
#include "runtime.h"

#define LOCK_WAIT_MS 5000
/* Between two looks for a server that may have come up meanwhile. */
#define LOCK_SLICE_MS 200

/* Exactly one of client, store and backend is set. */
struct connection {
	struct client *client;
	struct store *store;
	struct backend *backend;
	unsigned int flags;
	bool deleted; /* there may be something to free */
};

static int say(const struct connection *c, int exit_code,
	       const struct error *err)
{
	if (!(c->flags & CONNECT_QUIET))
		print_error("%s", err->message);
	return exit_code;
}

int store_identify(const char *store, struct store_identity *ret)
{
	struct stat st;

	if (stat(store, &st) == 0) {
		*ret = (struct store_identity){st.st_dev, st.st_ino};
		return 0;
	}
	if (errno == ENOENT || errno == ENOTDIR) {
		print_error("%s: no such store; varve init makes one", store);
		return EXIT_NO_STORE;
	}
	print_error("%s: %s", store, strerror(errno));
	return errno == EACCES ? EXIT_PERMISSION : EXIT_NO_STORE;
}

/*
 * Warnings are always said, the rest with -v; but errors are what the verb
 * itself fails with.
 */
static void message(void *opaque, enum message_level level,
		    enum store_event event, const char *text)
{
	const struct connection *c = opaque;
	enum message_level limit =
		c->flags & CONNECT_VERBOSE ? MESSAGE_INFO : MESSAGE_WARNING;

	if (level != MESSAGE_ERROR && level <= limit &&
	    !(c->flags & CONNECT_QUIET))
		print_error("%s", text);
}

static int open_engine(struct connection *c, const char *path,
		       struct backend *be, struct error *err)
{
	struct store_open_options options = {
		.read_only = !(c->flags & CONNECT_WRITE),
		.tail_dirs = runtime_tail_dirs(),
		.message = message,
		.message_opaque = c,
	};
	int r;

	r = store_open(be, &options, &c->store, err);
	if (r == 0)
		return 0;
	backend_close(be);
	return error_prefix(err, "%s", path);
}

/* One attempt each way.  -EWOULDBLOCK: locked, and no server answers yet. */
static int open_either_way(struct connection *c, const char *store,
			   struct error *err)
{
	unsigned int flags =
		c->flags & CONNECT_WRITE ? 0 : BACKEND_FILE_READ_ONLY;
	struct backend *be;
	int r;

	r = client_connect(store, &c->client, err);
	if (r != -ECONNREFUSED || c->flags & CONNECT_SERVED)
		return r;
	r = backend_file_open(store, flags, -1, LOCK_SLICE_MS, &be, err);
	if (r < 0)
		return r;
	if (c->flags & CONNECT_CLOSED) {
		c->backend = be;
		return 0;
	}
	return open_engine(c, store, be, err);
}

static int open_exit(struct connection *c, const char *store, int r,
		     struct error *err)
{
	if (r == -ECONNREFUSED)
		error_set(err, ECONNREFUSED,
			  "%s: not served; start it with varve serve", store);
	if (r == -EWOULDBLOCK)
		error_set(err, EWOULDBLOCK,
			  "%s: locked by another process for over %d s", store,
			  LOCK_WAIT_MS / 1000);
	if (r == -ECONNREFUSED || r == -ETIMEDOUT || r == -EPROTO)
		return say(c, EXIT_NO_STORE, err);
	return say(c, open_exit_code(r), err);
}

int connection_open(const char *store, unsigned int flags,
		    struct connection **ret)
{
	int64_t deadline = now_ms() + LOCK_WAIT_MS;
	struct connection *c = must(calloc(1, sizeof(*c)));
	struct error err = ERROR_NONE;
	struct store_identity identity;
	int r;

	c->flags = flags;
	r = store_identify(store, &identity);
	if (r)
		goto err_free;
	do
		r = open_either_way(c, store, &err);
	while (r == -EWOULDBLOCK && now_ms() < deadline);
	if (r < 0) {
		r = open_exit(c, store, r, &err);
		goto err_free;
	}
	*ret = c;
	return 0;
err_free:
	free(c);
	return r;
}

int connection_call(struct connection *c, const char *verb,
		    struct json_object *args, struct json_object **ret_data)
{
	struct error err = ERROR_NONE;
	struct json_object *data = NULL;
	int r;

	if (c->client) {
		r = client_call(c->client, verb, args, &data, &err);
	} else {
		r = verb_run(c->store, verb, args, &data, &err);
		r = verb_exit_code(r);
		c->deleted |= strcmp(verb, "delete") == 0;
	}
	json_object_put(args);
	if (ret_data)
		*ret_data = data;
	else
		json_object_put(data);
	return r ? say(c, r, &err) : 0;
}

struct backend *connection_backend(const struct connection *c)
{
	return c->backend;
}

struct json_object *connection_greeting(const struct connection *c)
{
	return c->client ? client_greeting(c->client) : NULL;
}

void connection_leave_deleted(struct connection *c)
{
	c->deleted = false;
}

/* Nobody else will free what was deleted until the store is served. */
static int close_store(struct connection *c, struct error *err)
{
	bool writable = (c->flags & CONNECT_WRITE) != 0;
	int r = 0;

	if (c->deleted && writable)
		r = store_reap(c->store, err);
	if (r < 0) {
		(void)store_close(c->store, true, NULL); /* first one told */
		return r;
	}
	return store_close(c->store, writable, err);
}

int connection_close(struct connection *c, int exit_code)
{
	struct error err = ERROR_NONE;
	int r = 0;

	if (!c)
		return exit_code;
	client_close(c->client);
	if (c->store)
		r = close_store(c, &err);
	if (c->backend)
		backend_close(c->backend);
	if (r < 0 && exit_code == 0)
		exit_code = say(c, verb_exit_code(r), &err);
	free(c);
	return exit_code;
}

int connect_run(const struct options *options, const char *verb,
		struct json_object *args, struct json_object **ret_data)
{
	bool reads = verb_is_read_only(verb) || options->dry_run;
	unsigned int flags = (reads ? CONNECT_READ : CONNECT_WRITE) |
			     (options->verbose ? CONNECT_VERBOSE : 0);
	const char *store = options_store(options);
	struct connection *c = NULL;
	int r = EXIT_USAGE;

	if (ret_data)
		*ret_data = NULL;
	if (store)
		r = connection_open(store, flags, &c);
	if (r == 0)
		r = connection_call(c, verb, args, ret_data);
	else
		json_object_put(args);
	return connection_close(c, r);
}
