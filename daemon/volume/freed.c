/* SPDX-License-Identifier: BSD-2-Clause */
#include "freed.h"

#include <assert.h>
#include <stdlib.h>

/* Set in the count of a node whose children have been released, too. */
#define RELEASED (UINT32_C(1) << 31)
/* Entries of a table looked at in one hold of core. */
#define SLICE 4096u
/* Nodes released in one hold of core. */
#define NODES_SLICE 8u
/* How far ahead of its release a node is fetched into the cache. */
#define PREFETCH 4u

/* References a simulated release has taken away: open addressing. */
struct taken {
	uint64_t *keys; /* 0: empty */
	uint32_t *counts;
	size_t nr, cap;
};

static size_t taken_slot(const struct taken *t, uint64_t key)
{
	size_t i = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 20) &
		   (t->cap - 1);

	while (t->keys[i] != 0 && t->keys[i] != key)
		i = (i + 1) & (t->cap - 1);
	return i;
}

static int taken_grow(struct taken *t)
{
	struct taken grown = {.cap = t->cap ? t->cap * 2 : 1024};

	grown.keys = calloc(grown.cap, sizeof(*grown.keys));
	grown.counts = calloc(grown.cap, sizeof(*grown.counts));
	if (!grown.keys || !grown.counts) {
		free(grown.keys);
		free(grown.counts);
		return -ENOMEM;
	}
	for (size_t i = 0; i < t->cap; i++) {
		size_t at;

		if (t->keys[i] == 0)
			continue;
		at = taken_slot(&grown, t->keys[i]);
		grown.keys[at] = t->keys[i];
		grown.counts[at] = t->counts[i];
		grown.nr++;
	}
	free(t->keys);
	free(t->counts);
	*t = grown;
	return 0;
}

/* One reference of @key less; returns where it is counted, NULL: no memory. */
static uint32_t *take(struct taken *t, uint64_t key)
{
	size_t i;

	if (t->nr * 2 >= t->cap && taken_grow(t) < 0)
		return NULL;
	i = taken_slot(t, key);
	if (t->keys[i] == 0) {
		t->keys[i] = key;
		t->nr++;
	}
	t->counts[i]++;
	return &t->counts[i];
}

struct release {
	struct store *store;
	bool alone; /* one map, which reaches nothing twice */
	struct taken nodes;
	struct taken blocks;
	struct index_vector queue; /* nodes that lost their last reference */
	uint64_t nr_released;	   /* nodes */
	uint64_t freed;
};

/* Core held. */
static int release_node(struct release *rel, uint32_t id)
{
	struct nodes *nodes = &rel->store->nodes;
	uint32_t *n;

	if (rel->alone) {
		if (!node_exists(nodes, id) || node_entry(nodes, id)->count > 1)
			return 0;
		return index_vector_push(&rel->queue, id);
	}
	n = take(&rel->nodes, id);
	if (!n)
		return -ENOMEM;
	if (!node_exists(nodes, id) || *n < node_entry(nodes, id)->count)
		return 0;
	if (*n & RELEASED) /* hostile: more references than are counted */
		return 0;
	*n |= RELEASED;
	return index_vector_push(&rel->queue, id);
}

static int release_leaf(struct release *rel, const struct leaf_content *leaf)
{
	for (uint32_t i = 0; i < LEAF_BLOCKS; i++) {
		struct birth name;
		uint32_t *n, count;

		if (leaf_entry_kind(leaf->entries[i]) != ENTRY_DATA)
			continue;
		name = leaf_entry_birth(leaf->entries[i]);
		count = count_get(&rel->store->segments, name);
		if (count == 1) { /* most are: no need to remember them */
			rel->freed++;
			continue;
		}
		if (rel->alone)
			continue;
		n = take(&rel->blocks, name.value);
		if (!n)
			return -ENOMEM;
		rel->freed += *n == count;
	}
	return 0;
}

static int release_inner(struct release *rel, const struct inner_content *inner)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < INNER_CHILDREN; i++)
		if (inner->children[i])
			r = release_node(rel, inner->children[i]);
	return r;
}

/*
 * Damage can make a node its own descendant: no more nodes are released than
 * there are, some of them twice when their id was used again meanwhile.
 */
static int check_bound(const struct release *rel, struct error *err)
{
	if (rel->nr_released / 2 > rel->store->nodes.next_id)
		return error_set(err, EUCLEAN,
				 "map nodes have more references than are "
				 "counted");
	return 0;
}

static void prefetch(const struct release *rel)
{
	const struct index_vector *queue = &rel->queue;

	if (queue->len > PREFETCH)
		node_prefetch_all(&rel->store->nodes,
				  queue->ptr[queue->len - 1 - PREFETCH]);
}

/* Release what the last queued node holds.  Core held; may be dropped. */
static int release_next(struct release *rel, struct error *err)
{
	struct nodes *nodes = &rel->store->nodes;
	uint32_t id = rel->queue.ptr[rel->queue.len - 1], missing;
	struct node *n;
	int r;

	prefetch(rel);
	r = node_get(nodes, id, LEVEL_ANY, &n, &missing, err);
	if (r == -EAGAIN)
		return store_fault(rel->store, missing, err);
	rel->queue.len--;
	if (r < 0) /* freed meanwhile: nothing to count */
		return 0;
	rel->nr_released++;
	r = n->level == 0 ? release_leaf(rel, n->leaf)
			  : release_inner(rel, n->inner);
	if (r < 0)
		return error_set(err, ENOMEM, "out of memory");
	return check_bound(rel, err);
}

/* Blocks below the root @id: what a volume with this root refers to. */
static uint64_t root_refer(const struct volumes *volumes, uint32_t id)
{
	for (size_t i = 0; i < volumes->all.len; i++)
		if (volumes->all.ptr[i]->map.root == id)
			return volumes->all.ptr[i]->map.refer;
	return 0;
}

/* Blocks at or below the @i-th of @t that others hold, too.  Core held. */
static uint64_t shared_at(const struct release *rel, const struct taken *t,
			  size_t i)
{
	struct store *store = rel->store;
	struct birth name = {t->keys[i]};
	uint32_t id = (uint32_t)t->keys[i];

	if (t->keys[i] == 0 || t->counts[i] & RELEASED)
		return 0;
	if (t == &rel->blocks)
		return t->counts[i] < count_get(&store->segments, name);
	if (!node_exists(&store->nodes, id))
		return 0;
	if (node_entry(&store->nodes, id)->used > 0)
		return node_entry(&store->nodes, id)->used;
	return root_refer(&store->volumes, id);
}

static uint64_t count_shared(const struct release *rel, const struct taken *t)
{
	struct mutex *lock = &rel->store->core.lock;
	uint64_t shared = 0;

	for (size_t i = 0; i < t->cap;) {
		mutex_lock(lock);
		for (size_t end = i + SLICE; i < end && i < t->cap; i++)
			shared += shared_at(rel, t, i);
		mutex_unlock(lock);
		mutex_give_way(lock);
	}
	return shared;
}

static int release_roots(struct release *rel, const struct index_vector *roots,
			 struct error *err)
{
	int r = 0;

	/* in one hold: afterwards they may get other names */
	mutex_lock(&rel->store->core.lock);
	for (size_t i = 0; r == 0 && i < roots->len; i++)
		r = release_node(rel, roots->ptr[i]);
	mutex_unlock(&rel->store->core.lock);
	return r < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

static int release_all(struct release *rel, const struct index_vector *roots,
		       struct error *err)
{
	struct mutex *lock = &rel->store->core.lock;
	int r = release_roots(rel, roots, err);

	while (r == 0 && rel->queue.len > 0) {
		mutex_lock(lock);
		for (uint32_t i = 0;
		     r == 0 && rel->queue.len > 0 && i < NODES_SLICE; i++)
			r = release_next(rel, err);
		mutex_unlock(lock);
		mutex_give_way(lock);
	}
	return r;
}

static void release_done(struct release *rel)
{
	free(rel->nodes.keys);
	free(rel->nodes.counts);
	free(rel->blocks.keys);
	free(rel->blocks.counts);
	index_vector_done(&rel->queue);
}

int freed_blocks(struct store *store, const struct index_vector *roots,
		 struct freed *ret, struct error *err)
{
	struct release rel = {.store = store};
	int r = release_all(&rel, roots, err);

	if (r == 0) {
		ret->blocks = rel.freed;
		ret->shared = count_shared(&rel, &rel.nodes) +
			      count_shared(&rel, &rel.blocks);
	}
	release_done(&rel);
	return r;
}

int freed_alone(struct store *store, const struct index_vector *root,
		uint64_t *ret_blocks, struct error *err)
{
	struct release rel = {.store = store, .alone = true};
	int r;

	assert(root->len <= 1);
	r = release_all(&rel, root, err);
	if (r == 0)
		*ret_blocks = rel.freed;
	release_done(&rel);
	return r;
}
