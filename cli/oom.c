/* SPDX-License-Identifier: BSD-2-Clause */
#include "oom.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

static char score_before[16]; /* "": it is as it was */

void oom_protect(const char *score)
{
	CLEANUP_CLOSE int fd =
		open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	if (read(fd, score_before, sizeof(score_before) - 1) < 0 ||
	    pwrite(fd, score, strlen(score), 0) < 0)
		score_before[0] = '\0';
}

void oom_expose(void)
{
	CLEANUP_CLOSE int fd = -1;

	if (!score_before[0])
		return;
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) /* the way back is always allowed */
		(void)!write(fd, score_before, strlen(score_before));
}
