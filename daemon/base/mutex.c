/* SPDX-License-Identifier: BSD-2-Clause */
#include "mutex.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <time.h>

/* One bit for each rank this thread holds. */
static __thread unsigned int held_ranks;

static void note_taken(struct mutex *m)
{
	m->holder = pthread_self();
	m->held = true;
	held_ranks |= 1u << m->rank;
}

static void note_released(struct mutex *m)
{
	m->held = false;
	held_ranks &= ~(1u << m->rank);
}

void mutex_init(struct mutex *m, enum lock_rank rank)
{
	int r = pthread_mutex_init(&m->pthread, NULL);

	assert(r == 0);
	assert(rank < NR_LOCK_RANKS);
	m->rank = rank;
	m->held = false;
	m->nr_waiting = 0;
}

void mutex_done(struct mutex *m)
{
	int r = pthread_mutex_destroy(&m->pthread);

	assert(r == 0);
}

void mutex_lock(struct mutex *m) NO_THREAD_SAFETY_ANALYSIS
{
	int r;

	assert(held_ranks >> m->rank == 0); /* lock order */
	r = pthread_mutex_trylock(&m->pthread);
	if (r == EBUSY) {
		m->nr_waiting++;
		r = pthread_mutex_lock(&m->pthread);
		m->nr_waiting--;
	}
	assert(r == 0);
	note_taken(m);
}

void mutex_unlock(struct mutex *m) NO_THREAD_SAFETY_ANALYSIS
{
	int r;

	mutex_assert_held(m);
	note_released(m);
	r = pthread_mutex_unlock(&m->pthread);
	assert(r == 0);
}

/* Longer than it takes a sleeper to wake. */
#define GIVE_WAY_YIELDS 1000

void mutex_give_way(struct mutex *m)
{
	for (int i = 0; i < GIVE_WAY_YIELDS && m->nr_waiting > 0; i++)
		(void)sched_yield();
}

bool mutex_is_awaited(const struct mutex *m)
{
	return m->nr_waiting > 0;
}

void mutex_assert_held(struct mutex *m)
{
	assert(m->held && pthread_equal(m->holder, pthread_self()));
}

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;
	int r;

	r = pthread_condattr_init(&attr);
	assert(r == 0);
	r = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	assert(r == 0);
	r = pthread_cond_init(&c->pthread, &attr);
	assert(r == 0);
	(void)pthread_condattr_destroy(&attr);
}

void cond_done(struct cond *c)
{
	int r = pthread_cond_destroy(&c->pthread);

	assert(r == 0);
}

void cond_wait(struct cond *c, struct mutex *m)
{
	int r;

	mutex_assert_held(m);
	note_released(m);
	r = pthread_cond_wait(&c->pthread, &m->pthread);
	assert(r == 0);
	note_taken(m);
}

bool cond_wait_ms(struct cond *c, struct mutex *m, uint64_t ms)
{
	struct timespec ts;
	int r;

	mutex_assert_held(m);
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += (time_t)(ms / 1000);
	ts.tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	note_released(m);
	r = pthread_cond_timedwait(&c->pthread, &m->pthread, &ts);
	assert(r == 0 || r == ETIMEDOUT);
	note_taken(m);
	return r == 0;
}

void cond_signal(struct cond *c)
{
	(void)pthread_cond_signal(&c->pthread);
}

void cond_broadcast(struct cond *c)
{
	(void)pthread_cond_broadcast(&c->pthread);
}
