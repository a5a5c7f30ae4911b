/* SPDX-License-Identifier: BSD-2-Clause */
#include "line.h"

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"

#define DEPTH_MAX 16

/* Wait until @deadline_ms for @events; 0, -ETIMEDOUT or an errno. */
static int wait_for(int fd, short events, uint64_t deadline_ms)
{
	struct pollfd pollfd = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now = monotonic_ms();
		int n = poll(&pollfd, 1,
			     now < deadline_ms ? (int)(deadline_ms - now) : 0);

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

void line_reader_init(struct line_reader *reader, int fd, size_t max)
{
	*reader = (struct line_reader){.fd = fd, .max = max};
}

void line_reader_done(struct line_reader *reader)
{
	free(reader->buffer);
	*reader = (struct line_reader){.fd = -1};
}

/* Room for at least one more byte behind what is there. */
static int make_room(struct line_reader *reader)
{
	size_t length = reader->end - reader->start, capacity;
	char *buffer;

	if (length >= reader->max)
		return -EMSGSIZE;
	if (reader->start > 0) {
		memmove(reader->buffer, reader->buffer + reader->start, length);
		reader->start = 0;
		reader->end = length;
	}
	if (reader->end < reader->capacity)
		return 0;
	capacity = reader->capacity ? reader->capacity * 2 : 4096;
	if (capacity > reader->max)
		capacity = reader->max;
	buffer = realloc(reader->buffer, capacity);
	if (!buffer)
		return -ENOMEM;
	reader->buffer = buffer;
	reader->capacity = capacity;
	return 0;
}

/* Receive what there is; the number of bytes, 0: end, or an errno. */
static ssize_t receive(struct line_reader *reader, uint64_t deadline_ms)
{
	ssize_t n;
	int r;

	for (;;) {
		r = wait_for(reader->fd, POLLIN, deadline_ms);
		if (r < 0)
			return r;
		n = recv(reader->fd, reader->buffer + reader->end,
			 reader->capacity - reader->end, MSG_DONTWAIT);
		if (n >= 0)
			return n;
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
}

int line_read(struct line_reader *reader, unsigned int idle_ms, char **ret,
	      size_t *ret_length)
{
	uint64_t deadline_ms = monotonic_ms() + idle_ms;
	size_t searched = 0;
	char *newline;
	ssize_t n;
	int r;

	if (reader->end > reader->start)
		deadline_ms = monotonic_ms() + LINE_TIMEOUT_MS;
	for (;;) {
		size_t from = reader->start + searched;

		/* there is no buffer before the first bytes */
		newline = reader->end > from ? memchr(reader->buffer + from,
						      '\n', reader->end - from)
					     : NULL;
		if (newline)
			break;
		searched = reader->end - reader->start;
		r = make_room(reader);
		if (r < 0)
			return r;
		n = receive(reader, deadline_ms);
		if (n <= 0)
			return (int)n;
		if (searched == 0)
			deadline_ms = monotonic_ms() + LINE_TIMEOUT_MS;
		reader->end += (size_t)n;
	}
	*newline = '\0';
	*ret = reader->buffer + reader->start;
	*ret_length = (size_t)(newline - *ret);
	reader->start += *ret_length + 1;
	return 1;
}

static int send_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t n = send(fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
		int r;

		if (n >= 0) {
			data += n;
			length -= (size_t)n;
		} else if (errno == EAGAIN) {
			r = wait_for(fd, POLLOUT,
				     monotonic_ms() + LINE_TIMEOUT_MS);
			if (r < 0)
				return r;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

int line_send_text(int fd, const char *line)
{
	return send_all(fd, line, strlen(line));
}

int line_send(int fd, struct json_object *object)
{
	size_t length;
	const char *text;
	int r;

	text = json_object_to_json_string_length(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE,
		&length);
	if (!text)
		return -ENOMEM;
	r = send_all(fd, text, length);
	return r < 0 ? r : send_all(fd, "\n", 1);
}

static struct json_object *parse_json(const char *line, size_t length,
				      struct error *err)
{
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	struct json_object *object;

	if (!tokener) {
		(void)error_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT |
						JSON_TOKENER_VALIDATE_UTF8);
	/* With the NUL: the end of the line must end the object too. */
	object = json_tokener_parse_ex(tokener, line, (int)length + 1);
	if (!object)
		(void)error_set(err, EINVAL, "not JSON: %s",
				json_tokener_error_desc(
					json_tokener_get_error(tokener)));
	json_tokener_free(tokener);
	return object;
}

struct json_object *line_parse(const char *line, size_t length,
			       struct error *err)
{
	struct json_object *object = NULL, *version = NULL;

	if (strlen(line) != length)
		(void)error_set(err, EINVAL, "not JSON: a NUL byte");
	else
		object = parse_json(line, length, err);
	if (!object)
		return NULL;
	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, "varve", &version) ||
	    !json_object_is_type(version, json_type_int) ||
	    json_object_get_int64(version) != 1) {
		(void)error_set(err, EINVAL, "not an object with \"varve\": 1");
		json_object_put(object);
		return NULL;
	}
	return object;
}
