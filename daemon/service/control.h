/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket of a served store: PROTOCOL.md, the server's side.
 *
 * One thread accepts, one thread serves each client.  They end with the
 * process.
 */
#ifndef SERVICE_CONTROL_H
#define SERVICE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

struct control;
struct events;
struct store;

struct control_options {
	const char *store_path; /* absolute */
	const char *nbd_socket; /* absolute; NULL: none */
	uint64_t device;	/* of the store, as stat(2) */
	uint64_t inode;
	bool read_only;
	struct events *events; /* stays the caller's */
	bool keep_socket;      /* its name belongs to somebody else (systemd) */
};

/*
 * Serve @store on @listen_fd, a listening Unix socket, which is taken over.
 * The strings of @options are copied.  -ENOMEM, -EAGAIN (no thread).
 */
int control_start(struct store *store, int listen_fd,
		  const struct control_options *options, struct control **ret,
		  struct error *err);

/*
 * Accept no more and remove the socket's name, unless keep_socket.  Hear no
 * more of the clients, and answer those that wait for events, which takes five
 * seconds at most, and one for a client that takes no answer; those that work
 * on another verb are not waited for: the process is about to end.
 */
void control_stop(struct control *control);

#endif
