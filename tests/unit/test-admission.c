/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running out: of frames, of room on the host, of a medium that works.
 *
 * All but those named so run with the workers, as a server does.
 */
#include <errno.h>

#include "fixture.h"

#define NR_BLOCKS 4000u /* more than the store holds */

static struct volume_handle *a;

static int set_up_alone(void **state)
{
	int r = open_store(state);

	if (r == 0)
		a = create_volume("a", NR_BLOCKS);
	return r;
}

static int set_up(void **state)
{
	int r = set_up_alone(state);

	return r < 0 ? r : store_start(store, &err);
}

static int tear_down(void **state)
{
	volume_close(a);
	return close_store(state);
}

static void reopen_a(void)
{
	volume_close(a);
	reopen(false);
	a = open_volume("a");
}

/* Write blocks from 0 until one is refused; how many were not. */
static uint32_t fill_up(int code)
{
	uint32_t nr = 0;
	int r = 0;

	while (nr < NR_BLOCKS) {
		r = try_put(a, nr, 1, 1);
		if (r < 0)
			break;
		nr++;
	}
	refused(r, code, "");
	return nr;
}

static void expect_full_then_room(void)
{
	uint32_t nr = fill_up(ENOSPC);

	assert_true(nr > TEST_FRAMES * TEST_SLOTS / 2);
	assert_false(stat_now().failed);
	expect(a, 0, nr, 1);
	/* deleting and trimming work, and what they free is there again */
	snapshot("a@s");
	delete_volume("a@s");
	must(volume_trim(a, (uint64_t)nr * BLOCK_SIZE, 0, false, &err));
	put(a, 0, nr / 2, 2);
	expect(a, 0, nr / 2, 2);
	check_is_clean();
	reopen_a();
	expect(a, 0, 1, 2);
	check_is_clean();
}

static void a_full_store_has_room_again_after_a_trim(void **state)
{
	expect_full_then_room();
}

static void without_workers_there_is_room_again_too(void **s)
{
	expect_full_then_room();
}

static void a_full_store_has_room_again_after_a_delete(void **state)
{
	uint32_t nr = fill_up(ENOSPC);

	volume_close(a);
	a = NULL;
	delete_volume("a");
	a = create_volume("a", NR_BLOCKS);
	put(a, 0, nr / 2, 2);
	expect(a, 0, nr / 2, 2);
	check_is_clean();
}

static void a_full_store_refuses_soon_and_without_spinning(void **state)
{
	uint64_t start, cpu;
	uint32_t nr = fill_up(ENOSPC);

	start = monotonic_ms();
	cpu = cpu_ms();
	refused(try_put(a, nr, 1, 1), ENOSPC, "store is full");
	assert_true(monotonic_ms() - start < 19000); /* waits once at most */
	assert_true(cpu_ms() - cpu < 1000);
}

/* Space is always coming, and never does: the wait has an end. */
static void nobody_waits_for_space_more_than_ten_seconds(void **state)
{
	struct segment dead = {.segno = 1, .place = PLACE_NONE, .pins = 1};
	uint64_t start, cpu;
	uint32_t nr = fill_up(ENOSPC);
	int r;

	lock_core();
	must(segment_vector_push(&store->dying, &dead));
	unlock_core();
	do { /* until nothing is left of what the filling itself freed */
		start = monotonic_ms();
		cpu = cpu_ms();
		r = try_put(a, nr++, 1, 1);
	} while (r == 0);
	cpu = cpu_ms() - cpu;
	lock_core();
	for (size_t i = 0; i < store->dying.len; i++)
		if (store->dying.ptr[i] == &dead)
			store->dying.ptr[i] =
				store->dying.ptr[--store->dying.len];
	unlock_core();
	refused(r, ENOSPC, "store is full");
	assert_in_range(monotonic_ms() - start, 9000, 19000);
	assert_in_range(cpu, 0, 3000);
}

static void rewriting_needs_no_more_room_than_writing(void **state)
{
	uint32_t nr = TEST_FRAMES * TEST_SLOTS / 2;

	for (uint32_t seed = 1; seed <= 5; seed++)
		put(a, 0, nr, seed);
	expect(a, 0, nr, 5);
	check_is_clean();
}

static void what_a_snapshot_holds_is_not_free(void **state)
{
	uint32_t nr = TEST_FRAMES * TEST_SLOTS / 2, done = 0;

	put(a, 0, nr, 1);
	snapshot("a@s");
	while (done < nr && try_put(a, done, 1, 2) == 0)
		done++;
	assert_true(done < nr);
	refused(try_put(a, done, 1, 2), ENOSPC, "store is full");
	expect(a, 0, done, 2);
	expect(a, done, nr - done, 1);
	delete_volume("a@s");
	put(a, done, 50, 2);
	check_is_clean();
}

/* Not only where few frames are left. */
static void what_is_dirty_is_compared_with_the_frames_left(void **state)
{
	const uint64_t half =
		UINT64_C(1) * TEST_FRAMES / 2 * TEST_SLOTS * BLOCK_SIZE;

	bool before, then;

	assert_true(stat_now().frames_used < TEST_FRAMES / 8);
	lock_core();
	before = room_is_short(store);
	store->nodes.dirty_bytes += half; /* it may be moved once more */
	then = room_is_short(store);
	store->nodes.dirty_bytes -= half;
	unlock_core();
	assert_false(before);
	assert_true(then);
}

/* ---- the log ---- */

static bool flush_is_due_now(void)
{
	bool ret;

	lock_core();
	ret = flush_is_due(store);
	unlock_core();
	return ret;
}

/* As if so much had been written since the last flush. */
static void set_unflushed(uint64_t bytes)
{
	lock_core();
	store->log.unflushed_bytes = bytes;
	unlock_core();
}

/*
 * What is read after a crash: the log that is not flushed, and its leaves, each
 * as long as three blocks of log.
 */
static void with_many_dirty_leaves_a_flush_is_due_sooner(void **state)
{
	const uint32_t nr = 70;
	const uint64_t most = (uint64_t)4 * nr * BLOCK_SIZE;
	struct volume_handle *wide =
		create_volume("wide", (uint64_t)nr * LEAF_BLOCKS);
	uint64_t due;

	lock_core();
	store->checkpoint_log_bytes = 8 * most;
	unlock_core();
	must(store_checkpoint(store, &err));
	for (uint32_t i = 0; i < nr; i++) {
		put(wide, (uint64_t)i * LEAF_BLOCKS, 1, 1);
		due = most - stat_now().dirty_nodes * 3 * BLOCK_SIZE;
		if (due < most / 8)
			due = most / 8;
		set_unflushed(due - 1);
		assert_false(flush_is_due_now());
		set_unflushed(due);
		assert_true(flush_is_due_now());
	}
	assert_int_equal(due, most - (nr + 3) * 3 * BLOCK_SIZE);
	must(store_flush(store, &err));
	assert_false(flush_is_due_now());
	volume_close(wide);
}

/* ---- the host ---- */

static void a_full_host_stops_growth_and_not_the_store(void **state)
{
	uint32_t nr;

	memory_disk_limit_frames(disk, stat_now().frames_allocated + 10);
	nr = fill_up(ENOSPC);
	assert_true(nr < TEST_FRAMES * TEST_SLOTS / 2);
	assert_false(stat_now().failed);
	expect(a, 0, nr, 1);
	must(store_flush(store, &err));
	must(store_checkpoint(store, &err));
	snapshot("a@s"); /* the reserve is there for it */
	memory_disk_limit_frames(disk, UINT64_MAX);
	lock_core();
	store->frames.retry_at_ms = monotonic_ms();
	unlock_core();
	put(a, nr, 200, 1);
	expect(a, 0, nr + 200, 1);
	check_is_clean();
}

/* ---- the medium ---- */

static void expect_stopped(void)
{
	refused(try_put(a, 0, 1, 3), EIO, "reopen");
	refused(volume_flush(a, &err), EIO, "reopen");
	refused(volume_zero(a, 4096, 0, false, &err), EIO, "reopen");
	refused(volume_trim(a, 4096, 0, false, &err), EIO, "reopen");
	refused(store_checkpoint(store, &err), EIO, "reopen");
	assert_true(stat_now().failed);
}

static void fail_at(enum memory_op op)
{
	put(a, 0, 30, 1);
	must(store_flush(store, &err));
	memory_disk_fault(disk, op, 1, EIO, false);
	(void)try_put(a, 10, 10, 2); /* acknowledged or not */
	refused(volume_flush(a, &err), EIO, "");
	expect_stopped();
	/* reads go on, and show what was acknowledged */
	expect(a, 0, 10, 1);
	expect(a, 20, 10, 1);
	reopen_a();
	assert_false(stat_now().failed);
	expect(a, 0, 10, 1);
	expect(a, 20, 10, 1);
	put(a, 0, 30, 4);
	expect(a, 0, 30, 4);
	check_is_clean();
}

static void a_failed_write_stops_the_store_until_reopened(void **state)
{
	fail_at(MEMORY_WRITE);
}

static void a_failed_sync_stops_the_store_until_reopened(void **state)
{
	fail_at(MEMORY_SYNC);
}

static void a_failed_fua_is_not_acknowledged(void **state)
{
	uint8_t byte = 1;

	memory_disk_fault(disk, MEMORY_SYNC, 1, EIO, false);
	refused(volume_write(a, &byte, 1, 0, true, &err), EIO, "injected");
	expect_stopped();
}

static void a_failed_read_stops_nothing(void **state)
{
	uint8_t data[BLOCK_SIZE];

	put(a, 0, 600, 1); /* so that block 0 is in no buffer */
	must(store_flush(store, &err));
	memory_disk_fault(disk, MEMORY_READ, 1, EIO, false);
	refused(volume_read(a, data, sizeof(data), 0, &err), EIO, "injected");
	expect(a, 0, 600, 1);
	put(a, 0, 1, 2);
	must(store_flush(store, &err));
	assert_false(stat_now().failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_ALONE(name) \
	cmocka_unit_test_setup_teardown(name, set_up_alone, tear_down)
		TEST(a_full_store_has_room_again_after_a_trim),
		TEST_ALONE(without_workers_there_is_room_again_too),
		TEST(a_full_store_has_room_again_after_a_delete),
		TEST(a_full_store_refuses_soon_and_without_spinning),
		TEST(nobody_waits_for_space_more_than_ten_seconds),
		TEST(rewriting_needs_no_more_room_than_writing),
		TEST(what_a_snapshot_holds_is_not_free),
		TEST_ALONE(what_is_dirty_is_compared_with_the_frames_left),
		TEST_ALONE(with_many_dirty_leaves_a_flush_is_due_sooner),
		TEST(a_full_host_stops_growth_and_not_the_store),
		TEST(a_failed_write_stops_the_store_until_reopened),
		TEST(a_failed_sync_stops_the_store_until_reopened),
		TEST(a_failed_fua_is_not_acknowledged),
		TEST(a_failed_read_stops_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
