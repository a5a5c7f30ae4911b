/* SPDX-License-Identifier: BSD-2-Clause */
/* The cleaner, forwards and renames. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "cleaner-fixture.h"

static void live_blocks_move_and_frames_come_back(void **state)
{
	struct volume_handle *h = half_dead("a");
	uint64_t used = stat_now().frames_used;

	must(store_clean(store, &err));
	assert_true(stat_now().moved_blocks >= NR_BLOCKS / 2 - TEST_SLOTS);
	assert_int_equal(stat_now().moved_blocks, stat_now().forwarded_blocks);
	assert_true(stat_now().frames_used + 3 <= used);
	expect_half(h);
	check_is_clean();
	volume_close(h);
	reopen(false);
	h = open_volume("a");
	expect_half(h);
	assert_true(stat_now().forwarded_blocks > 0);
	check_is_clean();
	volume_close(h);
}

/* Nobody else asks for a checkpoint while nothing is written. */
static void what_an_idle_store_cleans_comes_back_with_a_checkpoint(void **state)
{
	struct volume_handle *h = half_dead("a");
	uint64_t before = monotonic_ms();
	bool at_once, later;

	while (cleaner_step(store, &err) > 0)
		;
	lock_core();
	assert_true(store->segments.dead.len > 0);
	at_once = checkpoint_is_old(store, before);
	later = checkpoint_is_old(store, monotonic_ms() + CHECKPOINT_AGE_MS);
	unlock_core();
	assert_false(at_once);
	assert_true(later);
	volume_close(h);
}

/* What store_stat() tells, and a walk finds. */
static void segments_are_counted(void)
{
	struct store_stat st = stat_now();
	uint32_t nr_live = 0, nr_named = 0;

	lock_core();
	for (uint32_t i = 0; i < store->segments.pages.nr_pages; i++) {
		const struct segment *s = store->segments.by_index[i];

		nr_live += s && s->live > 0;
		nr_named += s && s->names > 0;
	}
	unlock_core();
	assert_int_equal(st.nr_live_segments, nr_live);
	assert_int_equal(st.nr_named_segments, nr_named);
}

static void segments_with_live_blocks_and_with_names_are_counted(void **state)
{
	struct volume_handle *h = half_dead("a");

	segments_are_counted();
	must(store_clean(store, &err));
	segments_are_counted();
	assert_true(stat_now().nr_named_segments > stat_now().nr_live_segments);
	volume_close(h);
	reopen(false);
	segments_are_counted();
	h = open_volume("a");
	put(h, 0, 1, 3); /* renames */
	put(h, LEAF_BLOCKS, 1, 3);
	segments_are_counted();
	assert_int_equal(stat_now().nr_named_segments,
			 stat_now().nr_live_segments);
	volume_close(h);
	must(store_delete(store, (const char *const[]){"a"}, 1, false, &err));
	must(store_reap(store, &err));
	segments_are_counted();
	assert_int_equal(stat_now().nr_live_segments, 0);
}

static void no_map_node_is_touched(void **state)
{
	struct volume_handle *h = half_dead("a");
	char name[32];

	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "a@%d", i);
		snapshot(name);
	}
	must(store_checkpoint(store, &err));
	lock_core();
	for (uint32_t id = 1; id < store->nodes.next_id; id++)
		assert_true(!node_exists(&store->nodes, id) ||
			    node_entry(&store->nodes, id)->segno > 0);
	unlock_core();
	assert_int_equal(stat_now().dirty_nodes, 0);
	while (cleaner_step(store, &err) > 0)
		;
	/* 21 maps share the blocks that moved */
	assert_true(stat_now().moved_blocks >= NR_BLOCKS / 2 - TEST_SLOTS);
	assert_int_equal(stat_now().dirty_nodes, 0);
	assert_int_equal(store->nodes.pages.dirty.len, 0);
	assert_int_equal(stat_now().nodes_touched, 0);
	volume_close(h);
}

static void a_writer_gives_moved_blocks_the_names_of_their_places(void **state)
{
	struct volume_handle *h = half_dead("a");
	uint64_t forwarded;

	must(store_clean(store, &err));
	forwarded = stat_now().forwarded_blocks;
	assert_true(stat_now().nr_name_segments > 0);
	put(h, 0, 1, 3);
	assert_true(stat_now().renamed_blocks > 0);
	assert_int_equal(stat_now().forwarded_blocks,
			 forwarded - stat_now().renamed_blocks);
	put(h, LEAF_BLOCKS, 1, 3);
	assert_int_equal(stat_now().forwarded_blocks, 0);
	/* segments without a frame or a name are gone for good */
	must(store_checkpoint(store, &err));
	assert_int_equal(stat_now().nr_name_segments, 0);
	expect(h, 1, 1, 1);
	expect(h, LEAF_BLOCKS + 1, 1, 1);
	check_is_clean();
	volume_close(h);
}

/* A batch that only says what is durable, as an idle store logs it. */
static void idle(void)
{
	must(store_flush(store, &err));
	lock_core();
	store->log.flushed_at_ms = 0; /* long ago */
	log_advertise_durable(&store->log);
	unlock_core();
}

static void batches_without_blocks_are_passed_over(void **state)
{
	struct volume_handle *h = create_volume("a", NR_BLOCKS);

	for (uint32_t i = 0; i < NR_BLOCKS; i++) {
		put(h, i, 1, 1);
		idle();
	}
	for (uint32_t i = 0; i < NR_BLOCKS; i += 2)
		put(h, i, 1, 2);
	must(store_checkpoint(store, &err));
	must(store_clean(store, &err));
	assert_true(stat_now().moved_blocks > 0);
	no_segment_is_in_quarantine();
	expect_half(h);
	check_is_clean();
	volume_close(h);
}

static void a_block_of_two_maps_keeps_its_name(void **state)
{
	struct volume_handle *h = half_dead("a");

	snapshot("a@s");
	must(store_clean(store, &err));
	put(h, 0, 1, 3);
	assert_int_equal(stat_now().renamed_blocks, 0);
	check_is_clean();
	volume_close(h);
}

static void what_was_moved_moves_again(void **state)
{
	struct volume_handle *h = half_dead("a");
	uint64_t victims;

	must(store_clean(store, &err));
	victims = stat_now().nr_victims;
	/* of what was moved, more than half dies */
	for (uint32_t i = 1; i < NR_BLOCKS; i += 2)
		if (i % 8 != 1)
			put(h, i, 1, 4);
	must(store_checkpoint(store, &err));
	must(store_clean(store, &err));
	assert_true(stat_now().nr_victims > victims);
	for (uint32_t i = 1; i < NR_BLOCKS; i += 2)
		expect(h, i, 1, i % 8 != 1 ? 4 : 1);
	check_is_clean();
	volume_close(h);
	reopen(false);
	check_is_clean();
}

static struct segment *segment_of(uint32_t block, uint32_t *ret_slot)
{
	struct leaf_entry entry;
	struct segment *s;
	uint32_t missing;

	must(extent_map_read(
		&store->nodes, &volume_find_head(&store->volumes, "a")->map,
		(struct vblock){block}, 1, &entry, &missing, &err));
	must(segment_resolve(&store->segments, leaf_entry_birth(entry), &s,
			     ret_slot, &err));
	return s;
}

static void a_bad_block_stays_and_the_rest_moves(void **state)
{
	struct volume_handle *h = half_dead("a");
	uint8_t block[BLOCK_SIZE];
	struct segment *s;
	uint32_t slot;

	lock_core();
	s = segment_of(5, &slot);
	unlock_core();
	memory_disk_damage(disk, s->place, slot * BLOCK_SIZE + 77, 1);
	volume_close(h);
	reopen(false); /* no buffer has the block any more */
	h = open_volume("a");
	must(store_clean(store, &err));
	expect(h, 6, 1, 2); /* the leaf is there */
	lock_core();
	s = segment_of(5, &slot);
	unlock_core();
	assert_true(s->quarantine);
	assert_int_equal(s->live, 1);
	refused(volume_read(h, block, BLOCK_SIZE, 5 * BLOCK_SIZE, &err), EIO,
		"checksum mismatch");
	for (uint32_t i = 0; i < NR_BLOCKS; i++)
		if (i != 5)
			expect(h, i, 1, i % 2 ? 1 : 2);
	/* once is enough */
	must(store_clean(store, &err));
	volume_close(h);
	reopen(false);
	h = open_volume("a");
	expect(h, 6, 1, 2);
	lock_core();
	assert_true(segment_of(5, &slot)->quarantine);
	unlock_core();
	/* with the bad block goes the segment */
	put(h, 5, 1, 9);
	volume_close(h);
	must(store_checkpoint(store, &err));
	check_is_clean();
}

static unsigned int nr_told;

static void note_damage(void *opaque, enum message_level level,
			enum store_event event, const char *text)
{
	nr_told += event == EVENT_DAMAGE && strstr(text, "left alone");
}

static void count_line(void *opaque, const char *line)
{
	*(unsigned int *)opaque += strstr(line, "a: offset 20480") != NULL;
}

static void a_bad_block_is_told_once_and_found_by_scrub(void **state)
{
	static const struct store_open_options telling = {.message =
								  note_damage};
	const struct scrub_options options = {.max_bytes = 1 << 20};
	struct scrub_progress progress = {0};
	struct volume_handle *h = half_dead("a");
	unsigned int nr_lines = 0;
	uint64_t place, segno;
	struct segment *s;
	uint32_t slot;
	int r;

	lock_core();
	s = segment_of(5, &slot);
	place = s->place;
	segno = s->segno;
	unlock_core();
	memory_disk_damage(disk, place, slot * BLOCK_SIZE, 1);
	volume_close(h);
	stop(false);
	must(test_store_open(disk, &telling, &store, &err));
	nr_told = 0;
	for (int i = 0; i < 3; i++)
		must(store_clean(store, &err));
	assert_int_equal(nr_told, 1);
	assert_int_equal(stat_now().checksum_errors, 1);
	h = open_volume("a");
	put(h, 6, 1, 7);
	expect(h, 6, 1, 7);
	do
		r = store_scrub(store, &options, &progress, count_line,
				&nr_lines, &err);
	while (r == 0 && !progress.done);
	assert_int_equal(r, -EUCLEAN);
	assert_int_equal(nr_lines, 1);
	/* the frame comes back when the last name in it has died */
	put(h, 5, 1, 9);
	must(store_checkpoint(store, &err));
	lock_core();
	assert_null(segment_find(&store->segments, segno));
	assert_false(frames_is_used(&store->frames, place));
	unlock_core();
	volume_close(h);
	check_is_clean();
}

static void a_lost_header_is_as_bad_as_a_lost_block(void **state)
{
	struct volume_handle *h = half_dead("a");
	struct segment *s;
	uint32_t slot;

	lock_core();
	s = segment_of(5, &slot);
	unlock_core();
	memory_disk_damage(disk, s->place, BLOCK_SIZE + 8, 1);
	for (int i = 0; i < 4; i++)
		must(store_clean(store, &err));
	assert_true(s->quarantine);
	expect_half(h);
	volume_close(h);
}

static void a_full_store_is_cleaned_before_it_is_full(void **state)
{
	/* two thirds of what writers may use are live */
	uint32_t nr = (TEST_FRAMES - 16) * (TEST_SLOTS - 3) * 2 / 3;
	struct volume_handle *h = create_volume("big", nr);

	for (uint32_t i = 0; i < nr; i++)
		put(h, i, 1, 1);
	for (uint32_t round = 0; round < 6; round++)
		for (uint32_t i = 0; i < nr; i += 1 + (i * 7 + round) % 4)
			put(h, i, 1, 2 + round);
	assert_true(stat_now().nr_victims > 0);
	volume_close(h);
	check_is_clean();
}

static void nothing_to_clean_is_said_at_once(void **state)
{
	uint32_t nr = TEST_FRAMES * TEST_SLOTS;
	struct volume_handle *h = create_volume("big", nr);
	uint32_t i = 0;
	uint64_t start;

	while (i < nr && try_put(h, i, 8, 1) == 0)
		i += 8;
	assert_true(i < nr);
	start = monotonic_ms();
	assert_int_equal(try_put(h, i, 8, 1), -ENOSPC);
	assert_true(monotonic_ms() < start + 9000); /* has not waited */
	volume_close(h);
	check_is_clean();
}

/* ---- with something else going on ---- */

static int stepped;

static void *run_step(void *arg)
{
	while (stepped == 0)
		stepped = cleaner_step(store, NULL) <= 0;
	return NULL;
}

/* Let the cleaner read blocks, then do @meanwhile before it has moved them. */
static void with_blocks_on_their_way(void (*meanwhile)(struct volume_handle *),
				     struct volume_handle *h)
{
	pthread_t thread;

	stepped = 0;
	memory_disk_pause(disk, MEMORY_WRITE);
	assert_int_equal(pthread_create(&thread, NULL, run_step, NULL), 0);
	memory_disk_wait_paused(disk, MEMORY_WRITE);
	meanwhile(h);
	memory_disk_resume(disk, MEMORY_WRITE);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void overwrite(struct volume_handle *h)
{
	for (uint32_t i = 1; i < NR_BLOCKS; i += 4)
		put(h, i, 1, 5);
}

static void a_block_overwritten_on_its_way_is_not_forwarded(void **state)
{
	struct volume_handle *h = half_dead("a");

	with_blocks_on_their_way(overwrite, h);
	for (uint32_t i = 1; i < NR_BLOCKS; i += 2)
		expect(h, i, 1, i % 4 == 1 ? 5 : 1);
	assert_true(stat_now().moved_blocks < stat_now().copied_blocks);
	check_is_clean();
	volume_close(h);
}

static void trim(struct volume_handle *h)
{
	must(volume_trim(h, NR_BLOCKS * BLOCK_SIZE, 0, false, &err));
}

static void a_block_deleted_on_its_way_is_gone(void **state)
{
	struct volume_handle *h = half_dead("a");
	uint8_t block[BLOCK_SIZE], zero[BLOCK_SIZE] = {0};

	with_blocks_on_their_way(trim, h);
	must(volume_read(h, block, BLOCK_SIZE, BLOCK_SIZE, &err));
	assert_memory_equal(block, zero, BLOCK_SIZE);
	check_is_clean();
	volume_close(h);
}

static void a_pinned_frame_outlives_its_cleaning(void **state)
{
	struct volume_handle *h = half_dead("a");
	struct segment *s;
	uint64_t place;
	uint32_t slot;

	lock_core();
	s = segment_of(5, &slot);
	s->pins++; /* as a reader does */
	place = s->place;
	unlock_core();
	must(store_clean(store, &err));
	lock_core();
	assert_ptr_not_equal(segment_of(5, &slot), s);
	assert_true(frames_is_used(&store->frames, place));
	s->pins--;
	unlock_core();
	put(h, 0, 1, 9); /* something for a checkpoint */
	must(store_checkpoint(store, &err));
	lock_core();
	assert_int_equal(s->place, PLACE_NONE);
	unlock_core();
	volume_close(h);
	check_is_clean();
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, open_store, close_store)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(live_blocks_move_and_frames_come_back),
		TEST(what_an_idle_store_cleans_comes_back_with_a_checkpoint),
		TEST(segments_with_live_blocks_and_with_names_are_counted),
		TEST(no_map_node_is_touched),
		TEST(a_writer_gives_moved_blocks_the_names_of_their_places),
		TEST(batches_without_blocks_are_passed_over),
		TEST(a_block_of_two_maps_keeps_its_name),
		TEST(what_was_moved_moves_again),
		TEST(a_bad_block_stays_and_the_rest_moves),
		TEST(a_bad_block_is_told_once_and_found_by_scrub),
		TEST(a_lost_header_is_as_bad_as_a_lost_block),
		TEST(a_full_store_is_cleaned_before_it_is_full),
		TEST(nothing_to_clean_is_said_at_once),
		TEST(a_block_overwritten_on_its_way_is_not_forwarded),
		TEST(a_block_deleted_on_its_way_is_gone),
		TEST(a_pinned_frame_outlives_its_cleaning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
