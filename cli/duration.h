/* SPDX-License-Identifier: BSD-2-Clause */
/* Spans of time as people write and read them: 10, 1.5s, 30m, 2h. */
#ifndef CLI_DURATION_H
#define CLI_DURATION_H

#include <stdint.h>

#include "error.h"

/* monotonic_ms() with a sign, for what is left until a time. */
int64_t now_ms(void);

/* -EINVAL with a sentence: not a time, below 1 ms, above 1000 days. */
int duration_parse(const char *text, int64_t *ret_ms, struct error *err);

#define DURATION_TEXT_BYTES 32
/* "0.02s", "12.4s", "3m12s", "2h05m". */
void duration_format(int64_t ms, char ret[DURATION_TEXT_BYTES]);

#endif
