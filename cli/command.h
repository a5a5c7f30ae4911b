/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A command of `varve`: one per file, all of them in main.c's table.
 *
 * run() gets parsed options and prints its own failures; it returns an exit
 * code.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "verbs.h" /* enum exit_code */

struct options;

struct command {
	const char *name;
	const char *synopsis; /* operands, for the usage line */
	const char *summary;  /* one line */
	const char *details;  /* paragraphs for --help; NULL: none */
	unsigned int accepts; /* OPTION_* beyond the common ones */
	int min_operands;
	int max_operands; /* -1: no limit */
	int (*run)(const struct options *options);
};

/* NULL: no such command. */
const struct command *command_find(const char *name);
/* The i-th of the table, NULL after the last. */
const struct command *command_at(unsigned int i);

extern const struct command command_attach;
extern const struct command command_check;
extern const struct command command_clone;
extern const struct command command_create;
extern const struct command command_delete;
extern const struct command command_detach;
extern const struct command command_du;
extern const struct command command_dump;
extern const struct command command_events;
extern const struct command command_export;
extern const struct command command_guard;
extern const struct command command_help;
extern const struct command command_import;
extern const struct command command_init;
extern const struct command command_list;
extern const struct command command_metrics;
extern const struct command command_rename;
extern const struct command command_resize;
extern const struct command command_rollback;
extern const struct command command_scrub;
extern const struct command command_serve;
extern const struct command command_set;
extern const struct command command_show;
extern const struct command command_snapshot;
extern const struct command command_status;
extern const struct command command_top;
extern const struct command command_undo;
extern const struct command command_version;

#endif
