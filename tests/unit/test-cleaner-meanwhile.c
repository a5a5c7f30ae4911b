/* SPDX-License-Identifier: BSD-2-Clause */
/* The cleaner while something else goes on with the same blocks. */
#include <errno.h>
#include <pthread.h>

#include "check.h"
#include "cleaner-fixture.h"

/* Blocks of a victim were read, and are not forwarded yet. */
static bool blocks_are_on_their_way(void)
{
	for (int i = 0; i < NR_GC_STREAMS; i++)
		if (store->cleaner.streams[i].writer.nr > 0)
			return true;
	return false;
}

static void read_some(void)
{
	uint64_t moved = stat_now().moved_blocks;

	while (!blocks_are_on_their_way())
		assert_int_equal(cleaner_step(store, &err), 1);
	assert_int_equal(stat_now().moved_blocks, moved);
}

static void move_the_rest(void)
{
	while (cleaner_step(store, &err) > 0)
		;
	assert_false(blocks_are_on_their_way());
}

/* ---- writers and deletes ---- */

static void what_is_deleted_on_its_way_frees_both_places(void **state)
{
	struct volume_handle *h = half_dead("a");
	uint64_t used;

	snapshot("a@s");
	put(h, 0, NR_BLOCKS, 3);
	must(store_checkpoint(store, &err));
	for (uint32_t i = 0; i < NR_BLOCKS; i += 3)
		put(h, i, 1, 4);
	must(store_checkpoint(store, &err));
	used = stat_now().frames_used;
	read_some();
	delete_volume("a@s");
	must(store_reap(store, &err));
	must(store_checkpoint(store, &err));
	move_the_rest();
	must(store_checkpoint(store, &err));
	no_segment_is_in_quarantine();
	assert_true(stat_now().frames_used + 7 <= used);
	for (uint32_t i = 0; i < NR_BLOCKS; i++)
		expect(h, i, 1, i % 3 ? 3 : 4);
	check_is_clean();
	volume_close(h);
	reopen(false);
	check_is_clean();
}

static void a_snapshot_that_is_read_stays_and_moves(void **state)
{
	struct volume_handle *h = half_dead("a"), *reader;
	const char *name = "a@s";
	uint64_t used;

	snapshot(name);
	put(h, 0, NR_BLOCKS, 3);
	reader = open_snapshot(name);
	expect_half(reader);
	must(store_checkpoint(store, &err));
	read_some();
	expect_half(reader);
	refused(store_delete(store, &name, 1, false, &err), EBUSY, name);
	move_the_rest();
	expect_half(reader);
	must(store_checkpoint(store, &err));
	expect_half(reader);
	volume_close(reader);
	used = stat_now().frames_used;
	delete_volume(name);
	must(store_reap(store, &err));
	must(store_checkpoint(store, &err));
	must(store_checkpoint(store, &err));
	assert_true(stat_now().frames_used + 5 <= used);
	expect(h, 0, NR_BLOCKS, 3);
	check_is_clean();
	volume_close(h);
}

/*
 * The blocks of a GC segment have the names they had elsewhere, until a
 * writer gives them those of their places.
 */
static void what_is_renamed_on_its_way_moves_after_all(void **state)
{
	struct volume_handle *h = half_dead("a");
	uint64_t renamed;

	must(store_clean(store, &err));
	snapshot("a@s");
	for (uint32_t i = 1; i < NR_BLOCKS; i += 2)
		if (i % 8 != 1)
			put(h, i, 1, 4);
	delete_volume("a@s");
	must(store_reap(store, &err));
	must(store_checkpoint(store, &err));
	renamed = stat_now().renamed_blocks;
	read_some();
	put(h, 0, 1, 5);
	put(h, LEAF_BLOCKS, 1, 5);
	assert_true(stat_now().renamed_blocks > renamed);
	move_the_rest();
	assert_true(stat_now().moved_blocks < stat_now().copied_blocks);
	no_segment_is_in_quarantine();
	must(store_checkpoint(store, &err));
	for (uint32_t i = 1; i < NR_BLOCKS; i += 2)
		expect(h, i, 1, i % 8 != 1 ? 4 : 1);
	check_is_clean();
	volume_close(h);
	reopen(false);
	check_is_clean();
}

static void a_batch_of_dead_blocks_is_passed_over(void **state)
{
	struct volume_handle *h = create_volume("a", NR_BLOCKS);

	for (uint32_t i = 0; i < NR_BLOCKS; i++) {
		put(h, i, 1, 1);
		must(volume_flush(h, &err));
	}
	for (uint32_t i = 0; i < NR_BLOCKS; i += 2)
		put(h, i, 1, 2);
	must(store_checkpoint(store, &err));
	while (cleaner_step(store, &err) > 0) {
		lock_core();
		assert_false(store->cleaner.victim &&
			     store->cleaner.victim->bad);
		unlock_core();
	}
	assert_true(stat_now().moved_blocks > 0);
	assert_int_equal(stat_now().checksum_errors, 0);
	expect_half(h);
	volume_close(h);
}

/* ---- a checkpoint ---- */

static void
a_checkpoint_between_reading_and_moving_names_the_old_place(void **s)
{
	struct volume_handle *h = half_dead("a");

	read_some();
	must(store_checkpoint(store, &err));
	volume_close(h);
	reopen(false); /* what was read is forgotten */
	assert_int_equal(stat_now().forwarded_blocks, 0);
	h = open_volume("a");
	expect_half(h);
	read_some();
	must(store_checkpoint(store, &err));
	move_the_rest();
	must(store_checkpoint(store, &err));
	volume_close(h);
	reopen(false);
	assert_true(stat_now().forwarded_blocks > 0);
	h = open_volume("a");
	expect_half(h);
	volume_close(h);
	check_is_clean();
}

static void *run_checkpoint(void *arg)
{
	must(store_checkpoint(store, arg));
	return NULL;
}

/* It is cut, and not yet named, while blocks move, change and die. */
static void a_checkpoint_is_as_of_its_cut_whatever_moves(void **state)
{
	struct volume_handle *h = half_dead("a");
	struct error why = ERROR_NONE;
	pthread_t thread;

	put(h, 1, 1, 1);
	memory_disk_pause(disk, MEMORY_SYNC);
	assert_int_equal(pthread_create(&thread, NULL, run_checkpoint, &why),
			 0);
	memory_disk_wait_paused(disk, MEMORY_SYNC);
	read_some();
	put(h, 3, 1, 6);
	move_the_rest();
	put(h, 5, 1, 6);
	must(volume_trim(h, 8 * BLOCK_SIZE, 8 * BLOCK_SIZE, false, &err));
	assert_true(stat_now().moved_blocks > 0);
	memory_disk_resume(disk, MEMORY_SYNC);
	assert_int_equal(pthread_join(thread, NULL), 0);
	volume_close(h);
	reopen(false); /* not flushed, but written: the log may be there */
	check_is_clean();
	h = open_volume("a");
	for (uint32_t i = 16; i < NR_BLOCKS; i++)
		expect(h, i, 1, i % 2 ? 1 : 2);
	must(store_clean(store, &err));
	for (uint32_t i = 16; i < NR_BLOCKS; i++)
		expect(h, i, 1, i % 2 ? 1 : 2);
	volume_close(h);
	check_is_clean();
}

/* ---- damage ---- */

static void one_bad_read_holds_nothing_up(void **state)
{
	struct volume_handle *h = half_dead("a");

	/* the header of a batch, and then its blocks, at once */
	memory_disk_fault(disk, MEMORY_READ, 2, EIO, false);
	must(store_clean(store, &err));
	assert_int_equal(memory_disk_nr_faults(disk), 1);
	assert_int_equal(stat_now().checksum_errors, 0);
	no_segment_is_in_quarantine();
	expect_half(h);
	volume_close(h);
	check_is_clean();
}

/* ---- a check ---- */

/* What a check of a served store reads. */
static struct store *open_image(void)
{
	struct store *ret;

	mutex_lock(&store->admin);
	must(image_open(store, &ret, &err));
	mutex_unlock(&store->admin);
	return ret;
}

static void say(void *opaque, const char *line)
{
	print_error("%s\n", line);
}

static void frames_come_back_while_a_check_reads(void **state)
{
	struct volume_handle *h = half_dead("a");
	struct store *image = open_image();
	struct check_report report = {0};
	const struct check_output out = {say, NULL, &report};
	uint64_t used = stat_now().frames_used;

	must(store_clean(store, &err));
	assert_true(stat_now().moved_blocks > 0);
	assert_true(stat_now().frames_used + 3 <= used);
	expect_half(h);
	/* every record is replaced, but the image's stay where they were */
	for (uint32_t round = 3; round < 20; round++) {
		put(h, 0, NR_BLOCKS, round);
		must(frames_grow(&store->frames, false, &err));
		must(store_checkpoint(store, &err));
	}
	must(check_image(image, &out, NULL, &err));
	assert_int_equal(report.nr_errors, 0);
	assert_int_equal(report.nr_blocks, NR_BLOCKS);
	used = stat_now().frames_used;
	image_close(store, image);
	assert_true(stat_now().frames_used < used);
	expect(h, 0, NR_BLOCKS, 19);
	volume_close(h);
	check_is_clean();
}

static void a_check_leaves_the_reserve_alone(void **state)
{
	struct volume_handle *h = half_dead("a");
	struct store *image = open_image();
	uint64_t kept = store->frames.reserve / 4 * 3;
	struct place_vector taken = {0};

	/* a full store: others have all but what is reserved */
	lock_core();
	assert_true(cleaner_can_help(store));
	while (store->frames.ready.len > kept)
		must(place_vector_push(
			&taken,
			frames_take(&store->frames, FRAME_USER_METADATA)));
	assert_false(cleaner_can_help(store));
	while (taken.len > 0)
		frames_release(&store->frames, taken.ptr[--taken.len]);
	unlock_core();
	place_vector_done(&taken);
	image_close(store, image);
	volume_close(h);
}

/* Metadata that @h's next checkpoints would free, but for a check. */
static void replace_metadata(struct volume_handle *h)
{
	for (uint32_t round = 3; store->dying.len < 8; round++) {
		put(h, 0, NR_BLOCKS, round);
		(void)frames_grow(&store->frames, false, NULL);
		must(store_checkpoint(store, &err));
	}
	while (frames_grow(&store->frames, false, NULL) == 0)
		;
}

static uint32_t count_meta_victims(void)
{
	uint32_t ret = 0;

	for (size_t i = 0; i < store->segments.meta.len; i++)
		ret += store->segments.meta.ptr[i]->victim;
	return ret;
}

static void metadata_is_not_moved_while_a_check_reads(void **state)
{
	struct volume_handle *h = half_dead("a");
	struct store *image = open_image();

	replace_metadata(h);
	assert_int_equal(count_meta_victims(), 0);
	image_close(store, image);
	volume_close(h);
}

static void take_all_frames(enum frame_user user)
{
	while (frames_take(&store->frames, user) != PLACE_NONE)
		;
}

/* What a check holds on to does not come back soon. */
static void scarce_frames_are_cleaned_for_while_a_check_reads(void **state)
{
	struct volume_handle *h = half_dead("a");
	struct store *image = open_image();

	replace_metadata(h);
	lock_core();
	assert_false(cleaner_is_wanted(store));
	take_all_frames(FRAME_USER_WRITE);
	assert_true(cleaner_is_wanted(store));
	unlock_core();
	image_close(store, image);
	volume_close(h);
}

/* One that finds no frame would stop the store. */
static void a_check_gives_way_to_a_checkpoint(void **state)
{
	struct volume_handle *h = half_dead("a");
	struct store *image = open_image();
	struct check_report report = {0};
	const struct check_output out = {say, NULL, &report};
	struct error why = ERROR_NONE;
	pthread_t thread;

	replace_metadata(h);
	put(h, 0, 1, 2);
	must(store_flush(store, &err));
	lock_core();
	take_all_frames(FRAME_USER_CHECKPOINT);
	unlock_core();
	must(check_image(image, &out, &store->images_revoked, &err));
	assert_int_equal(report.nr_errors, 0);
	assert_int_equal(pthread_create(&thread, NULL, run_checkpoint, &why),
			 0);
	while (!store->images_revoked)
		sleep_ms(1);
	refused(check_image(image, &out, &store->images_revoked, &err), EBUSY,
		"stopped");
	image_close(store, image);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(stat_now().failed);
	assert_false(store->images_revoked);
	volume_close(h);
}

static void *end_check(void *image)
{
	for (int i = 0; !store->images_revoked && i < 2000; i++)
		sleep_ms(10);
	image_close(store, image);
	return NULL;
}

static void a_check_gives_way_to_writes_of_a_full_store(void **state)
{
	struct volume_handle *h = create_volume("a", 2000);
	struct store *image;
	pthread_t thread;
	uint32_t nr = 0;

	while (try_put(h, nr, 1, 1) == 0)
		nr++;
	must(volume_trim(h, 140 * BLOCK_SIZE, 0, false, &err));
	must(store_reap(store, &err));
	must(store_checkpoint(store, &err));
	must(store_checkpoint(store, &err));
	image = open_image();
	while (frames_suffice(&store->frames, FRAME_USER_WRITE, 1)) {
		snapshot("a@s"); /* metadata fills it up */
		must(store_checkpoint(store, &err));
		delete_volume("a@s");
		must(store_checkpoint(store, &err));
	}
	must(store_start(store, &err));
	assert_int_equal(pthread_create(&thread, NULL, end_check, image), 0);
	put(h, 0, 40, 2);
	assert_int_equal(pthread_join(thread, NULL), 0);
	expect(h, 0, 40, 2);
	volume_close(h);
	check_is_clean();
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, open_store, close_store)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_deleted_on_its_way_frees_both_places),
		TEST(a_snapshot_that_is_read_stays_and_moves),
		TEST(what_is_renamed_on_its_way_moves_after_all),
		TEST(a_batch_of_dead_blocks_is_passed_over),
		TEST(a_checkpoint_between_reading_and_moving_names_the_old_place),
		TEST(a_checkpoint_is_as_of_its_cut_whatever_moves),
		TEST(one_bad_read_holds_nothing_up),
		TEST(frames_come_back_while_a_check_reads),
		TEST(a_check_leaves_the_reserve_alone),
		TEST(scarce_frames_are_cleaned_for_while_a_check_reads),
		TEST(metadata_is_not_moved_while_a_check_reads),
		TEST(a_check_gives_way_to_a_checkpoint),
		TEST(a_check_gives_way_to_writes_of_a_full_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
