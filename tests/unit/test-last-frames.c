/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Freeing what was deleted when hardly a frame is left.  The names that a
 * snapshot counts are everywhere: a few leaves that are reaped make most pages
 * of the segment table dirty, and each checkpoint of these takes frames before
 * any comes back.  The blocks live on, so that no frame of data becomes free.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "fixture.h"
#include "random.h"

#define NR_FRAMES 2048u
#define NR_LEAVES 331u
#define NR_BLOCKS (NR_LEAVES * LEAF_BLOCKS)
#define STRIDE 7919u /* a prime: it meets all of them */

static struct volume_handle *a;
static uint64_t taken[NR_FRAMES];
static size_t nr_taken;

static int set_up(void **state)
{
	static const struct store_open_options options;

	disk = test_store_disk(NR_FRAMES);
	must(test_store_open(disk, &options, &store, &err));
	a = create_volume("a", (uint64_t)NR_LEAVES * LEAF_BLOCKS);
	nr_taken = 0;
	return 0;
}

static int tear_down(void **state)
{
	volume_close(a);
	return close_store(state);
}

/* As if others had filled the store, until only @nr frames are left. */
static void leave_frames(uint64_t nr)
{
	struct frames *f = &store->frames;

	lock_core();
	while (f->nr - f->nr_used > nr) {
		uint64_t place;

		while (f->ready.len == 0) {
			unlock_core();
			must(frames_grow(f, false, &err));
			lock_core();
		}
		place = frames_take(f, FRAME_USER_RECOVERY);
		assert_true(place != PLACE_NONE);
		taken[nr_taken++] = place;
	}
	unlock_core();
}

static void give_frames_back(void)
{
	lock_core();
	while (nr_taken > 0)
		frames_release(&store->frames, taken[--nr_taken]);
	unlock_core();
}

/* Every block; neighbours lie far from each other. */
static void put_all(uint32_t seed)
{
	for (uint64_t i = 0; i < NR_BLOCKS; i++)
		put(a, i * STRIDE % NR_BLOCKS, 1, seed);
}

/* A snapshot that alone holds the leaves it has, and a block of each. */
static void snapshot_of_own_leaves(const char *name, uint32_t block)
{
	snapshot(name);
	for (uint64_t i = 0; i < NR_LEAVES; i++)
		put(a, i * LEAF_BLOCKS + block, 1, block + 2);
}

static void reap_with_few_frames(uint64_t nr)
{
	put_all(1);
	snapshot_of_own_leaves("a@0", 0);
	snapshot_of_own_leaves("a@1", 1);
	snapshot_of_own_leaves("a@2", 2);
	must(store_checkpoint(store, &err));
	delete_volume("a@0");
	delete_volume("a@1");
	delete_volume("a@2");
	must(store_checkpoint(store, &err));
	leave_frames(nr);
	must(store_reap(store, &err));
	assert_int_equal(stat_now().reaper_queue, 0);
	must(store_checkpoint(store, &err));
	/* and it took no frames for good */
	assert_true(stat_now().frames_used <= NR_FRAMES - nr + 2);
	give_frames_back();
	for (uint32_t block = 0; block < 4; block++)
		expect(a, 7 * LEAF_BLOCKS + block, 1,
		       block < 3 ? block + 2 : 1);
	check_is_clean();
}

static void all_is_reaped_with_what_deletes_leave(void **state)
{
	reap_with_few_frames(stat_now().frames_reserve / 2);
}

static void and_with_what_the_checkpoint_of_a_delete_leaves(void **state)
{
	reap_with_few_frames(stat_now().frames_reserve / 2 - 1);
}

static int wait_until_free(void)
{
	struct reclaim reclaim = {0};
	int r = 0;

	/* each waits for a fifth of a second at most */
	for (int i = 0; r == 0 && !reclaim.done && i < 150; i++)
		r = store_reclaim(store, &reclaim, &err);
	return r < 0 || reclaim.done ? r : -ETIME;
}

static void nobody_waits_for_what_cannot_be_freed(void **state)
{
	put(a, 0, 10, 1);
	snapshot("a@s");
	put(a, 0, 10, 2);
	delete_volume("a@s");
	must(store_checkpoint(store, &err));
	leave_frames(stat_now().frames_reserve / 4 + 2);
	must(store_start(store, &err));
	refused(wait_until_free(), ENOSPC, "too full to free what was deleted");
	assert_int_equal(stat_now().reaper_queue, 1);
	assert_false(stat_now().failed);
	give_frames_back();
	must(wait_until_free());
	assert_int_equal(stat_now().live_blocks, 10);
}

#define NR_FEW_FRAMES 512u
#define NR_FEW_BLOCKS (NR_FEW_FRAMES * (TEST_SLOTS - 1) * 6 / 10)
#define NR_KEPT 20u /* snapshots */

static int set_up_few(void **state)
{
	static const struct store_open_options options;

	disk = test_store_disk(NR_FEW_FRAMES);
	must(test_store_open(disk, &options, &store, &err));
	a = create_volume("a", NR_FEW_BLOCKS);
	return store_start(store, &err);
}

/* The newest of some snapshots is taken, the oldest deleted. */
static void roll_snapshots(uint32_t nr)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "a@%" PRIu32, nr);
	/* the store may be too full for it */
	(void)store_snapshot(store, (const char *const[]){name}, 1, NULL, NULL);
	if (nr < NR_KEPT)
		return;
	(void)snprintf(name, sizeof(name), "a@%" PRIu32, nr - NR_KEPT);
	(void)store_delete(store, (const char *const[]){name}, 1, false, NULL);
}

/*
 * Each writes metadata anew, whose frames come back with the next one.  Those
 * of a write that is admitted in the end gained something: how many these are
 * depends on when the cleaner gets the processor.
 */
static void checkpoints_that_gain_nothing_come_to_an_end(void **state)
{
	const uint32_t nr = 48;
	struct rng rng = {1};
	uint32_t nr_refused = 0;
	uint64_t nr_vain = 0;

	for (uint32_t i = 0; nr_refused < nr; i++) {
		uint64_t before = stat_now().checkpoint_id;
		int r = try_put(a, rng_below(&rng, NR_FEW_BLOCKS), 1, i + 1);

		if (r < 0) {
			nr_refused++;
			nr_vain += stat_now().checkpoint_id - before;
			assert_in_range(nr_vain, 0, nr * 100);
			refused(r, ENOSPC, "store is full");
		}
		if (i % 100 == 99)
			roll_snapshots(i / 100);
	}
	check_is_clean();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_is_reaped_with_what_deletes_leave),
		TEST(and_with_what_the_checkpoint_of_a_delete_leaves),
		TEST(nobody_waits_for_what_cannot_be_freed),
		cmocka_unit_test_setup_teardown(
			checkpoints_that_gain_nothing_come_to_an_end,
			set_up_few, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
