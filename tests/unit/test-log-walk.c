/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of the log: what a crash may have torn is cut off, and damage to
 * what had been durable is told.
 *
 * Each batch of these logs is one block, flushed on its own: batch n + 1
 * says that n is durable, the last one that the one before it is.
 */
#include <errno.h>
#include <string.h>

#include "fixture.h"
#include "log-walk.h"
#include "read-ahead.h"

#define NR 5u

static struct log_tail tail;
static struct backend *be;
static struct superblock sb;

static void walk(void)
{
	unsigned int first;

	log_tail_done(&tail);
	must(superblock_choose(be, &sb, &first, &err));
	be->segment_shift = sb.segment_shift;
	be->nr_frames = backend_nr_frames(sb.capacity, sb.segment_shift);
	must(log_tail_find(be, &sb, NULL, true, &tail, &err));
}

/* A log of @nr batches of a block each; the store is closed. */
static void make_log(uint32_t nr)
{
	struct volume_handle *h = open_volume("a");

	for (uint32_t i = 0; i < nr; i++) {
		put(h, i, 1, 1);
		must(store_flush(store, &err));
	}
	volume_close(h);
	stop(false);
	walk();
}

static int set_up(void **state)
{
	int r = open_store(state);

	if (r < 0)
		return r;
	be = backend_memory_open(disk);
	volume_close(create_volume("a", 100));
	must(store_checkpoint(store, &err));
	return 0;
}

static int tear_down(void **state)
{
	log_tail_done(&tail);
	backend_close(be);
	return close_store(state);
}

/* Damage the header of batch @i, or a block of its payload. */
static void damage_header(uint32_t i)
{
	const struct log_batch *b = &tail.batches.ptr[i];

	memory_disk_damage(disk, b->place, b->slot * BLOCK_SIZE + 100, 4);
}

static void damage_payload(uint32_t i)
{
	const struct log_batch *b = &tail.batches.ptr[i];

	memory_disk_damage(disk, b->place, (b->slot + 1) * BLOCK_SIZE + 9, 4);
}

static void expect_end(uint32_t nr_batches, bool damaged)
{
	walk();
	assert_int_equal(tail.batches.len, nr_batches);
	assert_int_equal(tail.end_seq, sb.log.seq + nr_batches - 1);
	assert_int_equal(tail.damaged, damaged);
}

/* A writer refuses the store, a reader sees the first @nr blocks of a. */
static void expect_refused_to_writers(uint32_t nr)
{
	static const struct store_open_options writable;
	struct volume_handle *h;

	refused(test_store_open(disk, &writable, &store, &err), EUCLEAN,
		"log is damaged");
	reopen_read_only();
	h = open_snapshot("a");
	expect(h, 0, nr, 1);
	expect(h, nr, NR - nr, 0);
	volume_close(h);
}

static void a_whole_log_is_walked_to_its_last_batch(void **state)
{
	make_log(NR);
	expect_end(NR, false);
	assert_int_equal(tail.durable_seq, sb.log.seq + NR - 2);
	assert_int_equal(tail.end_hash, tail.batches.ptr[NR - 1].hash);
	for (uint32_t i = 0; i < NR; i++) {
		assert_int_equal(tail.batches.ptr[i].seq, sb.log.seq + i);
		assert_int_equal(tail.batches.ptr[i].nr_payload, 1);
		assert_false(tail.batches.ptr[i].has_operation);
	}
}

static void an_empty_log_ends_where_the_checkpoint_says(void **state)
{
	make_log(0);
	expect_end(0, false);
	assert_int_equal(tail.end_hash, sb.log.prev_hash);
}

static void the_walk_goes_on_in_the_successor(void **state)
{
	make_log(40);
	expect_end(40, false);
	assert_int_not_equal(tail.batches.ptr[0].segno,
			     tail.batches.ptr[39].segno);
	assert_int_not_equal(tail.successor_place, PLACE_NONE);
	assert_int_not_equal(tail.successor_place, tail.batches.ptr[39].place);
}

static void a_torn_last_header_is_cut(void **state)
{
	make_log(NR);
	damage_header(NR - 1);
	expect_end(NR - 1, false);
	reopen(false);
	check_is_clean();
}

static void a_torn_last_payload_is_cut(void **state)
{
	struct volume_handle *h;

	make_log(NR);
	damage_payload(NR - 1);
	expect_end(NR - 1, false);
	reopen(false);
	h = open_volume("a");
	expect(h, 0, NR - 1, 1);
	expect(h, NR - 1, 1, 0);
	volume_close(h);
	check_is_clean();
}

static void a_header_that_was_durable_is_missed(void **state)
{
	make_log(NR);
	damage_header(2);
	expect_end(2, true);
	expect_refused_to_writers(2);
}

static void the_first_header_is_missed_too(void **state)
{
	make_log(NR);
	damage_header(0);
	expect_end(0, true);
	expect_refused_to_writers(0);
}

/* The reads of those blocks will tell; the log is not given up for them. */
static void payload_that_was_durable_is_not_read(void **state)
{
	uint8_t data[BLOCK_SIZE];
	struct volume_handle *h;

	make_log(NR);
	damage_payload(1);
	expect_end(NR, false);
	reopen(false);
	h = open_volume("a");
	refused(volume_read(h, data, sizeof(data), BLOCK_SIZE, &err), EIO,
		"checksum mismatch");
	expect(h, 2, NR - 2, 1);
	volume_close(h);
}

static void payload_of_an_operation_is_always_read(void **state)
{
	snapshot("a@s");
	make_log(NR);
	assert_true(tail.batches.ptr[0].has_operation);
	damage_payload(0);
	expect_end(0, true);
	expect_refused_to_writers(0);
}

static void a_header_without_payload_proves_the_last_round(void **state)
{
	struct volume_handle *h = open_volume("a");

	put(h, 0, NR, 1);
	must(store_flush(store, &err));
	volume_close(h);
	lock_core();
	store->log.flushed_at_ms -= 2000;
	log_advertise_durable(&store->log);
	unlock_core();
	stop(false);
	walk();
	assert_int_equal(tail.batches.len, 2);
	assert_int_equal(tail.durable_seq, sb.log.seq);
	damage_header(0);
	expect_end(0, true);
	expect_refused_to_writers(0);
}

static void damage_is_proved_by_a_later_segment(void **state)
{
	uint32_t last = 0;

	make_log(40);
	while (tail.batches.ptr[last + 1].segno == tail.batches.ptr[0].segno)
		last++;
	damage_header(last); /* nothing follows in its own segment */
	expect_end(last, true);
}

/* The number of batches in the segment of batch @i from there on. */
static uint32_t batches_from(uint32_t i)
{
	uint32_t nr = 1;

	while (i + nr < tail.batches.len &&
	       tail.batches.ptr[i + nr].segno == tail.batches.ptr[i].segno)
		nr++;
	return nr;
}

/* The successor's place was a hint: its first batch tells where it is. */
static void a_lost_segment_header_does_not_end_the_log(void **state)
{
	make_log(40);
	assert_true(batches_from(0) < 40);
	memory_disk_damage(disk, tail.batches.ptr[0].place, 20, 1);
	expect_end(40, false);
	reopen(false);
	check_is_clean();
}

static void a_lost_header_of_the_last_segment_loses_nothing(void **state)
{
	make_log(NR);
	memory_disk_damage(disk, tail.batches.ptr[0].place, 20, 1);
	expect_end(NR, false);
	reopen(false);
	check_is_clean();
}

/* ---- what the walker is told ---- */

static const struct frames *no_frames(void *owner)
{
	return NULL;
}

static void note_shown(void *owner, const struct log_batch_vector *batches)
{
	*(size_t *)owner = batches->len;
}

static void what_headers_show_is_told_what_verifies_is_found(void **state)
{
	size_t nr_shown = 0;
	const struct log_walker walker = {no_frames, note_shown, &nr_shown};

	make_log(NR);
	damage_payload(NR - 1);
	log_tail_done(&tail);
	must(log_tail_find(be, &sb, &walker, true, &tail, &err));
	assert_int_equal(nr_shown, NR);
	assert_int_equal(tail.batches.len, NR - 1);
	assert_false(tail.damaged);
}

static void a_read_error_beside_the_walker_is_no_end(void **state)
{
	size_t nr_shown = 0;
	const struct log_walker walker = {no_frames, note_shown, &nr_shown};
	uint64_t nr_reads;

	make_log(NR);
	log_tail_done(&tail);
	nr_reads = memory_disk_count(disk, MEMORY_READ);
	must(log_tail_find(be, &sb, &walker, true, &tail, &err));
	nr_reads = memory_disk_count(disk, MEMORY_READ) - nr_reads;
	log_tail_done(&tail);
	for (uint64_t i = 1; i <= nr_reads; i++) {
		memory_disk_fault(disk, MEMORY_READ, i, EIO, false);
		if (log_tail_find(be, &sb, &walker, true, &tail, &err) == 0)
			assert_int_equal(tail.batches.len, NR);
		else
			assert_non_null(strstr(err.message, "injected"));
		log_tail_done(&tail);
	}
}

/* ---- what the medium is told, and asked ---- */

static struct backend_ops ops;
static const struct backend_ops *real_ops;
static struct read_range told[1000];
static size_t nr_told;
static unsigned int nr_first_batches; /* that were read */

static void note_told(struct backend *backend, uint64_t place, uint32_t offset,
		      uint32_t length)
{
	assert_true(nr_told < sizeof(told) / sizeof(told[0]));
	told[nr_told++] = (struct read_range){place, offset, length};
}

static int note_read(struct backend *backend, uint64_t place, uint32_t offset,
		     void *ret, uint32_t length, unsigned int flags,
		     struct error *error)
{
	nr_first_batches += offset == BLOCK_SIZE;
	return real_ops->read(backend, place, offset, ret, length, flags,
			      error);
}

static void walk_noted(void)
{
	real_ops = be->ops;
	ops = *real_ops;
	ops.will_read = note_told;
	ops.read = note_read;
	nr_told = nr_first_batches = 0;
	be->ops = &ops;
	walk();
	be->ops = real_ops;
}

static bool was_told(uint64_t place, uint32_t offset)
{
	for (size_t i = 0; i < nr_told; i++)
		if (told[i].place == place && offset >= told[i].offset &&
		    offset < told[i].offset + told[i].length)
			return true;
	return false;
}

static void headers_of_batches_of_one_length_are_read_ahead(void **state)
{
	uint32_t nr;

	make_log(40);
	nr = batches_from(0);
	walk_noted();
	assert_true(nr > 2);
	for (uint32_t i = 1; i < tail.batches.len; i++)
		assert_true(was_told(tail.batches.ptr[i].place,
				     tail.batches.ptr[i].slot * BLOCK_SIZE));
}

/* As every start finds it that follows one in which nobody wrote. */
static void an_empty_log_is_not_searched_for(void **state)
{
	reopen(true);
	stop(true);
	walk_noted();
	assert_int_equal(tail.batches.len, 0);
	assert_in_range(nr_first_batches, 0, 2);
	/* that segment and its successor: where each begins, and the rest */
	assert_in_range(nr_told, 0, 4);
}

/* Wherever in a segment its cut is. */
static void no_checkpoint_leaves_a_log_to_be_searched_for(void **state)
{
	struct volume_handle *h = open_volume("a");

	for (uint32_t i = 0; i < 3 * TEST_SLOTS; i++) {
		put(h, 0, 1, i + 1);
		must(store_checkpoint(store, &err));
		walk_noted();
		assert_int_equal(tail.batches.len, 0);
		assert_in_range(nr_first_batches, 0, 2);
	}
	volume_close(h);
}

static void an_empty_log_whose_segment_is_lost_is_searched_for(void **s)
{
	reopen(true);
	stop(true);
	walk();
	memory_disk_damage(disk, sb.log.place, 100, 1);
	walk_noted();
	assert_int_equal(tail.batches.len, 0);
	assert_false(tail.damaged);
	/* twice: the log's own first frame, which is not known here, is ours */
	assert_in_range(nr_first_batches, be->nr_frames, 2 * be->nr_frames + 2);
	for (uint64_t place = 0; place < be->nr_frames; place++)
		assert_true(was_told(place, BLOCK_SIZE));
}

/* Many segments without a flush between them, then two flushed batches. */
static void make_long_log(void)
{
	struct volume_handle *h = open_volume("a");

	put(h, 0, 64, 1);
	must(store_flush(store, &err));
	for (uint32_t i = 0; i < 2; i++) {
		put(h, i, 1, 2);
		must(store_flush(store, &err));
	}
	volume_close(h);
	stop(false);
	walk();
	assert_true(tail.durable_seq > sb.log.seq + 4);
}

static void a_segment_lost_before_the_flush_is_told(void **state)
{
	uint32_t i;
	uint64_t place;

	make_long_log();
	i = batches_from(0);
	place = tail.batches.ptr[i].place;
	assert_int_not_equal(tail.batches.ptr[i].segno,
			     tail.batches.ptr[tail.batches.len - 1].segno);
	for (uint32_t at = 0; at < 1u << TEST_SEGMENT_SHIFT; at += 512)
		memory_disk_damage(disk, place, at, 1);
	expect_end(i, true);
}

static void a_header_lost_before_the_flush_loses_nothing(void **state)
{
	uint32_t i, nr;

	make_long_log();
	i = batches_from(0);
	nr = (uint32_t)tail.batches.len;
	memory_disk_damage(disk, tail.batches.ptr[i].place, 20, 1);
	expect_end(nr, false);
}

/* Neither the segment's header nor its first batch lead on. */
static void a_lost_start_of_a_segment_is_told(void **state)
{
	uint32_t i;

	make_long_log();
	i = batches_from(0);
	damage_header(i);
	memory_disk_damage(disk, tail.batches.ptr[i].place, 20, 1);
	expect_end(i, true);
}

static void what_an_earlier_open_wrote_is_not_taken(void **state)
{
	uint64_t nr_opens = 30;

	/* frames are reused: what is in them is valid, and old */
	while (nr_opens-- > 0) {
		struct volume_handle *h = open_volume("a");

		put(h, 0, 30, (uint32_t)nr_opens + 2);
		volume_close(h);
		reopen(true);
	}
	make_log(NR);
	expect_end(NR, false);
	reopen(false);
	check_is_clean();
}

static void a_batch_that_changes_under_the_walk_is_told(void **state)
{
	struct disk_batch batch;
	struct batch_header header;
	struct log_batch b;

	make_log(NR);
	b = tail.batches.ptr[0];
	must(log_tail_read_header(be, &b, &batch, &header, &err));
	b.hash ^= 1;
	refused(log_tail_read_header(be, &b, &batch, &header, &err), EUCLEAN,
		"changed");
}

static void a_read_error_is_no_end(void **state)
{
	make_log(NR);
	log_tail_done(&tail);
	memory_disk_fault(disk, MEMORY_READ, 3, EIO, false);
	refused(log_tail_find(be, &sb, NULL, true, &tail, &err), EIO,
		"injected");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_whole_log_is_walked_to_its_last_batch),
		TEST(an_empty_log_ends_where_the_checkpoint_says),
		TEST(the_walk_goes_on_in_the_successor),
		TEST(a_torn_last_header_is_cut),
		TEST(a_torn_last_payload_is_cut),
		TEST(a_header_that_was_durable_is_missed),
		TEST(the_first_header_is_missed_too),
		TEST(payload_that_was_durable_is_not_read),
		TEST(payload_of_an_operation_is_always_read),
		TEST(a_header_without_payload_proves_the_last_round),
		TEST(damage_is_proved_by_a_later_segment),
		TEST(a_lost_segment_header_does_not_end_the_log),
		TEST(a_lost_header_of_the_last_segment_loses_nothing),
		TEST(a_header_lost_before_the_flush_loses_nothing),
		TEST(what_headers_show_is_told_what_verifies_is_found),
		TEST(a_read_error_beside_the_walker_is_no_end),
		TEST(headers_of_batches_of_one_length_are_read_ahead),
		TEST(an_empty_log_is_not_searched_for),
		TEST(no_checkpoint_leaves_a_log_to_be_searched_for),
		TEST(an_empty_log_whose_segment_is_lost_is_searched_for),
		TEST(a_segment_lost_before_the_flush_is_told),
		TEST(a_lost_start_of_a_segment_is_told),
		TEST(what_an_earlier_open_wrote_is_not_taken),
		TEST(a_batch_that_changes_under_the_walk_is_told),
		TEST(a_read_error_is_no_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
