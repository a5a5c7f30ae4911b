/* SPDX-License-Identifier: BSD-2-Clause */
#include "helper-process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "oom.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

#define CANNOT_BEGIN 126

static void redirect(int fd, const char *path, int flags)
{
	int from = open(path, flags, 0600);

	if (from < 0 || dup2(from, fd) < 0)
		_exit(CANNOT_BEGIN);
	(void)close(from); /* the copy stays */
}

void helper_process_begin(const char *log)
{
	sigset_t none;

	redirect(STDIN_FILENO, "/dev/null", O_RDONLY);
	redirect(STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND);
	redirect(STDERR_FILENO, log, O_WRONLY | O_CREAT | O_APPEND);
	(void)setsid(); /* fails only for who has one */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL); /* whoever forked it */
	if (chdir("/") < 0)
		_exit(CANNOT_BEGIN);
	/* memory it needs while the kernel writes pages out must not wait for
	 * pages to be written out; if that is allowed */
	(void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	oom_protect(OOM_LATE);
}
