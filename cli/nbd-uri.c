/* SPDX-License-Identifier: BSD-2-Clause */
#include "nbd-uri.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What a URI must not hold as it is becomes %XX. */
static void escape(const char *text, char *ret, size_t size)
{
	size_t at = 0;

	for (; *text && at + 4 < size; text++)
		if (isalnum((unsigned char)*text) || strchr("/._-~", *text))
			ret[at++] = *text;
		else
			at += (size_t)sprintf(ret + at, "%%%02X",
					      (unsigned char)*text);
	ret[at] = '\0';
}

int nbd_uri(const char *export, const char *socket, char ret[NBD_URI_MAX],
	    struct error *err)
{
	char name[NBD_URI_MAX], path[NBD_URI_MAX];

	if (3 * strlen(export) + 5 <= sizeof(name) &&
	    3 * strlen(socket) + 5 <= sizeof(path)) {
		escape(export, name, sizeof(name));
		escape(socket, path, sizeof(path));
		if (snprintf(ret, NBD_URI_MAX, "nbd+unix:///%s?socket=%s", name,
			     path) < NBD_URI_MAX)
			return 0;
	}
	return error_set(err, ENAMETOOLONG, "%s: name too long", export);
}
