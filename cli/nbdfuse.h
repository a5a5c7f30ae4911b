/* SPDX-License-Identifier: BSD-2-Clause */
/* nbdfuse: an NBD export as a file, which a loop device can be made of. */
#ifndef CLI_NBDFUSE_H
#define CLI_NBDFUSE_H

#include "error.h"

struct attachment;

/*
 * Start nbdfuse on @a->export of the NBD socket @socket and wait until
 * @a->mount is there.  It goes on running on its own.
 * -ENOENT: nbdfuse is not installed; -EIO with what it said; -ETIMEDOUT.
 */
int nbdfuse_start(const struct attachment *a, const char *socket,
		  struct error *err);

#endif
