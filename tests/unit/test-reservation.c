/* SPDX-License-Identifier: BSD-2-Clause */
/* Reservations: what others leave, and what is not needed. */
#include <errno.h>

#include "fixture.h"

static struct volume_handle *a, *b;

static int set_up(void **state)
{
	int r = open_store(state);

	if (r < 0)
		return r;
	a = create_volume("a", 4000);
	b = create_volume("b", 4000);
	return 0;
}

static int tear_down(void **state)
{
	volume_close(a);
	volume_close(b);
	a = b = NULL;
	return close_store(state);
}

/* Fill @h from block 0 until it is refused; how far it came. */
static uint32_t fill_up(struct volume_handle *h, const char *words)
{
	uint32_t nr = 0;

	while (try_put(h, nr, 1, 1) == 0)
		nr++;
	refused(-ENOSPC, ENOSPC, words);
	return nr;
}

#define RESERVED 600u

static void others_leave_what_is_reserved(void **state)
{
	must(try_limit("a", "reservation", RESERVED));
	put(a, 0, 100, 1);
	(void)fill_up(b, "reserved for other volumes");
	/* single blocks: with their headers they take twice the room */
	put(a, 100, RESERVED - 100, 1);
	check_is_clean();
}

static void the_others_may_use_what_is_not_needed(void **state)
{
	uint32_t nr;

	must(try_limit("a", "reservation", RESERVED));
	put(a, 0, RESERVED, 1);
	nr = fill_up(b, "store is full");
	must(volume_trim(b, (uint64_t)nr * BLOCK_SIZE, 0, false, &err));
	must(store_flush(store, &err));
	/* unknown after an open, but counted when it matters */
	volume_close(b);
	volume_close(a);
	reopen(false);
	a = open_volume("a");
	b = open_volume("b");
	/* the log is not as dense as what the cleaner had packed */
	put(b, 0, nr / 4 * 3, 1);
	/* what it gives up it may have again */
	must(volume_trim(a, RESERVED * BLOCK_SIZE, 0, false, &err));
	must(store_reap(store, &err));
	(void)fill_up(b, "reserved for other volumes");
	put(a, 0, RESERVED, 1);
	check_is_clean();
}

static void a_reservation_needs_room(void **state)
{
	uint64_t nr_free = TEST_FRAMES * (TEST_SLOTS - 1);

	refused(try_limit("a", "reservation", nr_free), ENOSPC,
		"a: no room for a reservation of");
	must(try_limit("a", "reservation", nr_free / 2));
	refused(try_limit("b", "reservation", nr_free / 2), ENOSPC,
		"reserved for other volumes");
	must(try_limit("a", "reservation", 100));
	must(try_limit("b", "reservation", nr_free / 2));
	must(try_limit("b", "reservation", 0));
	must(try_limit("a", "reservation", nr_free / 2));
	volume_close(a);
	a = NULL;
	delete_volume("a");
	must(try_limit("b", "reservation", nr_free / 2));
}

/* Metadata operations, trims and deletes are not held up. */
static void a_reservation_is_for_writes_alone(void **state)
{
	uint32_t nr;

	must(try_limit("a", "reservation", RESERVED));
	nr = fill_up(b, "reserved");
	snapshot("b@s");
	must(volume_trim(b, 10 * BLOCK_SIZE, 0, false, &err));
	must(volume_zero(b, 10 * BLOCK_SIZE, 20 * BLOCK_SIZE, false, &err));
	must(store_flush(store, &err));
	delete_volume("b@s");
	must(volume_trim(b, (uint64_t)nr * BLOCK_SIZE, 0, false, &err));
	put(b, 0, 100, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(others_leave_what_is_reserved),
		TEST(the_others_may_use_what_is_not_needed),
		TEST(a_reservation_needs_room),
		TEST(a_reservation_is_for_writes_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
