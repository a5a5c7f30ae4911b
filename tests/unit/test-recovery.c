/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening after a stop, a crash, a crash of the opening: superblock copies,
 * incarnations, segnos.  The tail file has test-recovery-tail.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static const struct store_open_options writable;

static int set_up(void **state)
{
	int r = open_store(state);

	if (r < 0)
		return r;
	make_volume("a", 200, 10);
	must(store_checkpoint(store, &err));
	return 0;
}

/* ---- superblocks ---- */

static void expect_super_writes(unsigned int first, unsigned int second)
{
	unsigned int wanted[] = {first, second}, nr = 0, place;
	char text[100];

	for (uint64_t i = 0; nr < 2; i++) {
		char *at;

		assert_true(i < memory_disk_nr_events(disk));
		memory_disk_print_event(disk, i, text, sizeof(text));
		at = strstr(text, "super-write place ");
		if (!at)
			continue;
		place = (unsigned int)strtoul(at + 18, NULL, 10);
		assert_int_equal(place, wanted[nr++]);
		memory_disk_print_event(disk, i + 1, text, sizeof(text));
		assert_non_null(strstr(text, "sync"));
	}
}

static void reopen_recorded(void)
{
	stop(false);
	memory_disk_record(disk);
	must(test_store_open(disk, &writable, &store, &err));
}

static void of_two_equal_copies_a_stays_valid_longest(void **state)
{
	reopen_recorded();
	expect_super_writes(1, 0);
}

static void the_older_copy_is_written_first(void **state)
{
	uint64_t id = stat_now().checkpoint_id;

	put_in("a", 0, 10, 2);
	must(store_flush(store, &err));
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 2, EIO, false);
	refused(store_checkpoint(store, &err), EIO, "reopen");
	reopen_recorded(); /* A is newer */
	expect_super_writes(1, 0);
	expect_in("a", 0, 10, 2);
	assert_true(stat_now().checkpoint_id >= id + 1);
	check_is_clean();
}

static void the_invalid_copy_is_written_first(void **state)
{
	memory_disk_damage_super(disk, 0, 50, 1);
	reopen_recorded();
	expect_super_writes(0, 1);
	expect_in("a", 0, 10, 1);
	memory_disk_damage_super(disk, 1, 50, 1);
	reopen_recorded();
	expect_super_writes(1, 0);
	expect_in("a", 0, 10, 1);
	check_is_clean();
}

static void the_newer_copy_is_the_store(void **state)
{
	put_in("a", 0, 10, 2);
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 1, EIO, false);
	refused(store_checkpoint(store, &err), EIO, "reopen");
	reopen(false);
	expect_in("a", 0, 10, 2); /* from the log */
	put_in("a", 0, 10, 3);
	must(store_checkpoint(store, &err));
	memory_disk_damage_super(disk, 0, 50, 1);
	reopen(false);
	expect_in("a", 0, 10, 3);
	check_is_clean();
}

static void two_invalid_copies_are_no_store(void **state)
{
	stop(true);
	memory_disk_damage_super(disk, 0, 50, 1);
	memory_disk_damage_super(disk, 1, 50, 1);
	refused(test_store_open(disk, &writable, &store, &err), EBADMSG, "");
	memory_disk_damage_super(disk, 0, 0, 1);
	memory_disk_damage_super(disk, 1, 0, 1);
	refused(test_store_open(disk, &writable, &store, &err), EINVAL, "");
}

/* Rewrite the first @nr_copies with these features. */
static void set_features(unsigned int nr_copies, uint64_t incompat,
			 uint64_t ro_compat)
{
	struct backend *be = backend_memory_open(disk);
	struct disk_superblock bytes;
	struct superblock sb;
	unsigned int first;

	must(superblock_choose(be, &sb, &first, &err));
	sb.features_incompat = incompat;
	sb.features_ro_compat = ro_compat;
	for (unsigned int copy = 0; copy < nr_copies; copy++) {
		superblock_encode(&sb, copy, &bytes);
		must(backend_super_write(be, copy, &bytes, &err));
	}
	backend_close(be);
}

static void unknown_features_are_respected(void **state)
{
	static const struct store_open_options read_only = {.read_only = true};

	stop(true);
	set_features(2, 0, 4);
	refused(test_store_open(disk, &writable, &store, &err), ENOTSUP,
		"read-only");
	must(test_store_open(disk, &read_only, &store, &err));
	expect_in("a", 0, 10, 1);
	stop(false);
	set_features(1, 4, 0);
	refused(test_store_open(disk, &read_only, &store, &err), ENOTSUP, "");
}

static uint64_t features_now(void)
{
	struct backend *be = backend_memory_open(disk);
	struct superblock sb;
	unsigned int first;

	must(superblock_choose(be, &sb, &first, &err));
	backend_close(be);
	return sb.features_incompat;
}

/* Opening an old store: two claims, then both copies name a checkpoint. */
static void the_first_checkpoint_tells_of_new_features(void **state)
{
	static const struct store_open_options read_only = {.read_only = true};

	stop(true);
	set_features(2, 0, 0);
	must(test_store_open(disk, &read_only, &store, &err));
	stop(true);
	assert_int_equal(features_now(), 0);
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 3, EIO, false);
	refused(test_store_open(disk, &writable, &store, &err), EIO, "");
	assert_int_equal(features_now(), 0);
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 4, EIO, false);
	refused(test_store_open(disk, &writable, &store, &err), EIO, "");
	assert_int_equal(features_now(), FEATURES_INCOMPAT_KNOWN);
	must(test_store_open(disk, &writable, &store, &err));
	expect_in("a", 0, 10, 1);
	check_is_clean();
}

/* ---- incarnations and segnos ---- */

static void no_incarnation_and_no_segno_comes_twice(void **state)
{
	uint64_t incarnation = stat_now().open_incarnation, i = 0;
	uint64_t segno = store->core.next_segno;
	int r;

	stop(false);
	/* the opening dies at its i-th superblock write, then at its sync */
	do {
		i++;
		memory_disk_fault(disk,
				  i % 2 ? MEMORY_SUPER_WRITE : MEMORY_SYNC,
				  (i + 1) / 2, EIO, true);
		r = test_store_open(disk, &writable, &store, &err);
		memory_disk_fault(disk, MEMORY_SUPER_WRITE, 0, 0, false);
		memory_disk_fault(disk, MEMORY_SYNC, 0, 0, false);
		if (r == 0)
			stop(false);
	} while (i < 20 && r < 0);
	assert_true(i > 4);
	must(test_store_open(disk, &writable, &store, &err));
	assert_true(stat_now().open_incarnation >= incarnation + 2);
	assert_true(store->core.next_segno > segno);
	assert_true(store->log.current->segno > segno);
	expect_in("a", 0, 10, 1);
	check_is_clean();
}

static void a_claim_half_done_is_never_repeated(void **state)
{
	struct backend *be = backend_memory_open(disk);
	struct superblock sb;
	unsigned int first;

	stop(false);
	/* only one copy gets the new incarnation */
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 2, EIO, false);
	refused(test_store_open(disk, &writable, &store, &err), EIO,
		"injected");
	must(superblock_choose(be, &sb, &first, &err));
	backend_close(be);
	must(test_store_open(disk, &writable, &store, &err));
	assert_int_equal(stat_now().open_incarnation, sb.open_incarnation + 1);
	assert_true(store->log.current->segno >= sb.segno_bound);
}

static void a_store_whose_checkpoint_is_lost_is_not_claimed(void **state)
{
	struct backend *be = backend_memory_open(disk);
	struct superblock before, after;
	unsigned int first;

	stop(true);
	must(superblock_choose(be, &before, &first, &err));
	memory_disk_damage(disk, before.root.place, before.root.offset, 1);
	refused(test_store_open(disk, &writable, &store, &err), EBADMSG,
		"checkpoint root");
	must(superblock_choose(be, &after, &first, &err));
	assert_int_equal(after.open_incarnation, before.open_incarnation);
	memory_disk_damage(disk, before.root.place, before.root.offset, 1);
	must(test_store_open(disk, &writable, &store, &err));
	expect_in("a", 0, 10, 1);
	backend_close(be);
}

/* The tables are loaded meanwhile, so what is told must not be a race. */
static void of_two_failures_the_first_step_is_told(void **state)
{
	stop(true);
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 1, EIO, false);
	memory_disk_fault(disk, MEMORY_READ, 7, EIO, true);
	refused(test_store_open(disk, &writable, &store, &err), EIO, "super");
	memory_disk_fault(disk, MEMORY_READ, 0, 0, false);
	must(test_store_open(disk, &writable, &store, &err));
	expect_in("a", 0, 10, 1);
}

static void every_open_starts_a_new_log(void **state)
{
	for (int i = 0; i < 5; i++) {
		uint64_t incarnation = stat_now().open_incarnation;
		uint64_t bound = store->core.segno_bound;

		reopen(i % 2);
		assert_int_equal(stat_now().open_incarnation, incarnation + 1);
		assert_true(store->core.next_segno > bound);
	}
}

static void the_old_tail_and_its_successor_are_not_overwritten(void **state)
{
	uint64_t current = store->log.current->place;
	uint64_t successor = store->log.successor->place;

	put_in("a", 0, 10, 2);
	must(store_flush(store, &err));
	stop(false);
	/* dies after its claim: the old tail must be there for the next */
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 3, EIO, true);
	refused(test_store_open(disk, &writable, &store, &err), EIO, "");
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 0, 0, false);
	must(test_store_open(disk, &writable, &store, &err));
	assert_int_not_equal(store->log.current->place, current);
	assert_int_not_equal(store->log.current->place, successor);
	assert_int_not_equal(store->log.successor->place, current);
	assert_int_not_equal(store->log.successor->place, successor);
	expect_in("a", 0, 10, 2);
	check_is_clean();
}

static uint64_t frames_on_host(void)
{
	struct backend_stat stat;

	backend_stat(store->core.be, &stat);
	return stat.allocated_bytes >> store->core.segment_shift;
}

/* Has the host those frames only that the store knows of? */
static void expect_no_forgotten_frame(void)
{
	assert_int_equal(frames_on_host(), store->frames.nr_allocated +
						   store->frames.nr_doubtful);
}

static void frames_grown_before_a_crash_are_given_back(void **state)
{
	uint64_t nr_frees;

	put_in("a", 0, 10, 2);
	must(store_flush(store, &err));
	for (int i = 0; i < 5; i++)
		must(frames_grow(&store->frames, false, &err));
	put_in("a", 10, 40, 2); /* takes some of them */
	must(store_flush(store, &err));
	nr_frees = memory_disk_count(disk, MEMORY_FREE);
	reopen_read_only();
	assert_int_equal(memory_disk_count(disk, MEMORY_FREE), nr_frees);
	/* dies before its checkpoint is durable: nothing is given back */
	stop(false);
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 3, EIO, true);
	refused(test_store_open(disk, &writable, &store, &err), EIO, "");
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 0, 0, false);
	assert_int_equal(memory_disk_count(disk, MEMORY_FREE), nr_frees);
	must(test_store_open(disk, &writable, &store, &err));
	expect_no_forgotten_frame();
	reopen(false);
	expect_no_forgotten_frame();
	expect_in("a", 0, 50, 2);
	check_is_clean();
}

static void no_frame_is_looked_for_after_a_clean_stop(void **state)
{
	uint64_t nr_frees;

	stop(true);
	nr_frees = memory_disk_count(disk, MEMORY_FREE);
	must(test_store_open(disk, &writable, &store, &err));
	assert_int_equal(memory_disk_count(disk, MEMORY_FREE), nr_frees);
}

/* ---- reading only ---- */

static void a_read_only_open_replays_and_writes_nothing(void **state)
{
	static const struct store_open_options read_only = {.read_only = true};
	uint64_t before[NR_MEMORY_OPS];

	put_in("a", 5, 10, 2);
	must(store_flush(store, &err));
	stop(false);
	for (int op = 0; op < NR_MEMORY_OPS; op++)
		before[op] = memory_disk_count(disk, (enum memory_op)op);
	must(test_store_open(disk, &read_only, &store, &err));
	assert_true(stat_now().recovered_batches > 0);
	expect_in("a", 0, 5, 1);
	expect_in("a", 5, 10, 2);
	check_is_clean();
	stop(true);
	for (int op = MEMORY_WRITE; op < NR_MEMORY_OPS; op++)
		if (op != MEMORY_SUPER_READ)
			assert_int_equal(
				memory_disk_count(disk, (enum memory_op)op),
				before[op]);
}

static void at_the_checkpoint_there_is_no_replay(void **state)
{
	static const struct store_open_options options = {
		.read_only = true, .at_checkpoint = true};

	put_in("a", 5, 10, 2);
	must(store_flush(store, &err));
	stop(false);
	must(test_store_open(disk, &options, &store, &err));
	assert_int_equal(stat_now().recovered_batches, 0);
	expect_in("a", 0, 10, 1);
	expect_in("a", 10, 5, 0);
}

/* Neither its free frames nor those that it does not have yet. */
static void an_open_does_not_read_a_large_store(void **state)
{
	const uint64_t nr_frames = 20000;
	struct memory_disk *large = test_store_disk_of(nr_frames, 23);
	const struct store_open_options options = {0};
	struct store *opened;
	uint64_t before;

	must(test_store_open(large, &options, &opened, &err));
	must(store_close(opened, true, &err));
	before = memory_disk_count(large, MEMORY_READ);
	must(test_store_open(large, &options, &opened, &err));
	assert_true(memory_disk_count(large, MEMORY_READ) - before < 60);
	must(store_close(opened, true, &err));
	memory_disk_put(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, close_store)
		TEST(of_two_equal_copies_a_stays_valid_longest),
		TEST(the_older_copy_is_written_first),
		TEST(the_invalid_copy_is_written_first),
		TEST(the_newer_copy_is_the_store),
		TEST(two_invalid_copies_are_no_store),
		TEST(unknown_features_are_respected),
		TEST(the_first_checkpoint_tells_of_new_features),
		TEST(no_incarnation_and_no_segno_comes_twice),
		TEST(a_claim_half_done_is_never_repeated),
		TEST(a_store_whose_checkpoint_is_lost_is_not_claimed),
		TEST(of_two_failures_the_first_step_is_told),
		TEST(every_open_starts_a_new_log),
		TEST(the_old_tail_and_its_successor_are_not_overwritten),
		TEST(frames_grown_before_a_crash_are_given_back),
		TEST(no_frame_is_looked_for_after_a_clean_stop),
		TEST(a_read_only_open_replays_and_writes_nothing),
		TEST(at_the_checkpoint_there_is_no_replay),
		TEST(an_open_does_not_read_a_large_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
