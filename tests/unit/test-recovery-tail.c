/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening after the death of the process: what is not in the store yet is
 * taken from the tail file, once, as far as it is whole.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"
#include "read-ahead.h"

static const struct store_open_options writable;
static char dir[] = "/dev/shm/varve-test-XXXXXX";
static const char *const dirs[] = {dir, NULL};
static const struct store_open_options with_tail = {.tail_dirs = dirs};

static int set_up(void **state)
{
	int r = open_store(state);

	(void)strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	if (r < 0 || !mkdtemp(dir))
		return -1;
	make_volume("a", 200, 10);
	stop(true);
	return test_store_open(disk, &with_tail, &store, &err);
}

static int tear_down(void **state)
{
	int r = close_store(state);
	char command[64];

	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) == 0 ? r : -1;
}

static void reopen_with_tail(void)
{
	stop(false);
	must(test_store_open(disk, &with_tail, &store, &err));
}

static void the_tail_holds_what_was_never_written(void **state)
{
	uint64_t nr_writes = memory_disk_count(disk, MEMORY_WRITE);

	put_in("a", 0, 40, 2); /* two sealed batches and an open one */
	assert_int_equal(memory_disk_count(disk, MEMORY_WRITE), nr_writes);
	assert_non_null(store->log.open);
	reopen_with_tail();
	expect_in("a", 0, 40, 2);
	assert_true(stat_now().recovered_tail_batches >= 3);
	check_is_clean();
}

static void the_tail_goes_on_where_the_log_on_disk_ends(void **state)
{
	struct volume_handle *h;

	put_in("a", 0, 20, 2);
	must(store_flush(store, &err));
	put_in("a", 10, 30, 3);
	must(store_create(store, "b", 4096, &err)); /* flushes, too */
	put_in("a", 20, 5, 4);
	h = open_volume("a");
	must(volume_trim(h, 5 * BLOCK_SIZE, 0, false, &err));
	volume_close(h);
	reopen_with_tail();
	expect_in("a", 0, 5, 0);
	expect_in("a", 5, 5, 2);
	expect_in("a", 10, 10, 3);
	expect_in("a", 20, 5, 4);
	expect_in("a", 25, 15, 3);
	check_is_clean();
}

static void a_torn_payload_ends_the_tail(void **state)
{
	struct log_buffer *b;
	uint8_t *payload;

	put_in("a", 0, 6, 2);
	b = store->log.open;
	assert_non_null(b);
	payload = b->memory + SEGMENT_HEADER_SIZE + BATCH_HEADER_SIZE;
	payload[3 * BLOCK_SIZE + 17] ^= 1; /* of the fourth block */
	reopen_with_tail();
	expect_in("a", 0, 3, 2);
	expect_in("a", 3, 7, 1);
	check_is_clean();
}

static void a_torn_sealed_batch_ends_the_tail_too(void **state)
{
	uint64_t seq = store->log.next_seq;
	struct log_buffer *b;
	uint32_t nr;

	put_in("a", 0, 40, 2);
	b = &store->log.buffers[seq % store->log.nr_buffers];
	assert_int_equal(b->state, BATCH_SEALED);
	nr = b->nr_payload;
	b = &store->log.buffers[(seq + 1) % store->log.nr_buffers];
	b->memory[SEGMENT_HEADER_SIZE + BATCH_HEADER_SIZE] ^= 1;
	reopen_with_tail();
	expect_in("a", 0, nr, 2);
	expect_in("a", nr, 40 - nr, nr < 10 ? 1 : 0);
	check_is_clean();
}

static void without_its_tail_the_log_ends_on_disk(void **state)
{
	put_in("a", 0, 10, 2);
	must(store_flush(store, &err));
	put_in("a", 0, 10, 3);
	stop(false);
	must(test_store_open(disk, &writable, &store, &err));
	expect_in("a", 0, 10, 2);
	check_is_clean();
}

static void a_tail_is_not_taken_twice(void **state)
{
	put_in("a", 0, 10, 2);
	reopen_with_tail();
	assert_true(stat_now().recovered_tail_batches > 0);
	put_in("a", 0, 10, 3);
	must(store_flush(store, &err));
	reopen_with_tail();
	assert_int_equal(stat_now().recovered_tail_batches, 0);
	expect_in("a", 0, 10, 3);
}

static void a_reader_sees_the_tail_and_leaves_it(void **state)
{
	static const struct store_open_options read_only = {.read_only = true,
							    .tail_dirs = dirs};

	put_in("a", 0, 40, 2);
	stop(false);
	for (int i = 0; i < 2; i++) {
		must(test_store_open(disk, &read_only, &store, &err));
		expect_in("a", 0, 40, 2);
		check_is_clean();
		stop(false);
	}
	must(test_store_open(disk, &with_tail, &store, &err));
	expect_in("a", 0, 40, 2);
}

/* A tail file that a recovery which was killed has left behind. */
static void leave_tail(const struct tail_owner *owner, uint64_t incarnation)
{
	struct tail_file tail;

	must(tail_file_create(dirs, owner, incarnation, 4, 1 << 17, &tail,
			      &err));
	assert_true(tail.shared);
	tail_file_done(&tail);
}

static bool has_tail(const struct tail_owner *owner, uint64_t incarnation)
{
	struct tail_file tail;
	bool ret = tail_file_find(dirs, owner, incarnation, &tail, NULL) == 0;

	if (ret)
		tail_file_done(&tail);
	return ret;
}

static void tails_of_recoveries_cut_short_do_not_add_up(void **state)
{
	uint64_t incarnation = store->core.incarnation;
	struct tail_owner owner;

	core_tail_owner(&store->core, &owner);
	put_in("a", 0, 40, 2);
	stop(false);
	leave_tail(&owner, incarnation + 1);
	leave_tail(&owner, incarnation + 2);
	/* dies before its checkpoint, which alone makes the old one needless */
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 3, EIO, true);
	refused(test_store_open(disk, &with_tail, &store, &err), EIO, "");
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 0, 0, false);
	assert_true(has_tail(&owner, incarnation));
	assert_false(has_tail(&owner, incarnation + 1));
	assert_false(has_tail(&owner, incarnation + 2));
	must(test_store_open(disk, &with_tail, &store, &err));
	assert_false(has_tail(&owner, incarnation));
	expect_in("a", 0, 40, 2);
	check_is_clean();
}

/* A copy may name another log: its tail has to be there still. */
static void before_the_claim_no_tail_goes(void **state)
{
	uint64_t incarnation = store->core.incarnation;
	struct tail_owner owner;

	core_tail_owner(&store->core, &owner);
	stop(false);
	leave_tail(&owner, incarnation + 1);
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 2, EIO, true);
	refused(test_store_open(disk, &with_tail, &store, &err), EIO, "");
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 0, 0, false);
	assert_true(has_tail(&owner, incarnation + 1));
	must(test_store_open(disk, &with_tail, &store, &err));
}

static void a_clean_stop_leaves_no_tail_file(void **state)
{
	put_in("a", 0, 10, 2);
	assert_true(stat_now().tail_shared);
	assert_int_equal(access(store->log.tail.path, F_OK), 0);
	stop(true);
	assert_int_equal(rmdir(dir), 0); /* it is empty */
}

/* ---- what is read ---- */

#define NR_LEAVES 20u

static struct backend_ops noting_ops;
static struct read_range told[1000];
static _Atomic size_t nr_told;

static void note_told(struct backend *be, uint64_t place, uint32_t offset,
		      uint32_t length)
{
	size_t i = nr_told++;

	assert_true(i < sizeof(told) / sizeof(told[0]));
	told[i] = (struct read_range){place, offset, length};
}

static bool was_told(const struct read_range *range)
{
	for (size_t i = 0; i < nr_told; i++)
		if (told[i].place == range->place &&
		    told[i].offset <= range->offset &&
		    told[i].offset + told[i].length >=
			    range->offset + range->length)
			return true;
	return false;
}

/* Change a block of each leaf from @first on; the leaves' records. */
static void change_leaves(uint32_t first, uint32_t nr, struct read_range *ret)
{
	for (uint32_t i = first; i < first + nr; i++) {
		uint64_t block = (uint64_t)i * LEAF_BLOCKS;
		uint32_t id = node_of("wide", 0, block);

		lock_core();
		assert_true(nodes_find_record(&store->nodes, id, &ret[i]));
		unlock_core();
		put_in("wide", block, 1, 2);
	}
}

static void reopen_noted(void)
{
	struct backend *be = backend_memory_open(disk);

	noting_ops = *be->ops;
	noting_ops.will_read = note_told;
	be->ops = &noting_ops;
	nr_told = 0;
	must(store_open(be, &with_tail, &store, &err));
}

static void leaves_of_log_and_tail_are_read_ahead(void **state)
{
	struct read_range leaves[2 * NR_LEAVES];

	volume_close(create_volume("wide", 2 * NR_LEAVES * LEAF_BLOCKS));
	for (uint32_t i = 0; i < 2 * NR_LEAVES; i++)
		put_in("wide", (uint64_t)i * LEAF_BLOCKS, 2, 1);
	must(store_checkpoint(store, &err));
	change_leaves(0, NR_LEAVES, leaves);
	must(store_flush(store, &err));
	change_leaves(NR_LEAVES, NR_LEAVES, leaves);
	stop(false);
	reopen_noted();
	assert_true(stat_now().recovered_tail_batches > 0);
	for (uint32_t i = 0; i < 2 * NR_LEAVES; i++) {
		assert_true(was_told(&leaves[i]));
		expect_in("wide", (uint64_t)i * LEAF_BLOCKS, 1, 2);
	}
	check_is_clean();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(the_tail_holds_what_was_never_written),
		TEST(the_tail_goes_on_where_the_log_on_disk_ends),
		TEST(a_torn_payload_ends_the_tail),
		TEST(a_torn_sealed_batch_ends_the_tail_too),
		TEST(without_its_tail_the_log_ends_on_disk),
		TEST(a_tail_is_not_taken_twice),
		TEST(tails_of_recoveries_cut_short_do_not_add_up),
		TEST(before_the_claim_no_tail_goes),
		TEST(a_reader_sees_the_tail_and_leaves_it),
		TEST(a_clean_stop_leaves_no_tail_file),
		TEST(leaves_of_log_and_tail_are_read_ahead),
	};

	if (access("/dev/shm", W_OK) < 0) {
		puts("skipped: there is no /dev/shm for a tail file");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
