/* SPDX-License-Identifier: BSD-2-Clause */
/* What a delete would free is what it frees, for any set. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "freed.h"

/*
 * Volume a of 100 blocks; a@s before 30 of them were rewritten, a@t after;
 * then 20 others. b is a clone of a@s with 5 blocks of its own.
 */
static int set_up(void **state)
{
	static const char *const b[] = {"b"};
	int r = open_store_with_snapshot(1000, 100, state);

	if (r < 0)
		return r;
	put_in("a", 0, 30, 2);
	snapshot("a@t");
	put_in("a", 50, 20, 3);
	must(store_clone(store, "a@s", b, 1, &err));
	put_in("b", 500, 5, 4);
	return 0;
}

/* The answer, and whether the delete then did what it said. */
static uint64_t freed(bool recursive, const char *const *names, size_t nr)
{
	uint64_t live = stat_now().live_blocks;
	struct space_freed ret;

	must(store_delete_dry_run(store, names, nr, recursive, &ret, &err));
	assert_int_equal(stat_now().live_blocks, live);
	must(store_delete(store, names, nr, recursive, &err));
	must(store_reap(store, &err));
	assert_true(ret.exact);
	assert_int_equal(live - stat_now().live_blocks, ret.blocks);
	check_is_clean();
	return ret.blocks;
}

#define FREED(recursive, ...) \
	freed(recursive, (const char *const[]){__VA_ARGS__}, \
	      sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void a_shared_snapshot_frees_nothing(void **state)
{
	assert_int_equal(FREED(false, "a@s"), 0);
}

static void a_clone_frees_what_is_its_own(void **state)
{
	assert_int_equal(FREED(false, "b"), 5);
}

static void a_middle_snapshot_frees_what_was_rewritten_around_it(void **s)
{
	assert_int_equal(FREED(false, "a@t"), 0);
	/* now nobody but a@s and its clone has the first 30 */
	assert_int_equal(FREED(false, "a@s"), 0);
	assert_int_equal(FREED(false, "b"), 30 + 20 + 5);
}

static void a_set_frees_what_its_members_share(void **state)
{
	assert_int_equal(FREED(false, "a@s", "b"), 30 + 5);
}

static void a_volume_with_its_snapshots_leaves_the_clone(void **state)
{
	/* 30 and 20 rewritten blocks; the first 100 are in b */
	assert_int_equal(FREED(true, "a"), 50);
	assert_int_equal(FREED(false, "b"), 105);
	assert_int_equal(stat_now().live_blocks, 0);
}

static void everything_frees_everything(void **state)
{
	uint64_t live = stat_now().live_blocks;

	assert_int_equal(FREED(true, "a", "b"), live);
	assert_int_equal(stat_now().nr_nodes, 0);
}

static void one_name_twice_counts_once(void **state)
{
	assert_int_equal(FREED(false, "b", "b"), 5);
}

static void an_empty_volume_frees_nothing(void **state)
{
	must(store_create(store, "empty", 4096, &err));
	assert_int_equal(FREED(false, "empty"), 0);
}

static void nodes_that_are_not_in_memory_are_counted_too(void **state)
{
	reopen(true);
	assert_int_equal(store->nodes.nr_loaded, 0);
	assert_int_equal(FREED(false, "a@s", "b"), 35);
}

/* A table of few names gives the same answer, in more passes. */
static void many_shared_blocks_are_counted_in_passes(void **state)
{
	struct index_vector roots = {0};
	struct freed whole, parts;

	for (size_t i = 0; i < store->volumes.all.len; i++)
		if (i != 0) /* all but the head of a */
			must(index_vector_push(
				&roots, store->volumes.all.ptr[i]->map.root));
	must(freed_blocks(store, &roots, &whole, &err));
	assert_int_equal(whole.blocks, 30 + 20 + 5);
	assert_int_equal(whole.shared, 80);
	for (size_t max = 1; max < 200; max = max * 3 + 1) {
		must(freed_blocks_within(store, &roots, max, &parts, &err));
		assert_int_equal(parts.blocks, whole.blocks);
		assert_int_equal(parts.shared, whole.shared);
	}
	index_vector_done(&roots);
}

/* What was deleted and not yet freed is nobody's. */
static void what_waits_for_the_reaper_is_freed_first(void **state)
{
	must(store_delete(store, (const char *const[]){"a@s"}, 1, false, &err));
	assert_int_not_equal(store->nodes.reaper.len, 0);
	assert_int_equal(FREED(false, "b"), 30 + 5);
}

static void a_store_open_for_reading_answers_the_same(void **state)
{
	struct space_freed ret;

	must(store_delete(store, (const char *const[]){"a@s"}, 1, false, &err));
	must(store_flush(store, &err));
	reopen_read_only();
	must(store_delete_dry_run(store, (const char *const[]){"b"}, 1, false,
				  &ret, &err));
	assert_true(ret.exact);
	assert_int_equal(ret.blocks, 30 + 5);
}

/* What store_excl() says of @name. */
static uint64_t excl(const char *name)
{
	struct volume_info info;

	must(store_find(store, name, &info, &err));
	assert_true(info.excl_blocks == BLOCKS_UNKNOWN);
	must(store_excl(store, &info, 1, &err));
	return info.excl_blocks;
}

static void excl_is_what_each_would_free_alone(void **state)
{
	assert_int_equal(excl("a"), 20);
	assert_int_equal(excl("a@s"), 0);
	assert_int_equal(excl("a@t"), 0);
	assert_int_equal(excl("b"), 5);
	delete_volume("b");
	assert_int_equal(excl("a@s"), 30);
}

static void excl_is_counted_once_until_something_changes(void **state)
{
	const struct volume *v = store->volumes.all.ptr[1];
	struct volume_handle *h;

	assert_int_equal(excl("a@s"), 0);
	assert_true(v->excl.known);
	/* an answer that is kept is not found by a walk */
	store->volumes.all.ptr[1]->excl.blocks = 4711;
	assert_int_equal(excl("a@s"), 4711);
	/* the clone drops its share of blocks that a@s and others have */
	h = open_volume("b");
	put(h, 30, 1, 5);
	volume_close(h);
	assert_int_equal(excl("a@s"), 0);
	h = open_volume("b");
	put(h, 0, 7, 5);
	volume_close(h);
	assert_int_equal(excl("a@s"), 7);
	snapshot("b@now");
	assert_int_equal(excl("a@s"), 7);
	assert_int_equal(excl("b"), 0);
	delete_volume("b@now");
	assert_int_equal(excl("b"), 13);
}

static void a_head_that_is_written_to_is_counted_anew(void **state)
{
	struct volume_handle *h = open_volume("b");

	assert_int_equal(excl("b"), 5);
	put(h, 600, 3, 1);
	assert_int_equal(excl("b"), 8);
	must(volume_trim(h, 2 * BLOCK_SIZE, 600 * BLOCK_SIZE, false, &err));
	assert_int_equal(excl("b"), 6);
	volume_close(h);
}

/* The operation has to fit one batch of the log. */
static void a_dry_run_refuses_as_many_names_as_the_verb(void **state)
{
	enum { NR = 2000 };
	char words[NR][16];
	const char *names[NR];
	struct space_freed ret;

	for (int i = 0; i < NR; i++) {
		(void)snprintf(words[i], sizeof(words[i]), "b@%d", i);
		names[i] = words[i];
	}
	for (int i = 0; i < NR; i += 500)
		must(store_snapshot(store, names + i, 500, NULL, &err));
	refused(store_delete(store, names, NR, false, &err), EINVAL,
		"too many names");
	refused(store_delete_dry_run(store, names, NR, false, &ret, &err),
		EINVAL, "too many names");
	must(store_delete_dry_run(store, names, NR / 2, false, &ret, &err));
	assert_int_equal(ret.blocks, 0);
	must(store_delete(store, names, NR / 2, false, &err));
}

/* store_space() of @nr @names, which has @nr_expected rows. */
static struct space_freed space_of(struct volume_space *ret, size_t nr_expected,
				   const char *const *names, size_t nr)
{
	struct volume_space *rows;
	struct space_freed all;
	size_t nr_rows;

	must(store_space(store, names, nr, &rows, &nr_rows, &all, &err));
	assert_int_equal(nr_rows, nr_expected);
	memcpy(ret, rows, nr_rows * sizeof(*rows));
	free(rows);
	return all;
}

static struct space_freed space(struct volume_space *ret, size_t nr_expected,
				const char *const *names, size_t nr)
{
	struct space_freed all = space_of(ret, nr_expected, names, nr);

	assert_true(all.exact);
	return all;
}

static void what_volumes_hold_and_share_adds_up_to_what_is_live(void **state)
{
	struct volume_space rows[2];
	struct space_freed all = space(rows, 2, NULL, 0);

	assert_int_equal(all.blocks, stat_now().live_blocks);
	assert_string_equal(rows[0].name, "a");
	assert_int_equal(rows[0].refer_blocks, 100);
	assert_int_equal(rows[0].head_blocks, 20);
	/* the first 30 as they were are in b, too */
	assert_int_equal(rows[0].snapshots_blocks, 0);
	assert_int_equal(rows[0].excl_blocks, 20 + 30);
	assert_string_equal(rows[1].name, "b");
	assert_int_equal(rows[1].head_blocks, 5);
	assert_int_equal(rows[1].excl_blocks, 5);
	/* the rest, 100 blocks, is shared by the two */
	assert_int_equal(all.blocks, 20 + 30 + 5 + 100);
	delete_volume("b");
	must(store_reap(store, &err));
	all = space(rows, 1, NULL, 0);
	assert_int_equal(all.blocks, stat_now().live_blocks);
	assert_int_equal(rows[0].snapshots_blocks, 30 + 20);
	assert_int_equal(rows[0].excl_blocks, all.blocks);
}

static void space_of_some_is_what_deleting_them_frees(void **state)
{
	static const char *const set[] = {"b", "a@s", "a@t", "b"};
	static const char *const covered[] = {"a@s", "a"};
	struct volume_space rows[3];
	struct space_freed all = space(rows, 3, set, 4);

	assert_string_equal(rows[0].name, "a@s");
	assert_true(rows[0].snapshot);
	assert_int_equal(rows[0].excl_blocks, 0);
	assert_int_equal(rows[1].excl_blocks, 0);
	assert_int_equal(rows[2].excl_blocks, 5);
	/* a@s and b: the first 30; all three: what a rewrote later, too */
	assert_int_equal(all.blocks, 5 + 30 + 20);
	assert_int_equal(FREED(false, "b", "a@s", "a@t"), all.blocks);
	snapshot("a@s");
	all = space(rows, 1, covered, 2);
	assert_string_equal(rows[0].name, "a");
	assert_int_equal(all.blocks, rows[0].excl_blocks);
}

static void space_of_what_does_not_exist_is_refused(void **state)
{
	static const char *const names[] = {"a", "a@no"};
	struct volume_space *rows;
	struct space_freed all;
	size_t nr;

	refused(store_space(store, names, 2, &rows, &nr, &all, &err), ENOENT,
		"a@no: no such snapshot");
}

/* The root of @name, of which nothing is in memory, cannot be read. */
static void damage_root(const char *name)
{
	const struct node_entry *e;

	reopen(true);
	e = node_entry(&store->nodes, volume(name)->map.root);
	memory_disk_damage(disk,
			   segment_find(&store->segments, e->segno)->place,
			   e->offset + 20, 1);
}

static void what_cannot_be_read_is_unknown_and_the_rest_is_counted(void **state)
{
	static const char *const a[] = {"a"}, *const b[] = {"b"};
	struct volume_space rows[2];
	struct volume_info *infos;
	struct space_freed ret;
	size_t nr;

	damage_root("b");
	must(store_delete_dry_run(store, b, 1, false, &ret, &err));
	assert_true(ret.blocks == BLOCKS_UNKNOWN);
	assert_int_equal(stat_now().checksum_errors, 1);
	must(store_delete_dry_run(store, a, 1, true, &ret, &err));
	assert_int_equal(ret.blocks, 50);
	must(store_list(store, &infos, &nr, &err));
	must(store_excl(store, infos, nr, &err));
	for (size_t i = 0; i < nr; i++)
		assert_int_equal(infos[i].excl_blocks == BLOCKS_UNKNOWN,
				 strcmp(infos[i].name, "b") == 0);
	free(infos);
	ret = space_of(rows, 2, NULL, 0);
	assert_true(ret.blocks == BLOCKS_UNKNOWN);
	assert_int_equal(rows[0].excl_blocks, 50);
	assert_int_equal(rows[1].refer_blocks, 105);
	assert_true(rows[1].head_blocks == BLOCKS_UNKNOWN);
	assert_int_equal(rows[1].snapshots_blocks, 0);
	assert_true(rows[1].excl_blocks == BLOCKS_UNKNOWN);
}

static void what_fails_for_now_is_no_damage(void **state)
{
	static const char *const b[] = {"b"};
	struct volume_info info;
	struct space_freed ret;

	reopen(true);
	must(store_find(store, "b", &info, &err));
	memory_disk_fault(disk, MEMORY_READ, 1, ENOMEM, true);
	assert_int_equal(store_excl(store, &info, 1, &err), -ENOMEM);
	memory_disk_fault(disk, MEMORY_READ, 1, ETIMEDOUT, true);
	refused(store_delete_dry_run(store, b, 1, false, &ret, &err), ETIMEDOUT,
		"node");
	memory_disk_fault(disk, MEMORY_READ, 0, 0, false);
	assert_int_equal(excl("b"), 5);
}

static void what_was_deleted_and_cannot_be_read_hides_nothing_else(void **state)
{
	damage_root("b");
	delete_volume("b");
	reopen_read_only();
	/* b still has what it shares with a@s */
	assert_int_equal(excl("a"), 20);
	assert_int_equal(stat_now().checksum_errors, 1);
	assert_int_equal(space(&(struct volume_space){0}, 1, NULL, 0).blocks,
			 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, close_store)
		TEST(a_shared_snapshot_frees_nothing),
		TEST(a_clone_frees_what_is_its_own),
		TEST(a_middle_snapshot_frees_what_was_rewritten_around_it),
		TEST(a_set_frees_what_its_members_share),
		TEST(a_volume_with_its_snapshots_leaves_the_clone),
		TEST(everything_frees_everything),
		TEST(one_name_twice_counts_once),
		TEST(an_empty_volume_frees_nothing),
		TEST(nodes_that_are_not_in_memory_are_counted_too),
		TEST(many_shared_blocks_are_counted_in_passes),
		TEST(what_waits_for_the_reaper_is_freed_first),
		TEST(a_store_open_for_reading_answers_the_same),
		TEST(excl_is_what_each_would_free_alone),
		TEST(excl_is_counted_once_until_something_changes),
		TEST(a_head_that_is_written_to_is_counted_anew),
		TEST(a_dry_run_refuses_as_many_names_as_the_verb),
		TEST(what_volumes_hold_and_share_adds_up_to_what_is_live),
		TEST(space_of_some_is_what_deleting_them_frees),
		TEST(space_of_what_does_not_exist_is_refused),
		TEST(what_cannot_be_read_is_unknown_and_the_rest_is_counted),
		TEST(what_fails_for_now_is_no_damage),
		TEST(what_was_deleted_and_cannot_be_read_hides_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
