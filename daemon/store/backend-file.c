/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back end on a regular file or a block device.
 *
 * NOTES ON THE DESIGN
 *
 * Two descriptors: buffered for reads, so that the page cache serves what is
 * read twice, and O_DIRECT for writes, since the log is read back rarely and
 * would only push other pages out.  A file system may refuse O_DIRECT when
 * the file is opened (older tmpfs), at the first read (the probe in
 * backend-file-open.c) or only at a write: then the store goes on buffered.  A
 * direct write drops the range from the page cache before and after, hence a
 * buffered read that begins after it sees the new bytes.
 *
 * A sync is one fdatasync() of the descriptor that wrote.  It is never
 * repeated after a failure: the kernel marks the pages clean and the second
 * call would lie (I12).
 */
#include "backend-file-internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "mutex.h"
#include "units.h"

#define BOUNCE_BYTES (256u << 10)
#define WRITE_IOVS 16

/* Zeros to write; never written to, so it costs no memory of its own. */
static uint8_t zeros[BOUNCE_BYTES] __attribute__((aligned(BLOCK_SIZE)));

static struct backend_file *file_of(struct backend *be)
{
	return (struct backend_file *)be;
}

static int io_error(struct error *err, int code, const char *verb,
		    uint64_t offset, uint64_t length)
{
	if (code == EDQUOT)
		code = ENOSPC;
	return error_set(err, code == ENOSPC ? ENOSPC : EIO,
			 "cannot %s %" PRIu64 " bytes at %" PRIu64
			 " of the store: %s",
			 verb, length, offset, strerror(code));
}

/* ---- reading ---- */

/* Read all of it from @fd; returns the bytes up to the end of the file. */
static ssize_t pread_full(int fd, void *ret, size_t length, uint64_t offset)
{
	size_t done = 0;

	while (done < length) {
		ssize_t n = pread(fd, (uint8_t *)ret + done, length - done,
				  (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		/* a direct read that went on behind an unaligned end */
		if (n == 0 || (n < 0 && errno == EINVAL && done > 0))
			break;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* By O_DIRECT through a bounce buffer; -EINVAL where that does not work. */
static ssize_t pread_direct(struct backend_file *f, uint8_t *ret, size_t length,
			    uint64_t offset)
{
	CLEANUP_FREE void *bounce = NULL;
	size_t done = 0;

	if (f->direct_fd < 0 ||
	    posix_memalign(&bounce, BLOCK_SIZE, BOUNCE_BYTES) != 0)
		return -EINVAL;
	while (done < length) {
		uint64_t at = offset + done;
		uint32_t skip = (uint32_t)(at % BLOCK_SIZE);
		size_t want = length - done;
		ssize_t n;

		if (want > BOUNCE_BYTES - skip)
			want = BOUNCE_BYTES - skip;
		n = pread_full(f->direct_fd, bounce,
			       round_up_u64(skip + want, BLOCK_SIZE),
			       at - skip);
		if (n < 0)
			return n;
		if ((size_t)n < skip + want)
			want = (size_t)n > skip ? (size_t)n - skip : 0;
		if (want == 0)
			break;
		memcpy(ret + done, (uint8_t *)bounce + skip, want);
		done += want;
	}
	return (ssize_t)done;
}

static void drop_range(struct backend_file *f, uint64_t offset, uint64_t length)
{
	/* advice; what cannot be dropped is read from the cache */
	(void)posix_fadvise(f->fd, (off_t)offset, (off_t)length,
			    POSIX_FADV_DONTNEED);
}

static int file_read(struct backend *be, uint64_t place, uint32_t offset,
		     void *ret, uint32_t length, unsigned int flags,
		     struct error *err)
{
	struct backend_file *f = file_of(be);
	uint64_t at = backend_frame_offset(place, be->segment_shift) + offset;
	ssize_t n = -EINVAL;

	if (flags & BACKEND_READ_AROUND_CACHE) {
		n = pread_direct(f, ret, length, at);
		if (n == -EINVAL)
			drop_range(f, at, length);
	}
	if (n == -EINVAL)
		n = pread_full(f->fd, ret, length, at);
	if (n < 0)
		return io_error(err, (int)-n, "read", at, length);
	if ((size_t)n < length)
		return error_set(err, EIO,
				 "cannot read %" PRIu32 " bytes at %" PRIu64
				 " of the store: it ends at %" PRIu64
				 " (truncated)",
				 length, at, at + (uint64_t)n);
	return 0;
}

static int file_drop_cache(struct backend *be, uint64_t place,
			   struct error *err)
{
	drop_range(file_of(be), backend_frame_offset(place, be->segment_shift),
		   UINT64_C(1) << be->segment_shift);
	return 0;
}

static void file_will_read(struct backend *be, uint64_t place, uint32_t offset,
			   uint32_t length)
{
	struct backend_file *f = file_of(be);
	uint64_t at = backend_frame_offset(place, be->segment_shift) + offset;

	(void)posix_fadvise(f->fd, (off_t)at, length, POSIX_FADV_WILLNEED);
}

/* ---- writing ---- */

/*
 * The part of @iov that lies behind its first @skip bytes, at most WRITE_IOVS
 * pieces of it.  Returns their number.
 */
static int iov_behind(const struct iovec *iov, int nr_iov, uint64_t skip,
		      struct iovec *ret)
{
	int nr = 0;

	for (int i = 0; i < nr_iov && nr < WRITE_IOVS; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		ret[nr].iov_base = (uint8_t *)iov[i].iov_base + skip;
		ret[nr++].iov_len = iov[i].iov_len - skip;
		skip = 0;
	}
	return nr;
}

static int writing_fd(struct backend_file *f)
{
	return atomic_load(&f->direct) ? f->direct_fd : f->fd;
}

/* One pwritev; falls back to buffered writes for good.  Returns -errno. */
static ssize_t pwritev_once(struct backend_file *f, const struct iovec *iov,
			    int nr_iov, uint64_t offset)
{
	for (;;) {
		bool direct = atomic_load(&f->direct);
		ssize_t n = pwritev(direct ? f->direct_fd : f->fd, iov, nr_iov,
				    (off_t)offset);

		if (n >= 0)
			return n;
		if (errno == EINVAL && direct)
			atomic_store(&f->direct, false);
		else if (errno != EINTR)
			return -errno;
	}
}

static int write_all(struct backend_file *f, const struct iovec *iov,
		     int nr_iov, uint64_t offset, uint64_t length,
		     struct error *err)
{
	uint64_t done = 0;

	while (done < length) {
		struct iovec part[WRITE_IOVS];
		int nr = iov_behind(iov, nr_iov, done, part);
		ssize_t n = pwritev_once(f, part, nr, offset + done);

		/*
		 * A short write goes on from a whole block, as O_DIRECT
		 * demands; less than a block is no progress.
		 */
		if (n >= 0 && n < (ssize_t)BLOCK_SIZE)
			n = -EIO;
		if (n < 0)
			return io_error(err, (int)-n, "write", offset, length);
		done += (uint64_t)n / BLOCK_SIZE * BLOCK_SIZE;
	}
	return 0;
}

static int file_write(struct backend *be, uint64_t place, uint32_t offset,
		      const struct iovec *iov, int nr_iov, struct error *err)
{
	uint64_t length = 0;

	for (int i = 0; i < nr_iov; i++)
		length += iov[i].iov_len;
	return write_all(file_of(be), iov, nr_iov,
			 backend_frame_offset(place, be->segment_shift) +
				 offset,
			 length, err);
}

static int file_sync(struct backend *be, struct error *err)
{
	struct backend_file *f = file_of(be);
	int failed;

	mutex_lock(&f->sync_lock);
	/* both descriptors are of one inode: either flushes all of it */
	if (!f->sync_errno && fdatasync(writing_fd(f)) < 0)
		f->sync_errno = errno;
	failed = f->sync_errno;
	mutex_unlock(&f->sync_lock);
	if (failed)
		return error_set(err, EIO, "cannot sync the store: %s",
				 strerror(failed));
	return 0;
}

/* ---- frames ---- */

static int write_zeros(struct backend_file *f, uint64_t offset, uint64_t length,
		       struct error *err)
{
	int r = 0;

	for (uint64_t done = 0; done < length && r == 0;) {
		struct iovec iov = {.iov_base = zeros,
				    .iov_len = sizeof(zeros)};

		if (length - done < sizeof(zeros))
			iov.iov_len = length - done;
		r = write_all(f, &iov, 1, offset + done, iov.iov_len, err);
		done += iov.iov_len;
	}
	return r;
}

static int file_allocate(struct backend *be, uint64_t place, bool zero_fill,
			 struct error *err)
{
	struct backend_file *f = file_of(be);
	uint64_t at = backend_frame_offset(place, be->segment_shift);
	uint64_t length = UINT64_C(1) << be->segment_shift;
	int r;

	if (!f->is_device) {
		do
			r = fallocate(f->fd, 0, (off_t)at, (off_t)length);
		while (r < 0 && errno == EINTR);
		if (r < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
			zero_fill = true;
		else if (r < 0)
			return io_error(err, errno, "allocate", at, length);
	}
	return zero_fill ? write_zeros(f, at, length, err) : 0;
}

static int file_free(struct backend *be, uint64_t place, struct error *err)
{
	struct backend_file *f = file_of(be);
	uint64_t at = backend_frame_offset(place, be->segment_shift);
	uint64_t length = UINT64_C(1) << be->segment_shift;

	/*
	 * A host that cannot give space back keeps it; the frame is free
	 * either way, so failures are of no interest.
	 */
	if (f->is_device) {
		uint64_t range[2] = {at, length};

		(void)ioctl(f->fd, BLKDISCARD, range);
	} else {
		(void)fallocate(f->fd,
				FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)at, (off_t)length);
	}
	return 0;
}

/* ---- superblocks ---- */

static uint64_t super_offset(unsigned int copy)
{
	return copy == 0 ? 0 : SUPERBLOCK_B_OFFSET;
}

/*
 * What is missing in a short file reads as zeros, so that a file that is no
 * store is told from one that cannot be read.
 */
static int file_super_read(struct backend *be, unsigned int copy,
			   struct disk_superblock *ret, struct error *err)
{
	struct disk_superblock disk;
	ssize_t n;

	memset(&disk, 0, sizeof(disk));
	n = pread_full(file_of(be)->fd, &disk, sizeof(disk),
		       super_offset(copy));
	if (n < 0)
		return io_error(err, (int)-n, "read", super_offset(copy),
				sizeof(disk));
	*ret = disk;
	return 0;
}

static int file_super_write(struct backend *be, unsigned int copy,
			    const struct disk_superblock *disk,
			    struct error *err)
{
	CLEANUP_FREE void *block = NULL;
	struct iovec iov = {.iov_len = sizeof(*disk)};

	if (posix_memalign(&block, BLOCK_SIZE, sizeof(*disk)) != 0)
		return error_set(err, ENOMEM, "no memory for a superblock");
	memcpy(block, disk, sizeof(*disk));
	iov.iov_base = block;
	return write_all(file_of(be), &iov, 1, super_offset(copy),
			 sizeof(*disk), err);
}

/* ---- identity and life ---- */

uint64_t backend_file_device_bytes(int fd)
{
	uint64_t bytes = 0;

	return ioctl(fd, BLKGETSIZE64, &bytes) < 0 ? 0 : bytes;
}

static int file_grow(struct backend *be, uint64_t capacity, struct error *err)
{
	struct backend_file *f = file_of(be);
	struct backend_stat stat;

	backend_stat(be, &stat);
	if (stat.size_bytes >= capacity)
		return 0;
	if (f->is_device)
		return error_set(err, EINVAL,
				 "the device holds only %" PRIu64 " bytes",
				 stat.size_bytes);
	if (ftruncate(f->fd, (off_t)capacity) < 0)
		return error_set(err,
				 errno == EFBIG	   ? EINVAL
				 : errno == EDQUOT ? ENOSPC
						   : errno,
				 "the file cannot be made %" PRIu64
				 " bytes long: %s",
				 capacity, strerror(errno));
	return 0;
}

static void file_shrink(struct backend *be, uint64_t size_bytes)
{
	struct backend_file *f = file_of(be);
	struct backend_stat stat;

	backend_stat(be, &stat);
	if (f->is_device || stat.size_bytes <= size_bytes)
		return;
	if (ftruncate(f->fd, (off_t)size_bytes) < 0)
		return; /* a longer file does no harm */
}

static void file_stat(struct backend *be, struct backend_stat *ret)
{
	struct backend_file *f = file_of(be);
	struct stat st = {0};

	(void)fstat(f->fd, &st); /* of an open descriptor: cannot fail */
	ret->size_bytes = (uint64_t)st.st_size;
	ret->allocated_bytes = (uint64_t)st.st_blocks * 512;
	ret->device = st.st_dev;
	ret->inode = st.st_ino;
	ret->is_device = f->is_device;
	ret->direct = atomic_load(&f->direct);
	if (f->is_device)
		ret->size_bytes = ret->allocated_bytes =
			backend_file_device_bytes(f->fd);
}

static void file_close(struct backend *be)
{
	struct backend_file *f = file_of(be);

	if (f->direct_fd >= 0)
		(void)close(f->direct_fd);
	if (f->fd >= 0)
		(void)close(f->fd);
	if (f->lock_fd >= 0)
		(void)close(f->lock_fd);
	mutex_done(&f->sync_lock);
	free(f);
}

static const struct backend_ops file_ops = {
	.close = file_close,
	.read = file_read,
	.write = file_write,
	.sync = file_sync,
	.allocate = file_allocate,
	.free = file_free,
	.drop_cache = file_drop_cache,
	.will_read = file_will_read,
	.super_read = file_super_read,
	.super_write = file_super_write,
	.grow = file_grow,
	.shrink = file_shrink,
	.stat = file_stat,
};

struct backend_file *backend_file_new(struct error *err)
{
	struct backend_file *f = calloc(1, sizeof(*f));

	if (!f) {
		(void)error_set(err, ENOMEM, "no memory for a back end");
		return NULL;
	}
	f->be.ops = &file_ops;
	f->fd = f->direct_fd = f->lock_fd = -1;
	mutex_init(&f->sync_lock, LOCK_BACKEND);
	return f;
}
