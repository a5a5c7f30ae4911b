/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attached devices held still while what is under them is swapped: nobody
 * else opens them, nothing waits to be written, and afterwards the kernel
 * has forgotten what it had read.
 */
#ifndef CLI_HOLD_H
#define CLI_HOLD_H

struct json_object;
struct options;

/*
 * Run @verb with the operands as names, and hold meanwhile the devices of the
 * volumes that they name (vol or vol@s).  Returns an exit code; EXIT_BUSY:
 * one is in use.
 */
int hold_and_run(const struct options *options, const char *verb,
		 struct json_object **ret);

#endif
