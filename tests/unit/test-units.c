/* SPDX-License-Identifier: BSD-2-Clause */
/* Small things of the format: units, integers, checksums, errors, text. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "checksum.h"
#include "error.h"
#include "le.h"
#include "print.h"
#include "units.h"

static void a_birth_address_holds_segment_and_slot(void **state)
{
	struct birth b = birth_make(SEGNO_MAX, 2047);

	assert_int_equal(birth_segno(b), SEGNO_MAX);
	assert_int_equal(birth_slot(b), 2047);
	assert_int_equal(birth_make(3, 5).value, 3 * 2048 + 5);
	assert_int_equal(pblock_segno(pblock_make(7, 9)), 7);
	assert_int_equal(pblock_slot(pblock_make(7, 9)), 9);
}

static void bytes_round_up_to_blocks(void **state)
{
	assert_int_equal(bytes_to_blocks_up(0), 0);
	assert_int_equal(bytes_to_blocks_up(1), 1);
	assert_int_equal(bytes_to_blocks_up(4096), 1);
	assert_int_equal(bytes_to_blocks_up(4097), 2);
	assert_int_equal(bytes_to_blocks_up(UINT64_MAX), UINT64_C(1) << 52);
	assert_int_equal(round_up_u64(0, 8), 0);
	assert_int_equal(round_up_u64(9, 8), 16);
}

static void a_range_that_overflows_is_outside(void **state)
{
	assert_true(range_is_inside(0, 0, 0));
	assert_true(range_is_inside(5, 5, 10));
	assert_false(range_is_inside(5, 6, 10));
	assert_false(range_is_inside(UINT64_MAX, 2, UINT64_MAX));
	assert_false(range_is_inside(2, UINT64_MAX, UINT64_MAX));
}

static void the_largest_volume_is_32_tib(void **state)
{
	assert_int_equal(VOLUME_BYTES_MAX, UINT64_C(32) << 40);
	assert_int_equal((uint64_t)LEAF_BLOCKS * INNER_CHILDREN *
				 INNER_CHILDREN * INNER_CHILDREN,
			 VOLUME_BLOCKS_MAX);
}

static void integers_lie_little_end_first(void **state)
{
	le64 v = le64_make(UINT64_C(0x0123456789abcdef));

	assert_int_equal(v.bytes[0], 0xef);
	assert_int_equal(v.bytes[7], 0x01);
	assert_int_equal(le64_get(v), UINT64_C(0x0123456789abcdef));
	assert_int_equal(le32_get(le32_make(0xfedcba98)), 0xfedcba98);
	assert_int_equal(le16_get(le16_make(0xff01)), 0xff01);
}

/* The function's published value for no input. */
static void checksum_of_nothing_is_the_known_one(void **state)
{
	assert_int_equal(checksum64("", 0), UINT64_C(0x2d06800538d394c2));
}

static void checksum32_is_the_low_half(void **state)
{
	assert_int_equal(checksum32("abc", 3), (uint32_t)checksum64("abc", 3));
}

static void only_zeros_are_zeros(void **state)
{
	uint8_t bytes[9] = {0};

	assert_true(bytes_are_zero(bytes, 0));
	for (size_t i = 0; i < sizeof(bytes); i++) {
		assert_true(bytes_are_zero(bytes, sizeof(bytes)));
		bytes[i] = 1;
		assert_false(bytes_are_zero(bytes, sizeof(bytes)));
		bytes[i] = 0;
	}
	memset(bytes, 7, sizeof(bytes));
	assert_false(bytes_are_zero(bytes, sizeof(bytes)));
}

static void an_error_returns_its_code(void **state)
{
	struct error err = ERROR_NONE;

	assert_int_equal(error_set(&err, ENOENT, "no %s", "vm1"), -ENOENT);
	assert_int_equal(err.code, ENOENT);
	assert_string_equal(err.message, "no vm1");
	assert_int_equal(error_set(NULL, EIO, "x"), -EIO);
}

static void a_prefix_goes_in_front(void **state)
{
	struct error err = ERROR_NONE;

	(void)error_set(&err, EUCLEAN, "count %d", 3);
	assert_int_equal(error_prefix(&err, "segment %d", 12), -EUCLEAN);
	assert_string_equal(err.message, "segment 12: count 3");
	assert_true(error_prefix(NULL, "x") < 0);
}

static void a_message_may_quote_the_one_it_replaces(void **state)
{
	struct error err = ERROR_NONE;

	(void)error_set(&err, EIO, "inner");
	(void)error_set(&err, EUCLEAN, "outer (%s)", err.message);
	assert_string_equal(err.message, "outer (inner)");
}

static void a_message_too_long_is_cut(void **state)
{
	struct error err = ERROR_NONE;
	char text[1000];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)error_set(&err, EIO, "%s", text);
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
	(void)error_prefix(&err, "b");
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
	assert_memory_equal(err.message, "b: aaa", 6);
	(void)error_prefix(&err, "%s", text);
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
	assert_int_equal(err.message[398], 'a');
}

static void check_time(uint64_t seconds, const char *expected)
{
	char text[TIME_TEXT_BYTES];

	time_format(seconds * 1000000000u + 999999999u, text);
	assert_string_equal(text, expected);
}

static void times_are_rfc_3339(void **state)
{
	check_time(0, "1970-01-01T00:00:00Z");
	check_time(951782399, "2000-02-28T23:59:59Z");
	check_time(951782400, "2000-02-29T00:00:00Z");
	check_time(1709251199, "2024-02-29T23:59:59Z");
	check_time(1735689599, "2024-12-31T23:59:59Z");
	check_time(4107542400, "2100-03-01T00:00:00Z"); /* no leap year */
	check_time(UINT64_MAX / 1000000000u - 1, "2554-07-21T23:34:32Z");
}

static void a_uuid_is_five_groups_of_digits(void **state)
{
	static const uint8_t uuid[16] = {0x10, 0x21, 0x32, 0x43, 0x54, 0x65,
					 0x76, 0x87, 0x98, 0xa9, 0xba, 0xcb,
					 0xdc, 0xed, 0xfe, 0x0f};
	char text[UUID_TEXT_BYTES];

	uuid_format(uuid, text);
	assert_string_equal(text, "10213243-5465-7687-98a9-bacbdcedfe0f");
}

static void an_entry_is_printed_with_its_operation(void **state)
{
	struct batch_entry write = {OP_WRITE, 7, 4096, 3};
	struct batch_entry move = batch_entry_gcmove(birth_make(900, 2047));
	char text[200];

	(void)batch_entry_print(&write, text, sizeof(text));
	assert_string_equal(text, "write volume 7 block 4096 count 3");
	(void)batch_entry_print(&move, text, sizeof(text));
	assert_string_equal(text, "gcmove segment 900 slot 2047");
}

static void a_segment_is_printed_with_its_place(void **state)
{
	struct segment_header h = {.kind = SEGMENT_GC,
				   .segno = 12,
				   .place = 3,
				   .next_place = PLACE_NONE};
	char text[200];

	(void)segment_header_print(&h, text, sizeof(text));
	assert_string_equal(text, "segment 12 kind gc place 3 incarnation 0 "
				  "first-seq 0 time 1970-01-01T00:00:00Z "
				  "next 0 next-place none");
}

static void printing_returns_the_length_it_needs(void **state)
{
	struct superblock sb = {.segment_shift = 23};
	char text[1000];
	int n = superblock_print(&sb, text, sizeof(text));

	assert_int_equal(n, strlen(text));
	assert_int_equal(superblock_print(&sb, text, 10), n);
	assert_string_equal(text, "superbloc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_birth_address_holds_segment_and_slot),
		cmocka_unit_test(bytes_round_up_to_blocks),
		cmocka_unit_test(a_range_that_overflows_is_outside),
		cmocka_unit_test(the_largest_volume_is_32_tib),
		cmocka_unit_test(integers_lie_little_end_first),
		cmocka_unit_test(checksum_of_nothing_is_the_known_one),
		cmocka_unit_test(checksum32_is_the_low_half),
		cmocka_unit_test(only_zeros_are_zeros),
		cmocka_unit_test(an_error_returns_its_code),
		cmocka_unit_test(a_prefix_goes_in_front),
		cmocka_unit_test(a_message_may_quote_the_one_it_replaces),
		cmocka_unit_test(a_message_too_long_is_cut),
		cmocka_unit_test(times_are_rfc_3339),
		cmocka_unit_test(a_uuid_is_five_groups_of_digits),
		cmocka_unit_test(an_entry_is_printed_with_its_operation),
		cmocka_unit_test(a_segment_is_printed_with_its_place),
		cmocka_unit_test(printing_returns_the_length_it_needs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
