/* SPDX-License-Identifier: BSD-2-Clause */
/* What a back end is told that it will be asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "read-ahead.h"

#define NR_NOTED 16u

static struct read_range noted[NR_NOTED];
static unsigned int nr_noted;

static void note(struct backend *be, uint64_t place, uint32_t offset,
		 uint32_t length)
{
	if (nr_noted < NR_NOTED)
		noted[nr_noted] = (struct read_range){place, offset, length};
	nr_noted++;
}

static const struct backend_ops ops = {.will_read = note};
static struct backend be = {.ops = &ops, .segment_shift = 23, .nr_frames = 10};
static struct read_ahead ahead;

static int set_up(void **state)
{
	nr_noted = 0;
	ahead = (struct read_ahead){.be = &be};
	return 0;
}

static int tear_down(void **state)
{
	read_ahead_done(&ahead);
	return 0;
}

static void expect(unsigned int i, uint64_t place, uint32_t offset,
		   uint32_t length)
{
	assert_true(i < nr_noted);
	assert_int_equal(noted[i].place, place);
	assert_int_equal(noted[i].offset, offset);
	assert_int_equal(noted[i].length, length);
}

static void ranges_are_told_in_the_order_of_the_medium(void **state)
{
	read_ahead_add(&ahead, 7, 8192, 784);
	read_ahead_add(&ahead, 2, 4 << 20, 2064);
	read_ahead_add(&ahead, 2, 8192, 280);
	assert_int_equal(nr_noted, 0);
	read_ahead_submit(&ahead);
	assert_int_equal(nr_noted, 3);
	expect(0, 2, 8192, 280);
	expect(1, 2, 4 << 20, 2064);
	expect(2, 7, 8192, 784);
	read_ahead_submit(&ahead);
	assert_int_equal(nr_noted, 3);
}

static void neighbours_are_told_as_one(void **state)
{
	read_ahead_add(&ahead, 1, 20000, 784);
	read_ahead_add(&ahead, 1, 8192, 784);
	read_ahead_add(&ahead, 1, 8192, 4096);
	read_ahead_add(&ahead, 2, 20784, 784);
	read_ahead_add(&ahead, 1, 1 << 20, 784);
	read_ahead_submit(&ahead);
	assert_int_equal(nr_noted, 3);
	expect(0, 1, 8192, 20784 - 8192);
	expect(1, 1, 1 << 20, 784);
	expect(2, 2, 20784, 784);
}

/* Addresses come from the medium. */
static void what_is_not_in_the_store_is_not_told(void **state)
{
	read_ahead_add(&ahead, 10, 8192, 784);
	read_ahead_add(&ahead, 1, (8 << 20) - 100, 784);
	read_ahead_add(&ahead, 1, UINT32_MAX, UINT32_MAX);
	read_ahead_add(&ahead, 3, 8192, 784);
	read_ahead_submit(&ahead);
	assert_int_equal(nr_noted, 1);
	expect(0, 3, 8192, 784);
}

static void many_ranges_do_not_wait_for_the_last(void **state)
{
	for (unsigned int i = 0; i < 100000; i++)
		read_ahead_add(&ahead, i % 10, 8192, 784);
	assert_int_equal(nr_noted, 10);
	assert_true(ahead.ranges.len < 100000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ranges_are_told_in_the_order_of_the_medium),
		TEST(neighbours_are_told_as_one),
		TEST(what_is_not_in_the_store_is_not_told),
		TEST(many_ranges_do_not_wait_for_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
