/* SPDX-License-Identifier: BSD-2-Clause */
#include "mounts.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "output.h"

/* A device and what is made of it. */
struct devices {
	dev_t *ptr;
	size_t nr;
};

/* Of mounts; by their inodes. */
struct namespaces {
	uint64_t *ptr;
	size_t nr;
};

/* A line of mountinfo. */
struct mount {
	unsigned int id, major, minor;
	char point[PATH_MAX];
	char type[32];
	char source[PATH_MAX];
};

/* ---- the devices ---- */

static bool devices_have(const struct devices *devices, dev_t device)
{
	size_t i;

	for (i = 0; i < devices->nr; i++)
		if (devices->ptr[i] == device)
			return true;
	return false;
}

/* The number in sysfs' file @dir/@name/dev; 0: it is no device. */
static dev_t sysfs_device(const char *dir, const char *name)
{
	unsigned int major = 0, minor = 0;
	char path[PATH_MAX];
	FILE *file;

	if (snprintf(path, sizeof(path), "%s/%s/dev", dir, name) >=
	    (int)sizeof(path))
		return 0;
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%u:%u", &major, &minor) != 2)
		major = minor = 0;
	(void)fclose(file); /* only read */
	return makedev(major, minor);
}

static bool is_partition(const char *dir, const char *name)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/%s/partition", dir, name) <
		       (int)sizeof(path) &&
	       access(path, F_OK) == 0;
}

static void add_device(struct devices *devices, dev_t device)
{
	if (devices_have(devices, device))
		return;
	devices->ptr = must(
		reallocarray(devices->ptr, devices->nr + 1, sizeof(device)));
	devices->ptr[devices->nr++] = device;
}

/* What is in @dir and is a block device. */
static void add_devices_in(struct devices *devices, const char *dir,
			   bool only_partitions)
{
	struct dirent *entry;
	dev_t device;
	DIR *d;

	d = opendir(dir);
	while (d && (entry = readdir(d))) {
		if (entry->d_name[0] == '.' ||
		    (only_partitions && !is_partition(dir, entry->d_name)))
			continue;
		device = sysfs_device(dir, entry->d_name);
		if (device)
			add_device(devices, device);
	}
	if (d)
		(void)closedir(d); /* only read */
}

static int find_devices(const char *device, struct devices *ret,
			struct error *err)
{
	char path[128];
	struct stat st;
	size_t i;

	if (stat(device, &st) < 0)
		return error_set(err, errno, "%s: %s", device, strerror(errno));
	*ret = (struct devices){.nr = 0};
	add_device(ret, st.st_rdev);
	for (i = 0; i < ret->nr; i++) {
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u",
			 major(ret->ptr[i]), minor(ret->ptr[i]));
		add_devices_in(ret, path, true);
		strcat(path, "/holders");
		add_devices_in(ret, path, false);
	}
	return 0;
}

/* ---- mountinfo ---- */

/* \040 and the like become what they stand for. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++)
		if (*text == '\\' && isdigit((unsigned char)text[1]) &&
		    isdigit((unsigned char)text[2]) &&
		    isdigit((unsigned char)text[3])) {
			*to++ = (char)((text[1] - '0') * 64 +
				       (text[2] - '0') * 8 + (text[3] - '0'));
			text += 3;
		} else {
			*to++ = *text;
		}
	*to = '\0';
}

static bool parse_mount(const char *line, struct mount *ret)
{
	const char *rest = strstr(line, " - ");

	if (!rest ||
	    sscanf(line, "%u %*u %u:%u %*s %4095s", &ret->id, &ret->major,
		   &ret->minor, ret->point) != 4 ||
	    sscanf(rest, " - %31s %4095s", ret->type, ret->source) != 2)
		return false;
	unescape(ret->point);
	unescape(ret->source);
	return true;
}

/*
 * Btrfs has a number of its own; what it was mounted from is a device.  Others
 * without a device, tmpfs say, call their source what the user likes.
 */
static bool is_mounted_from(const struct mount *m,
			    const struct devices *devices)
{
	struct stat st;

	if (devices_have(devices, makedev(m->major, m->minor)))
		return true;
	return m->major == 0 && strcmp(m->type, "btrfs") == 0 &&
	       strncmp(m->source, "/dev/", 5) == 0 &&
	       stat(m->source, &st) == 0 && S_ISBLK(st.st_mode) &&
	       devices_have(devices, st.st_rdev);
}

/* ---- the file systems ---- */

static struct filesystem *find(struct filesystems *all, const struct mount *m)
{
	size_t i;

	for (i = 0; i < all->nr; i++)
		if (all->ptr[i].major == m->major &&
		    all->ptr[i].minor == m->minor)
			return &all->ptr[i];
	return NULL;
}

/*
 * The mount itself, not what is mounted over it.  @root: of the process
 * that sees it.
 */
static int open_mount(const struct mount *m, const char *root)
{
	char path[PATH_MAX + 64];
	struct statx stx;
	int fd;

	snprintf(path, sizeof(path), "%s%s", root, m->point);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) == 0 &&
	    (stx.stx_mask & STATX_MNT_ID) && stx.stx_mnt_id == m->id)
		return fd;
	(void)close(fd); /* only looked at */
	return -1;
}

static void add_mount(struct filesystems *all, const struct mount *m,
		      const char *root)
{
	struct filesystem *fs = find(all, m);

	if (fs && fs->fd >= 0)
		return;
	if (!fs) {
		all->ptr =
			must(reallocarray(all->ptr, all->nr + 1, sizeof(*fs)));
		fs = &all->ptr[all->nr++];
		*fs = (struct filesystem){.major = m->major, .minor = m->minor};
		strcpy(fs->point, m->point);
	}
	fs->fd = open_mount(m, root);
	if (fs->fd >= 0)
		strcpy(fs->point, m->point);
}

/* The mounts that process @pid ("self") sees. */
static void add_mounts(struct filesystems *all, const struct devices *devices,
		       const char *pid)
{
	char path[64], root[64] = "", *line = NULL;
	struct mount m;
	size_t room = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%.20s/mountinfo", pid);
	if (strcmp(pid, "self") != 0)
		snprintf(root, sizeof(root), "/proc/%.20s/root", pid);
	file = fopen(path, "re");
	while (file && getline(&line, &room, file) > 0)
		if (parse_mount(line, &m) && is_mounted_from(&m, devices))
			add_mount(all, &m, root);
	free(line);
	if (file)
		(void)fclose(file); /* only read */
}

/* ---- other namespaces ---- */

static uint64_t namespace_of(const char *pid)
{
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%.20s/ns/mnt", pid);
	return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* The first that is seen of it? */
static bool add_namespace(struct namespaces *seen, uint64_t one)
{
	size_t i;

	for (i = 0; i < seen->nr; i++)
		if (seen->ptr[i] == one)
			return false;
	seen->ptr = must(reallocarray(seen->ptr, seen->nr + 1, sizeof(one)));
	seen->ptr[seen->nr++] = one;
	return true;
}

static void add_mounts_elsewhere(struct filesystems *all,
				 const struct devices *devices)
{
	struct namespaces seen = {.nr = 0};
	struct dirent *entry;
	uint64_t one;
	DIR *dir;

	(void)add_namespace(&seen, namespace_of("self")); /* the first */
	dir = opendir("/proc");
	while (dir && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		one = namespace_of(entry->d_name);
		if (one && add_namespace(&seen, one))
			add_mounts(all, devices, entry->d_name);
	}
	if (dir)
		(void)closedir(dir); /* only read */
	free(seen.ptr);
}

int filesystems_open(const char *device, struct filesystems *ret,
		     struct error *err)
{
	struct devices devices;
	size_t i;
	int r;

	*ret = (struct filesystems){0};
	r = find_devices(device, &devices, err);
	if (r < 0)
		return r;
	add_mounts(ret, &devices, "self");
	add_mounts_elsewhere(ret, &devices);
	free(devices.ptr);
	for (i = 0; i < ret->nr && r == 0; i++)
		if (ret->ptr[i].fd < 0)
			r = error_set(err, EBUSY,
				      "%s is mounted on %.200s, which cannot "
				      "be opened",
				      device, ret->ptr[i].point);
	if (r < 0)
		filesystems_close(ret);
	return r;
}

void filesystems_close(struct filesystems *filesystems)
{
	size_t i;

	for (i = 0; i < filesystems->nr; i++)
		if (filesystems->ptr[i].fd >= 0)
			(void)close(filesystems->ptr[i].fd); /* only read */
	free(filesystems->ptr);
	*filesystems = (struct filesystems){0};
}
