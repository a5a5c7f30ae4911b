/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NOTES ON THE DESIGN
 *
 * The kernel tells by netlink when a connection has died.  It then sends new
 * requests by another one, or lets them wait when there is none; requests
 * that were in flight it sends again when they have timed out.  All of it
 * depends on new connections being handed over in time.
 *
 * They are given one at a time.  What reads the replies of a connection is a
 * work item that ends with it.  When the kernel has no thread for it at once,
 * because of load or for want of memory, the rescuer of the device's workqueue
 * takes it and, before Linux 7.0, all others that wait there: these begin when
 * the first one has ended.  Requests on the other connection would time out,
 * and in the end two would read what replaces it.  A rescuer comes after 10 ms,
 * so there are SETTLE_MS between two connections.
 *
 * They must lead to the same store: its server is found by the store's path
 * and the socket in its greeting, and recognised by the store's uuid.
 */
#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nbd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attachment.h"
#include "cleanup.h"
#include "clock.h"
#include "connect.h"
#include "helper-process.h"
#include "nbd-kernel.h"
#include "negotiate.h"
#include "output.h"

#define START_WAIT_MS 60000
#define IDLE_WAIT_MS 60000
#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS 1000
#define SETTLE_MS 1000
/* Above what a program has open that was just started. */
#define KEPT_FD 100

struct monitor {
	struct attachment *a;
	struct nbd_kernel *kernel;
	struct nbd_device device;
};

/* What the new process tells the one that started it. */
struct report {
	int r;
	struct error err;
};

/* ---- connections ---- */

/* The socket of the server that has the store now; false: there is none. */
static bool find_server(const struct monitor *m, char *ret, size_t size)
{
	struct connection *c = NULL;
	struct json_object *greeting;
	bool found;

	if (access(m->a->store, F_OK) < 0 ||
	    connection_open(m->a->store, CONNECT_SERVED | CONNECT_QUIET, &c))
		return false;
	greeting = connection_greeting(c);
	found = strcmp(member_string(greeting, "uuid"), m->a->uuid) == 0;
	if (found)
		snprintf(ret, size, "%s", member_string(greeting, "socket"));
	(void)connection_close(c, 0); /* a server's: nothing to lose */
	return found && *ret;
}

static int reconnect(struct monitor *m, struct error *err)
{
	char path[RUNTIME_PATH_MAX];
	CLEANUP_CLOSE int fd = -1;

	if (!find_server(m, path, sizeof(path)))
		return error_set(err, ECONNREFUSED, "%s: not served",
				 m->a->store);
	fd = negotiate(path, m->a->export, &m->device.flags, err);
	if (fd < 0)
		return fd;
	return nbd_kernel_reconnect(m->kernel, &m->device, fd, err);
}

/* ---- watching ---- */

static void say(const char *text)
{
	char when[32] = "";
	time_t now = time(NULL);
	struct tm tm;

	if (gmtime_r(&now, &tm))
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ ", &tm);
	fprintf(stderr, "%s%s\n", when, text);
}

/*
 * Until one connection more lives, or the device is no more.  The kernel takes
 * none when all live, and does not say so: only who knows that one @died, or
 * has told of a failure, tells of the new one.
 */
static void mend(struct monitor *m, bool died)
{
	int pause_ms = RETRY_FIRST_MS, r = -1;
	struct error err;
	bool said = false;

	while (nbd_has_backend(m->device.number, m->device.backend)) {
		err = (struct error)ERROR_NONE;
		r = reconnect(m, &err);
		if (r == 0)
			break;
		if (!said)
			say(err.message);
		said = true;
		sleep_ms(pause_ms);
		pause_ms = pause_ms * 2 < RETRY_MAX_MS ? pause_ms * 2
						       : RETRY_MAX_MS;
	}
	if (r < 0)
		return;
	if (died || said)
		say("connected anew");
	sleep_ms(SETTLE_MS);
}

/*
 * The kernel may tell of a death a moment before it counts as one: so look
 * once more after the first time.  That is for the second connection, too; a
 * server that does not allow two gets one.
 */
static int next_look_ms(const struct monitor *m)
{
	return m->device.flags & NBD_FLAG_CAN_MULTI_CONN ? RETRY_MAX_MS
							 : IDLE_WAIT_MS;
}

static void __attribute__((noreturn)) watch(struct monitor *m, int wait_ms)
{
	bool died;

	while (nbd_has_backend(m->device.number, m->device.backend)) {
		died = nbd_kernel_wait(m->kernel, m->device.number, wait_ms);
		if (!died && wait_ms == IDLE_WAIT_MS)
			continue;
		mend(m, died);
		wait_ms = died ? next_look_ms(m) : IDLE_WAIT_MS;
	}
	exit(0);
}

/* ---- the device ---- */

/* The next one that nobody has, from @from on. */
static int free_number(int from)
{
	while (from < NBD_NUMBERS_MAX && nbd_is_connected((unsigned int)from))
		from++;
	return from;
}

static int save_number(struct monitor *m, int number, struct error *err)
{
	m->a->number = number;
	return attachment_save(m->a, err);
}

/*
 * The number is written down first: a device is never without its name.  But
 * never that of somebody else's device: it may be called the same, and would
 * be taken for this one.
 */
static int connect_number(struct monitor *m, int number, int fd,
			  struct error *err)
{
	int r, saved;

	m->device.number = (unsigned int)number;
	if (nbd_is_connected(m->device.number))
		return error_set(err, EBUSY, "/dev/nbd%d is connected already",
				 number);
	r = save_number(m, number, err);
	if (r < 0)
		return r;
	r = nbd_kernel_connect(m->kernel, &m->device, fd, err);
	if (r != -EBUSY)
		return r; /* after another failure it may still be ours */
	saved = save_number(m, -1, err);
	return saved < 0 ? saved : r;
}

static int connect_device(struct monitor *m, int wanted, int fd,
			  struct error *err)
{
	int number, r;

	if (wanted >= 0)
		return connect_number(m, wanted, fd, err);
	number = free_number(0);
	while (number < NBD_NUMBERS_MAX) {
		r = connect_number(m, number, fd, err);
		if (r != -EBUSY)
			return r;
		number = free_number(number + 1);
	}
	return error_set(err, EBUSY, "no free /dev/nbdN");
}

/*
 * A kernel before 5.14 does not keep the identifier; then nobody could tell
 * the device from somebody else's.
 */
static int check_identifier(const struct monitor *m, struct error *err)
{
	if (nbd_has_backend(m->device.number, m->device.backend))
		return 0;
	return error_set(err, ENODEV,
			 "the kernel's nbd does not know what it is given");
}

static int connect_new(struct monitor *m, int wanted, struct error *err)
{
	char path[RUNTIME_PATH_MAX];
	CLEANUP_CLOSE int fd = -1;
	int r;

	if (!find_server(m, path, sizeof(path)))
		return error_set(err, ECONNREFUSED, "%s: not served any more",
				 m->a->store);
	attachment_device(m->a, &m->device);
	fd = negotiate(path, m->a->export, &m->device.flags, err);
	if (fd < 0)
		return fd;
	m->device.flags |= m->a->read_only ? NBD_FLAG_READ_ONLY : 0;
	r = connect_device(m, wanted, fd, err);
	if (r == 0)
		r = check_identifier(m, err);
	return r;
}

/* ---- the process ---- */

/* Held, by the lock, for as long as this process lives. */
static int hold_pid_file(const struct attachment *a, struct error *err)
{
	char path[sizeof(a->dir) + 16];
	int fd;

	snprintf(path, sizeof(path), "%s/pid", a->dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || flock(fd, LOCK_EX) < 0 || ftruncate(fd, 0) < 0 ||
	    dprintf(fd, "%d\n", (int)getpid()) < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	return 0; /* left open */
}

static int prepare(struct monitor *m, int wanted, bool is_new,
		   struct error *err)
{
	int r = hold_pid_file(m->a, err);

	if (r == 0)
		r = nbd_kernel_open(&m->kernel, err);
	if (r == 0)
		r = nbd_kernel_listen(m->kernel, err);
	if (r == 0 && is_new)
		r = connect_new(m, wanted, err);
	else if (r == 0)
		attachment_device(m->a, &m->device);
	return r;
}

/* The lock goes on being held until the device is there. */
static void keep_only(int *lock, int *report)
{
	*lock = fcntl(*lock, F_DUPFD_CLOEXEC, KEPT_FD);
	*report = fcntl(*report, F_DUPFD_CLOEXEC, KEPT_FD);
	(void)close_range(3, KEPT_FD - 1, 0);
	(void)close_range(KEPT_FD + 2, ~0u, 0);
}

static void __attribute__((noreturn))
monitor_main(struct attachment *a, int wanted, bool is_new, int lock, int out)
{
	struct monitor m = {.a = a};
	struct report report = {.err = ERROR_NONE};
	char log[sizeof(a->dir) + 16];

	keep_only(&lock, &out);
	(void)signal(SIGPIPE, SIG_IGN);
	snprintf(log, sizeof(log), "%s/log", a->dir);
	helper_process_begin(log);
	report.r = prepare(&m, wanted, is_new, &report.err);
	/* whoever started it may have gone: the device is there all the same */
	(void)!write(out, &report, sizeof(report));
	(void)close(out);
	(void)close(lock);
	if (report.r < 0)
		exit(1);
	if (is_new)
		sleep_ms(SETTLE_MS);
	else
		mend(&m, false);
	watch(&m, is_new ? IDLE_WAIT_MS : next_look_ms(&m));
}

static int read_report(int fd, struct report *ret, struct error *err)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};

	if (poll(&pollfd, 1, START_WAIT_MS) != 1)
		return error_set(err, ETIMEDOUT, "the kernel does not answer");
	if (read(fd, ret, sizeof(*ret)) != sizeof(*ret))
		return error_set(err, EIO, "the monitor ended at once");
	if (err)
		*err = ret->err;
	return ret->r;
}

static int start(struct attachment *a, int wanted, bool is_new, int lock,
		 struct error *err)
{
	struct report report;
	int fds[2], r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set(err, errno, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		monitor_main(a, wanted, is_new, lock, fds[1]);
	(void)close(fds[1]);
	r = pid < 0 ? error_set(err, errno, "cannot fork: %s", strerror(errno))
		    : read_report(fds[0], &report, err);
	(void)close(fds[0]);
	if (r < 0 && pid > 0) {
		(void)kill(pid, SIGKILL); /* our own child */
		(void)waitpid(pid, NULL, 0);
	}
	attachment_refresh(a);
	return r;
}

int monitor_start(struct attachment *a, int wanted, int lock, struct error *err)
{
	return start(a, wanted, true, lock, err);
}

int monitor_resume(struct attachment *a, int lock, struct error *err)
{
	return start(a, a->number, false, lock, err);
}
