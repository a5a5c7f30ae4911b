/* SPDX-License-Identifier: BSD-2-Clause */
/* Other names: what they take along, and what is refused whole. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define NAMES(...) ((const char *const[]){__VA_ARGS__})

/* One pair. */
static int rename_one(const char *from, const char *to)
{
	return store_rename(store, &from, &to, 1, &err);
}

static bool exists(const char *name)
{
	struct volume_info ignored;

	return store_find(store, name, &ignored, NULL) == 0;
}

/* Volumes a and b, snapshots a@s and a@t; a is seed 2, the others 1. */
static int set_up(void **state)
{
	int r = open_store_with_snapshot(100, 10, state);

	if (r < 0)
		return r;
	snapshot("a@t");
	put_in("a", 0, 10, 2);
	must(store_create(store, "b", 4096, &err));
	return 0;
}

/* It is refused, and every name is as it was. */
static void refused_whole(int r, int code, const char *words)
{
	refused(r, code, words);
	assert_true(exists("a") && exists("a@s") && exists("a@t"));
	assert_true(exists("b"));
	assert_false(exists("c"));
}

static void a_volume_takes_its_snapshots_along(void **state)
{
	struct volume_info *list;
	size_t nr;

	must(rename_one("a", "group/c"));
	assert_false(exists("a") || exists("a@s"));
	expect_in("group/c", 0, 10, 2);
	expect_in("group/c@s", 0, 10, 1);
	must(store_list(store, &list, &nr, &err));
	assert_int_equal(nr, 4);
	assert_string_equal(list[1].name, "group/c");
	assert_string_equal(list[3].name, "group/c@t");
	free(list);
	/* the old name is free for another one */
	must(store_create(store, "a", 4096, &err));
	check_is_clean();
}

static void a_set_is_renamed_in_one_record(void **state)
{
	uint64_t seq;

	lock_core();
	seq = log_seq(&store->log);
	unlock_core();
	must(store_rename(store, NAMES("a@s", "b", "a@t"),
			  NAMES("a@one", "c", "a@two"), 3, &err));
	lock_core();
	assert_int_equal(log_seq(&store->log), seq + 1);
	unlock_core();
	expect_in("a@one", 0, 10, 1);
	assert_true(exists("c") && exists("a@two"));
	assert_false(exists("b") || exists("a@s") || exists("a@t"));
}

static void a_new_name_is_there_after_a_crash(void **state)
{
	must(rename_one("a", "c"));
	must(rename_one("c@t", "c@later"));
	reopen(false);
	expect_in("c", 0, 10, 2);
	expect_in("c@later", 0, 10, 1);
	reopen(true);
	expect_in("c@later", 0, 10, 1);
	assert_false(exists("a"));
}

static void undo_finds_the_kept_head_under_its_new_name(void **state)
{
	char kept[1][NAME_MAX_BYTES + 1];
	const char *from = kept[0];

	must(store_rollback(store, NAMES("a@s"), 1, kept, &err));
	must(rename_one(from, "a@old"));
	must(rename_one("a", "c"));
	must(store_undo(store, NAMES("c"), 1, &err));
	expect_in("c", 0, 10, 2);
	expect_in("c@old", 0, 10, 1);
}

static void a_clone_tells_the_new_name_of_its_origin(void **state)
{
	struct volume_info info;

	must(store_clone(store, "a@s", NAMES("c"), 1, &err));
	must(rename_one("a@s", "a@golden"));
	must(store_find(store, "c", &info, &err));
	assert_string_equal(info.origin, "a@golden");
}

static void a_bad_set_changes_nothing(void **state)
{
	refused_whole(rename_one("a", "b"), EEXIST, "b: already exists");
	refused_whole(rename_one("a", "a"), EEXIST, "a: already exists");
	refused_whole(rename_one("a@s", "a@t"), EEXIST, "a@t: already exists");
	refused_whole(rename_one("x", "c"), ENOENT, "x: no such volume");
	refused_whole(rename_one("a@x", "a@c"), ENOENT, "a@x: no such");
	refused_whole(rename_one("a@s", "b@s"), EINVAL,
		      "b@s: a snapshot stays");
	refused_whole(rename_one("a@s", "c"), EINVAL, "c: a volume stays");
	refused_whole(rename_one("a", "c@s"), EINVAL, "c@s: a volume stays");
	refused_whole(rename_one("a", "c:attached"), EINVAL, "c:attached");
	refused_whole(rename_one("a:attached", "c"), EINVAL, "a:attached");
	refused_whole(rename_one("a@s:scratch", "a@c"), EINVAL, "a@s:scratch");
	refused_whole(rename_one("a@s..t", "a@c"), EINVAL, "a@s..t");
	refused_whole(rename_one("a", "-c"), EINVAL, "-c");
	refused_whole(rename_one("a@s", "a@2026-11-22T13:00:00Z"), EINVAL,
		      "2026");
	refused_whole(
		store_rename(store, NAMES("a", "b"), NAMES("c", "c"), 2, &err),
		EEXIST, "c: already exists");
	refused_whole(
		store_rename(store, NAMES("b", "b"), NAMES("c", "d"), 2, &err),
		EINVAL, "b: named twice");
	refused_whole(store_rename(store, NAMES("a", "a@s"), NAMES("c", "a@r"),
				   2, &err),
		      EINVAL, "a@s: cannot be renamed together");
	refused_whole(
		store_rename(store, NAMES("b", "x"), NAMES("c", "y"), 2, &err),
		ENOENT, "x");
	refused_whole(store_rename(store, NULL, NULL, 0, &err), EINVAL,
		      "no operand");
}

static void no_snapshot_gets_a_name_that_is_too_long(void **state)
{
	char name[NAME_MAX_BYTES + 1], word[NAME_MAX_BYTES + 3];

	memset(name, 'x', sizeof(name));
	name[NAME_MAX_BYTES - 1] = '\0';
	refused_whole(rename_one("a", name), EINVAL,
		      "a@s: its name would become too long");
	name[NAME_MAX_BYTES - 2] = '\0';
	must(rename_one("a", name)); /* and 2 for "@s" */
	must(rename_one(name, "a"));
	memset(word, 'x', sizeof(word));
	memcpy(word, "a@", 2);
	word[NAME_MAX_BYTES + 1] = '\0';
	refused_whole(rename_one("a@s", word), EINVAL, "");
	word[NAME_MAX_BYTES] = '\0';
	must(rename_one("a@s", word));
	refused(rename_one("a", "ab"), EINVAL, "too long");
	check_is_clean();
}

static void nothing_is_renamed_under_anybody(void **state)
{
	char view[NAME_MAX_BYTES + 1];
	struct volume_handle *h;

	h = open_volume("a");
	refused_whole(rename_one("a", "c"), EBUSY, "a: in use by 1 client");
	must(rename_one("a@s", "a@r")); /* the head does not ask for it */
	must(rename_one("a@r", "a@s"));
	volume_close(h);
	h = open_snapshot("a@s");
	refused_whole(rename_one("a@s", "a@r"), EBUSY, "a@s: in use");
	refused_whole(rename_one("a", "c"), EBUSY, "a@s: in use");
	must(rename_one("a@t", "a@r"));
	must(rename_one("a@r", "a@t"));
	volume_close(h);
	must(store_scratch(store, "a@s", view, &err));
	h = open_volume(view);
	refused_whole(rename_one("a@s", "a@r"), EBUSY, ":scratch");
	refused_whole(rename_one("a", "c"), EBUSY, ":scratch");
	volume_close(h);
	must(volume_open(store, "a:attached", VOLUME_OPEN_WRITE, &h, &err));
	refused_whole(rename_one("a", "c"), EBUSY, "a: in use");
	volume_close(h);
	must(rename_one("a", "c"));
}

/* Nobody has them open. */
static void scratch_views_follow_what_they_are_named_after(void **state)
{
	char view[NAME_MAX_BYTES + 1], name[NAME_MAX_BYTES + 1];
	uint32_t id;

	must(store_scratch(store, "a@s", view, &err));
	id = volume(view)->id;
	must(rename_one("a@s", "a@r"));
	(void)snprintf(name, sizeof(name), "a@r:scratch.%" PRIu32, id);
	assert_false(exists(view));
	expect_in(name, 0, 10, 1);
	must(rename_one("b", "a2"));
	assert_true(exists(name));
	must(rename_one("a", "c"));
	reopen(false);
	(void)snprintf(name, sizeof(name), "c@r:scratch.%" PRIu32, id);
	expect_in(name, 0, 10, 1);
	assert_int_equal(volume(name)->id, id);
	/* as long as the name is not too long */
	memset(view, 'x', sizeof(view));
	view[NAME_MAX_BYTES - 4] = '\0';
	must(rename_one("c", view));
	expect_in(name, 0, 10, 1);
	check_is_clean();
}

static void a_dry_run_answers_as_the_verb(void **state)
{
	refused_whole(
		store_rename_dry_run(store, NAMES("a"), NAMES("b"), 1, &err),
		EEXIST, "b: already exists");
	must(store_rename_dry_run(store, NAMES("a"), NAMES("c"), 1, &err));
	assert_true(exists("a"));
	assert_false(exists("c"));
	reopen_read_only();
	refused_whole(rename_one("a", "c"), EROFS, "read-only");
	must(store_rename_dry_run(store, NAMES("a"), NAMES("c"), 1, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, close_store)
		TEST(a_volume_takes_its_snapshots_along),
		TEST(a_set_is_renamed_in_one_record),
		TEST(a_new_name_is_there_after_a_crash),
		TEST(undo_finds_the_kept_head_under_its_new_name),
		TEST(a_clone_tells_the_new_name_of_its_origin),
		TEST(a_bad_set_changes_nothing),
		TEST(no_snapshot_gets_a_name_that_is_too_long),
		TEST(nothing_is_renamed_under_anybody),
		TEST(scratch_views_follow_what_they_are_named_after),
		TEST(a_dry_run_answers_as_the_verb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
