/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options of all commands: one table, one parser, one help text.
 *
 * A command names those it takes with the OPTION_* bits; the common ones
 * (store, --json, -q, -v, --help) are taken by all, before or after the verb.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

struct command;

#define OPTION_COMMON 0u
#define OPTION_DRY_RUN (1u << 0)
#define OPTION_NO_HEADER (1u << 1)
#define OPTION_EXACT (1u << 2)
#define OPTION_COLUMNS (1u << 3)
#define OPTION_TYPES (1u << 4)
#define OPTION_RECURSIVE (1u << 5)
#define OPTION_YES (1u << 6)
#define OPTION_TEXT (1u << 7)
#define OPTION_SIZE (1u << 8)
#define OPTION_READ_ONLY (1u << 9)
#define OPTION_SERVE (1u << 10)
#define OPTION_FOLLOW (1u << 11)
#define OPTION_REPAIR (1u << 12)
#define OPTION_SCRUB (1u << 13)
#define OPTION_PROGRESS (1u << 14)
#define OPTION_WAIT (1u << 15)
#define OPTION_SHRINK (1u << 16)
#define OPTION_FREEZE (1u << 17)
#define OPTION_FORMAT (1u << 18)
#define OPTION_FORCE (1u << 19)
#define OPTION_TOP (1u << 20)
#define OPTION_GUARD (1u << 21)
#define OPTION_ATTACH (1u << 22)
#define OPTION_DISABLE (1u << 23)
#define OPTION_TABLE (OPTION_NO_HEADER | OPTION_EXACT | OPTION_COLUMNS)

struct options {
	const struct command *command;
	const char *store; /* -s; NULL: none, see options_store() */
	bool json;
	bool quiet;
	bool verbose;
	bool help;
	bool version;
	bool dry_run;
	bool no_header;
	bool exact;
	bool recursive;
	bool yes;
	bool read_only;
	bool daemon;
	bool repair;
	bool cut_log;
	bool follow;
	bool enable;
	bool foreground;
	bool disable;
	const char *columns;
	const char *types;
	const char *text;
	const char *size;
	const char *socket;
	const char *mode;
	const char *group;
	const char *port;
	const char *address;
	const char *threads;
	const char *connections;
	const char *memory;
	const char *memory_tables;
	const char *metrics;
	const char *tls_certificates;
	const char *tls_psk;
	bool tls_verify_peer;
	const char *after;
	const char *rate;
	const char *progress;
	bool restart;
	bool freeze;
	const char *freeze_cmd;
	const char *thaw_cmd;
	const char *freeze_timeout;
	const char *check;
	const char *stop;
	const char *start;
	const char *timeout;
	bool resume;
	bool wait;
	bool shrink;
	bool force;
	const char *count;
	const char *interval;
	const char *format;
	char **operands; /* NULL-terminated; into argv */
	int nr_operands;
	int nr_after_dashes; /* of them, behind "--" */
};

/*
 * Parse @argv (argv[0] is the program) into @ret; ret->command is NULL when
 * no verb was given.  @argv is permuted: operands come to lie together.
 * Returns 0, or EXIT_USAGE after it has said why.
 */
int options_parse(int argc, char **argv, struct options *ret);

/* One line on standard error and the usage of @command (may be NULL). */
int usage_error(const struct command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Usage line, text and options of one command. */
void options_help(const struct command *command, FILE *out);

/*
 * The store's path: -s, else $VARVE_STORE, else what varve.conf(5) names.
 * NULL after it has said that there is none, or what is wrong with the
 * configuration.  The text lives as long as the process.
 */
const char *options_store(const struct options *options);

/* Is it the configuration that names it? */
bool options_store_is_configured(const struct options *options);

#endif
