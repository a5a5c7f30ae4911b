/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mutex with a rank, and a condition variable that goes with it.
 *
 * The rank is checked on every lock: taking a lock of a rank at or below one
 * the thread holds aborts.  clang -Wthread-safety checks REQUIRES().
 */
#ifndef BASE_MUTEX_H
#define BASE_MUTEX_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lock-order.h"

#if defined(__clang__)
#define THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define THREAD_ATTRIBUTE(x)
#endif
#define CAPABILITY(name) THREAD_ATTRIBUTE(capability(name))
#define ACQUIRE(...) THREAD_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define RELEASE(...) THREAD_ATTRIBUTE(release_capability(__VA_ARGS__))
#define REQUIRES(...) THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define ASSERT_CAPABILITY(...) THREAD_ATTRIBUTE(assert_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS THREAD_ATTRIBUTE(no_thread_safety_analysis)

struct CAPABILITY("mutex") mutex {
	pthread_mutex_t pthread;
	pthread_t holder;
	enum lock_rank rank;
	bool held; /* only the holder may believe it */
	_Atomic unsigned int nr_waiting;
};

void mutex_init(struct mutex *m, enum lock_rank rank);
void mutex_done(struct mutex *m);
void mutex_lock(struct mutex *m) ACQUIRE(m);
void mutex_unlock(struct mutex *m) RELEASE(m);
/*
 * For a thread that takes the mutex again and again: let those who wait have
 * it in between.  Mutexes are not fair: without this the thread that unlocks
 * has locked again before a sleeper is awake.  The mutex is not held.
 */
void mutex_give_way(struct mutex *m) EXCLUDES(m);
/* Does anybody wait for it at this moment? */
bool mutex_is_awaited(const struct mutex *m);
/* Abort unless the calling thread holds it. */
void mutex_assert_held(struct mutex *m) ASSERT_CAPABILITY(m);

struct cond {
	pthread_cond_t pthread;
};

void cond_init(struct cond *c);
void cond_done(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m) REQUIRES(m);
/* Returns false when @ms milliseconds passed without a signal. */
bool cond_wait_ms(struct cond *c, struct mutex *m, uint64_t ms) REQUIRES(m);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

#endif
