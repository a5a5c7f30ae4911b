/* SPDX-License-Identifier: BSD-2-Clause */
/* Who goes last when memory is short. */
#ifndef CLI_OOM_H
#define CLI_OOM_H

/* For oom_protect(). */
#define OOM_LATE "-900"
#define OOM_NEVER "-1000"

/* This process, and those it starts from now on; if that is allowed. */
void oom_protect(const char *score);
/* In one of those: as it was before. */
void oom_expose(void);

#endif
