/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ctrl-C in a long job, which ends after the slice it is at.  A second one
 * ends the program at once.
 */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

/* From now on SIGINT, SIGTERM and SIGHUP are noted. */
void interrupt_catch(void);
/* The signal that came; 0: none. */
int interrupt_signal(void);
/* It has been acted on. */
void interrupt_forget(void);

#endif
