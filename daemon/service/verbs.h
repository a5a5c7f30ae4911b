/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verbs of the control protocol (PROTOCOL.md), run on an open store.
 *
 * The control socket of a served store and the command line on an unserved
 * one call the same function, so that both give the same answer.
 */
#ifndef SERVICE_VERBS_H
#define SERVICE_VERBS_H

#include <stdbool.h>

#include "error.h"

struct json_object;
struct store;

/* Exit codes of the command line; an unknown one means failure. */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_PARTLY = 3,
	EXIT_FULL = 4,
	EXIT_BUSY = 5,
	EXIT_NOT_FOUND = 6,
	EXIT_EXISTS = 7,
	EXIT_CORRUPT = 8,
	EXIT_NO_STORE = 10,
	EXIT_LOCKED = 11,
	EXIT_PERMISSION = 12,
};

/*
 * True when the verb changes nothing: a read-only store will do.  False for
 * a verb that does not exist.
 */
bool verb_is_read_only(const char *verb);

/*
 * Run @verb.  @args (an object, or NULL for none) stays the caller's.
 * *ret_data is a new reference, set only on success.  May block for long
 * (check).
 *
 * Returns 0, or as the engine's function of that name; -EINVAL: no such verb
 * or a bad argument.
 */
int verb_run(struct store *store, const char *verb, struct json_object *args,
	     struct json_object **ret_data, struct error *err);

/* What a verb exits with that verb_run() gave @r (0 or a negative errno). */
enum exit_code verb_exit_code(int r);

/*
 * The same for the opening of a store (backend_file_open(), store_open()):
 * there "not found" and "no store" are EXIT_NO_STORE, "would block" is
 * EXIT_LOCKED.
 */
enum exit_code open_exit_code(int r);

struct backend;
struct repair_options;

/*
 * Check and repair a store that nobody has open; @be stays the caller's.
 * Damage is an answer, no failure: `errors` is above 0, and of a repair that
 * was not possible `failure` says why.  Errors as store_check_backend().
 */
int verb_check_closed(struct backend *be, const char *const *tail_dirs,
		      struct json_object **ret, struct error *err);
int verb_repair_closed(struct backend *be, const struct repair_options *options,
		       struct json_object **ret, struct error *err);

#endif
