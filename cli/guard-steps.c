/* SPDX-License-Identifier: BSD-2-Clause */
#include "guard-steps.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "attachment.h"
#include "clock.h"
#include "command.h"
#include "connect.h"
#include "duration.h"
#include "freeze.h"
#include "guard-print.h"
#include "hold.h"
#include "interrupt.h"
#include "mounts.h"
#include "options.h"
#include "output.h"

/* For a client that has just gone to be seen gone. */
#define WRITERS_WAIT_MS 5000

/* ---- names ---- */

static struct json_object *volumes_of(const struct guard *g)
{
	struct json_object *volumes = NULL;

	(void)json_object_object_get_ex(g->journal.what, "volumes", &volumes);
	return volumes;
}

/* "vol@word" of each. */
static struct json_object *snapshot_names(struct json_object *volumes,
					  const char *word)
{
	struct json_object *names = must(json_object_new_array());
	char name[2 * NAME_MAX_BYTES];
	size_t i;

	for (i = 0; i < json_object_array_length(volumes); i++) {
		snprintf(name, sizeof(name), "%s@%s",
			 json_object_get_string(
				 json_object_array_get_idx(volumes, i)),
			 word);
		json_object_array_add(names, json_object_new_string(name));
	}
	return names;
}

static bool has_name(struct json_object *infos, const char *name)
{
	size_t i;

	for (i = 0; i < json_object_array_length(infos); i++)
		if (strcmp(member_string(json_object_array_get_idx(infos, i),
					 "name"),
			   name) == 0)
			return true;
	return false;
}

/* How many of @names, of @volumes, exist; -1 when that cannot be told. */
static int count_existing(struct guard *g, struct json_object *volumes,
			  struct json_object *names)
{
	struct json_object *args, *infos;
	size_t i;
	int nr = 0;

	args = names_args_of(json_object_get(volumes));
	json_object_object_add(args, "members", array_of("name"));
	if (connect_run(g->options, "list", args, &infos))
		return -1;
	for (i = 0; i < json_object_array_length(names); i++)
		nr += has_name(infos,
			       json_object_get_string(
				       json_object_array_get_idx(names, i)));
	json_object_put(infos);
	return nr;
}

int guard_find_word(struct guard *g, struct json_object *volumes,
		    const char *prefix, char ret[GUARD_WORD_BYTES])
{
	time_t now = time(NULL);
	struct json_object *names;
	char stamp[32];
	struct tm tm;
	int i, nr;

	(void)gmtime_r(&now, &tm);
	(void)strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(ret, GUARD_WORD_BYTES, "%s-%s", prefix, stamp);
	for (i = 2;; i++) {
		names = snapshot_names(volumes, ret);
		nr = count_existing(g, volumes, names);
		json_object_put(names);
		if (nr <= 0)
			return nr;
		snprintf(ret, GUARD_WORD_BYTES, "%s-%s-%d", prefix, stamp, i);
	}
}

bool guard_has_snapshots(struct guard *g, const char *word)
{
	struct json_object *names = snapshot_names(volumes_of(g), word);
	int nr = count_existing(g, volumes_of(g), names);
	bool all = nr >= 0 && (size_t)nr == json_object_array_length(names);

	json_object_put(names);
	return all;
}

/* ---- the snapshot ---- */

static void write_out_device(const char *device)
{
	struct filesystems filesystems;
	size_t i;

	if (filesystems_open(device, &filesystems, NULL) < 0)
		return;
	for (i = 0; i < filesystems.nr; i++)
		(void)syncfs(filesystems.ptr[i].fd); /* as much as can be */
	filesystems_close(&filesystems);
}

/* What programs have written is to be in the snapshot. */
static void write_out(struct guard *g)
{
	struct attachments all;
	size_t i;

	attachments_load_of(g->options->store, &all);
	for (i = 0; i < all.nr; i++)
		if (all.ptr[i].device[0] &&
		    guard_journal_has_volume(g->journal.what, all.ptr[i].name))
			write_out_device(all.ptr[i].device);
	attachments_done(&all);
}

int guard_snapshot(struct guard *g, bool dry_run)
{
	const char *word = member_string(g->journal.what, "snapshot");
	struct json_object *args, *command, *data;
	char text[GUARD_TEXT_BYTES];
	int r;

	args = names_args_of(snapshot_names(volumes_of(g), word));
	if (json_object_object_get_ex(g->journal.what, "command", &command)) {
		guard_text(command, text);
		json_object_object_add(args, "message",
				       json_object_new_string(text));
	}
	if (dry_run)
		json_object_object_add(args, "dry_run",
				       json_object_new_boolean(true));
	if (freeze_is_wanted(g->options)) {
		r = freeze_and_snapshot(g->options, args, &data);
	} else {
		if (!dry_run)
			write_out(g);
		r = connect_run(g->options, "snapshot", args, &data);
	}
	json_object_put(data);
	if (r == 0)
		guard_print_snapshot(g, dry_run);
	return r;
}

/* ---- command and check ---- */

/* Bytes written to the volumes since the snapshot. */
static uint64_t changed_bytes(struct guard *g)
{
	struct json_object *volumes = volumes_of(g), *data;
	struct connection *c = NULL;
	uint64_t sum = 0;
	size_t i;
	int r;

	r = connection_open(g->options->store, CONNECT_READ | CONNECT_QUIET,
			    &c);
	for (i = 0; r == 0 && i < json_object_array_length(volumes); i++) {
		r = connection_call(
			c, "show",
			name_args(json_object_get_string(
				json_object_array_get_idx(volumes, i))),
			&data);
		sum += member_number(data, "written");
		json_object_put(data);
	}
	(void)connection_close(c, r); /* only said */
	return sum;
}

static int64_t deadline(struct guard *g)
{
	uint64_t ms = member_number(g->journal.what, "timeout_ms");

	return ms ? now_ms() + (int64_t)ms : 0;
}

int guard_command(struct guard *g, char *const *args, bool *ret_started)
{
	struct run_command c = {
		.args = args,
		.deadline_ms = deadline(g),
		.output_is_error = g->options->json,
		.terminal = isatty(STDIN_FILENO) &&
			    tcgetpgrp(STDIN_FILENO) == getpgrp(),
	};
	int64_t began_ms = now_ms();
	struct run_result result;

	run_command_minded(&c, &result);
	*ret_started = !result.not_started;
	guard_print_run(g, &result, now_ms() - began_ms,
			result.not_started ? 0 : changed_bytes(g));
	return result.cancelled ? 128 + interrupt_signal() : result.exit_code;
}

static void run_shell(struct guard *g, const char *which,
		      struct run_result *ret)
{
	struct run_command c = {
		.shell = member_string(g->journal.what, which),
		.deadline_ms = deadline(g),
		.output_is_error = g->options->json,
	};

	run_command_minded(&c, ret);
}

int guard_check(struct guard *g)
{
	struct run_result result;

	run_shell(g, "check", &result);
	guard_print_check(g, &result);
	if (result.cancelled)
		return 128 + interrupt_signal();
	return result.exit_code ? EXIT_FAILED : 0;
}

/* ---- the decision ---- */

static int journal_failed(const struct error *err)
{
	print_error("%s", err->message);
	return EXIT_FAILED;
}

int guard_set_state(struct guard *g, enum guard_state state)
{
	struct error err = ERROR_NONE;

	return guard_journal_set(&g->journal, state, &err) < 0
		       ? journal_failed(&err)
		       : 0;
}

int guard_finish(struct guard *g)
{
	struct error err = ERROR_NONE;

	return guard_journal_remove(&g->journal, &err) < 0
		       ? journal_failed(&err)
		       : 0;
}

int guard_keep(struct guard *g)
{
	int r = guard_finish(g);

	if (r == 0)
		guard_print_kept(g);
	return r;
}

/* One way or the other: a rollback that cannot be says why. */
static void run_if_given(struct guard *g, const char *which)
{
	struct run_result result;

	if (!member_is_known(g->journal.what, which))
		return;
	run_shell(g, which, &result);
	guard_print_command(g, which, &result);
}

/* Until nobody has a volume open for writing, or the time is over. */
static void wait_for_writers(struct guard *g, const struct options *options)
{
	int64_t end_ms = now_ms() + WRITERS_WAIT_MS;
	struct connection *c = NULL;
	int r;

	r = connection_open(g->options->store, CONNECT_READ | CONNECT_QUIET,
			    &c);
	while (r == 0 && now_ms() < end_ms) {
		struct json_object *args = names_args(options, 0);

		json_object_object_add(args, "dry_run",
				       json_object_new_boolean(true));
		if (connection_call(c, "rollback", args, NULL) != EXIT_BUSY)
			break;
		sleep_ms(50);
	}
	(void)connection_close(c, r); /* nothing was written */
}

/* The verb, as if it had been typed. */
static int run_rollback(struct guard *g, struct json_object *names)
{
	struct options options = *g->options;
	size_t nr = json_object_array_length(names), i;
	char **operands = must(calloc(nr + 1, sizeof(*operands)));
	struct json_object *args, *data;
	int r;

	for (i = 0; i < nr; i++)
		operands[i] = (char *)json_object_get_string(
			json_object_array_get_idx(names, i));
	options.operands = operands;
	options.nr_operands = (int)nr;
	wait_for_writers(g, &options);
	args = names_args(&options, 0);
	json_object_object_add(args, "keep",
			       json_object_new_string(member_string(
				       g->journal.what, "failed")));
	r = hold_and_run(&options, "rollback", args, &data);
	if (data) /* EXIT_PARTLY is about the size of a device */
		r = 0;
	json_object_put(data);
	free(operands);
	return r;
}

static int roll_back_volumes(struct guard *g)
{
	const char *word = member_string(g->journal.what, "snapshot");
	struct json_object *names = snapshot_names(volumes_of(g), word);
	int64_t began_ms = now_ms();
	int r = 0;

	/* it is one record: all of them have the name, or none */
	if (!guard_has_snapshots(g, member_string(g->journal.what, "failed")))
		r = run_rollback(g, names);
	json_object_put(names);
	if (r == 0)
		guard_print_rollback(g, now_ms() - began_ms);
	return r;
}

/* What the failed state is to be kept as; once chosen, it stays that. */
static int choose_failed_word(struct guard *g)
{
	char word[GUARD_WORD_BYTES];

	if (member_is_known(g->journal.what, "failed"))
		return 0;
	if (guard_find_word(g, volumes_of(g), "failed", word) < 0)
		return EXIT_FAILED;
	json_object_object_add(g->journal.what, "failed",
			       json_object_new_string(word));
	/* no room for it, say: what was written before stays, and is done */
	(void)guard_set_state(g, GUARD_ROLLBACK);
	return 0;
}

static void ignore_signals(void)
{
	/* what was decided is done to its end */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	interrupt_forget();
}

int guard_roll_back(struct guard *g)
{
	int r = 0;

	ignore_signals();
	/* decided, also when the store cannot be reached just now */
	if (g->journal.state < GUARD_ROLLBACK)
		(void)guard_set_state(g, GUARD_ROLLBACK); /* as below */
	if (g->journal.state == GUARD_ROLLBACK)
		r = choose_failed_word(g);
	if (r == 0 && g->journal.state == GUARD_ROLLBACK) {
		run_if_given(g, "stop");
		r = roll_back_volumes(g);
		if (r == 0)
			(void)guard_set_state(g, GUARD_START); /* as above */
	}
	if (r)
		return r;
	run_if_given(g, "start");
	return guard_finish(g);
}
