/* SPDX-License-Identifier: BSD-2-Clause */
/* Repair of superblocks and of the log; and repair that is dry or cut short. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "repair-fixture.h"

/* ---- nothing, and superblocks ---- */

static void a_sound_store_is_not_written(void **state)
{
	stop(false);
	memory_disk_record(disk);
	assert_int_equal(run_repair((struct repair_options){0}), 0);
	assert_int_equal(report.nr_errors, 0);
	assert_int_equal(memory_disk_nr_events(disk), 0);
	assert_string_equal(said, "");
}

static void a_lost_superblock_is_written_anew(void **state)
{
	memory_disk_damage_super(disk, 1, 50, 1);
	repair();
	expect_said("superblock B: ");
	expect_all();
}

static void refuse_unwritten(struct repair_options options, int code,
			     const char *words)
{
	memory_disk_record(disk);
	refused(run_repair(options), code, words);
	assert_int_equal(memory_disk_nr_events(disk), 0);
}

static void without_a_superblock_there_is_no_repair(void **state)
{
	memory_disk_damage_super(disk, 0, 50, 1);
	memory_disk_damage_super(disk, 1, 50, 1);
	stop(false);
	refuse_unwritten((struct repair_options){0}, EBADMSG, "superblock A: ");
	assert_int_equal(report.nr_errors, 0);
}

static void damage_root(void)
{
	memory_disk_damage(disk, store->sb.root.place,
			   store->sb.root.offset + 30, 1);
}

static void without_a_root_there_is_no_repair(void **state)
{
	damage_root();
	stop(false);
	refuse_unwritten((struct repair_options){0}, EBADMSG,
			 "cannot be repaired: checkpoint root");
	expect_said("checkpoint root: checksum mismatch");
}

/* Superblock A, the only one that names the newer checkpoint, loses its root.
 */
static void damage_newer_root(void)
{
	struct disk_superblock super;
	struct superblock newer;

	must(backend_super_read(store->core.be, 0, &super, &err));
	must(superblock_decode(&super, 0, &newer, &err));
	assert_true(newer.checkpoint_id > store->sb.checkpoint_id);
	memory_disk_damage(disk, newer.root.place, newer.root.offset + 30, 1);
}

/* A crash between the two superblocks of a checkpoint. */
static void the_older_root_is_as_good(void **state)
{
	put_in("a", 20, 5, 9);
	must(store_flush(store, &err));
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 2, EIO, false);
	refused(store_checkpoint(store, &err), EIO, "reopen");
	damage_newer_root();
	repair();
	expect_said("the log goes on from there");
	expect_blocks("a", 20, 5, 9);
	expect_s("a@s");
	expect_c();
}

static void the_older_root_may_be_of_a_smaller_store(void **state)
{
	uint64_t capacity = stat_now().capacity, now;

	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 2, EIO, false);
	refused(store_set_capacity(store, 2 * capacity, &now, &err), EIO,
		"reopen");
	damage_newer_root();
	repair();
	expect_said("the log goes on from there");
	assert_int_equal(stat_now().capacity, capacity);
	assert_int_equal(stat_now().frames_total, TEST_FRAMES);
	expect_all();
	must(store_set_capacity(store, 2 * capacity, &now, &err));
	reopen(false);
	assert_int_equal(stat_now().capacity, 2 * capacity);
	check_is_clean();
}

/* ---- the log ---- */

/* Three flushed rounds after the checkpoint; the second is damaged. */
static void damage_log(void)
{
	struct volume_handle *h = open_volume("a");
	uint64_t place;
	uint32_t slot;

	put(h, 0, 5, 20);
	must(store_flush(store, &err));
	place = store->log.current->place;
	slot = store->log.slot;
	put(h, 5, 2, 21);
	must(store_flush(store, &err));
	put(h, FAR, 2, 22);
	must(store_flush(store, &err));
	snapshot("a@late");
	volume_close(h);
	if (slot + 1 >= TEST_SLOTS) {
		place = store->log.current->place;
		slot = 1;
	}
	memory_disk_damage(disk, place, slot * BLOCK_SIZE + 200, 1);
	stop(false);
}

static void a_damaged_log_is_not_cut_unless_told(void **state)
{
	damage_log();
	assert_int_equal(run_check(), -EUCLEAN);
	expect_said("log is damaged after batch ");
	expect_said("a: offset 134217728, length 8192: changed behind the "
		    "damage in the log");
	expect_said("snapshot: done behind the damage");
	assert_true(report.log_is_damaged);
	refuse_unwritten((struct repair_options){0}, EBUSY, "only when told");
}

/* Which is found without the header, before and after it was replayed. */
static void a_damaged_log_behind_a_lost_header_is_not_cut_either(void **state)
{
	struct volume_handle *h = open_volume("a");
	uint64_t first = store->log.current->place;
	struct log_buffer b = {0};

	for (uint32_t i = 0; i < 30; i++) {
		put(h, i, 1, 20);
		must(store_flush(store, &err));
		if (i == 20)
			b = store->log.buffers[store->log.sealed_seq %
					       store->log.nr_buffers];
	}
	volume_close(h);
	assert_int_not_equal(b.place, first);
	memory_disk_damage(disk, first, 20, 1);
	memory_disk_damage(disk, b.place, b.slot * BLOCK_SIZE + 200, 1);
	stop(false);
	refuse_unwritten((struct repair_options){0}, EBUSY, "log is damaged");
}

static void a_damaged_log_is_cut_when_told(void **state)
{
	damage_log();
	assert_int_equal(run_repair((struct repair_options){.cut_log = true}),
			 0);
	expect_said("log is damaged after batch ");
	open_clean();
	expect_blocks("a", 0, 5, 20);
	expect_blocks("a", 5, 5, 4);
	expect_blocks("a", FAR, 100, 2);
	assert_null(
		volume_find_snapshot(&store->volumes, volume("a")->id, "late"));
	expect_s("a@s");
	expect_c();
}

/* ---- dry, and cut short ---- */

static void damage_much(void)
{
	damage_node(node_of("a", 0, 64));
	damage_page(&store->segments.pages, segment_of("b", FAR)->index);
	damage_page(&store->volumes.pages, volume("c")->index);
	damage_page(&store->frames.pages, 0);
	stop(false);
}

/* The same repaired; what was volume c is @lost now. */
static void expect_repaired(const char *lost)
{
	open_clean();
	expect_blocks("a", 0, 10, 4);
	expect_lost("a", 64, 64);
	expect_blocks("a", 128, 172, 1);
	expect_blocks("b", FAR, 100, 2);
	expect_c_snapshots(lost);
	expect_blocks(lost, 20, 10, 7);
}

static void a_dry_run_says_the_same_and_writes_nothing(void **state)
{
	char dry[sizeof(said)];

	damage_much();
	memory_disk_record(disk);
	assert_int_equal(run_repair((struct repair_options){.dry_run = true}),
			 0);
	assert_int_equal(memory_disk_nr_events(disk), 0);
	memcpy(dry, said, sizeof(dry));
	assert_int_equal(run_repair((struct repair_options){0}), 0);
	assert_string_equal(said, dry);
	open_clean();
}

/* Whatever of its writes a crash keeps, the repair can be done again. */
static void a_repair_that_is_cut_short_makes_nothing_worse(void **state)
{
	struct memory_disk *whole = disk;
	uint64_t nr_events;
	char lost[50];

	lost_name("c", lost);
	damage_much();
	memory_disk_record(whole);
	assert_int_equal(run_repair((struct repair_options){0}), 0);
	nr_events = memory_disk_nr_events(whole);
	assert_true(nr_events > 10);
	for (uint64_t i = 0; i <= nr_events; i++) {
		for (int p = 0; p < NR_CRASH_POLICIES; p++) {
			disk = memory_disk_rebuild(whole, i, p, i + 1);
			if (run_repair((struct repair_options){0}) != 0)
				fail_msg("event %" PRIu64 ", %s: %s; %s", i,
					 crash_policy_name(p), err.message,
					 said);
			expect_repaired(lost);
			stop(false);
			memory_disk_put(disk);
		}
	}
	disk = whole;
}

/*
 * A medium that does not answer now may answer later: what it holds is not
 * given up.
 */
static void a_medium_that_fails_is_no_damage(void **state)
{
	struct memory_disk *whole = disk;
	uint64_t nr = 0, nr_reads;
	char lost[50];

	lost_name("c", lost);
	damage_much();
	memory_disk_record(whole);
	do {
		disk = memory_disk_rebuild(whole, 0, CRASH_KEEP_ALL, 0);
		memory_disk_fault(disk, MEMORY_READ, ++nr, EIO, false);
		(void)run_repair((struct repair_options){0});
		nr_reads = memory_disk_count(disk, MEMORY_READ);
		memory_disk_fault(disk, MEMORY_READ, 0, 0, false);
		if (run_repair((struct repair_options){0}) != 0)
			fail_msg("read %" PRIu64 ": %s; %s", nr, err.message,
				 said);
		expect_repaired(lost);
		stop(false);
		memory_disk_put(disk);
	} while (nr <= nr_reads);
	disk = whole;
	assert_true(nr > 100);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, open_repairable, close_repairable)
		TEST(a_sound_store_is_not_written),
		TEST(a_lost_superblock_is_written_anew),
		TEST(without_a_superblock_there_is_no_repair),
		TEST(without_a_root_there_is_no_repair),
		TEST(the_older_root_is_as_good),
		TEST(the_older_root_may_be_of_a_smaller_store),
		TEST(a_damaged_log_is_not_cut_unless_told),
		TEST(a_damaged_log_behind_a_lost_header_is_not_cut_either),
		TEST(a_damaged_log_is_cut_when_told),
		TEST(a_dry_run_says_the_same_and_writes_nothing),
		TEST(a_repair_that_is_cut_short_makes_nothing_worse),
		TEST(a_medium_that_fails_is_no_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
