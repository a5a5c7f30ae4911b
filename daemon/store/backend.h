/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A back end keeps frames of one segment each and two superblock copies.
 *
 * It knows nothing of their content.  A frame is named by its place, an
 * opaque number (file back end: the frame's index); offsets and lengths are
 * bytes inside the frame.  Writes are whole blocks from memory aligned to a
 * block and may be in flight on several threads at once; a write is durable
 * when a sync that began after it returned has returned 0.
 *
 * No function takes an engine lock; all may block, but for backend_stat().
 */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "error.h"
#include "superblock.h"

struct backend;

/* Frames start here: the larger of a segment and 128 KiB. */
#define FRAMES_OFFSET_MIN (128u << 10)

#define BACKEND_READ_AROUND_CACHE 1u
#define BACKEND_IN_FLIGHT 16u

struct backend_stat {
	uint64_t size_bytes;	  /* of the file or device */
	uint64_t allocated_bytes; /* st_blocks; a device: size */
	uint64_t device;	  /* identity of the store, as stat(2) */
	uint64_t inode;
	bool is_device;
	bool direct; /* O_DIRECT in use */
};

struct backend_ops {
	void (*close)(struct backend *be);
	int (*read)(struct backend *be, uint64_t place, uint32_t offset,
		    void *ret, uint32_t length, unsigned int flags,
		    struct error *err);
	int (*write)(struct backend *be, uint64_t place, uint32_t offset,
		     const struct iovec *iov, int nr_iov, struct error *err);
	int (*sync)(struct backend *be, struct error *err);
	int (*allocate)(struct backend *be, uint64_t place, bool zero_fill,
			struct error *err);
	int (*free)(struct backend *be, uint64_t place, struct error *err);
	int (*drop_cache)(struct backend *be, uint64_t place,
			  struct error *err);
	void (*will_read)(struct backend *be, uint64_t place, uint32_t offset,
			  uint32_t length);
	int (*super_read)(struct backend *be, unsigned int copy,
			  struct disk_superblock *ret, struct error *err);
	int (*super_write)(struct backend *be, unsigned int copy,
			   const struct disk_superblock *disk,
			   struct error *err);
	int (*grow)(struct backend *be, uint64_t capacity, struct error *err);
	void (*shrink)(struct backend *be, uint64_t size_bytes);
	void (*stat)(struct backend *be, struct backend_stat *ret);
};

/*
 * Embedded first in each back end.  The owner sets segment_shift and
 * nr_frames after it has read a superblock, before the first frame access;
 * nr_frames also while the store grows, when others use it.
 */
struct backend {
	const struct backend_ops *ops;
	unsigned int segment_shift;
	_Atomic uint64_t nr_frames;
	/* begin of writes and syncs in flight, as many as fit; 0: none */
	_Atomic uint64_t in_flight_ms[BACKEND_IN_FLIGHT];
};

/* Frames that @capacity bytes hold. */
uint64_t backend_nr_frames(uint64_t capacity, unsigned int segment_shift);
/* Byte offset of frame @place in the file. */
uint64_t backend_frame_offset(uint64_t place, unsigned int segment_shift);

/*
 * Thin callers that check place, offset and length against the geometry
 * first: -EUCLEAN when they do not fit (bytes from disk led here).
 *
 * read: -EIO.  A read beyond the end of a short file gives -EIO.
 * write: offset and length are multiples of a block; -EIO, -ENOSPC.  A short
 *   write is completed or fails.
 * allocate: make every byte of the frame writable without allocation;
 *   -ENOSPC (also EDQUOT).  zero_fill: write zeros, so that later writes
 *   find written extents.
 * free: give the frame's bytes back (punch, discard); best effort.
 * drop_cache: later reads of the frame come from the medium.
 * grow: make the file at least @capacity bytes long; -ENOSPC.  A device must
 *   be: -EINVAL.  The next sync makes it durable.
 * shrink: make a file that was grown, and needs it no more, @size_bytes long
 *   again; best effort.
 * will_read: the medium may begin to read the range; best effort.
 */
void backend_close(struct backend *be);
int backend_read(struct backend *be, uint64_t place, uint32_t offset, void *ret,
		 uint32_t length, unsigned int flags, struct error *err);
int backend_write(struct backend *be, uint64_t place, uint32_t offset,
		  const struct iovec *iov, int nr_iov, struct error *err);
int backend_sync(struct backend *be, struct error *err);
int backend_allocate(struct backend *be, uint64_t place, bool zero_fill,
		     struct error *err);
int backend_free(struct backend *be, uint64_t place, struct error *err);
int backend_drop_cache(struct backend *be, uint64_t place, struct error *err);
void backend_will_read(struct backend *be, uint64_t place, uint32_t offset,
		       uint32_t length);
int backend_super_read(struct backend *be, unsigned int copy,
		       struct disk_superblock *ret, struct error *err);
int backend_super_write(struct backend *be, unsigned int copy,
			const struct disk_superblock *disk, struct error *err);
int backend_grow(struct backend *be, uint64_t capacity, struct error *err);
void backend_shrink(struct backend *be, uint64_t size_bytes);
void backend_stat(struct backend *be, struct backend_stat *ret);

/*
 * Since when (monotonic milliseconds) the oldest write or sync has been in
 * flight; 0: none is.  Never blocks.
 */
uint64_t backend_in_flight_since(const struct backend *be);

#endif
