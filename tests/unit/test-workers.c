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
		sleep_ms(10);
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
	sleep_ms(50);
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

static uint64_t durable_seq(void)
{
	uint64_t ret;

	mutex_lock(&store->core.lock);
	ret = store->log.durable_seq;
	mutex_unlock(&store->core.lock);
	return ret;
}

/* Else recovery would have to read all of the log that nobody flushed. */
static void what_no_client_flushes_is_flushed_all_the_same(void **state)
{
	const struct store_open_options options = {
		.checkpoint_log_bytes = 4 << 20,
	};
	uint64_t checkpoint_id, before;
	struct volume_handle *v;

	stop(true);
	must(test_store_open(disk, &options, &store, &err));
	must(store_start(store, &err));
	v = create_volume("a", 64);
	checkpoint_id = store->sb.checkpoint_id;
	before = durable_seq();
	for (unsigned int i = 0; i < 192; i++)
		put(v, i % 64, 1, i + 1);
	for (int i = 0; durable_seq() == before && i < 6000; i++)
		sleep_ms(10);
	assert_true(durable_seq() > before);
	assert_int_equal(store->sb.checkpoint_id, checkpoint_id);
	volume_close(v);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, close_store)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_sync_that_fails_is_told_once),
		TEST(a_checkpoint_that_fails_is_told_once),
		TEST(what_no_client_flushes_is_flushed_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
