/* SPDX-License-Identifier: BSD-2-Clause */
/* A server started in the background, and its failure to start reported. */
#ifndef CLI_BACKGROUND_H
#define CLI_BACKGROUND_H

struct client;

/*
 * Run varved with @args and wait until it answers for @store (absolute), or
 * has ended.  Its messages go to RUNTIME/<name of the store>.log; those of a
 * failed start are printed.  Returns an exit code.
 */
int background_start(const char *store, const char *const *args,
		     struct client **ret);

#endif
