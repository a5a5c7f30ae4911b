/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NOTES ON THE DESIGN
 *
 * nbdkit's own way to quit is not used: it answers requests that are in
 * flight with ESHUTDOWN, which a kernel client turns into I/O errors, and
 * waits for idle clients.  Instead the signals that would end nbdkit are
 * blocked in all threads and taken by one of ours, which makes the store
 * durable and ends the process; clients see a closed connection and may
 * connect again.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "server.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "backend-file.h"
#include "connections.h"
#include "control.h"
#include "engine.h"
#include "events.h"
#include "log.h"
#include "metrics.h"
#include "runtime.h"
#include "socket.h"
#include "starter.h"
#include "verbs.h"

#define LOCK_WAIT_MS 5000

struct server server = {
	.control_fd = -1,
	.lock_fd = -1,
	.max_connections = CONNECTIONS_DEFAULT,
};

static struct control *control; /* NULL: none; set before the stop thread */
static struct events *events;	/* set before the store is opened */

/* ---- what happens ---- */

static void message(void *opaque, enum message_level level,
		    enum store_event event, const char *text)
{
	if (level == MESSAGE_DEBUG ||
	    events_add(events, level, event_name(event), text))
		log_say(level, "%s", text);
}

/* The same for what the server itself does. */
static void tell(enum message_level level, const char *kind, const char *format,
		 ...) __attribute__((format(printf, 3, 4)));
static void tell(enum message_level level, const char *kind, const char *format,
		 ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (events_add(events, level, kind, text))
		log_say(level, "%s", text);
}

/* ---- our sockets ---- */

/* The path of @fd when it is a Unix socket that listens, else false. */
static bool listening_path(int fd, struct sockaddr_un *ret)
{
	socklen_t length = sizeof(*ret) - 1;
	socklen_t on_length = sizeof(int);
	int on = 0;

	memset(ret, 0, sizeof(*ret));
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &on_length) < 0 ||
	    !on || getsockname(fd, (struct sockaddr *)ret, &length) < 0)
		return false;
	return ret->sun_family == AF_UNIX && ret->sun_path[0] == '/';
}

typedef void path_fn(const char *path, void *opaque);

/* Each Unix socket on which this process speaks NBD. */
static void each_nbd_socket(path_fn *fn, void *opaque)
{
	DIR *dir = opendir("/proc/self/fd");
	struct sockaddr_un address;
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] != '.' && fd != server.control_fd &&
		    listening_path(fd, &address))
			fn(address.sun_path, opaque);
	}
	(void)closedir(dir);
}

static void keep_path(const char *path, void *opaque)
{
	(void)snprintf(opaque, RUNTIME_PATH_MAX, "%s", path);
}

static void remove_path(const char *path, void *opaque)
{
	(void)unlink(path);
}

static void remove_nbd_sockets(void)
{
	if (!server.keep_socket)
		each_nbd_socket(remove_path, NULL);
}

/* ---- open ---- */

/* varved has bound the sockets and cannot remove them any more. */
static _Noreturn void quit_for_varved(int exit_code, const char *text)
{
	struct sockaddr_un address;

	log_say(MESSAGE_ERROR, "%s", text);
	remove_nbd_sockets();
	if (!server.keep_control && listening_path(server.control_fd, &address))
		(void)unlink(address.sun_path);
	starter_failed(exit_code);
	_exit(exit_code);
}

static int fail_open(int r, const struct error *err)
{
	int exit_code = open_exit_code(r);

	if (server.lock_fd >= 0)
		quit_for_varved(exit_code, err->message);
	log_say(MESSAGE_ERROR, "%s", err->message);
	starter_failed(exit_code);
	return -1;
}

int server_open(void)
{
	const struct store_open_options options = {
		.read_only = server.read_only,
		.tail_dirs = runtime_tail_dirs(),
		.nr_buffers = server.nr_buffers,
		.memory_bytes = server.memory_bytes,
		.tables_bytes = server.tables_bytes,
		.load_behind = true,
		.message = message,
	};
	struct error err = ERROR_NONE;
	struct backend *be;
	int r;

	/* a limit on files is an error to whoever meets it, not our end */
	(void)signal(SIGXFSZ, SIG_IGN);
	log_open(server.lock_fd >= 0);
	events = events_create();
	r = events ? connections_init(server.max_connections) : -ENOMEM;
	if (r < 0) {
		(void)error_set(&err, -r, "%s", strerror(-r));
		return fail_open(r, &err);
	}
	r = backend_file_open(server.store_path,
			      server.read_only ? BACKEND_FILE_READ_ONLY : 0,
			      server.lock_fd, LOCK_WAIT_MS, &be, &err);
	if (r < 0)
		return fail_open(r, &err);
	r = store_open(be, &options, &server.store, &err);
	if (r < 0) {
		(void)error_prefix(&err, "%s", server.store_path);
		backend_close(be);
		return fail_open(r, &err);
	}
	return 0;
}

/* ---- stop ---- */

static void stop_signals(sigset_t *ret)
{
	(void)sigemptyset(ret);
	(void)sigaddset(ret, SIGTERM);
	(void)sigaddset(ret, SIGINT);
	(void)sigaddset(ret, SIGHUP);
	(void)sigaddset(ret, SIGQUIT);
}

/*
 * A sign of life is worth something only if the engine is alive: who cannot
 * have its lock is stuck here, and gives none.
 */
static void show_life(void)
{
	struct store_stat stat;

	store_stat(server.store, &stat);
	starter_alive();
}

/* Until one of our signals comes; systemd is told meanwhile that we live. */
static void wait_for_stop(void)
{
	uint64_t interval_us = starter_watchdog_us() / 3;
	const struct timespec interval = {
		.tv_sec = (time_t)(interval_us / 1000000),
		.tv_nsec = (long)(interval_us % 1000000) * 1000,
	};
	sigset_t signals;
	int number;

	stop_signals(&signals);
	do {
		number = sigtimedwait(&signals, NULL,
				      interval_us ? &interval : NULL);
		if (number < 0 && errno == EAGAIN)
			show_life();
	} while (number < 0);
}

/* Further signals stay pending: a stop is not interrupted. */
static void *stop_main(void *opaque)
{
	struct error err = ERROR_NONE;

	wait_for_stop();
	starter_stopping();
	tell(MESSAGE_INFO, "stopping", "stopping");
	if (control)
		control_stop(control);
	remove_nbd_sockets();
	if (store_stop(server.store, &err) < 0) {
		log_say(MESSAGE_ERROR, "not stopped cleanly: %s", err.message);
		_exit(EXIT_FAILED);
	}
	log_say(MESSAGE_INFO, "stopped cleanly");
	_exit(EXIT_DONE);
}

/* ---- start ---- */

/*
 * A disk of ours that is mounted on this host writes back through us:
 * memory we ask for must not wait for that.  Inherited by our threads.
 */
static void avoid_writeback_deadlock(void)
{
#ifdef PR_SET_IO_FLUSHER
	(void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
#endif
}

static int listen_control(const struct stat *st, struct error *err)
{
	struct runtime_path dir, path;
	int r;

	r = runtime_dir_own(&dir, err);
	if (r == 0)
		r = runtime_control_path(dir.path, st->st_dev, st->st_ino,
					 &path, err);
	if (r < 0)
		return r;
	return socket_listen_unix(path.path, 0600, (gid_t)-1, err);
}

/*
 * Without a control socket the disks can be used and the command line cannot
 * reach them: worth a word, not worth an outage.
 */
static void start_control(void)
{
	char nbd_socket[RUNTIME_PATH_MAX] = "";
	struct error err = ERROR_NONE;
	struct control_options options;
	struct stat st = {0};
	int r = 0;

	each_nbd_socket(keep_path, nbd_socket);
	if (stat(server.store_path, &st) < 0)
		r = error_set(&err, errno, "%s: %s", server.store_path,
			      strerror(errno));
	if (r == 0 && server.control_fd < 0)
		r = server.control_fd = listen_control(&st, &err);
	options = (struct control_options){
		.store_path = server.store_path,
		.nbd_socket = nbd_socket[0] ? nbd_socket : NULL,
		.device = st.st_dev,
		.inode = st.st_ino,
		.read_only = server.read_only,
		.events = events,
		.keep_socket = server.keep_control,
	};
	if (r >= 0)
		r = control_start(server.store, server.control_fd, &options,
				  &control, &err);
	if (r < 0)
		log_say(MESSAGE_WARNING,
			"no control socket, so the varve command cannot reach "
			"this server: %s",
			err.message);
}

/* Nor are metrics worth an outage. */
static void start_metrics(void)
{
	struct metrics_server *unused; /* it ends with the process */
	struct error err = ERROR_NONE;

	if (server.metrics &&
	    metrics_serve(server.store, server.metrics, &unused, &err) < 0)
		log_say(MESSAGE_WARNING, "no metrics: %s", err.message);
}

static void tell_started(void)
{
	struct store_stat stat;

	store_stat(server.store, &stat);
	tell(MESSAGE_INFO, "started",
	     "serving %s: volumes=%" PRIu32 " snapshots=%" PRIu32
	     " incarnation=%" PRIu64 " clean=%s read_only=%s tail=%s",
	     server.store_path, stat.nr_volumes, stat.nr_snapshots,
	     stat.open_incarnation, stat.recovered_batches ? "no" : "yes",
	     stat.read_only ? "yes" : "no",
	     stat.tail_shared ? "shared" : "private");
	log_started();
}

static int start_stop_thread(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, stop_main, NULL);
	(void)pthread_attr_destroy(&attr);
	return -r;
}

int server_start(void)
{
	struct error err = ERROR_NONE;
	sigset_t signals;
	int r;

	/* This thread's mask is what all later threads inherit. */
	stop_signals(&signals);
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
	avoid_writeback_deadlock();
	r = store_start(server.store, &err);
	if (r < 0)
		return fail_open(r, &err);
	start_control();
	start_metrics();
	r = start_stop_thread();
	if (r < 0) {
		(void)error_set(&err, -r, "cannot start a thread: %s",
				strerror(-r));
		return fail_open(r, &err);
	}
	tell_started();
	starter_ready();
	return 0;
}
