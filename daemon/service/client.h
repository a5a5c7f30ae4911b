/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A connection to the process that serves a store.
 *
 * Typical use: client_connect(); client_call() for each verb;
 * client_close().  For one thread.
 */
#ifndef SERVICE_CLIENT_H
#define SERVICE_CLIENT_H

#include "error.h"

struct client;
struct json_object;

/*
 * Find the server of the store at @path by stat(2), connect, and check that
 * its greeting names the same device and inode.
 * -ENOENT: the store does not exist; -ECONNREFUSED: nobody serves it;
 * -EACCES: its socket is not for us; -ETIMEDOUT: the server says nothing;
 * -EPROTO: it speaks another language.
 */
int client_connect(const char *path, struct client **ret, struct error *err);

/* Accepts NULL. */
void client_close(struct client *client);

/* The server's greeting (PROTOCOL.md); owned by @client. */
struct json_object *client_greeting(const struct client *client);

/*
 * Run @verb there.  @args may be NULL and stays the caller's.  *ret_data is
 * a new reference (NULL when the answer has no data), set only on success.
 *
 * Returns 0, or the exit code of the failure (verbs.h) with the server's
 * sentence in @err: what verb_run() would have said.  EXIT_NO_STORE: the
 * server hung up or said nothing for 10 s; whether the verb was done is then
 * not known.
 */
int client_call(struct client *client, const char *verb,
		struct json_object *args, struct json_object **ret_data,
		struct error *err);

#endif
