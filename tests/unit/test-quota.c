/* SPDX-License-Identifier: BSD-2-Clause */
/* Quotas: what is charged, who is refused and who is not. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "freed.h"
#include "quota.h"
#include "random.h"
#include "volume-io.h"

static struct volume_handle *a;

static int set_up(void **state)
{
	int r = open_store(state);

	if (r == 0)
		a = create_volume("a", 4000);
	return r;
}

static int tear_down(void **state)
{
	volume_close(a);
	a = NULL;
	return close_store(state);
}

static void set_quota(const char *name, uint64_t nr)
{
	must(try_limit(name, "quota", nr));
}

static void make_clone(const char *snapshot, const char *name)
{
	must(store_clone(store, snapshot, &name, 1, &err));
}

static void reopen_a(bool clean)
{
	volume_close(a);
	reopen(clean);
	a = open_volume("a");
}

static struct volume *find(const char *name)
{
	struct volume *v;

	lock_core();
	must(volume_find(&store->volumes, name, &v, &err));
	unlock_core();
	return v;
}

/* What would come free if @v and its snapshots were deleted, by a walk. */
static uint64_t charged(const struct volume *v)
{
	struct index_vector roots = {0};
	struct freed freed;

	must(store_reap(store, &err));
	for (size_t i = 0; i < store->volumes.all.len; i++) {
		const struct volume *s = store->volumes.all.ptr[i];

		if ((s == v || s->parent == v->id) && s->map.root)
			must(index_vector_push(&roots, s->map.root));
	}
	must(freed_blocks(store, &roots, &freed, &err));
	index_vector_done(&roots);
	return freed.blocks;
}

#define expect_refused(h, block, nr) \
	refused(try_put(h, block, nr, 9), ENOSPC, "quota of")

/* ---- quota ---- */

static void a_quota_is_reached_to_the_block(void **state)
{
	set_quota("a", 100);
	put(a, 0, 60, 1);
	put(a, 60, 40, 1);
	expect_refused(a, 100, 1);
	refused(try_put(a, 100, 1, 1), ENOSPC, "a: quota of 400 KiB reached");
	expect(a, 0, 100, 1);
	assert_int_equal(charged(find("a")), 100);
}

static void what_it_has_already_it_may_overwrite(void **state)
{
	set_quota("a", 100);
	put(a, 0, 100, 1);
	put(a, 0, 100, 2);
	put(a, 7, 1, 3);
	must(volume_zero(a, 4096, 20 * 4096, false, &err));
	put(a, 20, 1, 1);
	expect_refused(a, 20, 81);
	/* a part of a block, of an old one and of a new one */
	must(volume_write(a, "x", 1, 5, false, &err));
	refused(volume_write(a, "x", 1, 100 * 4096 + 5, false, &err), ENOSPC,
		"quota");
}

static void zeros_cost_nothing(void **state)
{
	set_quota("a", 10);
	put(a, 0, 10, 1);
	put(a, 10, 50, 0);
	must(volume_zero(a, 100 * 4096, 0, false, &err));
	put(a, 200, 10, 1);
	expect_refused(a, 210, 1);
}

static void what_a_snapshot_keeps_is_charged(void **state)
{
	set_quota("a", 100);
	put(a, 0, 60, 1);
	snapshot("a@s");
	put(a, 0, 40, 2);
	expect_refused(a, 40, 1);
	expect_refused(a, 60, 1);
	put(a, 0, 40, 3); /* its own by now */
	delete_volume("a@s");
	put(a, 40, 60, 2);
	expect_refused(a, 100, 1);
	assert_int_equal(charged(find("a")), 100);
}

static void what_was_trimmed_or_deleted_can_be_written_again(void **state)
{
	set_quota("a", 300);
	put(a, 0, 300, 1);
	expect_refused(a, 300, 1);
	/* whole leaves and parts of some */
	must(volume_trim(a, 200 * 4096, 50 * 4096, false, &err));
	put(a, 300, 200, 2);
	expect_refused(a, 500, 1);
	must(volume_trim(a, 4000 * 4096, 0, false, &err));
	put(a, 1000, 300, 2);
	expect_refused(a, 0, 1);
}

static void rollback_and_undo_work_at_the_quota(void **state)
{
	static const char *const s[] = {"a@s"}, *const names[] = {"a"};
	char kept[1][NAME_MAX_BYTES + 1];

	set_quota("a", 100);
	put(a, 0, 60, 1);
	snapshot("a@s");
	put(a, 0, 40, 2);
	volume_close(a);
	must(store_rollback(store, s, 1, kept, &err));
	a = open_volume("a");
	expect(a, 0, 60, 1);
	expect_refused(a, 0, 1);
	volume_close(a);
	must(store_undo(store, names, 1, &err));
	a = open_volume("a");
	put(a, 0, 40, 3);
	expect_refused(a, 40, 1);
	delete_volume(kept[0]);
	delete_volume("a@s");
	put(a, 40, 60, 3);
	expect_refused(a, 100, 1);
}

static void what_a_clone_shares_is_nobodys(void **state)
{
	struct volume_handle *c;

	put(a, 0, 100, 1);
	snapshot("a@s");
	make_clone("a@s", "c");
	set_quota("c", 30);
	set_quota("a", 120);
	c = open_volume("c");
	put(c, 0, 30, 2);
	expect_refused(c, 30, 1);
	put(c, 0, 30, 3);
	volume_close(c);
	/* the first 30 have come back to a and its snapshot */
	assert_int_equal(charged(find("a")), 30);
	put(a, 0, 90, 2);
	expect_refused(a, 90, 1);
	/* the others do when the clone goes: that is over the quota */
	delete_volume("c");
	expect_refused(a, 100, 1);
	put(a, 0, 90, 3);
	delete_volume("a@s");
	assert_int_equal(charged(find("a")), 100);
	put(a, 100, 20, 1);
	expect_refused(a, 120, 1);
}

static void a_quota_below_what_is_there_stops_growth(void **state)
{
	put(a, 0, 100, 1);
	set_quota("a", 50);
	expect_refused(a, 100, 1);
	put(a, 0, 100, 2);
	must(volume_trim(a, 60 * 4096, 0, false, &err));
	put(a, 0, 10, 1);
	expect_refused(a, 10, 1);
	set_quota("a", 0);
	put(a, 0, 200, 1);
}

static void a_quota_smaller_than_a_block_admits_nothing(void **state)
{
	struct setting setting = {"quota", "512"};

	must(store_set(store, "a", &setting, 1, &err));
	expect_refused(a, 0, 1);
}

static void a_quota_holds_after_a_crash_and_a_stop(void **state)
{
	set_quota("a", 100);
	put(a, 0, 80, 1);
	snapshot("a@s");
	put(a, 0, 10, 1);
	must(store_flush(store, &err));
	reopen_a(false);
	put(a, 10, 10, 1);
	expect_refused(a, 20, 1);
	reopen_a(true);
	expect_refused(a, 20, 1);
	put(a, 0, 20, 2);
	delete_volume("a@s");
	put(a, 80, 20, 1);
	expect_refused(a, 100, 1);
}

/* A node that cannot be read cannot be counted: as if all were charged. */
static void damage_makes_a_quota_no_larger(void **state)
{
	const struct node_entry *e;
	uint32_t root;

	put(a, 0, 100, 1);
	snapshot("a@s");
	put(a, 0, 1, 2);
	set_quota("a", 150);
	reopen_a(true);
	root = volume_find_snapshot(&store->volumes, find("a")->id, "s")
		       ->map.root;
	e = node_entry(&store->nodes, root);
	memory_disk_damage(disk,
			   segment_find(&store->segments, e->segno)->place,
			   e->offset + 20, 1);
	expect_refused(a, 100, 60);
	set_quota("a", 500);
	put(a, 100, 60, 1);
}

/* ---- counting ---- */

static void all_is_between_its_bounds(void)
{
	for (size_t i = 0; i < store->volumes.all.len; i++) {
		const struct volume *v = store->volumes.all.ptr[i];
		uint64_t exact, given;

		if (v->kind != VOLUME_HEAD)
			continue;
		exact = charged(v);
		given = store->given_up - v->charge.given_up;
		if (given > v->charge.shared)
			given = v->charge.shared;
		assert_true(v->charge.low <= exact);
		assert_true(exact <= v->charge.high + given);
	}
}

#define NR_HEADS 4

struct family {
	struct rng rng;
	unsigned int nr_names; /* given out so far */
	char heads[NR_HEADS][16];
	char snapshots[64][24];
	unsigned int nr_heads, nr_snapshots;
};

static void family_write(struct family *f)
{
	const char *name = f->heads[rng_below(&f->rng, f->nr_heads)];
	struct volume_handle *h = open_volume(name);
	const struct volume *v = find(name);
	uint64_t quota = v->settings.quota / BLOCK_SIZE, exact;

	for (unsigned int i = 0; i < 8; i++) {
		uint64_t block = rng_below(&f->rng, 150);
		int r = try_put(h, block, 1, (uint32_t)i + 1);

		exact = charged(v);
		if (r == 0)
			continue;
		refused(r, ENOSPC, "quota");
		assert_true(exact >= quota);
	}
	volume_close(h);
}

static void family_trim(struct family *f)
{
	const char *name = f->heads[rng_below(&f->rng, f->nr_heads)];
	struct volume_handle *h = open_volume(name);

	must(volume_trim(h, (1 + rng_below(&f->rng, 120)) * BLOCK_SIZE,
			 rng_below(&f->rng, 100) * BLOCK_SIZE, false, &err));
	volume_close(h);
}

static void family_snapshot(struct family *f)
{
	char *name = f->snapshots[f->nr_snapshots], head[16];

	if (f->nr_snapshots == 12)
		return;
	memcpy(head, f->heads[rng_below(&f->rng, f->nr_heads)], sizeof(head));
	(void)snprintf(name, sizeof(f->snapshots[0]), "%.11s@s%u", head,
		       f->nr_names++ % 1000000);
	snapshot(name);
	f->nr_snapshots++;
}

static void family_clone(struct family *f)
{
	char *name = f->heads[f->nr_heads];

	if (f->nr_heads == NR_HEADS || f->nr_snapshots == 0)
		return;
	(void)snprintf(name, sizeof(f->heads[0]), "c%u", f->nr_names++);
	make_clone(f->snapshots[rng_below(&f->rng, f->nr_snapshots)], name);
	f->nr_heads++;
	if (rng_one_in(&f->rng, 2))
		set_quota(name, 1 + rng_below(&f->rng, 100));
}

static void family_delete(struct family *f)
{
	unsigned int i;
	const char *head;

	if (f->nr_snapshots && !rng_one_in(&f->rng, 4)) {
		i = (unsigned int)rng_below(&f->rng, f->nr_snapshots);
		delete_volume(f->snapshots[i]);
		memmove(f->snapshots[i], f->snapshots[--f->nr_snapshots],
			sizeof(f->snapshots[0]));
		return;
	}
	if (f->nr_heads == 1)
		return;
	i = 1 + (unsigned int)rng_below(&f->rng, f->nr_heads - 1);
	head = f->heads[i];
	must(store_delete(store, &head, 1, true, &err));
	for (unsigned int k = f->nr_snapshots; k-- > 0;)
		if (strncmp(f->snapshots[k], head, strlen(head)) == 0 &&
		    f->snapshots[k][strlen(head)] == '@')
			memmove(f->snapshots[k],
				f->snapshots[--f->nr_snapshots],
				sizeof(f->snapshots[0]));
	memmove(f->heads[i], f->heads[--f->nr_heads], sizeof(f->heads[0]));
}

static void family_rollback(struct family *f)
{
	char kept[1][NAME_MAX_BYTES + 1];
	const char *names[1];

	if (f->nr_snapshots == 0)
		return;
	names[0] = f->snapshots[rng_below(&f->rng, f->nr_snapshots)];
	must(store_rollback(store, names, 1, kept, &err));
	if (rng_one_in(&f->rng, 2)) {
		char head[16];

		(void)snprintf(head, sizeof(head), "%.*s",
			       (int)strcspn(names[0], "@"), names[0]);
		names[0] = head;
		must(store_undo(store, names, 1, &err));
	}
	if (rng_one_in(&f->rng, 2))
		delete_volume(kept[0]);
}

/*
 * Whatever a family of clones does, each charge is between its bounds, and a
 * write is refused only when its volume holds what its quota allows.
 */
static void every_charge_is_between_its_bounds(void **state)
{
	struct family f = {.nr_heads = 1};
	const char *seed = getenv("VARVE_TEST_SEED");

	f.rng.state = seed ? strtoull(seed, NULL, 0) : rng_time_seed();
	print_message("seed %" PRIu64 " (VARVE_TEST_SEED)\n", f.rng.state);
	volume_close(a);
	a = NULL;
	strcpy(f.heads[0], "a");
	set_quota("a", 120);
	for (unsigned int i = 0; i < 1500; i++) {
		switch (rng_below(&f.rng, 10)) {
		case 0:
			family_snapshot(&f);
			break;
		case 1:
			family_delete(&f);
			break;
		case 2:
			family_clone(&f);
			break;
		case 3:
			family_rollback(&f);
			break;
		case 4:
		case 5:
			family_trim(&f);
			break;
		case 6:
			if (rng_one_in(&f.rng, 10))
				reopen(rng_one_in(&f.rng, 2));
			break;
		default:
			family_write(&f);
		}
		if (rng_one_in(&f.rng, 2))
			all_is_between_its_bounds();
	}
	check_is_clean();
}

static void *write_some(void *arg)
{
	struct rng rng = {(uint64_t)(uintptr_t)arg};
	struct volume_handle *h = open_volume("a");

	for (unsigned int i = 0; i < 2000; i++) {
		uint64_t block = rng_below(&rng, 400);

		if (rng_one_in(&rng, 10))
			(void)volume_trim(h, 80 * BLOCK_SIZE,
					  block * BLOCK_SIZE, false, NULL);
		else
			(void)try_put(h, block, 1 + rng_below(&rng, 4) % 4, 1);
	}
	volume_close(h);
	return NULL;
}

static void many_writers_stay_within_one_quota(void **state)
{
	pthread_t threads[3];
	char name[16];

	set_quota("a", 150);
	must(store_start(store, &err));
	for (uintptr_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_some,
						(void *)(i + 1)),
				 0);
	for (unsigned int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "a@s%u", i);
		snapshot(name);
		(void)snprintf(name, sizeof(name), "a@s%u", i / 2);
		if (i % 2)
			delete_volume(name);
	}
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_true(charged(find("a")) <= 150);
	all_is_between_its_bounds();
	check_is_clean();
}

static void *delete_soon(void *arg)
{
	sleep_ms(1000);
	delete_volume(arg);
	return NULL;
}

static void on_full_pause_is_for_the_quota_too(void **state)
{
	struct setting pause = {"on-full", "pause"};
	pthread_t thread;
	char name[] = "a@s";
	uint64_t start;

	must(store_start(store, &err));
	set_quota("a", 100);
	must(store_set(store, "a", &pause, 1, &err));
	put(a, 0, 60, 1);
	snapshot(name);
	put(a, 0, 40, 2);
	start = monotonic_ms();
	assert_int_equal(pthread_create(&thread, NULL, delete_soon, name), 0);
	put(a, 60, 20, 1);
	/* not at once, nor only at the end of the wait */
	assert_in_range(monotonic_ms() - start, 900, 9500);
	assert_int_equal(pthread_join(thread, NULL), 0);
	expect(a, 60, 20, 1);
}

/* A request whose first piece has waited for all of it. */
static void a_request_waits_once_for_all_its_pieces(void **state)
{
	static uint8_t data[2 * LEAF_BLOCKS * BLOCK_SIZE];
	const struct setting pause = {"on-full", "pause"};
	struct request request = {.deadline_ms = monotonic_ms()};
	uint64_t start = monotonic_ms();

	set_quota("a", 1);
	must(store_set(store, "a", &pause, 1, &err));
	memset(data, 1, sizeof(data));
	refused(volume_write_range(store, find("a"), data, sizeof(data), 0,
				   &request, &err),
		ENOSPC, "a: quota of");
	assert_true(monotonic_ms() < start + 9000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_quota_is_reached_to_the_block),
		TEST(what_it_has_already_it_may_overwrite),
		TEST(zeros_cost_nothing),
		TEST(what_a_snapshot_keeps_is_charged),
		TEST(what_was_trimmed_or_deleted_can_be_written_again),
		TEST(rollback_and_undo_work_at_the_quota),
		TEST(what_a_clone_shares_is_nobodys),
		TEST(a_quota_below_what_is_there_stops_growth),
		TEST(a_quota_smaller_than_a_block_admits_nothing),
		TEST(a_quota_holds_after_a_crash_and_a_stop),
		TEST(damage_makes_a_quota_no_larger),
		TEST(every_charge_is_between_its_bounds),
		TEST(many_writers_stay_within_one_quota),
		TEST(on_full_pause_is_for_the_quota_too),
		TEST(a_request_waits_once_for_all_its_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
