/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checkpoints: what happens while one runs is not in it, and what died is
 * reused only when both superblocks name it.
 *
 * A checkpoint is held up right after its cut by pausing writes while the
 * log has a batch to write, which is its first write.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "fixture.h"

static struct volume_handle *a;
static pthread_t thread;

static int set_up(void **state)
{
	int r = open_store(state);

	if (r < 0)
		return r;
	a = create_volume("a", 2000);
	put(a, 0, 100, 1);
	return 0;
}

static int tear_down(void **state)
{
	volume_close(a);
	return close_store(state);
}

static void *checkpoint_main(void *ret)
{
	*(int *)ret = store_checkpoint(store, NULL);
	return NULL;
}

static int checkpoint_result;

/* A checkpoint that has made its cut and is held up at its first @op. */
static void begin_checkpoint(enum memory_op op)
{
	memory_disk_pause(disk, op);
	assert_int_equal(pthread_create(&thread, NULL, checkpoint_main,
					&checkpoint_result),
			 0);
	memory_disk_wait_paused(disk, op);
}

static void end_checkpoint(enum memory_op op)
{
	memory_disk_resume(disk, op);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(checkpoint_result, 0);
}

static void close_a(void)
{
	volume_close(a);
	a = NULL;
}

/*
 * Die without having written what came after the cut: what is there then is
 * the checkpoint alone.
 */
static void see_the_checkpoint_alone(void)
{
	close_a();
	reopen(false);
	check_is_clean();
}

static void writes_after_the_cut_are_not_in_it(void **state)
{
	begin_checkpoint(MEMORY_WRITE);
	put(a, 50, 100, 2);
	put(a, 1500, 5, 2);
	expect(a, 50, 100, 2);
	end_checkpoint(MEMORY_WRITE);
	expect(a, 50, 100, 2);
	see_the_checkpoint_alone();
	a = open_volume("a");
	expect(a, 0, 100, 1);
	expect(a, 100, 50, 0);
	expect(a, 1500, 5, 0);
}

static void trims_and_frees_after_the_cut_are_not_in_it(void **state)
{
	put(a, 640, 64, 1);
	begin_checkpoint(MEMORY_WRITE);
	must(volume_trim(a, 2000 * BLOCK_SIZE, 0, false, &err));
	must(store_reap(store, &err));
	assert_int_equal(stat_now().live_blocks, 0);
	put(a, 3, 3, 2); /* where there is no node any more */
	end_checkpoint(MEMORY_WRITE);
	expect(a, 0, 3, 0);
	expect(a, 3, 3, 2);
	see_the_checkpoint_alone();
	a = open_volume("a");
	expect(a, 0, 100, 1);
	expect(a, 640, 64, 1);
	assert_int_equal(stat_now().live_blocks, 164);
}

static void shadows_after_the_cut_are_not_in_it(void **state)
{
	struct volume_handle *s;

	snapshot("a@s");
	put(a, 0, 1, 3); /* something to write for the checkpoint */
	begin_checkpoint(MEMORY_WRITE);
	put(a, 70, 5, 2); /* copies what a@s shares: counts go up */
	end_checkpoint(MEMORY_WRITE);
	see_the_checkpoint_alone();
	a = open_volume("a");
	s = open_snapshot("a@s");
	expect(s, 0, 100, 1);
	expect(a, 0, 1, 3);
	expect(a, 1, 99, 1);
	volume_close(s);
}

static void the_reaper_s_work_after_the_cut_is_not_in_it(void **state)
{
	struct volume_handle *b = create_volume("b", 200);

	put(b, 0, 150, 5);
	volume_close(b);
	delete_volume("b");
	put(a, 0, 1, 3);
	begin_checkpoint(MEMORY_WRITE);
	must(store_reap(store, &err));
	assert_int_equal(stat_now().reaper_queue, 0);
	end_checkpoint(MEMORY_WRITE);
	see_the_checkpoint_alone();
	assert_int_equal(stat_now().reaper_queue, 1);
	must(store_reap(store, &err));
	assert_int_equal(stat_now().live_blocks, 100);
	check_is_clean();
	a = open_volume("a");
}

static void what_came_after_the_cut_is_in_the_next_one(void **state)
{
	begin_checkpoint(MEMORY_WRITE);
	put(a, 50, 100, 2);
	end_checkpoint(MEMORY_WRITE);
	must(store_checkpoint(store, &err));
	see_the_checkpoint_alone();
	assert_int_equal(stat_now().recovered_batches, 0);
	a = open_volume("a");
	expect(a, 0, 50, 1);
	expect(a, 50, 100, 2);
}

static void a_writer_does_not_wait_for_a_checkpoint(void **state)
{
	begin_checkpoint(MEMORY_SUPER_WRITE);
	put(a, 0, 200, 2);
	must(store_flush(store, &err));
	assert_true(store->checkpoint_running);
	expect(a, 0, 200, 2);
	end_checkpoint(MEMORY_SUPER_WRITE);
	close_a();
	reopen(false);
	a = open_volume("a");
	expect(a, 0, 200, 2);
	check_is_clean();
}

static void a_checkpoint_of_nothing_writes_nothing(void **state)
{
	uint64_t id = 0, nr_writes = 0, nr_syncs = 0;

	/* what a checkpoint makes obsolete is the business of the next */
	for (int i = 0; i < 10 && stat_now().checkpoint_id != id; i++) {
		id = stat_now().checkpoint_id;
		nr_writes = memory_disk_count(disk, MEMORY_WRITE);
		nr_syncs = memory_disk_count(disk, MEMORY_SYNC);
		must(store_checkpoint(store, &err));
	}
	assert_int_equal(stat_now().checkpoint_id, id);
	assert_int_equal(memory_disk_count(disk, MEMORY_WRITE), nr_writes);
	assert_int_equal(memory_disk_count(disk, MEMORY_SYNC), nr_syncs);
	put(a, 0, 1, 2);
	must(store_checkpoint(store, &err));
	assert_int_equal(stat_now().checkpoint_id, id + 1);
}

static void each_superblock_is_synced_before_the_next_is_written(void **state)
{
	static const char *const wanted[] = {"sync", "super-write place 0",
					     "sync", "super-write place 1",
					     "sync"};
	char text[100];
	uint64_t nr;

	memory_disk_record(disk);
	must(store_checkpoint(store, &err));
	nr = memory_disk_nr_events(disk);
	/* frames are given back after that at the earliest */
	while (nr > 0) {
		memory_disk_print_event(disk, nr - 1, text, sizeof(text));
		if (!strstr(text, "free"))
			break;
		nr--;
	}
	assert_true(nr > 5);
	for (uint64_t i = 0; i < 5; i++) {
		memory_disk_print_event(disk, nr - 5 + i, text, sizeof(text));
		assert_non_null(strstr(text, wanted[i]));
	}
}

/* All of a's blocks are written anew: their segments are dead. */
static void kill_segments(void)
{
	must(store_checkpoint(store, &err));
	put(a, 0, 100, 2);
	must(store_flush(store, &err));
}

static void dead_frames_wait_for_both_superblocks(void **state)
{
	uint64_t used;

	kill_segments();
	used = stat_now().frames_used;
	begin_checkpoint(MEMORY_SUPER_WRITE); /* A */
	assert_true(stat_now().frames_used >= used);
	end_checkpoint(MEMORY_SUPER_WRITE);
	assert_true(stat_now().frames_used < used);
	expect(a, 0, 100, 2);
}

static void dead_frames_are_not_reused_when_copy_b_fails(void **state)
{
	uint64_t used;

	kill_segments();
	used = stat_now().frames_used;
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 2, EIO, false);
	refused(store_checkpoint(store, &err), EIO, "reopen");
	assert_true(stat_now().failed);
	assert_true(stat_now().frames_used >= used);
	expect(a, 0, 100, 2);
	refused(try_put(a, 0, 1, 3), EIO, "reopen");
	see_the_checkpoint_alone();
	a = open_volume("a");
	expect(a, 0, 100, 2);
}

/* Segments of metadata that hold no record any more. */
static uint64_t nr_dead_meta(void)
{
	const struct segment_vector *meta = &store->segments.meta;
	uint64_t ret = 0;

	lock_core();
	for (size_t i = 0; i < meta->len; i++)
		ret += meta->ptr[i]->sealed && meta->ptr[i]->live == 0;
	unlock_core();
	return ret;
}

static void put_leaves(struct volume_handle *h, uint32_t nr, uint32_t seed)
{
	for (uint64_t i = 0; i < nr; i++)
		put(h, i * LEAF_BLOCKS, 1, seed);
}

static void metadata_written_anew_gives_its_frames_back_at_once(void **state)
{
	/* more than a segment, and not so many that a checkpoint is due */
	const uint32_t nr = 120;
	struct volume_handle *b = create_volume("b", nr * LEAF_BLOCKS);

	for (uint32_t i = 1; i <= 5; i++) {
		put_leaves(b, nr, i);
		must(store_checkpoint(store, &err));
		assert_int_equal(nr_dead_meta(), 0);
	}
	volume_close(b);
}

static void metadata_that_dies_after_the_cut_keeps_its_frames(void **state)
{
	const uint32_t nr = 450; /* some segments */
	struct volume_handle *b = create_volume("b", nr * LEAF_BLOCKS);

	put_leaves(b, nr, 1);
	volume_close(b);
	must(store_checkpoint(store, &err));
	delete_volume("b");
	put(a, 0, 1, 3);
	begin_checkpoint(MEMORY_WRITE);
	must(store_reap(store, &err));
	end_checkpoint(MEMORY_WRITE);
	assert_true(nr_dead_meta() > 1);
	put(a, 0, 100, 3); /* and nobody takes them */
	see_the_checkpoint_alone();
	must(store_reap(store, &err));
	assert_int_equal(stat_now().live_blocks, 100);
	must(store_checkpoint(store, &err));
	must(store_checkpoint(store, &err));
	assert_true(nr_dead_meta() <= 1);
	check_is_clean();
	a = open_volume("a");
}

struct read {
	uint8_t data[BLOCK_SIZE];
	int r;
};

static void *read_main(void *arg)
{
	struct read *read = arg;

	read->r = volume_read(a, read->data, sizeof(read->data), 0, NULL);
	return NULL;
}

static void a_frame_that_is_being_read_is_not_reused(void **state)
{
	struct segment *s;
	struct read read;
	pthread_t reader;
	uint8_t wanted[BLOCK_SIZE];
	struct leaf_entry e;
	uint32_t missing;
	uint64_t place;

	/* enough after it, so that it is in no buffer */
	put(a, 200, 500, 1);
	must(store_checkpoint(store, &err));
	lock_core();
	must(extent_map_read(&store->nodes,
			     &volume_find_head(&store->volumes, "a")->map,
			     (struct vblock){0}, 1, &e, &missing, &err));
	s = segment_find(&store->segments, birth_segno(leaf_entry_birth(e)));
	place = s->place;
	unlock_core();
	memory_disk_pause(disk, MEMORY_READ);
	assert_int_equal(pthread_create(&reader, NULL, read_main, &read), 0);
	memory_disk_wait_paused(disk, MEMORY_READ);
	assert_int_equal(s->pins, 1);
	put(a, 0, 100, 2);
	must(store_checkpoint(store, &err));
	must(store_checkpoint(store, &err));
	lock_core();
	assert_true(frames_is_used(&store->frames, place));
	assert_true(s->dying);
	unlock_core();
	memory_disk_resume(disk, MEMORY_READ);
	assert_int_equal(pthread_join(reader, NULL), 0);
	assert_int_equal(read.r, 0);
	fill_block(wanted, 0, 1);
	assert_memory_equal(read.data, wanted, sizeof(wanted));
	must(store_checkpoint(store, &err));
	lock_core();
	assert_int_equal(store->dying.len, 0);
	unlock_core();
}

static void a_failed_write_of_metadata_leaves_the_checkpoint_before(void **s)
{
	uint64_t id;

	must(store_checkpoint(store, &err));
	id = stat_now().checkpoint_id;
	put(a, 0, 10, 2);
	must(store_flush(store, &err));
	memory_disk_fault(disk, MEMORY_WRITE, 1, EIO, false);
	refused(store_checkpoint(store, &err), EIO, "reopen");
	assert_int_equal(stat_now().checkpoint_id, id);
	see_the_checkpoint_alone();
	a = open_volume("a");
	expect(a, 0, 10, 2);
	expect(a, 10, 90, 1);
}

static void *grow_main(void *arg)
{
	must(frames_grow(&store->frames, false, arg));
	return NULL;
}

/* Of the store's last frame, which the janitor is about to make ready. */
static void a_checkpoint_waits_for_a_frame_that_is_being_grown(void **state)
{
	struct error why = ERROR_NONE;
	pthread_t grower;
	bool has_ended;

	/* more leaves than fit what is left of a segment */
	while (segment_stream_room(&store->meta.stream) > 4) {
		put(a, 0, 1, 2);
		must(store_checkpoint(store, &err));
	}
	for (uint64_t block = 0; block < 2000; block += LEAF_BLOCKS)
		put(a, block, 1, 3);
	while (store->frames.nr_allocated < TEST_FRAMES - 1)
		must(frames_grow(&store->frames, false, &err));
	lock_core();
	while (frames_take(&store->frames, FRAME_USER_CHECKPOINT) != PLACE_NONE)
		;
	unlock_core();
	memory_disk_pause(disk, MEMORY_ALLOCATE);
	checkpoint_result = 1; /* it has not ended */
	assert_int_equal(pthread_create(&grower, NULL, grow_main, &why), 0);
	memory_disk_wait_paused(disk, MEMORY_ALLOCATE);
	assert_int_equal(pthread_create(&thread, NULL, checkpoint_main,
					&checkpoint_result),
			 0);
	sleep_ms(100);
	has_ended = checkpoint_result != 1;
	end_checkpoint(MEMORY_ALLOCATE);
	assert_int_equal(pthread_join(grower, NULL), 0);
	assert_false(has_ended);
}

static void a_checkpoint_is_due_after_so_much_log(void **state)
{
	const struct store_open_options options = {.checkpoint_log_bytes =
							   256u << 10};
	uint64_t id;

	close_a();
	stop(true);
	must(test_store_open(disk, &options, &store, &err));
	a = open_volume("a");
	id = stat_now().checkpoint_id;
	put(a, 0, 300, 2);
	assert_true(stat_now().checkpoint_id >= id + 3);
	assert_true(stat_now().log_bytes < 512u << 10);
}

static void a_checkpoint_reserves_segnos_ahead(void **state)
{
	put(a, 0, 300, 2);
	must(store_checkpoint(store, &err));
	assert_true(store->sb.segno_bound >=
		    store->core.next_segno + SEGNO_RESERVATION - 1);
	assert_int_equal(store->sb.segno_bound, store->core.segno_bound);
}

/* Its record has an address, but only in the memory of the checkpoint. */
static void a_node_whose_record_is_not_written_yet_stays_in_memory(void **state)
{
	must(store_flush(store, &err));
	begin_checkpoint(MEMORY_WRITE); /* of the first batch of records */
	lock_core();
	store->nodes.bytes_max = 1;
	for (int i = 0; i < 3; i++) /* the hand passes all, twice at least */
		must(nodes_prepare(&store->nodes));
	unlock_core();
	expect(a, 0, 100, 1);
	end_checkpoint(MEMORY_WRITE);
	lock_core();
	for (int i = 0; i < 3; i++)
		must(nodes_prepare(&store->nodes));
	assert_int_equal(store->nodes.nr_loaded, INNER_LEVELS);
	unlock_core();
	expect(a, 0, 100, 1);
}

static void a_leaf_of_names_far_apart_comes_back(void **state)
{
	const uint64_t far = UINT64_C(1) << NEAR_SEGNO_BITS;

	make_volume("far", LEAF_BLOCKS, 5);
	must(store_checkpoint(store, &err));
	assert_int_equal(
		node_entry(&store->nodes, node_of("far", 0, 0))->length,
		NODE_LEAF_NEAR_BYTES);
	lock_core();
	store->core.next_segno += far;
	store->core.segno_bound += far;
	unlock_core();
	must(store_checkpoint(store, &err));
	put_in("far", 10, 50, 2);
	must(store_checkpoint(store, &err));
	assert_int_equal(
		node_entry(&store->nodes, node_of("far", 0, 0))->length,
		NODE_LEAF_DENSE_BYTES);
	close_a();
	reopen(true);
	expect_in("far", 0, 5, 1);
	expect_in("far", 10, 50, 2);
	check_is_clean();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(writes_after_the_cut_are_not_in_it),
		TEST(trims_and_frees_after_the_cut_are_not_in_it),
		TEST(shadows_after_the_cut_are_not_in_it),
		TEST(the_reaper_s_work_after_the_cut_is_not_in_it),
		TEST(what_came_after_the_cut_is_in_the_next_one),
		TEST(a_writer_does_not_wait_for_a_checkpoint),
		TEST(a_checkpoint_of_nothing_writes_nothing),
		TEST(each_superblock_is_synced_before_the_next_is_written),
		TEST(dead_frames_wait_for_both_superblocks),
		TEST(dead_frames_are_not_reused_when_copy_b_fails),
		TEST(metadata_written_anew_gives_its_frames_back_at_once),
		TEST(metadata_that_dies_after_the_cut_keeps_its_frames),
		TEST(a_frame_that_is_being_read_is_not_reused),
		TEST(a_failed_write_of_metadata_leaves_the_checkpoint_before),
		TEST(a_checkpoint_waits_for_a_frame_that_is_being_grown),
		TEST(a_checkpoint_is_due_after_so_much_log),
		TEST(a_checkpoint_reserves_segnos_ahead),
		TEST(a_node_whose_record_is_not_written_yet_stays_in_memory),
		TEST(a_leaf_of_names_far_apart_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
