/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A library to be preloaded into the command line: a file system that lacks
 * what $REFUSE names.
 *
 *   REFUSE=link        hard links
 *   REFUSE=renameat2   renaming with flags
 *
 * Several are separated by commas.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_refused(const char *call)
{
	const char *refused = getenv("REFUSE");

	return refused && strstr(refused, call);
}

int link(const char *from, const char *to)
{
	if (!is_refused("link"))
		return (int)syscall(SYS_link, from, to);
	errno = EPERM;
	return -1;
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to,
	      unsigned int flags)
{
	if (!is_refused("renameat2"))
		return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to,
				    flags);
	errno = EINVAL;
	return -1;
}
