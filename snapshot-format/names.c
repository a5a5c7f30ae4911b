/* SPDX-License-Identifier: BSD-2-Clause */
/* The one parser of names. */
#include "names.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define QUOTE_BYTES 64u /* of a name, at most, in a message */
#define SCRATCH_DIGITS_MAX 9u

/* A part of the text: not NUL-terminated. */
struct part {
	const char *start;
	size_t length;
};

/* ---- messages ---- */

/*
 * @text with everything escaped that a terminal could take for more than a
 * letter, cut where it grows long.
 */
struct quoted {
	char text[QUOTE_BYTES * 4 + 4];
};

static struct quoted quote(const char *text)
{
	struct quoted ret;
	size_t n = 0, i;

	for (i = 0; text[i] && i < QUOTE_BYTES; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			n += (size_t)snprintf(ret.text + n, 5, "\\x%02x", c);
		else
			ret.text[n++] = (char)c;
	}
	if (text[i])
		for (int dots = 0; dots < 3; dots++)
			ret.text[n++] = '.';
	ret.text[n] = '\0';
	return ret;
}

static int refuse(struct error *err, const char *text, const char *why)
{
	return error_set(err, EINVAL, "\"%s\": %s", quote(text).text, why);
}

/* ---- words ---- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alphanumeric(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* NULL, or what is wrong with @word. */
static const char *word_fault(struct part word)
{
	if (word.length == 0)
		return "a name is missing";
	if (!is_alphanumeric(word.start[0]))
		return "a name must begin with a letter or digit";
	for (size_t i = 0; i < word.length; i++) {
		char c = word.start[i];

		if (!is_alphanumeric(c) && c != '_' && c != '.' && c != '-')
			return "names are made of letters, digits, "
			       "'_', '.' and '-'";
		if (c == '.' && i > 0 && word.start[i - 1] == '.')
			return "a name must not hold '..'";
	}
	return NULL;
}

/* Does @text begin as a date and time do: 2026-11-22T10? */
static bool is_time(const char *text)
{
	static const char shape[] = "dddd-dd-ddTdd";

	for (size_t i = 0; shape[i]; i++) {
		bool fits = shape[i] == 'd'   ? is_digit(text[i])
			    : shape[i] == 'T' ? text[i] == 'T' || text[i] == 't'
					      : text[i] == shape[i];

		if (!fits)
			return false; /* the end of @text fits nothing */
	}
	return true;
}

static const char *snapshot_fault(struct part word)
{
	if (is_time(word.start))
		return "a time is not a name of a snapshot";
	return word_fault(word);
}

static const char *volume_fault(struct part volume)
{
	const char *slash = memchr(volume.start, '/', volume.length);
	const char *fault;
	struct part word = volume;

	if (slash) {
		word.length = (size_t)(slash - volume.start);
		fault = word_fault(word);
		if (fault)
			return fault;
		word.start = slash + 1;
		word.length = volume.length - word.length - 1;
		if (memchr(word.start, '/', word.length))
			return "a name has at most one '/'";
	}
	return word_fault(word);
}

/* ---- views ---- */

static bool parse_scratch_number(const char *digits, uint32_t *ret)
{
	size_t length = strspn(digits, "0123456789");
	uint32_t n = 0;

	if (length == 0 || length > SCRATCH_DIGITS_MAX || digits[length] ||
	    (digits[0] == '0' && length > 1))
		return false;
	for (size_t i = 0; i < length; i++)
		n = n * 10 + (uint32_t)(digits[i] - '0');
	*ret = n;
	return true;
}

static bool parse_view(const char *view, struct name *ret)
{
	static const char numbered[] = "scratch.";

	if (strcmp(view, "attached") == 0)
		ret->view = VIEW_ATTACHED;
	else if (strcmp(view, "scratch") == 0)
		ret->view = VIEW_SCRATCH;
	else if (strncmp(view, numbered, strlen(numbered)) == 0 &&
		 parse_scratch_number(view + strlen(numbered), &ret->scratch))
		ret->view = VIEW_SCRATCH_N;
	else
		return false;
	return true;
}

static const char *view_fault(const struct name *name)
{
	if (name->view == VIEW_NONE)
		return NULL;
	if (name->until[0])
		return "a difference has no view";
	if (name->view == VIEW_ATTACHED && name->snapshot[0])
		return "':attached' goes with a volume, not a snapshot";
	if (name->view != VIEW_ATTACHED && !name->snapshot[0])
		return "':scratch' goes with a snapshot";
	return NULL;
}

/* ---- names ---- */

static void part_copy(struct part part, char ret[NAME_MAX_BYTES + 1])
{
	memcpy(ret, part.start, part.length);
	ret[part.length] = '\0';
}

/* What follows "@": a snapshot, or two with ".." between them. */
static const char *parse_snapshots(struct part part, struct name *ret)
{
	const char *dots = NULL, *fault;
	struct part until;

	for (size_t i = 0; !dots && i + 1 < part.length; i++)
		if (part.start[i] == '.' && part.start[i + 1] == '.')
			dots = part.start + i;
	if (dots) {
		until.start = dots + 2;
		until.length = part.length - (size_t)(until.start - part.start);
		part.length = (size_t)(dots - part.start);
		fault = snapshot_fault(until);
		if (fault)
			return fault;
		part_copy(until, ret->until);
	}
	fault = snapshot_fault(part);
	if (fault)
		return fault;
	part_copy(part, ret->snapshot);
	return NULL;
}

static const char *parse(const char *text, struct name *ret)
{
	struct part whole = {text, strcspn(text, ":")};
	struct part volume = {text, strcspn(text, "@:")};
	const char *fault;

	if (whole.length > NAME_MAX_BYTES)
		return "a name has at most 255 bytes";
	fault = volume_fault(volume);
	if (fault)
		return fault;
	part_copy(volume, ret->volume);
	if (volume.length < whole.length) {
		struct part rest = {text + volume.length + 1,
				    whole.length - volume.length - 1};

		fault = parse_snapshots(rest, ret);
		if (fault)
			return fault;
	}
	if (text[whole.length] && !parse_view(text + whole.length + 1, ret))
		return "after ':' comes 'attached', 'scratch' or "
		       "'scratch.NUMBER'";
	return view_fault(ret);
}

int name_parse(const char *text, struct name *ret, struct error *err)
{
	struct name name = {0};
	const char *fault = parse(text, &name);

	if (fault)
		return refuse(err, text, fault);
	*ret = name;
	return 0;
}

int name_parse_volume(const char *text, struct name *ret, struct error *err)
{
	struct name name;
	int r = name_parse(text, &name, err);

	if (r < 0)
		return r;
	if (name.snapshot[0] || name.view != VIEW_NONE)
		return refuse(err, text, "not the name of a volume");
	*ret = name;
	return 0;
}

int name_parse_snapshot(const char *text, struct name *ret, struct error *err)
{
	struct name name;
	int r = name_parse(text, &name, err);

	if (r < 0)
		return r;
	if (!name.snapshot[0] || name.until[0] || name.view != VIEW_NONE)
		return refuse(err, text,
			      "not the name of a snapshot (volume@snapshot)");
	*ret = name;
	return 0;
}

int name_check_snapshot_word(const char *word, struct error *err)
{
	struct part part = {word, strlen(word)};
	const char *fault = snapshot_fault(part);

	if (!fault && part.length > NAME_MAX_BYTES)
		fault = "a name has at most 255 bytes";
	return fault ? refuse(err, word, fault) : 0;
}
