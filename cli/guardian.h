/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process that keeps one thing frozen for us, a file system or what a
 * command freezes, and thaws it whatever becomes of us.
 *
 * Typical use: guardian_start(), guardian_freeze() for each of several, then
 * guardian_wait_frozen() for each; guardian_thaw(); guardian_end().  A
 * guardian that was told nothing yet has done nothing when it ends.
 */
#ifndef CLI_GUARDIAN_H
#define CLI_GUARDIAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

/* What is to be frozen: a file system, or else the commands. */
struct frozen {
	int fd; /* of the file system; -1: the commands */
	const char *freeze_command, *thaw_command;
	int64_t limit_ms; /* frozen for no longer than that */
};

struct guardian {
	struct frozen what;
	pid_t pid; /* 0: none */
	int socket;
	int64_t deadline_ms;
	bool may_be_frozen; /* by it: to be thawed, should it be killed */
};

/* It holds no descriptors of ours but that of the file system. */
int guardian_start(const struct frozen *what, struct guardian *ret,
		   struct error *err);
/* The limit begins now.  Does not wait. */
void guardian_freeze(struct guardian *guardian);
/* -ETIMEDOUT: it is thawed as soon as it is frozen.  -EBUSY: it was frozen. */
int guardian_wait_frozen(struct guardian *guardian, struct error *err);
/*
 * *ret_ms: how long it was frozen.  -ETIMEDOUT: it had to be thawed before;
 * other failures: somebody else did it, or it could not be thawed.
 */
int guardian_thaw(struct guardian *guardian, int64_t *ret_ms,
		  struct error *err);
/*
 * Thawed, or never frozen.  Accepts one that was not started.  -ECHILD: it was
 * killed, and we have thawed; other failures: it could not be thawed.
 */
int guardian_end(struct guardian *guardian, struct error *err);

#endif
