/* SPDX-License-Identifier: BSD-2-Clause */
/* varve: the command line.  Finds the verb and runs it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "options.h"
#include "output.h"

/* In the order of `varve help`. */
static const struct command *const commands[] = {
	&command_init,	   &command_status,   &command_check,  &command_scrub,
	&command_dump,	   &command_create,   &command_list,   &command_show,
	&command_du,	   &command_snapshot, &command_clone,  &command_delete,
	&command_rollback, &command_undo,     &command_guard,  &command_rename,
	&command_resize,   &command_import,   &command_export, &command_set,
	&command_serve,	   &command_events,   &command_top,    &command_metrics,
	&command_attach,   &command_detach,   &command_help,   &command_version,
};

#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

const struct command *command_at(unsigned int i)
{
	return i < NR_COMMANDS ? commands[i] : NULL;
}

const struct command *command_find(const char *name)
{
	size_t i;

	for (i = 0; i < NR_COMMANDS; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

/* Not by errno, which may be another's by now. */
static bool reader_has_gone(void)
{
	struct pollfd pollfd = {.fd = STDOUT_FILENO, .events = POLLOUT};

	return poll(&pollfd, 1, 0) == 1 && pollfd.revents & (POLLERR | POLLHUP);
}

/*
 * A full disk or a closed pipe must not look like success; but who has closed
 * the pipe, as head does, need not be told.
 */
static int flush_output(int exit_code)
{
	const char *text = fflush(stdout) == 0 ? "not all could be written"
					       : strerror(errno);

	if (!ferror(stdout))
		return exit_code;
	if (!reader_has_gone())
		print_error("standard output: %s", text);
	return exit_code ? exit_code : EXIT_FAILED;
}

/*
 * Descriptors 0 to 2 that are closed must not be given to what is opened next:
 * a complaint would be written into the store.
 */
static bool fill_standard_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDONLY); /* writing fails */
	} while (fd >= 0 && fd <= STDERR_FILENO);
	return fd > STDERR_FILENO && close(fd) == 0;
}

int main(int argc, char **argv)
{
	struct options options;
	int r;

	if (!fill_standard_descriptors())
		return EXIT_FAILED;
	/* the verb goes on to its end; what it writes fails instead */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	r = options_parse(argc, argv, &options);
	if (r)
		return r;
	if (options.version)
		r = command_version.run(&options);
	else if (options.help && options.command)
		options_help(options.command, stdout);
	else if (options.help)
		r = command_help.run(&options);
	else
		r = options.command->run(&options);
	return flush_output(r);
}
