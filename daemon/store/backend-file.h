/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back end on a regular file or a block device.
 *
 * Frames are written by O_DIRECT where it works, else buffered; they are
 * read buffered.  The store's lock is flock(2) on the descriptor (a block
 * device also O_EXCL, two nodes of one device have different flocks).
 */
#ifndef STORE_BACKEND_FILE_H
#define STORE_BACKEND_FILE_H

#include "backend.h"

#define BACKEND_FILE_READ_ONLY 1u /* shared lock, O_RDONLY */

/*
 * Open @path.  Waits up to @lock_wait_ms for the lock.  @lock_fd: a
 * descriptor of the same file that already holds the exclusive lock
 * (inherited from varved), else -1; it is taken over.
 * -ENOENT, -EACCES, -EROFS; -EWOULDBLOCK: locked; -EINVAL: neither a regular
 * file nor a block device; -EIO.
 */
int backend_file_open(const char *path, unsigned int flags, int lock_fd,
		      unsigned int lock_wait_ms, struct backend **ret,
		      struct error *err);

/*
 * Create @path (mode 0600) for a new store, sparse, @capacity bytes; a block
 * device is used whole (@capacity 0) or in part.  *ret_capacity is what it
 * will hold.  -EEXIST: the file exists and is not empty, or the device holds
 * a varve store, unless @force.
 */
int backend_file_create(const char *path, uint64_t capacity, bool force,
			struct backend **ret, uint64_t *ret_capacity,
			struct error *err);

#endif
