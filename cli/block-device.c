/* SPDX-License-Identifier: BSD-2-Clause */
#include "block-device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "clock.h"

#define HOLD_TRIES 40 /* of 50 ms */

/* Does process @pid have @device open?  By name: nothing here can hang. */
static bool process_has(const char *pid, const char *device)
{
	char path[64], target[DEVICE_PATH_MAX + 1];
	struct dirent *entry;
	bool found = false;
	ssize_t length;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		length = readlinkat(dirfd(dir), entry->d_name, target,
				    DEVICE_PATH_MAX);
		if (length < 0)
			continue;
		target[length] = '\0';
		found = strcmp(target, device) == 0;
	}
	if (dir)
		(void)closedir(dir); /* only read */
	return found;
}

/* Where @device is mounted as process @pid ("self") sees it; false: nowhere. */
static bool mounted_on(const char *device, const char *pid, char ret[PATH_MAX])
{
	char path[64], line[2 * PATH_MAX];
	unsigned int major, minor;
	bool found = false;
	struct stat st;
	FILE *file;

	if (stat(device, &st) < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%.20s/mountinfo", pid);
	file = fopen(path, "re");
	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, "%*u %*u %u:%u %*s %4095s", &major, &minor,
			       ret) == 3 &&
			makedev(major, minor) == st.st_rdev;
	if (file)
		(void)fclose(file); /* only read */
	return found;
}

/* Does process @pid have @device mounted in its mount namespace? */
static bool process_mounts(const char *pid, const char *device)
{
	char mount[PATH_MAX];

	return mounted_on(device, pid, mount);
}

/* A process other than this one of which @uses is true, 0: none. */
static long find_user(bool (*uses)(const char *pid, const char *device),
		      const char *device)
{
	struct dirent *entry;
	long user = 0, pid;
	DIR *dir;

	dir = opendir("/proc");
	while (dir && !user && (entry = readdir(dir))) {
		pid = strtol(entry->d_name, NULL, 10);
		if (pid > 0 && pid != getpid() && uses(entry->d_name, device))
			user = pid;
	}
	if (dir)
		(void)closedir(dir); /* only read */
	return user;
}

int device_busy(const char *device, struct error *err)
{
	long user = find_user(process_has, device);
	char mount[PATH_MAX];

	if (mounted_on(device, "self", mount))
		return error_set(err, EBUSY, "%s is in use: mounted on %.200s",
				 device, mount);
	if (user)
		return error_set(err, EBUSY, "%s is in use by process %ld",
				 device, user);
	user = find_user(process_mounts, device);
	if (user)
		return error_set(err, EBUSY,
				 "%s is in use: mounted in the mount "
				 "namespace of process %ld",
				 device, user);
	return error_set(err, EBUSY, "%s is in use", device);
}

int device_hold(const char *device, bool read_only, struct error *err)
{
	int flags = (read_only ? O_RDONLY : O_RDWR) | O_EXCL | O_CLOEXEC;
	int tries, fd;

	for (tries = 0; tries < HOLD_TRIES; tries++) {
		if (tries)
			sleep_ms(50);
		fd = open(device, flags);
		if (fd < 0 && errno == EBUSY)
			continue;
		if (fd < 0)
			return error_set(err, errno, "%s: %s", device,
					 strerror(errno));
		if (!find_user(process_has, device))
			return fd;
		(void)close(fd); /* nothing was written */
	}
	return device_busy(device, err);
}
