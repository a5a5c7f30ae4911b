/* SPDX-License-Identifier: BSD-2-Clause */
/* What a guard says: a line for each step when it is over, or one object. */
#ifndef CLI_GUARD_PRINT_H
#define CLI_GUARD_PRINT_H

#include <stdbool.h>
#include <stdint.h>

#include "run-command.h"

struct guard;
struct json_object;

/* The words of a command, or of names, with a space between them. */
#define GUARD_TEXT_BYTES 400
void guard_text(struct json_object *words, char ret[GUARD_TEXT_BYTES]);

void guard_print_snapshot(struct guard *g, bool dry_run);
void guard_print_run(struct guard *g, const struct run_result *result,
		     int64_t ms, uint64_t changed_bytes);
void guard_print_check(struct guard *g, const struct run_result *result);
/* Of stop and start: only failures are told. */
void guard_print_command(struct guard *g, const char *which,
			 const struct run_result *result);
void guard_print_rollback(struct guard *g, int64_t ms);
void guard_print_kept(struct guard *g);
/* -n: @step would be done with what the journal has as @what. */
void guard_print_plan(struct guard *g, const char *step, const char *what);
/* All of that for --json; a new reference. */
struct json_object *guard_outcome(struct guard *g, int exit_code);

#endif
