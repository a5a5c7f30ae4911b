/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NOTES ON THE DESIGN
 *
 * nbdkit asks the kernel to end it when its parent does.  So the parent must
 * be one that stays: the child of a child waits until it has been handed to
 * init (or a subreaper), and only then becomes the server.
 *
 * That makes it a stranger to us: its exit code comes through a pipe
 * (VARVE_EXIT_FD) that varved closes by becoming nbdkit, its end is seen by a
 * pidfd, and it runs when the greeting on the control socket has its pid.
 */
#include "background.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <json-c/json.h>

#include "cleanup.h"
#include "client.h"
#include "clock.h"
#include "command.h"
#include "output.h"
#include "runtime.h"

#define POLL_MS 50

struct background {
	const char *store;
	const char *const *args;
	int log;
	off_t log_start; /* what is before was there before */
	int pid_pipe[2];
	int exit_pipe[2];
};

static int open_log(struct background *b)
{
	struct error err = ERROR_NONE;
	struct runtime_path own, path;
	char *dot;
	int r;

	r = runtime_dir_own(&own, &err);
	if (r == 0)
		r = runtime_nbd_path(own.path, b->store, &path, &err);
	if (r < 0) {
		print_error("%s", err.message);
		/* not of a volume */
		return r == -ENOENT ? EXIT_FAILED : verb_exit_code(r);
	}
	dot = strrchr(path.path, '.'); /* .sock */
	strcpy(dot, ".log");
	b->log = open(path.path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (b->log < 0) {
		print_error("%s: %s", path.path, strerror(errno));
		return errno == EACCES ? EXIT_PERMISSION : EXIT_FAILED;
	}
	b->log_start = lseek(b->log, 0, SEEK_END);
	return 0;
}

/* What was written to the log since the start. */
static void print_log(const struct background *b)
{
	char buffer[4096];
	off_t at = b->log_start;
	ssize_t n;

	while ((n = pread(b->log, buffer, sizeof(buffer), at)) > 0) {
		fwrite(buffer, 1, (size_t)n, stderr);
		at += n;
	}
}

static void __attribute__((noreturn))
become_server(struct background *b, pid_t parent)
{
	char number[16];
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	while (getppid() == parent)
		sleep_ms(1);
	snprintf(number, sizeof(number), "%d", b->exit_pipe[1]);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(b->log, STDOUT_FILENO) < 0 ||
	    dup2(b->log, STDERR_FILENO) < 0 || chdir("/") < 0 ||
	    setenv("VARVE_EXIT_FD", number, 1) < 0)
		_exit(EXIT_FAILED);
	(void)signal(SIGPIPE, SIG_DFL);
	execv(b->args[0], (char *const *)b->args);
	dprintf(STDERR_FILENO, "varve: %s: %s\n", b->args[0], strerror(errno));
	_exit(EXIT_FAILED);
}

/* The child in between: tells the pid of the server to be, and goes. */
static void __attribute__((noreturn)) fork_again(struct background *b)
{
	pid_t self = getpid(), pid;

	(void)setsid(); /* a fresh child can */
	pid = fork();
	if (pid == 0)
		become_server(b, self);
	if (pid < 0 || write(b->pid_pipe[1], &pid, sizeof(pid)) < 0)
		_exit(EXIT_FAILED);
	_exit(0);
}

static int launch(struct background *b, pid_t *ret)
{
	pid_t child, pid = -1;

	/* the write end for the exit code is varved's to close */
	if (pipe2(b->pid_pipe, O_CLOEXEC) < 0 || pipe(b->exit_pipe) < 0 ||
	    fcntl(b->exit_pipe[0], F_SETFD, FD_CLOEXEC) < 0) {
		print_error("cannot make a pipe: %s", strerror(errno));
		return EXIT_FAILED;
	}
	child = fork();
	if (child == 0)
		fork_again(b);
	(void)close(b->pid_pipe[1]); /* the children have theirs */
	(void)close(b->exit_pipe[1]);
	if (child > 0)
		(void)waitpid(child, NULL, 0); /* the pid tells more */
	if (child < 0 || read(b->pid_pipe[0], &pid, sizeof(pid)) < 0 ||
	    pid <= 0) {
		print_error("cannot start a process");
		return EXIT_FAILED;
	}
	*ret = pid;
	return 0;
}

/* Does the process @pid answer for the store? */
static bool answers(const struct background *b, pid_t pid, struct client **ret)
{
	struct client *client;

	if (client_connect(b->store, &client, NULL) < 0)
		return false;
	if (member_number(client_greeting(client), "pid") == (uint64_t)pid) {
		*ret = client;
		return true;
	}
	client_close(client);
	return false;
}

static int start_failed(const struct background *b)
{
	uint8_t exit_code = 0;

	print_log(b);
	if (read(b->exit_pipe[0], &exit_code, 1) == 1 && exit_code)
		return exit_code;
	print_error("%s: the server ended at its start", b->store);
	return EXIT_FAILED;
}

/* Recovery takes as long as it takes; only an end of the server ends it. */
static int wait_until_served(const struct background *b, pid_t pid,
			     struct client **ret)
{
	struct pollfd pollfd = {.events = POLLIN};
	CLEANUP_CLOSE int pidfd = pidfd_open(pid, 0);

	pollfd.fd = pidfd;
	while (pidfd >= 0 && poll(&pollfd, 1, POLL_MS) <= 0)
		if (answers(b, pid, ret))
			return 0;
	return start_failed(b);
}

int background_start(const char *store, const char *const *args,
		     struct client **ret)
{
	struct background b = {
		.store = store,
		.args = args,
		.log = -1,
		.pid_pipe = {-1, -1},
		.exit_pipe = {-1, -1},
	};
	pid_t pid;
	int r;

	r = open_log(&b);
	if (r == 0)
		r = launch(&b, &pid);
	if (r == 0)
		r = wait_until_served(&b, pid, ret);
	if (b.log >= 0)
		(void)close(b.log);
	if (b.pid_pipe[0] >= 0)
		(void)close(b.pid_pipe[0]);
	if (b.exit_pipe[0] >= 0)
		(void)close(b.exit_pipe[0]);
	return r;
}
