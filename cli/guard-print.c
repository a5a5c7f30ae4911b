/* SPDX-License-Identifier: BSD-2-Clause */
#include "guard-print.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "duration.h"
#include "guard-steps.h"
#include "options.h"
#include "output.h"
#include "size.h"
#include "text.h"

void guard_text(struct json_object *words, char ret[GUARD_TEXT_BYTES])
{
	char text[4 * GUARD_TEXT_BYTES];
	size_t i, at = 0;
	int n;

	text[0] = '\0';
	for (i = 0; i < json_object_array_length(words); i++) {
		n = snprintf(text + at, sizeof(text) - at, "%s%s", i ? " " : "",
			     json_object_get_string(
				     json_object_array_get_idx(words, i)));
		if (n < 0 || (size_t)n >= sizeof(text) - at)
			break;
		at += (size_t)n;
	}
	text_make_plain(text, strlen(text), ret, GUARD_TEXT_BYTES);
}

static void text_of(struct guard *g, const char *key,
		    char ret[GUARD_TEXT_BYTES])
{
	struct json_object *value;
	const char *text;

	*ret = '\0';
	if (!json_object_object_get_ex(g->journal.what, key, &value))
		return;
	if (json_object_is_type(value, json_type_array)) {
		guard_text(value, ret);
		return;
	}
	text = json_object_get_string(value);
	text_make_plain(text, strlen(text), ret, GUARD_TEXT_BYTES);
}

/* "snapshot  web/root ...": what is done, to what, and how it went. */
static void print_step(struct guard *g, const char *step, const char *what,
		       int width, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

static void print_step(struct guard *g, const char *step, const char *what,
		       int width, const char *format, ...)
{
	va_list args;

	if (g->options->json || g->options->quiet)
		return;
	printf("%-8s  %-*s%s", step, width, what,
	       width && strlen(what) >= (size_t)width ? " " : "");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	(void)fflush(stdout); /* checked at the end, as all output */
}

static void add_text(struct guard *g, const char *key, const char *value)
{
	json_object_object_add(g->outcome, key, json_object_new_string(value));
}

static void result_text(const struct run_result *r, char *ret, size_t size)
{
	if (r->not_started)
		snprintf(ret, size, "cannot be run");
	else if (r->timed_out)
		snprintf(ret, size, "timed out");
	else if (r->cancelled)
		snprintf(ret, size, "interrupted");
	else if (r->exit_code > 128)
		snprintf(ret, size, "signal %d", r->exit_code - 128);
	else
		snprintf(ret, size, "exit %d", r->exit_code);
}

void guard_print_snapshot(struct guard *g, bool dry_run)
{
	const char *word = member_string(g->journal.what, "snapshot");
	char volumes[GUARD_TEXT_BYTES];

	text_of(g, "volumes", volumes);
	add_text(g, "snapshot", word);
	print_step(g, "snapshot", volumes, 0, " @%s%s", word,
		   dry_run ? "  would be taken" : "");
}

void guard_print_run(struct guard *g, const struct run_result *result,
		     int64_t ms, uint64_t changed_bytes)
{
	char command[GUARD_TEXT_BYTES], text[64], span[DURATION_TEXT_BYTES];
	char changed[SIZE_TEXT_BYTES];

	text_of(g, "command", command);
	result_text(result, text, sizeof(text));
	duration_format(ms, span);
	size_format_long(changed_bytes, changed);
	add_text(g, "run", text);
	json_object_object_add(g->outcome, "ms", json_object_new_int64(ms));
	json_object_object_add(g->outcome, "changed",
			       json_object_new_uint64(changed_bytes));
	if (result->not_started)
		print_step(g, "run", command, 40, "%s", text);
	else
		print_step(g, "run", command, 40, "%s (%s, %s changed)", text,
			   span, changed);
}

void guard_print_check(struct guard *g, const struct run_result *result)
{
	char command[GUARD_TEXT_BYTES];
	const char *text = result->timed_out	    ? "timed out"
			   : result->cancelled	    ? "interrupted"
			   : result->exit_code != 0 ? "failed"
						    : "ok";

	text_of(g, "check", command);
	add_text(g, "check", text);
	print_step(g, "check", command, 40, "%s", text);
}

void guard_print_command(struct guard *g, const char *which,
			 const struct run_result *result)
{
	char command[GUARD_TEXT_BYTES], text[64];

	result_text(result, text, sizeof(text));
	text_of(g, which, command);
	add_text(g, which, text);
	if (result->exit_code)
		print_step(g, which, command, 40, "%s", text);
}

void guard_print_rollback(struct guard *g, int64_t ms)
{
	const char *failed = member_string(g->journal.what, "failed");
	char volumes[GUARD_TEXT_BYTES];

	text_of(g, "volumes", volumes);
	add_text(g, "outcome", "rolled back");
	add_text(g, "failed", failed);
	print_step(g, "rollback", volumes, 0,
		   "   %lld.%02lld s   failed state kept as @%s",
		   (long long)ms / 1000, (long long)ms % 1000 / 10, failed);
}

void guard_print_kept(struct guard *g)
{
	char volumes[GUARD_TEXT_BYTES];

	text_of(g, "volumes", volumes);
	add_text(g, "outcome", "kept");
	print_step(g, "keep", volumes, 0, "   the state before stays as @%s",
		   member_string(g->journal.what, "snapshot"));
}

void guard_print_plan(struct guard *g, const char *step, const char *what)
{
	char text[GUARD_TEXT_BYTES];

	text_of(g, what, text);
	add_text(g, step, "would be done");
	print_step(g, step, text, 40, "would be done");
}

struct json_object *guard_outcome(struct guard *g, int exit_code)
{
	struct json_object *volumes;

	if (json_object_object_get_ex(g->journal.what, "volumes", &volumes))
		json_object_object_add(g->outcome, "volumes",
				       json_object_get(volumes));
	json_object_object_add(g->outcome, "exit",
			       json_object_new_int(exit_code));
	return json_object_get(g->outcome);
}
