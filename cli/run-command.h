/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Run a command that somebody waits for: it gets a process group of its own,
 * and that is ended when the time is over, when whoever wanted it has gone, or
 * when the caller dies.
 */
#ifndef CLI_RUN_COMMAND_H
#define CLI_RUN_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

/* What a shell exits with; and we, when nothing could be run at all. */
#define EXIT_CANNOT_RUN 125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NO_COMMAND 127
/* as timeout(1) */
#define EXIT_TIMED_OUT 124

struct run_command {
	const char *shell;    /* by /bin/sh; NULL: @args */
	char *const *args;    /* NULL-terminated */
	int64_t deadline_ms;  /* now_ms(); 0: none */
	int watched;	      /* its other end closed: end it; -1: none */
	int told;	      /* the group's number is sent there; 0: none */
	bool output_is_error; /* standard output goes to standard error */
	bool terminal;	      /* it may read from the terminal */
};

struct run_result {
	int exit_code;	  /* as a shell: 128 + signal; 124: timed out */
	bool not_started; /* there is no such command, or the like */
	bool timed_out;	  /* and was ended */
	bool cancelled;	  /* the watched descriptor was closed */
};

void run_command(const struct run_command *command, struct run_result *ret);

/*
 * The same, in a process in between, which ends the command when we die, and
 * holds our descriptors until it has; and a signal (interrupt.h) cancels it.
 * When that process dies, we end the command.
 */
void run_command_minded(const struct run_command *command,
			struct run_result *ret);

#endif
