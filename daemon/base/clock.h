/* SPDX-License-Identifier: BSD-2-Clause */
/* The two clocks, and waiting for one of them. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Wall clock, nanoseconds since 1970. */
uint64_t clock_ns(void);
/* Monotonic clock, which only goes forward. */
uint64_t monotonic_ns(void);
uint64_t monotonic_ms(void);

/*
 * Let @ms pass.  A signal that is handled cuts it short: for loops that look
 * again.
 */
void sleep_ms(uint64_t ms);

#endif
