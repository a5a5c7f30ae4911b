/* SPDX-License-Identifier: BSD-2-Clause */
/* Mutexes with ranks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mutex.h"

static struct mutex outer, inner;

static int init_mutexes(void **state)
{
	mutex_init(&outer, LOCK_ADMIN);
	mutex_init(&inner, LOCK_CORE);
	return 0;
}

static int done_mutexes(void **state)
{
	mutex_done(&outer);
	mutex_done(&inner);
	return 0;
}

/* Run @f in a child that says nothing; true when it was aborted. */
static bool is_aborted(void (*f)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit none = {0, 0};

		(void)signal(SIGABRT, SIG_DFL); /* cmocka catches it */
		(void)setrlimit(RLIMIT_CORE, &none);
		(void)close(STDERR_FILENO);
		f();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void take_in_order(void)
{
	mutex_lock(&outer);
	mutex_lock(&inner);
	mutex_unlock(&outer);
	mutex_unlock(&inner);
	mutex_lock(&inner);
	mutex_unlock(&inner);
}

static void take_in_wrong_order(void)
{
	mutex_lock(&inner);
	mutex_lock(&outer);
	mutex_unlock(&outer);
	mutex_unlock(&inner);
}

static void take_twice(void) NO_THREAD_SAFETY_ANALYSIS
{
	mutex_lock(&inner);
	mutex_lock(&inner);
}

static void unlock_free_one(void) NO_THREAD_SAFETY_ANALYSIS
{
	mutex_unlock(&inner);
}

static void rising_ranks_are_allowed(void **state)
{
	assert_false(is_aborted(take_in_order));
}

static void falling_ranks_abort(void **state)
{
	assert_true(is_aborted(take_in_wrong_order));
}

static void taking_a_lock_twice_aborts(void **state)
{
	assert_true(is_aborted(take_twice));
}

static void unlocking_a_free_lock_aborts(void **state)
{
	assert_true(is_aborted(unlock_free_one));
}

static void *hold_inner(void *opaque)
{
	struct cond *cond = opaque;

	mutex_lock(&inner);
	cond_signal(cond);
	mutex_unlock(&inner);
	return NULL;
}

static void ranks_are_counted_per_thread(void **state)
{
	pthread_t thread;
	struct cond cond;

	cond_init(&cond);
	mutex_lock(&inner);
	assert_int_equal(pthread_create(&thread, NULL, hold_inner, &cond), 0);
	cond_wait(&cond, &inner); /* gives it to the other, takes it back */
	mutex_assert_held(&inner);
	mutex_unlock(&inner);
	assert_int_equal(pthread_join(thread, NULL), 0);
	cond_done(&cond);
}

static void waiting_gives_up_the_rank(void **state)
{
	struct cond cond;

	cond_init(&cond);
	mutex_lock(&inner);
	assert_false(cond_wait_ms(&cond, &inner, 1));
	mutex_unlock(&inner);
	mutex_lock(&outer); /* aborts if inner's rank were still held */
	mutex_unlock(&outer);
	cond_done(&cond);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rising_ranks_are_allowed,
						init_mutexes, done_mutexes),
		cmocka_unit_test_setup_teardown(falling_ranks_abort,
						init_mutexes, done_mutexes),
		cmocka_unit_test_setup_teardown(taking_a_lock_twice_aborts,
						init_mutexes, done_mutexes),
		cmocka_unit_test_setup_teardown(unlocking_a_free_lock_aborts,
						init_mutexes, done_mutexes),
		cmocka_unit_test_setup_teardown(ranks_are_counted_per_thread,
						init_mutexes, done_mutexes),
		cmocka_unit_test_setup_teardown(waiting_gives_up_the_rank,
						init_mutexes, done_mutexes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
