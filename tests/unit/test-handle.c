/* SPDX-License-Identifier: BSD-2-Clause */
/* Open volumes: export names, who counts as what, private views. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

/* Volume a of seed 2, snapshot a@s of seed 1. */
static int set_up(void **state)
{
	int r = open_store_with_snapshot(100, 10, state);

	if (r == 0)
		put_in("a", 0, 10, 2);
	return r;
}

static struct volume_handle *open_name(const char *name, unsigned int flags)
{
	struct volume_handle *ret = NULL;

	must(volume_open(store, name, flags, &ret, &err));
	return ret;
}

static void names_open_what_they_name(void **state)
{
	struct volume_handle *h = open_name("a", VOLUME_OPEN_WRITE);
	struct volume_handle *s = open_name("a@s", 0);

	expect(h, 0, 10, 2);
	expect(s, 0, 10, 1);
	assert_false(volume_is_read_only(h));
	assert_true(volume_is_read_only(s));
	assert_false(volume_is_private(h));
	assert_int_equal(volume_size(h), 100 * BLOCK_SIZE);
	volume_close(h);
	volume_close(s);
	volume_close(NULL);
}

static void other_names_are_refused(void **state)
{
	static const char *const bad[] = {
		"",	  "/",	       "a@",
		"a@s@t",  "a:nothing", "a b",
		"a#",	  "a:scratch", "a@s:attached",
		"a@s..s", "../a",      "a@s:scratch.",
	};
	struct volume_handle *h = NULL;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(volume_open(store, bad[i], 0, &h, &err), EINVAL, "");
	refused(volume_open(store, "b", 0, &h, &err), ENOENT, "b: no such");
	refused(volume_open(store, "a@t", 0, &h, &err), ENOENT, "a@t: no such");
	refused(volume_open(store, "b:attached", 0, &h, &err), ENOENT, "b");
	refused(volume_open(store, "a@t:scratch", 0, &h, &err), ENOENT, "a@t");
	refused(volume_open(store, "a@s:scratch.99", 0, &h, &err), ENOENT,
		"no such view");
	assert_null(h);
}

static void a_snapshot_is_never_written(void **state)
{
	struct volume_handle *h = NULL;
	uint8_t byte = 1;

	refused(volume_open(store, "a@s", VOLUME_OPEN_WRITE, &h, &err), EROFS,
		"a@s: is read-only");
	assert_int_equal(info_of("a@s").nr_writers, 0);
	h = open_name("a@s", 0);
	refused(volume_write(h, &byte, 1, 0, false, &err), EROFS, "read-only");
	refused(volume_zero(h, 4096, 0, false, &err), EROFS, "read-only");
	refused(volume_trim(h, 4096, 0, false, &err), EROFS, "read-only");
	expect(h, 0, 10, 1);
	volume_close(h);
}

static void handles_are_counted_as_what_they_are(void **state)
{
	struct volume_handle *w = open_name("a", VOLUME_OPEN_WRITE);
	struct volume_handle *r = open_name("a", 0);
	struct volume_handle *at = open_name("a:attached", VOLUME_OPEN_WRITE);
	struct volume_info i = info_of("a");

	assert_int_equal(i.nr_writers, 1);
	assert_int_equal(i.nr_readers, 1);
	assert_int_equal(i.nr_attached, 1);
	volume_close(w);
	volume_close(r);
	volume_close(at);
	i = info_of("a");
	assert_int_equal(i.nr_writers + i.nr_readers + i.nr_attached, 0);
}

static void what_is_open_is_not_deleted(void **state)
{
	static const char *const exports[] = {"a", "a:attached"};
	static const char *const a_s[] = {"a@s"}, *const a[] = {"a"};
	struct volume_handle *h;

	for (size_t i = 0; i < 2; i++) {
		h = open_name(exports[i], 0);
		refused(store_delete(store, a, 1, true, &err), EBUSY,
			"a: in use");
		volume_close(h);
	}
	h = open_name("a@s", 0);
	refused(store_delete(store, a_s, 1, false, &err), EBUSY, "a@s: in use");
	volume_close(h);
	must(store_delete(store, a, 1, true, &err));
}

static void attached_advertises_the_most_and_enforces_the_size(void **state)
{
	struct volume_handle *h = open_name("a:attached", VOLUME_OPEN_WRITE);
	uint8_t byte = 1;

	assert_int_equal(volume_size(h), VOLUME_BYTES_MAX);
	expect(h, 0, 10, 2);
	put(h, 99, 1, 3);
	refused(volume_write(h, &byte, 1, 100 * BLOCK_SIZE, false, &err),
		ENOSPC, "beyond the end");
	refused(volume_read(h, &byte, 1, 100 * BLOCK_SIZE, &err), EINVAL,
		"beyond the end");
	volume_close(h);
}

static void attached_is_no_writer_in_the_way_of_a_rollback(void **state)
{
	static const char *const a_s[] = {"a@s"};
	struct volume_handle *h = open_name("a:attached", VOLUME_OPEN_WRITE);
	char kept[1][NAME_MAX_BYTES + 1];

	must(store_rollback(store, a_s, 1, kept, &err));
	expect(h, 0, 10, 1);
	volume_close(h);
}

static void a_private_view_is_made_by_the_first_request(void **state)
{
	struct volume_handle *h = open_name("a@s:scratch", VOLUME_OPEN_WRITE);

	assert_true(volume_is_private(h));
	assert_false(volume_is_read_only(h));
	assert_int_equal(volume_size(h), 100 * BLOCK_SIZE);
	assert_int_equal(store->volumes.all.len, 2);
	expect(h, 0, 10, 1);
	assert_int_equal(store->volumes.all.len, 3);
	expect(h, 0, 10, 1);
	assert_int_equal(store->volumes.all.len, 3);
	volume_close(h);
}

static void private_views_are_each_their_own(void **state)
{
	struct volume_handle *h = open_name("a@s:scratch", VOLUME_OPEN_WRITE);
	struct volume_handle *k = open_name("a@s:scratch", VOLUME_OPEN_WRITE);
	struct volume_handle *s = open_name("a@s", 0);

	put(h, 0, 5, 7);
	put(k, 0, 5, 8);
	expect(h, 0, 5, 7);
	expect(k, 0, 5, 8);
	expect(h, 5, 5, 1);
	expect(s, 0, 10, 1);
	volume_close(h);
	volume_close(k);
	volume_close(s);
}

static void a_private_view_goes_with_its_handle(void **state)
{
	struct volume_handle *h = open_name("a@s:scratch", VOLUME_OPEN_WRITE);
	struct volume_info *list;
	size_t nr;

	put(h, 0, 5, 7);
	must(store_list(store, &list, &nr, &err));
	assert_int_equal(nr, 3);
	free(list);
	assert_int_equal(stat_now().nr_volumes, 1); /* it is hidden */
	volume_close(h);
	must(store_list(store, &list, &nr, &err));
	assert_int_equal(nr, 2);
	free(list);
	must(store_reap(store, &err));
	assert_int_equal(stat_now().live_blocks, 20);
	check_is_clean();
}

static void a_private_view_outlives_its_snapshot(void **state)
{
	static const char *const a[] = {"a"};
	struct volume_handle *h = open_name("a@s:scratch", VOLUME_OPEN_WRITE);

	put(h, 0, 1, 7);
	must(store_delete(store, a, 1, true, &err));
	must(store_reap(store, &err));
	expect(h, 0, 1, 7);
	expect(h, 1, 9, 1);
	volume_close(h);
	must(store_reap(store, &err));
	assert_int_equal(stat_now().live_blocks, 0);
}

/* Else the view would be of whatever has the name by then. */
static void a_snapshot_stays_until_its_private_view_is_made(void **state)
{
	static const char *const a_s[] = {"a@s"}, *const a_t[] = {"a@t"};
	static const char *const a[] = {"a"}, *const b[] = {"b"};
	struct volume_handle *h = open_name("a@s:scratch", VOLUME_OPEN_WRITE);

	refused(store_delete(store, a_s, 1, false, &err), EBUSY,
		"a@s: in use by 1 client");
	refused(store_delete(store, a, 1, true, &err), EBUSY, "a@s: in use");
	refused(store_rename(store, a_s, a_t, 1, &err), EBUSY, "a@s: in use");
	refused(store_rename(store, a, b, 1, &err), EBUSY, "a@s: in use");
	expect(h, 0, 10, 1);
	must(store_delete(store, a_s, 1, false, &err));
	snapshot("a@s"); /* of seed 2 */
	expect(h, 0, 10, 1);
	volume_close(h);
	h = open_name("a@s:scratch", VOLUME_OPEN_WRITE);
	volume_close(h); /* it made none */
	must(store_delete(store, a_s, 1, false, &err));
}

static void a_named_view_is_shared_and_stays(void **state)
{
	struct volume_handle *h, *k;
	char name[NAME_MAX_BYTES + 1];

	must(store_scratch(store, "a@s", name, &err));
	assert_non_null(strstr(name, "a@s:scratch."));
	h = open_name(name, VOLUME_OPEN_WRITE);
	k = open_name(name, VOLUME_OPEN_WRITE);
	assert_false(volume_is_private(h));
	put(h, 0, 5, 7);
	expect(k, 0, 5, 7);
	volume_close(h);
	volume_close(k);
	assert_true(info_of(name).scratch);
	must(store_flush(store, &err));
	reopen(false);
	h = open_name(name, 0);
	expect(h, 0, 5, 7);
	volume_close(h);
	delete_volume(name);
	must(store_reap(store, &err));
	check_is_clean();
}

static void a_read_only_store_opens_nothing_for_writing(void **state)
{
	struct volume_handle *h = NULL;
	uint8_t byte = 1;

	must(store_flush(store, &err));
	reopen_read_only();
	refused(volume_open(store, "a", VOLUME_OPEN_WRITE, &h, &err), EROFS,
		"a: is read-only");
	refused(volume_open(store, "a@s:scratch", 0, &h, &err), EROFS,
		"read-only");
	h = open_name("a", 0);
	assert_true(volume_is_read_only(h));
	expect(h, 0, 10, 2);
	refused(volume_write(h, &byte, 1, 0, false, &err), EROFS, "read-only");
	must(volume_flush(h, &err));
	volume_close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, close_store)
		TEST(names_open_what_they_name),
		TEST(other_names_are_refused),
		TEST(a_snapshot_is_never_written),
		TEST(handles_are_counted_as_what_they_are),
		TEST(what_is_open_is_not_deleted),
		TEST(attached_advertises_the_most_and_enforces_the_size),
		TEST(attached_is_no_writer_in_the_way_of_a_rollback),
		TEST(a_private_view_is_made_by_the_first_request),
		TEST(private_views_are_each_their_own),
		TEST(a_private_view_goes_with_its_handle),
		TEST(a_private_view_outlives_its_snapshot),
		TEST(a_snapshot_stays_until_its_private_view_is_made),
		TEST(a_named_view_is_shared_and_stays),
		TEST(a_read_only_store_opens_nothing_for_writing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
