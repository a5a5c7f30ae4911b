/* SPDX-License-Identifier: BSD-2-Clause */
/* The cleaner while something else goes on with the same blocks. */
#include "check.h"
#include "fixture.h"

#define NR_BLOCKS 112u /* eight segments' worth, in two leaves */

/* Write all blocks, then every other one again. */
static struct volume_handle *half_dead(const char *name)
{
	struct volume_handle *h = create_volume(name, NR_BLOCKS);

	put(h, 0, NR_BLOCKS, 1);
	for (uint32_t i = 0; i < NR_BLOCKS; i += 2)
		put(h, i, 1, 2);
	must(store_checkpoint(store, &err));
	return h;
}

static void expect_half(struct volume_handle *h)
{
	for (uint32_t i = 0; i < NR_BLOCKS; i++)
		expect(h, i, 1, i % 2 ? 1 : 2);
}

/* ---- a check ---- */

/* What a check of a served store reads. */
static struct store *open_image(void)
{
	static const struct store_open_options options = {
		.read_only = true, .at_checkpoint = true};
	struct store *ret;

	must(store_checkpoint(store, &err));
	must(store_open(store->core.be, &options, &ret, &err));
	lock_core();
	store->nr_images++;
	unlock_core();
	return ret;
}

static void close_image(struct store *image)
{
	store_free(image, false);
	lock_core();
	store->nr_images--;
	free_dying(store);
	unlock_core();
}

static void say(void *opaque, const char *line)
{
	print_error("%s\n", line);
}

static void frames_come_back_while_a_check_reads(void **state)
{
	struct volume_handle *h = half_dead("a");
	struct store *image = open_image();
	struct check_report report = {0};
	const struct check_output out = {say, NULL, &report};
	uint64_t used = stat_now().frames_used;

	must(store_clean(store, &err));
	assert_true(stat_now().moved_blocks > 0);
	assert_true(stat_now().frames_used + 3 <= used);
	expect_half(h);
	/* every record is replaced, but the image's stay where they were */
	for (uint32_t round = 3; round < 20; round++) {
		put(h, 0, NR_BLOCKS, round);
		must(frames_grow(&store->frames, false, &err));
		must(store_checkpoint(store, &err));
	}
	must(check_image(image, &out, &err));
	assert_int_equal(report.nr_errors, 0);
	assert_int_equal(report.nr_blocks, NR_BLOCKS);
	used = stat_now().frames_used;
	close_image(image);
	assert_true(stat_now().frames_used < used);
	expect(h, 0, NR_BLOCKS, 19);
	volume_close(h);
	check_is_clean();
}

static void a_check_leaves_the_reserve_alone(void **state)
{
	struct volume_handle *h = half_dead("a");
	struct store *image = open_image();
	uint64_t kept = store->frames.reserve / 4 * 3;
	struct place_vector taken = {0};

	/* a full store: others have all but what is reserved */
	lock_core();
	assert_true(cleaner_can_help(store));
	while (store->frames.ready.len > kept)
		must(place_vector_push(
			&taken,
			frames_take(&store->frames, FRAME_USER_METADATA)));
	assert_false(cleaner_can_help(store));
	while (taken.len > 0)
		frames_release(&store->frames, taken.ptr[--taken.len]);
	unlock_core();
	place_vector_done(&taken);
	close_image(image);
	volume_close(h);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, open_store, close_store)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_come_back_while_a_check_reads),
		TEST(a_check_leaves_the_reserve_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
