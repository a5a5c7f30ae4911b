/* SPDX-License-Identifier: BSD-2-Clause */
#include "loop.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "block-device.h"
#include "cleanup.h"
#include "clock.h"

#define LOOP_MAJOR 7
#define RESIZE_TRIES 40 /* of 50 ms */
#define UNMAKE_TRIES 100

/* The backing file of loop device @number; false: it has none. */
static bool backing_path(unsigned int number, char ret[PATH_MAX])
{
	char path[64];
	FILE *file;
	bool found;

	snprintf(path, sizeof(path), "/sys/block/loop%u/loop/backing_file",
		 number);
	file = fopen(path, "re");
	if (!file)
		return false;
	found = fgets(ret, PATH_MAX, file) != NULL;
	(void)fclose(file); /* only read */
	if (found)
		ret[strcspn(ret, "\n")] = '\0';
	return found;
}

/* "loop12" or "/dev/loop12"; false: neither. */
static bool loop_number(const char *name, unsigned int *ret)
{
	char rest;

	if (strncmp(name, "/dev/", 5) == 0)
		name += 5;
	return strncmp(name, "loop", 4) == 0 && isdigit(name[4]) &&
	       sscanf(name + 4, "%6u%c", ret, &rest) == 1;
}

enum likeness { OTHER, PERHAPS, SAME };

static enum likeness compare(const char *device,
			     const struct backing_file *file)
{
	char path[PATH_MAX];
	struct loop_info64 info;
	unsigned int number;
	CLEANUP_CLOSE int fd = -1;

	if (!loop_number(device, &number) || !backing_path(number, path) ||
	    strcmp(path, file->path) != 0)
		return OTHER;
	fd = open(device, O_RDONLY | O_CLOEXEC);
	/* only root can ask, and not when nbdfuse has died */
	if (fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
		return PERHAPS;
	return info.lo_device == file->device && info.lo_inode == file->inode
		       ? SAME
		       : OTHER;
}

bool loop_find(const struct backing_file *file,
	       char ret_device[DEVICE_PATH_MAX])
{
	enum likeness best = OTHER, this;
	char device[DEVICE_PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	dir = opendir("/sys/block");
	while (dir && best != SAME && (entry = readdir(dir))) {
		if (snprintf(device, sizeof(device), "/dev/%s",
			     entry->d_name) >= (int)sizeof(device))
			continue;
		this = compare(device, file);
		if (this <= best)
			continue;
		best = this;
		memcpy(ret_device, device, sizeof(device));
	}
	if (dir)
		(void)closedir(dir); /* only read */
	return best != OTHER;
}

/* The kernel names a free device; in a container its node may be missing. */
static int free_device(char ret[DEVICE_PATH_MAX], struct error *err)
{
	CLEANUP_CLOSE int control =
		open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int number;

	if (control < 0)
		return error_set(err, errno, "/dev/loop-control: %s",
				 strerror(errno));
	number = ioctl(control, LOOP_CTL_GET_FREE);
	if (number < 0)
		return error_set(err, errno, "no free loop device: %s",
				 strerror(errno));
	snprintf(ret, DEVICE_PATH_MAX, "/dev/loop%d", number);
	if (access(ret, F_OK) < 0 &&
	    mknod(ret, S_IFBLK | 0660, makedev(LOOP_MAJOR, number)) < 0 &&
	    errno != EEXIST)
		return error_set(err, errno, "%s: %s", ret, strerror(errno));
	return 0;
}

/* -EBUSY: somebody else took it first. */
static int configure(const char *device, int backing, const char *file,
		     uint64_t size, bool read_only, struct error *err)
{
	CLEANUP_CLOSE int fd =
		open(device, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	struct loop_config config = {.fd = (uint32_t)backing};
	struct loop_info64 info;

	if (fd < 0)
		return error_set(err, errno, "%s: %s", device, strerror(errno));
	config.info.lo_sizelimit = size;
	config.info.lo_flags =
		LO_FLAGS_DIRECT_IO | (read_only ? LO_FLAGS_READ_ONLY : 0);
	snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%s", file);
	if (ioctl(fd, LOOP_CONFIGURE, &config) < 0)
		return error_set(err, errno, "%s: %s", device, strerror(errno));
	if (ioctl(fd, LOOP_GET_STATUS64, &info) == 0 &&
	    (info.lo_flags & LO_FLAGS_DIRECT_IO))
		return 0;
	(void)ioctl(fd, LOOP_CLR_FD); /* the failure told is this one: */
	return error_set(err, ENOTSUP, "%s: no direct I/O on %s", device, file);
}

/*
 * Kernels before 6.17 take a FUSE file to be empty until somebody has asked
 * for its size.
 */
static int look_at_size(int fd, const char *file, uint64_t size,
			struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "%s: %s", file, strerror(errno));
	if (st.st_size < 0 || (uint64_t)st.st_size < size)
		return error_set(err, EINVAL, "%s: smaller than the volume",
				 file);
	return 0;
}

int loop_make(const char *file, uint64_t size, bool read_only,
	      const char *wanted, char ret_device[DEVICE_PATH_MAX],
	      struct error *err)
{
	CLEANUP_CLOSE int backing =
		open(file, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	int tries, r;

	if (backing < 0)
		return error_set(err, errno, "%s: %s", file, strerror(errno));
	r = look_at_size(backing, file, size, err);
	if (r < 0)
		return r;
	if (wanted) {
		snprintf(ret_device, DEVICE_PATH_MAX, "%s", wanted);
		return configure(wanted, backing, file, size, read_only, err);
	}
	for (tries = 0; tries < 16; tries++) {
		r = free_device(ret_device, err);
		if (r < 0)
			return r;
		r = configure(ret_device, backing, file, size, read_only, err);
		if (r != -EBUSY)
			return r;
	}
	return r;
}

int loop_set_size(const char *device, uint64_t size, struct error *err)
{
	CLEANUP_CLOSE int fd = open(device, O_RDONLY | O_CLOEXEC);
	struct loop_info64 info;
	int tries, r = -1;

	if (fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
		return error_set(err, errno, "%s: %s", device, strerror(errno));
	if (info.lo_sizelimit == size)
		return 0;
	info.lo_sizelimit = size;
	/* kernels before 5.10 want to be asked again while it is written to */
	for (tries = 0; tries < RESIZE_TRIES && r < 0; tries++) {
		if (tries)
			sleep_ms(50);
		r = ioctl(fd, LOOP_SET_STATUS64, &info);
		if (r < 0 && errno != EAGAIN)
			break;
	}
	if (r < 0)
		return error_set(err, errno, "%s: %s", device, strerror(errno));
	return 0;
}

int loop_unmake(const char *device, int fd, struct error *err)
{
	char backing[PATH_MAX];
	unsigned int number;
	int tries, r = 0;

	if (ioctl(fd, LOOP_CLR_FD) < 0 && errno != ENXIO)
		r = error_set(err, errno, "%s: %s", device, strerror(errno));
	(void)close(fd); /* the kernel lets go only now */
	if (r < 0 || !loop_number(device, &number))
		return r;
	for (tries = 0; tries < UNMAKE_TRIES; tries++) {
		if (!backing_path(number, backing))
			return 0;
		sleep_ms(50);
	}
	return device_busy(device, err);
}
