/* SPDX-License-Identifier: BSD-2-Clause */
#include "varved-path.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "output.h"

/* In a build tree varved is next door, installed it may be in sbin. */
int varved_find(char ret[PATH_MAX])
{
	static const char *const places[] = {
		"../daemon/varved",
		"varved",
		"../sbin/varved",
		"../bin/varved",
	};
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *dir;
	size_t i;

	if (length < 0) {
		print_error("/proc/self/exe: %s", strerror(errno));
		return EXIT_FAILED;
	}
	self[length] = '\0';
	dir = dirname(self);
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (snprintf(ret, PATH_MAX, "%s/%s", dir, places[i]) <
			    PATH_MAX &&
		    access(ret, X_OK) == 0)
			return 0;
	}
	print_error("varved is not beside %s/varve", dir);
	return EXIT_FAILED;
}
