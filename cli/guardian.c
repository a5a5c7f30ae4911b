/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NOTES ON THE DESIGN
 *
 * The guardian freezes and thaws; we only ask.  So it is known at any time
 * whether it was we who froze: a file system that somebody else has frozen
 * (EBUSY) is never thawed.  It is asked by one byte on a socket, and thaws
 * when our end of the socket is closed, which our death does too, or when the
 * time is over, whichever is first.
 *
 *   armed --byte--> freezing --FIFREEZE--> frozen --end, time--> thawed
 *     |                 |
 *     +--end--> gone    +--failure--> gone
 *
 * FIFREEZE cannot be interrupted, and while it waits for the medium nothing
 * can be thawed.  Therefore each file system has a guardian of its own: one
 * that is stuck keeps none of the others frozen.
 *
 * Nothing a guardian does may need the frozen file system: its memory is
 * locked, it is not ended when memory is short, it speaks to nobody but us,
 * and it is in a session of its own, where no terminal ends it.  Should it be
 * killed, we thaw instead: also when that was within FIFREEZE, which comes to
 * its end first, and freezes.
 */
#include "guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "duration.h"
#include "oom.h"
#include "run-command.h"

/* For what comes after the limit: the thaw, and a busy machine. */
#define SLACK_MS 5000
#define THAW_TRIES 100
#define END_WAIT_MS 2000

enum report_kind {
	REPORT_FROZEN,
	REPORT_FAILED, /* nothing is frozen */
	REPORT_THAWED,
};

struct report {
	enum report_kind kind;
	int code;      /* errno; 0: all went well */
	int exit_code; /* of a command */
	bool timed_out;
	int64_t ms;
};

/* ---- the guardian ---- */

struct keeper {
	struct frozen what;
	int socket;
	int64_t began_ms;
	int64_t deadline_ms;
};

static void report(const struct keeper *k, const struct report *report)
{
	/* nobody there any more: then nobody wants to know */
	(void)!send(k->socket, report, sizeof(*report), MSG_NOSIGNAL);
}

/* False: they have gone. */
static bool wait_for_word(const struct keeper *k)
{
	char byte;
	ssize_t r;

	do
		r = recv(k->socket, &byte, 1, 0);
	while (r < 0 && errno == EINTR);
	return r == 1;
}

/* False: the time is over. */
static bool wait_until_released(const struct keeper *k)
{
	struct pollfd pollfd = {.fd = k->socket, .events = POLLIN};
	int64_t left;
	int r = 0;

	while ((left = k->deadline_ms - now_ms()) > 0) {
		r = poll(&pollfd, 1, (int)left);
		if (r > 0)
			return true;
	}
	return false;
}

static int thaw_filesystem(int fd)
{
	int tries;

	for (tries = 0; tries < THAW_TRIES; tries++) {
		if (ioctl(fd, FITHAW, 0) == 0)
			return 0;
		if (errno == EINVAL)
			break; /* it is not frozen */
		sleep_ms(100);
	}
	return errno;
}

static int run_one(const char *command, int64_t deadline_ms, int watched,
		   struct run_result *ret)
{
	struct run_command c = {
		.shell = command,
		.deadline_ms = deadline_ms,
		.watched = watched,
		.output_is_error = true,
	};

	run_command(&c, ret);
	return ret->exit_code == 0 ? 0 : EIO;
}

static int freeze(const struct keeper *k, struct report *report)
{
	struct run_result result;

	if (k->what.fd >= 0)
		return ioctl(k->what.fd, FIFREEZE, 0) < 0 ? errno : 0;
	if (run_one(k->what.freeze_command, k->deadline_ms, k->socket,
		    &result) == 0)
		return 0;
	report->exit_code = result.exit_code;
	report->timed_out = result.timed_out;
	return EIO;
}

static int thaw(const struct keeper *k, struct report *report)
{
	struct run_result result;

	if (k->what.fd >= 0)
		return thaw_filesystem(k->what.fd);
	if (run_one(k->what.thaw_command, now_ms() + k->what.limit_ms, -1,
		    &result) == 0)
		return 0;
	report->exit_code = result.exit_code;
	report->timed_out = result.timed_out;
	return EIO;
}

static void keep(struct keeper *k)
{
	struct report r = {.kind = REPORT_FAILED};
	bool in_time;

	if (!wait_for_word(k))
		return;
	k->began_ms = now_ms();
	k->deadline_ms = k->began_ms + k->what.limit_ms;
	r.code = freeze(k, &r);
	if (r.code && k->what.fd < 0)
		(void)thaw(k, &(struct report){0}); /* it may have got far */
	if (!r.code)
		r.kind = REPORT_FROZEN;
	report(k, &r);
	if (r.code)
		return;
	in_time = wait_until_released(k);
	r = (struct report){.kind = REPORT_THAWED, .timed_out = !in_time};
	r.code = thaw(k, &r);
	if (!in_time)
		r = (struct report){.kind = REPORT_THAWED, .code = ETIMEDOUT};
	r.ms = now_ms() - k->began_ms;
	report(k, &r);
}

static void redirect_to_null(int to)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd >= 0 && fd != to) {
		(void)dup2(fd, to); /* else it keeps what it has */
		(void)close(fd);
	}
}

/* Only the socket, and the file system, as 3 and 4. */
static void keep_descriptors(struct keeper *k)
{
	int fd = k->what.fd, socket = k->socket;

	redirect_to_null(STDIN_FILENO);
	redirect_to_null(STDOUT_FILENO);
	if (fd >= 0)
		redirect_to_null(STDERR_FILENO); /* commands may speak */
	socket = fcntl(socket, F_DUPFD_CLOEXEC, 10);
	if (fd >= 0)
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	if (socket < 0 || (k->what.fd >= 0 && fd < 0) ||
	    dup3(socket, 3, O_CLOEXEC) < 0 ||
	    (fd >= 0 && dup3(fd, 4, O_CLOEXEC) < 0))
		_exit(1);
	k->socket = 3;
	if (fd >= 0)
		k->what.fd = 4;
	(void)close_range(fd >= 0 ? 5 : 4, ~0u, 0);
}

static void __attribute__((noreturn)) become_guardian(struct keeper *k)
{
	static const int ignored[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP,
				      SIGPIPE};
	size_t i;

	for (i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		(void)signal(ignored[i], SIG_IGN); /* these can be set */
	(void)setsid();				   /* a fresh child can */
	if (chdir("/") < 0)
		_exit(1);
	keep_descriptors(k);
	(void)mlockall(MCL_CURRENT | MCL_FUTURE); /* if it is allowed */
	oom_protect(OOM_NEVER);
	keep(k);
	_exit(0);
}

/* ---- our side ---- */

int guardian_start(const struct frozen *what, struct guardian *ret,
		   struct error *err)
{
	struct keeper k = {.what = *what};
	int sockets[2];

	*ret = (struct guardian){.what = *what, .socket = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return error_set(err, errno, "cannot make a socket: %s",
				 strerror(errno));
	ret->pid = fork();
	if (ret->pid == 0) {
		k.socket = sockets[1];
		(void)close(sockets[0]);
		become_guardian(&k);
	}
	(void)close(sockets[1]);
	ret->socket = sockets[0];
	if (ret->pid > 0)
		return 0;
	ret->pid = 0;
	(void)close(ret->socket);
	return error_set(err, EAGAIN, "cannot start a process");
}

void guardian_freeze(struct guardian *guardian)
{
	guardian->deadline_ms = now_ms() + guardian->what.limit_ms;
	/* until it says that it has not done it */
	guardian->may_be_frozen = guardian->pid != 0;
	/* a dead guardian is met when it is waited for */
	(void)!send(guardian->socket, "f", 1, MSG_NOSIGNAL);
}

/* 0; -ETIMEDOUT; -ECHILD: it is dead. */
static int receive(struct guardian *guardian, int64_t deadline_ms,
		   struct report *ret)
{
	struct pollfd pollfd = {.fd = guardian->socket, .events = POLLIN};
	int64_t left;
	ssize_t n;

	do {
		left = deadline_ms - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;
	} while (poll(&pollfd, 1, (int)left) <= 0);
	n = recv(guardian->socket, ret, sizeof(*ret), 0);
	if (n != (ssize_t)sizeof(*ret))
		return -ECHILD;
	guardian->may_be_frozen = ret->kind == REPORT_FROZEN;
	return 0;
}

static int command_failed(const struct report *r, const char *command,
			  struct error *err)
{
	if (r->timed_out)
		return error_set(err, ETIMEDOUT, "'%.200s' did not end in time",
				 command);
	return error_set(err, EIO, "'%.200s' failed with exit code %d", command,
			 r->exit_code);
}

static int freeze_failed(const struct guardian *g, const struct report *r,
			 struct error *err)
{
	if (g->what.fd < 0)
		return command_failed(r, g->what.freeze_command, err);
	if (r->code == EBUSY)
		return error_set(err, EBUSY,
				 "somebody else has frozen it already");
	if (r->code == EOPNOTSUPP || r->code == ENOTTY)
		return error_set(err, EOPNOTSUPP,
				 "this file system cannot be frozen");
	return error_set(err, r->code, "cannot be frozen: %s",
			 strerror(r->code));
}

/* The guardian was killed: what it has left is for us. */
static int thaw_instead(struct guardian *guardian, struct error *err)
{
	struct keeper k = {.what = guardian->what};
	struct report r = {0};
	int code = 0;

	if (guardian->may_be_frozen)
		code = thaw(&k, &r);
	guardian->may_be_frozen = false;
	if (code == EINVAL) /* it had not come so far */
		code = 0;
	if (code)
		return error_set(err, code,
				 "its guardian was killed, and it cannot be "
				 "thawed: %s",
				 strerror(code));
	return error_set(err, ECHILD, "its guardian was killed");
}

int guardian_wait_frozen(struct guardian *guardian, struct error *err)
{
	int64_t deadline_ms = guardian->deadline_ms;
	struct report r;
	int result;

	if (guardian->what.fd < 0) /* it ends the command, and thaws */
		deadline_ms += guardian->what.limit_ms + 2 * SLACK_MS;
	result = receive(guardian, deadline_ms, &r);
	if (result == -ECHILD)
		return thaw_instead(guardian, err);
	if (result < 0)
		return error_set(err, ETIMEDOUT,
				 "not frozen within %g s; it is thawed as "
				 "soon as it is",
				 (double)guardian->what.limit_ms / 1000);
	if (r.kind == REPORT_FROZEN)
		return 0;
	return freeze_failed(guardian, &r, err);
}

static int thaw_failed(const struct guardian *g, const struct report *r,
		       struct error *err)
{
	if (r->code == ETIMEDOUT)
		return error_set(err, ETIMEDOUT,
				 "it had to be thawed after %g s, before all "
				 "was done",
				 (double)g->what.limit_ms / 1000);
	if (g->what.fd < 0)
		return command_failed(r, g->what.thaw_command, err);
	if (r->code == EINVAL)
		return error_set(err, EINVAL, "somebody else has thawed it");
	return error_set(err, r->code, "cannot be thawed: %s",
			 strerror(r->code));
}

int guardian_thaw(struct guardian *guardian, int64_t *ret_ms, struct error *err)
{
	struct report r;
	int result;

	(void)shutdown(guardian->socket, SHUT_WR); /* a dead one is met below */
	result = receive(guardian,
			 now_ms() + guardian->what.limit_ms + 2 * SLACK_MS, &r);
	if (result == -ECHILD)
		return thaw_instead(guardian, err);
	if (result < 0)
		return error_set(err, EIO, "it does not come to be thawed");
	*ret_ms = r.ms;
	return r.code ? thaw_failed(guardian, &r, err) : 0;
}

int guardian_end(struct guardian *guardian, struct error *err)
{
	int64_t end_ms = now_ms() + END_WAIT_MS;
	struct report report;
	pid_t ended;
	int r = 0;

	if (!guardian->pid)
		return 0;
	(void)shutdown(guardian->socket, SHUT_WR); /* that ends it */
	if (guardian->what.fd < 0)
		end_ms += guardian->what.limit_ms + SLACK_MS; /* its commands */
	/* one that is stuck in the kernel is left to do its work */
	while ((ended = waitpid(guardian->pid, NULL, WNOHANG)) == 0 &&
	       now_ms() < end_ms)
		sleep_ms(2);
	/* its last word says how it has left things */
	while (ended && receive(guardian, now_ms() + SLACK_MS, &report) == 0)
		;
	if (guardian->may_be_frozen && ended)
		r = thaw_instead(guardian, err);
	(void)close(guardian->socket); /* nothing more comes */
	guardian->pid = 0;
	return r;
}
