/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile lines of JSON: what the control protocol is made of, at both ends.
 *
 * An input is what a peer sends, in one piece or in two.  Every line that is
 * accepted is an object, and its arguments are asked for in every type.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz-text.h"
#include "json.h"
#include "line.h"

/* Small, so that lines that are too long are met. */
#define LINE_MAX_BYTES 4096u

static void ask(struct json_object *args, const char *key)
{
	struct error err = ERROR_NONE;
	const char *text = NULL, **names = NULL;
	uint64_t size;
	size_t nr = 0;
	bool flag;

	fuzz_check_result("args_string", args_string(args, key, &text, &err),
			  &err);
	fuzz_check_result("args_find_string",
			  args_find_string(args, key, &text, &err), &err);
	fuzz_check_result("args_size", args_size(args, key, &size, &err), &err);
	fuzz_check_result("args_find_bool",
			  args_find_bool(args, key, &flag, &err), &err);
	if (args_names(args, key, false, &names, &nr, &err) < 0)
		return;
	if (nr == 0)
		fuzz_fail("args_names", "no names");
	for (size_t i = 0; i < nr; i++)
		(void)strlen(names[i]);
	free(names);
}

static void parse(const char *line, size_t length)
{
	struct error err = ERROR_NONE;
	struct json_object *object = line_parse(line, length, &err);
	struct json_object *args = NULL;

	if (!object) {
		if (!err.code)
			fuzz_fail("line_parse", "failed without a word");
		fuzz_check_result("line_parse", -err.code, &err);
		return;
	}
	ask(object, "verb");
	if (json_object_object_get_ex(object, "args", &args) &&
	    json_object_is_type(args, json_type_object)) {
		ask(args, "name");
		ask(args, "names");
		ask(args, "size");
	}
	json_object_put(object);
}

static void send_part(int fd, const uint8_t *data, size_t size)
{
	/* a socket takes as much as FUZZ_INPUT_MAX at once */
	if (size > 0 && send(fd, data, size, MSG_DONTWAIT) != (ssize_t)size)
		fuzz_fail("send", strerror(errno));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct line_reader reader;
	size_t length, part;
	char *line;
	int fds[2], r;

	if (size > FUZZ_INPUT_MAX)
		size = FUZZ_INPUT_MAX;
	part = size > 0 && data[size - 1] < size ? data[size - 1] : size;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		fuzz_fail("socketpair", strerror(errno));
	line_reader_init(&reader, fds[0], LINE_MAX_BYTES);
	send_part(fds[1], data, part);
	if (part > 0 && memchr(data, '\n', part) &&
	    line_read(&reader, 0, &line, &length) > 0)
		parse(line, length);
	send_part(fds[1], data + part, size - part);
	(void)shutdown(fds[1], SHUT_WR);
	while ((r = line_read(&reader, 0, &line, &length)) > 0) {
		if (length >= LINE_MAX_BYTES || line[length] != '\0')
			fuzz_fail("line_read", "a line that does not end");
		parse(line, length);
	}
	if (r != 0 && r != -EMSGSIZE)
		fuzz_fail("line_read", strerror(-r));
	line_reader_done(&reader);
	(void)close(fds[0]);
	(void)close(fds[1]);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed)
{
	static const char *const words[] = {
		"{\"varve\":1,\"verb\":\"show\",\"args\":{\"name\":\"a\"}}\n",
		"{\"varve\":1,\"verb\":\"x\",\"args\":{",
		"\"names\":[\"a\",\"b\"]",
		"\"size\":18446744073709551615",
		"\"a\\u0000b\"",
		"\"\\ud800\"",
		"{",
		"}",
		"[",
		"]",
		"[[[[[[[[[[[[[[[[[[",
		",",
		":",
		"\"",
		"\n",
		"\\",
		"null",
		"true",
		"-1",
		"1e400",
		"0.5",
		"NaN",
		"/* */",
		"\xc3\x28",
		"\xff",
		NULL,
	};
	struct rng rng = {seed};

	return fuzz_text_mutate(data, size, max_size, words, &rng);
}
