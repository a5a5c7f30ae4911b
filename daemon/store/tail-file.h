/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tail file: the log's buffers as a MAP_SHARED file on tmpfs, so that a
 * batch not yet written survives the death of the process (design of the
 * promise "when only the daemon dies, nothing acknowledged is lost").
 *
 * Named varve-<uuid>-<device>:<inode>-<incarnation>.tail, mode 0600, fully
 * allocated at creation.  A header page holds magic, uuid, incarnation, boot id
 * and geometry; then nr_buffers buffers of buffer_bytes.  The content of a
 * buffer belongs to the log writer.
 *
 * A file of another boot is never used: tmpfs does not survive one, but a
 * copied file could.  Its maker holds an flock on it as long as it lives, so
 * that a copy of a store, which has the same uuid, never takes the tail of
 * the original that is being served.
 */
#ifndef STORE_TAIL_FILE_H
#define STORE_TAIL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

/*
 * Whose tail: a copy of a store has its uuid, but neither its device nor its
 * inode, and must not find the original's tail.
 */
struct tail_owner {
	uint8_t uuid[16];
	uint64_t device;
	uint64_t inode;
};

struct tail_file {
	void *map; /* of map_bytes; header page first */
	size_t map_bytes;
	uint8_t *buffers; /* nr_buffers x buffer_bytes, page aligned */
	uint32_t nr_buffers;
	uint32_t buffer_bytes;
	int fd;	     /* holds the lock; -1: private memory */
	bool shared; /* false: private memory, path is "" */
	char path[512];
};

/*
 * Make a tail file in the first of @dirs (NULL-terminated; NULL: none) that
 * is a tmpfs and takes it; where none does, private memory and
 * ret->shared is false.  -ENOMEM.
 */
int tail_file_create(const char *const *dirs, const struct tail_owner *owner,
		     uint64_t incarnation, uint32_t nr_buffers,
		     uint32_t buffer_bytes, struct tail_file *ret,
		     struct error *err);

/*
 * Map an existing one read-only.  -ENOENT: none of this boot in any of
 * @dirs.  Content is hostile: geometry is checked against the file's size.
 */
int tail_file_find(const char *const *dirs, const struct tail_owner *owner,
		   uint64_t incarnation, struct tail_file *ret,
		   struct error *err);

/* Unmap; the file stays.  Accepts a zeroed struct. */
void tail_file_done(struct tail_file *tail);
/* Remove the file; the buffers stay mapped: readers may be in them. */
void tail_file_unlink(struct tail_file *tail);
/* Remove the file, then unmap. */
void tail_file_remove(struct tail_file *tail);
/* Remove all tail files of @owner in @dirs but that of @keep_incarnation. */
void tail_file_remove_others(const char *const *dirs,
			     const struct tail_owner *owner,
			     uint64_t keep_incarnation);

#endif
