/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How varved ends when it does not become nbdkit: one message, an exit code
 * of the command line for whoever started it, no socket left behind.
 */
#ifndef SERVICE_VARVED_EXIT_H
#define SERVICE_VARVED_EXIT_H

extern const char varved_usage[];

/* Remove the socket @path when the start fails; at most two are kept. */
void varved_made(const char *path);
/* The message has been printed. */
_Noreturn void varved_quit(int exit_code);
/* Print "varved: @text". */
_Noreturn void varved_fail(int exit_code, const char *text);

#endif
