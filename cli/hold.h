/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attached devices held still while what is under them is swapped: nobody
 * else opens them, nothing waits to be written, and afterwards the kernel
 * has forgotten what it had read.
 */
#ifndef CLI_HOLD_H
#define CLI_HOLD_H

#include <stddef.h>

#define HOLDS_MAX 64

struct options;

struct holds {
	int fds[HOLDS_MAX];
	size_t nr;
};

/*
 * Hold the devices of the volumes that the operands name (vol or vol@s).
 * Returns an exit code; EXIT_BUSY: one is in use.
 */
int holds_take(const struct options *options, struct holds *ret);
void holds_release(struct holds *holds);

#endif
