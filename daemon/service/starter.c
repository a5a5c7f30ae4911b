/* SPDX-License-Identifier: BSD-2-Clause */
#include "starter.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* One datagram, best effort: systemd may have gone. */
static void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = path ? strlen(path) : 0;
	int fd;

	if (length < 2 || length >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = '\0'; /* an abstract name */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(
		fd, state, strlen(state), MSG_NOSIGNAL,
		(struct sockaddr *)&address,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
	(void)close(fd);
}

/* Take the descriptor of $VARVE_EXIT_FD; -1: there is none. */
static int take_exit_fd(void)
{
	const char *text = getenv("VARVE_EXIT_FD");
	char *end;
	long fd;

	if (!text)
		return -1;
	errno = 0;
	fd = strtol(text, &end, 10);
	if (errno || end == text || *end || fd < 3 || fd > 65535)
		fd = -1;
	(void)unsetenv("VARVE_EXIT_FD");
	return (int)fd;
}

void starter_move(int min_fd)
{
	int old = take_exit_fd();
	int new = old < 0 ? -1 : fcntl(old, F_DUPFD, min_fd);
	char text[16];

	if (new < 0)
		return;
	(void)close(old);
	(void)snprintf(text, sizeof(text), "%d", new);
	(void)setenv("VARVE_EXIT_FD", text, 1);
}

void starter_ready(void)
{
	int fd = take_exit_fd();

	if (fd >= 0)
		(void)close(fd);
	notify("READY=1");
}

/* $WATCHDOG_PID may be unset; else another process than it is not meant. */
uint64_t starter_watchdog_us(void)
{
	const char *pid = getenv("WATCHDOG_PID");
	const char *text = getenv("WATCHDOG_USEC");
	uint64_t ret = 0;
	char *end;

	if (text && (!pid || strtol(pid, NULL, 10) == (long)getpid())) {
		errno = 0;
		ret = strtoull(text, &end, 10);
		if (errno || text[0] < '0' || text[0] > '9' || *end)
			ret = 0;
	}
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	return ret;
}

void starter_alive(void)
{
	notify("WATCHDOG=1");
}

void starter_stopping(void)
{
	notify("STOPPING=1");
}

void starter_failed(int exit_code)
{
	unsigned char byte = (unsigned char)exit_code;
	int fd = take_exit_fd();

	if (fd < 0)
		return;
	while (write(fd, &byte, 1) < 0 && errno == EINTR)
		;
	(void)close(fd);
}

/* $JOURNAL_STREAM names the journal's socket; is that where we write? */
bool starter_is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	uint64_t device, inode;
	struct stat st;

	return text && fstat(STDERR_FILENO, &st) == 0 &&
	       sscanf(text, "%" SCNu64 ":%" SCNu64, &device, &inode) == 2 &&
	       device == st.st_dev && inode == st.st_ino;
}
