/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Byte ranges: any alignment, zeros, trims, ends, extents, and blocks that
 * come back from the medium other than they went.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define NR_BLOCKS 1000u
#define BYTES ((uint64_t)NR_BLOCKS * BLOCK_SIZE)

static struct volume_handle *a;

static int set_up(void **state)
{
	int r = open_store(state);

	if (r == 0)
		a = create_volume("a", NR_BLOCKS);
	return r;
}

static int tear_down(void **state)
{
	volume_close(a);
	return close_store(state);
}

static void reopen_a(bool clean)
{
	volume_close(a);
	reopen(clean);
	a = open_volume("a");
}

static void put_bytes(uint64_t offset, uint32_t length, uint8_t byte)
{
	uint8_t *data = malloc(length);

	assert_non_null(data);
	memset(data, byte, length);
	must(volume_write(a, data, length, offset, false, &err));
	free(data);
}

static void expect_bytes(uint64_t offset, uint32_t length, uint8_t byte)
{
	uint8_t *data = malloc(length);

	assert_non_null(data);
	memset(data, ~byte, length);
	must(volume_read(a, data, length, offset, &err));
	for (uint32_t i = 0; i < length; i++)
		if (data[i] != byte)
			fail_msg("byte %llu is %#x, not %#x",
				 (unsigned long long)(offset + i), data[i],
				 byte);
	free(data);
}

static void a_write_changes_its_bytes_and_no_others(void **state)
{
	static const struct {
		uint64_t offset;
		uint32_t length;
	} writes[] = {{0, 1},
		      {4095, 2},
		      {512, 512},
		      {8191, 1},
		      {100, 5 * BLOCK_SIZE},
		      {LEAF_BYTES - 3, 7},
		      {LEAF_BYTES - BLOCK_SIZE, 2 * BLOCK_SIZE},
		      {BYTES - 1, 1},
		      {BYTES - 5000, 5000}};

	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		uint64_t from = writes[i].offset & ~UINT64_C(4095);
		uint64_t end = writes[i].offset + writes[i].length;
		uint64_t to = (end + 4095) & ~UINT64_C(4095);

		put_bytes(from, (uint32_t)(to - from), 'o');
		put_bytes(writes[i].offset, writes[i].length, 'n');
		for (int again = 0; again < 2; again++) {
			expect_bytes(from, (uint32_t)(writes[i].offset - from),
				     'o');
			expect_bytes(writes[i].offset, writes[i].length, 'n');
			expect_bytes(end, (uint32_t)(to - end), 'o');
			reopen_a(true);
		}
	}
	check_is_clean();
}

static void a_large_write_crosses_leaves_and_segments(void **state)
{
	put_bytes(1000, 900 * BLOCK_SIZE, 'x');
	expect_bytes(0, 1000, 0);
	expect_bytes(1000, 900 * BLOCK_SIZE, 'x');
	expect_bytes(1000 + 900 * BLOCK_SIZE, 5000, 0);
	reopen_a(true);
	expect_bytes(1000, 900 * BLOCK_SIZE, 'x');
	check_is_clean();
}

static void nothing_at_all_is_allowed_anywhere_inside(void **state)
{
	must(volume_read(a, NULL, 0, BYTES, &err));
	must(volume_write(a, NULL, 0, BYTES, true, &err));
	must(volume_zero(a, 0, 5, true, &err));
	must(volume_trim(a, 0, 5, false, &err));
	assert_int_equal(stat_now().live_blocks, 0);
}

static void nothing_is_read_or_written_beyond_the_end(void **state)
{
	static const uint64_t offsets[] = {BYTES - 1, BYTES, BYTES + 4096,
					   UINT64_MAX - 1, UINT64_MAX};
	uint8_t two[2] = {1, 1};

	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		refused(volume_read(a, two, 2, offsets[i], &err), EINVAL,
			"beyond the end");
		refused(volume_write(a, two, 2, offsets[i], false, &err),
			ENOSPC, "beyond the end");
		refused(volume_zero(a, 2, offsets[i], false, &err), ENOSPC,
			"beyond the end");
		refused(volume_trim(a, 2, offsets[i], false, &err), ENOSPC,
			"beyond the end");
	}
	refused(volume_trim(a, UINT64_MAX, 4096, false, &err), ENOSPC, "");
	assert_int_equal(stat_now().live_blocks, 0);
}

static void a_size_need_not_be_a_multiple_of_a_block(void **state)
{
	struct volume_handle *h = a;

	must(store_create(store, "odd", 3 * 512, &err));
	a = open_volume("odd");
	assert_int_equal(volume_size(a), 3 * 512);
	put_bytes(0, 3 * 512, 'x');
	expect_bytes(0, 3 * 512, 'x');
	refused(volume_write(a, "y", 1, 3 * 512, false, &err), ENOSPC, "");
	must(volume_zero(a, 512, 1024, false, &err));
	expect_bytes(1024, 512, 0);
	must(volume_trim(a, 3 * 512, 0, false, &err));
	volume_close(a);
	a = h;
}

static void zeros_take_no_room(void **state)
{
	put_bytes(0, 200 * BLOCK_SIZE, 0);
	assert_int_equal(stat_now().live_blocks, 0);
	assert_int_equal(stat_now().nr_nodes, 0);
	put_bytes(0, 10 * BLOCK_SIZE, 'x');
	put_bytes(2 * BLOCK_SIZE, 3 * BLOCK_SIZE, 0);
	assert_int_equal(stat_now().live_blocks, 7);
	expect_bytes(2 * BLOCK_SIZE, 3 * BLOCK_SIZE, 0);
	expect_bytes(5 * BLOCK_SIZE, BLOCK_SIZE, 'x');
}

static void zeros_between_data_are_found_within_one_write(void **state)
{
	static uint8_t data[6 * BLOCK_SIZE];

	put_bytes(0, sizeof(data), 'o');
	memset(data, 0, sizeof(data));
	memset(data + BLOCK_SIZE, 'x', BLOCK_SIZE);
	data[4 * BLOCK_SIZE - 1] = 'y'; /* not quite zeros */
	must(volume_write(a, data, sizeof(data), 0, false, &err));
	assert_int_equal(stat_now().live_blocks, 2);
	reopen_a(true);
	expect_bytes(0, BLOCK_SIZE, 0);
	expect_bytes(BLOCK_SIZE, BLOCK_SIZE, 'x');
	expect_bytes(2 * BLOCK_SIZE, 2 * BLOCK_SIZE - 1, 0);
	expect_bytes(4 * BLOCK_SIZE - 1, 1, 'y');
	expect_bytes(4 * BLOCK_SIZE, 2 * BLOCK_SIZE, 0);
	check_is_clean();
}

static void a_partial_write_that_leaves_zeros_frees_the_block(void **state)
{
	put_bytes(100, 5, 'x');
	assert_int_equal(stat_now().live_blocks, 1);
	put_bytes(100, 5, 0);
	assert_int_equal(stat_now().live_blocks, 0);
}

static void zeroing_nothing_writes_nothing(void **state)
{
	struct volume_handle *h = create_volume("v", 4);
	struct volume_info info;

	put(h, 0, 4, 1);
	must(volume_zero(h, 0, 100, false, &err));
	must(volume_zero(h, 0, BLOCK_SIZE, false, &err));
	expect(h, 0, 4, 1);
	must(store_find(store, "v", &info, &err));
	assert_int_equal(info.written_blocks, 4);
	volume_close(h);
}

static void zero_zeroes_parts_of_blocks_too(void **state)
{
	put_bytes(0, 8 * BLOCK_SIZE, 'x');
	must(volume_zero(a, 3 * BLOCK_SIZE, 100, false, &err));
	expect_bytes(0, 100, 'x');
	expect_bytes(100, 3 * BLOCK_SIZE, 0);
	expect_bytes(100 + 3 * BLOCK_SIZE, 1000, 'x');
	must(volume_zero(a, 10, 5 * BLOCK_SIZE + 7, false, &err));
	expect_bytes(5 * BLOCK_SIZE, 7, 'x');
	expect_bytes(5 * BLOCK_SIZE + 7, 10, 0);
	expect_bytes(5 * BLOCK_SIZE + 17, 10, 'x');
}

static void trim_leaves_parts_of_blocks_alone(void **state)
{
	put_bytes(0, 8 * BLOCK_SIZE, 'x');
	must(volume_trim(a, 3 * BLOCK_SIZE, 100, false, &err));
	expect_bytes(0, BLOCK_SIZE, 'x');
	expect_bytes(BLOCK_SIZE, 2 * BLOCK_SIZE, 0);
	expect_bytes(3 * BLOCK_SIZE, 5 * BLOCK_SIZE, 'x');
	must(volume_trim(a, BLOCK_SIZE - 1, 5 * BLOCK_SIZE, false, &err));
	must(volume_trim(a, 100, 6 * BLOCK_SIZE + 50, false, &err));
	expect_bytes(3 * BLOCK_SIZE, 5 * BLOCK_SIZE, 'x');
}

/* What FUA acknowledges is on the medium, whatever made it so. */
static void fua_waits_for_what_it_found_done(void **state)
{
	put_bytes(0, BLOCK_SIZE, 'x');
	must(store_flush(store, &err));
	must(volume_trim(a, BLOCK_SIZE, 0, false, &err));
	must(volume_zero(a, 10, 20, true, &err)); /* of a hole */
	reopen_a(false);
	expect_bytes(0, BLOCK_SIZE, 0);
	must(volume_write(a, "x", 1, 7, true, &err));
	reopen_a(false);
	expect_bytes(7, 1, 'x');
	put_bytes(0, BLOCK_SIZE, 'y');
	must(volume_trim(a, BLOCK_SIZE, 0, true, &err));
	reopen_a(false);
	expect_bytes(0, BLOCK_SIZE, 0);
}

struct half {
	pthread_t thread;
	uint64_t offset;
	int r;
};

#define NR_ROUNDS 300

static void *write_half(void *arg)
{
	struct half *half = arg;
	uint8_t data[512];

	for (int i = 1; half->r == 0 && i <= NR_ROUNDS; i++) {
		memset(data, i % 255 + 1, sizeof(data));
		half->r = volume_write(a, data, sizeof(data), half->offset,
				       false, NULL);
	}
	return NULL;
}

/* Sectors of one block: no writer undoes what another one wrote. */
static void writers_of_one_block_do_not_lose_each_other(void **state)
{
	struct half halves[4];

	for (int i = 0; i < 4; i++) {
		halves[i] = (struct half){.offset = 512u * (uint64_t)i};
		assert_int_equal(pthread_create(&halves[i].thread, NULL,
						write_half, &halves[i]),
				 0);
	}
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(halves[i].thread, NULL), 0);
		assert_int_equal(halves[i].r, 0);
		expect_bytes(halves[i].offset, 512, NR_ROUNDS % 255 + 1);
	}
	expect_bytes(4 * 512, 4 * 512, 0);
}

/* ---- extents ---- */

struct runs {
	uint64_t end, data, holes;
	unsigned int nr;
};

static int add_run(void *opaque, uint64_t offset, uint64_t length, bool is_hole)
{
	struct runs *runs = opaque;

	assert_true(length > 0);
	assert_int_equal(offset, runs->end);
	runs->end = offset + length;
	*(is_hole ? &runs->holes : &runs->data) += length;
	return ++runs->nr == 1000 ? -ECANCELED : 0;
}

static void extents_tell_data_from_holes(void **state)
{
	struct runs runs = {0};

	put_bytes(3 * BLOCK_SIZE, 100 * BLOCK_SIZE, 'x');
	must(volume_trim(a, 10 * BLOCK_SIZE, 20 * BLOCK_SIZE, false, &err));
	must(volume_extents(a, BYTES, 0, add_run, &runs, &err));
	assert_int_equal(runs.end, BYTES);
	assert_int_equal(runs.data, 90 * BLOCK_SIZE);
	runs = (struct runs){.end = 5 * BLOCK_SIZE + 17};
	must(volume_extents(a, 100, 5 * BLOCK_SIZE + 17, add_run, &runs, &err));
	assert_int_equal(runs.data, 100);
	refused(volume_extents(a, 2, BYTES - 1, add_run, &runs, &err), EINVAL,
		"beyond the end");
}

static void extents_of_one_call_end_at_a_gibibyte(void **state)
{
	struct volume_handle *big = create_volume("big", 1u << 21);
	struct runs runs = {0};

	put(big, 1u << 20, 1, 1);
	must(volume_extents(big, UINT64_C(1) << 33, 0, add_run, &runs, &err));
	assert_int_equal(runs.end, UINT64_C(1) << 30);
	assert_int_equal(runs.data, 0);
	volume_close(big);
}

static int cancel(void *opaque, uint64_t offset, uint64_t length, bool is_hole)
{
	return -ECANCELED;
}

static void a_caller_may_end_the_extents(void **state)
{
	assert_int_equal(volume_extents(a, BYTES, 0, cancel, NULL, &err),
			 -ECANCELED);
}

/* ---- the medium ---- */

static struct backend_ops bad_ops;
static const struct backend_ops *good_ops;
static bool medium_is_good; /* only the page cache is not */

static int bad_read(struct backend *be, uint64_t place, uint32_t offset,
		    void *ret, uint32_t length, unsigned int flags,
		    struct error *e)
{
	int r = good_ops->read(be, place, offset, ret, length, flags, e);

	if (!(medium_is_good && (flags & BACKEND_READ_AROUND_CACHE)))
		((uint8_t *)ret)[length / 2] ^= 1;
	return r;
}

static char message[512];

static void keep_message(void *opaque, enum message_level level,
			 enum store_event event, const char *text)
{
	if (level == MESSAGE_ERROR && event == EVENT_DAMAGE)
		(void)snprintf(message, sizeof(message), "%s", text);
}

/* Ten blocks of a are on disk; from now on reads lie. */
static void spoil_reads(bool good)
{
	static const struct store_open_options options = {.message =
								  keep_message};
	uint8_t data[BLOCK_SIZE];

	put_bytes(0, 10 * BLOCK_SIZE, 'x');
	put_bytes(100 * BLOCK_SIZE, BLOCK_SIZE, 'z'); /* in another leaf */
	volume_close(a);
	stop(true);
	must(test_store_open(disk, &options, &store, &err));
	a = open_volume("a");
	must(volume_read(a, data, 1, 0, &err)); /* nodes are in memory */
	message[0] = '\0';
	medium_is_good = good;
	good_ops = store->core.be->ops;
	bad_ops = *good_ops;
	bad_ops.read = bad_read;
	store->core.be->ops = &bad_ops;
}

static void a_block_that_does_not_verify_is_an_error(void **state)
{
	uint8_t data[BLOCK_SIZE];

	spoil_reads(false);
	refused(volume_read(a, data, sizeof(data), 3 * BLOCK_SIZE, &err), EIO,
		"a: block 3: checksum mismatch");
	assert_int_equal(stat_now().checksum_errors, 1);
	assert_non_null(strstr(message, "volume=a offset=12288 length=4096"));
	/* no read-modify-write makes good data of bad */
	refused(volume_write(a, "y", 1, 3 * BLOCK_SIZE, false, &err), EIO,
		"checksum mismatch");
	assert_false(stat_now().failed);
	store->core.be->ops = good_ops;
	expect_bytes(0, 10 * BLOCK_SIZE, 'x');
}

/* What is behind it cannot be read, and that is told like a bad block. */
static void a_map_node_that_does_not_verify_is_an_error(void **state)
{
	uint8_t data[BLOCK_SIZE];

	spoil_reads(false);
	refused(volume_read(a, data, 1, 100 * BLOCK_SIZE, &err), EBADMSG,
		"checksum");
	assert_int_equal(stat_now().checksum_errors, 1);
	assert_non_null(strstr(message, "map node"));
	assert_non_null(strstr(message, "node="));
	refused(volume_write(a, "y", 1, 100 * BLOCK_SIZE, false, &err), EBADMSG,
		"checksum");
	assert_int_equal(stat_now().checksum_errors, 2);
	assert_false(stat_now().failed);
	store->core.be->ops = good_ops;
	expect_bytes(0, 10 * BLOCK_SIZE, 'x');
}

static void a_bad_page_cache_is_read_around(void **state)
{
	spoil_reads(true);
	expect_bytes(0, 10 * BLOCK_SIZE, 'x');
	assert_int_equal(stat_now().checksum_errors, 0);
	store->core.be->ops = good_ops;
}

static void a_bad_block_can_be_overwritten(void **state)
{
	spoil_reads(false);
	put_bytes(3 * BLOCK_SIZE, BLOCK_SIZE, 'y');
	must(volume_trim(a, BLOCK_SIZE, 4 * BLOCK_SIZE, false, &err));
	store->core.be->ops = good_ops;
	expect_bytes(3 * BLOCK_SIZE, BLOCK_SIZE, 'y');
	expect_bytes(4 * BLOCK_SIZE, BLOCK_SIZE, 0);
	check_is_clean();
}

/* Ten blocks of a; blocks 3, 4 and 5 are as a repair leaves lost ones. */
static void lose_blocks(void)
{
	struct vblock first = {3};
	struct map_path path;
	struct volume *v;
	uint32_t missing;

	put_bytes(0, 10 * BLOCK_SIZE, 'x');
	lock_core();
	must(volume_find(&store->volumes, "a", &v, &err));
	must(extent_map_prepare_clear(&store->nodes, &v->map, first, 3,
				      &missing, &err));
	must(extent_map_clear(&store->nodes, &v->map, first, 3, &err));
	must(extent_map_own_leaf(&store->nodes, &v->map, first, &path, &missing,
				 &err));
	for (uint32_t i = 3; i < 6; i++)
		path.nodes[0]->leaf->entries[i] = leaf_entry_lost();
	unlock_core();
	reopen_a(true);
}

static void a_lost_block_reads_as_an_error(void **state)
{
	uint8_t data[BLOCK_SIZE];

	lose_blocks();
	refused(volume_read(a, data, 1, 4 * BLOCK_SIZE, &err), EIO,
		"a: block 4: lost");
	refused(volume_write(a, "y", 1, 4 * BLOCK_SIZE, false, &err), EIO,
		"lost");
	refused(volume_zero(a, 1, 4 * BLOCK_SIZE, false, &err), EIO, "lost");
	assert_int_equal(stat_now().checksum_errors, 3);
	expect_bytes(0, 3 * BLOCK_SIZE, 'x');
	expect_bytes(6 * BLOCK_SIZE, 4 * BLOCK_SIZE, 'x');
	check_is_clean();
}

static void a_lost_block_is_no_hole(void **state)
{
	struct runs runs = {0};

	lose_blocks();
	must(volume_extents(a, BYTES, 0, add_run, &runs, &err));
	assert_int_equal(runs.data, 10 * BLOCK_SIZE);
}

static void a_lost_block_is_healed_as_a_whole(void **state)
{
	lose_blocks();
	put_bytes(3 * BLOCK_SIZE, BLOCK_SIZE, 'y');
	must(volume_zero(a, BLOCK_SIZE, 4 * BLOCK_SIZE, false, &err));
	must(volume_trim(a, BLOCK_SIZE, 5 * BLOCK_SIZE, false, &err));
	must(volume_flush(a, &err));
	reopen_a(false);
	expect_bytes(3 * BLOCK_SIZE, BLOCK_SIZE, 'y');
	expect_bytes(4 * BLOCK_SIZE, 2 * BLOCK_SIZE, 0);
	check_is_clean();
}

static void prefetching_reads_and_tells_errors(void **state)
{
	put_bytes(0, 300 * BLOCK_SIZE, 'x');
	must(volume_cache(a, 300 * BLOCK_SIZE, 0, &err));
	refused(volume_cache(a, 2, BYTES - 1, &err), EINVAL, "beyond");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_write_changes_its_bytes_and_no_others),
		TEST(a_large_write_crosses_leaves_and_segments),
		TEST(nothing_at_all_is_allowed_anywhere_inside),
		TEST(nothing_is_read_or_written_beyond_the_end),
		TEST(a_size_need_not_be_a_multiple_of_a_block),
		TEST(zeros_take_no_room),
		TEST(zeros_between_data_are_found_within_one_write),
		TEST(a_partial_write_that_leaves_zeros_frees_the_block),
		TEST(zeroing_nothing_writes_nothing),
		TEST(zero_zeroes_parts_of_blocks_too),
		TEST(trim_leaves_parts_of_blocks_alone),
		TEST(fua_waits_for_what_it_found_done),
		TEST(writers_of_one_block_do_not_lose_each_other),
		TEST(extents_tell_data_from_holes),
		TEST(extents_of_one_call_end_at_a_gibibyte),
		TEST(a_caller_may_end_the_extents),
		TEST(a_block_that_does_not_verify_is_an_error),
		TEST(a_map_node_that_does_not_verify_is_an_error),
		TEST(a_bad_page_cache_is_read_around),
		TEST(a_bad_block_can_be_overwritten),
		TEST(a_lost_block_reads_as_an_error),
		TEST(a_lost_block_is_no_hole),
		TEST(a_lost_block_is_healed_as_a_whole),
		TEST(prefetching_reads_and_tells_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
