/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Check finds what it says it looks for: each test makes one thing wrong in
 * the image of a store, or on its medium, and reads what is said of it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fixture.h"

static char said[8192];

static void listen(void *opaque, const char *line)
{
	size_t at = strlen(said);

	(void)snprintf(said + at, sizeof(said) - at, "%s\n", line);
}

static struct check_report run_check(int wanted)
{
	struct check_report report;
	int r;

	said[0] = '\0';
	r = store_check(store, listen, NULL, &report, &err);
	if (r != wanted)
		fail_msg("check: %d (%s), not %d; it said: %s", r, err.message,
			 wanted, said);
	err = (struct error)ERROR_NONE;
	return report;
}

/* Something is wrong, and one line has all of @words, and no more is said. */
static void expect_said(uint64_t nr_lines, const char *words)
{
	struct check_report report = run_check(-EUCLEAN);

	if (report.nr_errors != nr_lines || !strstr(said, words))
		fail_msg("wanted %llu lines with '%s', got: %s",
			 (unsigned long long)nr_lines, words, said);
}

/* An image of volume a, a@s and clone b, in memory. */
static int set_up_served(void **state)
{
	static const char *const b[] = {"b"};
	int r = open_store_with_snapshot(1000, 100, state);

	if (r < 0)
		return r;
	put_in("a", 0, 10, 2);
	must(store_clone(store, "a@s", b, 1, &err));
	must(store_checkpoint(store, &err));
	return 0;
}

static int set_up(void **state)
{
	int r = set_up_served(state);

	if (r == 0)
		reopen_read_only();
	return r;
}

static struct node_entry *entry_of(const struct node *n)
{
	return node_entry(&store->nodes, n->id);
}

static void a_sound_store_has_no_errors(void **state)
{
	struct check_report report = run_check(0);

	assert_int_equal(report.nr_errors, 0);
	assert_int_equal(report.nr_volumes, 3);
	/* two leaves shared, the first of them copied for a */
	assert_int_equal(report.nr_blocks, 164);
	assert_int_equal(report.nr_nodes, stat_now().nr_nodes);
	assert_true(report.nr_segments >= 110 / TEST_SLOTS);
	assert_string_equal(said, "");
}

static void a_node_counted_too_often_is_found(void **state)
{
	struct node *n = load_node_of("a", 1, 0);
	char words[64];

	entry_of(n)->count++;
	(void)snprintf(words, sizeof(words),
		       "node %u: count 2, but 1 references", n->id);
	expect_said(1, words);
	entry_of(n)->count--;
	(void)run_check(0);
}

static void a_node_nobody_refers_to_is_found(void **state)
{
	volume("b")->map.root = 0;
	volume("b")->map.refer = 0;
	expect_said(1, "count 2, but 1 references");
}

static void a_reference_to_no_node_is_found(void **state)
{
	struct node *n = load_node_of("a", 1, 0);

	n->inner->children[7] = 4711;
	expect_said(1, "refers to node 4711, which does not exist");
}

static void a_child_of_the_wrong_level_is_found(void **state)
{
	struct node *n = load_node_of("a", 2, 0);

	/* the leaf hangs two levels too high */
	n->inner->children[1] = load_node_of("a", 0, 0)->id;
	(void)run_check(-EUCLEAN);
	assert_non_null(strstr(said, "below it has the wrong level"));
}

static void a_wrong_number_of_blocks_below_a_node_is_found(void **state)
{
	entry_of(load_node_of("a@s", 1, 0))->used = 99;
	expect_said(1, "used 99, but 100 blocks");
}

static void a_wrong_refer_is_found(void **state)
{
	volume("a@s")->map.refer = 7;
	expect_said(1, "a@s: refers to 7 blocks, but 100");
}

static void a_name_counted_too_often_is_found(void **state)
{
	struct birth name = name_of("a", 0);

	lock_core();
	must(count_add(&store->segments, name, 1, &err));
	unlock_core();
	expect_said(1, "count 2, but 1 references");
}

static void a_name_in_use_and_not_counted_is_found(void **state)
{
	struct birth name = name_of("a", 0);
	char words[64];

	lock_core();
	must(count_add(&store->segments, name, -1, &err));
	unlock_core();
	(void)snprintf(words, sizeof(words),
		       "segment %llu slot %u: count 0, but 1 references",
		       (unsigned long long)birth_segno(name), birth_slot(name));
	expect_said(1, words);
}

static void a_name_in_no_segment_is_found(void **state)
{
	struct leaf_entry *e = &load_node_of("a", 0, 0)->leaf->entries[0];

	*e = leaf_entry_data(birth_make(4711, 2), 0);
	/* and its old name has lost its reference; a has a block less */
	(void)run_check(-EUCLEAN);
	assert_non_null(strstr(said, "name 4711:2 is in no segment"));
	assert_non_null(strstr(said, "count 1, but 0 references"));
}

static void a_wrong_live_number_is_found(void **state)
{
	struct segment *s =
		segment_find(&store->segments, birth_segno(name_of("a", 0)));

	s->live += 3;
	expect_said(1, ": live ");
}

static void a_name_without_an_address_is_found(void **state)
{
	struct segment *s =
		segment_find(&store->segments, birth_segno(name_of("a", 0)));

	s->place = PLACE_NONE;
	(void)run_check(-EUCLEAN);
	assert_non_null(strstr(said, "no physical address"));
}

/* ---- on the medium ---- */

static void a_damaged_node_is_found(void **state)
{
	uint32_t id = node_of("a", 0, 0);
	char words[64];

	damage_node(id);
	reopen_read_only();
	(void)run_check(-EUCLEAN);
	(void)snprintf(words, sizeof(words), "node %u", id);
	assert_non_null(strstr(said, words));
}

static void a_damaged_node_is_found_while_served(void **state)
{
	must(store_checkpoint(store, &err));
	damage_node(node_of("a", 0, 0));
	(void)run_check(-EUCLEAN);
	assert_string_not_equal(said, "");
	assert_false(stat_now().failed);
}

static void a_damaged_page_is_found_while_served(void **state)
{
	const struct page_ref *ref =
		&store->segments.pages
			 .pages[segment_find(&store->segments,
					     birth_segno(name_of("a", 0)))
					->index]
			 .ref;

	/* until nothing is left to write: check must not write it anew */
	for (int i = 0; i < 5; i++)
		must(store_checkpoint(store, &err));
	memory_disk_damage(disk, place_of(ref->segno), ref->offset + 8, 1);
	(void)run_check(-EBADMSG);
	assert_non_null(strstr(said, "segment table"));
	assert_false(stat_now().failed);
}

/* More leaves than a byte counts hold one block. */
static void a_block_in_many_leaves_is_counted(void **state)
{
	static char texts[300][16];
	const char *names[300];
	struct birth first;

	for (uint32_t i = 0; i < 300; i++) {
		(void)snprintf(texts[i], sizeof(texts[i]), "many%u", i);
		names[i] = texts[i];
	}
	must(store_clone(store, "a@s", names, 150, &err));
	must(store_clone(store, "a@s", names + 150, 150, &err));
	for (uint32_t i = 0; i < 300; i++) {
		struct volume_handle *h = open_volume(names[i]);

		put(h, 1, 1, 5 + i);
		volume_close(h);
	}
	must(store_checkpoint(store, &err));
	reopen_read_only();
	(void)run_check(0);
	first = name_of("a@s", 0);
	lock_core();
	must(count_add(&store->segments, first, 1, &err));
	unlock_core();
	expect_said(1, "count 302, but 301 references");
}

static void a_check_brings_no_node_into_memory(void **state)
{
	uint64_t before = stat_now().nodes_bytes;

	(void)run_check(0);
	assert_int_equal(stat_now().nodes_bytes, before);
}

static void lost_blocks_are_told_but_no_error(void **state)
{
	struct node *leaf = load_node_of("a", 0, 0);
	struct birth name = name_of("a", 3);
	struct check_report report;

	lock_core();
	must(count_add(&store->segments, name, -1, &err));
	unlock_core();
	leaf->leaf->entries[3] = leaf_entry_lost();
	for (unsigned int level = 0; level < INNER_LEVELS; level++)
		entry_of(load_node_of("a", level, 0))->used--;
	volume("a")->map.refer--;
	report = run_check(0);
	assert_int_equal(report.nr_lost, 1);
}

static void a_served_store_is_checked_as_it_is_now(void **state)
{
	struct volume_handle *h = open_volume("a");
	struct check_report report;

	put(h, 500, 20, 3);
	report = run_check(0);
	assert_int_equal(report.nr_blocks, 184);
	put(h, 0, 1, 4); /* and goes on being served */
	expect(h, 500, 20, 3);
	volume_close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, close_store)
#define SERVED_TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up_served, close_store)
		TEST(a_sound_store_has_no_errors),
		TEST(a_node_counted_too_often_is_found),
		TEST(a_node_nobody_refers_to_is_found),
		TEST(a_reference_to_no_node_is_found),
		TEST(a_child_of_the_wrong_level_is_found),
		TEST(a_wrong_number_of_blocks_below_a_node_is_found),
		TEST(a_wrong_refer_is_found),
		TEST(a_name_counted_too_often_is_found),
		TEST(a_name_in_use_and_not_counted_is_found),
		TEST(a_name_in_no_segment_is_found),
		TEST(a_wrong_live_number_is_found),
		TEST(a_name_without_an_address_is_found),
		TEST(a_check_brings_no_node_into_memory),
		TEST(lost_blocks_are_told_but_no_error),
		SERVED_TEST(a_block_in_many_leaves_is_counted),
		TEST(a_damaged_node_is_found),
		SERVED_TEST(a_damaged_node_is_found_while_served),
		SERVED_TEST(a_damaged_page_is_found_while_served),
		SERVED_TEST(a_served_store_is_checked_as_it_is_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
