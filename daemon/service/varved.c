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
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend-file.h"
#include "error.h"
#include "runtime.h"
#include "socket.h"
#include "starter.h"
#include "verbs.h"

#define LISTEN_FIRST 3
#define NBD_SOCKETS_MAX 16
#define FD_MIN 64
#define LOCK_WAIT_MS 5000
#define ARGS_MAX 256

struct options {
	const char *store; /* absolute */
	char *socket;	   /* absolute; NULL: the runtime directory's */
	char *control;
	const char *address;
	const char *port;
	const char *threads;
	const char *memory;
	mode_t mode;
	gid_t group;
	bool read_only;
	bool verbose;
	char **nbdkit_args; /* NULL-terminated */
};

struct sockets {
	int nbd[NBD_SOCKETS_MAX];
	int nr_nbd;
	bool nbd_inherited; /* systemd's: their names are not ours to remove */
	int control;	    /* -1: none yet */
	bool control_inherited;
};

static const char usage[] =
	"usage: varved [OPTION...] STORE [-- NBDKIT-OPTION...]\n";

static const char help[] =
	"\n"
	"Serve the volumes and snapshots of a varve store by NBD.\n"
	"\n"
	"      --socket PATH    NBD socket (default: RUNTIME/<store's "
	"name>.sock)\n"
	"      --port PORT      speak NBD on this TCP port too\n"
	"      --address ADDR   address of --port (default: this host only)\n"
	"      --control PATH   control socket (default: where varve looks for "
	"it)\n"
	"      --mode OCTAL     mode of both Unix sockets (default: 0600)\n"
	"      --group GROUP    group of both Unix sockets\n"
	"      --threads N      threads for each connection (default: 1)\n"
	"      --memory SIZE    memory for map and buffers (default: 256M)\n"
	"      --read-only      serve everything read-only, change nothing\n"
	"  -v, --verbose        nbdkit's debug messages on standard error\n"
	"  -h, --help           this text\n"
	"  -V, --version        the version\n"
	"\n"
	"What follows -- goes to nbdkit as it is, for example --tls=require.\n";

/* ---- ending ---- */

/* Sockets this process has bound, to remove when the start fails. */
static struct runtime_path made[2];
static int nr_made;

static _Noreturn void quit(int exit_code)
{
	for (int i = 0; i < nr_made; i++)
		(void)unlink(made[i].path);
	starter_failed(exit_code);
	exit(exit_code);
}

static _Noreturn void fail(int exit_code, const char *text)
{
	fprintf(stderr, "varved: %s\n", text);
	if (exit_code == EXIT_USAGE)
		fputs(usage, stderr);
	quit(exit_code);
}

/* ---- options ---- */

static _Noreturn void fail_option(const char *option, const char *value,
				  const char *why)
{
	char text[300];

	(void)snprintf(text, sizeof(text), "%s %.100s: %s", option, value, why);
	fail(EXIT_USAGE, text);
}

static unsigned long parse_number(const char *option, const char *text,
				  int base, unsigned long max)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, base);
	if (errno || end == text || *end || text[0] == '-' || value > max)
		fail_option(option, text, "not a number that will do");
	return value;
}

static gid_t parse_group(const char *text)
{
	struct group *group = getgrnam(text);

	if (group)
		return group->gr_gid;
	if (text[0] < '0' || text[0] > '9')
		fail_option("--group", text, "no such group");
	return (gid_t)parse_number("--group", text, 10, UINT_MAX - 1);
}

/* The sockets' names are told to others, whose directory is another. */
static char *absolute(const char *path)
{
	char directory[PATH_MAX];
	char *ret;

	if (path[0] == '/')
		ret = strdup(path);
	else if (!getcwd(directory, sizeof(directory)) ||
		 asprintf(&ret, "%s/%s", directory, path) < 0)
		ret = NULL;
	if (!ret)
		fail(EXIT_FAILED, "cannot tell the working directory");
	return ret;
}

enum {
	OPTION_SOCKET = 256,
	OPTION_PORT,
	OPTION_ADDRESS,
	OPTION_CONTROL,
	OPTION_MODE,
	OPTION_GROUP,
	OPTION_THREADS,
	OPTION_MEMORY,
	OPTION_READ_ONLY,
};

static const struct option long_options[] = {
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"port", required_argument, NULL, OPTION_PORT},
	{"address", required_argument, NULL, OPTION_ADDRESS},
	{"control", required_argument, NULL, OPTION_CONTROL},
	{"mode", required_argument, NULL, OPTION_MODE},
	{"group", required_argument, NULL, OPTION_GROUP},
	{"threads", required_argument, NULL, OPTION_THREADS},
	{"memory", required_argument, NULL, OPTION_MEMORY},
	{"read-only", no_argument, NULL, OPTION_READ_ONLY},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static void parse_option(int option, struct options *options)
{
	switch (option) {
	case OPTION_SOCKET:
		options->socket = absolute(optarg);
		break;
	case OPTION_PORT:
		/* A number: services' names differ from host to host. */
		(void)parse_number("--port", optarg, 10, 65535);
		options->port = optarg;
		break;
	case OPTION_ADDRESS:
		options->address = optarg;
		break;
	case OPTION_CONTROL:
		options->control = absolute(optarg);
		break;
	case OPTION_MODE:
		options->mode = (mode_t)parse_number("--mode", optarg, 8, 0777);
		break;
	case OPTION_GROUP:
		options->group = parse_group(optarg);
		break;
	case OPTION_THREADS:
		if (parse_number("--threads", optarg, 10, 1024) == 0)
			fail_option("--threads", optarg, "at least 1");
		options->threads = optarg;
		break;
	case OPTION_MEMORY:
		options->memory = optarg;
		break;
	case OPTION_READ_ONLY:
		options->read_only = true;
		break;
	case 'v':
		options->verbose = true;
		break;
	case 'h':
		printf("%s%s", usage, help);
		exit(EXIT_DONE);
	case 'V':
		puts("varved " VARVE_VERSION);
		exit(EXIT_DONE);
	default:
		/* getopt has said what is wrong */
		fputs(usage, stderr);
		quit(EXIT_USAGE);
	}
}

static void parse_options(int argc, char **argv, struct options *ret)
{
	int option;

	*ret = (struct options){
		.mode = 0600, .group = (gid_t)-1, .threads = "1"};
	/* "+": what stands behind the store belongs to nbdkit. */
	while ((option = getopt_long(argc, argv, "+vhV", long_options, NULL)) !=
	       -1)
		parse_option(option, ret);
	if (optind >= argc)
		fail(EXIT_USAGE, "no store given");
	ret->store = argv[optind++];
	if (optind < argc && strcmp(argv[optind], "--") != 0)
		fail_option("unexpected", argv[optind],
			    "nbdkit's options stand behind --");
	ret->nbdkit_args = &argv[optind < argc ? optind + 1 : argc];
	if (ret->address && !ret->port)
		fail(EXIT_USAGE, "--address needs --port");
}

/* ---- the lock ---- */

/* A block device is claimed too: its other nodes have other locks. */
static int open_lock(const struct options *options, struct error *err)
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
		(void)usleep(50000);
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
static int take_lock(const struct options *options)
{
	struct error err = ERROR_NONE;
	struct backend *be;
	int fd, copy, r;

	fd = open_lock(options, &err);
	if (fd < 0)
		fail(open_exit_code(fd), err.message);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, FD_MIN);
	if (copy < 0)
		fail(EXIT_FAILED, strerror(errno));
	r = backend_file_open(options->store,
			      options->read_only ? BACKEND_FILE_READ_ONLY : 0,
			      copy, LOCK_WAIT_MS, &be, &err);
	if (r < 0)
		fail(open_exit_code(r), err.message);
	backend_close(be);
	return fd;
}

/* ---- sockets ---- */

static void inherit_one(struct sockets *sockets, int fd, const char *name,
			size_t length)
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

/* systemd's sockets: the one named "control", and those that speak NBD. */
static void inherit_sockets(struct sockets *sockets)
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

static int listen_at(const struct options *options, const char *path)
{
	struct error err = ERROR_NONE;
	int fd = socket_listen_unix(path, options->mode, options->group, &err);

	if (fd < 0)
		fail(fd == -EADDRINUSE ? EXIT_LOCKED : verb_exit_code(fd),
		     err.message);
	(void)snprintf(made[nr_made++].path, RUNTIME_PATH_MAX, "%s", path);
	return fd;
}

/* For names in the runtime directory; -ENOENT is not about the store. */
static void check(int r, const struct error *err)
{
	if (r < 0)
		fail(r == -ENOENT ? EXIT_FAILED : verb_exit_code(r),
		     err->message);
}

static int listen_nbd(const struct options *options)
{
	struct error err = ERROR_NONE;
	struct runtime_path dir, path;

	if (options->socket)
		return listen_at(options, options->socket);
	check(runtime_dir_own(&dir, &err), &err);
	check(runtime_nbd_path(dir.path, options->store, &path, &err), &err);
	return listen_at(options, path.path);
}

static int listen_control(const struct options *options, int lock_fd)
{
	struct error err = ERROR_NONE;
	struct runtime_path dir, path;
	struct stat st;

	if (options->control)
		return listen_at(options, options->control);
	if (fstat(lock_fd, &st) < 0)
		fail(EXIT_FAILED, strerror(errno));
	check(runtime_dir_own(&dir, &err), &err);
	check(runtime_control_path(dir.path, st.st_dev, st.st_ino, &path, &err),
	      &err);
	return listen_at(options, path.path);
}

/* NULL, or the step that failed (errno). */
static const char *listen_tcp(const struct addrinfo *info, int *ret)
{
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return "make a socket";
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
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
static void make_tcp_sockets(const struct options *options,
			     struct sockets *sockets)
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
		fail(EXIT_FAILED, text);
}

/* ---- exec ---- */

/* Move @fd out of the way of LISTEN_FDS, to live on in nbdkit. */
static int move_up(int fd)
{
	int ret = fcntl(fd, F_DUPFD, FD_MIN);

	if (ret < 0)
		fail(EXIT_FAILED, strerror(errno));
	(void)close(fd);
	return ret;
}

static void place_descriptors(struct sockets *sockets, int *lock_fd)
{
	char text[32];

	starter_move(FD_MIN);
	*lock_fd = move_up(*lock_fd);
	sockets->control = move_up(sockets->control);
	for (int i = 0; i < sockets->nr_nbd; i++)
		sockets->nbd[i] = move_up(sockets->nbd[i]);
	for (int i = 0; i < sockets->nr_nbd; i++) {
		if (dup2(sockets->nbd[i], LISTEN_FIRST + i) < 0)
			fail(EXIT_FAILED, strerror(errno));
		(void)close(sockets->nbd[i]);
	}
	(void)snprintf(text, sizeof(text), "%d", sockets->nr_nbd);
	(void)setenv("LISTEN_FDS", text, 1);
	(void)snprintf(text, sizeof(text), "%ld", (long)getpid());
	(void)setenv("LISTEN_PID", text, 1);
	(void)unsetenv("LISTEN_FDNAMES");
}

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
		fail(EXIT_USAGE, "too many options for nbdkit");
	command->argv[command->argc] = strdup(text);
	if (!command->argv[command->argc++])
		fail(EXIT_FAILED, "out of memory");
}

static void add_pair(struct command *command, const char *key,
		     const char *value)
{
	char *text;

	if (asprintf(&text, "%s=%s", key, value) < 0)
		fail(EXIT_FAILED, "out of memory");
	add(command, text);
	free(text);
}

static void add_fd(struct command *command, const char *key, int fd)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", fd);
	add_pair(command, key, text);
}

static void build_command(const struct options *options,
			  const struct sockets *sockets, int lock_fd,
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
	for (char **arg = options->nbdkit_args; *arg; arg++)
		add(command, *arg);
	add(command, find_plugin());
	add_pair(command, "store", options->store);
	add_fd(command, "control-fd", sockets->control);
	add_fd(command, "lock-fd", lock_fd);
	if (options->read_only)
		add_pair(command, "read-only", "true");
	if (options->memory)
		add_pair(command, "memory", options->memory);
	if (sockets->nbd_inherited)
		add_pair(command, "keep-socket", "true");
	if (sockets->control_inherited)
		add_pair(command, "keep-control", "true");
}

int main(int argc, char **argv)
{
	struct sockets sockets = {.control = -1};
	struct command command = {.argc = 0};
	struct options options;
	char text[200];
	char *store;
	int lock_fd;

	parse_options(argc, argv, &options);
	inherit_sockets(&sockets);
	if (sockets.nbd_inherited && options.socket)
		fail(EXIT_USAGE, "--socket: systemd passes the sockets");
	store = realpath(options.store, NULL);
	if (store)
		options.store = store;
	lock_fd = take_lock(&options);
	if (!sockets.nbd_inherited)
		sockets.nbd[sockets.nr_nbd++] = listen_nbd(&options);
	if (sockets.control < 0)
		sockets.control = listen_control(&options, lock_fd);
	make_tcp_sockets(&options, &sockets);
	place_descriptors(&sockets, &lock_fd);
	build_command(&options, &sockets, lock_fd, &command);
	(void)execvp(command.argv[0], command.argv);
	(void)snprintf(text, sizeof(text), "cannot run nbdkit: %s",
		       strerror(errno));
	fail(EXIT_FAILED, text);
}
