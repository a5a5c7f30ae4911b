/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A library to be preloaded into the command line: it gets a signal at a step
 * of its work, so that a test can go through all of them.
 *
 *   SIGNAL_AT=N       at the N-th step from the first
 *   SIGNAL=N          this one (default: SIGKILL)
 *   SIGNAL_LOG=FILE   write the steps there, one a line
 *
 * A step is a call that others can see: of a file that is made durable, of a
 * process that is started, of what is said to a server or another process.
 * The signal comes before the call is made.  Steps of children do not count.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

static pid_t self;
static int steps;

static void __attribute__((constructor)) begin(void)
{
	/* not in what it runs */
	if (strcmp(program_invocation_short_name, "varve") == 0)
		self = getpid();
}

static void log_step(const char *what, const char *name)
{
	const char *path = getenv("SIGNAL_LOG");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
			     0600)
		      : -1;

	if (fd < 0)
		return;
	dprintf(fd, "%d %s%s%s\n", steps, what, *name ? " " : "", name);
	close(fd);
}

static void step(const char *what, const char *name)
{
	const char *at = getenv("SIGNAL_AT"), *number = getenv("SIGNAL");

	if (!self || getpid() != self)
		return;
	steps++;
	log_step(what, name);
	if (at && atoi(at) == steps)
		raise(number ? atoi(number) : SIGKILL);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* What a descriptor is of. */
static const char *name_of(int fd)
{
	static char name[4096];
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name) - 1);
	name[n < 0 ? 0 : n] = '\0';
	return name;
}

int fsync(int fd)
{
	step("fsync", name_of(fd));
	return REAL(fsync)(fd);
}

int fdatasync(int fd)
{
	step("fdatasync", name_of(fd));
	return REAL(fdatasync)(fd);
}

int rename(const char *from, const char *to)
{
	step("rename", to);
	return REAL(rename)(from, to);
}

int unlink(const char *path)
{
	step("unlink", path);
	return REAL(unlink)(path);
}

pid_t fork(void)
{
	step("fork", "");
	return REAL(fork)();
}

ssize_t send(int fd, const void *data, size_t length, int flags)
{
	/* the end of a line: without it nothing has been said */
	if (length != 1 || *(const char *)data != '\n')
		step("send", "");
	return REAL(send)(fd, data, length, flags);
}

int shutdown(int fd, int how)
{
	step("shutdown", "");
	return REAL(shutdown)(fd, how);
}
