/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guard has decided and not yet done: one file for each guard under
 * way, outside of the store, so that a store of somebody else brings no
 * commands along.
 *
 *   STATE/guard/<snapshot>.<pid>.json   what is below
 *   STATE/guard/<snapshot>.<pid>.lock   held while the guard, or a command
 *                                       that it runs, is alive
 *   STATE/guard/lock                    held while guards are begun
 *
 * STATE is $STATE_DIRECTORY, else /var/lib/varve for root, else
 * $XDG_STATE_HOME/varve or ~/.local/state/varve.
 */
#ifndef CLI_GUARD_JOURNAL_H
#define CLI_GUARD_JOURNAL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "error.h"

struct json_object;

/*
 * Each is written, durably, before what it names is begun.
 *
 *   begin ---> run ----> (check) ---> gone: kept
 *     |         |           |
 *     |         +-----------+-------> rollback ---> start ---> gone
 *     +--> gone: there is no snapshot, or nothing was run
 */
enum guard_state {
	GUARD_BEGIN,	/* take the snapshots */
	GUARD_RUN,	/* run the command; cut short it counts as failed */
	GUARD_CHECK,	/* the command went well; run the check */
	GUARD_ROLLBACK, /* stop, roll back */
	GUARD_START,	/* start */
};

struct guard_journal {
	char path[PATH_MAX]; /* of the .json */
	int lock;
	enum guard_state state;
	/* "store", "uuid", "volumes", "snapshot", "failed", "check", "stop",
	 * "start", "timeout_ms", "command" */
	struct json_object *what;
};

/* Is @volume one of those that a guard is of? */
bool guard_journal_has_volume(struct json_object *what, const char *volume);

/*
 * Begin one; @what is taken over.  -EBUSY: a guard of one of these volumes is
 * not finished.
 */
int guard_journal_create(struct json_object *what, struct guard_journal *ret,
			 struct error *err);
/* It is durable when it returns 0; else the file has the state before. */
int guard_journal_set(struct guard_journal *journal, enum guard_state state,
		      struct error *err);
/* The decision is done.  Durable too. */
int guard_journal_remove(struct guard_journal *journal, struct error *err);
/* What is not finished stays. */
void guard_journal_close(struct guard_journal *journal);

/*
 * Those of guards that are not finished, in order of their names;
 * *ret is malloc'ed.  They are not locked.
 */
int guard_journals_load(struct guard_journal **ret, size_t *ret_nr,
			struct error *err);
/*
 * To go on with one that was loaded.  -EBUSY: it is still running; -ENOENT:
 * it has finished.
 */
int guard_journal_take(struct guard_journal *journal, struct error *err);

#endif
