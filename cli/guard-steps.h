/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The steps of a guard, each of them for a new one and for one that goes on
 * after it was killed: all they need to know is in the journal.
 */
#ifndef CLI_GUARD_STEPS_H
#define CLI_GUARD_STEPS_H

#include <stdbool.h>
#include <stdint.h>

#include "guard-journal.h"
#include "run-command.h"

struct options;

/* 64 volumes; a word is a date and a number. */
#define GUARD_WORD_BYTES 64

struct guard {
	const struct options *options; /* its store is the journal's */
	struct guard_journal journal;
	/* what has come of it: members of "data" */
	struct json_object *outcome;
};

/* "guard-20261122T020000Z", which no volume has; "-2" and so on if need be. */
int guard_find_word(struct guard *g, struct json_object *volumes,
		    const char *prefix, char ret[GUARD_WORD_BYTES]);

/* What is written out by then is in the snapshot, or all of it (--freeze). */
int guard_snapshot(struct guard *g, bool dry_run);
/* Is vol@word there, of each volume? */
bool guard_has_snapshots(struct guard *g, const char *word);

/*
 * The command, and the check: what guard exits with, 0 when it went well.
 * Before, the journal says GUARD_RUN, or GUARD_CHECK.
 */
int guard_command(struct guard *g, char *const *args, bool *ret_started);
int guard_check(struct guard *g);

/* Roll back, from whatever state it is in.  0: nothing is left to be done. */
int guard_roll_back(struct guard *g);
/* Keep what is, and the snapshot too. */
int guard_keep(struct guard *g);

/* The journal; what fails is printed. */
int guard_set_state(struct guard *g, enum guard_state state);
int guard_finish(struct guard *g);

#endif
