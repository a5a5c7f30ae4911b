/* SPDX-License-Identifier: BSD-2-Clause */
/* How NBD clients are told where an export is. */
#ifndef CLI_NBD_URI_H
#define CLI_NBD_URI_H

#include <stddef.h>

#include "error.h"

#define NBD_URI_MAX 1024

/* nbd+unix:///EXPORT?socket=PATH, with what must be escaped.  -ENAMETOOLONG */
int nbd_uri(const char *export, const char *socket, char ret[NBD_URI_MAX],
	    struct error *err);

#endif
