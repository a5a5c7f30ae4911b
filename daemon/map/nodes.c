/* SPDX-License-Identifier: BSD-2-Clause */
#include "node-internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* On disk, at most. */
static size_t record_bytes(unsigned int level)
{
	return level == 0 ? NODE_LEAF_DENSE_BYTES : NODE_INNER_BYTES;
}

struct node **node_place(const struct nodes *nodes, uint32_t id)
{
	return &nodes->table[id / NODE_TABLE_PAGE_ENTRIES]
			->nodes[id % NODE_TABLE_PAGE_ENTRIES];
}

struct node_entry *node_entry(struct nodes *nodes, uint32_t id)
{
	assert(id < nodes->next_id);
	return &node_page(nodes, id)->entries[id % NODE_TABLE_PAGE_ENTRIES];
}

bool node_exists(struct nodes *nodes, uint32_t id)
{
	return id > 0 && id < nodes->next_id &&
	       node_entry(nodes, id)->count > 0;
}

static size_t node_page_encode(void *owner, uint32_t index, void *ret)
{
	struct nodes *nodes = owner;

	assert(nodes->table[index]->is_loaded); /* else it did not change */
	node_table_page_encode(index, nodes->table[index]->entries, ret);
	return PAGE_BYTES;
}

int nodes_init(struct nodes *nodes, struct core *core,
	       struct segment_table *segments)
{
	*nodes = (struct nodes){.core = core,
				.segments = segments,
				.next_id = 1,
				.bytes_max = UINT64_MAX};
	return page_table_init(&nodes->pages, core, TABLE_NODE,
			       node_page_encode, nodes);
}

void nodes_done(struct nodes *nodes)
{
	for (size_t i = 0; i < nodes->pending.len; i++) {
		struct node *n = nodes->pending.ptr[i];

		if (n && n->zombie)
			node_release(nodes, n);
	}
	node_pages_done(nodes);
	node_memory_done(nodes);
	index_vector_done(&nodes->free_ids);
	index_vector_done(&nodes->freed);
	index_vector_done(&nodes->freed_at_cut);
	index_vector_done(&nodes->reaper);
	node_vector_done(&nodes->dirty);
	node_vector_done(&nodes->pending);
	page_table_done(&nodes->pages);
	*nodes = (struct nodes){0};
}

void nodes_cleaning_begin(struct nodes *nodes)
{
	mutex_assert_held(&nodes->core->lock);
	assert(!nodes->is_cleaning);
	nodes->is_cleaning = true;
	nodes->cleaning_thread = pthread_self();
}

void nodes_cleaning_end(struct nodes *nodes)
{
	mutex_assert_held(&nodes->core->lock);
	assert(nodes->is_cleaning);
	nodes->is_cleaning = false;
}

#define IDS_PER_HOLD (SPARE_LEAVES + SPARE_INNERS)

uint64_t nodes_table_bytes(const struct nodes *nodes)
{
	mutex_assert_held(&nodes->core->lock);
	return (uint64_t)nodes->pages.nr_pages *
	       (sizeof(struct node_page) + sizeof(struct page));
}

bool nodes_have_free_ids(const struct nodes *nodes)
{
	mutex_assert_held(&nodes->core->lock);
	return nodes->free_ids.len >= IDS_PER_HOLD;
}

int nodes_prepare(struct nodes *nodes)
{
	uint32_t nr_new = IDS_PER_HOLD;
	int r;

	mutex_assert_held(&nodes->core->lock);
	node_evict_some(nodes); /* nobody holds a node before this */
	/* counts that grow beyond two bits need room, too */
	r = segment_table_prepare(nodes->segments);
	if (r < 0)
		return r;
	r = node_spares_fill(nodes);
	if (r < 0)
		return r;
	if (nodes->free_ids.len < nr_new) {
		if (nodes->next_id > UINT32_MAX - nr_new)
			return -ENOSPC;
		r = node_page_make(nodes, (nodes->next_id + nr_new) /
						  NODE_TABLE_PAGE_ENTRIES);
		if (r < 0)
			return r;
	}
	r = node_vector_reserve(&nodes->dirty, 4 * nr_new);
	if (r < 0)
		return r;
	return index_vector_reserve(&nodes->reaper, REAPER_SLACK);
}

int node_get(struct nodes *nodes, uint32_t id, unsigned int level,
	     struct node **ret, uint32_t *ret_missing, struct error *err)
{
	struct node *n;

	mutex_assert_held(&nodes->core->lock);
	node_note_use(nodes);
	/* a node in memory exists: its entry need not be looked at */
	n = id < nodes->next_id ? *node_place(nodes, id) : NULL;
	if (!n) {
		if (node_is_loaded(nodes, id) && !node_exists(nodes, id))
			return error_set(err, EUCLEAN,
					 "node %" PRIu32 " does not exist", id);
		*ret_missing = id;
		return -EAGAIN;
	}
	if (level != LEVEL_ANY && n->level != level)
		return error_set(err, EUCLEAN,
				 "node %" PRIu32 " has level %u, not %u", id,
				 n->level, level);
	n->used = true;
	*ret = n;
	return 0;
}

struct node *node_peek(struct nodes *nodes, uint32_t id)
{
	mutex_assert_held(&nodes->core->lock);
	node_note_use(nodes);
	return id < nodes->next_id ? *node_place(nodes, id) : NULL;
}

void node_prefetch(const struct nodes *nodes, uint32_t id, uint32_t index)
{
	const struct node *n = NULL;

	if (id < nodes->next_id)
		n = *node_place(nodes, id);
	if (!n)
		return;
	__builtin_prefetch(n, 1);
	/* behind the struct, as node_clear() lays it out */
	__builtin_prefetch((const uint8_t *)(n + 1) +
				   index * sizeof(struct leaf_entry),
			   1);
}

void node_prefetch_all(const struct nodes *nodes, uint32_t id)
{
	const uint8_t *n = NULL;

	if (id < nodes->next_id)
		n = (const uint8_t *)*node_place(nodes, id);
	if (!n)
		return;
	/* an inner node is longer, but there are few of them */
	for (size_t at = 0; at < node_bytes(0); at += 64)
		__builtin_prefetch(n + at);
}

/* ---- change ---- */

void node_entry_touch(struct nodes *nodes, uint32_t id)
{
	node_note_use(nodes);
	(void)node_page(nodes, id); /* what is written is what was there */
	page_table_touch(&nodes->pages, id / NODE_TABLE_PAGE_ENTRIES);
}

uint32_t node_encode_now(const struct node *n, void *ret, uint32_t *ret_hash)
{
	if (n->level == 0)
		return (uint32_t)leaf_encode(n->id, n->epoch, n->leaf, ret,
					     ret_hash);
	return (uint32_t)inner_encode(n->id, n->epoch, n->level, n->inner, ret,
				      ret_hash);
}

/* Keep what a pending node was at the cut. */
static void node_freeze(struct nodes *nodes, struct node *n)
{
	uint8_t record[NODE_BYTES_MAX];
	uint32_t length;

	mutex_assert_held(&nodes->core->lock);
	length = node_encode_now(n, record, &n->image_hash);
	if (node_set_image(nodes, n, record, length) < 0)
		core_fail_nomem(nodes->core);
}

void node_touch(struct nodes *nodes, struct node *n)
{
	mutex_assert_held(&nodes->core->lock);
	node_note_use(nodes);
	if (n->generation == nodes->core->generation)
		return;
	if (n->pending && !n->image)
		node_freeze(nodes, n);
	/* its entry changes when it is written: same checkpoint, same page */
	node_entry_touch(nodes, n->id);
	if (node_vector_push(&nodes->dirty, n) < 0) {
		core_fail_nomem(nodes->core);
		return;
	}
	n->dirty_index = nodes->dirty.len - 1;
	n->generation = nodes->core->generation;
	nodes->dirty_bytes += record_bytes(n->level);
}

struct node *node_new(struct nodes *nodes, unsigned int level, uint32_t epoch)
{
	struct node *n = node_take_spare(nodes, level);
	uint32_t id;

	mutex_assert_held(&nodes->core->lock);
	if (nodes->free_ids.len > 0)
		id = nodes->free_ids.ptr[--nodes->free_ids.len];
	else
		id = nodes->next_id++;
	n->id = id;
	n->epoch = epoch;
	assert(!*node_place(nodes, id));
	*node_place(nodes, id) = n;
	node_count_memory(nodes, n);
	node_entry_touch(nodes, id);
	nodes->nr_nodes++;
	*node_entry(nodes, id) = (struct node_entry){.count = 1};
	node_touch(nodes, n);
	return n;
}

int leaf_add_counts(struct nodes *nodes, const struct leaf_content *leaf,
		    int delta, struct error *err)
{
	struct birth names[LEAF_BLOCKS];
	uint32_t nr = 0;
	int r = 0;

	for (uint32_t i = 0; i < LEAF_BLOCKS; i++)
		if (leaf_entry_kind(leaf->entries[i]) == ENTRY_DATA)
			names[nr++] = leaf_entry_birth(leaf->entries[i]);
	counts_prefetch(nodes->segments, names, nr);
	for (uint32_t i = 0; r == 0 && i < nr; i++)
		r = count_add(nodes->segments, names[i], delta, err);
	return r;
}

static int ref_content(struct nodes *nodes, const struct node *n,
		       struct error *err)
{
	if (n->level == 0)
		return leaf_add_counts(nodes, n->leaf, 1, err);
	for (uint32_t i = 0; i < INNER_CHILDREN; i++)
		if (n->inner->children[i])
			node_ref(nodes, n->inner->children[i]);
	return 0;
}

/* Children named by bytes from disk must exist before they are counted. */
static int check_children(struct nodes *nodes, const struct node *n,
			  struct error *err)
{
	for (uint32_t i = 0; n->level > 0 && i < INNER_CHILDREN; i++) {
		uint32_t id = n->inner->children[i];

		if (id && !node_exists(nodes, id))
			return error_set(err, EUCLEAN,
					 "node %" PRIu32 ": child %" PRIu32
					 " does not exist",
					 n->id, id);
	}
	return 0;
}

int node_shadow(struct nodes *nodes, struct node *n, uint32_t epoch,
		struct node **ret, struct error *err)
{
	struct node *copy;
	int r;

	r = check_children(nodes, n, err);
	if (r < 0)
		return r;
	r = ref_content(nodes, n, err);
	if (r < 0)
		return r;
	copy = node_new(nodes, n->level, epoch);
	if (n->level == 0)
		*copy->leaf = *n->leaf;
	else
		*copy->inner = *n->inner;
	node_entry(nodes, copy->id)->used = node_entry(nodes, n->id)->used;
	*ret = copy;
	return 0;
}

void node_ref(struct nodes *nodes, uint32_t id)
{
	struct node_entry *e = node_entry(nodes, id);

	node_entry_touch(nodes, id);
	assert(e->count > 0);
	/* only damage gets there: from then on the node is never freed */
	if (e->count < UINT32_MAX)
		e->count++;
}

void node_unref_shared(struct nodes *nodes, uint32_t id)
{
	struct node_entry *e = node_entry(nodes, id);

	node_entry_touch(nodes, id);
	assert(e->count > 1);
	if (e->count < UINT32_MAX)
		e->count--;
}

void node_reap(struct nodes *nodes, uint32_t id)
{
	mutex_assert_held(&nodes->core->lock);
	if (index_vector_push(&nodes->reaper, id) < 0)
		core_fail_nomem(nodes->core);
	core_wake(nodes->core, WORKER_JANITOR);
}

/* @id exists no more, and no record of it. */
static void drop_entry(struct nodes *nodes, uint32_t id)
{
	struct node_entry *e = node_entry(nodes, id);

	mutex_assert_held(&nodes->core->lock);
	node_entry_touch(nodes, id);
	if (e->segno)
		segment_drop_meta(nodes->segments, e->segno, e->length);
	*e = (struct node_entry){0};
	*node_place(nodes, id) = NULL;
	nodes->nr_nodes--;
	if (index_vector_push(&nodes->freed, id) < 0)
		core_fail_nomem(nodes->core);
}

void node_forget(struct nodes *nodes, uint32_t id)
{
	struct node *n = *node_place(nodes, id);

	if (n)
		node_free(nodes, n);
	else
		drop_entry(nodes, id);
}

void node_free(struct nodes *nodes, struct node *n)
{
	mutex_assert_held(&nodes->core->lock);
	if (n->pending && !n->image)
		node_freeze(nodes, n);
	drop_entry(nodes, n->id);
	if (n->generation == nodes->core->generation) {
		nodes->dirty.ptr[n->dirty_index] = NULL;
		nodes->dirty_bytes -= record_bytes(n->level);
	}
	if (n->pending)
		n->zombie = true;
	else
		node_release(nodes, n);
}
