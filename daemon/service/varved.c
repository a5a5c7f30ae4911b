/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * varved: the service front.
 *
 * It takes the store's lock, binds the sockets (or takes them from systemd)
 * and executes nbdkit in its own process, which then holds all of them:
 *
 *	3, 4, ...	sockets that speak NBD (LISTEN_FDS)
 *	FD_MIN and up	control socket, lock, passed as plugin parameters
 *
 * nbdkit speaks NBD on every descriptor of LISTEN_FDS, so the others are not
 * counted there.  The plugin opens and recovers the store, and says so when
 * it cannot; the exit codes are those of the command line.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend-file.h"
#include "clock.h"
#include "error.h"
#include "varved-exit.h"
#include "varved-options.h"
#include "varved-sockets.h"
#include "verbs.h"

#define LOCK_WAIT_MS 5000
#define ARGS_MAX 256

/* ---- the lock ---- */

/* A block device is claimed too: its other nodes have other locks. */
static int open_lock(const struct varved_options *options, struct error *err)
{
	int flags = (options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC |
		    O_NONBLOCK;
	struct stat st;
	int fd;

	if (stat(options->store, &st) == 0 && S_ISBLK(st.st_mode) &&
	    !options->read_only)
		flags |= O_EXCL;
	for (int waited = 0;; waited += 50) {
		fd = open(options->store, flags);
		if (fd >= 0)
			return fd;
		if (errno != EBUSY || waited >= LOCK_WAIT_MS)
			break;
		sleep_ms(50);
	}
	if (errno == EISDIR)
		return error_set(err, EINVAL, "%s: is a directory",
				 options->store);
	return error_set(err, errno, "%s: %s", options->store, strerror(errno));
}

/*
 * The store's lock, by the same code that will use it: opening it through
 * the back end takes the lock of the open file that both descriptors share.
 */
static int take_lock(const struct varved_options *options)
{
	struct error err = ERROR_NONE;
	struct backend *be;
	int fd, copy, r;

	fd = open_lock(options, &err);
	if (fd < 0)
		varved_fail(open_exit_code(fd), err.message);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, FD_MIN);
	if (copy < 0)
		varved_fail(EXIT_FAILED, strerror(errno));
	r = backend_file_open(options->store,
			      options->read_only ? BACKEND_FILE_READ_ONLY : 0,
			      copy, LOCK_WAIT_MS, &be, &err);
	if (r < 0)
		varved_fail(open_exit_code(r), err.message);
	backend_close(be);
	return fd;
}

/* ---- exec ---- */

/* Beside us in a build tree, else where it was installed. */
static const char *find_plugin(void)
{
	static char path[PATH_MAX];
	static const char tail[] = "/../plugin/nbdkit-varve-plugin.so";
	ssize_t length =
		readlink("/proc/self/exe", path, sizeof(path) - sizeof(tail));
	char *slash;

	if (length < 0)
		return VARVE_PLUGIN;
	path[length] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		return VARVE_PLUGIN;
	memcpy(slash, tail, sizeof(tail));
	return access(path, R_OK) == 0 ? path : VARVE_PLUGIN;
}

struct command {
	char *argv[ARGS_MAX + 1];
	int argc;
};

static void add(struct command *command, const char *text)
{
	if (command->argc == ARGS_MAX)
		varved_fail(EXIT_USAGE, "too many options for nbdkit");
	command->argv[command->argc] = strdup(text);
	if (!command->argv[command->argc++])
		varved_fail(EXIT_FAILED, "out of memory");
}

static void add_pair(struct command *command, const char *key,
		     const char *value)
{
	char *text;

	if (asprintf(&text, "%s=%s", key, value) < 0)
		varved_fail(EXIT_FAILED, "out of memory");
	add(command, text);
	free(text);
}

static void add_fd(struct command *command, const char *key, int fd)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", fd);
	add_pair(command, key, text);
}

/*
 * nbdkit offers TLS on every socket; who may do without is the plugin's
 * business: those who come by a Unix socket.
 */
static void add_tls(struct command *command,
		    const struct varved_options *options)
{
	if (!options->tls_certificates && !options->tls_psk)
		return;
	add(command, "--tls=on");
	if (options->tls_certificates)
		add_pair(command, "--tls-certificates",
			 options->tls_certificates);
	if (options->tls_verify_peer)
		add(command, "--tls-verify-peer");
	if (options->tls_psk)
		add_pair(command, "--tls-psk", options->tls_psk);
}

static void build_command(const struct varved_options *options,
			  const struct varved_sockets *sockets, int lock_fd,
			  struct command *command)
{
	add(command, "nbdkit");
	add(command, "--foreground");
	add(command, "--threads");
	add(command, options->threads);
	if (options->read_only)
		add(command, "--readonly");
	if (options->verbose)
		add(command, "--verbose");
	add_tls(command, options);
	for (char **arg = options->nbdkit_args; *arg; arg++)
		add(command, *arg);
	add(command, find_plugin());
	add_pair(command, "store", options->store);
	add_fd(command, "control-fd", sockets->control);
	add_fd(command, "lock-fd", lock_fd);
	if (options->read_only)
		add_pair(command, "read-only", "true");
	if (options->tls_certificates || options->tls_psk)
		add_pair(command, "require-tls", "true");
	if (options->connections)
		add_pair(command, "connections", options->connections);
	if (options->memory)
		add_pair(command, "memory", options->memory);
	if (options->memory_tables)
		add_pair(command, "memory-tables", options->memory_tables);
	if (options->metrics)
		add_pair(command, "metrics", options->metrics);
	if (sockets->nbd_inherited)
		add_pair(command, "keep-socket", "true");
	if (sockets->control_inherited)
		add_pair(command, "keep-control", "true");
}

int main(int argc, char **argv)
{
	struct varved_sockets sockets = {.control = -1};
	struct command command = {.argc = 0};
	struct varved_options options;
	char text[200];
	char *store;
	int lock_fd;

	varved_options_parse(argc, argv, &options);
	varved_sockets_inherit(&sockets);
	if (sockets.nbd_inherited && options.socket)
		varved_fail(EXIT_USAGE, "--socket: systemd passes the sockets");
	store = realpath(options.store, NULL);
	if (store)
		options.store = store;
	lock_fd = take_lock(&options);
	varved_sockets_make(&sockets, &options, lock_fd);
	varved_sockets_place(&sockets, &lock_fd);
	build_command(&options, &sockets, lock_fd, &command);
	(void)execvp(command.argv[0], command.argv);
	(void)snprintf(text, sizeof(text), "cannot run nbdkit: %s",
		       strerror(errno));
	varved_fail(EXIT_FAILED, text);
}
