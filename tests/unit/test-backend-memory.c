/* SPDX-License-Identifier: BSD-2-Clause */
/* The in-memory back end: the medium that all crash tests believe in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "backend-memory.h"
#include "units.h"

#define SHIFT 16u
#define FRAMES 8u
#define CAPACITY (FRAMES_OFFSET_MIN + (FRAMES << SHIFT))

static struct memory_disk *disk;
static struct backend *be;
static uint8_t block[BLOCK_SIZE] __attribute__((aligned(BLOCK_SIZE)));

static struct backend *open_be(struct memory_disk *on)
{
	struct backend *ret = backend_memory_open(on);

	ret->segment_shift = SHIFT;
	ret->nr_frames = FRAMES;
	return ret;
}

static int open_disk(void **state)
{
	disk = memory_disk_create(CAPACITY);
	be = open_be(disk);
	return 0;
}

static int close_disk(void **state)
{
	backend_close(be);
	memory_disk_put(disk);
	return 0;
}

static int put(uint64_t place, uint32_t offset, uint8_t byte)
{
	struct iovec iov = {block, sizeof(block)};

	memset(block, byte, sizeof(block));
	return backend_write(be, place, offset, &iov, 1, NULL);
}

static uint8_t get(struct backend *from, uint64_t place, uint32_t offset)
{
	uint8_t byte;

	assert_int_equal(backend_read(from, place, offset, &byte, 1, 0, NULL),
			 0);
	return byte;
}

/* What is at @place, @offset after a crash that @policy describes. */
static uint8_t after_crash(uint64_t nr_events, enum crash_policy policy,
			   uint64_t seed, uint64_t place, uint32_t offset)
{
	struct memory_disk *crashed =
		memory_disk_rebuild(disk, nr_events, policy, seed);
	struct backend *other = open_be(crashed);
	uint8_t ret = get(other, place, offset);

	backend_close(other);
	memory_disk_put(crashed);
	return ret;
}

static void what_was_written_is_read_after_reopening(void **state)
{
	assert_int_equal(put(3, 8192, 'a'), 0);
	backend_close(be);
	be = open_be(disk);
	assert_int_equal(get(be, 3, 8192), 'a');
	assert_int_equal(get(be, 3, 4096), 0);
	assert_int_equal(get(be, 4, 8192), 0);
}

static void places_and_ranges_are_checked(void **state)
{
	uint8_t byte;

	assert_int_equal(put(FRAMES, 0, 1), -EUCLEAN);
	assert_int_equal(put(0, 1u << SHIFT, 1), -EUCLEAN);
	assert_int_equal(
		backend_read(be, 0, (1u << SHIFT) - 1, &byte, 2, 0, NULL),
		-EUCLEAN);
	assert_int_equal(
		backend_read(be, 0, UINT32_MAX, &byte, UINT32_MAX, 0, NULL),
		-EUCLEAN);
	assert_int_equal(backend_allocate(be, UINT64_MAX, false, NULL),
			 -EUCLEAN);
	assert_int_equal(backend_free(be, FRAMES, NULL), -EUCLEAN);
}

static void a_fault_strikes_at_its_countdown(void **state)
{
	memory_disk_fault(disk, MEMORY_WRITE, 2, EIO, false);
	assert_int_equal(put(0, 0, 1), 0);
	assert_int_equal(put(0, 0, 2), -EIO);
	assert_int_equal(get(be, 0, 0), 1);
	assert_int_equal(put(0, 0, 3), 0);

	memory_disk_fault(disk, MEMORY_SYNC, 1, EIO, true);
	assert_int_equal(backend_sync(be, NULL), -EIO);
	assert_int_equal(backend_sync(be, NULL), -EIO);
	assert_int_equal(memory_disk_count(disk, MEMORY_SYNC), 2);
}

static void allocation_stops_at_the_limit(void **state)
{
	memory_disk_limit_frames(disk, 2);
	assert_int_equal(backend_allocate(be, 0, false, NULL), 0);
	assert_int_equal(backend_allocate(be, 1, true, NULL), 0);
	assert_int_equal(backend_allocate(be, 1, true, NULL), 0);
	assert_int_equal(backend_allocate(be, 2, false, NULL), -ENOSPC);
	assert_int_equal(put(2, 0, 1), -ENOSPC);
	assert_int_equal(memory_disk_unallocated_writes(disk), 1);
	assert_int_equal(backend_free(be, 0, NULL), 0);
	assert_int_equal(backend_allocate(be, 2, false, NULL), 0);
	assert_int_equal(put(2, 0, 1), 0);
	assert_int_equal(memory_disk_unallocated_writes(disk), 1);
}

static void a_freed_frame_no_longer_reads_as_it_was(void **state)
{
	assert_int_equal(put(0, 0, 'a'), 0);
	assert_int_equal(backend_free(be, 0, NULL), 0);
	assert_int_not_equal(get(be, 0, 0), 'a');
}

static void *put_in_thread(void *opaque)
{
	*(int *)opaque = put(0, 0, 'p');
	return NULL;
}

static void a_paused_write_has_no_effect_until_resumed(void **state)
{
	pthread_t thread;
	int r = 1;

	memory_disk_pause(disk, MEMORY_WRITE);
	assert_int_equal(pthread_create(&thread, NULL, put_in_thread, &r), 0);
	memory_disk_wait_paused(disk, MEMORY_WRITE);
	assert_int_equal(get(be, 0, 0), 0);
	memory_disk_resume(disk, MEMORY_WRITE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(r, 0);
	assert_int_equal(get(be, 0, 0), 'p');
}

static void synced_writes_survive_every_policy(void **state)
{
	memory_disk_record(disk);
	assert_int_equal(put(1, 0, 'a'), 0);
	assert_int_equal(backend_sync(be, NULL), 0);
	assert_int_equal(put(1, 4096, 'b'), 0);
	for (int policy = 0; policy < NR_CRASH_POLICIES; policy++)
		for (uint64_t seed = 0; seed < 20; seed++)
			assert_int_equal(after_crash(3,
						     (enum crash_policy)policy,
						     seed, 1, 0),
					 'a');
}

static void unsynced_writes_follow_the_policy(void **state)
{
	unsigned int kept = 0;

	memory_disk_record(disk);
	assert_int_equal(put(1, 0, 'a'), 0);
	assert_int_equal(put(1, 4096, 'b'), 0);
	assert_int_equal(after_crash(2, CRASH_KEEP_ALL, 0, 1, 0), 'a');
	assert_int_equal(after_crash(2, CRASH_KEEP_NONE, 0, 1, 0), 0);
	assert_int_equal(after_crash(1, CRASH_KEEP_ALL, 0, 1, 4096), 0);
	for (uint64_t seed = 0; seed < 100; seed++) {
		kept += after_crash(2, CRASH_DROP, seed, 1, 0) == 'a';
		assert_int_equal(after_crash(2, CRASH_REORDER, seed, 1, 4096),
				 'b');
	}
	assert_in_range(kept, 20, 80);
}

static void each_single_write_is_lost_or_kept(void **state)
{
	memory_disk_record(disk);
	assert_int_equal(put(1, 0, 'a'), 0);
	assert_int_equal(backend_sync(be, NULL), 0);
	assert_int_equal(memory_disk_nr_unsynced(disk, 2), 0);
	assert_int_equal(put(1, 4096, 'b'), 0);
	assert_int_equal(put(2, 0, 'c'), 0);
	assert_int_equal(memory_disk_nr_unsynced(disk, 4), 2);
	assert_int_equal(after_crash(4, CRASH_LOSE_ONE, 0, 1, 4096), 0);
	assert_int_equal(after_crash(4, CRASH_LOSE_ONE, 0, 2, 0), 'c');
	assert_int_equal(after_crash(4, CRASH_LOSE_ONE, 1, 1, 4096), 'b');
	assert_int_equal(after_crash(4, CRASH_LOSE_ONE, 1, 2, 0), 0);
	assert_int_equal(after_crash(4, CRASH_KEEP_ONE, 0, 1, 4096), 'b');
	assert_int_equal(after_crash(4, CRASH_KEEP_ONE, 0, 2, 0), 0);
}

static uint64_t signature(uint64_t nr_events, enum crash_policy policy,
			  uint64_t seed)
{
	struct memory_disk *crashed =
		memory_disk_rebuild(disk, nr_events, policy, seed);
	uint64_t ret = memory_disk_signature(crashed);

	memory_disk_put(crashed);
	return ret;
}

static void equal_crashes_have_equal_signatures(void **state)
{
	memory_disk_record(disk);
	assert_int_equal(put(1, 0, 'a'), 0);
	assert_int_equal(put(1, 4096, 'b'), 0);
	assert_true(signature(2, CRASH_LOSE_ONE, 0) ==
		    signature(2, CRASH_KEEP_ONE, 1));
	assert_true(signature(2, CRASH_LOSE_ONE, 0) !=
		    signature(2, CRASH_KEEP_ONE, 0));
	assert_true(signature(1, CRASH_LOSE_ONE, 0) ==
		    signature(1, CRASH_KEEP_NONE, 0));
}

static void writes_are_torn_at_sectors(void **state)
{
	bool torn_prefix = false, torn_inside = false;

	memory_disk_record(disk);
	assert_int_equal(put(1, 0, 'a'), 0);
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct memory_disk *crashed =
			memory_disk_rebuild(disk, 1, CRASH_TEAR, seed);
		struct backend *other = open_be(crashed);
		uint8_t first, last;

		assert_int_equal(
			backend_read(other, 1, 0, block, BLOCK_SIZE, 0, NULL),
			0);
		for (uint32_t i = 0; i < BLOCK_SIZE; i++)
			assert_int_equal(block[i], block[i / 512 * 512]);
		first = block[0];
		last = block[BLOCK_SIZE - 1];
		torn_prefix |= first == 'a' && last == 0;
		torn_inside |= first == 0 && last == 'a';
		backend_close(other);
		memory_disk_put(crashed);
	}
	assert_true(torn_prefix && torn_inside);
}

static void garbage_is_neither_old_nor_new(void **state)
{
	bool garbage = false;

	memory_disk_record(disk);
	assert_int_equal(put(1, 0, 'a'), 0);
	for (uint64_t seed = 0; seed < 30; seed++) {
		uint8_t byte = after_crash(1, CRASH_GARBAGE, seed, 1, 700);

		garbage |= byte != 0 && byte != 'a';
	}
	assert_true(garbage);
}

static void superblocks_crash_as_writes_do(void **state)
{
	struct disk_superblock super;
	struct memory_disk *crashed;
	struct backend *other;

	memset(&super, 's', sizeof(super));
	memory_disk_record(disk);
	assert_int_equal(backend_super_write(be, 1, &super, NULL), 0);
	crashed = memory_disk_rebuild(disk, 1, CRASH_KEEP_NONE, 0);
	other = open_be(crashed);
	assert_int_equal(backend_super_read(other, 1, &super, NULL), 0);
	assert_int_equal(super.magic[0], 0);
	backend_close(other);
	memory_disk_put(crashed);
}

static void a_rebuilt_disk_can_be_recorded_and_rebuilt(void **state)
{
	struct memory_disk *original = disk;
	uint8_t byte;

	memory_disk_record(disk);
	assert_int_equal(put(1, 0, 'a'), 0);
	backend_close(be);
	disk = memory_disk_rebuild(original, 1, CRASH_KEEP_ALL, 0);
	memory_disk_put(original);
	be = open_be(disk);
	memory_disk_record(disk);
	assert_int_equal(put(1, 0, 'b'), 0);
	byte = after_crash(1, CRASH_KEEP_NONE, 0, 1, 0);
	assert_int_equal(byte, 'a'); /* its first content counts as synced */
}

static void an_unsynced_free_happens_or_not(void **state)
{
	bool kept = false, freed = false;

	assert_int_equal(put(1, 0, 'a'), 0);
	memory_disk_record(disk);
	assert_int_equal(backend_free(be, 1, NULL), 0);
	for (uint64_t seed = 0; seed < 30; seed++) {
		uint8_t byte = after_crash(1, CRASH_DROP, seed, 1, 0);

		kept |= byte == 'a';
		freed |= byte != 'a';
	}
	assert_true(kept && freed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_disk, close_disk)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(what_was_written_is_read_after_reopening),
		TEST(places_and_ranges_are_checked),
		TEST(a_fault_strikes_at_its_countdown),
		TEST(allocation_stops_at_the_limit),
		TEST(a_freed_frame_no_longer_reads_as_it_was),
		TEST(a_paused_write_has_no_effect_until_resumed),
		TEST(synced_writes_survive_every_policy),
		TEST(unsynced_writes_follow_the_policy),
		TEST(each_single_write_is_lost_or_kept),
		TEST(equal_crashes_have_equal_signatures),
		TEST(writes_are_torn_at_sectors),
		TEST(garbage_is_neither_old_nor_new),
		TEST(superblocks_crash_as_writes_do),
		TEST(a_rebuilt_disk_can_be_recorded_and_rebuilt),
		TEST(an_unsynced_free_happens_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
