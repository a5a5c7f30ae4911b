/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the server says to whoever runs it.
 *
 * Under varved that is standard error: one line a message, "varved: " before
 * it; with the level as the journal wants it when standard error is the
 * journal, with the time when it is a file.  Under nbdkit alone, nbdkit's own
 * messages.
 */
#ifndef PLUGIN_LOG_H
#define PLUGIN_LOG_H

#include <stdbool.h>

#include "engine.h"

/* First of all.  @under_varved: standard error is ours. */
void log_open(bool under_varved);

/*
 * From now on times are printed, where they are wanted: until then somebody
 * reads along who waits for the start.
 */
void log_started(void);

void log_say(enum message_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * A request that failed, at level error.  A client may try again for ever:
 * at most ten a minute are said, and how many were not.
 */
void log_request(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
