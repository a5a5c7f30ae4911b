/* SPDX-License-Identifier: BSD-2-Clause */
#include "run-command.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "duration.h"
#include "interrupt.h"
#include "oom.h"

/* From the first word to the last one, SIGKILL. */
#define GRACE_MS 5000
#define SIGNAL_SLICE_MS 200

/* What this program, or who called it, has set. */
static void reset_signals(void)
{
	static const int signals[] = {SIGINT,  SIGQUIT, SIGTERM, SIGHUP,
				      SIGPIPE, SIGXFSZ, SIGTTOU, SIGCHLD};
	sigset_t none;
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)signal(signals[i], SIG_DFL); /* these can be set */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* @started is close-on-exec: a word through it says that nothing was run. */
static void __attribute__((noreturn)) cannot_exec(const char *name, int started)
{
	int code = errno == ENOENT ? EXIT_NO_COMMAND : EXIT_NOT_EXECUTABLE;

	dprintf(STDERR_FILENO, "varve: %s: %s\n", name, strerror(errno));
	(void)!write(started, "n", 1); /* nobody there any more: as well */
	_exit(code);
}

static void __attribute__((noreturn))
become_command(const struct run_command *c, pid_t parent, int started)
{
	pid_t group = getpid();

	(void)setpgid(0, 0); /* the parent does it too */
	/* before there is anybody in it who could go on without the parent */
	if (c->told)
		(void)!send(c->told, &group, sizeof(group), MSG_NOSIGNAL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_CANNOT_RUN);
	if (c->terminal) {
		(void)signal(SIGTTOU, SIG_IGN);
		(void)tcsetpgrp(STDIN_FILENO, getpid());
		/* the shell above would not learn that it was stopped */
		(void)signal(SIGTSTP, SIG_IGN);
	}
	reset_signals();
	oom_expose();
	if (c->output_is_error && dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(EXIT_CANNOT_RUN);
	(void)close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	if (c->shell)
		execl("/bin/sh", "sh", "-c", c->shell, (char *)NULL);
	else
		execvp(c->args[0], c->args);
	cannot_exec(c->shell ? "/bin/sh" : c->args[0], started);
}

/* 0: for ever, as poll(2) has it. */
static int poll_ms(int64_t deadline_ms)
{
	int64_t left = deadline_ms - now_ms();

	if (!deadline_ms)
		return -1;
	return left < 0 ? 0 : left > 1000000000 ? 1000000000 : (int)left;
}

/* Did the process end by itself? */
static bool wait_for_end(const struct run_command *c, int pidfd,
			 struct run_result *ret)
{
	struct pollfd fds[] = {{.fd = pidfd, .events = POLLIN},
			       {.fd = c->watched, .events = POLLIN}};
	int r;

	do
		r = poll(fds, 2, poll_ms(c->deadline_ms));
	while (r < 0 && errno == EINTR);
	if (fds[0].revents)
		return true;
	ret->timed_out = r == 0;
	ret->cancelled = r != 0;
	return false;
}

static void end_group(pid_t pid, int pidfd)
{
	struct pollfd pollfd = {.fd = pidfd, .events = POLLIN};
	int64_t deadline = now_ms() + GRACE_MS;

	(void)kill(-pid, SIGTERM); /* not yet waited for: it is ours */
	(void)kill(-pid, SIGCONT);
	while (poll(&pollfd, 1, poll_ms(deadline)) < 0 && errno == EINTR)
		;
	(void)kill(-pid, SIGKILL);
}

static int exit_code_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void run_command(const struct run_command *command, struct run_result *ret)
{
	CLEANUP_CLOSE int pidfd = -1;
	pid_t self = getpid(), pid = -1;
	int started[2], status = 0;
	char byte;

	*ret = (struct run_result){.exit_code = EXIT_CANNOT_RUN,
				   .not_started = true};
	if (pipe2(started, O_CLOEXEC) == 0)
		pid = fork();
	if (pid == 0)
		become_command(command, self, started[1]);
	if (pid < 0) {
		dprintf(STDERR_FILENO, "varve: cannot start a process: %s\n",
			strerror(errno));
		return;
	}
	(void)close(started[1]);
	ret->not_started = read(started[0], &byte, 1) == 1;
	(void)close(started[0]);
	(void)setpgid(pid, pid); /* whoever comes first */
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0 || !wait_for_end(command, pidfd, ret))
		end_group(pid, pidfd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (command->terminal) {
		(void)signal(SIGTTOU, SIG_IGN);
		(void)tcsetpgrp(STDIN_FILENO, getpgrp());
	}
	ret->exit_code = ret->timed_out ? EXIT_TIMED_OUT : exit_code_of(status);
}

/* ---- in a process in between ---- */

static void __attribute__((noreturn))
become_minder(const struct run_command *command, int socket)
{
	static const int ignored[] = {SIGINT, SIGQUIT, SIGTERM,
				      SIGHUP, SIGPIPE, SIGTSTP};
	struct run_command c = *command;
	struct run_result result;
	size_t i;

	for (i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		(void)signal(ignored[i], SIG_IGN); /* these can be set */
	c.watched = socket;
	c.told = socket;
	run_command(&c, &result);
	/* nobody there any more: then nobody wants to know */
	(void)!send(socket, &result, sizeof(result), MSG_NOSIGNAL);
	_exit(0);
}

/* What comes from the minder: the group's number, and then the result. */
union word {
	pid_t group;
	struct run_result result;
};

static_assert(sizeof(pid_t) != sizeof(struct run_result), "told by the size");

/*
 * A signal makes us say that the end is wanted, once.  False: the minder has
 * died.  *ret_group stays as it is while there is none.
 */
static bool receive_result(int socket, struct run_result *ret, pid_t *ret_group)
{
	struct pollfd pollfd = {.fd = socket, .events = POLLIN};
	bool asked = false;
	union word word;
	ssize_t n;

	for (;;) {
		/* in slices: a signal may come just before the wait */
		while (poll(&pollfd, 1, SIGNAL_SLICE_MS) <= 0)
			if (interrupt_signal() && !asked) {
				/* a dead one: below */
				(void)shutdown(socket, SHUT_WR);
				asked = true;
			}
		n = recv(socket, &word, sizeof(word), 0);
		if (n != (ssize_t)sizeof(word.group))
			break;
		*ret_group = word.group;
	}
	if (n != (ssize_t)sizeof(word.result))
		return false;
	*ret = word.result;
	return true;
}

/*
 * The kernel has killed the command with its minder, but not what the command
 * had started.  Not for ever: one may wait for a disk.
 */
static void end_orphans(pid_t group)
{
	int64_t deadline = now_ms() + GRACE_MS;

	while (group && kill(-group, SIGKILL) == 0 && now_ms() < deadline)
		sleep_ms(10);
}

void run_command_minded(const struct run_command *command,
			struct run_result *ret)
{
	struct run_result result;
	pid_t pid = -1, group = 0;
	int sockets[2];

	*ret = (struct run_result){.exit_code = EXIT_CANNOT_RUN,
				   .not_started = true};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0)
		pid = fork();
	if (pid == 0) {
		(void)close(sockets[0]);
		become_minder(command, sockets[1]);
	}
	if (pid < 0) {
		dprintf(STDERR_FILENO, "varve: cannot start a process: %s\n",
			strerror(errno));
		return;
	}
	(void)close(sockets[1]);
	if (receive_result(sockets[0], &result, &group)) {
		*ret = result;
	} else { /* killed, and the command with it */
		*ret = (struct run_result){.exit_code = 128 + SIGKILL};
		end_orphans(group);
	}
	(void)close(sockets[0]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
