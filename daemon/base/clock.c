/* SPDX-License-Identifier: BSD-2-Clause */
#include "clock.h"

#include <time.h>

static uint64_t now_ns(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts); /* both are always there */
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t clock_ns(void)
{
	return now_ns(CLOCK_REALTIME);
}

uint64_t monotonic_ns(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

uint64_t monotonic_ms(void)
{
	return monotonic_ns() / 1000000;
}

void sleep_ms(uint64_t ms)
{
	const struct timespec ts = {.tv_sec = (time_t)(ms / 1000),
				    .tv_nsec = (long)(ms % 1000 * 1000000)};

	(void)nanosleep(&ts, NULL); /* see clock.h */
}
