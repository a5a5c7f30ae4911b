/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines of JSON on a socket, with limits of length and time.
 */
#ifndef SERVICE_LINE_H
#define SERVICE_LINE_H

#include <stddef.h>

#include "error.h"

struct json_object;

/* A peer that has begun a line, or takes no byte of one, has so long. */
#define LINE_TIMEOUT_MS 10000

struct line_reader {
	int fd;
	size_t max; /* bytes of a line, newline included */
	char *buffer;
	size_t capacity;
	size_t start, end; /* of what is read and not yet returned */
};

void line_reader_init(struct line_reader *reader, int fd, size_t max);
void line_reader_done(struct line_reader *reader);

/*
 * Wait up to @idle_ms for a line to begin.  *ret is the line, NUL-terminated
 * without the newline, valid until the next call.
 * Returns 1; 0: the peer hung up; -ETIMEDOUT; -EMSGSIZE: too long; -ENOMEM;
 * or as recv(2).
 */
int line_read(struct line_reader *reader, unsigned int idle_ms, char **ret,
	      size_t *ret_length);

/* Send @object as one line.  -ETIMEDOUT, -EPIPE, ... */
int line_send(int fd, struct json_object *object);
/* The same for a line that is ready, newline included. */
int line_send_text(int fd, const char *line);

/*
 * Parse one line: an object that carries "varve": 1.  NULL when it is
 * anything else, @err says why.
 */
struct json_object *line_parse(const char *line, size_t length,
			       struct error *err);

#endif
