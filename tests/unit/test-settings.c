/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is set of a volume: what is refused, what survives what, and how a
 * full store is met.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define SET(...) \
	(const struct setting[]){__VA_ARGS__}, \
		sizeof((const struct setting[]){__VA_ARGS__}) / \
			sizeof(struct setting)
#define set(name, ...) must(store_set(store, name, SET(__VA_ARGS__), &err))
#define set_refused(name, code, words, ...) \
	refused(store_set(store, name, SET(__VA_ARGS__), &err), code, words)

static const char *const a_s[] = {"a@s"};

static int set_up(void **state)
{
	int r = open_store(state);

	if (r == 0)
		must(store_create(store, "a", 1 << 20, &err));
	return r;
}

static void expect_settings(const char *name, uint64_t quota,
			    uint64_t reservation, bool pause)
{
	struct volume_info i = info_of(name);

	assert_int_equal(i.quota_bytes, quota);
	assert_int_equal(i.reservation_bytes, reservation);
	assert_int_equal(i.pause_on_full, pause);
}

/* ---- setting ---- */

static void what_is_set_is_set_and_can_be_unset(void **state)
{
	expect_settings("a", 0, 0, false);
	set("a", {"quota", "8192"});
	set("a", {"reservation", "4096"}, {"on-full", "pause"});
	expect_settings("a", 8192, 4096, true);
	set("a", {"quota", "none"});
	expect_settings("a", 0, 4096, true);
	set("a", {"on-full", "error"}, {"reservation", "none"});
	expect_settings("a", 0, 0, false);
}

static void bad_settings_are_refused_whole(void **state)
{
	static const char *const bad[] = {"",
					  "0",
					  "x",
					  "1x",
					  "-1",
					  " 1",
					  "1 ",
					  "007",
					  "1.5",
					  "NONE",
					  "9223372036854775808",
					  "18446744073709551617"};
	uint64_t seq;

	set("a", {"quota", "9223372036854775807"});
	lock_core();
	seq = log_seq(&store->log);
	unlock_core();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		set_refused("a", EINVAL, "a: quota must be a size or none",
			    {"on-full", "pause"}, {"quota", bad[i]});
		set_refused("a", EINVAL, "a: reservation must be",
			    {"reservation", bad[i]});
	}
	set_refused("a", EINVAL, "a: on-full must be error or pause",
		    {"on-full", "wait"});
	set_refused("a", EINVAL,
		    "a: unknown setting, known are quota, reservation and "
		    "on-full",
		    {"on-full", "pause"}, {"size", "1"});
	set_refused("a", EINVAL, "unknown", {"", "1"});
	set_refused("a", EINVAL, "unknown", {"message", "x"});
	set_refused("a", EINVAL, "a: quota is named twice", {"quota", "1"},
		    {"on-full", "error"}, {"quota", "2"});
	refused(store_set(store, "a", NULL, 0, &err), EINVAL, "a: nothing");
	expect_settings("a", INT64_MAX, 0, false);
	lock_core();
	assert_int_equal(log_seq(&store->log), seq);
	unlock_core();
}

static void only_volumes_have_settings(void **state)
{
	char view[NAME_MAX_BYTES + 1];

	snapshot("a@s");
	must(store_scratch(store, "a@s", view, &err));
	set_refused("a@s", EINVAL, "a@s", {"quota", "4096"});
	set_refused(view, EINVAL, view, {"quota", "4096"});
	set_refused("b", ENOENT, "b: no such volume", {"quota", "4096"});
	set_refused("a#", EINVAL, "a#", {"quota", "4096"});
}

static void a_dry_run_says_the_same_and_sets_nothing(void **state)
{
	must(store_set_dry_run(store, "a", SET({"quota", "4096"}), &err));
	refused(store_set_dry_run(store, "a", SET({"quota", "x"}), &err),
		EINVAL, "quota");
	refused(store_set_dry_run(store, "b", SET({"quota", "1"}), &err),
		ENOENT, "b");
	expect_settings("a", 0, 0, false);
}

static void stores_that_take_no_change_take_none_of_these(void **state)
{
	reopen_read_only();
	set_refused("a", EROFS, "read-only", {"quota", "4096"});
	must(store_set_dry_run(store, "a", SET({"quota", "4096"}), &err));
	reopen(false);
	memory_disk_fault(disk, MEMORY_SYNC, 1, EIO, false);
	set_refused("a", EIO, "", {"quota", "4096"});
	set_refused("a", EIO, "reopen", {"quota", "8192"});
	refused(store_set_dry_run(store, "a", SET({"quota", "1"}), &err), EIO,
		"reopen");
}

/* Attributes that mean nothing here are somebody's. */
static void other_attributes_stay_as_they_are(void **state)
{
	static const char attrs[] = "owner=me\0quota=8192\0color=";
	static const char wanted[] = "owner=me\0color=\0on-full=pause";
	char ret[VOLUME_ATTRS_MAX_BYTES];
	size_t length;

	must(settings_change("a", attrs, sizeof(attrs),
			     SET({"on-full", "pause"}, {"quota", "none"}), ret,
			     &length, &err));
	assert_int_equal(length, sizeof(wanted));
	assert_memory_equal(ret, wanted, sizeof(wanted));
}

static void attributes_have_an_end(void **state)
{
	char attrs[VOLUME_ATTRS_MAX_BYTES], ret[VOLUME_ATTRS_MAX_BYTES];
	size_t length;

	memset(attrs, 'x', sizeof(attrs));
	attrs[1] = '=';
	/* quota=1 takes 8 bytes */
	attrs[sizeof(attrs) - 9] = '\0';
	must(settings_change("a", attrs, sizeof(attrs) - 8, SET({"quota", "1"}),
			     ret, &length, &err));
	assert_int_equal(length, sizeof(ret));
	attrs[sizeof(attrs) - 9] = 'x';
	attrs[sizeof(attrs) - 8] = '\0';
	refused(settings_change("a", attrs, sizeof(attrs) - 7,
				SET({"quota", "1"}), ret, &length, &err),
		EINVAL, "a: no room");
}

static void values_that_are_none_count_as_not_set(void **state)
{
	static const char attrs[] = "quota=x\0reservation=\0on-full=maybe\0"
				    "quota\0on-ful=pause\0quotas=4096";
	struct settings s = {1, 1, true};

	settings_parse(attrs, sizeof(attrs), &s);
	assert_int_equal(s.quota, 0);
	assert_int_equal(s.reservation, 0);
	assert_false(s.pause);
}

/* ---- what survives ---- */

static void settings_survive_a_crash_and_a_stop(void **state)
{
	set("a", {"quota", "8192"}, {"on-full", "pause"});
	reopen(false);
	expect_settings("a", 8192, 0, true);
	reopen(true);
	expect_settings("a", 8192, 0, true);
	set("a", {"quota", "none"});
	reopen(false);
	expect_settings("a", 0, 0, true);
	check_is_clean();
}

static void settings_survive_rollback_and_undo_but_not_a_clone(void **state)
{
	static const char *const a[] = {"a"}, *const c[] = {"c"};
	char kept[1][NAME_MAX_BYTES + 1];

	must(store_snapshot(store, a_s, 1, "text", &err));
	set("a", {"quota", "8192"}, {"on-full", "pause"});
	must(store_rollback(store, a_s, 1, kept, &err));
	expect_settings("a", 8192, 0, true);
	set("a", {"on-full", "error"});
	must(store_undo(store, a, 1, &err));
	expect_settings("a", 8192, 0, false);
	must(store_clone(store, "a@s", c, 1, &err));
	expect_settings("c", 0, 0, false);
	expect_settings("a@s", 0, 0, false);
	assert_string_equal(info_of("a@s").message, "text");
}

/* ---- a full store ---- */

static uint32_t fill_up(struct volume_handle *h)
{
	uint32_t nr = 0;

	while (try_put(h, nr, 1, 1) == 0)
		nr++;
	return nr;
}

struct late {
	const char *name; /* what to delete */
	unsigned int ms;
	uint64_t done_ms;
};

static void *delete_late(void *arg)
{
	struct late *late = arg;

	sleep_ms(late->ms);
	must(store_delete(store, &late->name, 1, false, NULL));
	late->done_ms = monotonic_ms();
	return NULL;
}

static void a_paused_write_goes_on_when_space_comes(void **state)
{
	struct volume_handle *h = create_volume("b", 8000);
	struct late late = {.name = "a", .ms = 1500};
	struct volume_handle *a = open_volume("a");
	pthread_t thread;
	uint32_t nr;

	put(a, 0, 250, 1);
	volume_close(a);
	must(store_start(store, &err));
	nr = fill_up(h);
	set("b", {"on-full", "pause"});
	assert_int_equal(pthread_create(&thread, NULL, delete_late, &late), 0);
	put(h, nr, 20, 2);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(late.done_ms > 0);
	assert_true(monotonic_ms() < late.done_ms + 8000);
	expect(h, 0, nr, 1);
	expect(h, nr, 20, 2);
	volume_close(h);
}

static void a_paused_write_gives_up_after_ten_seconds(void **state)
{
	struct volume_handle *h = create_volume("b", 8000), *a;
	uint64_t start;
	uint32_t nr;
	int r;

	must(store_start(store, &err));
	nr = fill_up(h);
	set("b", {"on-full", "pause"});
	do { /* until nothing is left of what the filling itself freed */
		start = monotonic_ms();
		r = try_put(h, nr++, 1, 1);
	} while (r == 0);
	refused(r, ENOSPC, "store is full");
	assert_in_range(monotonic_ms() - start, 9900, 19000);
	a = open_volume("a");
	start = monotonic_ms();
	/* the other volume does not wait */
	refused(try_put(a, 0, 1, 1), ENOSPC, "store is full");
	assert_true(monotonic_ms() < start + 9000);
	volume_close(a);
	/* what makes space does not wait */
	start = monotonic_ms();
	must(volume_trim(h, (uint64_t)nr * BLOCK_SIZE, 0, false, &err));
	assert_true(monotonic_ms() < start + 9000);
	volume_close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, close_store)
		TEST(what_is_set_is_set_and_can_be_unset),
		TEST(bad_settings_are_refused_whole),
		TEST(only_volumes_have_settings),
		TEST(a_dry_run_says_the_same_and_sets_nothing),
		TEST(stores_that_take_no_change_take_none_of_these),
		TEST(other_attributes_stay_as_they_are),
		TEST(attributes_have_an_end),
		TEST(values_that_are_none_count_as_not_set),
		TEST(settings_survive_a_crash_and_a_stop),
		TEST(settings_survive_rollback_and_undo_but_not_a_clone),
		TEST(a_paused_write_goes_on_when_space_comes),
		TEST(a_paused_write_gives_up_after_ten_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
