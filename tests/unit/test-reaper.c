/* SPDX-License-Identifier: BSD-2-Clause */
/* The reaper: one reference at a time, until nothing of a tree is left. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "fixture.h"

/* One step; core is not held. */
static int step(uint32_t *ret_missing)
{
	int r;

	lock_core();
	assert_int_equal(nodes_prepare(&store->nodes), 0);
	r = reaper_step(&store->nodes, ret_missing, &err);
	unlock_core();
	return r;
}

static void an_empty_queue_is_left_alone(void **state)
{
	uint32_t missing;

	assert_int_equal(step(&missing), 0);
}

static void a_deleted_tree_is_freed_step_by_step(void **state)
{
	struct volume_handle *h = create_volume("a", 1000);
	uint32_t missing, nr = 0;

	put(h, 0, 3, 1);
	put(h, 500, 70, 2);
	volume_close(h);
	assert_int_equal(stat_now().live_blocks, 73);
	delete_volume("a");
	assert_int_equal(stat_now().reaper_queue, 1);
	assert_int_equal(stat_now().live_blocks, 73);
	while (step(&missing) == 1)
		nr++;
	/* leaves at 0, 448, 512 and the three nodes above them */
	assert_int_equal(nr, 3 + INNER_LEVELS);
	assert_int_equal(stat_now().live_blocks, 0);
	assert_int_equal(stat_now().nr_nodes, 0);
	assert_int_equal(stat_now().reaper_queue, 0);
	check_is_clean();
}

static void what_a_snapshot_shares_survives(void **state)
{
	struct volume_handle *h = create_volume("a", 1000);

	put(h, 0, 3, 1);
	put(h, 500, 3, 1);
	snapshot("a@s");
	put(h, 1, 1, 2);
	volume_close(h);
	h = NULL;
	must(store_clone(store, "a@s", (const char *const[]){"b"}, 1, &err));
	delete_volume("a");
	must(store_reap(store, &err));
	assert_int_equal(stat_now().live_blocks, 6);
	h = open_volume("b");
	expect(h, 0, 3, 1);
	expect(h, 500, 3, 1);
	volume_close(h);
	check_is_clean();
	delete_volume("b");
	must(store_reap(store, &err));
	assert_int_equal(stat_now().live_blocks, 0);
	assert_int_equal(stat_now().nr_nodes, 0);
}

static void a_shared_root_only_loses_a_reference(void **state)
{
	uint32_t missing;

	make_volume("a", 10, 3);
	snapshot("a@s");
	delete_volume("a@s");
	assert_int_equal(step(&missing), 1);
	assert_int_equal(step(&missing), 0);
	assert_int_equal(stat_now().nr_nodes, INNER_LEVELS + 1);
	check_is_clean();
}

/* So that nobody waits long; in between all is as it should be. */
static void a_wide_node_is_emptied_piece_by_piece(void **state)
{
	const uint32_t nr_leaves = 150;
	struct volume_handle *h = create_volume("a", nr_leaves * LEAF_BLOCKS);
	uint32_t missing, most = 0;
	uint64_t before;

	for (uint32_t i = 0; i < nr_leaves; i++)
		put(h, i * LEAF_BLOCKS, 1, 1);
	volume_close(h);
	delete_volume("a");
	for (uint32_t i = 0; i < INNER_LEVELS; i++)
		assert_int_equal(step(&missing), 1);
	before = stat_now().reaper_queue;
	assert_true(before < nr_leaves);
	check_is_clean();
	reopen(false);
	check_is_clean();
	do {
		before = stat_now().reaper_queue;
		if (step(&missing) == -EAGAIN)
			must(nodes_fault(&store->nodes, missing, &err));
		if (stat_now().reaper_queue > before + most)
			most = (uint32_t)(stat_now().reaper_queue - before);
	} while (stat_now().reaper_queue > 0);
	assert_in_range(most, 2, 64);
	assert_int_equal(stat_now().nr_nodes, 0);
	assert_int_equal(stat_now().live_blocks, 0);
	check_is_clean();
}

/* 32 TiB, written here and there: what is cut off is not looked at. */
static void a_trim_of_a_whole_disk_reads_two_paths(void **state)
{
	const uint64_t stride = VOLUME_BLOCKS_MAX / 100;
	struct volume_handle *h = create_volume("a", VOLUME_BLOCKS_MAX);
	uint64_t nr_nodes;

	for (uint64_t i = 0; i < 100; i++)
		put(h, i * stride, 2, 1);
	put(h, VOLUME_BLOCKS_MAX - 2, 2, 1);
	volume_close(h);
	reopen(true);
	nr_nodes = stat_now().nr_nodes;
	assert_true(nr_nodes > 200);
	h = open_volume("a");
	must(volume_trim(h, (VOLUME_BLOCKS_MAX - 2) * BLOCK_SIZE, BLOCK_SIZE,
			 false, &err));
	/* those above the first and the last block, which stay */
	assert_int_equal(store->nodes.nr_loaded, 2 * INNER_LEVELS + 1);
	assert_in_range(stat_now().dirty_nodes, 1, 2 * INNER_LEVELS + 1);
	assert_int_equal(stat_now().nr_nodes, nr_nodes);
	assert_in_range(stat_now().reaper_queue, 99,
			INNER_LEVELS * INNER_CHILDREN);
	check_is_clean();
	expect(h, 0, 1, 1);
	expect(h, 1, 1, 0);
	expect(h, VOLUME_BLOCKS_MAX - 1, 1, 1);
	must(store_reap(store, &err));
	assert_int_equal(stat_now().nr_nodes, 2 * INNER_LEVELS + 1);
	assert_int_equal(stat_now().live_blocks, 2);
	volume_close(h);
	check_is_clean();
}

#define CHAIN 6u

/* Volume 0, and each next one a clone of the one before, with its own block. */
static void make_chain(void)
{
	char name[16], clone[16];
	const char *clones[] = {clone};

	volume_close(create_volume("v0", 1000));
	for (uint32_t i = 0; i < CHAIN; i++) {
		struct volume_handle *h;

		(void)snprintf(name, sizeof(name), "v%u", i);
		h = open_volume(name);
		put(h, 100 * i, 3, i + 1);
		volume_close(h);
		(void)snprintf(name, sizeof(name), "v%u@s", i);
		snapshot(name);
		(void)snprintf(clone, sizeof(clone), "v%u", i + 1);
		if (i + 1 < CHAIN)
			must(store_clone(store, name, clones, 1, &err));
	}
}

/* Member 2 i is snapshot i, the next one its volume. */
static void delete_member(uint32_t member)
{
	struct volume_info info;
	char name[16];

	(void)snprintf(name, sizeof(name), "v%u%s", member / 2,
		       member % 2 ? "" : "@s");
	/* its volume may have taken it along */
	if (store_find(store, name, &info, &err) < 0)
		return;
	delete_volume(name);
	assert_in_range(stat_now().reaper_queue, 1, 2);
	must(store_reap(store, &err));
}

static void expect_chain(void)
{
	struct volume_info info;
	char name[16];

	for (uint32_t i = 0; i < CHAIN; i++) {
		struct volume_handle *h;

		(void)snprintf(name, sizeof(name), "v%u", i);
		if (store_find(store, name, &info, &err) < 0)
			continue;
		h = open_snapshot(name);
		for (uint32_t k = 0; k < CHAIN; k++)
			expect(h, 100 * k, 3, k <= i ? k + 1 : 0);
		volume_close(h);
	}
	check_is_clean();
}

static void clones_are_deleted_in_any_order(void **state)
{
	/* each permutes 0 .. 11 */
	static const uint32_t steps[] = {1, 5, 7, 11};

	for (size_t s = 0; s < sizeof(steps) / sizeof(*steps); s++) {
		make_chain();
		assert_int_equal(stat_now().live_blocks, 3 * CHAIN);
		for (uint32_t i = 0; i < 2 * CHAIN; i++) {
			delete_member(i * steps[s] % (2 * CHAIN));
			expect_chain();
		}
		assert_int_equal(stat_now().live_blocks, 0);
		assert_int_equal(stat_now().nr_nodes, 0);
	}
}

static void a_missing_node_is_asked_for(void **state)
{
	uint32_t missing = 0, root;

	make_volume("a", 10, 3);
	reopen(true);
	root = volume_find_head(&store->volumes, "a")->map.root;
	delete_volume("a");
	assert_int_equal(step(&missing), -EAGAIN);
	assert_int_equal(missing, root);
	assert_int_equal(stat_now().reaper_queue, 1);
	must(nodes_fault(&store->nodes, missing, &err));
	assert_int_equal(step(&missing), 1);
	must(store_reap(store, &err));
	assert_int_equal(stat_now().nr_nodes, 0);
}

static void the_queue_survives_a_restart(void **state)
{
	make_volume("a", 10, 3);
	must(store_checkpoint(store, &err));
	delete_volume("a");
	reopen(true);
	assert_int_equal(stat_now().reaper_queue, 1);
	check_is_clean();
	reopen(false);
	must(store_reap(store, &err));
	assert_int_equal(stat_now().live_blocks, 0);
	reopen(true);
	assert_int_equal(stat_now().nr_nodes, 0);
	assert_int_equal(stat_now().reaper_queue, 0);
	check_is_clean();
}

static void a_damaged_tree_stops_the_store(void **state)
{
	struct node *root;
	uint32_t missing;

	make_volume("a", 10, 3);
	lock_core();
	must(node_get(&store->nodes,
		      volume_find_head(&store->volumes, "a")->map.root,
		      INNER_LEVELS, &root, &missing, &err));
	root->inner->children[0] = 4711;
	unlock_core();
	delete_volume("a");
	refused(store_reap(store, &err), EUCLEAN, "child 4711");
	assert_true(stat_now().failed);
}

static bool reaper_is_stuck(void)
{
	bool ret;

	lock_core();
	ret = store->reaper_stuck;
	unlock_core();
	return ret;
}

/* The janitor leaves the queue as it is; everything else goes on. */
static void an_unreadable_tree_stops_the_reaper_and_not_the_store(void **s)
{
	struct volume_handle *h = create_volume("a", 10);
	const struct node_entry *e;
	uint64_t place;

	put(h, 0, 3, 1);
	volume_close(h);
	reopen(true);
	lock_core();
	e = node_entry(&store->nodes,
		       volume_find_head(&store->volumes, "a")->map.root);
	place = segment_find(&store->segments, e->segno)->place;
	unlock_core();
	memory_disk_damage(disk, place, e->offset + 20, 1);
	must(store_start(store, &err));
	delete_volume("a");
	for (int ms = 0; ms < 60000 && !reaper_is_stuck(); ms++)
		sleep_ms(1);
	assert_true(reaper_is_stuck());
	refused(store_reclaim(store, &(struct reclaim){0}, &err), EUCLEAN,
		"map node cannot be read");
	h = create_volume("b", 10);
	put(h, 0, 10, 1);
	must(store_flush(store, &err));
	expect(h, 0, 10, 1);
	volume_close(h);
	assert_int_equal(stat_now().reaper_queue, 1);
	assert_false(stat_now().failed);
}

/* Volume a, full, as of a checkpoint. */
static void make_full_volume(uint32_t nr_blocks)
{
	make_volume("a", nr_blocks, nr_blocks);
	must(store_checkpoint(store, &err));
}

static void frames_come_back_with_the_second_checkpoint(void **state)
{
	uint64_t before;

	make_full_volume(500);
	before = stat_now().frames_used;
	delete_volume("a");
	must(store_reap(store, &err));
	assert_true(stat_now().frames_used >= before);
	must(store_checkpoint(store, &err));
	must(store_checkpoint(store, &err));
	assert_true(stat_now().frames_used + 500 / TEST_SLOTS <= before);
	check_is_clean();
}

static void reclaiming_by_hand_frees_what_was_deleted(void **state)
{
	struct reclaim reclaim = {0};
	uint64_t before;

	make_full_volume(500);
	before = stat_now().frames_used;
	delete_volume("a");
	while (!reclaim.done)
		must(store_reclaim(store, &reclaim, &err));
	assert_int_equal(reclaim.nodes, 0);
	assert_int_equal(reclaim.bytes, 0);
	assert_int_equal(stat_now().nr_nodes, 0);
	assert_int_equal(stat_now().dead_segments, 0);
	assert_true(stat_now().frames_used + 500 / TEST_SLOTS <= before);
	check_is_clean();
}

static void what_was_deleted_is_waited_for(void **state)
{
	struct reclaim reclaim = {0};
	uint64_t before;

	make_full_volume(500);
	before = stat_now().frames_used;
	must(store_start(store, &err));
	delete_volume("a");
	while (!reclaim.done)
		must(store_reclaim(store, &reclaim, &err));
	assert_int_equal(stat_now().nr_nodes, 0);
	assert_true(stat_now().frames_used + 500 / TEST_SLOTS / 2 <= before);
}

static int open_large_store(void **state)
{
	static const struct store_open_options writable;

	err = (struct error)ERROR_NONE;
	disk = test_store_disk(5000);
	return test_store_open(disk, &writable, &store, &err);
}

/*
 * Each leaf names blocks of as many segments as it has entries, so that a few
 * leaves make most of the segment table dirty.  There are frames for it.
 */
static void a_delete_writes_the_table_of_segments_less_than_twice(void **state)
{
	const uint32_t nr = 45000, nr_leaves = (nr - 1) / LEAF_BLOCKS + 1;
	struct volume_handle *h = create_volume("a", nr);
	uint64_t before, table_bytes;

	for (uint32_t at = 0; at < LEAF_BLOCKS; at++)
		for (uint32_t i = at; i < nr; i += LEAF_BLOCKS)
			put(h, i, 1, 1);
	snapshot("a@s");
	for (uint32_t leaf = 0; leaf < nr_leaves; leaf++)
		put(h, (uint64_t)leaf * LEAF_BLOCKS, 1, 2);
	must(store_checkpoint(store, &err));
	for (uint32_t i = 0; i < 100; i++)
		must(frames_grow(&store->frames, false, &err));
	before = stat_now().metadata_bytes;
	delete_volume("a@s");
	must(store_reap(store, &err));
	must(store_checkpoint(store, &err));
	assert_int_equal(stat_now().live_blocks, nr);
	table_bytes = store->segments.pages.nr_pages * 132u;
	assert_true(stat_now().metadata_bytes - before < 2 * table_bytes);
	volume_close(h);
}

static struct segment *first_data_segment(void)
{
	struct segment_table *table = &store->segments;

	for (uint32_t i = 0; i < table->pages.nr_pages; i++)
		if (table->by_index[i] &&
		    table->by_index[i]->kind == SEGMENT_DATA)
			return table->by_index[i];
	return NULL;
}

/* All is done but what one segment holds. */
static bool one_segment_is_left(const struct reclaim *reclaim)
{
	return reclaim->checkpoint_id &&
	       reclaim->checkpoint_id <= stat_now().checkpoint_id &&
	       reclaim->bytes == UINT64_C(1) << store->core.segment_shift;
}

static void what_a_reader_held_comes_back_when_he_leaves(void **state)
{
	struct reclaim reclaim = {0};
	struct segment *pinned;

	make_full_volume(500);
	must(store_start(store, &err));
	lock_core();
	pinned = first_data_segment();
	assert_non_null(pinned);
	pinned->pins++;
	unlock_core();
	delete_volume("a");
	for (int i = 0; i < 100 && !one_segment_is_left(&reclaim); i++)
		must(store_reclaim(store, &reclaim, &err));
	assert_true(one_segment_is_left(&reclaim));
	assert_false(reclaim.done);
	lock_core();
	pinned->pins--;
	unlock_core();
	/* at once, and not with the checkpoint of an idle store */
	for (int i = 0; i < 10 && !reclaim.done; i++)
		must(store_reclaim(store, &reclaim, &err));
	assert_true(reclaim.done);
}

/* What its cut found alive it does not free. */
static void a_checkpoint_under_way_is_not_waited_for(void **state)
{
	struct reclaim reclaim = {0};
	uint64_t id = stat_now().checkpoint_id;

	lock_core();
	store->core.has_workers = true;
	store->checkpoint_running = true;
	unlock_core();
	must(store_reclaim(store, &reclaim, &err));
	lock_core();
	store->core.has_workers = false;
	store->checkpoint_running = false;
	unlock_core();
	assert_false(reclaim.done);
	assert_int_equal(reclaim.checkpoint_id, id + 2);
	while (!reclaim.done)
		must(store_reclaim(store, &reclaim, &err));
	assert_int_equal(stat_now().checkpoint_id, id + 2);
}

/* A client may say anything: nobody makes checkpoints for ever. */
static void a_checkpoint_that_nobody_was_told_is_refused(void **state)
{
	uint64_t id = stat_now().checkpoint_id;

	refused(store_reclaim(store, &(struct reclaim){.checkpoint_id = id + 3},
			      &err),
		EINVAL, "no answer named checkpoint");
	refused(store_reclaim(store,
			      &(struct reclaim){.checkpoint_id = UINT64_MAX},
			      &err),
		EINVAL, "no answer named checkpoint");
	assert_int_equal(stat_now().checkpoint_id, id);
}

static void a_store_that_is_only_read_reclaims_nothing(void **state)
{
	struct reclaim reclaim = {0};

	reopen_read_only();
	refused(store_reclaim(store, &reclaim, &err), EROFS, "read-only");
}

/* What the driver does while nobody writes; returns how often. */
static uint32_t idle_checkpoints(uint32_t max)
{
	uint32_t nr = 0;
	bool old = true;

	while (old && nr < max) {
		lock_core();
		old = checkpoint_is_old(store, UINT64_MAX);
		unlock_core();
		if (!old)
			break;
		must(store_checkpoint(store, &err));
		nr++;
	}
	return nr;
}

static void a_store_that_was_emptied_gives_its_frames_back(void **state)
{
	make_full_volume(700);
	assert_true(stat_now().frames_used > 700 / TEST_SLOTS);
	delete_volume("a");
	must(store_reap(store, &err));
	/* and then it rests */
	assert_in_range(idle_checkpoints(10), 2, 4);
	assert_in_range(stat_now().frames_allocated, 0,
			stat_now().frames_reserve + FRAMES_SPARE_MAX + 8);
	assert_in_range(stat_now().frames_used, 0, 8);
	assert_true(memory_disk_count(disk, MEMORY_FREE) >
		    700 / TEST_SLOTS / 2);
	check_is_clean();
}

static void a_store_that_is_closed_gives_its_frames_back(void **state)
{
	make_full_volume(700);
	delete_volume("a");
	must(store_reap(store, &err));
	reopen(true);
	assert_in_range(stat_now().frames_allocated, 0,
			stat_now().frames_reserve + FRAMES_SPARE_MAX + 8);
	check_is_clean();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, open_store, close_store)
		TEST(an_empty_queue_is_left_alone),
		TEST(a_deleted_tree_is_freed_step_by_step),
		TEST(what_a_snapshot_shares_survives),
		TEST(a_shared_root_only_loses_a_reference),
		TEST(a_wide_node_is_emptied_piece_by_piece),
		TEST(a_trim_of_a_whole_disk_reads_two_paths),
		TEST(clones_are_deleted_in_any_order),
		TEST(a_missing_node_is_asked_for),
		TEST(the_queue_survives_a_restart),
		TEST(a_damaged_tree_stops_the_store),
		TEST(an_unreadable_tree_stops_the_reaper_and_not_the_store),
		TEST(frames_come_back_with_the_second_checkpoint),
		TEST(reclaiming_by_hand_frees_what_was_deleted),
		cmocka_unit_test_setup_teardown(
			a_delete_writes_the_table_of_segments_less_than_twice,
			open_large_store, close_store),
		TEST(what_was_deleted_is_waited_for),
		TEST(what_a_reader_held_comes_back_when_he_leaves),
		TEST(a_checkpoint_under_way_is_not_waited_for),
		TEST(a_checkpoint_that_nobody_was_told_is_refused),
		TEST(a_store_that_is_only_read_reclaims_nothing),
		TEST(a_store_that_was_emptied_gives_its_frames_back),
		TEST(a_store_that_is_closed_gives_its_frames_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
