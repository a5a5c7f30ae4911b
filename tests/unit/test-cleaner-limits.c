/* SPDX-License-Identifier: BSD-2-Clause */
/* The cleaner where there is little room, or nothing to clean. */
#include <errno.h>

#include "fixture.h"

#define NR_BLOCKS 4000u /* more than the store holds */
/* What a checkpoint has to write at most, while frames are left for it. */
#define PENDING_MOST (TEST_FRAMES / 4 * TEST_SLOTS * BLOCK_SIZE)

/* Write blocks from @first until one is refused; which one. */
static uint32_t fill_up(struct volume_handle *h, uint32_t first, bool flush)
{
	int r = 0;

	while (first < NR_BLOCKS) {
		r = try_put(h, first, 1, 1);
		if (r < 0)
			break;
		first++;
		if (flush)
			must(volume_flush(h, &err));
	}
	refused(r, ENOSPC, "store is full");
	return first;
}

/* Each flush costs a header: half of each segment holds no data. */
static void batches_of_one_block_are_packed_until_the_store_is_full(void **s)
{
	struct volume_handle *h = create_volume("a", NR_BLOCKS);
	uint32_t frames = TEST_FRAMES - (uint32_t)stat_now().frames_reserve;
	uint32_t nr;

	/* nothing is worth cleaning, and later no name dies */
	put(h, 0, 28, 1);
	must(volume_flush(h, &err));
	must(store_clean(store, &err));
	assert_true(store->cleaner.hopeless);
	must(store_start(store, &err));
	nr = fill_up(h, 28, true);
	assert_true(nr >= frames * (TEST_SLOTS - 3) * 9 / 10);
	expect(h, 0, nr, 1);
	volume_close(h);
	check_is_clean();
}

/* Does next to nothing happen within two seconds? */
static bool rests(void)
{
	struct store_stat before = stat_now(), after;
	uint64_t cpu = cpu_ms();

	sleep_ms(2000);
	cpu = cpu_ms() - cpu;
	after = stat_now();
	return cpu <= 2000 / 20 && after.nr_victims == before.nr_victims &&
	       after.copied_blocks == before.copied_blocks &&
	       after.checkpoint_id == before.checkpoint_id;
}

/* Full, and every block in a map and a snapshot: nothing to clean. */
static void a_full_store_of_live_blocks_rests(void **state)
{
	struct volume_handle *h = create_volume("a", NR_BLOCKS);
	uint64_t cpu, nr_victims;
	uint32_t nr;

	must(store_start(store, &err));
	nr = fill_up(h, 0, false);
	snapshot("a@s");
	assert_int_equal(try_put(h, 0, 1, 2), -ENOSPC);
	sleep_ms(500);
	for (int i = 0; !rests(); i++) /* it may not have come to that */
		assert_in_range(i, 0, 10);
	nr_victims = stat_now().nr_victims;
	/* nor does it work to refuse, over and over */
	cpu = cpu_ms();
	for (int i = 0; i < 20; i++)
		assert_int_equal(try_put(h, i, 1, 2), -ENOSPC);
	assert_in_range(cpu_ms() - cpu, 0, 1000);
	assert_in_range(stat_now().nr_victims, 0, nr_victims + 20);
	expect(h, 0, nr, 1);
	volume_close(h);
	check_is_clean();
}

/* As if nothing had been written for long; victims were taken by then. */
static bool cleans_when_idle(uint64_t victims, unsigned int ms)
{
	for (; stat_now().nr_victims == victims && ms > 0; ms -= 10) {
		lock_core();
		store->cleaner.seen_seq = store->log.next_seq;
		store->cleaner.seen_ms = 0;
		unlock_core();
		sleep_ms(10);
	}
	return stat_now().nr_victims > victims;
}

static void set_pending_bytes(uint64_t bytes)
{
	lock_core();
	store->pending_bytes = bytes;
	unlock_core();
}

/* Half of the blocks of @h, full segments, die later, by @kill_half. */
static void expect_cleaned_when_idle(struct volume_handle *h,
				     void (*kill_half)(struct volume_handle *))
{
	uint64_t victims;

	must(store_checkpoint(store, &err));
	must(store_clean(store, &err));
	must(store_start(store, &err));
	sleep_ms(300); /* it sleeps */
	victims = stat_now().nr_victims;
	kill_half(h);
	for (int i = 0; stat_now().reaper_queue && i < 6000; i++)
		sleep_ms(10);
	/* not when a checkpoint has as much to write as it may */
	set_pending_bytes(PENDING_MOST);
	assert_false(cleans_when_idle(victims, 1500));
	set_pending_bytes(0);
	assert_true(cleans_when_idle(victims, 60000));
	volume_close(h);
	check_is_clean();
}

static void delete_snapshot(struct volume_handle *h)
{
	delete_volume("a@s");
}

static void what_a_delete_leaves_behind_is_cleaned_when_idle(void **state)
{
	struct volume_handle *h = create_volume("a", 600);

	put(h, 0, 600, 1);
	snapshot("a@s");
	for (uint32_t i = 0; i < 600; i += 2)
		put(h, i, 1, 2);
	expect_cleaned_when_idle(h, delete_snapshot);
}

static void trim_every_other(struct volume_handle *h)
{
	for (uint64_t i = 0; i < 900; i += 2)
		must(volume_trim(h, BLOCK_SIZE, i * BLOCK_SIZE, false, &err));
	must(store_checkpoint(store, &err));
}

static void what_trims_leave_behind_is_cleaned_when_idle(void **state)
{
	struct volume_handle *h = create_volume("a", 900);

	put(h, 0, 900, 1);
	expect_cleaned_when_idle(h, trim_every_other);
}

static void expect_dirty_forwards(uint64_t nr)
{
	uint64_t bytes;

	lock_core();
	assert_int_equal(count_dirty_forwards(), nr);
	assert_int_equal(store->segments.dirty_forwards, nr);
	bytes = dirty_bytes(store);
	store->segments.dirty_forwards = 0;
	assert_int_equal(bytes - dirty_bytes(store),
			 nr * SEGMENT_INFO_FORWARD_BYTES);
	store->segments.dirty_forwards = nr;
	unlock_core();
}

static void forwards_count_as_what_a_checkpoint_writes(void **state)
{
	struct volume_handle *h = create_volume("a", 448);
	uint64_t nr;

	put(h, 0, 448, 1);
	for (uint32_t i = 0; i < 448; i += 2)
		put(h, i, 1, 2);
	must(store_checkpoint(store, &err));
	while (cleaner_step(store, &err) > 0)
		expect_dirty_forwards(stat_now().forwarded_blocks);
	nr = stat_now().forwarded_blocks;
	assert_true(nr > 100);
	must(store_checkpoint(store, &err));
	expect_dirty_forwards(0);
	/* pages that had forwards change, and lose some of them */
	put(h, 0, 64, 3);
	assert_true(stat_now().forwarded_blocks < nr);
	expect_dirty_forwards(count_dirty_forwards());
	must(volume_trim(h, 448 * BLOCK_SIZE, 0, false, &err));
	must(store_reap(store, &err));
	expect_dirty_forwards(0);
	volume_close(h);
}

/* While a check holds on to the frames that a checkpoint would take. */
static void nobody_waits_for_a_cleaner_that_cannot_work(void **state)
{
	lock_core();
	store->cleaner.running = true;
	store->frames.host_full = true;
	while (frames_take(&store->frames, FRAME_USER_METADATA) != PLACE_NONE)
		;
	assert_true(cleaner_falls_behind(store));
	store->nr_images = 1;
	assert_false(cleaner_falls_behind(store));
	store->nr_images = 0;
	unlock_core();
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, open_store, close_store)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(batches_of_one_block_are_packed_until_the_store_is_full),
		TEST(a_full_store_of_live_blocks_rests),
		TEST(what_a_delete_leaves_behind_is_cleaned_when_idle),
		TEST(what_trims_leave_behind_is_cleaned_when_idle),
		TEST(forwards_count_as_what_a_checkpoint_writes),
		TEST(nobody_waits_for_a_cleaner_that_cannot_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
