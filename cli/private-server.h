/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server for one command: where a store is not served, and its volumes are
 * wanted by a program that speaks NBD.
 *
 * Nobody else finds it, since it ends with the command, even with one that is
 * killed: for others the store is locked.  Its sockets lie in a directory of
 * its own.
 */
#ifndef CLI_PRIVATE_SERVER_H
#define CLI_PRIVATE_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "runtime.h"

struct private_server {
	pid_t pid; /* 0: the store is served by somebody else */
	int log;
	char dir[RUNTIME_PATH_MAX];
};

/*
 * Start one, unless @store is served already; from then on connection_open()
 * with CONNECT_SERVED meets whichever it is.  Failures are printed; returns
 * an exit code.
 */
int private_server_start(const char *store, bool read_only,
			 struct private_server *ret);

/* End it, in order.  Returns @exit_code, or if that is 0 its failure. */
int private_server_stop(struct private_server *server, int exit_code);

#endif
