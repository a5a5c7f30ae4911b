/* SPDX-License-Identifier: BSD-2-Clause */
/* Unix sockets of a server: made with the right mode, stale ones replaced. */
#ifndef SERVICE_SOCKET_H
#define SERVICE_SOCKET_H

#include <sys/types.h>

#include "error.h"

/*
 * Listen on @path.  The socket never has more rights than @mode; @group is
 * its group, (gid_t)-1: leave it.  A socket nobody answers on is replaced,
 * so the caller must hold the store's lock.
 * Returns the descriptor (close-on-exec); -EADDRINUSE: somebody does answer;
 * -EEXIST: what lies there is no socket; -ENAMETOOLONG; as bind(2).
 */
int socket_listen_unix(const char *path, mode_t mode, gid_t group,
		       struct error *err);

/* Returns a connected descriptor (close-on-exec), or as connect(2). */
int socket_connect_unix(const char *path, struct error *err);

#endif
