/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tail file: the log's buffers in a file on tmpfs.
 *
 * The header page is written once, at creation, and never changes; a process
 * killed before that leaves a file that nobody takes for a tail.
 */
#include "tail-file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "checksum.h"
#include "cleanup.h"
#include "le.h"

#define TAIL_MAGIC "varvtail"
#define TAIL_VERSION 1u
#define TAIL_HEADER_BYTES 4096u
#define TAIL_BUFFERS_MAX 65536u
#define RUNTIME_DIR "/run/varve"

/* Byte for byte the header page; see FORMAT.md, Tail file. */
struct disk_tail_header {
	uint8_t magic[8];
	le32 version;
	le32 nr_buffers;
	le32 buffer_bytes; /* a multiple of 4096 */
	le32 zero;
	uint8_t uuid[16]; /* of the store */
	le64 incarnation;
	uint8_t boot_id[16];
	le64 device; /* of the store, as stat(2) */
	le64 inode;
	uint8_t reserved[4008];
	le64 checksum; /* of the bytes before it */
};
_Static_assert(sizeof(struct disk_tail_header) == TAIL_HEADER_BYTES,
	       "see FORMAT.md, Tail file");

/* ---- names and identities ---- */

/* 32 hex digits, dashes ignored, to 16 bytes. */
static bool parse_hex16(const char *text, uint8_t ret[16])
{
	unsigned int digits = 0;

	for (; digits < 32; text++) {
		char c[2] = {*text, 0};
		char *end;
		uint8_t digit;

		if (*text == '-')
			continue;
		digit = (uint8_t)strtoul(c, &end, 16);
		if (end != c + 1)
			return false;
		ret[digits / 2] = (uint8_t)(ret[digits / 2] << 4 | digit);
		digits++;
	}
	return true;
}

static bool read_boot_id(uint8_t ret[16])
{
	CLEANUP_CLOSE int fd =
		open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[64] = "";

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 &&
	       parse_hex16(text, ret);
}

#define NAME_PREFIX_BYTES 96
#define NAME_BYTES 128

/*
 * "varve-<uuid>-<device>:<inode>-": what the names of a store's tail files
 * begin with.
 */
static void name_prefix(const struct tail_owner *owner,
			char ret[NAME_PREFIX_BYTES])
{
	int n = snprintf(ret, NAME_PREFIX_BYTES, "varve-");

	for (unsigned int i = 0; i < 16; i++)
		n += snprintf(ret + n, NAME_PREFIX_BYTES - (size_t)n, "%s%02x",
			      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			      owner->uuid[i]);
	(void)snprintf(ret + n, NAME_PREFIX_BYTES - (size_t)n,
		       "-%" PRIx64 ":%" PRIx64 "-", owner->device,
		       owner->inode);
}

static void file_name(const struct tail_owner *owner, uint64_t incarnation,
		      char ret[NAME_BYTES])
{
	char prefix[NAME_PREFIX_BYTES];

	name_prefix(owner, prefix);
	(void)snprintf(ret, NAME_BYTES, "%s%" PRIu64 ".tail", prefix,
		       incarnation);
}

/* A descriptor of @dir if it is in memory, else -1. */
static int open_tmpfs(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0)
		return -1;
	if (fstatfs(fd, &fs) == 0 &&
	    (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC))
		return fd;
	(void)close(fd);
	return -1;
}

static bool path_of(const char *dir, const char *name, char ret[512])
{
	return snprintf(ret, 512, "%s/%s", dir, name) < 512;
}

/* ---- geometry and header ---- */

static bool geometry_bytes(uint32_t nr_buffers, uint32_t buffer_bytes,
			   size_t *ret)
{
	uint64_t bytes = (uint64_t)nr_buffers * buffer_bytes;

	if (nr_buffers == 0 || nr_buffers > TAIL_BUFFERS_MAX ||
	    buffer_bytes == 0 || buffer_bytes % TAIL_HEADER_BYTES != 0 ||
	    bytes > SIZE_MAX - TAIL_HEADER_BYTES)
		return false;
	*ret = (size_t)bytes + TAIL_HEADER_BYTES;
	return true;
}

static void header_encode(const struct tail_owner *owner, uint64_t incarnation,
			  const uint8_t boot_id[16], uint32_t nr_buffers,
			  uint32_t buffer_bytes, struct disk_tail_header *ret)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->magic, TAIL_MAGIC, sizeof(ret->magic));
	ret->version = le32_make(TAIL_VERSION);
	ret->nr_buffers = le32_make(nr_buffers);
	ret->buffer_bytes = le32_make(buffer_bytes);
	memcpy(ret->uuid, owner->uuid, sizeof(ret->uuid));
	ret->incarnation = le64_make(incarnation);
	memcpy(ret->boot_id, boot_id, sizeof(ret->boot_id));
	ret->device = le64_make(owner->device);
	ret->inode = le64_make(owner->inode);
	ret->checksum = le64_make(
		checksum64(ret, offsetof(struct disk_tail_header, checksum)));
}

/*
 * True when @found is what we would write for this store, incarnation and
 * boot with the geometry it names, and that geometry fits the file.
 */
static bool header_fits(const struct disk_tail_header *found,
			const struct tail_owner *owner, uint64_t incarnation,
			uint64_t file_bytes)
{
	struct disk_tail_header expected;
	uint8_t boot_id[16];
	size_t bytes;

	if (!read_boot_id(boot_id) ||
	    !geometry_bytes(le32_get(found->nr_buffers),
			    le32_get(found->buffer_bytes), &bytes) ||
	    bytes != file_bytes)
		return false;
	header_encode(owner, incarnation, boot_id, le32_get(found->nr_buffers),
		      le32_get(found->buffer_bytes), &expected);
	return memcmp(found, &expected, sizeof(expected)) == 0;
}

static void tail_set(struct tail_file *ret, void *map, size_t map_bytes,
		     uint32_t nr_buffers, uint32_t buffer_bytes, int fd,
		     const char *path)
{
	*ret = (struct tail_file){
		.map = map,
		.map_bytes = map_bytes,
		.buffers = (uint8_t *)map + TAIL_HEADER_BYTES,
		.nr_buffers = nr_buffers,
		.buffer_bytes = buffer_bytes,
		.fd = fd,
		.shared = fd >= 0,
	};
	(void)snprintf(ret->path, sizeof(ret->path), "%s", path);
}

/* ---- create ---- */

/* Make, lock, allocate and map the file; NULL where that fails. */
static void *create_in(int dir, const char *name, size_t bytes, int *ret_fd)
{
	CLEANUP_CLOSE int fd = openat(
		dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		0600);
	void *map;

	if (fd < 0)
		return NULL;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fchmod(fd, 0600) < 0 ||
	    posix_fallocate(fd, 0, (off_t)bytes) != 0)
		goto err_unlink;
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		goto err_unlink;
	*ret_fd = fd;
	fd = -1;
	return map;

err_unlink:
	(void)unlinkat(dir, name, 0); /* ours: it was made with O_EXCL */
	return NULL;
}

static bool create_shared(const char *path_dir, const struct tail_owner *owner,
			  uint64_t incarnation, uint32_t nr_buffers,
			  uint32_t buffer_bytes, struct tail_file *ret)
{
	CLEANUP_CLOSE int dir = -1;
	char name[NAME_BYTES], path[512];
	uint8_t boot_id[16];
	size_t bytes;
	void *map;
	int fd;

	if (strcmp(path_dir, RUNTIME_DIR) == 0 && geteuid() == 0)
		(void)mkdir(RUNTIME_DIR, 0755); /* mostly there already */
	dir = open_tmpfs(path_dir);
	file_name(owner, incarnation, name);
	if (dir < 0 || !read_boot_id(boot_id) ||
	    !path_of(path_dir, name, path) ||
	    !geometry_bytes(nr_buffers, buffer_bytes, &bytes))
		return false;
	map = create_in(dir, name, bytes, &fd);
	if (!map)
		return false;
	header_encode(owner, incarnation, boot_id, nr_buffers, buffer_bytes,
		      map);
	tail_set(ret, map, bytes, nr_buffers, buffer_bytes, fd, path);
	return true;
}

int tail_file_create(const char *const *dirs, const struct tail_owner *owner,
		     uint64_t incarnation, uint32_t nr_buffers,
		     uint32_t buffer_bytes, struct tail_file *ret,
		     struct error *err)
{
	size_t bytes;
	void *map;

	if (!geometry_bytes(nr_buffers, buffer_bytes, &bytes))
		return error_set(err, EINVAL,
				 "no tail file of %" PRIu32 " x %" PRIu32
				 " bytes",
				 nr_buffers, buffer_bytes);
	for (; dirs && *dirs; dirs++)
		if (create_shared(*dirs, owner, incarnation, nr_buffers,
				  buffer_bytes, ret))
			return 0;
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return error_set(err, ENOMEM,
				 "no memory for %zu bytes of log buffers",
				 bytes);
	tail_set(ret, map, bytes, nr_buffers, buffer_bytes, -1, "");
	return 0;
}

/* ---- find ---- */

/* A file that only root or we could have filled, and that nobody uses. */
static bool is_trusted_and_idle(int fd, struct stat *ret)
{
	return fstat(fd, ret) == 0 && S_ISREG(ret->st_mode) &&
	       (ret->st_uid == geteuid() || ret->st_uid == 0) &&
	       (ret->st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
	       flock(fd, LOCK_SH | LOCK_NB) == 0;
}

static bool find_in(const char *path_dir, const struct tail_owner *owner,
		    uint64_t incarnation, struct tail_file *ret)
{
	CLEANUP_CLOSE int dir = open_tmpfs(path_dir);
	CLEANUP_CLOSE int fd = -1;
	struct disk_tail_header header;
	char name[NAME_BYTES], path[512];
	struct stat st;
	void *map;

	file_name(owner, incarnation, name);
	if (dir < 0 || !path_of(path_dir, name, path))
		return false;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || !is_trusted_and_idle(fd, &st) ||
	    pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    !header_fits(&header, owner, incarnation, (uint64_t)st.st_size))
		return false;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return false;
	tail_set(ret, map, (size_t)st.st_size, le32_get(header.nr_buffers),
		 le32_get(header.buffer_bytes), fd, path);
	fd = -1;
	return true;
}

int tail_file_find(const char *const *dirs, const struct tail_owner *owner,
		   uint64_t incarnation, struct tail_file *ret,
		   struct error *err)
{
	for (; dirs && *dirs; dirs++)
		if (find_in(*dirs, owner, incarnation, ret))
			return 0;
	return error_set(err, ENOENT,
			 "no tail file of incarnation %" PRIu64
			 " from this boot",
			 incarnation);
}

/* ---- done and remove ---- */

void tail_file_done(struct tail_file *tail)
{
	if (!tail->map)
		return;
	(void)munmap(tail->map, tail->map_bytes);
	if (tail->fd >= 0)
		(void)close(tail->fd);
	*tail = (struct tail_file){.fd = -1};
}

void tail_file_unlink(struct tail_file *tail)
{
	if (tail->map && tail->path[0])
		(void)unlink(tail->path); /* may be gone already */
	tail->path[0] = '\0';
}

void tail_file_remove(struct tail_file *tail)
{
	tail_file_unlink(tail);
	tail_file_done(tail);
}

/* True when @name is a tail file's of @prefix with another incarnation. */
static bool is_other(const char *name, const char *prefix,
		     uint64_t keep_incarnation)
{
	size_t length = strlen(prefix);
	char *end;
	uint64_t incarnation;

	if (strncmp(name, prefix, length) != 0)
		return false;
	incarnation = strtoull(name + length, &end, 10);
	return end != name + length && strcmp(end, ".tail") == 0 &&
	       incarnation != keep_incarnation;
}

/* In one directory; one in use is of a copy of this store and stays. */
static void remove_others_in(DIR *dir, const char *prefix,
			     uint64_t keep_incarnation)
{
	struct dirent *entry;

	while ((entry = readdir(dir))) {
		CLEANUP_CLOSE int fd = -1;
		struct stat st;

		if (!is_other(entry->d_name, prefix, keep_incarnation))
			continue;
		fd = openat(dirfd(dir), entry->d_name,
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0 && is_trusted_and_idle(fd, &st))
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	}
}

void tail_file_remove_others(const char *const *dirs,
			     const struct tail_owner *owner,
			     uint64_t keep_incarnation)
{
	char prefix[NAME_PREFIX_BYTES];

	name_prefix(owner, prefix);
	for (; dirs && *dirs; dirs++) {
		int fd = open_tmpfs(*dirs);
		DIR *dir = fd < 0 ? NULL : fdopendir(fd);

		if (dir) {
			remove_others_in(dir, prefix, keep_incarnation);
			(void)closedir(dir);
		} else if (fd >= 0) {
			(void)close(fd);
		}
	}
}
