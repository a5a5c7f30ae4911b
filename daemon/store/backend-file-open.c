/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a file or a block device becomes a back end: found or created, locked,
 * and opened a second time for direct writes.
 */
#include "backend-file-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "units.h"

#define LOCK_POLL_MS 10u

static int open_error(struct error *err, const char *path, int code)
{
	switch (code) {
	case EISDIR:
		return error_set(err, EINVAL, "%s: is a directory", path);
	case ENOTDIR:
		code = ENOENT;
		break;
	case EPERM:
		code = EACCES;
		break;
	}
	return error_set(err, code, "%s: %s", path, strerror(code));
}

/* ---- path and lock ---- */

/*
 * open(2), waiting for a device that is held O_EXCL.  Looks before it opens:
 * opening a tape or a FIFO would do something.
 */
static int open_path(struct backend_file *f, const char *path, int flags,
		     unsigned int wait_ms, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return open_error(err, path, errno);
	if (S_ISDIR(st.st_mode))
		return open_error(err, path, EISDIR);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return error_set(err, EINVAL,
				 "%s: neither a regular file nor a block "
				 "device",
				 path);
	f->is_device = S_ISBLK(st.st_mode);
	if (f->is_device && f->lock_fd < 0 && (flags & O_ACCMODE) == O_RDWR)
		flags |= O_EXCL;
	for (;;) {
		f->fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
		if (f->fd >= 0)
			return 0;
		if (errno != EBUSY)
			return open_error(err, path, errno);
		if (wait_ms < LOCK_POLL_MS)
			return error_set(err, EWOULDBLOCK,
					 "%s: the device is in use", path);
		sleep_ms(LOCK_POLL_MS);
		wait_ms -= LOCK_POLL_MS;
	}
}

static int take_lock(int fd, const char *path, int operation,
		     unsigned int wait_ms, struct error *err)
{
	for (;;) {
		if (flock(fd, operation | LOCK_NB) == 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return error_set(err, EIO, "%s: cannot lock: %s", path,
					 strerror(errno));
		if (wait_ms < LOCK_POLL_MS)
			return error_set(err, EWOULDBLOCK,
					 "%s: locked by another process", path);
		sleep_ms(LOCK_POLL_MS);
		wait_ms -= LOCK_POLL_MS;
	}
}

static bool same_file(int a, int b)
{
	struct stat sa, sb;

	if (fstat(a, &sa) < 0 || fstat(b, &sb) < 0)
		return false;
	if (S_ISBLK(sa.st_mode) && S_ISBLK(sb.st_mode))
		return sa.st_rdev == sb.st_rdev;
	return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/*
 * A second descriptor, by O_DIRECT, if a block can be read through it.  By
 * way of /proc, since @path may name another file by now; without /proc by
 * @path.
 */
static void open_direct(struct backend_file *f, const char *path, int flags)
{
	CLEANUP_FREE void *block = NULL;
	CLEANUP_CLOSE int fd = -1;
	char self[64];

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
	fd = open(self, flags | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		fd = open(path, flags | O_DIRECT | O_CLOEXEC);
	if (fd < 0 || !same_file(fd, f->fd))
		return;
	if (posix_memalign(&block, BLOCK_SIZE, BLOCK_SIZE) != 0 ||
	    pread(fd, block, BLOCK_SIZE, 0) < 0)
		return;
	f->direct_fd = fd;
	fd = -1;
	atomic_store(&f->direct, (flags & O_ACCMODE) == O_RDWR);
}

/* ---- opening ---- */

int backend_file_open(const char *path, unsigned int flags, int lock_fd,
		      unsigned int lock_wait_ms, struct backend **ret,
		      struct error *err)
{
	bool read_only = flags & BACKEND_FILE_READ_ONLY;
	int open_flags = read_only ? O_RDONLY : O_RDWR;
	struct backend_file *f = backend_file_new(err);
	int r = -ENOMEM;

	if (!f)
		return r;
	f->lock_fd = lock_fd;
	r = open_path(f, path, open_flags, lock_wait_ms, err);
	if (r < 0)
		goto err_close;
	if (lock_fd >= 0 && !same_file(lock_fd, f->fd)) {
		r = error_set(err, EINVAL,
			      "%s: the lock descriptor is of another file",
			      path);
		goto err_close;
	}
	/* what an inherited descriptor holds already is only confirmed */
	r = take_lock(lock_fd >= 0 ? lock_fd : f->fd, path,
		      read_only ? LOCK_SH : LOCK_EX, lock_wait_ms, err);
	if (r < 0)
		goto err_close;
	open_direct(f, path, open_flags);
	*ret = &f->be;
	return 0;

err_close:
	f->lock_fd = -1; /* stays the caller's */
	backend_close(&f->be);
	return r;
}

/* ---- creation ---- */

/* Make the new name itself durable. */
static int sync_parent(const char *path, struct error *err)
{
	CLEANUP_FREE char *copy = strdup(path);
	CLEANUP_CLOSE int fd = -1;

	if (!copy)
		return error_set(err, ENOMEM, "no memory for a path");
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* a directory that may be written but not read cannot be synced */
	if (fd >= 0 && fsync(fd) < 0 && errno != EINVAL)
		return error_set(err, EIO, "%s: cannot sync its directory: %s",
				 path, strerror(errno));
	return 0;
}

/*
 * Copy on write below our own would scatter the frames; the store has its own
 * checksums.  Works on empty files only; best effort.
 */
static void set_nocow(int fd)
{
	struct statfs fs;
	int attributes;

	if (fstatfs(fd, &fs) < 0 || fs.f_type != BTRFS_SUPER_MAGIC ||
	    ioctl(fd, FS_IOC_GETFLAGS, &attributes) < 0)
		return;
	attributes |= FS_NOCOW_FL;
	(void)ioctl(fd, FS_IOC_SETFLAGS, &attributes);
}

static int holds_store(struct backend_file *f, const char *path,
		       struct error *err)
{
	for (unsigned int copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
		struct disk_superblock disk;
		int r = backend_super_read(&f->be, copy, &disk, err);

		if (r < 0)
			return r;
		if (memcmp(disk.magic, SUPERBLOCK_MAGIC, sizeof(disk.magic)) ==
		    0)
			return error_set(err, EEXIST,
					 "%s: holds a varve store already",
					 path);
	}
	return 0;
}

/* Check what is there and give the file its size. */
static int prepare_file(struct backend_file *f, const char *path,
			uint64_t capacity, bool force, struct error *err)
{
	struct stat st;

	if (capacity == 0 || capacity > INT64_MAX)
		return error_set(err, EINVAL,
				 "%s: cannot be a file of %" PRIu64 " bytes",
				 path, capacity);
	if (fstat(f->fd, &st) < 0)
		return error_set(err, EIO, "%s: %s", path, strerror(errno));
	if (st.st_size > 0 && !force)
		return error_set(err, EEXIST, "%s: exists and is not empty",
				 path);
	if (st.st_size > 0 && ftruncate(f->fd, 0) < 0)
		return error_set(err, EIO, "%s: cannot empty it: %s", path,
				 strerror(errno));
	set_nocow(f->fd);
	if (ftruncate(f->fd, (off_t)capacity) < 0)
		return error_set(err, errno == EFBIG ? EINVAL : errno,
				 "%s: cannot make it %" PRIu64 " bytes: %s",
				 path, capacity, strerror(errno));
	return sync_parent(path, err);
}

static int prepare_device(struct backend_file *f, const char *path,
			  uint64_t *capacity, bool force, struct error *err)
{
	uint64_t size = backend_file_device_bytes(f->fd);

	if (*capacity == 0)
		*capacity = size;
	if (*capacity > size)
		return error_set(err, EINVAL,
				 "%s: the device holds only %" PRIu64 " bytes",
				 path, size);
	return force ? 0 : holds_store(f, path, err);
}

int backend_file_create(const char *path, uint64_t capacity, bool force,
			struct backend **ret, uint64_t *ret_capacity,
			struct error *err)
{
	struct backend_file *f = backend_file_new(err);
	bool created = false;
	int r = -ENOMEM;
	int fd;

	if (!f)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	created = fd >= 0;
	if (fd < 0 && errno != EEXIST) {
		r = open_error(err, path, errno);
		goto err_close;
	}
	if (created)
		f->fd = fd;
	else if ((r = open_path(f, path, O_RDWR, 0, err)) < 0)
		goto err_close;
	r = take_lock(f->fd, path, LOCK_EX, 0, err);
	if (r < 0)
		goto err_close;
	r = f->is_device ? prepare_device(f, path, &capacity, force, err)
			 : prepare_file(f, path, capacity, force, err);
	if (r < 0)
		goto err_close;
	open_direct(f, path, O_RDWR);
	*ret_capacity = capacity;
	*ret = &f->be;
	return 0;

err_close:
	if (created)
		(void)unlink(path); /* empty, and made a moment ago */
	backend_close(&f->be);
	return r;
}
