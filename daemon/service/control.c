/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NOTES ON THE DESIGN
 *
 * The accept thread also sends the "working" lines: it wakes once a second,
 * and for every client whose thread is inside run_verb() it sends one.  The
 * client's thread leaves CLIENT_WORKING under the lock before it sends the
 * answer, so the two never mix.
 *
 * When the server stops, what clients have sent until then is all there is: a
 * thread that has answered it meets the end of its client and leaves.  So
 * whoever waited for events has been told of the stop when its place is free.
 */
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "engine.h"
#include "events.h"
#include "json.h"
#include "line.h"
#include "mutex.h"
#include "print.h"
#include "verb-events.h"
#include "verbs.h"

#define CLIENTS_MAX 32u
#define REQUEST_BYTES_MAX (1u << 20)
#define IDLE_MS 60000
#define WORKING_MS 1000
/* When all places are taken and somebody waits: who must leave, after what. */
#define CROWDED_IDLE_MS 250
#define CROWDED_SENDING_MS 1000
#define CROWDED_POLL_MS 50
#define GROUPS_MAX 256
/* What a stop waits for all clients at most, and how often it looks. */
#define STOP_MS 5000
#define STOP_POLL_MS 10
/* Those who wait for events leave the other places to those who work. */
#define WAITING_MAX (CLIENTS_MAX / 4)

enum client_state {
	CLIENT_IDLE,	 /* has not sent a whole request */
	CLIENT_WORKING,	 /* inside run_verb() */
	CLIENT_WATCHING, /* the same, for events */
	CLIENT_SENDING,	 /* is to take the greeting or an answer */
};

struct control_client {
	struct control *control;
	int fd; /* -1: this place is free */
	enum client_state state;
	uint64_t since_ms; /* in this state */
};

struct control {
	struct store *store;
	struct events *events;
	int listen_fd;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	mode_t mode; /* of the socket */
	gid_t group;
	char *greeting; /* with its newline */
	bool keep_socket;
	/* protects clients[]; rank LOCK_SERVICE */
	struct mutex lock;
	struct cond left; /* a client's place has become free */
	struct control_client clients[CLIENTS_MAX];
};

/* ---- one client ---- */

static struct json_object *new_line(void)
{
	struct json_object *line = json_object_new_object();

	if (line)
		json_put_uint(line, "varve", 1);
	return line;
}

static int send_error(int fd, int exit_code, const char *text)
{
	struct json_object *line = new_line();
	int r;

	if (!line)
		return -ENOMEM;
	json_put_bool(line, "ok", false);
	json_put_uint(line, "exit", (uint64_t)exit_code);
	json_put_string(line, "error", text);
	r = line_send(fd, line);
	json_object_put(line);
	return r;
}

/* Takes @data over. */
static int send_data(int fd, struct json_object *data)
{
	struct json_object *line = new_line();
	int r;

	if (!line) {
		json_object_put(data);
		return -ENOMEM;
	}
	json_put_bool(line, "ok", true);
	(void)json_object_object_add(line, "data", data);
	r = line_send(fd, line);
	json_object_put(line);
	return r;
}

static void set_state(struct control_client *client, enum client_state state)
{
	mutex_lock(&client->control->lock);
	client->state = state;
	client->since_ms = monotonic_ms();
	mutex_unlock(&client->control->lock);
}

static bool is_working(const struct control_client *client)
{
	return client->state == CLIENT_WORKING ||
	       client->state == CLIENT_WATCHING;
}

/* ---- requests ---- */

static int run_verb(struct control_client *client, const char *verb,
		    struct json_object *args, struct json_object **ret,
		    struct error *err)
{
	struct control *control = client->control;
	bool watches = strcmp(verb, "events") == 0;
	int r;

	set_state(client, watches ? CLIENT_WATCHING : CLIENT_WORKING);
	r = watches ? verb_events(control->events, client->fd, WAITING_MAX,
				  args, ret, err)
		    : verb_run(control->store, verb, args, ret, err);
	set_state(client, CLIENT_SENDING);
	return r;
}

static int run_request(struct control_client *client,
		       struct json_object *request)
{
	struct json_object *args = NULL, *data = NULL;
	struct error err = ERROR_NONE;
	const char *verb = NULL;
	int r;

	r = args_string(request, "verb", &verb, &err);
	if (r == 0) {
		(void)json_object_object_get_ex(request, "args", &args);
		r = run_verb(client, verb, args, &data, &err);
	}
	if (r < 0)
		return send_error(client->fd, verb_exit_code(r), err.message);
	return send_data(client->fd, data);
}

/* 0: go on with this client. */
static int serve_line(struct control_client *client, const char *line,
		      size_t length)
{
	struct error err = ERROR_NONE;
	struct json_object *request;
	int r;

	request = line_parse(line, length, &err);
	if (!request) {
		(void)send_error(client->fd, EXIT_USAGE, err.message);
		return -EPROTO;
	}
	r = run_request(client, request);
	json_object_put(request);
	return r;
}

static void serve_client(struct control_client *client)
{
	struct line_reader reader;
	size_t length;
	char *line;
	int r;

	line_reader_init(&reader, client->fd, REQUEST_BYTES_MAX);
	r = line_send_text(client->fd, client->control->greeting);
	while (r >= 0) {
		set_state(client, CLIENT_IDLE);
		r = line_read(&reader, IDLE_MS, &line, &length);
		if (r == -EMSGSIZE)
			(void)send_error(client->fd, EXIT_USAGE,
					 "request is longer than 1 MiB");
		if (r <= 0)
			break;
		r = serve_line(client, line, length);
	}
	line_reader_done(&reader);
}

static void *client_main(void *opaque)
{
	struct control_client *client = opaque;
	struct control *control = client->control;
	int fd = client->fd;

	serve_client(client);
	mutex_lock(&control->lock);
	client->fd = -1;
	cond_signal(&control->left);
	mutex_unlock(&control->lock);
	/* Not before: "working" must never reach a reused descriptor. */
	(void)close(fd);
	return NULL;
}

/* ---- who may speak ---- */

static bool peer_is_in_group(int fd, const struct ucred *peer, gid_t group)
{
	gid_t groups[GROUPS_MAX];
	socklen_t length = sizeof(groups);

	if (peer->gid == group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0)
		return false;
	for (size_t i = 0; i < length / sizeof(groups[0]); i++)
		if (groups[i] == group)
			return true;
	return false;
}

/*
 * The kernel has checked the socket's mode, but for an abstract name or a
 * directory somebody was careless with; so ask again.
 */
static bool peer_is_allowed(const struct control *control, int fd)
{
	socklen_t length = sizeof(struct ucred);
	struct ucred peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return false;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	if (control->mode & S_IWOTH)
		return true;
	return (control->mode & S_IWGRP) &&
	       peer_is_in_group(fd, &peer, control->group);
}

/* ---- the accept thread ---- */

static void send_working(struct control *control)
{
	static const char text[] = "{\"varve\":1,\"working\":true}\n";

	mutex_lock(&control->lock);
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct control_client *client = &control->clients[i];

		/*
		 * One that does not read learns nothing; it is not waited
		 * for.  So short a line is never sent in part.
		 */
		if (client->fd >= 0 && is_working(client))
			(void)send(client->fd, text, sizeof(text) - 1,
				   MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	mutex_unlock(&control->lock);
}

static bool somebody_waits(const struct control *control)
{
	struct pollfd pollfd = {.fd = control->listen_fd, .events = POLLIN};

	return poll(&pollfd, 1, 0) > 0;
}

/*
 * Clients that do nothing must not keep those out that want something: the
 * one that has done so for the longest is hung up on.  Its thread sees that
 * and leaves.
 */
static void make_room(struct control *control)
{
	struct control_client *idlest = NULL;
	uint64_t now = monotonic_ms();

	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct control_client *client = &control->clients[i];
		uint64_t patience = client->state == CLIENT_IDLE
					    ? CROWDED_IDLE_MS
					    : CROWDED_SENDING_MS;

		if (client->fd < 0 || is_working(client) ||
		    now < client->since_ms + patience)
			continue;
		if (!idlest || client->since_ms < idlest->since_ms)
			idlest = client;
	}
	if (idlest)
		(void)shutdown(idlest->fd, SHUT_RDWR); /* or it has gone */
}

static struct control_client *free_place(struct control *control)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (control->clients[i].fd < 0)
			return &control->clients[i];
	return NULL;
}

/* NULL: there is none at the moment. */
static struct control_client *find_place(struct control *control)
{
	struct control_client *ret;

	mutex_lock(&control->lock);
	ret = free_place(control);
	if (!ret) {
		if (somebody_waits(control))
			make_room(control);
		(void)cond_wait_ms(&control->left, &control->lock,
				   CROWDED_POLL_MS);
		ret = free_place(control);
	}
	mutex_unlock(&control->lock);
	return ret;
}

static int start_thread(void *(*run)(void *), void *opaque)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	(void)sigfillset(&all);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, &attr, run, opaque);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	return -r;
}

/* Only this thread fills places, so @place stays free until it does. */
static void accept_client(struct control *control, struct control_client *place)
{
	int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0) {
		/* Out of descriptors: it does not help to ask at once. */
		(void)poll(NULL, 0, errno == ECONNABORTED ? 0 : 100);
		return;
	}
	if (!peer_is_allowed(control, fd)) {
		(void)close(fd);
		return;
	}
	mutex_lock(&control->lock);
	place->fd = fd;
	place->state = CLIENT_SENDING;
	place->since_ms = monotonic_ms();
	mutex_unlock(&control->lock);
	if (start_thread(client_main, place) == 0)
		return;
	mutex_lock(&control->lock);
	place->fd = -1;
	mutex_unlock(&control->lock);
	(void)close(fd);
}

static void *accept_main(void *opaque)
{
	struct control *control = opaque;
	struct pollfd pollfd = {.fd = control->listen_fd, .events = POLLIN};
	uint64_t last_working = monotonic_ms();

	for (;;) {
		struct control_client *place = find_place(control);
		int n = place ? poll(&pollfd, 1, WORKING_MS) : 0;

		if (n > 0 && (pollfd.revents & (POLLERR | POLLHUP | POLLNVAL)))
			return NULL; /* control_stop() */
		if (n > 0)
			accept_client(control, place);
		if (monotonic_ms() >= last_working + WORKING_MS) {
			send_working(control);
			last_working = monotonic_ms();
		}
	}
}

/* ---- start and stop ---- */

static void learn_socket(struct control *control)
{
	struct sockaddr_un address = {0};
	socklen_t length = sizeof(address);
	struct stat st;

	if (getsockname(control->listen_fd, (struct sockaddr *)&address,
			&length) < 0 ||
	    address.sun_family != AF_UNIX ||
	    length <= offsetof(struct sockaddr_un, sun_path) ||
	    address.sun_path[0] != '/')
		return;
	memcpy(control->path, address.sun_path, sizeof(address.sun_path));
	if (stat(control->path, &st) < 0)
		return;
	control->mode = st.st_mode;
	control->group = st.st_gid;
}

static struct json_object *
greeting_object(struct store *store, const struct control_options *options)
{
	struct json_object *line = new_line();
	struct store_stat stat;
	char uuid[UUID_TEXT_BYTES];

	if (!line)
		return NULL;
	store_stat(store, &stat);
	uuid_format(stat.uuid, uuid);
	json_put_string(line, "version", VARVE_VERSION);
	json_put_string(line, "uuid", uuid);
	json_put_uint(line, "device", options->device);
	json_put_uint(line, "inode", options->inode);
	json_put_uint(line, "pid", (uint64_t)getpid());
	json_put_string(line, "store", options->store_path);
	if (options->nbd_socket)
		json_put_string(line, "socket", options->nbd_socket);
	json_put_bool(line, "read_only", options->read_only);
	return line;
}

/*
 * The greeting as text: json-c keeps an object's text inside the object, so
 * threads cannot share one.
 */
static int make_greeting(struct control *control,
			 const struct control_options *options)
{
	struct json_object *line = greeting_object(control->store, options);
	const char *text = NULL;

	if (line)
		text = json_object_to_json_string_ext(
			line, JSON_C_TO_STRING_PLAIN |
				      JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text && asprintf(&control->greeting, "%s\n", text) < 0)
		control->greeting = NULL;
	json_object_put(line);
	return control->greeting ? 0 : -ENOMEM;
}

int control_start(struct store *store, int listen_fd,
		  const struct control_options *options, struct control **ret,
		  struct error *err)
{
	struct control *control = calloc(1, sizeof(*control));
	int r;

	if (!control)
		return error_set(err, ENOMEM, "out of memory");
	control->store = store;
	control->events = options->events;
	control->listen_fd = listen_fd;
	control->keep_socket = options->keep_socket;
	learn_socket(control);
	mutex_init(&control->lock, LOCK_SERVICE);
	cond_init(&control->left);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		control->clients[i] =
			(struct control_client){.control = control, .fd = -1};
	r = make_greeting(control, options);
	if (r == 0)
		r = start_thread(accept_main, control);
	if (r < 0) {
		free(control->greeting);
		cond_done(&control->left);
		mutex_done(&control->lock);
		free(control);
		return error_set(err, -r, "control socket: %s", strerror(-r));
	}
	*ret = control;
	return 0;
}

/*
 * Others work on verbs, which may take long, or have an answer that they have
 * not taken for a while.
 */
static bool is_to_be_told(const struct control_client *client)
{
	return client->state != CLIENT_WORKING &&
	       (client->state != CLIENT_SENDING ||
		monotonic_ms() < client->since_ms + CROWDED_SENDING_MS);
}

/* How many clients there are that have something to be told. */
static unsigned int hear_no_more(struct control *control)
{
	unsigned int ret = 0;

	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct control_client *client = &control->clients[i];

		if (client->fd < 0)
			continue;
		(void)shutdown(client->fd, SHUT_RD); /* or it has gone */
		ret += is_to_be_told(client);
	}
	return ret;
}

/* Again and again: one may just have been accepted. */
static void tell_clients(struct control *control)
{
	uint64_t deadline_ms = monotonic_ms() + STOP_MS;

	mutex_lock(&control->lock);
	while (hear_no_more(control) > 0 && monotonic_ms() < deadline_ms)
		(void)cond_wait_ms(&control->left, &control->lock,
				   STOP_POLL_MS);
	mutex_unlock(&control->lock);
}

void control_stop(struct control *control)
{
	/* Its accept thread sees the hang-up and ends. */
	(void)shutdown(control->listen_fd, SHUT_RDWR);
	if (!control->keep_socket && control->path[0])
		(void)unlink(control->path);
	tell_clients(control);
}
