/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verbs: what each does, and that what it refuses changes nothing.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define NAMES(...) \
	(const char *const[]){__VA_ARGS__}, \
		sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

static struct volume_info *before;
static size_t nr_before;
static uint64_t seq_before;

/* Remember what there is, for unchanged(). */
static void remember(void)
{
	free(before);
	must(store_list(store, &before, &nr_before, &err));
	lock_core();
	seq_before = log_seq(&store->log);
	unlock_core();
}

static bool unchanged(void)
{
	struct volume_info *now;
	uint64_t seq;
	size_t nr;
	bool ret;

	must(store_list(store, &now, &nr, &err));
	ret = nr == nr_before && memcmp(now, before, nr * sizeof(*now)) == 0;
	free(now);
	lock_core();
	seq = log_seq(&store->log);
	unlock_core();
	return ret && seq == seq_before;
}

/* The verb is refused with -@code and @words, and nothing has changed. */
#define refuses(call, code, words) \
	do { \
		remember(); \
		refused(call, code, words); \
		assert_true(unchanged()); \
	} while (0)

/* Volumes a and b, snapshot a@s; a is seed 1, a@s too. */
static int set_up(void **state)
{
	int r = open_store_with_snapshot(100, 10, state);

	if (r == 0)
		must(store_create(store, "b", 4096, &err));
	return r;
}

static int tear_down(void **state)
{
	free(before);
	before = NULL;
	return close_store(state);
}

/* ---- refusals ---- */

static void create_refuses_bad_names_sizes_and_duplicates(void **state)
{
	static const char *const bad[] = {
		"", "-x", "a b", "a@s", "a//b", "a/b/c", "a..b", "x:attached"};
	static const uint64_t sizes[] = {0, 1, 513, VOLUME_BYTES_MAX + 512,
					 UINT64_MAX};

	refuses(store_create(store, "a", 4096, &err), EEXIST, "a: ");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuses(store_create(store, bad[i], 4096, &err), EINVAL,
			bad[i]);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		refuses(store_create(store, "c", sizes[i], &err), EINVAL,
			"c: size");
	must(store_create(store, "c", VOLUME_BYTES_MAX, &err));
}

static void snapshot_refuses_what_it_cannot_do_whole(void **state)
{
	char text[600];

	refuses(store_snapshot(store, NAMES("a@t", "x@t"), NULL, &err), ENOENT,
		"x: no such volume");
	refuses(store_snapshot(store, NAMES("b@t", "a@s"), NULL, &err), EEXIST,
		"a@s: already exists");
	refuses(store_snapshot(store, NAMES("a@t", "a@t"), NULL, &err), EEXIST,
		"a@t: already exists");
	refuses(store_snapshot(store, NAMES("a"), NULL, &err), EINVAL, "a");
	refuses(store_snapshot(store, NAMES("a@2026-11-22T13:00:00Z"), NULL,
			       &err),
		EINVAL, "2026");
	refuses(store_snapshot(store, NULL, 0, NULL, &err), EINVAL,
		"no operand");
	refuses(store_snapshot(store, NAMES("a@t"), "two\nlines", &err), EINVAL,
		"message");
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	refuses(store_snapshot(store, NAMES("a@t"), text, &err), EINVAL,
		"message");
}

static void clone_refuses_what_it_cannot_do_whole(void **state)
{
	refuses(store_clone(store, "a@t", NAMES("c"), &err), ENOENT, "a@t");
	refuses(store_clone(store, "a", NAMES("c"), &err), EINVAL, "a");
	refuses(store_clone(store, "a@s", NAMES("c", "b"), &err), EEXIST,
		"b: already exists");
	refuses(store_clone(store, "a@s", NAMES("c", "c"), &err), EEXIST,
		"c: already exists");
	refuses(store_clone(store, "a@s", NAMES("c@t"), &err), EINVAL, "c@t");
	refuses(store_clone(store, "a@s", NULL, 0, &err), EINVAL, "no operand");
}

static void delete_refuses_what_is_used_or_has_snapshots(void **state)
{
	struct volume_handle *h;
	struct space_freed freed;

	refuses(store_delete(store, NAMES("b", "x"), false, &err), ENOENT,
		"x: no such volume");
	refuses(store_delete(store, NAMES("b", "a@t"), false, &err), ENOENT,
		"a@t");
	refuses(store_delete(store, NAMES("b", "a"), false, &err), EBUSY,
		"a: has 1 snapshot, delete it");
	h = open_snapshot("a@s");
	refuses(store_delete(store, NAMES("b", "a@s"), false, &err), EBUSY,
		"a@s: in use");
	refuses(store_delete(store, NAMES("a"), true, &err), EBUSY,
		"a@s: in use");
	refuses(store_delete_dry_run(store, NAMES("a@s"), false, &freed, &err),
		EBUSY, "a@s: in use");
	volume_close(h);
	must(store_delete(store, NAMES("a@s"), false, &err));
}

static void rollback_refuses_writers_and_doubles(void **state)
{
	struct volume_handle *h = open_volume("a");
	char kept[2][NAME_MAX_BYTES + 1];

	refuses(store_rollback(store, NAMES("a@s"), kept, &err), EBUSY,
		"a: a writer is connected");
	volume_close(h);
	h = open_snapshot("a");
	refuses(store_rollback(store, NAMES("a@t"), kept, &err), ENOENT, "a@t");
	refuses(store_rollback(store, NAMES("a"), kept, &err), EINVAL, "a");
	refuses(store_rollback(store, NAMES("a@s", "a@s"), kept, &err), EINVAL,
		"a: named twice");
	must(store_rollback(store, NAMES("a@s"), kept, &err));
	volume_close(h);
}

static void undo_refuses_where_no_rollback_was(void **state)
{
	char kept[1][NAME_MAX_BYTES + 1];
	struct volume_handle *h;

	refuses(store_undo(store, NAMES("a"), &err), ENOENT,
		"a: no rollback to undo");
	refuses(store_undo(store, NAMES("x"), &err), ENOENT, "x");
	refuses(store_undo(store, NAMES("a@s"), &err), EINVAL, "a@s");
	must(store_rollback(store, NAMES("a@s"), kept, &err));
	h = open_volume("a");
	refuses(store_undo(store, NAMES("a"), &err), EBUSY, "a: a writer");
	volume_close(h);
	h = open_snapshot(kept[0]);
	refuses(store_undo(store, NAMES("a"), &err), EBUSY, "in use");
	volume_close(h);
	refuses(store_undo(store, NAMES("a", "a"), &err), EINVAL,
		"a: named twice");
	must(store_delete(store, NAMES(kept[0]), false, &err));
	refuses(store_undo(store, NAMES("a"), &err), ENOENT, "no rollback");
}

static void a_set_too_large_for_one_batch_is_refused_whole(void **state)
{
	enum { NR = 2000 };
	static char names[NR][16];
	static const char *list[NR];

	for (int i = 0; i < NR; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "clone%d", i);
		list[i] = names[i];
	}
	refuses(store_clone(store, "a@s", list, NR, &err), EINVAL,
		"too many names");
	must(store_clone(store, "a@s", list, 500, &err));
	check_is_clean();
}

static void a_read_only_store_refuses_every_verb(void **state)
{
	char kept[1][NAME_MAX_BYTES + 1], view[NAME_MAX_BYTES + 1];
	struct space_freed freed;

	reopen_read_only();
	refused(store_create(store, "c", 4096, &err), EROFS, "read-only");
	refused(store_snapshot(store, NAMES("a@t"), NULL, &err), EROFS, "");
	refused(store_clone(store, "a@s", NAMES("c"), &err), EROFS, "");
	refused(store_delete(store, NAMES("b"), false, &err), EROFS, "");
	refused(store_rollback(store, NAMES("a@s"), kept, &err), EROFS, "");
	refused(store_undo(store, NAMES("a"), &err), EROFS, "");
	refused(store_scratch(store, "a@s", view, &err), EROFS, "");
	refused(store_checkpoint(store, &err), EROFS, "");
	/* what changes nothing is answered */
	must(store_create_dry_run(store, "c", 4096, &err));
	must(store_delete_dry_run(store, NAMES("b"), false, &freed, &err));
}

static void a_stopped_store_refuses_every_verb(void **state)
{
	memory_disk_fault(disk, MEMORY_SYNC, 1, EIO, false);
	refused(store_create(store, "c", 4096, &err), EIO, "");
	refuses(store_create(store, "d", 4096, &err), EIO, "reopen");
	refuses(store_snapshot(store, NAMES("a@t"), NULL, &err), EIO, "reopen");
	refuses(store_delete(store, NAMES("b"), false, &err), EIO, "reopen");
}

/* ---- what they do ---- */

static void dry_runs_answer_as_the_verbs_and_change_nothing(void **state)
{
	struct space_freed freed;

	remember();
	must(store_create_dry_run(store, "c", 4096, &err));
	must(store_snapshot_dry_run(store, NAMES("a@t", "b@t"), &err));
	must(store_clone_dry_run(store, "a@s", NAMES("c"), &err));
	must(store_delete_dry_run(store, NAMES("a"), true, &freed, &err));
	must(store_rollback_dry_run(store, NAMES("a@s"), &err));
	assert_int_equal(freed.blocks, 10);
	assert_true(unchanged());
	refuses(store_create_dry_run(store, "a", 4096, &err), EEXIST, "a");
	refuses(store_snapshot_dry_run(store, NAMES("a@s"), &err), EEXIST, "");
	refuses(store_clone_dry_run(store, "a@s", NAMES("b"), &err), EEXIST,
		"b");
	refuses(store_delete_dry_run(store, NAMES("a"), false, &freed, &err),
		EBUSY, "a");
	refuses(store_rollback_dry_run(store, NAMES("a@t"), &err), ENOENT, "");
	refuses(store_undo_dry_run(store, NAMES("a"), &err), ENOENT, "");
}

static void a_snapshot_keeps_what_the_volume_was(void **state)
{
	struct volume_info i;

	put_in("a", 0, 10, 2);
	expect_in("a@s", 0, 10, 1);
	expect_in("a", 0, 10, 2);
	must(store_snapshot(store, NAMES("a@t"), "before the upgrade", &err));
	i = info_of("a@t");
	assert_true(i.snapshot);
	assert_int_equal(i.size, 100 * BLOCK_SIZE);
	assert_int_equal(i.refer_blocks, 10);
	assert_int_equal(i.written_blocks, 10);
	assert_string_equal(i.message, "before the upgrade");
	assert_int_equal(info_of("a").written_blocks, 0);
	assert_int_equal(info_of("a").nr_snapshots, 2);
	check_is_clean();
}

/* A store of somebody else's may hold what ours would refuse. */
static void a_message_is_told_as_plain_text(void **state)
{
	static const char attrs[] = "message=\x1b[2J\xff gone";
	struct volume *v;
	uint32_t id;

	must(store_snapshot(store, NAMES("a@t"), "h\xc3\xa9 :)", &err));
	assert_string_equal(info_of("a@t").message, "h\xc3\xa9 :)");
	id = info_of("a@t").id;
	mutex_lock(&store->core.lock);
	v = volume_find_id(&store->volumes, id);
	must(volume_set_attrs(v, attrs, sizeof(attrs)));
	mutex_unlock(&store->core.lock);
	assert_string_equal(info_of("a@t").message, "?[2J? gone");
}

static void a_set_of_snapshots_is_one_instant(void **state)
{
	must(store_snapshot(store, NAMES("a@t", "b@t"), NULL, &err));
	assert_int_equal(info_of("a@t").created_ns, info_of("b@t").created_ns);
	reopen(false);
	assert_int_equal(info_of("a@t").created_ns, info_of("b@t").created_ns);
}

static void clones_go_their_own_ways(void **state)
{
	must(store_clone(store, "a@s", NAMES("c", "d"), &err));
	assert_string_equal(info_of("c").origin, "a@s");
	put_in("c", 0, 10, 3);
	expect_in("c", 0, 10, 3);
	expect_in("d", 0, 10, 1);
	expect_in("a@s", 0, 10, 1);
	must(store_delete(store, NAMES("a"), true, &err));
	must(store_reap(store, &err));
	expect_in("d", 0, 10, 1);
	assert_string_equal(info_of("c").origin, "");
	check_is_clean();
}

static void rollback_and_undo_swap_the_head(void **state)
{
	char kept[1][NAME_MAX_BYTES + 1];

	put_in("a", 0, 10, 2);
	must(store_rollback(store, NAMES("a@s"), kept, &err));
	expect_in("a", 0, 10, 1);
	expect_in(kept[0], 0, 10, 2);
	assert_true(info_of(kept[0]).old_head);
	put_in("a", 0, 10, 3);
	expect_in("a@s", 0, 10, 1);
	must(store_undo(store, NAMES("a"), &err));
	expect_in("a", 0, 10, 2);
	expect_in(kept[0], 0, 10, 3);
	must(store_undo(store, NAMES("a"), &err));
	expect_in("a", 0, 10, 3);
	put_in("a", 0, 10, 4);
	expect_in(kept[0], 0, 10, 2);
	expect_in("a@s", 0, 10, 1);
	check_is_clean();
}

static void two_rollbacks_in_one_second_keep_two_heads(void **state)
{
	char first[1][NAME_MAX_BYTES + 1], second[1][NAME_MAX_BYTES + 1];

	must(store_rollback(store, NAMES("a@s"), first, &err));
	must(store_rollback(store, NAMES("a@s"), second, &err));
	assert_string_not_equal(first[0], second[0]);
	(void)info_of(first[0]);
	(void)info_of(second[0]);
	check_is_clean();
}

static void a_rollback_keeps_the_heads_under_the_wanted_name(void **state)
{
	const char *names[] = {"a@s", "b@s"};
	char kept[2][NAME_MAX_BYTES + 1];

	snapshot("b@s");
	put_in("a", 0, 10, 2);
	refuses(store_rollback_keeping(store, NAMES("a@s"), "s", kept, &err),
		EEXIST, "a@s");
	refuses(store_rollback_keeping(store, NAMES("a@s"), "x#", kept, &err),
		EINVAL, "x#");
	must(store_rollback_keeping(store, names, 2, "failed", kept, &err));
	assert_string_equal(kept[0], "a@failed");
	assert_string_equal(kept[1], "b@failed");
	expect_in("a", 0, 10, 1);
	expect_in("a@failed", 0, 10, 2);
	assert_true(info_of("b@failed").old_head);
	check_is_clean();
}

static void what_a_verb_reported_survives_a_crash(void **state)
{
	char kept[1][NAME_MAX_BYTES + 1];

	put_in("a", 0, 10, 2);
	must(store_clone(store, "a@s", NAMES("c"), &err));
	must(store_rollback(store, NAMES("a@s"), kept, &err));
	must(store_delete(store, NAMES("b"), false, &err));
	remember();
	reopen(false);
	seq_before = log_seq(&store->log); /* a new log */
	assert_true(unchanged());
	expect_in("a", 0, 10, 1);
	expect_in("c", 0, 10, 1);
	expect_in(kept[0], 0, 10, 2);
	check_is_clean();
}

static void a_list_is_in_order_of_names_then_of_creation(void **state)
{
	static const char *const wanted[] = {"a", "a@s", "a@b", "a-b", "b"};
	struct volume_info *list;
	size_t nr;

	snapshot("a@b");
	must(store_create(store, "a-b", 512, &err));
	must(store_list(store, &list, &nr, &err));
	assert_int_equal(nr, 5);
	for (size_t i = 0; i < nr; i++)
		assert_string_equal(list[i].name, wanted[i]);
	free(list);
}

#define MANY 600u

static atomic_bool enough;

/* Again and again: many snapshots of b, and none. */
static void *come_and_go(void *arg)
{
	static char names[MANY][NAME_MAX_BYTES + 1];
	static const char *set[MANY];
	struct error failure = ERROR_NONE;
	int *r = arg;

	for (uint32_t i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof(names[i]), "b@%u", i);
		set[i] = names[i];
	}
	for (*r = 0; *r == 0 && !enough;) {
		*r = store_snapshot(store, set, MANY, NULL, &failure);
		if (*r == 0)
			*r = store_delete(store, set, MANY, false, &failure);
		if (*r == 0)
			*r = store_reap(store, &failure);
	}
	return NULL;
}

static void a_list_is_of_one_moment(void **state)
{
	struct volume_info *list;
	uint32_t nr_long = 0;
	pthread_t thread;
	int r = 0;
	size_t nr;

	enough = false;
	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, come_and_go, &r), 0);
	while (nr_long < 1000) {
		must(store_list(store, &list, &nr, &err));
		assert_true(nr == 3 || nr == 3 + MANY);
		nr_long += nr > 3;
		assert_string_equal(list[0].name, "a");
		assert_string_equal(list[2].name, "b");
		free(list);
	}
	enough = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(r, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(create_refuses_bad_names_sizes_and_duplicates),
		TEST(snapshot_refuses_what_it_cannot_do_whole),
		TEST(clone_refuses_what_it_cannot_do_whole),
		TEST(delete_refuses_what_is_used_or_has_snapshots),
		TEST(rollback_refuses_writers_and_doubles),
		TEST(undo_refuses_where_no_rollback_was),
		TEST(a_set_too_large_for_one_batch_is_refused_whole),
		TEST(a_read_only_store_refuses_every_verb),
		TEST(a_stopped_store_refuses_every_verb),
		TEST(dry_runs_answer_as_the_verbs_and_change_nothing),
		TEST(a_snapshot_keeps_what_the_volume_was),
		TEST(a_message_is_told_as_plain_text),
		TEST(a_set_of_snapshots_is_one_instant),
		TEST(clones_go_their_own_ways),
		TEST(rollback_and_undo_swap_the_head),
		TEST(two_rollbacks_in_one_second_keep_two_heads),
		TEST(a_rollback_keeps_the_heads_under_the_wanted_name),
		TEST(what_a_verb_reported_survives_a_crash),
		TEST(a_list_is_in_order_of_names_then_of_creation),
		TEST(a_list_is_of_one_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
