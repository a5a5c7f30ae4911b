/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "names.h"

static void check_name(const char *text, const char *volume,
		       const char *snapshot, const char *until,
		       enum name_view view)
{
	struct error err = ERROR_NONE;
	struct name name;

	if (name_parse(text, &name, &err) != 0)
		fail_msg("%s", err.message);
	assert_string_equal(name.volume, volume);
	assert_string_equal(name.snapshot, snapshot);
	assert_string_equal(name.until, until);
	assert_int_equal(name.view, view);
}

static void check_refused(const char *text, const char *sentence)
{
	struct error err = ERROR_NONE;
	struct name name;

	if (name_parse(text, &name, &err) != -EINVAL)
		fail_msg("'%s' is accepted", text);
	assert_int_equal(err.code, EINVAL);
	assert_string_equal(err.message, sentence);
}

#define WORDS "names are made of letters, digits, '_', '.' and '-'"

static void a_volume_has_an_optional_group(void **state)
{
	check_name("vm1", "vm1", "", "", VIEW_NONE);
	check_name("web/root", "web/root", "", "", VIEW_NONE);
	check_name("0", "0", "", "", VIEW_NONE);
	check_name("A_b.c-9", "A_b.c-9", "", "", VIEW_NONE);
	check_refused("a/b/c", "\"a/b/c\": a name has at most one '/'");
}

static void a_snapshot_follows_the_at_sign(void **state)
{
	check_name("web/root@monday", "web/root", "monday", "", VIEW_NONE);
	check_refused("vm1@", "\"vm1@\": a name is missing");
	check_refused("@s", "\"@s\": a name is missing");
	check_refused("vm1@a@b", "\"vm1@a@b\": " WORDS);
	check_refused("vm1@a/b", "\"vm1@a/b\": " WORDS);
}

static void a_difference_has_two_snapshots(void **state)
{
	check_name("db@mon..tue", "db", "mon", "tue", VIEW_NONE);
	check_name("db@a.b..c.d", "db", "a.b", "c.d", VIEW_NONE);
	check_refused("db@mon..", "\"db@mon..\": a name is missing");
	check_refused("db@..tue", "\"db@..tue\": a name is missing");
	check_refused("db@a...b",
		      "\"db@a...b\": a name must begin with a letter or digit");
	check_refused("db@a..b..c",
		      "\"db@a..b..c\": a name must not hold '..'");
}

static void views_go_with_what_they_show(void **state)
{
	check_name("vm1:attached", "vm1", "", "", VIEW_ATTACHED);
	check_name("vm1@s:scratch", "vm1", "s", "", VIEW_SCRATCH);
	check_name("vm1@s:scratch.0", "vm1", "s", "", VIEW_SCRATCH_N);
	check_refused("vm1@s:attached", "\"vm1@s:attached\": ':attached' goes "
					"with a volume, not a snapshot");
	check_refused("vm1:scratch",
		      "\"vm1:scratch\": ':scratch' goes with a snapshot");
	check_refused("vm1:scratch.1",
		      "\"vm1:scratch.1\": ':scratch' goes with a snapshot");
	check_refused("vm1@a..b:scratch",
		      "\"vm1@a..b:scratch\": a difference has no view");
}

static void an_unknown_view_is_refused(void **state)
{
	static const char *const views[] = {
		"",	    "x",	  "scratch.",	"scratch.-1",
		"Attached", "scratch.1x", "scratch.01", "scratch.1000000000",
		"attached:"};

	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
		char text[64], sentence[200];

		(void)snprintf(text, sizeof(text), "vm@s:%s", views[i]);
		(void)snprintf(sentence, sizeof(sentence),
			       "\"%s\": after ':' comes 'attached', 'scratch' "
			       "or 'scratch.NUMBER'",
			       text);
		check_refused(text, sentence);
	}
}

static void the_number_of_a_scratch_view_is_parsed(void **state)
{
	struct name name;

	assert_int_equal(name_parse("v@s:scratch.999999999", &name, NULL), 0);
	assert_int_equal(name.scratch, 999999999);
}

static void a_time_is_no_snapshot(void **state)
{
	static const char *const times[] = {
		"vm@2026-11-22T10:00:00Z", "vm@2026-11-22T10",
		"vm@2026-11-22t10.30", "vm@a..2026-11-22T10:00:00Z",
		"vm@2026-11-22T10:00:00Z..b"};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct error err = ERROR_NONE;
		struct name name;

		assert_int_equal(name_parse(times[i], &name, &err), -EINVAL);
		if (!strstr(err.message, "a time is not a name of a snapshot"))
			fail_msg("%s", err.message);
	}
}

static void words_that_hold_a_time_or_are_a_date_are_snapshots(void **state)
{
	check_name("v@2026-11-22", "v", "2026-11-22", "", VIEW_NONE);
	check_name("v@guard-20261122T020000Z", "v", "guard-20261122T020000Z",
		   "", VIEW_NONE);
	check_name("v@before-rollback-20261122T020000Z-2", "v",
		   "before-rollback-20261122T020000Z-2", "", VIEW_NONE);
	check_name("v@20261122T020000Z", "v", "20261122T020000Z", "",
		   VIEW_NONE);
	check_name("2026-11-22T10@x", "2026-11-22T10", "x", "", VIEW_NONE);
}

static void an_empty_name_is_refused(void **state)
{
	check_refused("", "\"\": a name is missing");
	check_refused("/", "\"/\": a name is missing");
	check_refused("a/", "\"a/\": a name is missing");
	check_refused("/a", "\"/a\": a name is missing");
	check_refused(":attached", "\":attached\": a name is missing");
}

static void characters_that_break_uris_are_refused(void **state)
{
	check_refused("vm#1", "\"vm#1\": " WORDS);
	check_refused("vm%41", "\"vm%41\": " WORDS);
	check_refused("vm 1", "\"vm 1\": " WORDS);
	check_refused("vm?x", "\"vm?x\": " WORDS);
	check_refused("vm1@a#", "\"vm1@a#\": " WORDS);
}

static void a_name_cannot_climb_the_tree(void **state)
{
	check_refused("a/../b", "\"a/../b\": a name has at most one '/'");
	check_refused("a/..",
		      "\"a/..\": a name must begin with a letter or digit");
	check_refused("/../", "\"/../\": a name is missing");
	check_refused("..", "\"..\": a name must begin with a letter or digit");
	check_refused("a..b", "\"a..b\": a name must not hold '..'");
	check_refused(".hidden",
		      "\".hidden\": a name must begin with a letter or digit");
	check_refused("-rf",
		      "\"-rf\": a name must begin with a letter or digit");
}

static void control_characters_and_utf8_are_escaped(void **state)
{
	check_refused("a\nb", "\"a\\x0ab\": " WORDS);
	check_refused("a\033[31m", "\"a\\x1b[31m\": " WORDS);
	check_refused("gr\303\266\303\237e",
		      "\"gr\\xc3\\xb6\\xc3\\x9fe\": " WORDS);
	check_refused("a\"b\\", "\"a\\x22b\\x5c\": " WORDS);
	check_refused("a\177", "\"a\\x7f\": " WORDS);
}

/* "aaa...", @length long; in a static buffer */
static char *long_name(size_t length)
{
	static char text[512];

	memset(text, 'a', length);
	text[length] = '\0';
	return text;
}

static void a_name_has_at_most_255_bytes(void **state)
{
	struct name name;
	char *text = long_name(255);

	assert_int_equal(name_parse(text, &name, NULL), 0);
	assert_string_equal(name.volume, text);
	text[100] = '@';
	text[200] = text[201] = '.';
	assert_int_equal(name_parse(text, &name, NULL), 0);
	assert_int_equal(name_parse(long_name(256), &name, NULL), -EINVAL);
	text = long_name(256);
	text[128] = '@';
	assert_int_equal(name_parse(text, &name, NULL), -EINVAL);
}

static void the_view_does_not_count_for_the_length(void **state)
{
	struct name name;
	char *text = long_name(255);

	strcat(text, ":attached");
	assert_int_equal(name_parse(text, &name, NULL), 0);
	assert_int_equal(strlen(name.volume), 255);
}

static void a_long_name_is_cut_in_the_message(void **state)
{
	char sentence[600];

	(void)snprintf(sentence, sizeof(sentence),
		       "\"%s...\": a name has at most 255 bytes",
		       long_name(64));
	check_refused(long_name(300), sentence);
}

static void the_worst_name_still_fits_its_message(void **state)
{
	struct error err = ERROR_NONE;
	struct name name;
	char text[301];

	memset(text, 0xff, 300);
	text[300] = '\0';
	assert_int_equal(name_parse(text, &name, &err), -EINVAL);
	assert_non_null(strstr(err.message, "...\": a name has at most 255"));
}

static void a_refused_name_leaves_the_result_alone(void **state)
{
	struct name name;

	memset(&name, 0x5a, sizeof(name));
	assert_int_equal(name_parse("vm1@a#", &name, NULL), -EINVAL);
	assert_int_equal(name.volume[0], 0x5a);
	assert_int_equal(name_parse_volume("vm1@a", &name, NULL), -EINVAL);
	assert_int_equal(name.volume[0], 0x5a);
}

static void a_volume_is_not_a_snapshot(void **state)
{
	struct error err = ERROR_NONE;
	struct name name;

	assert_int_equal(name_parse_volume("web/root", &name, &err), 0);
	assert_int_equal(name_parse_volume("web/root@s", &name, &err), -EINVAL);
	assert_string_equal(err.message,
			    "\"web/root@s\": not the name of a volume");
	assert_int_equal(name_parse_volume("vm:attached", &name, &err),
			 -EINVAL);
}

static void a_snapshot_is_not_a_volume_or_a_difference(void **state)
{
	struct error err = ERROR_NONE;
	struct name name;

	assert_int_equal(name_parse_snapshot("vm@s", &name, &err), 0);
	assert_int_equal(name_parse_snapshot("vm", &name, &err), -EINVAL);
	assert_string_equal(err.message, "\"vm\": not the name of a snapshot "
					 "(volume@snapshot)");
	assert_int_equal(name_parse_snapshot("vm@a..b", &name, &err), -EINVAL);
	assert_int_equal(name_parse_snapshot("vm@a:scratch", &name, &err),
			 -EINVAL);
}

static void a_snapshot_word_is_checked_alone(void **state)
{
	assert_int_equal(name_check_snapshot_word("monday", NULL), 0);
	assert_int_equal(name_check_snapshot_word("", NULL), -EINVAL);
	assert_int_equal(name_check_snapshot_word("a..b", NULL), -EINVAL);
	assert_int_equal(name_check_snapshot_word("a@b", NULL), -EINVAL);
	assert_int_equal(name_check_snapshot_word("a/b", NULL), -EINVAL);
	assert_int_equal(name_check_snapshot_word("2026-11-22T10", NULL),
			 -EINVAL);
	assert_int_equal(name_check_snapshot_word(long_name(255), NULL), 0);
	assert_int_equal(name_check_snapshot_word(long_name(256), NULL),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_volume_has_an_optional_group),
		cmocka_unit_test(a_snapshot_follows_the_at_sign),
		cmocka_unit_test(a_difference_has_two_snapshots),
		cmocka_unit_test(views_go_with_what_they_show),
		cmocka_unit_test(an_unknown_view_is_refused),
		cmocka_unit_test(the_number_of_a_scratch_view_is_parsed),
		cmocka_unit_test(a_time_is_no_snapshot),
		cmocka_unit_test(
			words_that_hold_a_time_or_are_a_date_are_snapshots),
		cmocka_unit_test(an_empty_name_is_refused),
		cmocka_unit_test(characters_that_break_uris_are_refused),
		cmocka_unit_test(a_name_cannot_climb_the_tree),
		cmocka_unit_test(control_characters_and_utf8_are_escaped),
		cmocka_unit_test(a_name_has_at_most_255_bytes),
		cmocka_unit_test(the_view_does_not_count_for_the_length),
		cmocka_unit_test(a_long_name_is_cut_in_the_message),
		cmocka_unit_test(the_worst_name_still_fits_its_message),
		cmocka_unit_test(a_refused_name_leaves_the_result_alone),
		cmocka_unit_test(a_volume_is_not_a_snapshot),
		cmocka_unit_test(a_snapshot_is_not_a_volume_or_a_difference),
		cmocka_unit_test(a_snapshot_word_is_checked_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
