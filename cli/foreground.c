/* SPDX-License-Identifier: BSD-2-Clause */
#include "foreground.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attachment.h"
#include "cleanup.h"
#include "command.h"
#include "monitor.h"
#include "output.h"
#include "starter.h"

#define RETRY_MS 200

static int fail(int r, const struct error *err)
{
	print_error("%s", err->message);
	return verb_exit_code(r);
}

static void end_signals(sigset_t *ret)
{
	(void)sigemptyset(ret); /* none of these can fail */
	(void)sigaddset(ret, SIGTERM);
	(void)sigaddset(ret, SIGINT);
	(void)sigaddset(ret, SIGHUP);
}

void foreground_begin(void)
{
	sigset_t set;

	end_signals(&set);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

static int open_signals(void)
{
	sigset_t set;

	end_signals(&set);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* Has one come within @timeout_ms?  It is taken. */
static bool signal_came(int signals, int timeout_ms)
{
	struct pollfd pollfd = {.fd = signals, .events = POLLIN};
	struct signalfd_siginfo info;

	return poll(&pollfd, 1, timeout_ms) == 1 &&
	       read(signals, &info, sizeof(info)) == sizeof(info);
}

/* A signal has come, or the helper has ended. */
static void wait_for_either(int signals, pid_t helper)
{
	CLEANUP_CLOSE int fd = pidfd_open(helper, 0);
	struct pollfd pollfds[] = {{.fd = signals, .events = POLLIN},
				   {.fd = fd, .events = POLLIN}};

	while (fd >= 0 && poll(pollfds, 2, -1) < 0 && errno == EINTR)
		;
}

/* Is @a, which is looked at anew, still what was @attached? */
static bool is_there(const struct attachment *attached, struct attachment *a)
{
	*a = *attached;
	attachment_refresh(a);
	return strcmp(a->device, attached->device) == 0 &&
	       strcmp(a->name, attached->name) == 0;
}

/* Returns an exit code, -EBUSY: it is in use. */
static int detach(const struct attachment *attached, struct error *err)
{
	CLEANUP_CLOSE int lock = attachments_lock(err);
	struct attachment a;
	int r = 0;

	if (lock < 0)
		return fail(lock, err);
	if (is_there(attached, &a))
		r = attachment_release(&a, err);
	if (r == -EBUSY)
		return r;
	if (r < 0)
		return fail(r, err);
	attachment_forget(attached);
	return 0;
}

static int leave(const struct attachment *attached, int signals)
{
	struct error err = ERROR_NONE;
	bool said = false;
	int r;

	while ((r = detach(attached, &err)) == -EBUSY) {
		if (!said)
			print_error("%s; waiting for its end", err.message);
		said = true;
		if (signal_came(signals, RETRY_MS))
			return EXIT_BUSY;
	}
	return r;
}

/*
 * The helper has ended: because the device was detached, or because somebody
 * has taken its place, or else it gets another one.
 */
static int replace_helper(struct attachment *attached, bool *ret_stay)
{
	struct error err = ERROR_NONE;
	CLEANUP_CLOSE int lock = -1;
	struct attachment a;
	int r;

	(void)waitpid(attached->pid, NULL, 0); /* our own child */
	*ret_stay = false;
	lock = attachments_lock(&err);
	if (lock < 0)
		return fail(lock, &err);
	if (!is_there(attached, &a) || a.pid)
		return 0;
	if (!a.is_nbd) {
		print_error("%s: %s has lost its connection; detach it", a.name,
			    a.device);
		return EXIT_FAILED;
	}
	r = monitor_resume(&a, lock, &err);
	if (r < 0)
		return fail(r, &err);
	*attached = a;
	*ret_stay = true;
	return 0;
}

int foreground_stay(const struct attachment *attached)
{
	struct attachment a = *attached;
	CLEANUP_CLOSE int signals = open_signals();
	bool stay = true;
	int r = 0;

	if (signals < 0) {
		print_error("%s: %s", a.name, strerror(errno));
		return EXIT_FAILED;
	}
	starter_ready();
	while (stay) {
		wait_for_either(signals, a.pid);
		if (signal_came(signals, 0))
			return leave(&a, signals);
		r = replace_helper(&a, &stay);
	}
	return r;
}
