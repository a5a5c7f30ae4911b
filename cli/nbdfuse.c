/* SPDX-License-Identifier: BSD-2-Clause */
#include "nbdfuse.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attachment.h"
#include "cleanup.h"
#include "clock.h"
#include "helper-process.h"
#include "nbd-uri.h"

#define START_TRIES 500 /* of 20 ms */
#define NOT_INSTALLED 127

/* Before it runs: nobody can meet a running one that is not written down. */
static void write_pid(const struct attachment *a)
{
	char path[sizeof(a->dir) + 16];
	int fd;

	snprintf(path, sizeof(path), "%s/pid", a->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		_exit(NOT_INSTALLED - 1);
	(void)close(fd); /* tmpfs: what was written is there */
}

static void __attribute__((noreturn))
exec_nbdfuse(const struct attachment *a, const char *uri)
{
	const char *args[] = {"nbdfuse", a->mount, uri, NULL, NULL};
	char log[sizeof(a->dir) + 16];

	if (a->read_only) {
		args[1] = "-r";
		args[2] = a->mount;
		args[3] = uri;
	}
	write_pid(a);
	snprintf(log, sizeof(log), "%s/log", a->dir);
	helper_process_begin(log);
	(void)close_range(3, ~0u, 0); /* not there: they are close-on-exec */
	(void)signal(SIGPIPE, SIG_DFL);
	execvp(args[0], (char *const *)args);
	_exit(NOT_INSTALLED);
}

/* The first line it said. */
static void read_log(const struct attachment *a, char *ret, size_t size)
{
	char path[sizeof(a->dir) + 16];
	FILE *file;

	*ret = '\0';
	snprintf(path, sizeof(path), "%s/log", a->dir);
	file = fopen(path, "re");
	if (!file)
		return;
	if (!fgets(ret, (int)size, file))
		*ret = '\0';
	(void)fclose(file); /* only read */
	ret[strcspn(ret, "\n")] = '\0';
}

static int start_failed(const struct attachment *a, int status,
			struct error *err)
{
	char said[200];

	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_INSTALLED)
		return error_set(err, ENOENT,
				 "nbdfuse is missing (Debian: libnbd-bin)");
	read_log(a, said, sizeof(said));
	return error_set(err, EIO, "%s: cannot start nbdfuse: %s", a->name,
			 *said ? said : "it ended at once");
}

int nbdfuse_start(const struct attachment *a, const char *socket,
		  struct error *err)
{
	char uri[NBD_URI_MAX];
	int status, tries;
	pid_t pid;

	if (nbd_uri(a->export, socket, uri, err) < 0)
		return -ENAMETOOLONG;
	pid = fork();
	if (pid < 0)
		return error_set(err, errno, "cannot fork: %s",
				 strerror(errno));
	if (pid == 0)
		exec_nbdfuse(a, uri);
	for (tries = 0; tries < START_TRIES; tries++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return start_failed(a, status, err);
		if (attachment_is_mounted(a))
			return 0;
		sleep_ms(20);
	}
	(void)kill(pid, SIGKILL); /* our own child, not yet waited for */
	(void)waitpid(pid, &status, 0);
	return error_set(err, ETIMEDOUT, "%s: nbdfuse does not start", a->name);
}
