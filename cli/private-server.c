/* SPDX-License-Identifier: BSD-2-Clause */
#include "private-server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "command.h"
#include "connect.h"
#include "output.h"
#include "varved-path.h"

#define POLL_MS 50

static bool is_served(const char *store)
{
	struct connection *c = NULL;

	if (connection_open(store, CONNECT_SERVED | CONNECT_QUIET, &c))
		return false;
	return connection_close(c, 0) == 0;
}

/*
 * Where server and client of ours look for each other, and nobody else.  Who
 * has no runtime directory needs none for this.
 */
static int make_dir(struct private_server *server)
{
	struct runtime_path own = {"/tmp"};

	(void)runtime_dir_own(&own, NULL); /* then it stays what it is */
	if (snprintf(server->dir, sizeof(server->dir), "%s/private-XXXXXX",
		     own.path) < (int)sizeof(server->dir) &&
	    mkdtemp(server->dir) &&
	    setenv("RUNTIME_DIRECTORY", server->dir, 1) == 0)
		return 0;
	print_error("%s: %s", own.path, strerror(errno));
	server->dir[0] = '\0';
	return EXIT_FAILED;
}

/* Who may not use the store need not start anything. */
static int check_access(const char *store, bool read_only)
{
	if (access(store, read_only ? R_OK : R_OK | W_OK) == 0)
		return 0;
	print_error("%s: %s", store, strerror(errno));
	return open_exit_code(-errno);
}

static void __attribute__((noreturn))
become_server(const struct private_server *server, pid_t command,
	      const char *varved, const char *store, bool read_only)
{
	char socket[sizeof(server->dir) + 16];
	const char *args[] = {varved,
			      "--socket",
			      socket,
			      read_only ? "--read-only" : store,
			      read_only ? store : NULL,
			      NULL};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	snprintf(socket, sizeof(socket), "%s/nbd.sock", server->dir);
	/* Ctrl-C is for the command: it still needs its server */
	(void)setsid();
	/* one that is killed cannot end it, and it would keep the store */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != command)
		_exit(EXIT_FAILED);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(server->log, STDOUT_FILENO) < 0 ||
	    dup2(server->log, STDERR_FILENO) < 0)
		_exit(EXIT_FAILED);
	/* what the command was started with is not meant for the server */
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("VARVE_EXIT_FD");
	(void)signal(SIGPIPE, SIG_DFL);
	execv(varved, (char *const *)args);
	dprintf(STDERR_FILENO, "varve: %s: %s\n", varved, strerror(errno));
	_exit(EXIT_FAILED);
}

/* Why it could not serve: what varved said first. */
static void print_complaint(const struct private_server *server)
{
	static const char prefix[] = "varved: ";
	char text[1024];
	const char *line = text;
	ssize_t n = pread(server->log, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (strncmp(text, prefix, strlen(prefix)) == 0)
		line += strlen(prefix);
	print_error("%s", *line ? line : "the server has ended");
}

/* What it ended with; its own words say why. */
static int ended(struct private_server *server)
{
	int status = 0;

	while (waitpid(server->pid, &status, 0) < 0 && errno == EINTR)
		;
	server->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	print_complaint(server);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
}

/* Recovery takes as long as it takes; only an end of the server ends it. */
static int wait_until_served(struct private_server *server, const char *store)
{
	struct pollfd pollfd = {.events = POLLIN};
	CLEANUP_CLOSE int pidfd = pidfd_open(server->pid, 0);

	pollfd.fd = pidfd;
	while (pidfd >= 0 && poll(&pollfd, 1, POLL_MS) <= 0)
		if (is_served(store))
			return 0;
	(void)kill(server->pid, SIGTERM); /* where there is no pidfd */
	return ended(server);
}

static int launch(struct private_server *server, const char *varved,
		  const char *store, bool read_only)
{
	pid_t command = getpid();
	char path[PATH_MAX];

	if (!realpath(store, path)) {
		print_error("%s: %s", store, strerror(errno));
		return EXIT_NO_STORE;
	}
	server->log = memfd_create("varved", MFD_CLOEXEC);
	if (server->log >= 0)
		server->pid = fork();
	if (server->log < 0 || server->pid < 0) {
		print_error("cannot start a server: %s", strerror(errno));
		server->pid = 0;
		return EXIT_FAILED;
	}
	if (server->pid == 0)
		become_server(server, command, varved, path, read_only);
	return wait_until_served(server, store);
}

int private_server_start(const char *store, bool read_only,
			 struct private_server *ret)
{
	char varved[PATH_MAX];
	struct store_identity identity;
	int r;

	*ret = (struct private_server){.log = -1};
	r = store_identify(store, &identity);
	if (r || is_served(store))
		return r;
	r = check_access(store, read_only);
	if (r == 0)
		r = varved_find(varved);
	if (r == 0)
		r = make_dir(ret);
	if (r == 0)
		r = launch(ret, varved, store, read_only);
	return r ? private_server_stop(ret, r) : 0;
}

int private_server_stop(struct private_server *server, int exit_code)
{
	int r = 0;

	if (server->pid) {
		(void)kill(server->pid, SIGTERM); /* our own child */
		r = ended(server);
	}
	if (server->dir[0])
		(void)rmdir(server->dir); /* the server has emptied it */
	if (server->log >= 0)
		(void)close(server->log);
	*server = (struct private_server){.log = -1};
	return exit_code ? exit_code : r;
}
