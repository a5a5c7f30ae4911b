/* SPDX-License-Identifier: BSD-2-Clause */
/* A process that stays behind an attached device when the command has ended. */
#ifndef CLI_HELPER_PROCESS_H
#define CLI_HELPER_PROCESS_H

/*
 * Of the process that calls this, just forked, make one of its own: in its
 * own session and in /, with what it says in the file @log, and safe where
 * memory is short because the device is to be written to.  Ends it when that
 * fails.
 */
void helper_process_begin(const char *log);

#endif
