/* SPDX-License-Identifier: BSD-2-Clause */
/* Paged tables: what is dirty, what is pending, what a cut freezes. */
#include <string.h>

#include "fixture.h"

#define NR 4u

static struct page_table table;
static uint64_t content[NR]; /* 0: the page does not exist */

static size_t encode(void *owner, uint32_t index, void *ret)
{
	if (content[index] == 0)
		return 0;
	memcpy(ret, &content[index], sizeof(content[index]));
	return sizeof(content[index]);
}

static int make_table(void **state)
{
	int r = make_modules(state);

	memset(content, 0, sizeof(content));
	if (r == 0)
		r = page_table_init(&table, &store->core, TABLE_VOLUME, encode,
				    NULL);
	return r < 0 ? r : page_table_grow(&table, NR);
}

static int free_table(void **state)
{
	page_table_done(&table);
	return free_modules(state);
}

static void change(uint32_t index, uint64_t value)
{
	page_table_touch(&table, index);
	content[index] = value;
}

static void cut(void)
{
	store->core.generation++;
	page_table_cut(&table);
}

static uint64_t image(uint32_t index)
{
	uint64_t ret;

	assert_true(table.pages[index].frozen);
	assert_int_equal(table.pages[index].image_bytes, sizeof(ret));
	memcpy(&ret, table.pages[index].image, sizeof(ret));
	return ret;
}

static void pages_are_clean_until_touched(void **state)
{
	assert_int_equal(table.nr_pages, NR);
	assert_int_equal(table.dirty.len, 0);
	change(2, 7);
	assert_int_equal(table.dirty.len, 1);
	assert_int_equal(table.dirty.ptr[0], 2);
}

static void a_page_is_listed_once_however_often_it_changes(void **state)
{
	change(1, 7);
	change(1, 8);
	change(0, 9);
	change(1, 10);
	assert_int_equal(table.dirty.len, 2);
}

static void a_cut_makes_dirty_pages_pending(void **state)
{
	change(1, 7);
	cut();
	assert_int_equal(table.dirty.len, 0);
	assert_int_equal(table.pending.len, 1);
	assert_true(table.pages[1].pending);
	assert_false(table.pages[0].pending);
}

static void a_pending_page_nobody_changes_is_not_copied(void **state)
{
	change(1, 7);
	cut();
	assert_false(table.pages[1].frozen);
	assert_null(table.pages[1].image);
}

static void a_change_after_the_cut_keeps_the_page_as_of_the_cut(void **state)
{
	change(1, 7);
	cut();
	change(1, 8);
	assert_int_equal(image(1), 7);
	assert_int_equal(table.dirty.len, 1);
	change(1, 9);
	assert_int_equal(image(1), 7);
	assert_int_equal(table.dirty.len, 1);
}

static void a_clean_page_changed_after_the_cut_is_not_frozen(void **state)
{
	change(1, 7);
	cut();
	change(2, 8);
	assert_false(table.pages[2].pending);
	assert_false(table.pages[2].frozen);
}

static void a_page_made_after_the_cut_is_absent_at_it(void **state)
{
	page_table_touch(&table, 3); /* it goes, or never was */
	cut();
	change(3, 8);
	assert_true(table.pages[3].frozen);
	assert_int_equal(table.pages[3].image_bytes, 0);
	assert_null(table.pages[3].image);
}

static void growing_keeps_what_is_dirty(void **state)
{
	change(1, 7);
	must(page_table_grow(&table, 1000));
	assert_int_equal(table.nr_pages, 1000);
	change(1, 8);
	assert_int_equal(table.dirty.len, 1);
	assert_int_equal(table.pages[999].ref.segno, 0);
	assert_int_equal(table.pages[999].generation, 0);
	must(page_table_grow(&table, 10));
	assert_int_equal(table.nr_pages, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_table, free_table)
		TEST(pages_are_clean_until_touched),
		TEST(a_page_is_listed_once_however_often_it_changes),
		TEST(a_cut_makes_dirty_pages_pending),
		TEST(a_pending_page_nobody_changes_is_not_copied),
		TEST(a_change_after_the_cut_keeps_the_page_as_of_the_cut),
		TEST(a_clean_page_changed_after_the_cut_is_not_frozen),
		TEST(a_page_made_after_the_cut_is_absent_at_it),
		TEST(growing_keeps_what_is_dirty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
