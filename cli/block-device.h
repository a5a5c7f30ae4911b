/* SPDX-License-Identifier: BSD-2-Clause */
/* Who uses a block device of this host, and having it for oneself. */
#ifndef CLI_BLOCK_DEVICE_H
#define CLI_BLOCK_DEVICE_H

#include <stdbool.h>

#include "error.h"

#define DEVICE_PATH_MAX 32

/*
 * Open @device for nobody else: it is not mounted, and no process has it
 * open.  Tries for 2 s, since udev looks at devices for moments.
 * Returns a descriptor; -EBUSY with who has it; -EACCES.
 */
int device_hold(const char *device, bool read_only, struct error *err);

/* Returns -EBUSY with who has @device. */
int device_busy(const char *device, struct error *err);

#endif
