/* SPDX-License-Identifier: BSD-2-Clause */
#include "varved-sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "runtime.h"
#include "socket.h"
#include "starter.h"
#include "varved-exit.h"
#include "verbs.h"

#define LISTEN_FIRST 3

static void inherit_one(struct varved_sockets *sockets, int fd,
			const char *name, size_t length)
{
	if (length == strlen("control") &&
	    strncmp(name, "control", length) == 0 && sockets->control < 0) {
		sockets->control = fd;
		sockets->control_inherited = true;
	} else if (sockets->nr_nbd < NBD_SOCKETS_MAX) {
		sockets->nbd[sockets->nr_nbd++] = fd;
		sockets->nbd_inherited = true;
	}
}

void varved_sockets_inherit(struct varved_sockets *sockets)
{
	const char *pid = getenv("LISTEN_PID");
	const char *fds = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	long nr;

	if (!pid || !fds || strtol(pid, NULL, 10) != (long)getpid())
		return;
	nr = strtol(fds, NULL, 10);
	for (int fd = LISTEN_FIRST; fd < LISTEN_FIRST + nr; fd++) {
		size_t length = names ? strcspn(names, ":") : 0;

		inherit_one(sockets, fd, names, length);
		if (names)
			names += length + (names[length] == ':');
	}
}

/* Of sockets and where they lie: -ENOENT is about no volume. */
static void check(int r, const struct error *err)
{
	if (r < 0)
		varved_fail(r == -ENOENT ? EXIT_FAILED : verb_exit_code(r),
			    err->message);
}

static int listen_at(const struct varved_options *options, const char *path)
{
	struct error err = ERROR_NONE;
	int fd = socket_listen_unix(path, options->mode, options->group, &err);

	if (fd == -EADDRINUSE)
		varved_fail(EXIT_LOCKED, err.message);
	check(fd, &err);
	varved_made(path);
	return fd;
}

static int listen_nbd(const struct varved_options *options)
{
	struct error err = ERROR_NONE;
	struct runtime_path dir, path;

	if (options->socket)
		return listen_at(options, options->socket);
	check(runtime_dir_own(&dir, &err), &err);
	check(runtime_nbd_path(dir.path, options->store, &path, &err), &err);
	return listen_at(options, path.path);
}

static int listen_control(const struct varved_options *options, int lock_fd)
{
	struct error err = ERROR_NONE;
	struct runtime_path dir, path;
	struct stat st;

	if (options->control)
		return listen_at(options, options->control);
	if (fstat(lock_fd, &st) < 0)
		varved_fail(EXIT_FAILED, strerror(errno));
	check(runtime_dir_own(&dir, &err), &err);
	check(runtime_control_path(dir.path, st.st_dev, st.st_ino, &path, &err),
	      &err);
	return listen_at(options, path.path);
}

/*
 * A client whose host has gone never says so, and would count as a writer
 * for ever.  Connections inherit this from the socket that listens; where it
 * cannot be set, they live as long as the system lets them.
 */
static void find_dead_peers(int fd)
{
	const int on = 1, idle_s = 60, interval_s = 10, probes = 6;

	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s,
			 sizeof(idle_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s,
			 sizeof(interval_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

/* NULL, or the step that failed (errno). */
static const char *listen_tcp(const struct addrinfo *info, int *ret)
{
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return "make a socket";
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	find_dead_peers(fd);
	if (info->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on,
				 sizeof(on));
	if (bind(fd, info->ai_addr, info->ai_addrlen) < 0 ||
	    listen(fd, SOMAXCONN) < 0) {
		int saved = errno;

		(void)close(fd);
		errno = saved;
		return "bind";
	}
	*ret = fd;
	return NULL;
}

/* Without --address all loopback addresses; one that works is enough. */
static void make_tcp_sockets(const struct varved_options *options,
			     struct varved_sockets *sockets)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	char text[300] = "too many sockets";
	int before = sockets->nr_nbd;
	int r;

	if (!options->port)
		return;
	r = getaddrinfo(options->address, options->port, &hints, &list);
	if (r != 0)
		(void)snprintf(text, sizeof(text), "port %.50s: %s",
			       options->port, gai_strerror(r));
	for (struct addrinfo *info = list; info; info = info->ai_next) {
		const char *step;

		if (sockets->nr_nbd == NBD_SOCKETS_MAX)
			break;
		step = listen_tcp(info, &sockets->nbd[sockets->nr_nbd]);
		if (!step)
			sockets->nr_nbd++;
		else
			(void)snprintf(text, sizeof(text),
				       "port %.50s: cannot %s: %s",
				       options->port, step, strerror(errno));
	}
	if (list)
		freeaddrinfo(list);
	if (sockets->nr_nbd == before)
		varved_fail(EXIT_FAILED, text);
}

void varved_sockets_make(struct varved_sockets *sockets,
			 const struct varved_options *options, int lock_fd)
{
	if (!sockets->nbd_inherited)
		sockets->nbd[sockets->nr_nbd++] = listen_nbd(options);
	if (sockets->control < 0)
		sockets->control = listen_control(options, lock_fd);
	make_tcp_sockets(options, sockets);
}

/* Move @fd out of the way of LISTEN_FDS, to live on in nbdkit. */
static int move_up(int fd)
{
	int ret = fcntl(fd, F_DUPFD, FD_MIN);

	if (ret < 0)
		varved_fail(EXIT_FAILED, strerror(errno));
	(void)close(fd);
	return ret;
}

void varved_sockets_place(struct varved_sockets *sockets, int *lock_fd)
{
	char text[32];

	starter_move(FD_MIN);
	*lock_fd = move_up(*lock_fd);
	sockets->control = move_up(sockets->control);
	for (int i = 0; i < sockets->nr_nbd; i++)
		sockets->nbd[i] = move_up(sockets->nbd[i]);
	for (int i = 0; i < sockets->nr_nbd; i++) {
		if (dup2(sockets->nbd[i], LISTEN_FIRST + i) < 0)
			varved_fail(EXIT_FAILED, strerror(errno));
		(void)close(sockets->nbd[i]);
	}
	(void)snprintf(text, sizeof(text), "%d", sockets->nr_nbd);
	(void)setenv("LISTEN_FDS", text, 1);
	(void)snprintf(text, sizeof(text), "%ld", (long)getpid());
	(void)setenv("LISTEN_PID", text, 1);
	(void)unsetenv("LISTEN_FDNAMES");
}
