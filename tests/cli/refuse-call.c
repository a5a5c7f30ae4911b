/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A library to be preloaded into the command line: a file system that lacks
 * what $REFUSE names.
 *
 *   REFUSE=link        hard links
 *   REFUSE=renameat2   renaming with flags
 *   REFUSE=rename      renaming to a name that is there
 *   REFUSE=ours        the same, and it is the name of another file by then
 *
 * Several are separated by commas.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_refused(const char *call)
{
	const char *at = getenv("REFUSE");
	size_t length = strlen(call);

	for (; at && *at; at += strspn(at, ",")) {
		if (strcspn(at, ",") == length && !strncmp(at, call, length))
			return true;
		at += strcspn(at, ",");
	}
	return false;
}

int link(const char *from, const char *to)
{
	if (!is_refused("link"))
		return (int)syscall(SYS_link, from, to);
	errno = EPERM;
	return -1;
}

int rename(const char *from, const char *to)
{
	bool swaps = is_refused("ours");

	if (!swaps && !is_refused("rename"))
		return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to,
				    0);
	if (swaps && (unlink(to) < 0 || symlink("theirs", to) < 0))
		return -1;
	errno = EEXIST;
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
