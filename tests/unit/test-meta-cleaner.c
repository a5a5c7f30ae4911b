/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory and frames that must not grow with use: META segments, leaves. */
#include <stdio.h>

#include "fixture.h"
#include "meta-cleaner.h"

#define NR_LEAVES 300u

static void each_open_leaves_no_frame_behind(void **state)
{
	uint64_t used;
	char name[32];

	volume_close(create_volume("a", 10));
	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "a@first-%d", i);
		snapshot(name);
		reopen(true);
	}
	used = stat_now().frames_used;
	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "a@then-%d", i);
		snapshot(name);
		reopen(true);
	}
	assert_true(stat_now().frames_used <= used + 2);
	check_is_clean();
}

static void cleaned_segments_hold_nothing_that_is_missed(void **state)
{
	struct volume_handle *h = create_volume("a", NR_LEAVES * LEAF_BLOCKS);

	for (uint32_t i = 0; i < NR_LEAVES; i++) {
		put(h, (uint64_t)i * LEAF_BLOCKS, 1, i + 1);
		if (i % 10 == 0)
			must(store_checkpoint(store, &err));
	}
	volume_close(h);
	reopen(true);
	reopen(false);
	check_is_clean();
	h = open_volume("a");
	for (uint32_t i = 0; i < NR_LEAVES; i++)
		expect(h, (uint64_t)i * LEAF_BLOCKS, 1, i + 1);
	volume_close(h);
}

#define NR_HOT 30u
#define NR_COLD 870u
#define COLD_PER_ROUND 25u

/*
 * Some leaves change from each checkpoint to the next, others seldom: a quarter
 * of each segment stays live.  Uncleaned these would be 35 segments and more.
 * *ret_live: segments that what is live would fill.  Returns their number.
 */
static uint64_t churn_metadata(struct volume_handle *h, uint64_t *ret_live)
{
	uint64_t nr;

	for (uint32_t round = 0; round < 80; round++) {
		for (uint32_t i = 0; i < NR_HOT + COLD_PER_ROUND; i++) {
			uint64_t cold = (round * COLD_PER_ROUND + i) % NR_COLD;

			put(h, (i < NR_HOT ? i : NR_HOT + cold) * LEAF_BLOCKS,
			    1, round + 2);
		}
		must(store_checkpoint(store, &err));
	}
	lock_core();
	*ret_live = (store->segments.meta_bytes >> TEST_SEGMENT_SHIFT) + 1;
	nr = store->segments.meta.len;
	unlock_core();
	return nr;
}

static struct volume_handle *create_leaves(void)
{
	struct volume_handle *h =
		create_volume("a", (NR_HOT + NR_COLD) * LEAF_BLOCKS);

	for (uint32_t i = 0; i < NR_HOT + NR_COLD; i++)
		put(h, (uint64_t)i * LEAF_BLOCKS, 1, 1);
	return h;
}

static void metadata_takes_about_twice_what_is_live(void **state)
{
	struct volume_handle *h = create_leaves();
	uint64_t live, nr = churn_metadata(h, &live);

	/* the slack that is allowed, and what is not free before the next */
	assert_in_range(nr, live, 2 * live + 4 + 4);
	check_is_clean();
	volume_close(h);
}

/* Blocks of a volume of its own, moved by the cleaner.  Returns how many. */
static uint64_t make_forwards(void)
{
	struct volume_handle *h = create_volume("f", 448);

	put(h, 0, 448, 1);
	for (uint32_t i = 0; i < 448; i += 2)
		put(h, i, 1, 2);
	volume_close(h);
	must(store_checkpoint(store, &err));
	while (cleaner_step(store, &err) > 0)
		;
	must(store_checkpoint(store, &err));
	return stat_now().forwarded_blocks;
}

/* Choose victims as a checkpoint does.  Returns the forwards it would write. */
static uint64_t begin_cleaning(void)
{
	uint64_t nr;

	lock_core();
	(void)meta_cleaner_begin(store);
	nr = count_dirty_forwards();
	assert_int_equal(store->segments.dirty_forwards, nr);
	unlock_core();
	return nr;
}

/* Else it falls below zero when a block that is forwarded dies. */
static void forwards_of_a_page_that_moves_count_as_dirty(void **state)
{
	struct volume_handle *h = create_volume("a", NR_LEAVES * LEAF_BLOCKS),
			     *f;
	uint64_t nr_moved = 0;

	assert_true(make_forwards() > 0);
	for (uint32_t round = 0; round < 100 && nr_moved == 0; round++) {
		for (uint32_t i = 0; i < NR_HOT; i++)
			put(h,
			    (round * COLD_PER_ROUND + i) % NR_LEAVES *
				    LEAF_BLOCKS,
			    1, round + 1);
		nr_moved = begin_cleaning();
		if (nr_moved == 0)
			must(store_checkpoint(store, &err));
	}
	assert_true(nr_moved > 0);
	f = open_volume("f");
	put(f, 0, 64, 3);
	assert_int_equal(store->segments.dirty_forwards,
			 count_dirty_forwards());
	volume_close(f);
	volume_close(h);
	check_is_clean();
}

/* Everybody waits for the checkpoint of an open. */
static void an_open_leaves_what_is_worth_cleaning_to_the_next(void **state)
{
	struct volume_handle *h = create_leaves();
	bool cleans_at_open = false, cleans = false;

	must(store_checkpoint(store, &err));
	for (uint32_t round = 0; round < 100 && !cleans; round++) {
		for (uint32_t i = 0; i < NR_HOT; i++)
			put(h,
			    (round * COLD_PER_ROUND + i) % NR_COLD *
				    LEAF_BLOCKS,
			    1, round + 2);
		lock_core();
		store->replaying = true;
		cleans_at_open = meta_cleaner_begin(store);
		store->replaying = false;
		cleans = meta_cleaner_begin(store);
		unlock_core();
		must(store_checkpoint(store, &err));
	}
	assert_true(cleans);
	assert_false(cleans_at_open);
	volume_close(h);
	check_is_clean();
}

/* Blocks that take what is free, and a third of them is dead then. */
static struct volume_handle *fill_frames(void)
{
	const uint64_t nr = 2000, run = 10;
	struct volume_handle *h = create_volume("b", nr);
	bool few = false;
	uint64_t end;

	for (end = 0; !few && end < nr; end += run) {
		put(h, end, run, 1);
		lock_core();
		few = cleaner_frames_are_few(store);
		unlock_core();
	}
	assert_true(few);
	for (uint64_t i = 0; i < end; i += 3 * run)
		must(volume_trim(h, run * BLOCK_SIZE, i * BLOCK_SIZE, false,
				 &err));
	return h;
}

static void where_frames_are_few_metadata_takes_less(void **state)
{
	struct volume_handle *h = create_leaves(), *b = fill_frames();
	uint64_t live, nr = churn_metadata(h, &live);

	assert_in_range(nr, live, 2 * live);
	check_is_clean();
	volume_close(b);
	volume_close(h);
}

static void clean_leaves_are_evicted_and_come_back(void **state)
{
	struct volume_handle *h = create_volume("a", NR_LEAVES * LEAF_BLOCKS);
	uint64_t all, most;

	for (uint32_t i = 0; i < NR_LEAVES; i++)
		put(h, (uint64_t)i * LEAF_BLOCKS, 1, i + 1);
	all = stat_now().nodes_bytes;
	most = all / 4;
	lock_core();
	store->nodes.bytes_max = most;
	unlock_core();
	/* dirty leaves stay whatever the bound says */
	expect(h, 0, 1, 1);
	assert_true(stat_now().nodes_bytes >= all);
	must(store_checkpoint(store, &err));
	for (int round = 0; round < 3; round++)
		for (uint32_t i = 0; i < NR_LEAVES; i++)
			expect(h, (uint64_t)i * LEAF_BLOCKS, 1, i + 1);
	for (uint32_t i = 0; i < NR_LEAVES / 8; i++)
		put(h, (uint64_t)i * LEAF_BLOCKS, 1, i + 7);
	assert_true(stat_now().nodes_bytes < all / 2);
	for (uint32_t i = 0; i < NR_LEAVES; i++)
		expect(h, (uint64_t)i * LEAF_BLOCKS, 1,
		       i < NR_LEAVES / 8 ? i + 7 : i + 1);
	volume_close(h);
	check_is_clean();
}

/* Leaves and the memory kept for the next ones. */
static uint64_t nr_leaf_memories(void)
{
	uint64_t bytes = sizeof(struct node) + sizeof(struct leaf_content);
	uint64_t nr;

	lock_core();
	nr = store->nodes.leaf_bytes / bytes + store->nodes.nr_spare_leaves;
	unlock_core();
	return nr;
}

/* Other threads' malloc would have to find room of its own for them. */
static void evicted_leaves_leave_their_memory_to_others(void **state)
{
	struct volume_handle *h = create_volume("a", NR_LEAVES * LEAF_BLOCKS);
	uint64_t nr;

	for (uint32_t i = 0; i < NR_LEAVES; i++)
		put(h, (uint64_t)i * LEAF_BLOCKS, 1, i + 1);
	must(store_checkpoint(store, &err));
	nr = nr_leaf_memories();
	assert_true(nr >= NR_LEAVES);
	lock_core();
	store->nodes.bytes_max = store->nodes.leaf_bytes / 4;
	unlock_core();
	for (uint32_t i = 0; i < NR_LEAVES; i++) /* begins to evict */
		put(h, 0, 1, 1);
	for (int round = 0; round < 3; round++)
		for (uint32_t i = 0; i < NR_LEAVES; i++)
			expect(h, (uint64_t)i * LEAF_BLOCKS, 1, i + 1);
	assert_true(stat_now().nodes_bytes < 2 * store->nodes.bytes_max);
	assert_in_range(nr_leaf_memories(), nr, nr + SPARE_LEAVES);
	volume_close(h);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, open_store, close_store)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_open_leaves_no_frame_behind),
		TEST(cleaned_segments_hold_nothing_that_is_missed),
		TEST(metadata_takes_about_twice_what_is_live),
		TEST(forwards_of_a_page_that_moves_count_as_dirty),
		TEST(an_open_leaves_what_is_worth_cleaning_to_the_next),
		TEST(where_frames_are_few_metadata_takes_less),
		TEST(clean_leaves_are_evicted_and_come_back),
		TEST(evicted_leaves_leave_their_memory_to_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
