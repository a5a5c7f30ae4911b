/* SPDX-License-Identifier: BSD-2-Clause */
/* Plain text, and what is made of all other bytes. */
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *text, const char *plain)
{
	char ret[64];

	text_make_plain(text, strlen(text), ret, sizeof(ret));
	assert_string_equal(ret, plain);
	assert_int_equal(text_is_plain(text), strcmp(text, plain) == 0);
	assert_true(text_is_plain(ret));
}

static void letters_of_all_scripts_are_plain(void **state)
{
	expect("", "");
	expect("before the upgrade, 50 % full",
	       "before the upgrade, 50 % full");
	expect("\xc2\xa0\xc3\xa9\xdf\xbf", "\xc2\xa0\xc3\xa9\xdf\xbf");
	expect("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xe2\x82\xac",
	       "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xe2\x82\xac");
	expect("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
	       "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
}

static void what_a_terminal_would_obey_is_not(void **state)
{
	expect("a\nb\tc\x7f", "a?b?c?");
	expect("\x1b[31mred", "?[31mred");
	expect("\xc2\x9b"
	       "31m",
	       "??31m"); /* the same in one character */
}

static void what_is_no_utf8_is_not(void **state)
{
	expect("\xff\xfe", "??");
	expect("\x80", "?");
	expect("\xc0\xaf", "??"); /* '/', too long */
	expect("\xc1\xbf", "??");
	expect("\xe0\x9f\xbf", "???");	    /* too long */
	expect("\xed\xa0\x80", "???");	    /* a surrogate */
	expect("\xf0\x8f\xbf\xbf", "????"); /* too long */
	expect("\xf4\x90\x80\x80", "????"); /* beyond the last */
	expect("\xf5\x80\x80\x80", "????");
	expect("\xe2\x82", "??"); /* cut off */
	expect("\xe2\x82x", "??x");
}

static void only_whole_characters_are_kept(void **state)
{
	char ret[4];

	text_make_plain("ab\xe2\x82\xac", 5, ret, sizeof(ret));
	assert_string_equal(ret, "ab");
	text_make_plain("\xe2\x82\xac", 3, ret, sizeof(ret));
	assert_string_equal(ret, "\xe2\x82\xac");
	/* a zero byte is one of those that are not plain */
	text_make_plain("a\0b", 3, ret, sizeof(ret));
	assert_string_equal(ret, "a?b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters_of_all_scripts_are_plain),
		cmocka_unit_test(what_a_terminal_would_obey_is_not),
		cmocka_unit_test(what_is_no_utf8_is_not),
		cmocka_unit_test(only_whole_characters_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
