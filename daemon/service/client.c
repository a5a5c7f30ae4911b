/* SPDX-License-Identifier: BSD-2-Clause */
#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "line.h"
#include "runtime.h"
#include "socket.h"
#include "verbs.h"

#define ANSWER_BYTES_MAX (256u << 20)
#define GREETING_TIMEOUT_MS 5000
#define ANSWER_TIMEOUT_MS 10000

struct client {
	int fd;
	struct line_reader reader;
	struct json_object *greeting;
};

static uint64_t get_uint(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	(void)json_object_object_get_ex(object, key, &value);
	return json_object_get_uint64(value);
}

/* Read one line of the protocol; 0 or a negative errno. */
static int read_object(struct client *client, unsigned int idle_ms,
		       struct json_object **ret, struct error *err)
{
	struct json_object *object;
	size_t length;
	char *line;
	int r;

	r = line_read(&client->reader, idle_ms, &line, &length);
	if (r == -ETIMEDOUT)
		return error_set(err, ETIMEDOUT,
				 "the serving process does not answer");
	if (r <= 0)
		return error_set(err, r < 0 ? -r : ECONNRESET,
				 "the serving process hung up");
	object = line_parse(line, length, err);
	if (!object)
		return error_set(err, EPROTO,
				 "the serving process speaks another protocol");
	*ret = object;
	return 0;
}

static int read_greeting(struct client *client, const struct stat *st,
			 struct error *err)
{
	int r;

	r = read_object(client, GREETING_TIMEOUT_MS, &client->greeting, err);
	/* A server that stops hangs up on us: nobody serves the store. */
	if (r == -ECONNRESET)
		return error_set(err, ECONNREFUSED, "not served");
	if (r < 0)
		return r;
	if (get_uint(client->greeting, "device") != st->st_dev ||
	    get_uint(client->greeting, "inode") != st->st_ino)
		return error_set(err, ECONNREFUSED,
				 "the server found there serves another store");
	return 0;
}

static int connect_at(const char *socket_path, const struct stat *st,
		      struct client **ret, struct error *err)
{
	struct client *client;
	int fd, r;

	fd = socket_connect_unix(socket_path, err);
	if (fd < 0)
		return fd;
	client = calloc(1, sizeof(*client));
	if (!client) {
		(void)close(fd);
		return error_set(err, ENOMEM, "out of memory");
	}
	client->fd = fd;
	line_reader_init(&client->reader, fd, ANSWER_BYTES_MAX);
	r = read_greeting(client, st, err);
	if (r < 0) {
		client_close(client);
		return r;
	}
	*ret = client;
	return 0;
}

/* No server here, which is no reason not to look elsewhere. */
static bool is_absent(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ECONNREFUSED ||
	       r == -ENAMETOOLONG;
}

int client_connect(const char *path, struct client **ret, struct error *err)
{
	struct runtime_path dirs[RUNTIME_DIRS_MAX], socket_path;
	int found = -ECONNREFUSED;
	struct stat st;
	size_t nr;
	int r;

	if (stat(path, &st) < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	nr = runtime_dirs(dirs);
	for (size_t i = 0; i < nr; i++) {
		r = runtime_control_path(dirs[i].path, st.st_dev, st.st_ino,
					 &socket_path, err);
		if (r == 0)
			r = connect_at(socket_path.path, &st, ret, err);
		if (r == 0)
			return 0;
		if (!is_absent(r) && is_absent(found))
			found = r;
	}
	if (is_absent(found))
		return error_set(err, ECONNREFUSED, "%s: not served", path);
	return found;
}

void client_close(struct client *client)
{
	if (!client)
		return;
	json_object_put(client->greeting);
	line_reader_done(&client->reader);
	(void)close(client->fd);
	free(client);
}

struct json_object *client_greeting(const struct client *client)
{
	return client->greeting;
}

static int send_request(struct client *client, const char *verb,
			struct json_object *args, struct error *err)
{
	struct json_object *request = json_object_new_object();
	int r;

	if (!request)
		return error_set(err, ENOMEM, "out of memory");
	json_put_uint(request, "varve", 1);
	json_put_string(request, "verb", verb);
	if (args)
		(void)json_object_object_add(request, "args",
					     json_object_get(args));
	r = line_send(client->fd, request);
	json_object_put(request);
	if (r < 0)
		return error_set(err, -r, "the serving process hung up");
	return 0;
}

/* The next answer; "working" lines only show that the server lives. */
static int read_answer(struct client *client, struct json_object **ret,
		       struct error *err)
{
	struct json_object *working;
	int r;

	for (;;) {
		r = read_object(client, ANSWER_TIMEOUT_MS, ret, err);
		if (r < 0 ||
		    !json_object_object_get_ex(*ret, "working", &working))
			return r;
		json_object_put(*ret);
	}
}

/* 0, or the exit code that @answer carries. */
static int answer_exit(struct json_object *answer, struct error *err)
{
	struct json_object *ok = NULL, *text = NULL;
	const char *message;
	int exit_code;

	(void)json_object_object_get_ex(answer, "ok", &ok);
	if (json_object_get_boolean(ok))
		return 0;
	(void)json_object_object_get_ex(answer, "error", &text);
	message = json_object_get_string(text);
	exit_code = (int)get_uint(answer, "exit");
	(void)error_set(err, EREMOTEIO, "%s",
			message ? message : "the verb failed");
	return exit_code > 0 && exit_code < 126 ? exit_code : EXIT_FAILED;
}

int client_call(struct client *client, const char *verb,
		struct json_object *args, struct json_object **ret_data,
		struct error *err)
{
	struct json_object *answer, *data = NULL;
	int r;

	r = send_request(client, verb, args, err);
	if (r == 0)
		r = read_answer(client, &answer, err);
	if (r < 0)
		return r == -ENOMEM ? EXIT_FAILED : EXIT_NO_STORE;
	r = answer_exit(answer, err);
	if (r == 0) {
		(void)json_object_object_get_ex(answer, "data", &data);
		*ret_data = json_object_get(data);
	}
	json_object_put(answer);
	return r;
}
