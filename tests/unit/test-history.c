/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The judge of concurrent histories: what it must refuse, and what it must
 * let pass.  Histories are written as they would be drawn: client, unit and
 * the times of start and end.
 */
#include "history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define NR_UNITS 70u /* more than are looked at once */

static struct history *h;

static int setup(void **state)
{
	h = history_new(NR_UNITS);
	return 0;
}

static int teardown(void **state)
{
	history_free(h);
	return 0;
}

static uint32_t written(uint32_t client, uint32_t unit, uint64_t start,
			uint64_t end)
{
	return history_add(h, client, HISTORY_WRITE, unit, 1, start, end)->id;
}

static void cleared(uint32_t client, uint32_t unit, uint64_t start,
		    uint64_t end)
{
	(void)history_add(h, client, HISTORY_CLEAR, unit, 1, start, end);
}

static void read_as(uint32_t client, uint32_t unit, uint64_t start,
		    uint64_t end, uint32_t id)
{
	history_add(h, client, HISTORY_READ, unit, 1, start, end)->seen[0] = id;
}

/* A cut that shows @a at unit 0, @b at unit 69, and zeros between. */
static void cut_as(uint32_t client, uint64_t start, uint64_t end, uint32_t a,
		   uint32_t b)
{
	struct history_op *op =
		history_add(h, client, HISTORY_CUT, 0, NR_UNITS, start, end);

	op->seen[0] = a;
	op->seen[NR_UNITS - 1] = b;
}

static void assert_legal(void)
{
	struct error err = ERROR_NONE;

	if (history_check(h, &err) < 0)
		fail_msg("%s", err.message);
}

static void assert_refused(const char *words)
{
	struct error err = ERROR_NONE;

	assert_true(history_check(h, &err) < 0);
	if (!strstr(err.message, words))
		fail_msg("%s: does not say '%s'", err.message, words);
}

static void a_read_sees_the_write_before_it(void **state)
{
	uint32_t a = written(1, 3, 1, 2), b = written(2, 3, 3, 4);

	(void)a;
	read_as(3, 3, 5, 6, b);
	read_as(3, 4, 7, 8, 0);
	assert_legal();
}

static void a_stale_read_is_refused(void **state)
{
	uint32_t a = written(1, 69, 1, 2);

	written(2, 69, 3, 4);
	read_as(3, 69, 5, 6, a);
	assert_refused("was there from");
}

static void a_lost_write_is_refused(void **state)
{
	written(1, 0, 1, 2);
	read_as(2, 0, 3, 4, 0);
	assert_refused("between them was the write");
}

static void a_write_of_the_future_is_refused(void **state)
{
	uint32_t a = written(1, 0, 3, 4);

	read_as(2, 0, 1, 2, a);
	assert_refused("written later");
}

static void a_write_elsewhere_is_refused(void **state)
{
	uint32_t a = written(1, 0, 1, 2);

	read_as(2, 1, 3, 4, a);
	assert_refused("nobody wrote that here");
}

static void concurrent_writes_may_be_seen_in_any_order(void **state)
{
	uint32_t a = written(1, 0, 1, 10), b = written(2, 0, 2, 11);

	read_as(3, 0, 3, 4, b);
	read_as(3, 0, 5, 6, a);
	read_as(3, 0, 12, 13, a);
	assert_legal();
}

static void a_value_that_returns_is_refused(void **state)
{
	uint32_t a = written(1, 0, 1, 10), b = written(2, 0, 2, 11);

	read_as(3, 0, 3, 4, a);
	read_as(3, 0, 5, 6, b);
	read_as(4, 0, 7, 8, a);
	assert_refused("was there from");
}

static void readers_that_disagree_on_the_order_are_refused(void **state)
{
	uint32_t a = written(1, 0, 1, 2), b = written(2, 0, 3, 20);

	/* it was seen before, so it is there */
	read_as(3, 0, 4, 5, b);
	read_as(4, 0, 6, 7, a);
	assert_refused("was there from");
}

static void an_overwriting_clear_is_noticed(void **state)
{
	uint32_t a = written(1, 0, 1, 2);

	cleared(2, 0, 3, 4);
	read_as(3, 0, 5, 6, a);
	assert_refused("was there from");
}

static void zeros_may_be_of_any_clear_that_fits(void **state)
{
	written(1, 0, 1, 2);
	cleared(2, 0, 3, 10);
	written(1, 0, 4, 5);
	read_as(3, 0, 6, 7, 0);
	assert_legal();
}

static void zeros_that_were_overwritten_are_refused(void **state)
{
	cleared(2, 0, 1, 2);
	written(1, 0, 3, 9);
	read_as(4, 0, 4, 5, history_add(h, 5, HISTORY_WRITE, 0, 1, 3, 8)->id);
	read_as(3, 0, 10, 11, 0);
	assert_refused("between them was the write");
}

static void a_cut_may_miss_what_is_concurrent(void **state)
{
	uint32_t a = written(1, 0, 1, 2), b = written(2, 69, 3, 8);

	cut_as(3, 4, 5, a, 0);
	cut_as(3, 6, 7, a, b);
	assert_legal();
}

static void a_cut_that_misses_what_was_done_is_refused(void **state)
{
	written(1, 0, 1, 2);
	cut_as(3, 3, 4, 0, 0);
	assert_refused("between them was the write");
}

static void a_cut_that_shows_what_came_later_is_refused(void **state)
{
	uint32_t a = written(1, 0, 3, 4);

	cut_as(3, 1, 2, a, 0);
	assert_refused("written later");
}

/* Each unit alone is explained: both writes are concurrent with the cut. */
static void a_cut_through_one_clients_order_is_refused(void **state)
{
	uint32_t b;

	written(1, 0, 2, 3);
	b = written(1, 69, 4, 5);
	cut_as(3, 1, 6, 0, b);
	assert_refused("it shows later writes, but not");
}

static void a_cut_through_an_order_that_reads_prove_is_refused(void **state)
{
	/* The write of unit 0 is not acknowledged yet, but was seen. */
	uint32_t a = written(1, 0, 2, 20), b;

	read_as(4, 0, 3, 4, a);
	b = written(2, 69, 5, 6);
	cut_as(3, 1, 19, 0, b);
	assert_refused("it shows later writes, but not");
}

static void a_round_goes_on_from_the_one_before(void **state)
{
	uint32_t a = written(1, 0, 1, 2);
	struct history_op *last =
		history_add(h, 0, HISTORY_READ, 0, NR_UNITS, 3, 4);

	last->seen[0] = a;
	assert_legal();
	history_next_round(h, last);
	assert_int_equal(history_nr_ops(h), 0);
	read_as(2, 0, 5, 6, a);
	assert_int_not_equal(written(1, 0, 7, 8), a);
	assert_legal();
	read_as(2, 0, 9, 10, a);
	assert_refused("was there from");
}

static void units_say_whose_they_are(void **state)
{
	char data[3 * HISTORY_UNIT] = {0};
	struct error err = ERROR_NONE;
	size_t write = history_begin(h, 1, HISTORY_WRITE, 5, 2), read;

	history_fill(h, 1, write, data);
	history_end(h, 1, write);
	read = history_begin(h, 2, HISTORY_READ, 5, 3);
	assert_int_equal(history_saw(h, 2, read, data, &err), 0);
	assert_int_equal(h->clients[2].ops[read].seen[1],
			 h->clients[1].ops[write].id);
	assert_int_equal(h->clients[2].ops[read].seen[2], 0);
	assert_legal();
	/* of another place, and torn */
	read = history_begin(h, 2, HISTORY_READ, 6, 2);
	assert_true(history_saw(h, 2, read, data, &err) < 0);
	memset(data + HISTORY_UNIT / 2, 0, HISTORY_UNIT / 2);
	read = history_begin(h, 2, HISTORY_READ, 5, 1);
	assert_true(history_saw(h, 2, read, data, &err) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_read_sees_the_write_before_it),
		TEST(a_stale_read_is_refused),
		TEST(a_lost_write_is_refused),
		TEST(a_write_of_the_future_is_refused),
		TEST(a_write_elsewhere_is_refused),
		TEST(concurrent_writes_may_be_seen_in_any_order),
		TEST(a_value_that_returns_is_refused),
		TEST(readers_that_disagree_on_the_order_are_refused),
		TEST(an_overwriting_clear_is_noticed),
		TEST(zeros_may_be_of_any_clear_that_fits),
		TEST(zeros_that_were_overwritten_are_refused),
		TEST(a_cut_may_miss_what_is_concurrent),
		TEST(a_cut_that_misses_what_was_done_is_refused),
		TEST(a_cut_that_shows_what_came_later_is_refused),
		TEST(a_cut_through_one_clients_order_is_refused),
		TEST(a_cut_through_an_order_that_reads_prove_is_refused),
		TEST(a_round_goes_on_from_the_one_before),
		TEST(units_say_whose_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
