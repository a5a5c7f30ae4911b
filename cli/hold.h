/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attached devices held still while what is under them is swapped: nobody
 * else opens them, nothing waits to be written, and afterwards the kernel
 * has forgotten what it had read.
 */
#ifndef CLI_HOLD_H
#define CLI_HOLD_H

#include <stdbool.h>

struct attachment;
struct json_object;
struct options;

/*
 * Run @verb with @args, as connect_run(), and hold meanwhile the devices of
 * the volumes that the operands name (vol or vol@s), which then get the size
 * of their volume.  Returns an exit code; EXIT_BUSY: one is in use.  *ret is
 * NULL unless it was done: then EXIT_PARTLY says that a device does not have
 * its size.
 */
int hold_and_run(const struct options *options, const char *verb,
		 struct json_object *args, struct json_object **ret);

/* Is @a the device of a volume that an operand names? */
bool operands_name(const struct options *options, const struct attachment *a);

/*
 * Says so, and returns EXIT_BUSY, when something that every @step-th operand
 * names is attached, or a snapshot of it.  This host knows that by the name,
 * also while no server is there to say that somebody has it open.
 */
int operands_check_not_attached(const struct options *options, int step);

#endif
