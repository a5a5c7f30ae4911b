/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts of names, live numbers, forwards and the pages they are kept in. */
#include <errno.h>
#include <stdlib.h>

#include "fixture.h"

static struct segment_table *table;

static int set_up(void **state)
{
	int r = make_modules(state);

	table = &store->segments;
	return r;
}

static void add(struct birth name, int delta)
{
	must(count_add(table, name, delta, &err));
}

static void a_name_is_counted_up_and_down(void **state)
{
	struct birth name = birth_make(add_segment(SEGMENT_DATA)->segno, 5);

	for (uint32_t i = 1; i <= 9; i++) {
		add(name, 1);
		assert_int_equal(count_get(table, name), i);
	}
	for (uint32_t i = 9; i-- > 0;) {
		add(name, -1);
		assert_int_equal(count_get(table, name), i);
	}
	assert_int_equal(table->overflow.nr, 0);
}

static void no_count_goes_below_zero(void **state)
{
	struct segment *s = add_segment(SEGMENT_DATA);
	struct birth name = birth_make(s->segno, 5);

	refused(count_add(table, name, -1, &err), EUCLEAN, "cannot change");
	assert_int_equal(count_get(table, name), 0);
	assert_int_equal(s->live, 0);
	assert_int_equal(table->live_blocks, 0);
}

static void names_outside_of_data_are_refused(void **state)
{
	struct segment *data = add_segment(SEGMENT_DATA);
	struct segment *meta = add_segment(SEGMENT_META);
	const struct birth bad[] = {
		birth_make(data->segno, 0),
		birth_make(data->segno, TEST_SLOTS),
		birth_make(meta->segno, 3),
		birth_make(meta->segno + 1, 3),
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		refused(count_add(table, bad[i], 1, &err), EUCLEAN,
			"in no segment");
		assert_int_equal(count_get(table, bad[i]), 0);
	}
}

static void live_counts_names_not_references(void **state)
{
	struct segment *s = add_segment(SEGMENT_DATA);

	for (int i = 0; i < 4; i++)
		add(birth_make(s->segno, 3), 1);
	add(birth_make(s->segno, 4), 1);
	assert_int_equal(s->live, 2);
	assert_int_equal(table->live_blocks, 2);
	for (int i = 0; i < 4; i++)
		add(birth_make(s->segno, 3), -1);
	assert_int_equal(s->live, 1);
	assert_int_equal(table->live_blocks, 1);
}

static void a_sealed_segment_dies_with_its_last_name(void **state)
{
	struct segment *s = add_segment(SEGMENT_DATA);

	add(birth_make(s->segno, 3), 1);
	segment_seal(table, s, 1);
	assert_int_equal(table->dead.len, 0);
	add(birth_make(s->segno, 3), -1);
	assert_int_equal(table->dead.len, 1);
	assert_ptr_equal(table->dead.ptr[0], s);
}

static void an_open_segment_is_not_dead_before_it_is_sealed(void **state)
{
	struct segment *s = add_segment(SEGMENT_DATA);

	add(birth_make(s->segno, 3), 1);
	add(birth_make(s->segno, 3), -1);
	assert_int_equal(table->dead.len, 0);
	segment_seal(table, s, 1);
	assert_int_equal(table->dead.len, 1);
}

static void a_metadata_segment_lives_by_its_bytes(void **state)
{
	struct segment *s = add_segment(SEGMENT_META);

	must(segment_add_meta(table, s->segno, 100, &err));
	must(segment_add_meta(table, s->segno, 28, &err));
	assert_int_equal(table->meta_bytes, 128);
	segment_seal(table, s, 1);
	refused(segment_add_meta(table, s->segno, -129, &err), EUCLEAN,
		"no such metadata");
	must(segment_add_meta(table, s->segno, -128, &err));
	assert_int_equal(table->meta_bytes, 0);
	assert_int_equal(table->dead.len, 1);
	refused(segment_add_meta(table, s->segno + 1, 1, &err), EUCLEAN,
		"no such metadata");
}

static uint32_t high_count(uint64_t segno, uint32_t slot)
{
	return 3 + (uint32_t)(segno * 7 + slot) % 5;
}

/* Above 2 a count moves to a hash table, where removing must not hide. */
static void high_counts_survive_the_removal_of_others(void **state)
{
	enum { NR = 200 };
	uint64_t first = store->core.next_segno;

	for (int i = 0; i < NR; i++) {
		struct segment *s = add_segment(SEGMENT_DATA);

		for (uint32_t slot = 1; slot < TEST_SLOTS; slot++)
			for (uint32_t n = high_count(s->segno, slot); n > 0;
			     n--)
				add(birth_make(s->segno, slot), 1);
	}
	for (uint64_t segno = first; segno < first + NR; segno++)
		for (uint32_t slot = segno % 2 + 1; slot < TEST_SLOTS;
		     slot += 2)
			for (uint32_t n = high_count(segno, slot); n > 0; n--)
				add(birth_make(segno, slot), -1);
	for (uint64_t segno = first; segno < first + NR; segno++)
		for (uint32_t slot = 1; slot < TEST_SLOTS; slot++)
			assert_int_equal(
				count_get(table, birth_make(segno, slot)),
				(slot - segno % 2) % 2
					? 0
					: high_count(segno, slot));
}

static void thousands_of_segments_are_found(void **state)
{
	uint64_t first = store->core.next_segno;

	for (int i = 0; i < 5000; i++)
		(void)add_segment(SEGMENT_DATA);
	for (uint64_t segno = first; segno < first + 5000; segno++)
		assert_int_equal(segment_find(table, segno)->segno, segno);
	assert_null(segment_find(table, first + 5000));
}

static void a_forward_says_where_a_name_is(void **state)
{
	struct segment *from = add_segment(SEGMENT_DATA);
	struct segment *to = add_segment(SEGMENT_GC);
	struct birth name = birth_make(from->segno, 5);
	struct segment *holder;
	uint32_t slot;

	from->forwards = calloc(1, sizeof(*from->forwards));
	from->forwards[0] = (struct slot_forward){5, pblock_make(to->segno, 9)};
	from->nr_forwards = 1;
	must(segment_resolve(table, name, &holder, &slot, &err));
	assert_ptr_equal(holder, to);
	assert_int_equal(slot, 9);
	add(name, 1);
	assert_int_equal(from->live, 0);
	assert_int_equal(to->live, 1);
	must(segment_resolve(table, birth_make(from->segno, 6), &holder, &slot,
			     &err));
	assert_ptr_equal(holder, from);

	from->forwards[0].place = pblock_make(to->segno + 1, 9);
	refused(segment_resolve(table, name, &holder, &slot, &err), EUCLEAN,
		"no physical address");
}

/* Damage: a forward of a name that nobody counts. */
static void a_segment_without_frame_has_none_to_lose(void **state)
{
	struct segment *from = add_segment(SEGMENT_DATA);
	struct segment *to = add_segment(SEGMENT_GC);

	from->forwards = calloc(1, sizeof(*from->forwards));
	from->forwards[0] = (struct slot_forward){5, pblock_make(to->segno, 9)};
	from->nr_forwards = 1;
	from->place = PLACE_NONE;
	table->nr_nameless++;
	segment_seal(table, from, 1);
	assert_true(from->listed);
	add(birth_make(from->segno, 5), 1);
	segment_cut_dead(table, from);
	assert_false(from->frame_dying);
	assert_false(from->dying);
	add(birth_make(from->segno, 5), -1);
	assert_true(from->listed);
}

static void a_page_loads_as_it_was_encoded(void **state)
{
	static uint8_t page[PAGE_BYTES_MAX];
	struct segment *s = add_segment(SEGMENT_DATA), *copy;
	struct segment_table other;
	size_t length;

	for (uint32_t slot = 2; slot < 9; slot++)
		for (uint32_t n = 1; n < slot; n++)
			add(birth_make(s->segno, slot), 1);
	for (uint32_t n = 1; n <= 300; n++) /* more than a byte holds */
		add(birth_make(s->segno, 9), 1);
	segment_seal(table, s, 77);
	length = table->pages.encode(table, s->index, page);
	assert_true(length > 0);

	assert_int_equal(segment_table_init(&other, &store->core), 0);
	must(segment_table_load(&other, s->index, page, length, &err));
	copy = segment_find(&other, s->segno);
	assert_non_null(copy);
	assert_int_equal(copy->place, s->place);
	assert_int_equal(copy->live, 8);
	assert_int_equal(copy->last_seq, 77);
	assert_true(copy->sealed);
	for (uint32_t slot = 1; slot < TEST_SLOTS; slot++)
		assert_int_equal(count_get(&other, birth_make(s->segno, slot)),
				 slot < 9    ? slot - 1
				 : slot == 9 ? 300
					     : 0);
	assert_int_equal(other.overflow.greatest, 300);
	refused(segment_table_load(&other, s->index, page, length, &err),
		EUCLEAN, "listed twice");
	segment_table_done(&other);
}

static void a_page_with_a_place_beyond_the_store_is_refused(void **state)
{
	static uint8_t page[PAGE_BYTES_MAX];
	struct segment *s = add_segment(SEGMENT_DATA);
	struct segment_table other;
	size_t length;

	s->place = TEST_FRAMES;
	length = table->pages.encode(table, s->index, page);
	assert_int_equal(segment_table_init(&other, &store->core), 0);
	refused(segment_table_load(&other, s->index, page, length, &err),
		EUCLEAN, "beyond the store");
	segment_table_done(&other);
}

static void the_page_of_a_dead_segment_is_absent_then_reused(void **state)
{
	static uint8_t page[PAGE_BYTES_MAX];
	struct segment *s = add_segment(SEGMENT_DATA);
	uint32_t index = s->index;

	segment_seal(table, s, 1);
	segment_cut_dead(table, s);
	assert_true(s->dying);
	assert_int_equal(table->pages.encode(table, index, page), 0);
	segment_remove(table, s);
	segment_free(s);
	assert_int_equal(add_segment(SEGMENT_DATA)->index, index);
	assert_true(table->pages.encode(table, index, page) > 0);
}

static void a_sealed_segment_of_metadata_makes_no_victim(void **state)
{
	uint64_t before = table->nr_chances;

	segment_seal(table, add_segment(SEGMENT_META), 0);
	assert_int_equal(table->nr_chances, before);
	segment_seal(table, add_segment(SEGMENT_GC), 1);
	assert_int_equal(table->nr_chances, before + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, free_modules)
		TEST(a_name_is_counted_up_and_down),
		TEST(no_count_goes_below_zero),
		TEST(names_outside_of_data_are_refused),
		TEST(live_counts_names_not_references),
		TEST(a_sealed_segment_dies_with_its_last_name),
		TEST(an_open_segment_is_not_dead_before_it_is_sealed),
		TEST(a_metadata_segment_lives_by_its_bytes),
		TEST(high_counts_survive_the_removal_of_others),
		TEST(thousands_of_segments_are_found),
		TEST(a_forward_says_where_a_name_is),
		TEST(a_segment_without_frame_has_none_to_lose),
		TEST(a_page_loads_as_it_was_encoded),
		TEST(a_page_with_a_place_beyond_the_store_is_refused),
		TEST(the_page_of_a_dead_segment_is_absent_then_reused),
		TEST(a_sealed_segment_of_metadata_makes_no_victim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
