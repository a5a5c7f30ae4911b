/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A store that is at work while its node table is loaded behind.  Volume a
 * has a leaf for each of NR_LEAVES blocks, so that the table has several
 * pages, and so has b.
 */
#include "fixture.h"

#include <pthread.h>
#include <string.h>

#include "clock.h"
#include "freed.h"
#include "loader.h"
#include "tables.h"

#define NR_LEAVES 300u

static const struct store_open_options behind = {.load_behind = true};

static void put_leaves(const char *name, uint32_t seed)
{
	struct volume_handle *v = open_volume(name);

	for (uint64_t i = 0; i < NR_LEAVES; i++)
		put(v, i * LEAF_BLOCKS, 1, seed);
	volume_close(v);
}

static void expect_leaves(const char *name, uint32_t seed)
{
	struct volume_handle *v = open_volume(name);

	for (uint64_t i = 0; i < NR_LEAVES; i++)
		expect(v, i * LEAF_BLOCKS, 1, seed);
	volume_close(v);
}

static void open_behind(void)
{
	stop(true);
	must(test_store_open(disk, &behind, &store, &err));
}

static uint32_t nr_unloaded(void)
{
	uint32_t ret;

	lock_core();
	ret = store->nodes.nr_unloaded;
	unlock_core();
	return ret;
}

/* Closed with all in its checkpoint, and opened with nothing loaded. */
static int start(void **state)
{
	if (open_store(state))
		return -1;
	volume_close(create_volume("a", NR_LEAVES * LEAF_BLOCKS));
	volume_close(create_volume("b", NR_LEAVES * LEAF_BLOCKS));
	put_leaves("a", 1);
	put_leaves("b", 2);
	open_behind();
	assert_true(nr_unloaded() >= 2 * NR_LEAVES / NODE_TABLE_PAGE_ENTRIES);
	return 0;
}

/* What META segments hold, counted anew. */
static uint64_t count_meta_bytes(void)
{
	uint64_t ret = store->sb.root.length;

	lock_core();
	for (uint32_t id = 1; id < store->nodes.next_id; id++)
		if (node_exists(&store->nodes, id))
			ret += node_entry(&store->nodes, id)->length;
	for (int t = 0; t < NR_TABLES; t++) {
		const struct page_table *table = store_table(store, t);

		for (uint32_t i = 0; i < table->nr_pages; i++)
			ret += table->pages[i].ref.length;
		for (uint32_t i = 0; i < table->nr_directories; i++)
			ret += table->directories[i].length;
	}
	unlock_core();
	return ret;
}

/* Of an earlier open: those may have lost their last record. */
static uint32_t nr_sealed_meta(void)
{
	uint32_t ret = 0;

	lock_core();
	for (size_t i = 0; i < store->segments.meta.len; i++) {
		const struct segment *s = store->segments.meta.ptr[i];

		ret += s->sealed && s->segno < store->meta_below;
	}
	unlock_core();
	return ret;
}

static void a_read_loads_what_it_needs_and_no_more(void **state)
{
	uint32_t before = nr_unloaded();

	expect_in("a", 0, 1, 1);
	assert_true(nr_unloaded() < before);
	assert_true(nr_unloaded() > 0);
	expect_in("b", (NR_LEAVES - 1) * LEAF_BLOCKS, 1, 2);
	assert_true(nr_unloaded() > 0);
}

static void everything_reads_right_while_nothing_is_loaded(void **state)
{
	expect_leaves("b", 2);
	expect_leaves("a", 1);
	put_leaves("a", 3);
	reopen(true);
	expect_leaves("a", 3);
	expect_leaves("b", 2);
	check_is_clean();
}

static void the_loader_counts_what_an_open_would_have(void **state)
{
	uint64_t nr_nodes, nr_free;

	delete_volume("b");
	must(store_reap(store, &err));
	open_behind();
	put_in("a", 0, 1, 4);
	loader_run(store);
	assert_int_equal(nr_unloaded(), 0);
	assert_int_equal(store->segments.meta_bytes, count_meta_bytes());
	nr_nodes = store->nodes.nr_nodes;
	nr_free = store->nodes.free_ids.len;
	assert_true(nr_free > NR_LEAVES);
	reopen(true);
	assert_int_equal(store->nodes.nr_nodes, nr_nodes);
	assert_int_equal(store->nodes.free_ids.len, nr_free);
	assert_int_equal(store->segments.meta_bytes, count_meta_bytes());
	expect_in("a", 0, 1, 4);
}

/* Whatever is not loaded yet may lie there. */
static void no_metadata_dies_before_all_is_loaded(void **state)
{
	uint64_t used;

	put_leaves("a", 5);
	must(store_checkpoint(store, &err));
	must(store_checkpoint(store, &err));
	assert_int_equal(nr_sealed_meta(), 0);
	used = stat_now().frames_used;
	loader_run(store);
	assert_true(nr_sealed_meta() > 0);
	put_in("a", 0, 1, 6);
	must(store_checkpoint(store, &err));
	must(store_checkpoint(store, &err));
	assert_true(stat_now().frames_used < used);
	expect_leaves("b", 2);
	check_is_clean();
}

static void an_id_is_given_once(void **state)
{
	volume_close(create_volume("c", NR_LEAVES * LEAF_BLOCKS));
	put_leaves("c", 7); /* ids from the end of a page not loaded before */
	loader_run(store);
	volume_close(create_volume("d", NR_LEAVES * LEAF_BLOCKS));
	put_leaves("d", 8);
	reopen(true);
	expect_leaves("a", 1);
	expect_leaves("b", 2);
	expect_leaves("c", 7);
	expect_leaves("d", 8);
	check_is_clean();
}

static void what_is_deleted_meanwhile_is_freed(void **state)
{
	delete_volume("b");
	must(store_reap(store, &err));
	must(store_checkpoint(store, &err));
	assert_true(nr_unloaded() == 0 || nr_sealed_meta() == 0);
	loader_run(store);
	reopen(true);
	assert_true(store->nodes.free_ids.len > NR_LEAVES);
	expect_leaves("a", 1);
	check_is_clean();
}

/* A crash leaves a log, and then nothing is left for later. */
static void with_a_log_to_replay_all_is_loaded_first(void **state)
{
	put_in("a", 0, 1, 9);
	must(store_flush(store, &err));
	stop(false);
	must(test_store_open(disk, &behind, &store, &err));
	assert_int_equal(nr_unloaded(), 0);
	expect_in("a", 0, 1, 9);
	check_is_clean();
}

/* ---- room ---- */

/* Each open takes a META segment, and no other dies before all is loaded. */
static void restart_when_full(bool clean)
{
	struct volume_handle *v = open_volume("a");
	uint64_t used;

	for (uint64_t i = 0; try_put(v, i, 1, 1) == 0;)
		i++;
	err = (struct error)ERROR_NONE;
	volume_close(v);
	reopen(true);
	used = stat_now().frames_used;
	for (int i = 0; i < 60; i++) {
		stop(clean);
		must(test_store_open(disk, &behind, &store, &err));
		assert_true(stat_now().frames_used <= used + 8);
	}
	expect_leaves("b", 2);
}

static void a_full_store_can_be_stopped_early_again_and_again(void **state)
{
	restart_when_full(true);
}

static void a_full_store_can_be_killed_early_again_and_again(void **state)
{
	restart_when_full(false);
}

static void the_limit_of_tables_holds_meanwhile(void **state)
{
	struct store_open_options options = behind;
	struct volume_handle *v;

	delete_volume("b");
	must(store_reap(store, &err));
	reopen(true);
	options.tables_bytes = stat_now().tables_bytes + 20000;
	stop(true);
	must(test_store_open(disk, &options, &store, &err));
	v = create_volume("c", 10 * NR_LEAVES * LEAF_BLOCKS);
	for (uint64_t i = 0; i < 10 * NR_LEAVES; i++)
		if (try_put(v, i * LEAF_BLOCKS, 1, 1) < 0)
			break;
	assert_int_equal(err.code, ENOSPC);
	volume_close(v);
	stop(true);
	must(test_store_open(disk, &options, &store, &err));
}

/* ---- damage ---- */

/* A block of b, whose leaf is in a page that an open does not load. */
#define HIT (NR_LEAVES / 2 * LEAF_BLOCKS)

static uint64_t place_of_meta(uint64_t segno)
{
	const struct segment *s;

	lock_core();
	s = segment_find_meta(&store->segments, segno);
	unlock_core();
	return s->place;
}

static void hear(void *opaque, const char *line)
{
}

/* The page of its leaf. */
static void damage_page(void)
{
	uint32_t index = node_of("b", 0, HIT) / NODE_TABLE_PAGE_ENTRIES;
	struct page_ref ref = store->nodes.pages.pages[index].ref;

	memory_disk_damage(disk, place_of_meta(ref.segno), ref.offset + 100, 1);
	open_behind();
}

static int try_get(const char *name, uint64_t block)
{
	struct volume_handle *v = open_volume(name);
	uint8_t data[BLOCK_SIZE];
	int r;

	r = volume_read(v, data, sizeof(data), block * BLOCK_SIZE, &err);
	volume_close(v);
	return r;
}

/* Neither as zeros nor written over: what was there may be repaired. */
static void
a_damaged_page_is_an_error_and_no_more_until_all_is_loaded(void **state)
{
	struct volume_handle *v;

	damage_page();
	expect_in("a", 0, 1, 1);
	refused(try_get("b", HIT), EBADMSG, "node table: page");
	v = open_volume("b");
	assert_int_equal(try_put(v, HIT, 1, 3), -EBADMSG);
	volume_close(v);
	put_in("a", 0, 1, 3);
	must(store_checkpoint(store, &err));
	expect_in("a", 0, 1, 3);
}

/* Who counts what would be free needs all of it. */
static void what_cannot_be_counted_is_refused(void **state)
{
	struct index_vector roots = {0};
	struct freed freed;

	damage_page();
	assert_int_equal(index_vector_push(&roots, volume("a")->map.root), 0);
	refused(freed_blocks(store, &roots, &freed, &err), EBADMSG,
		"node table: page");
	index_vector_done(&roots);
}

/* A read that fails once is tried again by whoever needs it next. */
static void a_page_that_could_not_be_read_once_is_read_later(void **state)
{
	memory_disk_fault(disk, MEMORY_READ, 1, EIO, false);
	refused(try_get("b", 0), EIO, "node table: page");
	expect_in("b", 0, 1, 2);
}

/* A scrub that met a lost directory writes its pages anew: as they were. */
static void a_scrub_writes_no_page_that_was_not_loaded(void **state)
{
	const struct scrub_options options = {.max_bytes = UINT64_MAX};
	struct scrub_progress progress = {0};
	struct page_ref ref = store->nodes.pages.directories[0];

	memory_disk_damage(disk, place_of_meta(ref.segno), ref.offset + 100, 1);
	while (!progress.done &&
	       store_scrub(store, &options, &progress, hear, NULL, &err) == 0)
		;
	must(store_checkpoint(store, &err));
	reopen(true);
	expect_leaves("a", 1);
	expect_leaves("b", 2);
	check_is_clean();
}

static void the_loader_stops_the_store_at_a_damaged_page(void **state)
{
	damage_page();
	loader_run(store);
	refused(store_checkpoint(store, &err), EIO, "node table: page");
	expect_in("a", 0, 1, 1);
}

/* ---- threads ---- */

static bool is_loading(void)
{
	bool ret;

	lock_core();
	ret = store->loads_behind;
	unlock_core();
	return ret;
}

static void wait_for_the_loader(void)
{
	for (int i = 0; i < 6000 && is_loading(); i++)
		sleep_ms(10);
	assert_false(is_loading());
}

static void *write_all(void *name)
{
	put_leaves(name, 10);
	return NULL;
}

static void clients_and_the_loader_work_side_by_side(void **state)
{
	static char names[2][2] = {"a", "b"};
	pthread_t threads[2];

	must(store_start(store, &err));
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, write_all, names[i]),
			0);
	for (int i = 0; i < 2; i++)
		(void)pthread_join(threads[i], NULL);
	wait_for_the_loader();
	reopen(true);
	expect_leaves("a", 10);
	expect_leaves("b", 10);
	check_is_clean();
}

static void what_died_at_earlier_opens_is_given_back(void **state)
{
	uint64_t used;

	for (int i = 0; i < 8; i++)
		open_behind();
	used = stat_now().frames_used;
	must(store_start(store, &err));
	for (int i = 0; i < 6000 && stat_now().frames_used + 6 > used; i++)
		sleep_ms(10);
	assert_true(stat_now().frames_used + 6 <= used);
}

/* Nothing is left to be loaded then, but somebody has to say so. */
static void a_store_without_nodes_lets_metadata_die(void **state)
{
	must(store_start(store, &err));
	wait_for_the_loader();
}

static int start_empty(void **state)
{
	if (open_store(state))
		return -1;
	open_behind();
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, close_store)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_read_loads_what_it_needs_and_no_more),
		TEST(everything_reads_right_while_nothing_is_loaded),
		TEST(the_loader_counts_what_an_open_would_have),
		TEST(no_metadata_dies_before_all_is_loaded),
		TEST(an_id_is_given_once),
		TEST(what_is_deleted_meanwhile_is_freed),
		TEST(a_full_store_can_be_stopped_early_again_and_again),
		TEST(a_full_store_can_be_killed_early_again_and_again),
		TEST(the_limit_of_tables_holds_meanwhile),
		TEST(a_scrub_writes_no_page_that_was_not_loaded),
		TEST(what_died_at_earlier_opens_is_given_back),
		cmocka_unit_test_setup_teardown(
			a_store_without_nodes_lets_metadata_die, start_empty,
			close_store),
		TEST(with_a_log_to_replay_all_is_loaded_first),
		TEST(a_damaged_page_is_an_error_and_no_more_until_all_is_loaded),
		TEST(what_cannot_be_counted_is_refused),
		TEST(a_page_that_could_not_be_read_once_is_read_later),
		TEST(the_loader_stops_the_store_at_a_damaged_page),
		TEST(clients_and_the_loader_work_side_by_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
