/* SPDX-License-Identifier: BSD-2-Clause */
/* A store that grows. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "fixture.h"

#define SEGMENT (UINT64_C(1) << TEST_SEGMENT_SHIFT)
#define RESERVE 16u /* of less than 1024 frames */

static uint64_t capacity_of(uint64_t nr_frames)
{
	return backend_frame_offset(nr_frames, TEST_SEGMENT_SHIFT);
}

static int try_grow(uint64_t capacity)
{
	uint64_t now = 0;
	int r = store_set_capacity(store, capacity, &now, &err);

	if (r == 0)
		assert_int_equal(now, capacity);
	return r;
}

static void grow(uint64_t nr_frames)
{
	must(try_grow(capacity_of(nr_frames)));
}

/* Blocks that went in until the store was full. */
static uint32_t fill_up(struct volume_handle *h, uint32_t from)
{
	uint32_t nr = from;

	while (try_put(h, nr, 1, 1) == 0)
		nr++;
	assert_int_equal(err.code, ENOSPC);
	return nr - from;
}

static void has(uint64_t nr_frames, uint64_t reserve)
{
	struct store_stat st = stat_now();

	assert_int_equal(st.capacity, capacity_of(nr_frames));
	assert_int_equal(st.frames_total, nr_frames);
	assert_int_equal(st.frames_reserve, reserve);
}

/* ---- growing ---- */

static void what_was_grown_is_there_after_a_crash(void **state)
{
	grow(TEST_FRAMES + 10);
	has(TEST_FRAMES + 10, RESERVE);
	reopen(false);
	has(TEST_FRAMES + 10, RESERVE);
	check_is_clean();
	grow(TEST_FRAMES + 11);
	reopen(true);
	has(TEST_FRAMES + 11, RESERVE);
	check_is_clean();
}

static void a_full_store_takes_as_much_again_when_twice_as_large(void **state)
{
	struct volume_handle *h = create_volume("a", 10000);
	uint32_t nr = fill_up(h, 0), more;

	grow(2 * TEST_FRAMES);
	more = fill_up(h, nr);
	assert_true(more > nr);
	expect(h, 0, nr + more, 1);
	must(store_flush(store, &err));
	volume_close(h);
	reopen(false);
	h = open_volume("a");
	expect(h, 0, nr + more, 1);
	volume_close(h);
	check_is_clean();
}

static void less_than_a_frame_makes_no_frame(void **state)
{
	must(try_grow(capacity_of(TEST_FRAMES) + SEGMENT - 512));
	assert_int_equal(stat_now().frames_total, TEST_FRAMES);
	reopen(false);
	assert_int_equal(stat_now().capacity,
			 capacity_of(TEST_FRAMES) + SEGMENT - 512);
	must(try_grow(capacity_of(TEST_FRAMES) + SEGMENT));
	has(TEST_FRAMES + 1, RESERVE);
	check_is_clean();
}

static void to_be_as_large_as_it_is_changes_nothing(void **state)
{
	uint64_t nr = memory_disk_count(disk, MEMORY_SUPER_WRITE);

	grow(TEST_FRAMES);
	assert_int_equal(memory_disk_count(disk, MEMORY_SUPER_WRITE), nr);
}

static void the_frame_map_grows_by_pages(void **state)
{
	uint64_t nr = 2 * FRAME_MAP_PAGE_FRAMES + 5;

	grow(FRAME_MAP_PAGE_FRAMES - 2);
	/* the frames of the reserve lie in two pages */
	grow(nr);
	reopen(false);
	has(nr, frames_reserve(nr));
	check_is_clean();
	reopen(true);
	has(nr, frames_reserve(nr));
	check_is_clean();
}

static void the_larger_reserve_is_allocated_before_it_is_promised(void **state)
{
	uint64_t nr = 20 * 1024, before = stat_now().frames_allocated;

	grow(nr);
	has(nr, 16 + 20);
	assert_int_equal(stat_now().frames_allocated, before + 20);
	reopen(false);
	assert_true(stat_now().frames_allocated >= before + 20);
	assert_int_equal(memory_disk_unallocated_writes(disk), 0);
}

/* ---- what cannot be ---- */

static void a_store_does_not_shrink(void **state)
{
	refused(try_grow(capacity_of(TEST_FRAMES) - 512), EINVAL,
		"cannot shrink: its capacity is 8320 KiB");
	refused(try_grow(0), EINVAL, "cannot shrink");
	has(TEST_FRAMES, RESERVE);
}

static void a_file_has_no_largest_capacity(void **state)
{
	refused(try_grow(CAPACITY_MAX), EINVAL, "block device");
}

static void more_frames_than_a_checkpoint_can_list_are_refused(void **state)
{
	uint64_t max = frames_capacity_max(TEST_SEGMENT_SHIFT);
	uint64_t now;

	assert_int_equal(max >> 30, 12);
	refused(try_grow(max + 1), EINVAL, "largest store is 12 GiB");
	refused(try_grow(INT64_MAX), EINVAL, "largest store");
	must(store_set_capacity_dry_run(store, max, &now, &err));
	has(TEST_FRAMES, RESERVE);
}

static void a_host_without_room_for_the_reserve_changes_nothing(void **state)
{
	struct volume_handle *h = create_volume("a", 100);
	struct store_stat st = stat_now();
	struct backend_stat stat;

	memory_disk_limit_frames(disk, st.frames_allocated + 5);
	refused(try_grow(capacity_of(20 * 1024)), ENOSPC,
		"no room for the reserve");
	has(TEST_FRAMES, RESERVE);
	backend_stat(store->core.be, &stat);
	assert_int_equal(stat.size_bytes, capacity_of(TEST_FRAMES));
	/* what was allocated was given back: the store itself can have it */
	memory_disk_limit_frames(disk, st.frames_allocated + 10);
	must(store_checkpoint(store, &err));
	must(frames_grow(&store->frames, false, &err));
	put(h, 0, 100, 1);
	volume_close(h);
	reopen(false);
	has(TEST_FRAMES, RESERVE);
	check_is_clean();
	memory_disk_limit_frames(disk, UINT64_MAX);
	grow(20 * 1024);
	check_is_clean();
}

static void a_disk_that_cannot_grow_changes_nothing(void **state)
{
	memory_disk_fault(disk, MEMORY_GROW, 1, EINVAL, false);
	refused(try_grow(capacity_of(200)), EINVAL, "grow");
	has(TEST_FRAMES, RESERVE);
	reopen(true);
	has(TEST_FRAMES, RESERVE);
	grow(200);
	has(200, RESERVE);
}

static void a_store_open_read_only_does_not_grow(void **state)
{
	uint64_t now;

	must(store_checkpoint(store, &err));
	reopen_read_only();
	refused(try_grow(capacity_of(200)), EROFS, "read-only");
	must(store_set_capacity_dry_run(store, capacity_of(200), &now, &err));
	assert_int_equal(now, capacity_of(200));
	has(TEST_FRAMES, RESERVE);
}

/* ---- old or new ---- */

/* The superblock write @nr fails: the store stops; then it is opened anew. */
static void stop_at_superblock(uint64_t nr)
{
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, nr, EIO, true);
	refused(try_grow(capacity_of(200)), EIO, "");
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 0, 0, false);
	assert_true(stat_now().failed);
	refused(try_grow(capacity_of(300)), EIO, "");
	reopen(false);
	check_is_clean();
}

static void before_the_first_superblock_it_is_the_old_store(void **state)
{
	stop_at_superblock(1);
	has(TEST_FRAMES, RESERVE);
}

static void after_the_first_superblock_it_is_the_new_store(void **state)
{
	struct superblock sb[SUPERBLOCK_COPIES];
	struct disk_superblock super;

	stop_at_superblock(2);
	has(200, RESERVE);
	for (unsigned int i = 0; i < SUPERBLOCK_COPIES; i++) {
		must(backend_super_read(store->core.be, i, &super, &err));
		must(superblock_decode(&super, i, &sb[i], &err));
		assert_int_equal(sb[i].capacity, capacity_of(200));
	}
}

static void the_older_superblock_may_be_of_a_smaller_store(void **state)
{
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 2, EIO, true);
	refused(try_grow(capacity_of(200)), EIO, "");
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 0, 0, false);
	memory_disk_damage_super(disk, 0, 100, 1);
	reopen(false);
	has(TEST_FRAMES, RESERVE);
	check_is_clean();
	grow(300);
	reopen(false);
	has(300, RESERVE);
	check_is_clean();
}

/* ---- a store in use ---- */

static void *grow_much(void *arg)
{
	struct error failure = ERROR_NONE;
	uint64_t now;

	return (void *)(intptr_t)store_set_capacity(
		store, capacity_of(20 * 1024), &now, &failure);
}

/* The disk as of a power cut now is a store of the old size. */
static void must_be_old_store_with(uint32_t nr_blocks)
{
	struct memory_disk *whole = disk;
	struct store *growing = store;
	struct volume_handle *h;

	disk = memory_disk_rebuild(whole, memory_disk_nr_events(whole),
				   CRASH_KEEP_NONE, 0);
	must(test_store_open(disk, &(struct store_open_options){0}, &store,
			     &err));
	has(TEST_FRAMES, RESERVE);
	h = open_volume("a");
	expect(h, 0, nr_blocks, 2);
	volume_close(h);
	check_is_clean();
	stop(false);
	memory_disk_put(disk);
	disk = whole;
	store = growing;
}

/* Until a superblock says how large the store is, it is the old one. */
static void the_log_does_not_go_on_beyond_the_old_end_too_soon(void **state)
{
	struct volume_handle *h = create_volume("a", 100);
	pthread_t thread;
	void *ret;

	for (unsigned int i = 0; i < 20; i++)
		must(frames_grow(&store->frames, false, &err));
	must(store_checkpoint(store, &err));
	memory_disk_record(disk);
	memory_disk_pause(disk, MEMORY_SUPER_WRITE);
	assert_int_equal(pthread_create(&thread, NULL, grow_much, NULL), 0);
	memory_disk_wait_paused(disk, MEMORY_SUPER_WRITE);
	put(h, 0, 100, 2);
	must(volume_flush(h, &err));
	must_be_old_store_with(100);
	memory_disk_resume(disk, MEMORY_SUPER_WRITE);
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_int_equal((intptr_t)ret, 0);
	expect(h, 0, 100, 2);
	volume_close(h);
	check_is_clean();
}

static void *write_block(void *arg)
{
	uint8_t data[BLOCK_SIZE] = {1};
	struct error failure = ERROR_NONE;

	return (void *)(intptr_t)volume_write(arg, data, sizeof(data), 0, true,
					      &failure);
}

static void a_write_that_waits_for_space_gets_it_from_growing(void **state)
{
	const struct setting pause = {"on-full", "pause"};
	struct volume_handle *h = create_volume("a", 10000), *b;
	pthread_t thread;
	void *ret;

	b = create_volume("b", 10);
	(void)fill_up(h, 0);
	must(store_set(store, "b", &pause, 1, &err));
	must(store_start(store, &err));
	assert_int_equal(pthread_create(&thread, NULL, write_block, b), 0);
	sleep_ms(200); /* it waits */
	grow(2 * TEST_FRAMES);
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_int_equal((intptr_t)ret, 0);
	assert_true(stat_now().used_percent < 60);
	volume_close(h);
	volume_close(b);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, open_store, close_store)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(what_was_grown_is_there_after_a_crash),
		TEST(a_full_store_takes_as_much_again_when_twice_as_large),
		TEST(less_than_a_frame_makes_no_frame),
		TEST(to_be_as_large_as_it_is_changes_nothing),
		TEST(the_frame_map_grows_by_pages),
		TEST(the_larger_reserve_is_allocated_before_it_is_promised),
		TEST(a_store_does_not_shrink),
		TEST(a_file_has_no_largest_capacity),
		TEST(more_frames_than_a_checkpoint_can_list_are_refused),
		TEST(a_host_without_room_for_the_reserve_changes_nothing),
		TEST(a_disk_that_cannot_grow_changes_nothing),
		TEST(a_store_open_read_only_does_not_grow),
		TEST(before_the_first_superblock_it_is_the_old_store),
		TEST(after_the_first_superblock_it_is_the_new_store),
		TEST(the_older_superblock_may_be_of_a_smaller_store),
		TEST(the_log_does_not_go_on_beyond_the_old_end_too_soon),
		TEST(a_write_that_waits_for_space_gets_it_from_growing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
