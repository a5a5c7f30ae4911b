/* SPDX-License-Identifier: BSD-2-Clause */
/* What damage means to users: each test reads the lines of a report. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "damage.h"
#include "fixture.h"

static char said[16384];
static uint64_t nr_said;
static struct damage damage;

static void listen(void *opaque, const char *line)
{
	size_t at = strlen(said);

	(void)snprintf(said + at, sizeof(said) - at, "%s\n", line);
}

static void report(void)
{
	said[0] = '\0';
	must(damage_report(store, &damage, listen, NULL, &nr_said, &err));
	damage_done(&damage);
}

/* Exactly these lines are said of what was added. */
static void expect_said(const char *wanted)
{
	report();
	if (strcmp(said, wanted) != 0)
		fail_msg("wanted:\n%sgot:\n%s", wanted, said);
}

/* Volume a of 1000 blocks, the first 200 written, and snapshot a@s. */
static int set_up(void **state)
{
	int r = open_store_with_snapshot(1000, 200, state);

	if (r < 0)
		return r;
	damage_init(&damage);
	must(store_checkpoint(store, &err));
	return 0;
}

static void add_block(const char *name, uint64_t block)
{
	damage_add_block(&damage, name_of(name, block));
}

/* "SEGNO:SLOT" */
static const char *name_text(const char *name, uint64_t block)
{
	struct birth birth = name_of(name, block);
	static char text[40];

	(void)snprintf(text, sizeof(text), "%llu:%u",
		       (unsigned long long)birth_segno(birth),
		       birth_slot(birth));
	return text;
}

static void no_damage_is_no_lines(void **state)
{
	assert_true(damage_is_empty(&damage));
	expect_said("");
	assert_int_equal(nr_said, 0);
}

static void a_shared_block_is_one_line_with_all_that_share_it(void **state)
{
	static const char *const b[] = {"b"};
	char wanted[200];

	must(store_clone(store, "a@s", b, 1, &err));
	add_block("a@s", 10);
	add_block("a@s", 10); /* found twice is once */
	(void)snprintf(wanted, sizeof(wanted),
		       "a: offset 40960, length 4096: damaged block %s; "
		       "shared with a@s, b\n",
		       name_text("a", 10));
	expect_said(wanted);
	assert_int_equal(nr_said, 1);
}

static void a_block_that_was_written_since_is_the_snapshots_alone(void **state)
{
	char wanted[200];

	add_block("a", 10);
	(void)snprintf(wanted, sizeof(wanted),
		       "a@s: offset 40960, length 4096: damaged block %s\n",
		       name_text("a", 10));
	put_in("a", 10, 1, 2);
	expect_said(wanted);
}

static void neighbours_are_one_range_across_leaves(void **state)
{
	char wanted[300], first[40];

	(void)strcpy(first, name_text("a", 60));
	for (uint64_t block = 60; block < 70; block++)
		add_block("a", block);
	add_block("a", 100);
	(void)snprintf(wanted, sizeof(wanted),
		       "a: offset 245760, length 40960: damaged block %s and 9 "
		       "more; shared with a@s\n"
		       "a: offset 409600, length 4096: damaged block %s; "
		       "shared with a@s\n",
		       first, name_text("a", 100));
	expect_said(wanted);
}

static void neighbours_shared_by_others_are_ranges_of_their_own(void **state)
{
	char wanted[400], names[3][40];

	(void)strcpy(names[0], name_text("a", 4));
	put_in("a", 6, 2, 2); /* 4, 5 shared; 6, 7 not */
	(void)strcpy(names[1], name_text("a", 6));
	(void)strcpy(names[2], name_text("a@s", 6));
	for (uint64_t block = 4; block < 8; block++) {
		add_block("a", block);
		add_block("a@s", block);
	}
	report();
	(void)snprintf(wanted, sizeof(wanted),
		       "a: offset 16384, length 8192: damaged block %s and 1 "
		       "more; shared with a@s\n",
		       names[0]);
	assert_non_null(strstr(said, wanted));
	(void)snprintf(wanted, sizeof(wanted),
		       "a: offset 24576, length 8192: damaged block %s and 1 "
		       "more\n",
		       names[1]);
	assert_non_null(strstr(said, wanted));
	(void)snprintf(wanted, sizeof(wanted),
		       "a@s: offset 24576, length 8192: damaged block %s and 1 "
		       "more\n",
		       names[2]);
	assert_non_null(strstr(said, wanted));
	assert_int_equal(nr_said, 3);
}

static void an_unreadable_leaf_is_its_range(void **state)
{
	char wanted[200];
	uint32_t id = load_node_of("a", 0, 70)->id;

	damage_add_node(&damage, id);
	(void)snprintf(wanted, sizeof(wanted),
		       "a: offset 262144, length 262144: unreadable map node "
		       "%u; shared with a@s\n",
		       id);
	expect_said(wanted);
}

static void an_unreadable_root_is_the_whole_volume(void **state)
{
	char wanted[200];
	uint32_t id;

	put_in("a", 0, 1, 2); /* a has a root of its own now */
	id = load_node_of("a@s", INNER_LEVELS, 0)->id;
	damage_add_node(&damage, id);
	(void)snprintf(wanted, sizeof(wanted),
		       "a@s: offset 0, length 4096000: unreadable map node "
		       "%u\n",
		       id);
	expect_said(wanted);
}

static void
what_lies_below_an_unreadable_node_is_said_to_be_unreached(void **state)
{
	uint32_t id = load_node_of("a", 1, 0)->id;
	char wanted[300];

	add_block("a", 3);
	(void)snprintf(wanted, sizeof(wanted),
		       "a: offset 0, length 4096000: unreadable map node %u; "
		       "shared with a@s\n"
		       "block %s: damaged; nothing that is readable leads to "
		       "it\n",
		       id, name_text("a", 3));
	damage_add_node(&damage, id);
	expect_said(wanted);
}

static void what_was_deleted_is_in_no_volume(void **state)
{
	struct birth name = name_of("a", 3);
	uint32_t id = load_node_of("a", 0, 70)->id;
	char wanted[300];

	damage_add_block(&damage, name);
	damage_add_node(&damage, id);
	delete_volume("a"); /* and nobody reaps */
	(void)snprintf(wanted, sizeof(wanted),
		       "map node %u: unreadable; nothing that is readable "
		       "leads to it\n"
		       "block %llu:%u: damaged; nothing that is readable leads "
		       "to it\n",
		       id, (unsigned long long)birth_segno(name),
		       birth_slot(name));
	expect_said(wanted);
}

static void a_node_found_unreadable_is_reported_too(void **state)
{
	const struct node *n = load_node_of("a", 1, 0);
	const struct node_entry *e = node_entry(&store->nodes, n->id);
	uint64_t place = segment_find(&store->segments, e->segno)->place;
	char wanted[200];

	(void)snprintf(wanted, sizeof(wanted),
		       "a: offset 0, length 4096000: unreadable map node %u; "
		       "shared with a@s\n",
		       n->id);
	memory_disk_damage(disk, place, e->offset + 20, 1);
	reopen_read_only();
	expect_said(wanted);
}

static void a_child_that_does_not_exist_is_a_range(void **state)
{
	reopen_read_only();
	load_node_of("a", 1, 0)->inner->children[2] = 4711;
	expect_said("a: offset 524288, length 262144: unreadable map node "
		    "4711; shared with a@s\n");
}

static void many_sharers_are_counted(void **state)
{
	char name[32];
	int i;

	for (i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "a@t%d", i);
		snapshot(name);
	}
	add_block("a", 0);
	report();
	assert_non_null(strstr(said, "; shared with a@s, a@t0, a@t1, a@t2, "
				     "a@t3, a@t4, a@t5, a@t6 and 13 more\n"));
	assert_int_equal(nr_said, 1);
}

/* Bytes from disk: one leaf below all of two inner nodes. */
static void a_node_that_is_everywhere_ends_in_one_range(void **state)
{
	struct node *leaf, *inner, *upper;

	reopen_read_only();
	leaf = load_node_of("a", 0, 0);
	inner = load_node_of("a", 1, 0);
	upper = load_node_of("a", 2, 0);
	for (uint32_t i = 0; i < INNER_CHILDREN; i++) {
		inner->inner->children[i] = leaf->id;
		upper->inner->children[i] = inner->id;
	}
	damage_add_node(&damage, leaf->id);
	report();
	assert_int_equal(nr_said, 1);
	assert_non_null(strstr(said, "a: offset 0, length 4096000: unreadable "
				     "map node"));
	assert_non_null(strstr(said, " and 262143 more; shared with a@s\n"));
}

static void it_needs_no_more_memory_than_is_allowed(void **state)
{
	struct volume_handle *h = create_volume("b", 64000);

	for (uint64_t block = 0; block < 64000; block += LEAF_BLOCKS)
		put(h, block, 1, 3);
	volume_close(h);
	reopen(true);
	add_block("b", 0);
	add_block("b", 63936);
	store->nodes.bytes_max = 200000; /* of over a million */
	report();
	assert_int_equal(nr_said, 2);
	assert_true(stat_now().nodes_bytes < 210000);
}

static void more_lines_than_the_limit_are_cut(void **state)
{
	static uint64_t block;
	struct node *inner;

	reopen_read_only();
	inner = load_node_of("a", 1, 0);
	/* every second block of 512 leaves, in each of 512 places */
	for (uint32_t i = 0; i < INNER_CHILDREN; i++) {
		inner->inner->children[i] = load_node_of("a", 0, 0)->id;
		load_node_of("a", 2, 0)->inner->children[i] = inner->id;
	}
	for (block = 0; block < LEAF_BLOCKS; block += 2)
		add_block("a", block);
	report();
	assert_int_equal(nr_said, DAMAGE_LINES_MAX);
	assert_non_null(strstr(said, "a: offset 0, length 4096: damaged"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, close_store)
		TEST(no_damage_is_no_lines),
		TEST(a_shared_block_is_one_line_with_all_that_share_it),
		TEST(a_block_that_was_written_since_is_the_snapshots_alone),
		TEST(neighbours_are_one_range_across_leaves),
		TEST(neighbours_shared_by_others_are_ranges_of_their_own),
		TEST(an_unreadable_leaf_is_its_range),
		TEST(an_unreadable_root_is_the_whole_volume),
		TEST(what_lies_below_an_unreadable_node_is_said_to_be_unreached),
		TEST(what_was_deleted_is_in_no_volume),
		TEST(a_node_found_unreadable_is_reported_too),
		TEST(a_child_that_does_not_exist_is_a_range),
		TEST(many_sharers_are_counted),
		TEST(a_node_that_is_everywhere_ends_in_one_range),
		TEST(it_needs_no_more_memory_than_is_allowed),
		TEST(more_lines_than_the_limit_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
