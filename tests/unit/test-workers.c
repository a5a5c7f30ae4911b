/* SPDX-License-Identifier: BSD-2-Clause */
/* The workers: what they say by themselves. */
#include "fixture.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* By what the workers said. */
static struct {
	atomic_int nr_failed;
	char text[512]; /* of the first; valid once nr_failed is not 0 */
} said;

static void note(void *opaque, enum message_level level, enum store_event event,
		 const char *text)
{
	if (event != EVENT_FAILED)
		return;
	if (said.nr_failed == 0)
		(void)snprintf(said.text, sizeof(said.text), "%s", text);
	said.nr_failed++;
}

/* A store with workers that tell us. */
static int start(void **state)
{
	static const struct store_open_options options = {.message = note};

	said.nr_failed = 0;
	if (open_store(state))
		return -1;
	stop(true);
	must(test_store_open(disk, &options, &store, &err));
	must(store_start(store, &err));
	return 0;
}

static void expect_told(const char *why)
{
	for (int i = 0; said.nr_failed == 0 && i < 6000; i++)
		pause_ms(10);
	assert_int_equal(said.nr_failed, 1);
	assert_non_null(strstr(said.text, why));
}

/* I12: told at once and once, whoever met it, whatever fails later. */
static void a_sync_that_fails_is_told_once(void **state)
{
	struct volume_handle *v = create_volume("a", 64);

	put(v, 0, 1, 1);
	memory_disk_fault(disk, MEMORY_SYNC, 1, EIO, false);
	refused(volume_flush(v, &err), EIO, "store stopped");
	expect_told("sync");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(try_put(v, 1, 1, 1), -EIO);
		refused(store_checkpoint(store, &err), EIO, "store stopped");
	}
	volume_close(v);
	pause_ms(50);
	assert_int_equal(said.nr_failed, 1);
}

static void a_checkpoint_that_fails_is_told_once(void **state)
{
	struct volume_handle *v = create_volume("a", 64);

	put(v, 0, 1, 1);
	must(volume_flush(v, &err));
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 1, EIO, false);
	refused(store_checkpoint(store, &err), EIO, "store stopped");
	expect_told("super");
	volume_close(v);
	assert_int_equal(said.nr_failed, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, close_store)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_sync_that_fails_is_told_once),
		TEST(a_checkpoint_that_fails_is_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
