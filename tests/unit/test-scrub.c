/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A scrub finds each kind of damage, says whose it is, goes on where it was,
 * and reads nothing twice.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fixture.h"
#include "scrub.h"

static char said[16384];
static struct scrub_progress progress;

static void listen(void *opaque, const char *line)
{
	size_t at = strlen(said);

	(void)snprintf(said + at, sizeof(said) - at, "%s\n", line);
}

/* One slice of @max_bytes; returns what store_scrub() did. */
static int slice(uint64_t max_bytes)
{
	const struct scrub_options options = {.max_bytes = max_bytes};

	said[0] = '\0';
	return store_scrub(store, &options, &progress, listen, NULL, &err);
}

/* To the end, in slices of @max_bytes. */
static int scrub_in(uint64_t max_bytes)
{
	int r;

	do
		r = slice(max_bytes);
	while (r == 0 && !progress.done);
	return r;
}

static void scrub_is_clean(void)
{
	must(scrub_in(UINT64_MAX));
	assert_int_equal(progress.errors, 0);
	assert_int_equal(stat_now().scrub_errors, 0);
	assert_string_equal(said, "");
}

/* It finds @nr_errors, and what it says holds @words. */
static void scrub_finds(uint64_t nr_errors, const char *words)
{
	int r = scrub_in(UINT64_MAX);

	if (r != -EUCLEAN || progress.errors != nr_errors ||
	    !strstr(said, words))
		fail_msg("%d: %llu errors, wanted %llu with '%s', said: %s", r,
			 (unsigned long long)progress.errors,
			 (unsigned long long)nr_errors, words, said);
	assert_int_equal(stat_now().scrub_errors, nr_errors);
	err = (struct error)ERROR_NONE;
}

/* a of 1000 blocks, 200 of them written, and a@s; nothing in log buffers. */
static int set_up(void **state)
{
	int r = open_store_with_snapshot(1000, 200, state);

	if (r == 0)
		reopen(true);
	return r;
}

static void damage_block(const char *name, uint64_t block)
{
	struct birth birth = name_of(name, block);
	struct segment *s;
	uint32_t slot;

	lock_core();
	must(segment_resolve(&store->segments, birth, &s, &slot, &err));
	unlock_core();
	memory_disk_damage(disk, s->place, slot * BLOCK_SIZE + 5, 1);
}

static void a_sound_store_has_no_errors(void **state)
{
	struct store_stat stat;
	uint64_t bytes;

	assert_int_equal(stat_now().scrub_ended_ns, 0);
	scrub_is_clean();
	bytes = progress.bytes;
	assert_true(bytes > 200 * BLOCK_SIZE);
	assert_true(bytes < 300 * BLOCK_SIZE);
	stat = stat_now();
	assert_int_equal(stat.scrub_began_ns, 0);
	assert_int_not_equal(stat.scrub_ended_ns, 0);
	assert_int_equal(stat.checksum_errors, 0);
	/* and is scrubbed again from the beginning */
	scrub_is_clean();
	assert_in_range(progress.bytes, bytes - 4 * PAGE_BYTES,
			bytes + 4 * PAGE_BYTES);
	/* status knows after a reopen, too */
	stat = stat_now();
	reopen(false);
	assert_int_equal(stat_now().scrub_ended_ns, stat.scrub_ended_ns);
}

static void a_damaged_block_is_found_with_all_that_share_it(void **state)
{
	struct birth birth = name_of("a", 70);
	struct volume_handle *h;
	uint8_t data[BLOCK_SIZE];
	char words[120];

	damage_block("a", 70);
	(void)snprintf(words, sizeof(words),
		       "a: offset 286720, length 4096: damaged block %llu:%u; "
		       "shared with a@s\n",
		       (unsigned long long)birth_segno(birth),
		       birth_slot(birth));
	scrub_finds(1, words);
	assert_int_equal(stat_now().checksum_errors, 1);
	assert_false(stat_now().failed);
	/* which is what a reader meets */
	h = open_volume("a");
	assert_int_equal(volume_read(h, data, sizeof(data), 286720, &err),
			 -EIO);
	volume_close(h);
	/* whoever writes it makes it good; the snapshot stays damaged */
	put_in("a", 70, 1, 2);
	scrub_finds(1, "a@s: offset 286720, length 4096: damaged block");
	delete_volume("a@s");
	must(store_reap(store, &err));
	scrub_is_clean();
}

static void a_read_that_fails_is_tried_again_and_then_an_error(void **state)
{
	uint64_t reads;

	for (uint64_t k = 1;; k++) { /* each read of all */
		memory_disk_fault(disk, MEMORY_READ, k, EIO, false);
		reads = memory_disk_count(disk, MEMORY_READ);
		scrub_is_clean();
		if (memory_disk_count(disk, MEMORY_READ) - reads < k)
			break;
	}
	memory_disk_fault(disk, MEMORY_READ, 1, EIO, true);
	assert_int_equal(scrub_in(UINT64_MAX), -EUCLEAN);
	err = (struct error)ERROR_NONE;
	memory_disk_fault(disk, MEMORY_READ, 0, 0, false);
	/* what memory knew was written anew, and the rest was not damaged */
	scrub_is_clean();
	check_is_clean();
}

/* ---- nodes ---- */

static void a_damaged_node_is_found(unsigned int level, const char *range)
{
	char words[120];
	uint32_t id = node_of("a", level, 130);

	damage_node(id);
	reopen(false); /* now it is not in memory */
	(void)snprintf(words, sizeof(words),
		       "a: %s: unreadable map node %u; shared with a@s\n",
		       range, id);
	scrub_finds(1, words);
}

static void a_damaged_leaf_is_found(void **state)
{
	a_damaged_node_is_found(0, "offset 524288, length 262144");
}

static void a_damaged_inner_node_is_found(void **state)
{
	a_damaged_node_is_found(1, "offset 0, length 4096000");
}

static void a_damaged_root_node_is_found(void **state)
{
	a_damaged_node_is_found(3, "offset 0, length 4096000");
}

static void a_node_that_memory_has_is_written_anew(void **state)
{
	for (unsigned int level = 0; level <= INNER_LEVELS; level++) {
		uint32_t id = node_of("a", level, 130);
		char words[40];

		must(nodes_fault(&store->nodes, id, &err));
		damage_node(id);
		(void)snprintf(words, sizeof(words), "map node %u (", id);
		scrub_finds(1, words);
		assert_non_null(strstr(said, "; written anew from memory\n"));
	}
	reopen(false);
	scrub_is_clean();
	check_is_clean();
}

/* ---- what is in memory as a whole ---- */

/* One error that @words tell of, and then none: it was written anew. */
static void is_found_and_mended(const char *words)
{
	scrub_finds(1, words);
	assert_non_null(strstr(said, "; written anew from memory\n"));
	scrub_is_clean();
	reopen(false);
	scrub_is_clean();
	check_is_clean();
}

static void damage_page(struct page_table *table, bool directory)
{
	const struct page_ref *ref =
		directory ? &table->directories[0] : &table->pages[0].ref;

	memory_disk_damage(disk, place_of(ref->segno),
			   ref->offset + ref->length / 2, 0x40);
}

static void a_damaged_page_of_each_table_is_found_and_written_anew(void **state)
{
	damage_page(&store->nodes.pages, false);
	is_found_and_mended("node table: page 0 (segment ");
	damage_page(&store->segments.pages, false);
	is_found_and_mended("segment table: page 0 (segment ");
	damage_page(&store->volumes.pages, false);
	is_found_and_mended("volume table: page 0 (segment ");
	damage_page(&store->frames.pages, false);
	is_found_and_mended("frame map: page 0 (segment ");
	delete_volume("a"); /* and nobody reaps */
	must(store_checkpoint(store, &err));
	damage_page(&store->reaper_pages, false);
	is_found_and_mended("reaper queue: page 0 (segment ");
}

static void a_damaged_directory_is_found_and_written_anew(void **state)
{
	damage_page(&store->nodes.pages, true);
	is_found_and_mended("node table: directory page 0 (segment ");
	damage_page(&store->segments.pages, true);
	is_found_and_mended("segment table: directory page 0 (segment ");
	damage_page(&store->volumes.pages, true);
	is_found_and_mended("volume table: directory page 0 (segment ");
	damage_page(&store->frames.pages, true);
	is_found_and_mended("frame map: directory page 0 (segment ");
}

static void a_damaged_root_is_found_and_written_anew(void **state)
{
	const struct root_ref *root = &store->sb.root;

	memory_disk_damage(disk, root->place, root->offset + 9, 1);
	is_found_and_mended("checkpoint root (segment ");
}

static void a_damaged_superblock_is_found_and_written_anew(void **state)
{
	memory_disk_damage_super(disk, 0, 100, 1);
	is_found_and_mended("superblock A: ");
	memory_disk_damage_super(disk, 1, 100, 1);
	is_found_and_mended("superblock B: ");
}

static void an_older_superblock_is_found(void **state)
{
	struct backend *be = backend_memory_open(disk);
	struct disk_superblock old;

	must(backend_super_read(be, 1, &old, &err));
	put_in("a", 0, 1, 2);
	must(store_checkpoint(store, &err));
	must(backend_super_write(be, 1, &old, &err));
	backend_close(be);
	is_found_and_mended("superblock B: is of checkpoint ");
}

static void a_read_only_store_is_scrubbed_and_not_written(void **state)
{
	uint64_t writes;

	damage_block("a", 3);
	memory_disk_damage_super(disk, 1, 100, 1);
	reopen_read_only();
	writes = memory_disk_count(disk, MEMORY_WRITE) +
		 memory_disk_count(disk, MEMORY_SUPER_WRITE);
	scrub_finds(2, "a: offset 12288, length 4096: damaged block");
	assert_non_null(strstr(said, "superblock B: "));
	assert_null(strstr(said, "written anew"));
	scrub_finds(2, "a: offset 12288, length 4096: damaged block");
	assert_int_equal(memory_disk_count(disk, MEMORY_WRITE) +
				 memory_disk_count(disk, MEMORY_SUPER_WRITE),
			 writes);
}

/* ---- once, and all ---- */

static void a_block_that_many_share_is_read_once(void **state)
{
	uint64_t before;
	char name[32];

	scrub_is_clean();
	before = progress.bytes;
	for (uint32_t i = 0; i < 10; i++) { /* each has leaves of its own */
		(void)snprintf(name, sizeof(name), "a@t%u", i);
		put_in("a", 0, 1, 3 + i);
		put_in("a", 64, 1, 3 + i);
		snapshot(name);
	}
	reopen(true);
	scrub_is_clean();
	/* 20 blocks more, 20 leaves, 50 inner nodes, and pages */
	assert_true(progress.bytes <
		    before + 20 * BLOCK_SIZE + 20 * NODE_LEAF_DENSE_BYTES +
			    60 * NODE_INNER_BYTES + 20 * PAGE_BYTES);
}

static void what_is_not_written_yet_is_not_looked_for(void **state)
{
	struct volume_handle *h = open_volume("a");

	for (uint32_t seed = 2; seed < 6; seed++) {
		put(h, 100, 150, seed);
		scrub_is_clean();
		must(store_flush(store, &err));
		scrub_is_clean();
	}
	volume_close(h);
}

/* The log keeps what was written for reads; what counts is the medium. */
static void what_memory_has_is_read_from_the_medium(void **state)
{
	put_in("a", 7, 1, 2);
	must(store_flush(store, &err));
	damage_block("a", 7);
	scrub_finds(1, "a: offset 28672, length 4096");
}

/* Collected in one batch, of which each slice verifies a part. */
static void a_batch_takes_several_slices(void **state)
{
	unsigned int nr_slices = 0;

	do {
		must(slice(16 * BLOCK_SIZE));
		nr_slices++;
		put_in("a", 200 + nr_slices, 1, 2); /* meanwhile */
	} while (!progress.done);
	assert_true(nr_slices > 5);
	assert_int_equal(progress.errors, 0);
	/* what died after it was collected is no error, damaged or not */
	must(slice(16 * BLOCK_SIZE));
	for (uint64_t block = 0; block < 200; block++)
		damage_block("a", block);
	put_in("a", 0, 200, 3);
	delete_volume("a@s");
	must(store_reap(store, &err));
	must(store_checkpoint(store, &err));
	must(store_checkpoint(store, &err));
	scrub_is_clean();
}

/* Blocks move between two slices, and their old frames hold others. */
static void a_block_that_was_moved_is_read_where_it_is(void **state)
{
	struct volume_handle *h;

	delete_volume("a");
	must(store_reap(store, &err));
	h = create_volume("b", 112);
	put(h, 0, 112, 1);
	for (uint64_t block = 0; block < 112; block += 2)
		put(h, block, 1, 2);
	must(store_checkpoint(store, &err));
	do /* blocks are collected, and some of them verified */
		must(slice(16 * BLOCK_SIZE));
	while (store->scrub->nr_verified == 0);
	assert_int_equal(store->scrub->blocks.len, 112);
	assert_true(store->scrub->nr_verified < 60);
	must(store_clean(store, &err));
	assert_true(stat_now().copied_blocks > 30);
	for (uint32_t seed = 3; seed < 6; seed++) {
		put(h, 0, 20, seed);
		must(store_checkpoint(store, &err));
	}
	must(scrub_in(16 * BLOCK_SIZE));
	assert_int_equal(progress.errors, 0);
	/* and damage is found where they are now */
	damage_block("b", 101);
	scrub_finds(1, "b: offset 413696, length 4096: damaged block");
	volume_close(h);
}

static void slices_come_to_the_same_as_one_go(void **state)
{
	unsigned int nr_slices = 0, percent = 0;
	uint64_t bytes;
	int r;

	damage_block("a", 150);
	scrub_finds(1, "a: offset 614400,");
	bytes = progress.bytes;
	do {
		r = slice(1);
		nr_slices++;
		assert_true(progress.percent >= percent);
		percent = progress.percent;
	} while (r == 0 && !progress.done);
	assert_int_equal(r, -EUCLEAN);
	assert_non_null(strstr(said, "a: offset 614400,"));
	assert_true(nr_slices > 10);
	assert_in_range(progress.bytes, bytes - 2 * PAGE_BYTES,
			bytes + 2 * PAGE_BYTES);
}

/* Slices until a little less than half is done. */
static void scrub_a_part(void)
{
	do
		must(slice(1));
	while (stat_now().scrub_percent < 30);
	assert_false(progress.done);
	assert_int_equal(progress.percent, stat_now().scrub_percent);
}

static void a_scrub_goes_on_after_the_store_was_closed(void **state)
{
	struct store_stat before;
	uint64_t whole;

	scrub_is_clean();
	whole = progress.bytes;
	scrub_a_part();
	before = stat_now();
	reopen(true);
	assert_int_equal(stat_now().scrub_began_ns, before.scrub_began_ns);
	assert_int_equal(stat_now().scrub_percent, before.scrub_percent);
	scrub_is_clean();
	assert_true(progress.bytes < whole);
	/* not after a crash: then from what the last checkpoint knew */
	scrub_a_part();
	must(store_checkpoint(store, &err));
	before = stat_now();
	do
		must(slice(1));
	while (stat_now().scrub_percent == before.scrub_percent);
	reopen(false);
	assert_int_equal(stat_now().scrub_percent, before.scrub_percent);
	scrub_is_clean();
}

static void what_was_found_is_said_after_the_store_was_closed(void **state)
{
	damage_block("a", 0);
	do
		must(slice(1));
	while (progress.errors == 0);
	for (int i = 0; i < 3 && progress.percent < 90; i++)
		must(slice(1));
	reopen(true);
	assert_int_not_equal(stat_now().scrub_began_ns, 0);
	scrub_finds(1, "a: offset 0, length 4096: damaged block");
}

static void a_scrub_can_begin_again(void **state)
{
	struct scrub_options options = {.max_bytes = 1};
	uint64_t began;

	scrub_a_part();
	began = progress.began_ns;
	options.restart = true;
	must(store_scrub(store, &options, &progress, listen, NULL, &err));
	assert_int_equal(progress.percent, 0);
	assert_true(progress.began_ns > began);
	/* who went on with the first one hears that it is over */
	options = (struct scrub_options){.max_bytes = 1, .began_ns = began};
	must(store_scrub(store, &options, &progress, listen, NULL, &err));
	assert_true(progress.done);
	assert_int_not_equal(stat_now().scrub_began_ns, 0);
}

static void who_comes_late_hears_how_it_ended(void **state)
{
	struct scrub_options options = {.max_bytes = 1};

	damage_block("a", 9);
	must(slice(1));
	options.began_ns = progress.began_ns;
	scrub_finds(1, "a: offset 36864,");
	said[0] = '\0';
	assert_int_equal(
		store_scrub(store, &options, &progress, listen, NULL, &err),
		-EUCLEAN);
	assert_true(progress.done);
	assert_non_null(strstr(said, "a: offset 36864,"));
}

/*
 * The scrub has passed low node ids.  Then a leaf it has not seen yet is
 * copied to one of those, and freed: its blocks must not be missed.
 */
static void a_block_that_moves_behind_the_scrub_is_not_missed(void **state)
{
	struct volume_handle *b;
	uint32_t leaf;

	delete_volume("a"); /* leaves low ids for later */
	b = create_volume("b", 300);
	put(b, 0, 300, 1);
	volume_close(b);
	must(store_reap(store, &err));
	reopen(true);
	leaf = node_of("b", 0, 0);
	damage_block("b", 7);
	do
		must(slice(1));
	while (store->scrub_stage < SCRUB_NODES ||
	       store->scrub_position < leaf);
	assert_int_equal(store->scrub_position, leaf);
	snapshot("b@x");
	put_in("b", 1, 1, 2);
	assert_true(node_of("b", 0, 0) < leaf);
	delete_volume("b@x");
	must(store_reap(store, &err));
	scrub_finds(1, "b: offset 28672, length 4096: damaged block");
}

static void a_failed_store_is_scrubbed_too(void **state)
{
	damage_block("a", 3);
	memory_disk_fault(disk, MEMORY_SYNC, 1, EIO, true);
	put_in("a", 500, 1, 2);
	assert_int_equal(store_flush(store, &err), -EIO);
	assert_true(stat_now().failed);
	scrub_finds(1, "a: offset 12288, length 4096: damaged block");
	memory_disk_fault(disk, MEMORY_SYNC, 0, 0, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, close_store)
		TEST(a_sound_store_has_no_errors),
		TEST(a_damaged_block_is_found_with_all_that_share_it),
		TEST(a_read_that_fails_is_tried_again_and_then_an_error),
		TEST(a_damaged_leaf_is_found),
		TEST(a_damaged_inner_node_is_found),
		TEST(a_damaged_root_node_is_found),
		TEST(a_node_that_memory_has_is_written_anew),
		TEST(a_damaged_page_of_each_table_is_found_and_written_anew),
		TEST(a_damaged_directory_is_found_and_written_anew),
		TEST(a_damaged_root_is_found_and_written_anew),
		TEST(a_damaged_superblock_is_found_and_written_anew),
		TEST(an_older_superblock_is_found),
		TEST(a_read_only_store_is_scrubbed_and_not_written),
		TEST(a_block_that_many_share_is_read_once),
		TEST(what_is_not_written_yet_is_not_looked_for),
		TEST(what_memory_has_is_read_from_the_medium),
		TEST(a_batch_takes_several_slices),
		TEST(a_block_that_was_moved_is_read_where_it_is),
		TEST(slices_come_to_the_same_as_one_go),
		TEST(a_scrub_goes_on_after_the_store_was_closed),
		TEST(what_was_found_is_said_after_the_store_was_closed),
		TEST(a_scrub_can_begin_again),
		TEST(who_comes_late_hears_how_it_ended),
		TEST(a_block_that_moves_behind_the_scrub_is_not_missed),
		TEST(a_failed_store_is_scrubbed_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
