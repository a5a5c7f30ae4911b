/* SPDX-License-Identifier: BSD-2-Clause */
/* The extent map: setting, clearing, sharing, runs. */
#include <errno.h>

#include "fixture.h"

static struct nodes *nodes;
static struct extent_map map;
static uint32_t missing;

static int set_up(void **state)
{
	int r = make_modules(state);

	nodes = &store->nodes;
	map = (struct extent_map){.epoch = 1};
	return r;
}

static struct birth new_names(uint32_t nr)
{
	assert_true(nr <= TEST_SLOTS - 2);
	return birth_make(add_segment(SEGMENT_DATA)->segno, 2);
}

/* Map @nr blocks of one leaf to fresh names; returns the first. */
static struct birth set(struct extent_map *to, uint64_t block, uint32_t nr)
{
	static const uint32_t checksums[TEST_SLOTS];
	struct birth name = new_names(nr);
	struct map_path path;

	assert_int_equal(nodes_prepare(nodes), 0);
	must(extent_map_own_leaf(nodes, to, (struct vblock){block}, &path,
				 &missing, &err));
	must(extent_map_set(nodes, to, &path, (struct vblock){block}, nr, name,
			    checksums, &err));
	return name;
}

static void clear(struct extent_map *from, uint64_t block, uint64_t nr)
{
	assert_int_equal(nodes_prepare(nodes), 0);
	must(extent_map_prepare_clear(nodes, from, (struct vblock){block}, nr,
				      &missing, &err));
	must(extent_map_clear(nodes, from, (struct vblock){block}, nr, &err));
}

static struct leaf_entry get(const struct extent_map *from, uint64_t block)
{
	struct leaf_entry ret;

	must(extent_map_read(nodes, from, (struct vblock){block}, 1, &ret,
			     &missing, &err));
	return ret;
}

static bool is_hole(const struct extent_map *from, uint64_t block)
{
	return leaf_entry_kind(get(from, block)) == ENTRY_HOLE;
}

static uint32_t count(struct birth name)
{
	return count_get(&store->segments, name);
}

/* @to gets @from's root, as a snapshot does. */
static void share(struct extent_map *from, struct extent_map *to)
{
	*to = *from;
	node_ref(nodes, from->root);
	from->epoch++;
}

static struct extent lookup(uint64_t block)
{
	struct extent ret;

	must(extent_map_lookup(nodes, &map, (struct vblock){block}, &ret,
			       &missing, &err));
	return ret;
}

static void an_empty_map_is_one_hole(void **state)
{
	struct extent e = lookup(12345);

	assert_false(e.is_data);
	assert_int_equal(e.nr_blocks, VOLUME_BLOCKS_MAX - 12345);
	assert_true(is_hole(&map, VOLUME_BLOCKS_MAX - 1));
	clear(&map, 0, VOLUME_BLOCKS_MAX);
	clear(&map, 3, 100);
	assert_int_equal(nodes->nr_nodes, 0);
}

static void what_was_set_is_read(void **state)
{
	struct birth name = set(&map, 100, 10);

	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(leaf_entry_birth(get(&map, 100 + i)).value,
				 name.value + i);
	assert_true(is_hole(&map, 99));
	assert_true(is_hole(&map, 110));
	assert_int_equal(map.refer, 10);
	assert_int_equal(nodes->nr_nodes, INNER_LEVELS + 1);
}

static void the_last_block_can_be_mapped(void **state)
{
	struct birth name = set(&map, VOLUME_BLOCKS_MAX - 1, 1);

	assert_int_equal(
		leaf_entry_birth(get(&map, VOLUME_BLOCKS_MAX - 1)).value,
		name.value);
	clear(&map, VOLUME_BLOCKS_MAX - 1, 1);
	assert_int_equal(count(name), 0);
}

static void overwriting_drops_the_old_name(void **state)
{
	struct birth old = set(&map, 7, 4), now = set(&map, 8, 2);

	assert_int_equal(map.refer, 4);
	assert_int_equal(count(old), 1);
	assert_int_equal(count((struct birth){old.value + 1}), 0);
	assert_int_equal(count(now), 1);
	assert_int_equal(store->segments.live_blocks, 4);
}

static void clearing_part_of_a_leaf_drops_its_names(void **state)
{
	struct birth name = set(&map, 0, 10);

	clear(&map, 3, 4);
	assert_int_equal(map.refer, 6);
	assert_false(is_hole(&map, 2));
	assert_true(is_hole(&map, 3));
	assert_true(is_hole(&map, 6));
	assert_false(is_hole(&map, 7));
	assert_int_equal(count((struct birth){name.value + 3}), 0);
	assert_int_equal(count((struct birth){name.value + 7}), 1);
	assert_int_equal(nodes->reaper.len, 0);
}

static void whole_subtrees_go_to_the_reaper_unread(void **state)
{
	uint64_t subtree = (uint64_t)LEAF_BLOCKS * INNER_CHILDREN;
	struct birth name = set(&map, subtree + 5, 10);

	(void)set(&map, subtree + 64, 10);
	(void)set(&map, 1, 1);
	clear(&map, subtree, subtree);
	assert_int_equal(nodes->reaper.len, 1);
	assert_int_equal(map.refer, 1);
	assert_true(is_hole(&map, subtree + 5));
	assert_false(is_hole(&map, 1));
	/* the names go when the reaper gets there */
	assert_int_equal(count(name), 1);
}

static void a_range_over_many_leaves_clears_its_ends_too(void **state)
{
	for (uint64_t leaf = 0; leaf < 6; leaf++)
		(void)set(&map, leaf * LEAF_BLOCKS + 28, 8);
	clear(&map, 32, 4 * LEAF_BLOCKS);
	assert_int_equal(map.refer, 4 + 4 + 8);
	assert_false(is_hole(&map, 31));
	assert_true(is_hole(&map, 32));
	assert_true(is_hole(&map, 4 * LEAF_BLOCKS + 31));
	assert_false(is_hole(&map, 4 * LEAF_BLOCKS + 32));
	assert_int_equal(nodes->reaper.len, 3);
}

static void the_whole_map_goes_as_one_reference(void **state)
{
	(void)set(&map, 1, 1);
	(void)set(&map, UINT64_C(1) << 30, 1);
	clear(&map, 0, VOLUME_BLOCKS_MAX);
	assert_int_equal(map.root, 0);
	assert_int_equal(map.refer, 0);
	assert_int_equal(nodes->reaper.len, 1);
}

static void a_shared_path_is_copied_before_it_changes(void **state)
{
	struct birth old = set(&map, 0, 10), now;
	struct extent_map other;

	share(&map, &other);
	now = set(&map, 3, 1);
	assert_int_not_equal(map.root, other.root);
	assert_int_equal(leaf_entry_birth(get(&other, 3)).value, old.value + 3);
	assert_int_equal(leaf_entry_birth(get(&map, 3)).value, now.value);
	assert_int_equal(leaf_entry_birth(get(&map, 4)).value, old.value + 4);
	assert_int_equal(count(old), 2);
	assert_int_equal(count((struct birth){old.value + 3}), 1);
	assert_int_equal(nodes->nr_nodes, 2 * (INNER_LEVELS + 1));
	assert_int_equal(node_entry(nodes, other.root)->count, 1);
}

static void a_shared_subtree_is_not_copied(void **state)
{
	struct birth far = set(&map, 640, 1);
	struct extent_map other;

	(void)set(&map, 0, 1);
	share(&map, &other);
	(void)set(&map, 0, 1);
	/* one leaf is shared, by two inner nodes: its names count once */
	assert_int_equal(count(far), 1);
	clear(&map, 640, LEAF_BLOCKS);
	assert_true(is_hole(&map, 640));
	assert_false(is_hole(&other, 640));
}

static void an_owned_path_is_not_copied_again(void **state)
{
	struct extent_map other;
	uint64_t nr;

	(void)set(&map, 0, 1);
	share(&map, &other);
	(void)set(&map, 0, 1);
	nr = nodes->nr_nodes;
	(void)set(&map, 1, 5);
	assert_int_equal(nodes->nr_nodes, nr);
}

static void a_path_nobody_else_reaches_is_taken_over(void **state)
{
	struct extent_map other;
	uint32_t root = map.root;

	(void)set(&map, 0, 1);
	root = map.root;
	share(&map, &other);
	node_unref_shared(nodes, other.root); /* the other one goes */
	(void)set(&map, 0, 1);
	assert_int_equal(map.root, root);
	assert_int_equal(nodes->nr_nodes, INNER_LEVELS + 1);
}

static void runs_end_where_the_kind_changes(void **state)
{
	struct extent e;

	(void)set(&map, 10, 5);
	e = lookup(0);
	assert_false(e.is_data);
	assert_int_equal(e.nr_blocks, 10);
	e = lookup(12);
	assert_true(e.is_data);
	assert_int_equal(e.nr_blocks, 3);
	e = lookup(15);
	assert_false(e.is_data);
	assert_int_equal(e.nr_blocks, LEAF_BLOCKS - 15);
}

static void a_missing_subtree_is_a_hole_to_its_end(void **state)
{
	uint64_t one = (uint64_t)LEAF_BLOCKS * INNER_CHILDREN;

	(void)set(&map, 0, 1);
	assert_int_equal(lookup(LEAF_BLOCKS + 1).nr_blocks, LEAF_BLOCKS - 1);
	assert_int_equal(lookup(one + 1).nr_blocks, one - 1);
	assert_int_equal(lookup(one * INNER_CHILDREN).nr_blocks,
			 one * INNER_CHILDREN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, free_modules)
		TEST(an_empty_map_is_one_hole),
		TEST(what_was_set_is_read),
		TEST(the_last_block_can_be_mapped),
		TEST(overwriting_drops_the_old_name),
		TEST(clearing_part_of_a_leaf_drops_its_names),
		TEST(whole_subtrees_go_to_the_reaper_unread),
		TEST(a_range_over_many_leaves_clears_its_ends_too),
		TEST(the_whole_map_goes_as_one_reference),
		TEST(a_shared_path_is_copied_before_it_changes),
		TEST(a_shared_subtree_is_not_copied),
		TEST(an_owned_path_is_not_copied_again),
		TEST(a_path_nobody_else_reaches_is_taken_over),
		TEST(runs_end_where_the_kind_changes),
		TEST(a_missing_subtree_is_a_hole_to_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
