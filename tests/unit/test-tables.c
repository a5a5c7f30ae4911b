/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory of tables that stay resident: what counts, and the limit. */
#include <errno.h>

#include "fixture.h"
#include "tables.h"

#define NR_LEAVES 1000u

static struct volume_handle *a;

static int set_up(void **state)
{
	int r = open_store(state);

	if (r == 0)
		a = create_volume("a", NR_LEAVES * LEAF_BLOCKS);
	return r;
}

static int tear_down(void **state)
{
	volume_close(a);
	return close_store(state);
}

/* Tables may not take more than they do. */
static void limit_to_now(void)
{
	lock_core();
	store->tables_max_bytes = tables_bytes(store);
	unlock_core();
}

/* A block of each leaf until one is refused; how many were not. */
static uint32_t fill_leaves(uint32_t seed)
{
	uint32_t nr = 0;

	while (try_put(a, nr * LEAF_BLOCKS, 1, seed) == 0)
		nr++;
	refused(-err.code, ENOSPC, "tables have reached");
	assert_true(nr < NR_LEAVES);
	return nr;
}

static void expect_leaves(uint32_t nr, uint32_t seed)
{
	for (uint32_t i = 0; i < nr; i++)
		expect(a, i * LEAF_BLOCKS, 1, seed);
}

static void
a_write_that_makes_tables_grow_beyond_the_limit_is_refused(void **state)
{
	uint32_t nr;

	limit_to_now();
	nr = fill_leaves(1);
	assert_true(nr > 0);
	/* no node has to be made for these */
	for (uint32_t i = 0; i < nr; i++)
		put(a, i * LEAF_BLOCKS + 1, 1, 2);
	expect_leaves(nr, 1);
	assert_false(stat_now().failed);
	check_is_clean();
}

static void after_a_trim_there_is_room_in_the_tables_again(void **state)
{
	uint32_t nr;

	limit_to_now();
	nr = fill_leaves(1);
	must(volume_trim(a, (uint64_t)nr * LEAF_BLOCKS * BLOCK_SIZE, 0, false,
			 &err));
	assert_true(fill_leaves(2) >= nr / 2);
	expect_leaves(nr / 2, 2);
	check_is_clean();
}

static void at_the_limit_all_verbs_go_on_that_make_nothing(void **state)
{
	const char *names[] = {"a@s"}, *clones[] = {"b"};
	const char *more[] = {"a@t"};
	char kept[1][NAME_MAX_BYTES + 1];

	snapshot("a@s");
	put(a, 0, 1, 1);
	limit_to_now();
	refused(store_snapshot(store, more, 1, NULL, &err), ENOSPC,
		"tables have reached");
	refused(store_clone(store, "a@s", clones, 1, &err), ENOSPC,
		"tables have reached");
	refused(store_create(store, "c", BLOCK_SIZE, &err), ENOSPC,
		"tables have reached");
	volume_close(a);
	must(store_rollback(store, names, 1, kept, &err));
	a = open_volume("a");
	expect(a, 0, 1, 0);
	must(volume_zero(a, BLOCK_SIZE, 0, false, &err));
	delete_volume("a@s");
	delete_volume(kept[0]);
	snapshot("a@t");
	check_is_clean();
}

static void a_store_whose_tables_exceed_the_limit_is_not_opened(void **state)
{
	struct store_open_options options = {.tables_bytes = 20000};

	for (uint32_t i = 0; i < 600; i++)
		put(a, i * LEAF_BLOCKS, 1, 1);
	volume_close(a);
	stop(true);
	refused(test_store_open(disk, &options, &store, &err), ENOMEM,
		"larger --memory-tables");
	options.read_only = true;
	refused(test_store_open(disk, &options, &store, &err), ENOMEM,
		"larger --memory-tables");
	must(test_store_open(disk, &(struct store_open_options){0}, &store,
			     &err));
	a = open_volume("a");
	expect_leaves(600, 1);
}

static void status_says_what_each_table_takes(void **state)
{
	struct store_stat before, after;

	before = stat_now();
	for (uint32_t i = 0; i < 600; i++)
		put(a, i * LEAF_BLOCKS, 1, 1);
	snapshot("a@s");
	after = stat_now();
	assert_true(after.table_nodes_bytes >
		    before.table_nodes_bytes + 400 * sizeof(struct node_entry));
	assert_true(after.table_counts_bytes > before.table_counts_bytes);
	assert_true(after.table_inner_bytes > before.table_inner_bytes);
	assert_true(after.table_volumes_bytes > before.table_volumes_bytes);
	assert_int_equal(after.tables_bytes,
			 after.table_nodes_bytes + after.table_counts_bytes +
				 after.table_forwards_bytes +
				 after.table_inner_bytes +
				 after.table_volumes_bytes);
	assert_int_equal(after.tables_max_bytes, tables_default_limit());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_write_that_makes_tables_grow_beyond_the_limit_is_refused),
		TEST(after_a_trim_there_is_room_in_the_tables_again),
		TEST(at_the_limit_all_verbs_go_on_that_make_nothing),
		TEST(a_store_whose_tables_exceed_the_limit_is_not_opened),
		TEST(status_says_what_each_table_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
