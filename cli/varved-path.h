/* SPDX-License-Identifier: BSD-2-Clause */
/* Where varved is. */
#ifndef CLI_VARVED_PATH_H
#define CLI_VARVED_PATH_H

#include <limits.h>

/* Returns 0, or an exit code after it has said that it is not there. */
int varved_find(char ret[PATH_MAX]);

#endif
