/* SPDX-License-Identifier: BSD-2-Clause */
#include "varved-exit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime.h"
#include "starter.h"
#include "verbs.h"

const char varved_usage[] =
	"usage: varved [OPTION...] [STORE] [-- NBDKIT-OPTION...]\n";

/* Sockets this process has bound, to remove when the start fails. */
static struct runtime_path made[2];
static int nr_made;

void varved_made(const char *path)
{
	(void)snprintf(made[nr_made++].path, RUNTIME_PATH_MAX, "%s", path);
}

_Noreturn void varved_quit(int exit_code)
{
	for (int i = 0; i < nr_made; i++)
		(void)unlink(made[i].path);
	starter_failed(exit_code);
	exit(exit_code);
}

_Noreturn void varved_fail(int exit_code, const char *text)
{
	fprintf(stderr, "%s%s\n",
		starter_is_journal() ? "<3>" : "varved: ", text);
	varved_quit(exit_code);
}
