/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * varve export: the content of a volume or snapshot as a disk image.
 *
 * A volume that is served may be written to meanwhile: it is a snapshot of
 * it that is copied, and deleted afterwards.  The file appears, or replaces
 * another one, when all of it is there.  Where a file system has neither hard
 * links nor a renaming that replaces nothing, a kill at the end may leave an
 * empty file of its name.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "cleanup.h"
#include "command.h"
#include "connect.h"
#include "image.h"
#include "interrupt.h"
#include "names.h"
#include "nbd-uri.h"
#include "options.h"
#include "output.h"
#include "private-server.h"
#include "program.h"
#include "size.h"

/* In the program on which nbdcopy says how far it is. */
#define PROGRESS_FD 3

struct export
{
	const struct options *options;
	const char *store;
	const char *name;
	bool of_volume;
	bool to_stdout;
	char source[NAME_MAX_BYTES + 64]; /* what is copied */
	char temporary[PATH_MAX];	  /* name of image.fd; "": none */
	struct image image;
	uint64_t size;
	struct progress progress;
};

/* ---- the file ---- */

static int file_failed(const struct export *ex, int code)
{
	print_error("%s: %s", ex->image.operand, strerror(code));
	return code == EEXIST ? EXIT_EXISTS
	       : code == EACCES || code == EPERM || code == EROFS
		       ? EXIT_PERMISSION
		       : EXIT_FAILED;
}

static int check_target(const struct export *ex)
{
	struct stat st;

	if (ex->to_stdout) {
		if (!isatty(STDOUT_FILENO))
			return 0;
		print_error("-: a disk is not written to a terminal");
		return EXIT_USAGE;
	}
	if (lstat(ex->image.path, &st) < 0)
		return errno == ENOENT ? 0 : file_failed(ex, errno);
	if (!S_ISREG(st.st_mode)) {
		print_error("%s: is there, and not a file", ex->image.operand);
		return EXIT_EXISTS;
	}
	if (ex->options->force)
		return 0;
	print_error("%s: exists already (--force replaces it)",
		    ex->image.operand);
	return EXIT_EXISTS;
}

/* Beside the file, so that it can take its name. */
static int make_temporary(struct export *ex)
{
	int fd;

	if (snprintf(ex->temporary, sizeof(ex->temporary), "%s.XXXXXX",
		     ex->image.path) >= (int)sizeof(ex->temporary)) {
		ex->temporary[0] = '\0';
		return file_failed(ex, ENAMETOOLONG);
	}
	fd = mkostemp(ex->temporary, O_CLOEXEC);
	if (fd < 0) {
		ex->temporary[0] = '\0';
		return file_failed(ex, errno);
	}
	ex->image.fd = fd;
	return 0;
}

/* As for any new file. */
static int give_mode(int fd)
{
	mode_t mask = umask(077);

	(void)umask(mask);
	return fchmod(fd, 0666 & ~mask);
}

static int sync_parent(const char *path)
{
	char parent[PATH_MAX];
	CLEANUP_CLOSE int fd = -1;

	snprintf(parent, sizeof(parent), "%s", path);
	fd = open(dirname(parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -1 : fsync(fd);
}

/* Is it the file of @fd that is called @path? */
static bool is_called(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 &&
	       ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/*
 * Where nothing else goes: an empty file of ours holds the name until the
 * whole one replaces it.  Somebody may have put another one there meanwhile,
 * which stays.
 */
static int reserve_name(const char *from, const char *to)
{
	CLEANUP_CLOSE int fd =
		open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int code;

	if (fd < 0)
		return -1;
	if (is_called(fd, to) && rename(from, to) == 0)
		return 0;
	/* of our own file: one that never lets another replace it */
	code = errno == EEXIST ? EOPNOTSUPP : errno;
	if (is_called(fd, to))
		(void)unlink(to); /* what failed is said */
	else
		code = EEXIST;
	errno = code;
	return -1;
}

/* Somebody else may have made one meanwhile: only --force replaces it. */
static int take_name(const struct export *ex)
{
	const char *from = ex->temporary, *to = ex->image.path;

	if (ex->options->force)
		return rename(from, to);
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	/* not all file systems know this, and not all have hard links */
	if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return -1;
	if (link(from, to) == 0)
		return unlink(from);
	if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS &&
	    errno != EMLINK)
		return -1;
	return reserve_name(from, to);
}

/*
 * Durable under its name.  The descriptor is older than all that was written,
 * so that no failure to write it out was told to somebody else.
 */
static int finish_file(struct export *ex)
{
	int r = image_check(&ex->image);

	if (r)
		return r;
	if (give_mode(ex->image.fd) < 0 || fsync(ex->image.fd) < 0 ||
	    take_name(ex) < 0)
		return file_failed(ex, errno);
	ex->temporary[0] = '\0';
	return sync_parent(ex->image.path) < 0 ? file_failed(ex, errno) : 0;
}

/* ---- the volume ---- */

static int look_at_source(struct export *ex)
{
	struct json_object *data;
	int r;

	r = image_call(ex->store, "show", name_args(ex->name), &data);
	if (r)
		return r;
	ex->size = member_number(data, "size");
	json_object_put(data);
	return 0;
}

/* Is it served to others, who may write? */
static int served_to_writers(const struct export *ex, bool *ret)
{
	struct connection *c = NULL;
	int r = connection_open(ex->store, CONNECT_SERVED, &c);

	if (r)
		return r;
	*ret = !member_bool(connection_greeting(c), "read_only");
	return connection_close(c, 0);
}

/* A volume that others may write to is copied as of now. */
static int choose_source(struct export *ex)
{
	bool writers = false;
	int r = 0;

	snprintf(ex->source, sizeof(ex->source), "%s", ex->name);
	if (ex->of_volume)
		r = served_to_writers(ex, &writers);
	if (r || !writers)
		return r;
	snprintf(ex->source, sizeof(ex->source), "%s@exporting-%d", ex->name,
		 (int)getpid());
	r = image_call(ex->store, "snapshot",
		       names_args_of(array_of(ex->source)), NULL);
	if (r)
		snprintf(ex->source, sizeof(ex->source), "%s", ex->name);
	return r;
}

static int leave_source(const struct export *ex, int exit_code)
{
	int r = 0;

	if (strcmp(ex->source, ex->name) != 0)
		r = image_call(ex->store, "delete",
			       names_args_of(array_of(ex->source)), NULL);
	return exit_code ? exit_code : r;
}

/* ---- the copy ---- */

static int copy(struct export *ex)
{
	char uri[NBD_URI_MAX];
	const char *const to_file[] = {
		"qemu-img",	  "convert", "-p",	 "-t",
		"writeback",	  "-f",	     "raw",	 "-O",
		ex->image.format, uri,	     IMAGE_PATH, NULL};
	const char *const to_stdout[] = {"nbdcopy", "--progress=3", uri, "-",
					 NULL};
	struct program program = {
		.args = ex->to_stdout ? to_stdout : to_file,
		.input_fd = ex->image.fd,
		.heard_fd = ex->to_stdout ? PROGRESS_FD : STDOUT_FILENO,
	};
	int r = image_uri(ex->store, ex->source, uri);

	return r ? r
		 : image_copy(&program, ex->image.operand, &ex->progress,
			      ex->size);
}

static int export_served(struct export *ex)
{
	int r;

	r = look_at_source(ex);
	if (r == 0 && !ex->to_stdout)
		r = make_temporary(ex);
	if (r == 0)
		r = choose_source(ex);
	if (r == 0) {
		r = copy(ex);
		r = leave_source(ex, r);
	}
	if (r == 0 && interrupt_signal())
		r = 128 + interrupt_signal();
	if (r == 0 && !ex->to_stdout)
		r = finish_file(ex);
	if (ex->temporary[0])
		(void)unlink(ex->temporary); /* what failed has been said */
	image_close_file(&ex->image);
	return r;
}

static int export_now(struct export *ex)
{
	struct private_server server;
	int r;

	interrupt_catch();
	r = private_server_start(ex->store, true, &server);
	if (r)
		return r;
	r = export_served(ex);
	if (r && interrupt_signal())
		print_error("interrupted; nothing was exported");
	return private_server_stop(&server, r);
}

static void print_exported(const struct export *ex)
{
	const struct options *options = ex->options;
	char text[SIZE_TEXT_BYTES];

	if (options->json) {
		image_print_json(&ex->image, ex->name, ex->size);
		return;
	}
	size_format_long(ex->size, text);
	if (!options->quiet && !ex->to_stdout)
		printf("%s  %s  exported to %s\n", ex->name, text,
		       ex->image.operand);
}

static int check_operands(struct export *ex)
{
	const struct options *options = ex->options;
	struct error err = ERROR_NONE;
	struct name name;

	ex->name = options->operands[0];
	ex->to_stdout = strcmp(options->operands[1], "-") == 0;
	if (name_parse(ex->name, &name, &err) < 0) {
		print_error("%s", err.message);
		return EXIT_USAGE;
	}
	if (name.until[0] || name.view != VIEW_NONE) {
		print_error("%s: only a volume or a snapshot is exported",
			    ex->name);
		return EXIT_USAGE;
	}
	ex->of_volume = !name.snapshot[0];
	if (ex->to_stdout && (options->json || options->force))
		return usage_error(options->command,
				   "-: takes neither --json nor --force");
	if (ex->to_stdout && strcmp(ex->image.format, "raw") != 0)
		return usage_error(options->command,
				   "-: only raw can be written there");
	return 0;
}

static int export_run(const struct options *options)
{
	struct export ex = {.options = options,
			    .store = options_store(options)};
	struct store_identity identity;
	int r = ex.store ? 0 : EXIT_USAGE;

	if (r == 0)
		r = progress_init(&ex.progress, options);
	if (r == 0)
		r = image_init(options, &ex.image);
	if (r == 0)
		r = check_operands(&ex);
	if (r == 0)
		r = store_identify(ex.store, &identity);
	if (r == 0)
		r = check_target(&ex);
	if (r == 0)
		r = export_now(&ex);
	if (r == 0)
		print_exported(&ex);
	return r;
}

const struct command command_export = {
	.name = "export",
	.synopsis = "[--force] [--format FORMAT] VOLUME|VOLUME@SNAPSHOT FILE",
	.summary = "write a disk image of a volume or snapshot",
	.details =
		"FILE is qcow2 when its name ends so, else raw; where that is "
		"another format's\nname, --format says which is meant.  Holes "
		"and zeros take no space there.\nIt appears when all of it is "
		"there, and replaces another file only with --force.\n- is "
		"standard "
		"output, raw.  A volume that is served is exported as it is "
		"at that\nmoment, by a snapshot that is deleted afterwards.  "
		"Needs qemu-img, for - nbdcopy.",
	.accepts = OPTION_FORCE | OPTION_FORMAT | OPTION_PROGRESS,
	.min_operands = 2,
	.max_operands = 2,
	.run = export_run,
};
