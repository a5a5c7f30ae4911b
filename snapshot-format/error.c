/* SPDX-License-Identifier: BSD-2-Clause */
/* Failures: an errno and a sentence. */
#include "error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, int code, const char *format, ...)
{
	/* the arguments may point into err->message */
	char message[sizeof(err->message)];
	va_list args;

	assert(code > 0);
	if (!err)
		return -code;
	va_start(args, format);
	(void)vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	memcpy(err->message, message, sizeof(message));
	err->code = code;
	return -code;
}

int error_prefix(struct error *err, const char *format, ...)
{
	char message[sizeof(err->message)];
	size_t room = sizeof(message) - 1, prefix, rest;
	va_list args;
	int n;

	if (!err)
		return -EIO;
	va_start(args, format);
	n = vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	assert(n >= 0);

	prefix = (size_t)n < room ? (size_t)n : room;
	for (const char *p = ": "; *p && prefix < room; p++)
		message[prefix++] = *p;
	rest = strlen(err->message);
	if (rest > room - prefix)
		rest = room - prefix;
	memmove(err->message + prefix, err->message, rest);
	memcpy(err->message, message, prefix);
	err->message[prefix + rest] = '\0';
	return -err->code;
}
