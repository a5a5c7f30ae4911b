/* SPDX-License-Identifier: BSD-2-Clause */
/* Replayable random numbers: the same seed gives the same sequence. */
#ifndef LIB_RANDOM_H
#define LIB_RANDOM_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct rng {
	uint64_t state;
};

/* splitmix64: every seed, 0 included, gives a good sequence. */
static inline uint64_t rng_next(struct rng *rng)
{
	uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* 0 .. @below - 1. */
static inline uint64_t rng_below(struct rng *rng, uint64_t below)
{
	return rng_next(rng) % below;
}

static inline bool rng_one_in(struct rng *rng, uint64_t n)
{
	return rng_below(rng, n) == 0;
}

/* A seed for a run that was given none. */
static inline uint64_t rng_time_seed(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return ((uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec) %
	       1000000007u;
}

#endif
