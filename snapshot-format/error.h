/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One failure: an errno and a sentence that says where.
 *
 * Lives on the caller's stack; nothing is allocated.  Every function takes it
 * last and accepts NULL.
 */
#ifndef FORMAT_ERROR_H
#define FORMAT_ERROR_H

struct error {
	int code;	   /* positive errno, 0: none */
	char message[400]; /* no full stop, no newline */
};

#define ERROR_NONE \
	{ \
		0, "" \
	}

/* Fill @err (may be NULL) and return -@code, for `return error_set(...)`. */
int error_set(struct error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Put "prefix: " in front of @err's message; returns -code.  A NULL @err has
 * no code to return: the result is -EIO, so callers that have a result of
 * their own return that.
 */
int error_prefix(struct error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
