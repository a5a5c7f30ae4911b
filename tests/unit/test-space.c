/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is told how full the store is, and how often. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "space.h"

#define MESSAGES_MAX 32

/* What the store said about space, in order. */
static struct {
	struct mutex lock;
	enum message_level levels[MESSAGES_MAX];
	enum store_event events[MESSAGES_MAX];
	unsigned int percents[MESSAGES_MAX];
	size_t nr;
} said;

static void keep(void *opaque, enum message_level level, enum store_event event,
		 const char *text)
{
	const char *used = strstr(text, "used=");

	if (event != EVENT_SPACE && event != EVENT_HOST_FULL)
		return;
	mutex_lock(&said.lock);
	if (said.nr < MESSAGES_MAX) {
		said.levels[said.nr] = level;
		said.events[said.nr] = event;
		said.percents[said.nr++] =
			used ? (unsigned int)atoi(used + 5) : 0;
	}
	mutex_unlock(&said.lock);
}

static size_t nr_said(void)
{
	size_t nr;

	mutex_lock(&said.lock);
	nr = said.nr;
	mutex_unlock(&said.lock);
	return nr;
}

/* Wait until @nr messages are there, at most a minute. */
static void wait_said(size_t nr)
{
	for (int i = 0; i < 6000 && nr_said() < nr; i++)
		sleep_ms(10);
	assert_true(nr_said() >= nr);
}

static int set_up(void **state)
{
	int r = open_store(state);

	if (r < 0)
		return r;
	said.nr = 0;
	mutex_init(&said.lock, LOCK_MESSAGE);
	store->message = keep;
	return 0;
}

static int tear_down(void **state)
{
	int r = close_store(state);

	mutex_done(&said.lock);
	return r;
}

static uint32_t fill_up(struct volume_handle *h)
{
	uint32_t nr = 0;

	while (try_put(h, nr, 1, 1) == 0)
		nr++;
	return nr;
}

/* ---- the thresholds ---- */

static void thresholds_are_crossed_at_80_90_and_95(void **state)
{
	assert_int_equal(space_level(0, 0), 0);
	assert_int_equal(space_level(0, 79), 0);
	assert_int_equal(space_level(0, 80), 80);
	assert_int_equal(space_level(80, 89), 80);
	assert_int_equal(space_level(80, 90), 90);
	assert_int_equal(space_level(0, 94), 90);
	assert_int_equal(space_level(90, 95), 95);
	assert_int_equal(space_level(0, 100), 95);
}

static void a_threshold_is_left_two_percent_below_it(void **state)
{
	assert_int_equal(space_level(80, 79), 80);
	assert_int_equal(space_level(80, 78), 80);
	assert_int_equal(space_level(80, 77), 0);
	assert_int_equal(space_level(95, 93), 95);
	assert_int_equal(space_level(95, 92), 90);
	assert_int_equal(space_level(95, 85), 80);
	assert_int_equal(space_level(95, 0), 0);
}

/* ---- who is told ---- */

static void filling_up_is_told_once_for_each_threshold(void **state)
{
	struct volume_handle *h = create_volume("a", 4000);
	uint32_t nr;

	must(store_start(store, &err));
	nr = fill_up(h);
	assert_in_range(stat_now().used_percent, 95, 100);
	wait_said(1);
	/* the janitor may be late: then it tells two of them at once */
	while (said.percents[nr_said() - 1] < 95)
		wait_said(nr_said() + 1);
	assert_in_range(nr_said(), 1, 3);
	for (size_t i = 0; i < said.nr; i++) {
		assert_int_equal(said.events[i], EVENT_SPACE);
		assert_int_equal(said.levels[i], MESSAGE_WARNING);
		assert_in_range(said.percents[i], 80, 100);
	}
	said.nr = 0;
	must(volume_trim(h, (uint64_t)nr * BLOCK_SIZE, 0, false, &err));
	must(store_reap(store, &err));
	must(store_checkpoint(store, &err));
	must(store_checkpoint(store, &err));
	wait_said(1);
	while (said.percents[nr_said() - 1] >= 78)
		wait_said(nr_said() + 1);
	for (size_t i = 0; i < said.nr; i++)
		assert_int_equal(said.levels[i], MESSAGE_INFO);
	volume_close(h);
}

static void a_store_that_grew_has_more_room(void **state)
{
	struct volume_handle *h = create_volume("a", 4000);
	uint64_t now;

	(void)fill_up(h);
	must(store_start(store, &err));
	wait_said(1);
	assert_int_equal(said.levels[0], MESSAGE_WARNING);
	said.nr = 0;
	must(store_set_capacity(
		store,
		backend_frame_offset(2 * TEST_FRAMES, TEST_SEGMENT_SHIFT), &now,
		&err));
	wait_said(1);
	assert_int_equal(said.levels[0], MESSAGE_INFO);
	assert_in_range(said.percents[0], 40, 60);
	volume_close(h);
}

static void a_store_that_is_full_when_it_opens_says_so(void **state)
{
	struct volume_handle *h = create_volume("a", 4000);

	(void)fill_up(h);
	must(store_flush(store, &err));
	volume_close(h);
	assert_int_equal(nr_said(), 0);
	reopen(true);
	store->message = keep;
	must(store_start(store, &err));
	wait_said(1);
	assert_int_equal(said.levels[0], MESSAGE_WARNING);
	assert_in_range(said.percents[0], 90, 100);
}

static void a_full_host_is_told_once_and_when_it_has_room(void **state)
{
	struct volume_handle *h = create_volume("a", 4000);
	uint32_t nr;
	int r;

	memory_disk_limit_frames(disk, stat_now().frames_allocated + 10);
	must(store_start(store, &err));
	nr = fill_up(h);
	wait_said(1);
	/* writes that meet it, and the janitor's own attempts, add nothing; a
	 * checkpoint may have made a little room meanwhile */
	while ((r = try_put(h, nr, 1, 1)) == 0)
		nr++;
	refused(r, ENOSPC, "");
	assert_int_equal(nr_said(), 1);
	assert_int_equal(said.events[0], EVENT_HOST_FULL);
	assert_int_equal(said.levels[0], MESSAGE_WARNING);
	memory_disk_limit_frames(disk, UINT64_MAX);
	wait_said(2);
	assert_int_equal(said.events[1], EVENT_HOST_FULL);
	assert_int_equal(said.levels[1], MESSAGE_INFO);
	put(h, nr, 20, 1);
	volume_close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(thresholds_are_crossed_at_80_90_and_95),
		TEST(a_threshold_is_left_two_percent_below_it),
		TEST(filling_up_is_told_once_for_each_threshold),
		TEST(a_store_that_grew_has_more_room),
		TEST(a_store_that_is_full_when_it_opens_says_so),
		TEST(a_full_host_is_told_once_and_when_it_has_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
