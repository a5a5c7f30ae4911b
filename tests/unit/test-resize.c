/* SPDX-License-Identifier: BSD-2-Clause */
/* Other sizes: growing under clients, and shrinking for good. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fixture.h"

#define BLOCKS 200u /* of a: more than one leaf */

static struct volume_handle *a;

static int set_up(void **state)
{
	int r = open_store(state);

	if (r < 0)
		return r;
	a = create_volume("a", BLOCKS);
	put(a, 0, BLOCKS, 1);
	return 0;
}

static int tear_down(void **state)
{
	volume_close(a);
	a = NULL;
	return close_store(state);
}

static void let_go(void)
{
	volume_close(a);
	a = NULL;
}

static void resize(uint64_t nr_blocks)
{
	uint64_t was;

	must(store_resize(store, "a", nr_blocks * BLOCK_SIZE, true, &was,
			  &err));
}

/* @a is opened again. */
static void shrink(uint64_t nr_blocks)
{
	let_go();
	resize(nr_blocks);
	a = open_volume("a");
}

static uint64_t refer(void)
{
	struct volume_info info;

	must(store_find(store, "a", &info, &err));
	return info.refer_blocks;
}

static void a_volume_grows_under_its_client(void **state)
{
	uint64_t was;

	must(store_resize(store, "a", 300 * BLOCK_SIZE + 512, false, &was,
			  &err));
	assert_int_equal(was, BLOCKS * BLOCK_SIZE);
	assert_int_equal(volume_size(a), 300 * BLOCK_SIZE + 512);
	expect(a, 0, BLOCKS, 1);
	expect(a, BLOCKS, 100, 0);
	put(a, BLOCKS, 100, 2);
	must(volume_write(a, "end", 3, 300 * BLOCK_SIZE + 509, false, &err));
	refused(volume_write(a, "x", 1, 300 * BLOCK_SIZE + 512, false, &err),
		ENOSPC, "beyond the end");
	check_is_clean();
}

static void what_was_beyond_the_end_does_not_come_back(void **state)
{
	static const uint64_t ends[] = {150, 64, 65, 63, 1};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		put(a, 0, BLOCKS, (uint32_t)i + 1);
		shrink(ends[i]);
		assert_int_equal(refer(), ends[i]);
		assert_int_equal(volume_size(a), ends[i] * BLOCK_SIZE);
		resize(BLOCKS);
		expect(a, 0, (uint32_t)ends[i], (uint32_t)i + 1);
		expect(a, (uint32_t)ends[i], BLOCKS - (uint32_t)ends[i], 0);
		check_is_clean();
	}
}

static void nor_after_a_crash(void **state)
{
	shrink(70);
	let_go();
	reopen(false);
	a = open_volume("a");
	assert_int_equal(refer(), 70);
	resize(BLOCKS);
	let_go();
	reopen(false);
	a = open_volume("a");
	expect(a, 0, 70, 1);
	expect(a, 70, BLOCKS - 70, 0);
	check_is_clean();
}

static void leaves_that_are_not_in_memory_are_read_first(void **state)
{
	let_go();
	reopen(true);
	resize(70);
	a = open_volume("a");
	assert_int_equal(refer(), 70);
	expect(a, 0, 70, 1);
}

static void
a_snapshot_keeps_its_size_and_a_rollback_brings_it_back(void **state)
{
	const char *names[] = {"a@s"}, *volume[] = {"a"};
	char kept[1][NAME_MAX_BYTES + 1];
	struct volume_handle *s;

	snapshot("a@s");
	shrink(10);
	s = open_snapshot("a@s");
	assert_int_equal(volume_size(s), BLOCKS * BLOCK_SIZE);
	expect(s, 0, BLOCKS, 1);
	volume_close(s);
	let_go();
	must(store_rollback(store, names, 1, kept, &err));
	a = open_volume("a");
	assert_int_equal(volume_size(a), BLOCKS * BLOCK_SIZE);
	expect(a, 0, BLOCKS, 1);
	let_go();
	must(store_undo(store, volume, 1, &err));
	a = open_volume("a");
	assert_int_equal(volume_size(a), 10 * BLOCK_SIZE);
}

static void shrinking_gives_space_back(void **state)
{
	struct store_stat before = stat_now();

	shrink(8);
	must(store_reap(store, &err));
	assert_int_equal(stat_now().live_blocks,
			 before.live_blocks - (BLOCKS - 8));
}

static void what_shrinks_is_not_charged_any_more(void **state)
{
	static const struct setting quota = {"quota", "819200"};

	must(store_set(store, "a", &quota, 1, &err)); /* 200 blocks */
	shrink(100);
	resize(1000);
	put(a, 500, 100, 2);
	refused(try_put(a, 700, 1, 2), ENOSPC, "quota");
}

static void bad_sizes_are_refused(void **state)
{
	static const uint64_t bad[] = {0, 1, 513, VOLUME_BYTES_MAX + 512,
				       UINT64_MAX};
	uint64_t was;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(store_resize(store, "a", bad[i], true, &was, &err),
			EINVAL, "a: size must be");
	refused(store_resize(store, "x", 4096, true, &was, &err), ENOENT, "x");
	snapshot("a@s");
	refused(store_resize(store, "a@s", 4096, true, &was, &err), EINVAL,
		"a@s");
	let_go();
	refused(store_resize(store, "a", 4096, false, &was, &err), EINVAL,
		"a: shrinking from 800 KiB to 4 KiB loses what is beyond the "
		"new end, and needs --shrink");
	refused(store_resize(store, "a", 4608, true, &was, &err), EINVAL,
		"a: cannot shrink to 4608 bytes, which is no multiple of 4 "
		"KiB");
	a = open_snapshot("a");
	refused(store_resize(store, "a", 4096, true, &was, &err), EBUSY,
		"a: in use by 1 client, and would shrink");
	assert_int_equal(volume_size(a), BLOCKS * BLOCK_SIZE);
	must(store_resize(store, "a", VOLUME_BYTES_MAX, false, &was, &err));
	expect(a, 0, BLOCKS, 1);
}

/* Neither is logged, and the store goes on. */
static void expect_clear_refused(uint64_t block, const char *words)
{
	uint64_t was, nr = BLOCKS - block;

	refused(volume_trim(a, nr * BLOCK_SIZE, block * BLOCK_SIZE, false,
			    &err),
		EUCLEAN, words);
	let_go();
	refused(store_resize(store, "a", block * BLOCK_SIZE, true, &was, &err),
		EUCLEAN, words);
	a = open_volume("a");
	assert_false(stat_now().failed);
	assert_int_equal(volume_size(a), BLOCKS * BLOCK_SIZE);
	assert_int_equal(refer(), BLOCKS);
	expect(a, 0, LEAF_BLOCKS, 1);
}

static void what_meets_damage_is_refused_whole(void **state)
{
	struct node *inner = load_node_of("a", 1, 0);
	struct node *leaf = load_node_of("a", 0, LEAF_BLOCKS);
	uint32_t id = inner->inner->children[2];
	struct birth name = leaf_entry_birth(leaf->leaf->entries[60]);

	inner->inner->children[2] = 4711;
	expect_clear_refused(LEAF_BLOCKS + 10, "child 4711");
	inner->inner->children[2] = id;
	lock_core();
	must(count_add(&store->segments, name, -1, &err));
	unlock_core();
	expect_clear_refused(LEAF_BLOCKS + 10, "block 60 is not counted");
	lock_core();
	must(count_add(&store->segments, name, 1, &err));
	unlock_core();
	shrink(LEAF_BLOCKS + 10);
	check_is_clean();
}

static void a_dry_run_says_what_would_be_lost(void **state)
{
	uint64_t was, lost = 1;

	must(volume_trim(a, 10 * BLOCK_SIZE, 190 * BLOCK_SIZE, false, &err));
	must(store_resize_dry_run(store, "a", 300 * BLOCK_SIZE, false, &was,
				  &lost, &err));
	assert_int_equal(lost, 0);
	let_go();
	must(store_resize_dry_run(store, "a", 100 * BLOCK_SIZE, true, &was,
				  &lost, &err));
	assert_int_equal(lost, 90 * BLOCK_SIZE);
	assert_int_equal(was, BLOCKS * BLOCK_SIZE);
	refused(store_resize_dry_run(store, "a", 4096, false, &was, &lost,
				     &err),
		EINVAL, "needs --shrink");
	a = open_volume("a");
	assert_int_equal(volume_size(a), BLOCKS * BLOCK_SIZE);
	expect(a, 0, 190, 1);
}

/* So that nobody is in its way, and it in nobody's. */
static void a_dry_run_opens_nothing_and_looks_at_one_path(void **state)
{
	uint64_t was, lost;

	must(store_resize(store, "a", 300 * BLOCK_SIZE + 512, false, &was,
			  &err));
	must(volume_write(a, "end", 3, 300 * BLOCK_SIZE + 509, false, &err));
	let_go();
	reopen(true);
	must(store_resize_dry_run(store, "a", 100 * BLOCK_SIZE, true, &was,
				  &lost, &err));
	assert_int_equal(lost, 100 * BLOCK_SIZE + BLOCK_SIZE);
	assert_int_equal(store->nodes.nr_loaded, INNER_LEVELS + 1);
	assert_null(volume("a")->traffic); /* it was never open */
	must(store_resize_dry_run(store, "a", 300 * BLOCK_SIZE, true, &was,
				  &lost, &err));
	assert_int_equal(lost, 512);
	a = open_volume("a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_volume_grows_under_its_client),
		TEST(what_was_beyond_the_end_does_not_come_back),
		TEST(nor_after_a_crash),
		TEST(leaves_that_are_not_in_memory_are_read_first),
		TEST(a_snapshot_keeps_its_size_and_a_rollback_brings_it_back),
		TEST(shrinking_gives_space_back),
		TEST(what_shrinks_is_not_charged_any_more),
		TEST(bad_sizes_are_refused),
		TEST(what_meets_damage_is_refused_whole),
		TEST(a_dry_run_says_what_would_be_lost),
		TEST(a_dry_run_opens_nothing_and_looks_at_one_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
