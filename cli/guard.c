/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * varve guard: a snapshot, a command, a check, and back if one of them fails.
 *
 * Without the snapshot the command is not run.  What is decided is written
 * down before it is done (guard-journal.h), so that --resume can do it when
 * this program was killed, or the power cut.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "command.h"
#include "connect.h"
#include "duration.h"
#include "guard-print.h"
#include "guard-steps.h"
#include "interrupt.h"
#include "names.h"
#include "options.h"
#include "output.h"

/* ---- what is asked for ---- */

static int check_volumes(const struct options *o, int nr)
{
	struct error err = ERROR_NONE;
	struct name name;
	int i, j;

	for (i = 0; i < nr; i++) {
		if (name_parse_volume(o->operands[i], &name, &err) < 0) {
			print_error("%s", err.message);
			return EXIT_USAGE;
		}
		for (j = 0; j < i; j++)
			if (strcmp(o->operands[i], o->operands[j]) == 0) {
				print_error("%s: named twice", o->operands[i]);
				return EXIT_USAGE;
			}
	}
	return 0;
}

static int check_usage(const struct options *o, int64_t *ret_timeout_ms)
{
	int nr_volumes = o->nr_operands - o->nr_after_dashes;
	struct error err = ERROR_NONE;

	if (o->resume && (o->nr_after_dashes || o->check || o->stop ||
			  o->start || o->timeout))
		return usage_error(o->command,
				   "--resume takes volumes only: the rest was "
				   "said before");
	if (!o->resume && nr_volumes == 0)
		return usage_error(o->command, "VOLUME is missing");
	if (!o->resume && o->nr_after_dashes == 0)
		return usage_error(o->command,
				   "-- COMMAND is missing behind the volumes");
	*ret_timeout_ms = 0;
	if (o->timeout && duration_parse(o->timeout, ret_timeout_ms, &err) < 0)
		return usage_error(o->command, "--timeout: %s", err.message);
	return check_volumes(o, nr_volumes);
}

static void add_text(struct json_object *what, const char *key,
		     const char *text)
{
	if (text)
		json_object_object_add(what, key, json_object_new_string(text));
}

/* What the journal is to hold; NULL after it has said why. */
static struct json_object *describe(const struct options *o, const char *uuid,
				    int64_t timeout_ms)
{
	struct json_object *what = must(json_object_new_object());
	int nr_volumes = o->nr_operands - o->nr_after_dashes;

	add_text(what, "store", o->store);
	add_text(what, "uuid", uuid);
	json_object_object_add(what, "volumes",
			       string_array(o->operands, nr_volumes));
	json_object_object_add(what, "command", operand_array(o, nr_volumes));
	add_text(what, "check", o->check);
	add_text(what, "stop", o->stop);
	add_text(what, "start", o->start);
	json_object_object_add(what, "timeout_ms",
			       json_object_new_int64(timeout_ms));
	return what;
}

/* ---- a new one ---- */

/* The store's uuid, which also says that it can be reached. */
static int ask_uuid(const struct options *options, char *ret, size_t size)
{
	struct json_object *data;
	int r = connect_run(options, "status", NULL, &data);

	if (r)
		return r;
	snprintf(ret, size, "%s", member_string(data, "uuid"));
	json_object_put(data);
	return 0;
}

static int not_finished(const struct guard *g)
{
	print_error("@%s: this guard is not finished: varve guard --resume "
		    "(or remove %s)",
		    member_string(g->journal.what, "snapshot"),
		    g->journal.path);
	return EXIT_FAILED;
}

/* What there is was not changed by us. */
static int nothing_was_run(struct guard *g, int exit_code)
{
	(void)guard_finish(
		g); /* it says so itself; and nothing is to be done */
	return exit_code;
}

static int decide(struct guard *g, int exit_code)
{
	if (exit_code == 0)
		return guard_keep(g) ? not_finished(g) : 0;
	if (guard_roll_back(g))
		(void)not_finished(g);
	return exit_code;
}

static int run_and_check(struct guard *g)
{
	const struct options *o = g->options;
	bool started;
	int code;

	code = guard_command(
		g, o->operands + (o->nr_operands - o->nr_after_dashes),
		&started);
	if (!started)
		return nothing_was_run(g, code);
	if (code == 0 && o->check) {
		/* not written, a guard that is killed now is rolled back */
		(void)guard_set_state(g, GUARD_CHECK);
		code = guard_check(g);
	}
	return decide(g, code);
}

static int begin(struct guard *g)
{
	if (guard_snapshot(g, false))
		return nothing_was_run(g, EXIT_CANNOT_RUN);
	if (interrupt_signal())
		return nothing_was_run(g, 128 + interrupt_signal());
	if (guard_set_state(g, GUARD_RUN))
		return nothing_was_run(g, EXIT_CANNOT_RUN);
	return run_and_check(g);
}

static int plan(struct guard *g)
{
	int r = guard_snapshot(g, true);

	if (r)
		return EXIT_CANNOT_RUN;
	guard_print_plan(g, "run", "command");
	if (g->options->check)
		guard_print_plan(g, "check", "check");
	return 0;
}

static int run_new(struct guard *g, struct json_object *what)
{
	struct json_object *volumes = NULL;
	struct error err = ERROR_NONE;
	char word[GUARD_WORD_BYTES];

	(void)json_object_object_get_ex(what, "volumes", &volumes);
	g->journal = (struct guard_journal){.lock = -1, .what = what};
	if (guard_find_word(g, volumes, "guard", word) < 0)
		return EXIT_CANNOT_RUN;
	add_text(what, "snapshot", word);
	if (g->options->dry_run)
		return plan(g);
	if (guard_journal_create(what, &g->journal, &err) < 0) {
		print_error("%s", err.message);
		return EXIT_CANNOT_RUN;
	}
	return begin(g);
}

static int guard_new(const struct options *options, int64_t timeout_ms)
{
	struct guard g = {.options = options,
			  .outcome = must(json_object_new_object())};
	char uuid[64];
	int r;

	if (ask_uuid(options, uuid, sizeof(uuid)))
		r = EXIT_CANNOT_RUN;
	else
		r = run_new(&g, describe(options, uuid, timeout_ms));
	if (options->json && g.journal.what && r != EXIT_CANNOT_RUN)
		print_json(guard_outcome(&g, r));
	guard_journal_close(&g.journal);
	json_object_put(g.outcome);
	return r;
}

/* ---- one that was cut short ---- */

static bool is_meant(const struct options *o, struct json_object *what)
{
	char store[PATH_MAX];
	int i;

	if (o->store && (!realpath(o->store, store) ||
			 strcmp(store, member_string(what, "store")) != 0))
		return false;
	for (i = 0; i < o->nr_operands; i++)
		if (guard_journal_has_volume(what, o->operands[i]))
			return true;
	return o->nr_operands == 0;
}

/* Another store may be where it was. */
static int check_store(struct guard *g)
{
	char uuid[64];
	int r = ask_uuid(g->options, uuid, sizeof(uuid));

	if (r == 0 &&
	    strcmp(uuid, member_string(g->journal.what, "uuid")) != 0) {
		print_error("%s: not the store that was guarded",
			    g->options->store);
		r = EXIT_NO_STORE;
	}
	return r;
}

static int go_on(struct guard *g)
{
	int r = check_store(g);

	if (r)
		return r;
	switch (g->journal.state) {
	case GUARD_BEGIN: /* nothing was run */
		return guard_has_snapshots(
			       g, member_string(g->journal.what, "snapshot"))
			       ? guard_keep(g)
			       : guard_finish(g);
	case GUARD_CHECK:
		r = guard_check(g);
		/* interrupted: nothing is decided */
		if (r > 128)
			return r;
		return r ? guard_roll_back(g) : guard_keep(g);
	case GUARD_RUN: /* cut short: it counts as failed */
	case GUARD_ROLLBACK:
	case GUARD_START:
		break;
	}
	return guard_roll_back(g);
}

static void plan_resume(struct guard *g)
{
	static const char *const steps[] = {
		[GUARD_BEGIN] = "keep",	 [GUARD_RUN] = "rollback",
		[GUARD_CHECK] = "check", [GUARD_ROLLBACK] = "rollback",
		[GUARD_START] = "start",
	};
	const char *step = steps[g->journal.state];
	bool is_command = g->journal.state == GUARD_CHECK ||
			  g->journal.state == GUARD_START;

	guard_print_plan(g, step, is_command ? step : "volumes");
}

static int resume_one(const struct options *options,
		      struct guard_journal *journal,
		      struct json_object *outcomes)
{
	struct guard g = {.journal = *journal,
			  .outcome = must(json_object_new_object())};
	struct options of_store = *options;
	struct error err = ERROR_NONE;
	int r = 0;

	g.options = &of_store;
	if (!options->dry_run)
		r = guard_journal_take(&g.journal, &err);
	of_store.store = member_string(g.journal.what, "store");
	add_text(g.outcome, "snapshot",
		 member_string(g.journal.what, "snapshot"));
	if (r == -ENOENT) { /* by itself, just now */
		r = 0;
	} else if (r < 0) {
		print_error("%s", err.message);
		r = r == -EBUSY ? EXIT_BUSY : EXIT_FAILED;
	} else if (options->dry_run) {
		plan_resume(&g);
	} else {
		r = go_on(&g);
		if (r)
			(void)not_finished(&g);
	}
	json_object_array_add(outcomes, guard_outcome(&g, r));
	*journal = g.journal;
	json_object_put(g.outcome);
	return r;
}

static int guard_resume(const struct options *options)
{
	struct json_object *outcomes = must(json_object_new_array());
	struct error err = ERROR_NONE;
	struct guard_journal *all;
	size_t nr, i;
	int r = 0, one;

	if (guard_journals_load(&all, &nr, &err) < 0) {
		json_object_put(outcomes);
		print_error("%s", err.message);
		return EXIT_FAILED;
	}
	for (i = 0; i < nr; i++) {
		if (is_meant(options, all[i].what)) {
			one = resume_one(options, &all[i], outcomes);
			r = r ? r : one;
		}
		guard_journal_close(&all[i]);
	}
	free(all);
	if (options->json)
		print_json(json_object_get(outcomes));
	else if (!options->quiet && json_object_array_length(outcomes) == 0)
		puts("no guard is unfinished");
	json_object_put(outcomes);
	return r;
}

static int guard_run(const struct options *options)
{
	struct options absolute = *options;
	char store[PATH_MAX];
	int64_t timeout_ms;
	int r;

	r = check_usage(options, &timeout_ms);
	if (r)
		return r;
	interrupt_catch();
	if (options->resume)
		return guard_resume(options);
	absolute.store = options_store(options);
	if (!absolute.store)
		return EXIT_USAGE;
	/* from wherever it is resumed; a missing one is told by its open */
	if (realpath(absolute.store, store))
		absolute.store = store;
	return guard_new(&absolute, timeout_ms);
}

const struct command command_guard = {
	.name = "guard",
	.synopsis = "[-n] [--check CMD] [--stop CMD] [--start CMD] VOLUME... "
		    "-- COMMAND...",
	.summary = "run a command, and roll volumes back when it fails",
	.details =
		"The volumes are snapshotted in one instant; without the "
		"snapshot the command is not\nrun.  When it fails, or the "
		"check after it, or when it is interrupted, the volumes\nare "
		"rolled back, and what they had become is kept as "
		"@failed-TIME.  CMD is run by\n/bin/sh.\n\n"
		"A volume in use cannot be rolled back: --stop has to end its "
		"use, as in\n  varve guard web --check 'curl -fsS "
		"localhost/health' --stop 'umount /srv' \\\n"
		"    --start 'mount /srv' -- apt-get -y dist-upgrade\n\n"
		"A guard that was killed, or whose rollback was refused, is "
		"finished by\n  varve guard --resume [VOLUME...]\n"
		"which rolls back what was cut short, and runs a check "
		"again.\n\n"
		"Exits with what the command exits with; 1 when the check "
		"failed, 124 when the time\nwas over, 125 when there was no "
		"snapshot, 126 and 127 when there is no such\ncommand, 128 "
		"and the number of the signal that ended it.  With --resume: "
		"0 when\nnothing is left unfinished.",
	.accepts = OPTION_DRY_RUN | OPTION_GUARD | OPTION_FREEZE,
	.max_operands = -1,
	.run = guard_run,
};
