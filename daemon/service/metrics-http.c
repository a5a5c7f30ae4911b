/* SPDX-License-Identifier: BSD-2-Clause */
/* The page /metrics, by libmicrohttpd. */
#include "metrics.h"

#include <errno.h>
#include <limits.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Of those who ask, who are a few; each may hold a text of megabytes. */
#define CONNECTIONS_MAX 16u
#define TIMEOUT_S 10u

struct metrics_server {
	struct store *store;
	struct MHD_Daemon *daemon;
};

/* ---- the address ---- */

/* Cut "PORT", "ADDRESS:PORT" or "[ADDRESS]:PORT" in two. */
static bool split(const char *where, char host[128], char port[8])
{
	const char *colon = strrchr(where, ':');
	size_t length = colon ? (size_t)(colon - where) : 0;
	const char *digits = colon ? colon + 1 : where;

	if (length >= 128 || !*digits || strlen(digits) > 5 ||
	    strspn(digits, "0123456789") != strlen(digits) ||
	    atoi(digits) < 1 || atoi(digits) > 65535)
		return false;
	if (length > 1 && where[0] == '[' && where[length - 1] == ']') {
		where++;
		length -= 2;
	} else if (memchr(where, ':', length)) {
		return false; /* of IPv6, without the brackets */
	}
	memcpy(host, where, length);
	host[length] = '\0';
	strcpy(port, digits);
	return !colon || length > 0;
}

static int parse_address(const char *where, struct addrinfo **ret,
			 struct error *err)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};
	char host[128], port[8];

	if (split(where, host, port) &&
	    getaddrinfo(host[0] ? host : "127.0.0.1", port, &hints, ret) == 0)
		return 0;
	return error_set(err, EINVAL,
			 "must be PORT or ADDRESS:PORT, with numbers");
}

int metrics_check_address(const char *where, struct error *err)
{
	struct addrinfo *address;
	int r = parse_address(where, &address, err);

	if (r == 0)
		freeaddrinfo(address);
	return r;
}

/* ---- the page ---- */

/* @text is taken over. */
static enum MHD_Result answer(struct MHD_Connection *connection,
			      unsigned int status, const char *type, char *text,
			      size_t length)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		length, text, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result r;

	if (!response) {
		free(text);
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, "Content-Type", type);
	r = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return r;
}

static enum MHD_Result refuse(struct MHD_Connection *connection,
			      unsigned int status, const char *sentence)
{
	char *text = NULL;
	int length = asprintf(&text, "%s\n", sentence);

	if (length < 0)
		return MHD_NO;
	return answer(connection, status, "text/plain", text, (size_t)length);
}

static enum MHD_Result handle(void *opaque, struct MHD_Connection *connection,
			      const char *url, const char *method,
			      const char *version, const char *upload,
			      size_t *upload_bytes, void **request)
{
	struct metrics_server *server = opaque;
	struct error err = ERROR_NONE;
	size_t length;
	char *text;

	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
	    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
			      "only GET and HEAD");
	if (strcmp(url, "/metrics") != 0)
		return refuse(connection, MHD_HTTP_NOT_FOUND,
			      "the page is /metrics");
	if (metrics_text(server->store, &text, &length, &err) < 0)
		return refuse(connection, MHD_HTTP_INTERNAL_SERVER_ERROR,
			      err.message);
	return answer(connection, MHD_HTTP_OK, METRICS_TYPE, text, length);
}

int metrics_serve(struct store *store, const char *where,
		  struct metrics_server **ret, struct error *err)
{
	struct metrics_server *server = calloc(1, sizeof(*server));
	unsigned int flags = MHD_USE_INTERNAL_POLLING_THREAD;
	struct addrinfo *address;
	int r;

	if (!server)
		return error_set(err, ENOMEM, "out of memory");
	r = parse_address(where, &address, err);
	if (r < 0) {
		free(server);
		return error_prefix(err, "%s", where);
	}
	if (address->ai_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	server->store = store;
	errno = 0;
	server->daemon = MHD_start_daemon(
		flags, 0, NULL, NULL, handle, server, MHD_OPTION_SOCK_ADDR,
		address->ai_addr, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S, MHD_OPTION_END);
	r = errno ? errno : EIO;
	freeaddrinfo(address);
	if (!server->daemon) {
		free(server);
		return error_set(err, r, "%s: cannot listen: %s", where,
				 strerror(r));
	}
	*ret = server;
	return 0;
}
