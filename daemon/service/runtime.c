/* SPDX-License-Identifier: BSD-2-Clause */
#include "runtime.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEM_DIR "/run/varve"

/* Append @text (length bytes) and @suffix when the result is a usable path. */
static void add_dir(struct runtime_path *dirs, size_t *nr, const char *text,
		    size_t length, const char *suffix)
{
	struct runtime_path *dir = &dirs[*nr];

	if (!text || text[0] != '/' ||
	    length + strlen(suffix) >= sizeof(dir->path))
		return;
	(void)snprintf(dir->path, sizeof(dir->path), "%.*s%s", (int)length,
		       text, suffix);
	(*nr)++;
}

size_t runtime_dirs(struct runtime_path ret[RUNTIME_DIRS_MAX])
{
	const char *systemd = getenv("RUNTIME_DIRECTORY");
	const char *user = getenv("XDG_RUNTIME_DIR");
	size_t nr = 0;

	/* systemd gives several as a:b:c. */
	if (systemd)
		add_dir(ret, &nr, systemd, strcspn(systemd, ":"), "");
	if (geteuid() == 0)
		add_dir(ret, &nr, SYSTEM_DIR, strlen(SYSTEM_DIR), "");
	if (user)
		add_dir(ret, &nr, user, strlen(user), "/varve");
	if (geteuid() != 0)
		add_dir(ret, &nr, SYSTEM_DIR, strlen(SYSTEM_DIR), "");
	return nr;
}

/*
 * The first of runtime_dirs(), but never /run/varve for a user: it is not
 * theirs to fill.
 */
static int own_dir(struct runtime_path *ret)
{
	struct runtime_path dirs[RUNTIME_DIRS_MAX];
	const char *systemd = getenv("RUNTIME_DIRECTORY");

	if (runtime_dirs(dirs) == 0)
		return -ENOENT;
	if (geteuid() != 0 && strcmp(dirs[0].path, SYSTEM_DIR) == 0 &&
	    (!systemd || strncmp(systemd, SYSTEM_DIR, strlen(SYSTEM_DIR)) != 0))
		return -ENOENT;
	*ret = dirs[0];
	return 0;
}

int runtime_dir_own(struct runtime_path *ret, struct error *err)
{
	mode_t mode = geteuid() == 0 ? 0755 : 0700;
	int r = 0;

	if (own_dir(ret) < 0)
		return error_set(err, ENOENT,
				 "no runtime directory: set XDG_RUNTIME_DIR or "
				 "RUNTIME_DIRECTORY");
	/*
	 * Others must be able to pass it, for the sockets that a group may
	 * use; so the umask has no say.
	 */
	if (mkdir(ret->path, mode) == 0)
		r = chmod(ret->path, mode);
	else if (errno != EEXIST)
		r = -1;
	if (r < 0)
		return error_set(err, errno, "%s: cannot make directory: %s",
				 ret->path, strerror(errno));
	return 0;
}

const char *const *runtime_tail_dirs(void)
{
	static struct runtime_path own;
	static const char *dirs[3];

	if (own_dir(&own) == 0) {
		dirs[0] = own.path;
		dirs[1] = "/dev/shm";
	} else {
		dirs[0] = "/dev/shm";
		dirs[1] = NULL;
	}
	return dirs;
}

static int check_length(int length, struct runtime_path *path,
			struct error *err)
{
	if (length < 0 || (size_t)length >= sizeof(path->path))
		return error_set(err, ENAMETOOLONG,
				 "%.60s...: too long for a socket's name",
				 path->path);
	return 0;
}

int runtime_control_path(const char *dir, uint64_t device, uint64_t inode,
			 struct runtime_path *ret, struct error *err)
{
	int length =
		snprintf(ret->path, sizeof(ret->path),
			 "%s/%" PRIx64 ":%" PRIx64 ".ctl", dir, device, inode);

	return check_length(length, ret, err);
}

int runtime_nbd_path(const char *dir, const char *store,
		     struct runtime_path *ret, struct error *err)
{
	const char *slash = strrchr(store, '/');
	const char *base = slash ? slash + 1 : store;
	const char *dot = strrchr(base, '.');
	size_t base_length =
		dot && dot != base ? (size_t)(dot - base) : strlen(base);
	int length = snprintf(ret->path, sizeof(ret->path), "%s/%.*s.sock", dir,
			      (int)base_length, base);

	return check_length(length, ret, err);
}
