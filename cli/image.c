/* SPDX-License-Identifier: BSD-2-Clause */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "cleanup.h"
#include "clock.h"
#include "command.h"
#include "connect.h"
#include "interrupt.h"
#include "options.h"
#include "output.h"
#include "program.h"

/* More is no JSON then. */
#define INFO_BYTES_MAX (1u << 20)
/* A connection that was closed may be known to the server a moment longer. */
#define BUSY_TRIES 200 /* of 50 ms */

/* ---- the file ---- */

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length &&
	       strcasecmp(text + length - end_length, end) == 0;
}

/* As --format says; else by the name, unless that is of another format. */
static int choose_format(const struct options *options, struct image *image)
{
	static const char *const others[] = {".qcow", ".qed",  ".vdi",
					     ".vhd",  ".vhdx", ".vmdk"};

	image->format_is_guess = !options->format;
	image->format = options->format			      ? options->format
			: ends_with(image->operand, ".qcow2") ? "qcow2"
							      : "raw";
	if (strcmp(image->format, "raw") != 0 &&
	    strcmp(image->format, "qcow2") != 0)
		return usage_error(options->command,
				   "--format: must be raw or qcow2");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!options->format && ends_with(image->operand, others[i]))
			return usage_error(options->command,
					   "%s: the formats are raw and qcow2; "
					   "say --format if one is meant",
					   image->operand);
	return 0;
}

int image_init(const struct options *options, struct image *ret)
{
	CLEANUP_FREE char *cwd = NULL;
	int r;

	ret->operand = options->operands[1];
	r = choose_format(options, ret);
	if (r)
		return r;
	if (!*ret->operand)
		return usage_error(options->command, "FILE is empty");
	cwd = must(getcwd(NULL, 0));
	if (snprintf(ret->path, sizeof(ret->path), "%s%s%s",
		     ret->operand[0] == '/' ? "" : cwd,
		     ret->operand[0] == '/' ? "" : "/",
		     ret->operand) < (int)sizeof(ret->path))
		return 0;
	print_error("%s: %s", ret->operand, strerror(ENAMETOOLONG));
	return EXIT_FAILED;
}

/* As a file server has it now, whatever is cached here. */
static int look_at_file(int fd, struct statx *ret)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC,
		     STATX_TYPE | STATX_SIZE | STATX_MTIME, ret);
}

/* Said here in one word, where qemu-img has many. */
static int open_file(struct image *image)
{
	struct statx *st = &image->opened;
	const char *text;
	int code;

	image->fd = open(image->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	code = errno;
	if (image->fd >= 0 && look_at_file(image->fd, st) == 0) {
		if (S_ISREG(st->stx_mode) || S_ISBLK(st->stx_mode))
			return 0;
		code = S_ISDIR(st->stx_mode) ? EISDIR : EINVAL;
	}
	image_close_file(image);
	text = code == EINVAL ? "neither a file nor a block device"
			      : strerror(code);
	print_error("%s: %s", image->operand, text);
	return code == ENOENT || code == ENOTDIR ? EXIT_NOT_FOUND
	       : code == EACCES			 ? EXIT_PERMISSION
						 : EXIT_FAILED;
}

/*
 * Not by its ctime: a file may get another name while it is read.  The time
 * alone may be that of a write before, which CIFS sets at the close.
 */
int image_check_unchanged(const struct image *image)
{
	const struct statx *old = &image->opened;
	struct statx now;
	bool resized;

	if (S_ISBLK(old->stx_mode))
		return 0;
	if (look_at_file(image->fd, &now) < 0) {
		print_error("%s: %s", image->operand, strerror(errno));
		return EXIT_FAILED;
	}
	resized = now.stx_size != old->stx_size;
	if (!resized && now.stx_mtime.tv_sec == old->stx_mtime.tv_sec &&
	    now.stx_mtime.tv_nsec == old->stx_mtime.tv_nsec)
		return 0;
	print_error("%s: %s; nothing was imported", image->operand,
		    resized ? "was written to while it was read"
			    : "its modification time changed while it was "
			      "read: if nobody writes to it, try again");
	return EXIT_BUSY;
}

void image_close_file(struct image *image)
{
	if (image->fd > 0)
		(void)close(image->fd); /* what was written is synced */
	image->fd = 0;
}

/* @operand is said already, and is what was typed. */
static const char *without_path(const char *complaint)
{
	const char *at = strstr(complaint, IMAGE_PATH);

	if (!at)
		return complaint;
	at += strlen(IMAGE_PATH);
	return at + strspn(at, "': ");
}

static int program_failed(const struct program *program, const char *operand,
			  int status)
{
	const char *name = program->args[0];

	if (status == 128 + interrupt_signal())
		return status;
	if (status == PROGRAM_MISSING) {
		print_error("%s is missing (Debian: %s)", name,
			    strcmp(name, "qemu-img") == 0 ? "qemu-utils"
							  : "libnbd-bin");
		return EXIT_FAILED;
	}
	print_error("%s: %s: %s", operand, name,
		    program->complaint[0] ? without_path(program->complaint)
					  : "failed");
	return EXIT_FAILED;
}

/* Which other file an image reads; "": none. */
static const char *other_file(struct json_object *info)
{
	const char *name = member_string(info, "backing-filename");
	struct json_object *specific, *data;

	if (*name ||
	    !json_object_object_get_ex(info, "format-specific", &specific) ||
	    !json_object_object_get_ex(specific, "data", &data))
		return name;
	return member_string(data, "data-file");
}

static int look_at_info(const struct image *image, struct json_object *info,
			uint64_t *ret_size)
{
	const char *other;

	if (!json_object_is_type(info, json_type_object) ||
	    !member_is_known(info, "virtual-size")) {
		print_error("%s: qemu-img does not tell its size",
			    image->operand);
		return EXIT_FAILED;
	}
	other = other_file(info);
	if (*other) {
		print_error("%s: it needs another file (%.100s); make it one "
			    "with qemu-img convert",
			    image->operand, other);
		return EXIT_FAILED;
	}
	*ret_size = member_number(info, "virtual-size");
	if (*ret_size)
		return 0;
	print_error("%s: is empty", image->operand);
	return EXIT_FAILED;
}

/*
 * Many are qcow2 and called .img.  That is not taken for granted, since in a
 * raw image the first bytes are its machine's to choose.
 */
static int check_guess(const struct image *image)
{
	static const char other[] = "raw if it is, else convert it with "
				    "qemu-img";
	static const struct {
		const char *magic, *format, *advice;
	} formats[] = {
		{"QFI\xfb", "qcow2", "qcow2, or raw if that is meant"},
		{"KDMV", "VMDK", other},
		{"vhdxfile", "VHDX", other},
	};
	char begin[9] = "";

	if (!image->format_is_guess || strcmp(image->format, "raw") != 0 ||
	    pread(image->fd, begin, sizeof(begin) - 1, 0) < 0)
		return 0;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (strncmp(begin, formats[i].magic,
			    strlen(formats[i].magic)) != 0)
			continue;
		print_error("%s: looks like %s: say --format %s",
			    image->operand, formats[i].format,
			    formats[i].advice);
		return EXIT_FAILED;
	}
	return 0;
}

/*
 * What a truncated qcow2 file lacks would be read as zeros.  Clusters that
 * nobody refers to (3) do no harm.
 */
int image_check(const struct image *image)
{
	const char *const args[] = {"qemu-img",	   "check",    "-q", "-f",
				    image->format, IMAGE_PATH, NULL};
	struct program program = {
		.args = args, .input_fd = image->fd, .heard_fd = STDOUT_FILENO};
	int r;

	if (strcmp(image->format, "qcow2") != 0)
		return 0;
	r = program_run(&program);
	if (r == 0 || r == 3)
		return 0;
	if (r == 2)
		snprintf(program.complaint, sizeof(program.complaint),
			 "it is damaged (see qemu-img check)");
	return program_failed(&program, image->operand, r);
}

static int look(const struct image *image, uint64_t *ret_size)
{
	const char *const args[] = {"qemu-img", "info",	       "--output=json",
				    "-f",	image->format, IMAGE_PATH,
				    NULL};
	struct program_text text = {.max = INFO_BYTES_MAX};
	struct program program = {.args = args,
				  .input_fd = image->fd,
				  .heard_fd = STDOUT_FILENO,
				  .hear = program_keep_text,
				  .opaque = &text};
	struct json_object *info;
	int r;

	r = program_run(&program);
	if (r) {
		free(text.ptr);
		return program_failed(&program, image->operand, r);
	}
	info = json_tokener_parse(text.ptr ? text.ptr : "");
	free(text.ptr);
	r = look_at_info(image, info, ret_size);
	json_object_put(info);
	return r;
}

int image_open_file(struct image *image, uint64_t *ret_size)
{
	int r;

	r = open_file(image);
	if (r == 0)
		r = check_guess(image);
	if (r == 0)
		r = look(image, ret_size);
	return r ? r : image_check(image);
}

/* ---- copying ---- */

struct copy {
	struct progress *progress;
	uint64_t size;
	char said[64]; /* the end of what it said, to be read on */
};

/* "(12.34/100%)" says the one, "12/100" the other. */
static void hear_percent(void *opaque, const char *data, size_t length)
{
	struct copy *copy = opaque;
	size_t kept = strlen(copy->said), most = sizeof(copy->said) - 1;
	char *at, *found = NULL;
	double percent;

	if (length > most) {
		data += length - most;
		length = most;
	}
	if (kept + length > most) {
		memmove(copy->said, copy->said + (kept + length - most),
			most - length);
		kept = most - length;
	}
	memcpy(copy->said + kept, data, length);
	copy->said[kept + length] = '\0';
	for (at = strstr(copy->said, "/100"); at; at = strstr(at + 1, "/100"))
		found = at;
	if (!found)
		return;
	at = found;
	while (at > copy->said && strchr("0123456789.", at[-1]))
		at--;
	percent = strtod(at, NULL);
	if (percent >= 0 && percent <= 100)
		progress_show(copy->progress, (unsigned int)percent,
			      (uint64_t)(percent / 100 * (double)copy->size));
}

int image_copy(struct program *program, const char *operand,
	       struct progress *progress, uint64_t size)
{
	struct copy copy = {.progress = progress, .size = size};
	int r;

	program->hear = hear_percent;
	program->opaque = &copy;
	r = program_run(program);
	progress_done(progress);
	return r ? program_failed(program, operand, r) : 0;
}

/* ---- the server ---- */

static int call_once(const char *store, unsigned int flags, const char *verb,
		     struct json_object *args, struct json_object **ret_data)
{
	struct connection *c = NULL;
	int r;

	/* a new one each time: idle ones are closed after a minute */
	r = connection_open(store, CONNECT_SERVED | flags, &c);
	if (r)
		return r;
	r = connection_call(c, verb, json_object_get(args), ret_data);
	return connection_close(c, r);
}

int image_call(const char *store, const char *verb, struct json_object *args,
	       struct json_object **ret_data)
{
	int r = EXIT_BUSY;

	for (int i = 0; r == EXIT_BUSY && i < BUSY_TRIES; i++) {
		if (i)
			sleep_ms(50);
		r = call_once(store, CONNECT_QUIET, verb, args, ret_data);
	}
	if (r) /* the same again, to be told why */
		r = call_once(store, 0, verb, args, ret_data);
	json_object_put(args);
	return r;
}

int image_uri(const char *store, const char *export, char ret[NBD_URI_MAX])
{
	struct error err = ERROR_NONE;
	struct connection *c = NULL;
	const char *socket;
	int r;

	r = connection_open(store, CONNECT_SERVED, &c);
	if (r)
		return r;
	socket = member_string(connection_greeting(c), "socket");
	if (!*socket) {
		print_error("%s: its server has no Unix socket", store);
		r = EXIT_NO_STORE;
	} else if (nbd_uri(export, socket, ret, &err) < 0) {
		print_error("%s", err.message);
		r = EXIT_FAILED;
	}
	return connection_close(c, r);
}

/* ---- the result ---- */

void image_print_json(const struct image *image, const char *name,
		      uint64_t size)
{
	struct json_object *data = name_args(name);

	json_object_object_add(data, "size", json_object_new_uint64(size));
	json_object_object_add(data, "format",
			       json_object_new_string(image->format));
	print_json(data);
}
