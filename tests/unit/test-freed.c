/* SPDX-License-Identifier: BSD-2-Clause */
/* What a delete would free is what it frees, for any set. */
#include <errno.h>

#include "fixture.h"

/*
 * Volume a of 100 blocks; a@s before 30 of them were rewritten, a@t after;
 * then 20 others. b is a clone of a@s with 5 blocks of its own.
 */
static int set_up(void **state)
{
	static const char *const b[] = {"b"};
	struct volume_handle *h;
	int r = open_store(state);

	if (r < 0)
		return r;
	h = create_volume("a", 1000);
	put(h, 0, 100, 1);
	snapshot("a@s");
	put(h, 0, 30, 2);
	snapshot("a@t");
	put(h, 50, 20, 3);
	volume_close(h);
	must(store_clone(store, "a@s", b, 1, &err));
	h = open_volume("b");
	put(h, 500, 5, 4);
	volume_close(h);
	return 0;
}

/* The answer, and whether the delete then did what it said. */
static uint64_t freed(bool recursive, const char *const *names, size_t nr)
{
	uint64_t ret = UINT64_MAX, live = stat_now().live_blocks;

	must(store_delete_dry_run(store, names, nr, recursive, &ret, &err));
	assert_int_equal(stat_now().live_blocks, live);
	must(store_delete(store, names, nr, recursive, &err));
	must(store_reap(store, &err));
	assert_int_equal(live - stat_now().live_blocks, ret);
	check_is_clean();
	return ret;
}

#define FREED(recursive, ...) \
	freed(recursive, (const char *const[]){__VA_ARGS__}, \
	      sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void a_shared_snapshot_frees_nothing(void **state)
{
	assert_int_equal(FREED(false, "a@s"), 0);
}

static void a_clone_frees_what_is_its_own(void **state)
{
	assert_int_equal(FREED(false, "b"), 5);
}

static void a_middle_snapshot_frees_what_was_rewritten_around_it(void **s)
{
	assert_int_equal(FREED(false, "a@t"), 0);
	/* now nobody but a@s and its clone has the first 30 */
	assert_int_equal(FREED(false, "a@s"), 0);
	assert_int_equal(FREED(false, "b"), 30 + 20 + 5);
}

static void a_set_frees_what_its_members_share(void **state)
{
	assert_int_equal(FREED(false, "a@s", "b"), 30 + 5);
}

static void a_volume_with_its_snapshots_leaves_the_clone(void **state)
{
	/* 30 and 20 rewritten blocks; the first 100 are in b */
	assert_int_equal(FREED(true, "a"), 50);
	assert_int_equal(FREED(false, "b"), 105);
	assert_int_equal(stat_now().live_blocks, 0);
}

static void everything_frees_everything(void **state)
{
	uint64_t live = stat_now().live_blocks;

	assert_int_equal(FREED(true, "a", "b"), live);
	assert_int_equal(stat_now().nr_nodes, 0);
}

static void one_name_twice_counts_once(void **state)
{
	assert_int_equal(FREED(false, "b", "b"), 5);
}

static void an_empty_volume_frees_nothing(void **state)
{
	must(store_create(store, "empty", 4096, &err));
	assert_int_equal(FREED(false, "empty"), 0);
}

static void nodes_that_are_not_in_memory_are_counted_too(void **state)
{
	reopen(true);
	assert_int_equal(store->nodes.nr_loaded, 0);
	assert_int_equal(FREED(false, "a@s", "b"), 35);
}

static void a_damaged_node_is_told(void **state)
{
	static const char *const b[] = {"b"};
	const struct node_entry *e;
	uint64_t ret = 4711;

	reopen(true);
	e = node_entry(&store->nodes,
		       volume_find_head(&store->volumes, "b")->map.root);
	memory_disk_damage(disk,
			   segment_find(&store->segments, e->segno)->place,
			   e->offset + 20, 1);
	refused(store_delete_dry_run(store, b, 1, false, &ret, &err), EBADMSG,
		"node");
	assert_int_equal(ret, 4711);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, close_store)
		TEST(a_shared_snapshot_frees_nothing),
		TEST(a_clone_frees_what_is_its_own),
		TEST(a_middle_snapshot_frees_what_was_rewritten_around_it),
		TEST(a_set_frees_what_its_members_share),
		TEST(a_volume_with_its_snapshots_leaves_the_clone),
		TEST(everything_frees_everything),
		TEST(one_name_twice_counts_once),
		TEST(an_empty_volume_frees_nothing),
		TEST(nodes_that_are_not_in_memory_are_counted_too),
		TEST(a_damaged_node_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
