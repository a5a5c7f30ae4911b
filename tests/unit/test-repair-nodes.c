/* SPDX-License-Identifier: BSD-2-Clause */
/* Repair of map nodes, and of the counts of what they refer to. */
#include "repair-fixture.h"

/* ---- nodes ---- */

static void an_unreadable_leaf_loses_its_blocks(void **state)
{
	struct volume_handle *h;

	damage_node(node_of("a", 0, 64)); /* blocks 64 to 127, of all three */
	repair();
	expect_said("a: offset 262144, length 262144: unreadable map node");
	expect_said("shared with a@s, b");
	expect_said("replaced by lost blocks: 2 references");
	expect_lost("a", 64, 64);
	expect_lost("a@s", 64, 64);
	expect_lost("b", 64, 64);
	expect_blocks("a", 0, 10, 4);
	expect_blocks("a", 10, 54, 1);
	expect_blocks("a", 128, 172, 1);
	expect_blocks("b", FAR, 100, 2);
	expect_c();
	assert_int_equal(report.nr_lost, 64);

	h = open_volume("a");
	put(h, 64, 64, 9);
	volume_close(h);
	must(store_checkpoint(store, &err));
	reopen(true);
	expect_blocks("a", 64, 64, 9);
	expect_lost("a@s", 64, 64);
	check_is_clean();
}

static void an_unreadable_inner_node_loses_what_is_below(void **state)
{
	damage_node(node_of("a@s", 1, FAR)); /* shared by all three */
	repair();
	expect_lost("a", FAR, 200);
	expect_lost("a@s", FAR + 10000, 10);
	expect_lost("b", 2 * FAR - 1, 1);
	expect_blocks("b", 2 * FAR, 10, 0);
	expect_blocks("a", 10, 290, 1);
	expect_blocks("b", FAR_AWAY, 10, 3);
	expect_c();
}

static void an_unreadable_root_loses_the_volume_and_no_more(void **state)
{
	struct volume_handle *h;

	damage_node(node_of("c@old", INNER_LEVELS, 0));
	damage_node(node_of("c", INNER_LEVELS, 0));
	repair();
	expect_said("c: offset 0, length 2048000: ");
	expect_lost("c", 0, 500);
	expect_lost("c@old", 0, 500);
	expect_blocks("c@new", 0, 20, 6);
	expect_blocks("c@new", 20, 30, 5);
	expect_a();
	/* what is lost ends where the volume does */
	h = open_volume("c");
	put(h, 0, 500, 9);
	volume_close(h);
	expect_blocks("c", 0, 500, 9);
	assert_int_equal(volume("c")->map.refer, 500);
	check_is_clean();
}

static void a_lost_leaf_is_trimmed_and_deleted_as_any(void **state)
{
	static const char *const all[] = {"a", "b"};
	struct volume_handle *h;

	damage_node(node_of("a@s", 1, FAR));
	repair();
	h = open_volume("a");
	must(volume_trim(h, 100 * BLOCK_SIZE, FAR * BLOCK_SIZE, false, &err));
	volume_close(h);
	expect_blocks("a", FAR, 100, 0);
	expect_lost("a", FAR + 100, 10);
	check_is_clean();
	must(store_delete(store, all, 2, true, &err));
	must(store_reap(store, &err));
	reopen(true);
	check_is_clean();
	expect_c();
}

static void a_replayed_write_heals_a_lost_leaf(void **state)
{
	struct volume_handle *h = open_volume("a");

	damage_node(node_of("a", 0, 64));
	put(h, 64, 64, 9);
	volume_close(h);
	must(store_flush(store, &err));
	repair();
	expect_blocks("a", 64, 64, 9);
	expect_lost("b", 64, 64);
}

/* ---- counts ---- */

static void wrong_counts_are_put_right(void **state)
{
	uint32_t leaf = node_of("a", 0, 64), inner = node_of("b", 1, FAR);
	struct segment *s = segment_of("a", 70);
	uint64_t nr_nodes = stat_now().nr_nodes;

	lock_core();
	node_entry_touch(&store->nodes, leaf);
	node_entry(&store->nodes, leaf)->count += 3;
	node_entry_touch(&store->nodes, inner);
	node_entry(&store->nodes, inner)->used -= 1;
	for (uint32_t slot = 2; slot < TEST_SLOTS; slot++)
		must(segment_set_count(&store->segments, s, slot, 5));
	volume_touch(&store->volumes, volume_find_head(&store->volumes, "b"));
	volume_find_head(&store->volumes, "b")->map.refer = 7;
	unlock_core();
	store->checkpoint_wanted = true;
	must(store_checkpoint(store, &err));
	repair();
	expect_said("count 5, but");
	expect_said("b: refers to 7 blocks, but 410");
	expect_all();
	assert_int_equal(stat_now().nr_nodes, nr_nodes);
}

static void what_nothing_refers_to_is_dropped(void **state)
{
	uint64_t before = stat_now().live_blocks;
	struct volume *c = volume("c");

	lock_core();
	volume_touch(&store->volumes, c);
	c->map.root = 0;
	c->map.refer = 0;
	unlock_core();
	store->checkpoint_wanted = true;
	must(store_checkpoint(store, &err));
	repair();
	assert_int_equal(stat_now().live_blocks, before - 10);
	expect_c_snapshots("c");
	expect_blocks("c", 0, 50, 0);
	expect_a();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, open_repairable, close_repairable)
		TEST(an_unreadable_leaf_loses_its_blocks),
		TEST(an_unreadable_inner_node_loses_what_is_below),
		TEST(an_unreadable_root_loses_the_volume_and_no_more),
		TEST(a_lost_leaf_is_trimmed_and_deleted_as_any),
		TEST(a_replayed_write_heals_a_lost_leaf),
		TEST(wrong_counts_are_put_right),
		TEST(what_nothing_refers_to_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
