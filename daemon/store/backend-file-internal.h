/* SPDX-License-Identifier: BSD-2-Clause */
/* What backend-file.c and backend-file-open.c share. */
#ifndef STORE_BACKEND_FILE_INTERNAL_H
#define STORE_BACKEND_FILE_INTERNAL_H

/* Before ours: it has a BLOCK_SIZE of its own, of 1024 bytes. */
#include <linux/fs.h>
#undef BLOCK_SIZE

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend-file.h"
#include "mutex.h"

struct backend_file {
	struct backend be; /* first */
	int fd;		   /* buffered; holds the lock unless lock_fd does */
	int direct_fd;	   /* O_DIRECT, or -1 */
	int lock_fd;	   /* inherited, or -1 */
	bool is_device;
	_Atomic bool direct; /* writes go to direct_fd */
	/*
	 * One sync at a time: the kernel tells a write-back error to one
	 * caller of fdatasync only, so a second one must wait and be told.
	 */
	struct mutex sync_lock; /* protects sync_errno */
	int sync_errno;		/* of the first sync that failed: for good */
};

/*
 * A back end without descriptors, to be opened; backend_close() frees it at
 * any stage.  NULL: no memory.
 */
struct backend_file *backend_file_new(struct error *err);
/* Bytes of the block device @fd; 0: it does not say. */
uint64_t backend_file_device_bytes(int fd);

#endif
