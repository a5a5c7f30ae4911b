/* SPDX-License-Identifier: BSD-2-Clause */
/* Sizes: what people type, and what they are shown. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>

#include "size.h"

#define GIB (UINT64_C(1) << 30)

static void assert_parses(const char *text, uint64_t want)
{
	struct error err = ERROR_NONE;
	uint64_t got;

	assert_int_equal(size_parse(text, &got, &err), 0);
	assert_int_equal(got, want);
}

static void whole_numbers_with_a_letter_are_sizes(void **state)
{
	assert_parses("512", 512);
	assert_parses("4k", 4096);
	assert_parses("4KiB", 4096);
	assert_parses("50G", 50 * GIB);
	assert_parses("32T", GIB << 15);
	assert_parses("0000001M", 1 << 20);
	assert_parses("15E", UINT64_C(15) << 60);
	assert_parses("18446744073709551104", UINT64_MAX - 511);
}

static void everything_else_is_refused_with_a_sentence(void **state)
{
	static const char *const bad[] = {
		"",
		"0",
		"0T",
		"-1",
		"+512",
		" 512",
		"512 ",
		"513",
		"1.5T",
		"1KB",
		"1b",
		"x",
		"K",
		"0x200",
		"16E",
		"1e9",
		"99999999999999999999999999",
		"18446744073709551615",
	};
	uint64_t untouched = 7;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error err = ERROR_NONE;

		assert_int_equal(size_parse(bad[i], &untouched, &err), -EINVAL);
		assert_true(err.message[0] != '\0');
		assert_int_equal(untouched, 7);
	}
}

static void assert_formats(uint64_t bytes, const char *brief, const char *full)
{
	char text[SIZE_TEXT_BYTES];

	size_format(bytes, text);
	assert_string_equal(text, brief);
	size_format_long(bytes, text);
	assert_string_equal(text, full);
}

static void numbers_are_shown_with_at_most_four_digits(void **state)
{
	assert_formats(0, "0", "0 bytes");
	assert_formats(1, "1", "1 byte");
	assert_formats(1023, "1023", "1023 bytes");
	assert_formats(1024, "1K", "1 KiB");
	assert_formats(1536, "1.5K", "1.5 KiB");
	assert_formats(50 * GIB, "50G", "50 GiB");
	assert_formats(GIB + GIB / 2 - 1, "1.5G", "1.5 GiB");
	assert_formats(999 * GIB, "999G", "999 GiB");
	assert_formats(UINT64_MAX, "16E", "16 EiB");
}

static void rounding_up_to_the_next_unit_names_that_unit(void **state)
{
	assert_formats(GIB - 1, "1G", "1 GiB");
	assert_formats(GIB * 1024 - 1, "1T", "1 TiB");
	assert_formats(1023 * GIB, "1023G", "1023 GiB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_numbers_with_a_letter_are_sizes),
		cmocka_unit_test(everything_else_is_refused_with_a_sentence),
		cmocka_unit_test(numbers_are_shown_with_at_most_four_digits),
		cmocka_unit_test(rounding_up_to_the_next_unit_names_that_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
