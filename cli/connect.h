/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store a command works on: by its server's control socket when it is
 * served, else opened by ourselves.  The commands need not know which.
 *
 * Typical use: connection_open(), connection_call() for each verb,
 * connection_close().  Failures are printed here; the functions return exit
 * codes.
 */
#ifndef CLI_CONNECT_H
#define CLI_CONNECT_H

#include <stdint.h>

struct backend;
struct connection;
struct json_object;
struct options;

#define CONNECT_READ 0u
#define CONNECT_WRITE 1u  /* not served: an exclusive lock, and recovery */
#define CONNECT_SERVED 2u /* only to a server */
#define CONNECT_QUIET 4u  /* print no failure */
#define CONNECT_VERBOSE 8u
#define CONNECT_CLOSED 16u /* not served: locked, but not opened */

/*
 * Waits up to 5 s for a lock held by somebody else: a server that starts
 * locks the store before it answers.
 */
int connection_open(const char *store, unsigned int flags,
		    struct connection **ret);

/*
 * Run @verb (daemon/service/PROTOCOL.md).  Takes a reference of @args over
 * (NULL: none).  *ret_data (may be NULL) is a new reference, NULL on
 * failure.
 */
int connection_call(struct connection *connection, const char *verb,
		    struct json_object *args, struct json_object **ret_data);

/* Of CONNECT_CLOSED, to be checked or repaired; NULL: the store is served. */
struct backend *connection_backend(const struct connection *connection);

/* The server's greeting; NULL: not served. */
struct json_object *connection_greeting(const struct connection *connection);

/*
 * Not served: what was deleted is left to be freed by who opens the store
 * next.  Else connection_close() does it.
 */
void connection_leave_deleted(struct connection *connection);

/*
 * Accepts NULL.  Returns @exit_code, or when that is 0 the failure of an
 * orderly close of a store that was written.
 */
int connection_close(struct connection *connection, int exit_code);

/* Open, one verb, close: what most commands do. */
int connect_run(const struct options *options, const char *verb,
		struct json_object *args, struct json_object **ret_data);

/* Device and inode of the store, which name it on this host. */
struct store_identity {
	uint64_t device;
	uint64_t inode;
};

/* Says why when it fails; returns an exit code. */
int store_identify(const char *store, struct store_identity *ret);

#endif
