/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file systems on a block device: those mounted from it, from one of its
 * partitions, or from what is made of it (LVM, crypt); in any mount
 * namespace.  Several mounts of one file system are one.
 */
#ifndef CLI_MOUNTS_H
#define CLI_MOUNTS_H

#include <limits.h>
#include <stddef.h>

#include "error.h"

struct filesystem {
	unsigned int major, minor; /* its own, as in mountinfo */
	char point[PATH_MAX];	   /* as seen by who mounted it */
	int fd;			   /* its root, or what is mounted of it */
};

struct filesystems {
	struct filesystem *ptr;
	size_t nr;
};

/*
 * Open the file systems on @device; none is a success.  -EBUSY: one is
 * mounted where it cannot be reached.
 */
int filesystems_open(const char *device, struct filesystems *ret,
		     struct error *err);
void filesystems_close(struct filesystems *filesystems);

#endif
