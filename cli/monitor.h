/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process behind an attached /dev/nbdN: it connects the device and, when
 * the server has gone, connects it to the next one; meanwhile the kernel lets
 * requests wait.
 */
#ifndef CLI_MONITOR_H
#define CLI_MONITOR_H

#include "error.h"

struct attachment;

/*
 * Start it and wait until the device is there.  @wanted: the number of
 * /dev/nbdN, -1: any that is free; it goes to a->number, and what the device
 * is called to a->device.  It goes on running on its own, and ends when the
 * device is disconnected.
 * -EBUSY: that device is taken; -ENODEV: the kernel has no NBD client.
 * @lock: attachments_lock(), held.
 */
int monitor_start(struct attachment *a, int wanted, int lock,
		  struct error *err);

/* The same for a device that is connected and has lost its monitor. */
int monitor_resume(struct attachment *a, int lock, struct error *err);

#endif
