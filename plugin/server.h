/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one server of this process: its configuration, its store, and the way
 * it starts and stops.  plugin.c translates nbdkit's callbacks, this keeps
 * what they share.
 */
#ifndef PLUGIN_SERVER_H
#define PLUGIN_SERVER_H

#include <stdbool.h>
#include <stdint.h>

struct store;

struct server {
	/* configuration; fixed before the first thread starts */
	char *store_path; /* absolute */
	bool read_only;
	uint64_t memory_bytes; /* 0: the engine's default */
	uint64_t tables_bytes; /* as above */
	char *metrics;	       /* [ADDRESS:]PORT; NULL: none */
	uint32_t max_connections;
	uint32_t nr_buffers;
	int control_fd;	  /* -1: the server makes its own */
	int lock_fd;	  /* from varved; -1: nbdkit was started by hand */
	bool require_tls; /* of those who do not come by a Unix socket */
	bool keep_socket;
	bool keep_control;
	/* set by server_open(), fixed after it */
	struct store *store;
};

extern struct server server;

/*
 * Open and recover the store.  Returns 0 or -1, having said why; under
 * varved a failure ends the process with the command line's exit code.
 */
int server_open(void);

/*
 * After the fork: start the workers, the control socket and the thread that
 * takes SIGTERM and SIGINT.  Returns 0 or -1.
 */
int server_start(void);

#endif
