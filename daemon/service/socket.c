/* SPDX-License-Identifier: BSD-2-Clause */
#include "socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"

static int fill_address(const char *path, struct sockaddr_un *ret,
			struct error *err)
{
	size_t length = strlen(path);

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (length == 0 || length >= sizeof(ret->sun_path))
		return error_set(err, ENAMETOOLONG,
				 "%.60s...: too long for a socket's name",
				 path);
	memcpy(ret->sun_path, path, length);
	return 0;
}

static int unix_socket(struct error *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return error_set(err, errno, "cannot make a socket: %s",
				 strerror(errno));
	return fd;
}

int socket_connect_unix(const char *path, struct error *err)
{
	struct sockaddr_un address;
	int fd, r;

	r = fill_address(path, &address, err);
	if (r < 0)
		return r;
	fd = unix_socket(err);
	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		r = error_set(err, errno, "%s: %s", path, strerror(errno));
		(void)close(fd);
		return r;
	}
	return fd;
}

/* Make way at @path: nothing there, or a socket whose owner is gone. */
static int remove_stale(const char *path, struct error *err)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0
				       : error_set(err, errno, "%s: %s", path,
						   strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, EEXIST, "%s: exists and is not a socket",
				 path);
	fd = socket_connect_unix(path, NULL);
	if (fd >= 0) {
		(void)close(fd);
		return error_set(err, EADDRINUSE,
				 "%s: another server listens there", path);
	}
	if (fd != -ECONNREFUSED)
		return error_set(err, -fd, "%s: %s", path, strerror(-fd));
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set(err, errno,
				 "%s: cannot remove the old socket: %s", path,
				 strerror(errno));
	return 0;
}

static int bind_and_listen(int fd, const char *path, mode_t mode, gid_t group,
			   struct error *err)
{
	struct sockaddr_un address;
	int r;

	r = fill_address(path, &address, err);
	if (r < 0)
		return r;
	/*
	 * Linux gives the name the mode of the unbound descriptor, so there
	 * is no moment when others could connect.
	 */
	if (fchmod(fd, 0600 & mode) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(err, errno, "%s: cannot bind: %s", path,
				 strerror(errno));
	if ((group != (gid_t)-1 && lchown(path, (uid_t)-1, group) < 0) ||
	    chmod(path, mode) < 0 || listen(fd, SOMAXCONN) < 0) {
		r = error_set(err, errno, "%s: %s", path, strerror(errno));
		(void)unlink(path);
		return r;
	}
	return 0;
}

int socket_listen_unix(const char *path, mode_t mode, gid_t group,
		       struct error *err)
{
	int fd, r;

	r = remove_stale(path, err);
	if (r < 0)
		return r;
	fd = unix_socket(err);
	if (fd < 0)
		return fd;
	r = bind_and_listen(fd, path, mode, group, err);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	return fd;
}
