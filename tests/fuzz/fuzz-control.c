/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile requests: the lines of the control protocol and their verbs.
 *
 * An input is what a client sends.  Its lines are read from a socket, parsed
 * and run on a small store as the server does; every request gets data or an
 * error with a sentence.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz-text.h"
#include "json.h"
#include "line.h"
#include "test-store.h"
#include "verbs.h"

#define NR_FRAMES 64u
/* Small, so that lines that are too long are met. */
#define LINE_MAX_BYTES 4096u

static struct memory_disk *base;

static void make_store(void)
{
	static const char *const snapshots[] = {"a@1"};
	struct memory_disk *disk = test_store_disk(NR_FRAMES);
	struct store_open_options options = {.nr_buffers = 4};
	struct error err = ERROR_NONE;
	struct store *store;

	if (test_store_open(disk, &options, &store, &err) < 0 ||
	    store_create(store, "a", 1 << 20, &err) < 0 ||
	    store_snapshot(store, snapshots, 1, "a note", &err) < 0 ||
	    store_close(store, true, &err) < 0)
		fuzz_fail("making a store", err.message);
	memory_disk_record(disk);
	base = disk;
}

/* What the server answers with must be something a client can parse. */
static void check_answer(struct json_object *data)
{
	const char *text = json_object_to_json_string_ext(
		data, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	if (!text || strchr(text, '\n'))
		fuzz_fail("an answer", "not one line");
}

static void run_request(struct store *store, struct json_object *request)
{
	struct json_object *args = NULL, *data = NULL;
	struct error err = ERROR_NONE;
	const char *verb = NULL;
	int r;

	r = args_string(request, "verb", &verb, &err);
	fuzz_check_result("verb", r, &err);
	if (r < 0)
		return;
	(void)json_object_object_get_ex(request, "args", &args);
	r = verb_run(store, verb, args, &data, &err);
	fuzz_check_result(verb, r, &err);
	if (r < 0)
		return;
	check_answer(data);
	json_object_put(data);
}

static void run_line(struct store *store, const char *line, size_t length)
{
	struct error err = ERROR_NONE;
	struct json_object *request = line_parse(line, length, &err);

	if (!request) {
		fuzz_check_result("line_parse", -err.code, &err);
		if (!err.code)
			fuzz_fail("line_parse", "failed without a word");
		return;
	}
	run_request(store, request);
	json_object_put(request);
}

/* The last line may lack its end; a line may be longer than it should. */
static void run_lines(struct store *store, const uint8_t *data, size_t size)
{
	struct line_reader reader;
	size_t length;
	char *line;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		fuzz_fail("socketpair", strerror(errno));
	/* a socket takes as much as FUZZ_INPUT_MAX at once */
	if (size > 0 && send(fds[1], data, size, MSG_DONTWAIT) != (ssize_t)size)
		fuzz_fail("send", strerror(errno));
	(void)shutdown(fds[1], SHUT_WR);
	line_reader_init(&reader, fds[0], LINE_MAX_BYTES);
	while (line_read(&reader, 0, &line, &length) > 0)
		run_line(store, line, length);
	line_reader_done(&reader);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store_open_options options = {.nr_buffers = 4};
	struct error err = ERROR_NONE;
	struct memory_disk *disk;
	struct store *store;

	if (!base)
		make_store();
	disk = memory_disk_rebuild(base, 0, CRASH_KEEP_ALL, 0);
	if (test_store_open(disk, &options, &store, &err) < 0)
		fuzz_fail("store_open", err.message);
	run_lines(store, data, size > FUZZ_INPUT_MAX ? FUZZ_INPUT_MAX : size);
	if (!test_store_check(store, &err) || store_close(store, true, &err))
		fuzz_fail("the store afterwards", err.message);
	memory_disk_put(disk);
	return 0;
}

/* ---- inputs ---- */

#define PICK(rng, array) \
	((array)[rng_below(rng, sizeof(array) / sizeof((array)[0]))])

static const char *const verbs[] = {
	"status",  "list",    "show",	  "create",	  "snapshot", "clone",
	"delete",  "reclaim", "rollback", "undo",	  "scratch",  "set",
	"rename",  "resize",  "check",	  "scrub",	  "dump",     "metrics",
	"traffic", "du",      "",	  "no-such-verb",
};
static const char *const keys[] = {
	"name",	   "names", "size",   "dry_run", "recursive",
	"message", "type",  "hidden", "members", "snapshot",
	"what",	   "names", "to",     "shrink",	 "size",
	"name",	   "x",	    "bytes",  "restart", "id",
};
static const char *const values[] = {
	"null",
	"true",
	"false",
	"0",
	"-1",
	"512",
	"1048576",
	"18446744073709551615",
	"1e400",
	"0.5",
	"\"\"",
	"\"a\"",
	"\"a@1\"",
	"\"a@2\"",
	"\"b\"",
	"\"b@1\"",
	"\"a@1:scratch\"",
	"\"a@1:scratch.1\"",
	"\"a:attached\"",
	"\"a\\u0000b\"",
	"\"\\u001b[2J\"",
	"\"\\ud800\"",
	"\"all\"",
	"\"volume\"",
	"\"super\"",
	"[]",
	"[\"a\"]",
	"[\"a@2\"]",
	"[\"a@1\"]",
	"[\"a@2\",\"a@2\"]",
	"[\"a\",\"a@1\"]",
	"[\"b\",\"c\"]",
	"[null]",
	"[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]",
	"{}",
	"{\"a\":{\"a\":{}}}",
	"\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	"\"",
	NULL,
};

/* One of values[], but not the NULL at its end. */
static const char *pick_value(struct rng *rng)
{
	return values[rng_below(rng, sizeof(values) / sizeof(values[0]) - 1)];
}

static size_t make_line(struct rng *rng, char *ret, size_t size)
{
	size_t n = (size_t)snprintf(ret, size,
				    "{\"varve\":1,\"verb\":\"%s\",\"args\":{",
				    PICK(rng, verbs));
	uint64_t nr = rng_below(rng, 5);

	for (uint64_t i = 0; i < nr; i++)
		n += (size_t)snprintf(ret + n, size - n, "%s\"%s\":%s",
				      i ? "," : "", PICK(rng, keys),
				      pick_value(rng));
	n += (size_t)snprintf(ret + n, size - n, "}}\n");
	return n;
}

/* Put a request before, between or behind the lines that are there. */
static size_t add_line(struct rng *rng, uint8_t *data, size_t size,
		       size_t max_size)
{
	size_t at = rng_below(rng, size + 1);
	const uint8_t *newline = memchr(data + at, '\n', size - at);
	char line[2048];
	size_t length = make_line(rng, line, sizeof(line));

	if (length > max_size - size)
		return size;
	at = newline ? (size_t)(newline - data) + 1 : size;
	memmove(data + at + length, data + at, size - at);
	memcpy(data + at, line, length);
	return size + length;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed)
{
	struct rng rng = {seed};

	if (size < 8 || rng_one_in(&rng, 2))
		return add_line(&rng, data, size, max_size);
	if (rng_one_in(&rng, 64) && max_size - size > 2 * LINE_MAX_BYTES) {
		memset(data + size, ' ', 2 * LINE_MAX_BYTES); /* too long */
		return size + 2 * LINE_MAX_BYTES;
	}
	return fuzz_text_mutate(data, size, max_size, values, &rng);
}
