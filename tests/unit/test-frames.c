/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames: who may take how many, growing, retiring, the frame map. */
#include <errno.h>

#include "fixture.h"

static struct frames *frames;

static int set_up(void **state)
{
	int r = make_modules(state);

	frames = &store->frames;
	return r;
}

/* Core is dropped for each. */
static int grow(uint64_t nr)
{
	int r = 0;

	unlock_core();
	while (r == 0 && nr-- > 0)
		r = frames_grow(frames, false, &err);
	lock_core();
	return r;
}

static void punch(void)
{
	unlock_core();
	frames_punch_retired(frames);
	lock_core();
}

static uint64_t take_all(enum frame_user user)
{
	uint64_t nr = 0;

	while (frames_take(frames, user) != PLACE_NONE)
		nr++;
	return nr;
}

static void a_frame_is_ready_once_grown_and_again_once_released(void **state)
{
	uint64_t place;

	assert_int_equal(frames_take(frames, FRAME_USER_RECOVERY), PLACE_NONE);
	must(grow(1));
	place = frames_take(frames, FRAME_USER_RECOVERY);
	assert_true(place < TEST_FRAMES);
	assert_true(frames_is_used(frames, place));
	assert_int_equal(frames->nr_used, 1);
	assert_int_equal(frames_take(frames, FRAME_USER_RECOVERY), PLACE_NONE);
	frames_release(frames, place);
	assert_false(frames_is_used(frames, place));
	assert_int_equal(frames_take(frames, FRAME_USER_RECOVERY), place);
}

static void each_user_leaves_its_part_of_the_reserve(void **state)
{
	uint64_t reserve = frames->reserve;

	must(grow(reserve + 3));
	assert_false(frames_available(frames, FRAME_USER_WRITE, 4));
	assert_int_equal(take_all(FRAME_USER_WRITE), 3);
	assert_int_equal(take_all(FRAME_USER_METADATA), reserve / 4);
	assert_int_equal(take_all(FRAME_USER_DELETE), reserve / 4);
	assert_int_equal(take_all(FRAME_USER_CHECKPOINT), reserve / 4);
	assert_int_equal(take_all(FRAME_USER_RECOVERY), reserve / 4);
}

static void the_grower_stops_when_there_is_enough(void **state)
{
	while (frames_want_growth(frames))
		must(grow(1));
	assert_int_equal(frames->nr_allocated,
			 frames->reserve + FRAMES_SPARE_MAX);
	(void)frames_take(frames, FRAME_USER_WRITE);
	assert_true(frames_want_growth(frames));
}

static void a_full_host_is_left_alone_for_a_while(void **state)
{
	memory_disk_limit_frames(disk, 2);
	refused(grow(3), ENOSPC, "frame 2");
	assert_int_equal(frames->nr_allocated, 2);
	assert_false(frames_want_growth(frames));
	memory_disk_limit_frames(disk, UINT64_MAX);
	assert_false(frames_want_growth(frames));
	frames->retry_at_ms = monotonic_ms();
	assert_true(frames_want_growth(frames));
	must(grow(1));
	assert_int_equal(store->core.failed, 0);
	assert_true(frames_want_growth(frames));
}

static void a_full_host_has_room_for_frames_that_were_given_back(void **state)
{
	must(frames_mark_used(frames, 7, NULL));
	must(frames_loaded(frames));
	assert_int_equal(frames->nr_doubtful, 1);
	memory_disk_limit_frames(disk, frames->reserve);
	refused(grow(frames->reserve + 1), ENOSPC, "frame");
	assert_false(frames_want_growth(frames));
	frames_release(frames, 7); /* in a file, whatever the map says */
	assert_true(frames_want_growth(frames));

	memory_disk_limit_frames(disk, UINT64_MAX);
	must(grow(3 * FRAMES_SPARE_MAX));
	frames->retry_at_ms = UINT64_MAX;
	frames->host_full = true;
	punch(); /* nothing */
	assert_int_equal(frames->retry_at_ms, UINT64_MAX);
	frames_retire_spare(frames, false, 0);
	frames_cut(frames);
	punch();
	assert_int_equal(frames->retry_at_ms, 0);
}

static void no_more_frames_grow_than_there_are(void **state)
{
	must(grow(TEST_FRAMES));
	assert_int_equal(frames->nr_allocated, TEST_FRAMES);
	refused(grow(1), ENOSPC, "every frame is allocated");
	assert_int_equal(take_all(FRAME_USER_RECOVERY), TEST_FRAMES);
}

static void a_spare_frame_is_punched_after_the_map_says_so(void **state)
{
	uint64_t keep = frames->reserve + 2 * FRAMES_SPARE_MAX;

	must(grow(keep + 5));
	frames_retire_spare(frames, false, 5); /* a checkpoint wants them */
	assert_int_equal(frames->retiring.len, 0);
	frames_retire_spare(frames, false, 0);
	assert_int_equal(frames->retiring.len, 5);
	assert_int_equal(frames->nr_allocated, keep);
	punch();
	assert_int_equal(memory_disk_count(disk, MEMORY_FREE), 0);
	frames_cut(frames);
	punch();
	assert_int_equal(memory_disk_count(disk, MEMORY_FREE), 5);
	assert_int_equal(frames->retired.len, 0);
}

static void an_idle_store_keeps_fewer_spare_frames(void **state)
{
	uint64_t keep = frames->reserve + FRAMES_SPARE_MAX;

	must(grow(keep + FRAMES_SPARE_MAX / 2));
	assert_false(frames_have_spare(frames, 0));
	assert_true(frames_have_spare(frames, 1));
	must(grow(1));
	assert_true(frames_have_spare(frames, 0));
	frames_retire_spare(frames, false, 0);
	assert_int_equal(frames->retiring.len, 0);
	frames_retire_spare(frames, true, 0);
	assert_int_equal(frames->retiring.len, FRAMES_SPARE_MAX / 2 + 1);
	assert_int_equal(frames->ready.len, keep);
	assert_false(frames_have_spare(frames, 0));
}

static void a_retiring_frame_is_neither_taken_nor_grown(void **state)
{
	uint64_t keep = frames->reserve + 2 * FRAMES_SPARE_MAX;

	must(grow(TEST_FRAMES));
	frames_retire_spare(frames, false, 0);
	assert_false(frames_want_growth(frames));
	refused(grow(1), ENOSPC, "every frame");
	frames_cut(frames);
	refused(grow(1), ENOSPC, "every frame");
	assert_int_equal(take_all(FRAME_USER_RECOVERY), keep);
	punch();
	must(grow(1));
}

static void no_two_segments_claim_one_frame(void **state)
{
	must(frames_mark_used(frames, 3, &err));
	refused(frames_mark_used(frames, 3, &err), EUCLEAN, "two segments");
	refused(frames_mark_used(frames, TEST_FRAMES, &err), EUCLEAN,
		"beyond the store");
	refused(frames_mark_used(frames, UINT64_MAX, &err), EUCLEAN,
		"beyond the store");
}

/* The crash may have undone the growth of such a frame. */
static void a_used_frame_that_the_map_lacks_is_grown_before_reuse(void **s)
{
	must(frames_mark_used(frames, 0, &err));
	assert_int_equal(frames->nr_allocated, 0);
	assert_int_equal(frames_loaded(frames), 0);
	must(grow(1));
	assert_int_equal(frames_take(frames, FRAME_USER_RECOVERY), 1);
	frames_release(frames, 0);
	assert_int_equal(take_all(FRAME_USER_RECOVERY), 0);
	must(grow(TEST_FRAMES - 1));
	assert_int_equal(take_all(FRAME_USER_RECOVERY), TEST_FRAMES - 1);
	assert_true(frames_is_used(frames, 0));
}

static void the_map_loads_as_it_was_encoded(void **state)
{
	static uint8_t page[PAGE_BYTES_MAX];
	struct frames other;
	size_t length;

	must(grow(5));
	length = frames->pages.encode(frames, 0, page);
	assert_int_equal(frames_init(&other, &store->core, TEST_FRAMES), 0);
	must(frames_load(&other, 0, page, length, &err));
	must(frames_mark_used(&other, 2, &err));
	assert_int_equal(frames_loaded(&other), 0);
	assert_int_equal(other.nr_allocated, 5);
	/* the lowest first */
	assert_int_equal(frames_take(&other, FRAME_USER_RECOVERY), 0);
	assert_int_equal(frames_take(&other, FRAME_USER_RECOVERY), 1);
	assert_int_equal(frames_take(&other, FRAME_USER_RECOVERY), 3);
	frames_done(&other);

	assert_int_equal(frames_init(&other, &store->core, 4), 0);
	refused(frames_load(&other, 0, page, length, &err), EUCLEAN,
		"frame 4 is beyond");
	frames_done(&other);
}

static void the_reserve_grows_with_the_store(void **state)
{
	uint64_t least = frames_reserve(STORE_FRAMES_MIN);

	assert_true(least <= STORE_FRAMES_MIN / 2);
	assert_int_equal(frames_reserve(128 * 1024), least + 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, free_modules)
		TEST(a_frame_is_ready_once_grown_and_again_once_released),
		TEST(each_user_leaves_its_part_of_the_reserve),
		TEST(the_grower_stops_when_there_is_enough),
		TEST(a_full_host_is_left_alone_for_a_while),
		TEST(a_full_host_has_room_for_frames_that_were_given_back),
		TEST(no_more_frames_grow_than_there_are),
		TEST(a_spare_frame_is_punched_after_the_map_says_so),
		TEST(an_idle_store_keeps_fewer_spare_frames),
		TEST(a_retiring_frame_is_neither_taken_nor_grown),
		TEST(no_two_segments_claim_one_frame),
		TEST(a_used_frame_that_the_map_lacks_is_grown_before_reuse),
		TEST(the_map_loads_as_it_was_encoded),
		TEST(the_reserve_grows_with_the_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
