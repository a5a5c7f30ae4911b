/* SPDX-License-Identifier: BSD-2-Clause */
#include "freed.h"

#include <assert.h>
#include <stdlib.h>

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

/* One reference of @key less; returns how many were taken, or -ENOMEM. */
static int64_t take(struct taken *t, uint64_t key)
{
	size_t i;

	if (t->nr * 2 >= t->cap && taken_grow(t) < 0)
		return -ENOMEM;
	i = taken_slot(t, key);
	if (t->keys[i] == 0) {
		t->keys[i] = key;
		t->nr++;
	}
	return ++t->counts[i];
}

struct release {
	struct store *store;
	struct taken nodes;
	struct taken blocks;
	struct index_vector queue; /* nodes that lost their last reference */
	uint64_t freed;
};

/* Core held. */
static int release_node(struct release *rel, uint32_t id)
{
	struct nodes *nodes = &rel->store->nodes;
	int64_t n = take(&rel->nodes, id);

	if (n < 0)
		return -ENOMEM;
	if (!node_exists(nodes, id) || n < node_entry(nodes, id)->count)
		return 0;
	return index_vector_push(&rel->queue, id);
}

static int release_leaf(struct release *rel, const struct leaf_content *leaf)
{
	for (uint32_t i = 0; i < LEAF_BLOCKS; i++) {
		struct birth name;
		int64_t n;

		if (leaf_entry_kind(leaf->entries[i]) != ENTRY_DATA)
			continue;
		name = leaf_entry_birth(leaf->entries[i]);
		n = take(&rel->blocks, name.value);
		if (n < 0)
			return -ENOMEM;
		rel->freed += n == count_get(&rel->store->segments, name);
	}
	return 0;
}

/* Release what the last queued node holds.  Core held; may be dropped. */
static int release_next(struct release *rel, struct error *err)
{
	struct nodes *nodes = &rel->store->nodes;
	uint32_t id = rel->queue.ptr[rel->queue.len - 1], missing;
	struct node *n;
	int r;

	r = node_get(nodes, id, LEVEL_ANY, &n, &missing, err);
	if (r == -EAGAIN)
		return store_fault(rel->store, missing, err);
	rel->queue.len--;
	if (r < 0) /* freed meanwhile: nothing to count */
		return 0;
	if (n->level == 0)
		r = release_leaf(rel, n->leaf);
	else
		for (uint32_t i = 0; r == 0 && i < INNER_CHILDREN; i++)
			if (n->inner->children[i])
				r = release_node(rel, n->inner->children[i]);
	return r < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

int freed_blocks(struct store *store, const struct index_vector *roots,
		 uint64_t *ret, struct error *err)
{
	struct release rel = {.store = store};
	int r = 0;

	for (size_t i = 0; r == 0 && i < roots->len; i++) {
		mutex_lock(&store->core.lock);
		r = release_node(&rel, roots->ptr[i]);
		mutex_unlock(&store->core.lock);
	}
	if (r < 0)
		(void)error_set(err, ENOMEM, "out of memory");
	while (r == 0 && rel.queue.len > 0) {
		mutex_lock(&store->core.lock);
		r = release_next(&rel, err);
		mutex_unlock(&store->core.lock);
	}
	free(rel.nodes.keys);
	free(rel.nodes.counts);
	free(rel.blocks.keys);
	free(rel.blocks.counts);
	index_vector_done(&rel.queue);
	if (r == 0)
		*ret = rel.freed;
	return r;
}
