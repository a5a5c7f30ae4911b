/* SPDX-License-Identifier: BSD-2-Clause */
/* Repair of the pages of a checkpoint, volume records among them. */
#include <inttypes.h>
#include <stdio.h>

#include "repair-fixture.h"

/* ---- pages ---- */

static void a_node_table_page_loses_its_nodes(void **state)
{
	damage_page(&store->nodes.pages, 0);
	repair();
	expect_said("node table: page 0: ");
	expect_lost("a", 0, 10);
	assert_int_equal(stat_now().nr_volumes, 3);
	check_is_clean();
}

static void a_node_directory_loses_its_nodes(void **state)
{
	damage_ref(&store->nodes.pages.directories[0]);
	repair();
	expect_said("node table: directory page 0: ");
	expect_lost("b", FAR, 10);
}

static void a_segment_page_is_made_anew(void **state)
{
	const struct segment *s = segment_of("a", 70);
	char words[64];

	damage_page(&store->segments.pages, s->index);
	(void)snprintf(words, sizeof(words),
		       "segment %" PRIu64 ": found in frame %" PRIu64, s->segno,
		       s->place);
	repair();
	expect_said("segment table: page ");
	expect_said(words);
	expect_not_said("nowhere");
	expect_all();
}

static void all_segment_pages_are_made_anew(void **state)
{
	uint64_t live = stat_now().live_blocks;

	damage_ref(&store->segments.pages.directories[0]);
	/* and one of them has no header any more */
	memory_disk_damage(disk, segment_of("a", 70)->place, 100, 1);
	repair();
	expect_said("segment table: directory page 0: ");
	expect_all();
	assert_int_equal(stat_now().live_blocks, live);
}

/* Volume m, of which the cleaner has moved every other block, once or twice. */
static void move_blocks(void)
{
	struct volume_handle *h = create_volume("m", 112);

	while (frames_grow(&store->frames, false, NULL) == 0)
		;
	put(h, 0, 112, 10);
	for (uint32_t i = 0; i < 112; i += 2)
		put(h, i, 1, 11);
	must(store_checkpoint(store, &err));
	snapshot("m@s"); /* so that names stay */
	must(store_clean(store, &err));
	for (uint32_t i = 1; i < 112; i += 2)
		if (i % 8 != 1)
			put(h, i, 1, 12);
	must(store_clean(store, &err));
	volume_close(h);
	must(store_checkpoint(store, &err));
	assert_true(stat_now().forwarded_blocks > 0);
	assert_true(stat_now().nr_name_segments > 0);
}

static void expect_moved(void)
{
	for (uint32_t i = 0; i < 112; i++) {
		expect_blocks("m@s", i, 1, i % 2 ? 10 : 11);
		expect_blocks("m", i, 1,
			      i % 2 == 0   ? 11
			      : i % 8 == 1 ? 10
					   : 12);
	}
}

static void moved_blocks_are_found_again(void **state)
{
	uint64_t live;

	move_blocks();
	live = stat_now().live_blocks;
	damage_ref(&store->segments.pages.directories[0]);
	repair();
	expect_said("moved blocks found again: ");
	expect_not_said("nowhere");
	expect_moved();
	expect_all();
	assert_int_equal(stat_now().live_blocks, live);
	assert_true(stat_now().forwarded_blocks > 0);
}

/* Forwards of a segment that is known lead to one that is not. */
static void where_blocks_were_moved_to_is_found_again(void **state)
{
	move_blocks();
	for (uint32_t i = 0; i < store->segments.pages.nr_pages; i++) {
		const struct segment *s = store->segments.by_index[i];

		if (s && s->kind == SEGMENT_GC)
			damage_page(&store->segments.pages, i);
	}
	repair();
	expect_not_said("nowhere");
	expect_moved();
	expect_all();
}

static void a_segment_that_is_gone_loses_its_blocks(void **state)
{
	const struct segment *s = segment_of("a", 70);

	damage_page(&store->segments.pages, s->index);
	memory_disk_damage(disk, s->place, 100, 1);
	memory_disk_damage(disk, s->place, BLOCK_SIZE + 100, 1);
	repair();
	expect_said("a: offset ");
	expect_said("blocks that are nowhere, now lost: ");
	expect_lost("a", 70, 1);
	expect_lost("b", 70, 1);
	expect_blocks("a", 128, 172, 1);
	expect_c();
}

static void the_frame_map_is_made_anew(void **state)
{
	damage_page(&store->frames.pages, 0);
	repair();
	expect_said("frame map: page 0: ");
	expect_all();
	assert_true(stat_now().frames_allocated - stat_now().frames_used >=
		    stat_now().frames_reserve);
	assert_int_equal(memory_disk_unallocated_writes(disk), 0);
}

static void what_waited_to_be_freed_is_freed(void **state)
{
	uint64_t live = stat_now().live_blocks;

	assert_true(stat_now().reaper_queue > 0);
	damage_page(&store->reaper_pages, 0);
	repair();
	expect_said("reaper queue: page 0: ");
	expect_all();
	assert_int_equal(stat_now().live_blocks, live - 20);
	assert_int_equal(stat_now().reaper_queue, 0);
}

static void an_unreadable_node_in_the_reaper_queue_is_dropped(void **state)
{
	damage_node(store->nodes.reaper.ptr[0]);
	repair();
	expect_all();
	assert_int_equal(stat_now().reaper_queue, 0);
}

/* ---- volumes ---- */

static void damage_record(const char *name)
{
	damage_page(&store->volumes.pages, volume(name)->index);
}

static void a_lost_volume_gets_a_record_for_its_snapshots(void **state)
{
	char lost[50];

	lost_name("c", lost);
	damage_record("c");
	repair();
	expect_said("only its snapshots are left");
	expect_said("gets a map that no volume leads to");
	/* its own map was found, too */
	expect_blocks(lost, 0, 20, 6);
	expect_blocks(lost, 20, 10, 7);
	expect_c_snapshots(lost);
	assert_int_equal(volume(lost)->size, 500 * BLOCK_SIZE);
	expect_s("b");
}

static void a_lost_volume_whose_map_is_lost_reads_as_errors(void **state)
{
	char lost[50];

	lost_name("c", lost);
	damage_node(node_of("c", INNER_LEVELS, 0));
	damage_record("c");
	repair();
	expect_said("what it held itself is lost");
	expect_lost(lost, 0, 500);
	expect_c_snapshots(lost);
}

/* Behind those that a log may make: see salvage.c. */
#define ADOPTED_ID ((1u << 20) + 1)

static void a_map_without_a_volume_gets_one(void **state)
{
	struct volume_handle *h = open_volume("b");
	char lost[50];

	/* b's root is its own only after it was written to */
	put(h, 5, 1, 9);
	volume_close(h);
	must(store_checkpoint(store, &err));
	(void)snprintf(lost, sizeof(lost), "lost-%" PRIu32,
		       store->volumes.next_id + ADOPTED_ID);
	damage_record("b");
	repair();
	expect_said("gets a map that no volume leads to");
	expect_blocks(lost, 0, 5, 1);
	expect_blocks(lost, 5, 1, 9);
	expect_blocks(lost, FAR_AWAY, 10, 3);
	assert_int_equal(volume(lost)->size, (FAR_AWAY + 10) * BLOCK_SIZE);
	expect_a();
	expect_c();
}

static void the_log_makes_volumes_beside_one_that_was_lost(void **state)
{
	struct volume_handle *h = open_volume("b");
	uint32_t next_id;

	put(h, 5, 1, 9);
	volume_close(h);
	must(store_checkpoint(store, &err));
	next_id = store->volumes.next_id;
	h = create_volume("late", 100);
	put(h, 0, 10, 1);
	volume_close(h);
	snapshot("late@s");
	assert_int_equal(volume("late")->id, next_id);
	damage_record("b");
	repair();
	expect_said("gets a map that no volume leads to");
	expect_blocks("late", 0, 10, 1);
	expect_blocks("late@s", 0, 10, 1);
	assert_int_equal(volume("late")->id, next_id);
	volume_close(create_volume("later", 100));
	assert_true(volume("later")->id > next_id + ADOPTED_ID);
	reopen(false);
	check_is_clean();
	expect_a();
}

static void a_lost_snapshot_takes_no_other_with_it(void **state)
{
	damage_record("c@old");
	repair();
	expect_said("volume table: page ");
	expect_blocks("c@new", 0, 20, 6);
	expect_blocks("c", 20, 10, 7);
	expect_a();
	expect_s("b");
}

static void the_log_of_a_lost_volume_is_given_up(void **state)
{
	char words[100];

	put_in("b", 5, 1, 9);
	snapshot("b@late");
	(void)snprintf(words, sizeof(words), "volume %" PRIu32 ": what batch",
		       volume("b")->id);
	damage_record("b");
	repair();
	expect_said(words);
	expect_said("is given up");
	expect_a();
	expect_s("a@s");
	expect_c();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, open_repairable, close_repairable)
		TEST(a_node_table_page_loses_its_nodes),
		TEST(a_node_directory_loses_its_nodes),
		TEST(a_segment_page_is_made_anew),
		TEST(all_segment_pages_are_made_anew),
		TEST(moved_blocks_are_found_again),
		TEST(where_blocks_were_moved_to_is_found_again),
		TEST(a_segment_that_is_gone_loses_its_blocks),
		TEST(the_frame_map_is_made_anew),
		TEST(what_waited_to_be_freed_is_freed),
		TEST(an_unreadable_node_in_the_reaper_queue_is_dropped),
		TEST(a_lost_volume_gets_a_record_for_its_snapshots),
		TEST(a_lost_volume_whose_map_is_lost_reads_as_errors),
		TEST(a_map_without_a_volume_gets_one),
		TEST(the_log_makes_volumes_beside_one_that_was_lost),
		TEST(a_lost_snapshot_takes_no_other_with_it),
		TEST(the_log_of_a_lost_volume_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
