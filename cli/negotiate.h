/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections to an NBD export, made ready for somebody else to use. */
#ifndef CLI_NEGOTIATE_H
#define CLI_NEGOTIATE_H

#include <stdint.h>

#include "error.h"

/*
 * Connect to the Unix socket @path and ask for @export, in the simple form
 * that the kernel understands.  Waits up to 10 s.  Returns a socket in
 * transmission phase with nothing in flight, to be closed; what the export
 * can do, NBD_FLAG_* of <linux/nbd.h>, goes to @ret_flags.
 */
int negotiate(const char *path, const char *export, uint64_t *ret_flags,
	      struct error *err);

#endif
