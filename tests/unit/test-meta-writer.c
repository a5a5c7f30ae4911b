/* SPDX-License-Identifier: BSD-2-Clause */
/* The META stream: addresses, batches, segments, and running out of them. */
#include <errno.h>
#include <string.h>

#include "checksum.h"
#include "fixture.h"

static struct meta_writer *mw;

static int set_up(void **state)
{
	int r = make_modules(state);

	if (r < 0)
		return r;
	unlock_core();
	for (int i = 0; r == 0 && i < 12; i++)
		r = frames_grow(&store->frames, false, &err);
	lock_core();
	mw = &store->meta;
	return r;
}

static int next(uint32_t length)
{
	int r;

	unlock_core();
	r = meta_writer_next(mw, length, &err);
	lock_core();
	return r;
}

struct address {
	uint64_t segno, place;
	uint32_t offset;
};

static struct address put_record(uint32_t length, uint8_t byte)
{
	struct address ret;
	void *to = meta_writer_put(mw, length, &ret.segno, &ret.offset);

	if (!to) {
		must(next(length));
		to = meta_writer_put(mw, length, &ret.segno, &ret.offset);
	}
	assert_non_null(to);
	memset(to, byte, length);
	ret.place = mw->stream.segment->place;
	return ret;
}

static void expect_record(struct address at, uint32_t length, uint8_t byte)
{
	static uint8_t data[1u << TEST_SEGMENT_SHIFT];

	must(backend_read(store->core.be, at.place, at.offset, data, length, 0,
			  &err));
	for (uint32_t i = 0; i < length; i++)
		assert_int_equal(data[i], byte);
}

static void nothing_fits_before_the_first_segment(void **state)
{
	uint64_t segno;
	uint32_t offset;

	assert_null(meta_writer_put(mw, 8, &segno, &offset));
	must(next(8));
	assert_non_null(meta_writer_put(mw, 8, &segno, &offset));
	assert_int_equal(offset, RECORD_OFFSET_MIN);
}

static void records_have_aligned_addresses_and_count_as_live(void **state)
{
	struct address a = put_record(13, 'a'), b = put_record(100, 'b');
	struct address c = put_record(1, 'c');

	assert_int_equal(b.offset, a.offset + 16);
	assert_int_equal(c.offset, b.offset + 104);
	assert_int_equal(mw->stream.segment->live, 114);
	assert_int_equal(store->segments.meta_bytes, 114);
}

static void records_are_on_the_medium_where_their_address_says(void **state)
{
	struct address a[40];

	for (uint8_t i = 0; i < 40; i++)
		a[i] = put_record(700 + 97u * i, i + 1);
	must(next(8));
	for (uint8_t i = 0; i < 40; i++)
		expect_record(a[i], 700 + 97u * i, i + 1);
	assert_true(a[39].segno > a[0].segno);
	assert_true(segment_find(&store->segments, a[0].segno)->sealed);
	assert_false(mw->stream.segment->sealed);
}

static void the_longest_record_fills_a_segment(void **state)
{
	uint32_t most = meta_record_max(mw);
	struct address a = put_record(8, 'a'), b = put_record(most, 'b');
	struct address c = put_record(most, 'c');

	assert_int_equal(most, (TEST_SLOTS - 2) * BLOCK_SIZE);
	assert_int_equal(b.offset, RECORD_OFFSET_MIN);
	assert_int_not_equal(a.segno, b.segno);
	assert_int_not_equal(b.segno, c.segno);
	must(next(8));
	expect_record(b, most, 'b');
	expect_record(c, most, 'c');
}

/* The end of a checkpoint writes without asking for more room. */
static void a_segment_left_exactly_full_takes_no_more(void **state)
{
	uint32_t most = meta_record_max(mw), offset;
	struct address a = put_record(most, 'a'), b;
	uint64_t segno;

	must(next(0));
	assert_int_equal(mw->stream.slot, TEST_SLOTS);
	assert_null(meta_writer_put(mw, 8, &segno, &offset));
	b = put_record(8, 'b');
	assert_int_not_equal(a.segno, b.segno);
	must(next(0));
	expect_record(a, most, 'a');
	expect_record(b, 8, 'b');
}

static void batches_of_a_segment_are_headed_and_chained(void **state)
{
	static uint8_t bytes[1u << TEST_SEGMENT_SHIFT];
	struct address a = put_record(5000, 'a');
	struct segment_header segment;
	struct batch_header first, second;
	const struct disk_batch *disk_batch =
		(const void *)(bytes + BLOCK_SIZE);

	must(next(8));
	(void)put_record(10, 'b');
	must(next(8));
	must(backend_read(store->core.be, a.place, 0, bytes, sizeof(bytes), 0,
			  &err));
	must(segment_header_decode((const void *)bytes, a.place, &segment,
				   &err));
	assert_int_equal(segment.kind, SEGMENT_META);
	assert_int_equal(segment.segno, a.segno);
	assert_int_equal(segment.next_segno, 0);
	must(batch_decode(disk_batch, &first, &err));
	assert_int_equal(first.nr_payload, 2);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(
			batch_get_checksum(disk_batch, i),
			checksum32(bytes + (2 + i) * BLOCK_SIZE, BLOCK_SIZE));
	must(batch_decode((const void *)(bytes + 4 * BLOCK_SIZE), &second,
			  &err));
	assert_int_equal(second.seq, first.seq + 1);
	assert_int_equal(second.prev_hash, first.hash);
	assert_int_equal(second.slot, 4);
}

static void what_is_written_is_counted_with_its_headers(void **state)
{
	(void)put_record(5000, 'a');
	assert_int_equal(mw->written_bytes, 0);
	must(next(8)); /* the segment's header, a batch's, two blocks */
	assert_int_equal(mw->written_bytes, 4 * BLOCK_SIZE);
	(void)put_record(10, 'b');
	must(next(8));
	assert_int_equal(mw->written_bytes, 6 * BLOCK_SIZE);
}

static void without_a_frame_there_is_no_segment(void **state)
{
	while (frames_take(&store->frames, FRAME_USER_RECOVERY) != PLACE_NONE)
		;
	refused(next(8), ENOSPC, "no frame");
	assert_null(mw->stream.segment);
	assert_int_equal(store->segments.nr_segments, 0);
	unlock_core();
	must(frames_grow(&store->frames, false, &err));
	lock_core();
	mw->stream.user = FRAME_USER_RECOVERY;
	must(next(8));
}

static void without_a_segno_the_frame_is_given_back(void **state)
{
	uint64_t nr_used = store->frames.nr_used;

	store->core.segno_bound = store->core.next_segno;
	refused(next(8), EOVERFLOW, "no segment number");
	assert_int_equal(store->frames.nr_used, nr_used);
}

static void a_failed_write_is_told(void **state)
{
	(void)put_record(8, 'a');
	memory_disk_fault(disk, MEMORY_WRITE, 1, EIO, false);
	refused(next(8), EIO, "injected");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, free_modules)
		TEST(nothing_fits_before_the_first_segment),
		TEST(records_have_aligned_addresses_and_count_as_live),
		TEST(records_are_on_the_medium_where_their_address_says),
		TEST(the_longest_record_fills_a_segment),
		TEST(a_segment_left_exactly_full_takes_no_more),
		TEST(batches_of_a_segment_are_headed_and_chained),
		TEST(what_is_written_is_counted_with_its_headers),
		TEST(without_a_frame_there_is_no_segment),
		TEST(without_a_segno_the_frame_is_given_back),
		TEST(a_failed_write_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
