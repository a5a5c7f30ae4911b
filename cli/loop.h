/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loop devices: how an attached volume becomes a block device.
 *
 * What is attached to what is asked of the kernel each time (sysfs), never
 * remembered.
 */
#ifndef CLI_LOOP_H
#define CLI_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "block-device.h"
#include "error.h"

/* In another mount namespace, or root directory, a path is another file. */
struct backing_file {
	const char *path;
	uint64_t device, inode; /* stat(2) */
};

/* The device of @file; false: none. */
bool loop_find(const struct backing_file *file,
	       char ret_device[DEVICE_PATH_MAX]);

/*
 * Make a loop device of the first @size bytes of @file, with direct I/O:
 * through the page cache of @file it would go on showing what was there
 * before a rollback.  @wanted: /dev/loopN, NULL: any free one.
 * -EBUSY: @wanted is taken; -ENOENT: no loop devices here.
 */
int loop_make(const char *file, uint64_t size, bool read_only,
	      const char *wanted, char ret_device[DEVICE_PATH_MAX],
	      struct error *err);

/*
 * Let @device be as long as the first @size bytes of its file, mounted or
 * not.
 */
int loop_set_size(const char *device, uint64_t size, struct error *err);

/*
 * Take @device, held by @fd of device_hold(), from its file.  Closes @fd in
 * any case.
 */
int loop_unmake(const char *device, int fd, struct error *err);

#endif
