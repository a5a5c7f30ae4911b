/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a serving process tells whoever started it: systemd by
 * $NOTIFY_SOCKET, `varve serve --daemon` by $VARVE_EXIT_FD, a pipe that takes
 * one byte, the exit code of a start that failed, and is closed by a good
 * one.  Without these variables nothing is said.
 */
#ifndef SERVICE_STARTER_H
#define SERVICE_STARTER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Before an exec that needs the low descriptors: move the pipe to @min_fd or
 * above, and keep it open.
 */
void starter_move(int min_fd);
/* The store is being served. */
void starter_ready(void);
/*
 * How often systemd wants a sign of life, in microseconds; 0: it does not.
 * Takes the variables away, so that no child of ours believes in them.
 */
uint64_t starter_watchdog_us(void);
/* A sign of life. */
void starter_alive(void);
/* The server is stopping. */
void starter_stopping(void);
/* The start failed; the caller exits with @exit_code. */
void starter_failed(int exit_code);

/* Is standard error the journal, which wants "<3>" before an error? */
bool starter_is_journal(void);

#endif
