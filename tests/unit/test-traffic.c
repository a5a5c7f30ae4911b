/* SPDX-License-Identifier: BSD-2-Clause */
/* What clients ask for is counted, and what has gone stays in the sum. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "traffic.h"

static struct traffic_count all;
static struct volume_traffic *list;
static size_t nr;

static int tear_down(void **state)
{
	free(list);
	list = NULL;
	return close_store(state);
}

static void look(void)
{
	free(list);
	must(store_traffic(store, &list, &nr, &all, &err));
}

/* Of the volume @name, after look(). */
static const struct traffic_kind_count *of(const char *name,
					   enum traffic_kind kind)
{
	for (size_t i = 0; i < nr; i++)
		if (strcmp(list[i].name, name) == 0)
			return &list[i].count.kinds[kind];
	return NULL;
}

static void every_kind_of_request_is_counted(void **state)
{
	struct volume_handle *a = create_volume("a", 100);
	uint8_t bytes[3 * BLOCK_SIZE] = {1};

	must(volume_write(a, bytes, sizeof(bytes), 0, false, &err));
	must(volume_write(a, bytes, 100, 5, true, &err));
	must(volume_read(a, bytes, 512, 0, &err));
	must(volume_zero(a, 50000, 0, false, &err));
	must(volume_trim(a, BLOCK_SIZE, 0, false, &err));
	must(volume_flush(a, &err));
	must(volume_flush(a, &err));
	look();
	assert_int_equal(of("a", TRAFFIC_WRITE)->requests, 2);
	assert_int_equal(of("a", TRAFFIC_WRITE)->bytes, sizeof(bytes) + 100);
	assert_int_equal(of("a", TRAFFIC_READ)->requests, 1);
	assert_int_equal(of("a", TRAFFIC_READ)->bytes, 512);
	assert_int_equal(of("a", TRAFFIC_ZERO)->bytes, 50000);
	assert_int_equal(of("a", TRAFFIC_TRIM)->bytes, BLOCK_SIZE);
	assert_int_equal(of("a", TRAFFIC_FLUSH)->requests, 2);
	assert_int_equal(of("a", TRAFFIC_FLUSH)->bytes, 0);
	assert_true(of("a", TRAFFIC_WRITE)->ns > 0);
	for (unsigned int k = 0; k < NR_TRAFFIC_KINDS; k++) {
		uint64_t sum = 0;

		for (unsigned int b = 0; b < TRAFFIC_BUCKETS; b++)
			sum += of("a", k)->buckets[b];
		assert_int_equal(sum, of("a", k)->requests);
		assert_int_equal(of("a", k)->errors, 0);
	}
	assert_memory_equal(&all, &list[0].count, sizeof(all));
	volume_close(a);
}

static void a_request_that_fails_is_an_error_without_bytes(void **state)
{
	struct volume_handle *a = create_volume("a", 10);
	uint8_t bytes[BLOCK_SIZE] = {1};

	refused(volume_read(a, bytes, 512, 10 * BLOCK_SIZE, &err), EINVAL, "");
	refused(volume_write(a, bytes, 512, UINT64_MAX, false, &err), ENOSPC,
		"");
	refused(volume_trim(a, UINT64_MAX, 512, false, &err), ENOSPC, "");
	look();
	assert_int_equal(of("a", TRAFFIC_READ)->errors, 1);
	assert_int_equal(of("a", TRAFFIC_READ)->requests, 1);
	assert_int_equal(of("a", TRAFFIC_READ)->bytes, 0);
	assert_int_equal(of("a", TRAFFIC_WRITE)->errors, 1);
	assert_int_equal(of("a", TRAFFIC_TRIM)->errors, 1);
	volume_close(a);
}

static void sums_keep_what_was_asked_of_the_deleted(void **state)
{
	static const char *const names[] = {"a", "b", "c"};

	for (unsigned int i = 0; i < 3; i++) {
		struct volume_handle *h = create_volume(names[i], 10);

		put(h, 0, 5, 1);
		volume_close(h);
	}
	delete_volume("a");
	delete_volume("b");
	look();
	assert_int_equal(nr, 1);
	assert_int_equal(all.kinds[TRAFFIC_WRITE].bytes, 15 * BLOCK_SIZE);
	assert_int_equal(of("c", TRAFFIC_WRITE)->bytes, 5 * BLOCK_SIZE);
}

static void a_private_view_is_counted_where_it_is(void **state)
{
	struct volume_handle *h = create_volume("a", 10);

	put(h, 0, 5, 1);
	volume_close(h);
	snapshot("a@s");
	must(volume_open(store, "a@s:scratch", VOLUME_OPEN_WRITE, &h, &err));
	must(volume_flush(h, &err)); /* nobody's yet */
	put(h, 0, 1, 2);
	must(volume_flush(h, &err));
	look();
	assert_int_equal(nr, 2);
	assert_true(list[1].hidden);
	assert_int_equal(list[1].count.kinds[TRAFFIC_WRITE].requests, 1);
	assert_int_equal(list[1].count.kinds[TRAFFIC_FLUSH].requests, 1);
	volume_close(h);
}

static void a_name_follows_a_rename(void **state)
{
	const char *from[] = {"a"}, *to[] = {"b"};

	make_volume("a", 10, 5);
	must(store_rename(store, from, to, 1, &err));
	look();
	assert_int_equal(of("b", TRAFFIC_WRITE)->bytes, 5 * BLOCK_SIZE);
	assert_null(of("a", TRAFFIC_WRITE));
}

static void what_took_long_is_in_a_later_bucket(void **state)
{
	static const uint64_t ms[] = {1100, 3000, 20000, 3600000};
	struct traffic traffic = {0};
	struct traffic_count count = {0};
	const struct traffic_kind_count *c = &count.kinds[TRAFFIC_READ];

	for (size_t i = 0; i < sizeof(ms) / sizeof(ms[0]); i++)
		traffic_add(&traffic, TRAFFIC_READ, 1,
			    monotonic_ns() - ms[i] * 1000000, 0);
	traffic_read(&traffic, &count);
	assert_int_equal(c->requests, 4);
	assert_int_equal(c->buckets[TRAFFIC_BUCKETS - 3], 1); /* to 2.5 s */
	assert_int_equal(c->buckets[TRAFFIC_BUCKETS - 2], 1); /* to 10 s */
	assert_int_equal(c->buckets[TRAFFIC_BUCKETS - 1], 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_store, tear_down)
		TEST(every_kind_of_request_is_counted),
		TEST(a_request_that_fails_is_an_error_without_bytes),
		TEST(sums_keep_what_was_asked_of_the_deleted),
		TEST(a_private_view_is_counted_where_it_is),
		TEST(a_name_follows_a_rename),
		TEST(what_took_long_is_in_a_later_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
