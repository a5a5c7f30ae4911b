/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How far a long job is, on standard error: a bar on a terminal, once the job
 * has taken a second; or lines of JSON.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct options;

enum progress_how {
	PROGRESS_NONE,
	PROGRESS_BAR,
	PROGRESS_JSON,
};

struct progress {
	enum progress_how how;
	int64_t began_ms, shown_ms;
	bool shown; /* a bar is on the terminal */
};

/* 0, or EXIT_USAGE after it has said why: --progress is another word. */
int progress_init(struct progress *progress, const struct options *options);
/* @bytes: done so far, by this run of the program. */
void progress_show(struct progress *progress, unsigned int percent,
		   uint64_t bytes);
/* The same where nobody knows the end: @nr @things are still to be done. */
void progress_count(struct progress *progress, uint64_t nr, const char *things);
/* Take the bar away. */
void progress_done(struct progress *progress);

#endif
