/* SPDX-License-Identifier: BSD-2-Clause */
/* The pages of the node table in memory: made, loaded, lost. */
#include "node-internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "meta-reader.h"

/* Room for page @index in the table. */
static int reserve(struct nodes *nodes, uint32_t index)
{
	uint32_t cap = nodes->table_cap ? nodes->table_cap : 64;
	struct node_page **table;

	if (index < nodes->table_cap)
		return 0;
	while (cap <= index)
		cap *= 2;
	table = reallocarray(nodes->table, cap, sizeof(*table));
	if (!table)
		return -ENOMEM;
	memset(table + nodes->table_cap, 0,
	       (cap - nodes->table_cap) * sizeof(*table));
	nodes->table = table;
	nodes->table_cap = cap;
	return 0;
}

int node_page_make(struct nodes *nodes, uint32_t index)
{
	if (reserve(nodes, index) < 0)
		return -ENOMEM;
	if (!nodes->table[index]) {
		nodes->table[index] = calloc(1, sizeof(struct node_page));
		if (!nodes->table[index])
			return -ENOMEM;
		nodes->table[index]->is_loaded = true;
		nodes->table[index]->is_single = true;
	}
	return page_table_grow(&nodes->pages, index + 1);
}

void node_pages_done(struct nodes *nodes)
{
	for (uint32_t p = 0; p < nodes->table_cap; p++) {
		struct node_page *page = nodes->table[p];

		if (!page)
			continue;
		for (uint32_t i = 0;
		     page->is_loaded && i < NODE_TABLE_PAGE_ENTRIES; i++)
			if (page->nodes[i])
				node_release(nodes, page->nodes[i]);
		if (page->is_single)
			free(page);
	}
	free(nodes->loadable);
	free(nodes->table);
}

/* ---- loading ---- */

static int check_next_id(const struct nodes *nodes, uint32_t next_id,
			 struct error *err)
{
	uint64_t known =
		(uint64_t)nodes->pages.nr_pages * NODE_TABLE_PAGE_ENTRIES;

	if (next_id == 0 || (next_id > known && next_id != 1))
		return error_set(err, EUCLEAN,
				 "next node id %" PRIu32
				 " is beyond the node table",
				 next_id);
	/* a page is made known at most one ahead of the ids in use */
	if (nodes->pages.nr_pages > next_id / NODE_TABLE_PAGE_ENTRIES + 2)
		return error_set(err, EUCLEAN,
				 "%" PRIu32 " pages for %" PRIu32 " nodes",
				 nodes->pages.nr_pages, next_id);
	return 0;
}

/* Check that what the entries of page @index name can be there. */
static int check_entries(struct nodes *nodes, uint32_t index, struct error *err)
{
	uint32_t id = index * NODE_TABLE_PAGE_ENTRIES;

	for (uint32_t i = 0; i < NODE_TABLE_PAGE_ENTRIES; i++, id++) {
		const struct node_entry *e = &nodes->table[index]->entries[i];

		if (id >= nodes->load_next_id)
			break;
		if (e->count == 0)
			continue;
		if (id == 0)
			return error_set(err, EUCLEAN, "node 0 is in use");
		if (!segment_find_meta(nodes->segments, e->segno))
			return error_set(err, EUCLEAN,
					 "node %" PRIu32 ": segment %" PRIu64
					 " holds no such metadata record",
					 id, e->segno);
	}
	return 0;
}

/* The entries of page @index, checked, count from now on. */
static int count_entries(struct nodes *nodes, uint32_t index)
{
	uint32_t id = index * NODE_TABLE_PAGE_ENTRIES;

	if (index_vector_reserve(&nodes->free_ids, NODE_TABLE_PAGE_ENTRIES) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < NODE_TABLE_PAGE_ENTRIES; i++, id++) {
		const struct node_entry *e = &nodes->table[index]->entries[i];

		if (id >= nodes->load_next_id)
			break;
		if (e->count > 0) {
			(void)segment_add_meta(nodes->segments, e->segno,
					       e->length, NULL);
			nodes->nr_nodes++;
		} else if (id > 0) { /* reserved */
			(void)index_vector_push(&nodes->free_ids, id);
		}
	}
	return 0;
}

/* Page @index of those that are there to be loaded. */
static void set_loaded(struct nodes *nodes, uint32_t index)
{
	nodes->table[index]->is_loaded = true;
	nodes->nr_unloaded--;
}

/*
 * Memory is taken for what the store holds, and only once it is loaded: it is
 * zero, and in one piece.
 */
static int make_loadable(struct nodes *nodes)
{
	const struct page *pages = nodes->pages.pages;
	uint32_t nr = 0;

	for (uint32_t p = 0; p < nodes->pages.nr_pages; p++)
		nr += pages[p].ref.segno != 0;
	if (nr == 0)
		return 0;
	nodes->loadable = calloc(nr, sizeof(*nodes->loadable));
	if (!nodes->loadable)
		return -ENOMEM;
	nodes->nr_unloaded = nr;
	nr = 0;
	for (uint32_t p = 0; p < nodes->pages.nr_pages; p++)
		if (pages[p].ref.segno)
			nodes->table[p] = &nodes->loadable[nr++];
	return 0;
}

int nodes_begin_load(struct nodes *nodes, uint32_t next_id, struct error *err)
{
	int r = check_next_id(nodes, next_id, err);

	mutex_assert_held(&nodes->core->lock);
	if (r < 0)
		return r;
	nodes->next_id = nodes->load_next_id = next_id;
	r = reserve(nodes, nodes->pages.nr_pages);
	if (r == 0)
		r = make_loadable(nodes);
	/* lost with its directory */
	for (uint32_t p = 0; r == 0 && p < nodes->pages.nr_pages; p++)
		if (nodes->pages.pages[p].ref.segno == 0 && nodes->table[p])
			r = count_entries(nodes, p);
	return r < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

int nodes_load_page(struct nodes *nodes, uint32_t index, const void *page,
		    size_t length, struct error *err)
{
	struct node_page *to = nodes->table[index];
	int r;

	mutex_assert_held(&nodes->core->lock);
	r = node_table_page_decode(page, length, index, to->entries, err);
	if (r == 0)
		r = check_entries(nodes, index, err);
	if (r == 0 && count_entries(nodes, index) < 0)
		r = error_set(err, ENOMEM, "out of memory");
	if (r == 0)
		set_loaded(nodes, index);
	else /* half a page is none */
		memset(to->entries, 0, sizeof(to->entries));
	return r;
}

int nodes_lose_page(struct nodes *nodes, uint32_t index)
{
	mutex_assert_held(&nodes->core->lock);
	if (node_page_make(nodes, index) < 0)
		return -ENOMEM;
	if (nodes_page_is_loaded(nodes, index))
		return 0;
	set_loaded(nodes, index);
	return count_entries(nodes, index);
}

int nodes_make_pages(struct nodes *nodes, struct error *err)
{
	uint32_t next_id = nodes->load_next_id;

	mutex_assert_held(&nodes->core->lock);
	/* one with ids that were in use has been written; those ahead of the
	 * ids are made here */
	for (uint32_t p = 0; p < nodes->pages.nr_pages; p++) {
		if (!nodes->table[p] && next_id > 1 &&
		    p * NODE_TABLE_PAGE_ENTRIES < next_id)
			return error_set(err, EUCLEAN,
					 "page %" PRIu32
					 " of the node table is missing",
					 p);
		if (node_page_make(nodes, p) < 0)
			return error_set(err, ENOMEM, "out of memory");
	}
	/* new ids come from there, and to take one cannot fail */
	return node_want(nodes, next_id, err);
}

static int read_page(struct nodes *nodes, uint32_t index, struct error *err)
{
	const struct page_ref *ref = &nodes->pages.pages[index].ref;
	CLEANUP_FREE void *record = NULL;
	int r;

	r = meta_record_load(nodes->segments, ref, &record, err);
	if (r < 0)
		return r;
	r = nodes_load_page(nodes, index, record, ref->length, err);
	if (r < 0)
		segment_drop_meta(nodes->segments, ref->segno, ref->length);
	return r;
}

int nodes_want_page(struct nodes *nodes, uint32_t index, struct error *err)
{
	int r = 0;

	mutex_assert_held(&nodes->core->lock);
	if (!nodes_page_is_loaded(nodes, index))
		r = read_page(nodes, index, err);
	return r < 0 ? error_prefix(err, "node table: page %" PRIu32, index)
		     : 0;
}

int node_want(struct nodes *nodes, uint32_t id, struct error *err)
{
	uint32_t index = id / NODE_TABLE_PAGE_ENTRIES;

	if (index >= nodes->pages.nr_pages)
		return 0;
	return nodes_want_page(nodes, index, err);
}

void node_page_must_load(struct nodes *nodes, uint32_t index)
{
	struct error failure = ERROR_NONE;

	mutex_assert_held(&nodes->core->lock);
	if (nodes_want_page(nodes, index, &failure) == 0)
		return;
	core_fail(nodes->core, &failure);
	set_loaded(nodes, index);
}

bool nodes_page_is_loaded(const struct nodes *nodes, uint32_t index)
{
	mutex_assert_held(&nodes->core->lock);
	return nodes->table[index]->is_loaded;
}

bool node_is_loaded(const struct nodes *nodes, uint32_t id)
{
	return id >= nodes->next_id ||
	       nodes_page_is_loaded(nodes, id / NODE_TABLE_PAGE_ENTRIES);
}

int node_children_are_loaded(const struct nodes *nodes, const struct node *n,
			     uint32_t *ret_missing)
{
	for (uint32_t i = 0; n->level > 0 && i < INNER_CHILDREN; i++) {
		if (n->inner->children[i] == 0 ||
		    node_is_loaded(nodes, n->inner->children[i]))
			continue;
		*ret_missing = n->inner->children[i];
		return -EAGAIN;
	}
	return 0;
}

bool nodes_are_loaded(const struct nodes *nodes)
{
	mutex_assert_held(&nodes->core->lock);
	return nodes->nr_unloaded == 0;
}
