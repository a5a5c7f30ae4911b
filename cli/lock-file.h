/* SPDX-License-Identifier: BSD-2-Clause */
/* A file that is there to be locked. */
#ifndef CLI_LOCK_FILE_H
#define CLI_LOCK_FILE_H

#include "error.h"

/*
 * Open @path, made when it is not there, and lock it as flock(2) does:
 * LOCK_EX, or LOCK_EX | LOCK_NB.  Returns a descriptor, to unlock it by
 * closing; -EWOULDBLOCK: somebody else has it.
 */
int lock_file(const char *path, int operation, struct error *err);

#endif
