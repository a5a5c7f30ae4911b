/* SPDX-License-Identifier: BSD-2-Clause */
#include "lock-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

int lock_file(const char *path, int operation, struct error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	while (flock(fd, operation) < 0) {
		if (errno == EINTR)
			continue;
		r = error_set(err, errno, "%s: %s", path, strerror(errno));
		(void)close(fd); /* nothing was written */
		return r;
	}
	return fd;
}
