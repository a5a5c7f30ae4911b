/* SPDX-License-Identifier: BSD-2-Clause */
/* Nodes: counts, shadowing, the cut, ids that come back, faults. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "fixture.h"

static struct nodes *nodes;

static int set_up(void **state)
{
	int r = make_modules(state);

	nodes = &store->nodes;
	return r;
}

static struct node *new_node(unsigned int level)
{
	assert_int_equal(nodes_prepare(nodes), 0);
	return node_new(nodes, level, 1);
}

static uint32_t count(uint32_t id)
{
	return node_entry(nodes, id)->count;
}

static void cut(void)
{
	store->core.generation++;
	nodes_cut(nodes);
	page_table_cut(&nodes->pages);
}

/* Write what is pending, as a checkpoint does, as records in @meta. */
static void write_pending(struct segment *meta)
{
	uint8_t record[NODE_BYTES_MAX];
	uint32_t hash, length;

	for (size_t i = 0; i < nodes->pending.len; i++) {
		struct node *n = nodes->pending.ptr[i];

		if (!n)
			continue;
		length = node_encode_pending(n, record, &hash);
		must(segment_add_meta(&store->segments, meta->segno, length,
				      &err));
		node_written(nodes, n, meta->segno, RECORD_OFFSET_MIN, length,
			     hash);
		nodes->pending.ptr[i] = NULL;
	}
}

/* The rest of a checkpoint, as far as nodes are concerned. */
static void finish(struct segment *meta)
{
	write_pending(meta);
	for (size_t i = 0; i < nodes->pages.pending.len; i++) {
		struct page *page =
			&nodes->pages.pages[nodes->pages.pending.ptr[i]];

		free(page->image);
		page->image = NULL;
		page->pending = false;
		page->frozen = false;
	}
	nodes_checkpoint_done(nodes);
}

static void a_new_node_is_empty_dirty_and_counted_once(void **state)
{
	struct node *n = new_node(0);
	uint32_t missing;

	assert_int_equal(count(n->id), 1);
	assert_int_equal(nodes->dirty.len, 1);
	assert_int_equal(nodes->nr_nodes, 1);
	for (uint32_t i = 0; i < LEAF_BLOCKS; i++)
		assert_int_equal(leaf_entry_kind(n->leaf->entries[i]),
				 ENTRY_HOLE);
	must(node_get(nodes, n->id, 0, &n, &missing, &err));
}

static void ids_from_disk_are_checked(void **state)
{
	struct node *n = new_node(2);
	uint32_t missing;

	assert_true(node_exists(nodes, n->id));
	assert_false(node_exists(nodes, 0));
	assert_false(node_exists(nodes, n->id + 1));
	assert_false(node_exists(nodes, UINT32_MAX));
	refused(node_get(nodes, n->id, 1, &n, &missing, &err), EUCLEAN,
		"has level 2");
	refused(node_get(nodes, n->id + 1, 1, &n, &missing, &err), EUCLEAN,
		"does not exist");
	refused(node_get(nodes, UINT32_MAX, 1, &n, &missing, &err), EUCLEAN,
		"does not exist");
}

static void a_shadow_shares_what_it_holds(void **state)
{
	struct birth name = birth_make(add_segment(SEGMENT_DATA)->segno, 2);
	struct node *leaf = new_node(0), *inner = new_node(1), *copy;

	must(count_add(&store->segments, name, 1, &err));
	leaf->leaf->entries[9] = leaf_entry_data(name, 7);
	inner->inner->children[3] = leaf->id;
	node_entry(nodes, leaf->id)->used = 1;

	assert_int_equal(nodes_prepare(nodes), 0);
	must(node_shadow(nodes, inner, 2, &copy, &err));
	assert_int_equal(copy->inner->children[3], leaf->id);
	assert_int_equal(copy->epoch, 2);
	assert_int_equal(count(leaf->id), 2);
	assert_int_equal(count(copy->id), 1);

	must(node_shadow(nodes, leaf, 2, &copy, &err));
	assert_int_equal(copy->leaf->entries[9].checksum, 7);
	assert_int_equal(count_get(&store->segments, name), 2);
	assert_int_equal(node_entry(nodes, copy->id)->used, 1);
}

static void a_shadow_of_a_damaged_node_changes_nothing(void **state)
{
	struct node *child = new_node(0), *inner = new_node(1), *copy;

	inner->inner->children[0] = child->id;
	inner->inner->children[1] = 4711;
	refused(node_shadow(nodes, inner, 2, &copy, &err), EUCLEAN,
		"child 4711 does not exist");
	assert_int_equal(count(child->id), 1);
	assert_int_equal(nodes->nr_nodes, 2);
}

static void a_pending_node_is_encoded_as_of_the_cut(void **state)
{
	uint8_t before[NODE_BYTES_MAX], after[NODE_BYTES_MAX];
	struct node *n = new_node(1);
	uint32_t hash, later, length;

	n->inner->children[0] = 11;
	cut();
	length = node_encode_pending(n, before, &hash);
	assert_null(n->image);
	node_touch(nodes, n);
	n->inner->children[0] = 12;
	assert_int_equal(node_encode_pending(n, after, &later), length);
	assert_memory_equal(before, after, length);
	assert_int_equal(hash, later);
	assert_int_equal(nodes->dirty.len, 1);
}

/* So that a checkpoint takes no memory beyond what leaves may take. */
static void the_image_of_a_leaf_counts_as_a_leaf(void **state)
{
	struct segment *meta = add_segment(SEGMENT_META);
	struct node *n = new_node(0);
	uint64_t bytes = nodes->leaf_bytes;

	cut();
	node_touch(nodes, n);
	assert_non_null(n->image);
	assert_int_equal(nodes->leaf_bytes, 2 * bytes);
	write_pending(meta);
	assert_int_equal(nodes->leaf_bytes, bytes);
}

static void a_node_freed_after_the_cut_is_still_written(void **state)
{
	struct segment *meta = add_segment(SEGMENT_META);
	struct node *n = new_node(1);
	uint8_t record[NODE_BYTES_MAX];
	uint32_t hash;

	n->inner->children[0] = 11;
	cut();
	node_free(nodes, n);
	assert_false(node_exists(nodes, n->id));
	assert_true(n->zombie);
	assert_true(node_encode_pending(n, record, &hash) > 0);
	write_pending(meta);
	/* nothing refers to the record: it does not keep its segment */
	assert_int_equal(meta->live, 0);
	assert_int_equal(nodes->nr_loaded, 0);
}

static void writing_notes_the_record_in_the_frozen_page_too(void **state)
{
	struct segment *meta = add_segment(SEGMENT_META);
	struct node *n = new_node(1);
	struct node_entry entries[NODE_TABLE_PAGE_ENTRIES];
	struct page *page = &nodes->pages.pages[0];

	cut();
	node_ref(nodes, n->id); /* freezes the page at count 1 */
	assert_true(page->frozen);
	write_pending(meta);
	must(node_table_page_decode(page->image, page->image_bytes, 0, entries,
				    &err));
	assert_int_equal(entries[n->id].count, 1);
	assert_int_equal(entries[n->id].segno, meta->segno);
	assert_int_equal(count(n->id), 2);
	assert_int_equal(node_entry(nodes, n->id)->segno, meta->segno);
	assert_int_equal(meta->live, NODE_INNER_BYTES);
}

static void an_id_is_used_again_only_after_its_checkpoint(void **state)
{
	struct segment *meta = add_segment(SEGMENT_META);
	struct node *n = new_node(1);
	uint32_t id = n->id;

	node_free(nodes, n);
	assert_int_not_equal(new_node(1)->id, id);
	cut();
	assert_int_not_equal(new_node(1)->id, id);
	finish(meta);
	assert_int_equal(new_node(1)->id, id);
}

static void an_id_freed_after_the_cut_waits_for_the_next(void **state)
{
	struct segment *meta = add_segment(SEGMENT_META);
	struct node *n = new_node(1);
	uint32_t id = n->id;

	cut();
	node_free(nodes, n);
	finish(meta);
	assert_int_not_equal(new_node(1)->id, id);
	cut();
	finish(meta);
	assert_int_equal(new_node(1)->id, id);
}

static void a_table_that_ends_before_the_next_id_is_refused(void **state)
{
	refused(nodes_begin_load(nodes, 0, &err), EUCLEAN,
		"beyond the node table");
	refused(nodes_begin_load(nodes, 146, &err), EUCLEAN,
		"beyond the node table");
	must(nodes_begin_load(nodes, 1, &err));
}

/* ---- on a store ---- */

static uint32_t root_on_disk(void)
{
	make_volume("a", 64, 3);
	reopen(true);
	nodes = &store->nodes;
	return volume_find_head(&store->volumes, "a")->map.root;
}

static void a_missing_node_is_faulted_in(void **state)
{
	uint32_t id = root_on_disk(), missing = 0;
	struct node *n;

	lock_core();
	assert_int_equal(node_get(nodes, id, INNER_LEVELS, &n, &missing, &err),
			 -EAGAIN);
	unlock_core();
	assert_int_equal(missing, id);
	must(nodes_fault(nodes, id, &err));
	must(nodes_fault(nodes, id, &err));
	lock_core();
	must(node_get(nodes, id, INNER_LEVELS, &n, &missing, &err));
	unlock_core();
	must(nodes_fault(nodes, UINT32_MAX, &err)); /* gone by now */
}

static void a_damaged_record_is_never_a_node(void **state)
{
	uint32_t id = root_on_disk();
	struct node_entry e = *node_entry(nodes, id);
	uint64_t place = segment_find(&store->segments, e.segno)->place;

	memory_disk_damage(disk, place, e.offset + 20, 1);
	refused(nodes_fault(nodes, id, &err), EBADMSG, "node");
	memory_disk_damage(disk, place, e.offset + 20, 1);
	memory_disk_fault(disk, MEMORY_READ, 1, EIO, false);
	refused(nodes_fault(nodes, id, &err), EIO, "injected");
	must(nodes_fault(nodes, id, &err));
}

static void what_the_cleaner_touches_is_counted(void **state)
{
	uint32_t id = root_on_disk(), missing;
	struct node *n, *copy;

	lock_core();
	nodes_cleaning_begin(nodes);
	assert_int_equal(nodes->nr_cleaning_touches, 0);
	unlock_core();
	must(nodes_fault(nodes, id, &err));
	assert_int_equal(nodes->nr_cleaning_touches, 1);
	lock_core();
	must(node_get(nodes, id, INNER_LEVELS, &n, &missing, &err));
	assert_int_equal(nodes->nr_cleaning_touches, 2);
	assert_ptr_equal(node_peek(nodes, id), n);
	assert_int_equal(nodes->nr_cleaning_touches, 3);
	node_entry_touch(nodes, id);
	assert_int_equal(nodes->nr_cleaning_touches, 4);
	node_touch(nodes, n);
	assert_true(nodes->nr_cleaning_touches > 4);
	nodes->nr_cleaning_touches = 0;
	unlock_core();
	must(node_copy(nodes, id, &copy, &err));
	free(copy);
	assert_int_equal(nodes->nr_cleaning_touches, 1);
	lock_core();
	nodes_cleaning_end(nodes);
	(void)node_peek(nodes, id);
	assert_int_equal(nodes->nr_cleaning_touches, 1);
	unlock_core();
}

static void *begin_cleaning(void *arg)
{
	lock_core();
	nodes_cleaning_begin(nodes);
	unlock_core();
	return NULL;
}

static void what_others_touch_meanwhile_is_not_counted(void **state)
{
	uint32_t id = root_on_disk();
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, begin_cleaning, NULL),
			 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	lock_core();
	node_entry_touch(nodes, id);
	assert_int_equal(nodes->nr_cleaning_touches, 0);
	nodes_cleaning_end(nodes);
	unlock_core();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, free_modules)
#define STORE_TEST(name) \
	cmocka_unit_test_setup_teardown(name, open_store, close_store)
		TEST(a_new_node_is_empty_dirty_and_counted_once),
		TEST(ids_from_disk_are_checked),
		TEST(a_shadow_shares_what_it_holds),
		TEST(a_shadow_of_a_damaged_node_changes_nothing),
		TEST(a_pending_node_is_encoded_as_of_the_cut),
		TEST(the_image_of_a_leaf_counts_as_a_leaf),
		TEST(a_node_freed_after_the_cut_is_still_written),
		TEST(writing_notes_the_record_in_the_frozen_page_too),
		TEST(an_id_is_used_again_only_after_its_checkpoint),
		TEST(an_id_freed_after_the_cut_waits_for_the_next),
		TEST(a_table_that_ends_before_the_next_id_is_refused),
		STORE_TEST(a_missing_node_is_faulted_in),
		STORE_TEST(a_damaged_record_is_never_a_node),
		STORE_TEST(what_the_cleaner_touches_is_counted),
		STORE_TEST(what_others_touch_meanwhile_is_not_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
