/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NOTES ON THE DESIGN.  A release is played through on tables of its own: the
 * references taken of each node and block that has more than one.  A node
 * whose last reference is taken is queued, and takes one of each of its
 * children.
 *
 * Nodes are few, but the blocks that a set shares within itself or with others
 * can be all there are.  So their table is bounded: when it overflows, the
 * walk is begun again in twice as many passes, each of which looks at those
 * blocks only whose hash falls to it.
 *
 * Memory is made ready before each hold of core.
 */
#include "freed.h"

#include <assert.h>
#include <stdlib.h>

#include "loader.h"

/* Set in the count of a node whose children have been released, too. */
#define RELEASED (UINT32_C(1) << 31)
/* Entries of a table looked at in one hold of core. */
#define SLICE 4096u
/* Nodes released in one hold of core. */
#define NODES_SLICE 8u
/* References that the nodes of a slice may hold. */
#define SLICE_REFERENCES (NODES_SLICE * INNER_CHILDREN)
#define PASSES_MAX (UINT32_C(1) << 16)
/* How far ahead of its release a node is fetched into the cache. */
#define PREFETCH 4u

/* References a simulated release has taken away: open addressing. */
struct taken {
	uint64_t *keys; /* 0: empty */
	uint32_t *counts;
	size_t nr, cap;
};

static uint64_t hash_of(uint64_t key)
{
	return key * UINT64_C(0x9e3779b97f4a7c15);
}

static size_t taken_slot(const struct taken *t, uint64_t key)
{
	size_t i = (size_t)(hash_of(key) >> 20) & (t->cap - 1);

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

/* Room for @extra more keys in a table that is not full to half. */
static int taken_reserve(struct taken *t, size_t extra)
{
	int r = 0;

	while (r == 0 && (t->nr + extra) * 2 > t->cap)
		r = taken_grow(t);
	return r;
}

static void taken_done(struct taken *t)
{
	free(t->keys);
	free(t->counts);
	*t = (struct taken){0};
}

/* One reference of @key less; returns where it is counted.  Room was made. */
static uint32_t *take(struct taken *t, uint64_t key)
{
	size_t i = taken_slot(t, key);

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
	uint32_t pass, nr_passes;
	struct taken nodes;
	struct taken blocks;	   /* of this pass */
	struct index_vector queue; /* nodes that lost their last reference */
	uint64_t nr_released;	   /* nodes, in this pass */
	uint64_t freed;		   /* blocks, in all passes */
	uint64_t shared;
};

static void release_done(struct release *rel)
{
	taken_done(&rel->nodes);
	taken_done(&rel->blocks);
	index_vector_done(&rel->queue);
}

/*
 * Room for @nr more references.  -EOVERFLOW: of blocks, there are more than
 * @nr_names_max.  Core not held.
 */
static int release_reserve(struct release *rel, size_t nr, size_t nr_names_max)
{
	if (index_vector_reserve(&rel->queue, nr) < 0)
		return -ENOMEM;
	if (rel->alone)
		return 0;
	if (rel->blocks.nr > nr_names_max && rel->nr_passes < PASSES_MAX)
		return -EOVERFLOW;
	if (taken_reserve(&rel->nodes, nr) < 0)
		return -ENOMEM;
	return taken_reserve(&rel->blocks, nr);
}

/* One reference of node @id less.  Core held. */
static void release_node(struct release *rel, uint32_t id)
{
	struct nodes *nodes = &rel->store->nodes;
	bool exists = node_exists(nodes, id);

	if (rel->alone) {
		if (!exists || node_entry(nodes, id)->count > 1)
			return;
	} else {
		uint32_t *n = take(&rel->nodes, id);

		/* hostile: more references than are counted */
		if (!exists || *n & RELEASED ||
		    *n < node_entry(nodes, id)->count)
			return;
		*n |= RELEASED;
	}
	(void)index_vector_push(&rel->queue, id); /* room was made */
}

/* Is the block of this pass? */
static bool is_now(const struct release *rel, struct birth name)
{
	return (hash_of(name.value) >> 48 & (rel->nr_passes - 1)) == rel->pass;
}

static void release_leaf(struct release *rel, const struct leaf_content *leaf)
{
	for (uint32_t i = 0; i < LEAF_BLOCKS; i++) {
		struct birth name;
		uint32_t count;

		if (leaf_entry_kind(leaf->entries[i]) != ENTRY_DATA)
			continue;
		name = leaf_entry_birth(leaf->entries[i]);
		count = count_get(&rel->store->segments, name);
		/* most are counted once: no need to remember them */
		if (count == 1)
			rel->freed += rel->pass == 0;
		else if (!rel->alone && is_now(rel, name))
			rel->freed += *take(&rel->blocks, name.value) == count;
	}
}

static void release_inner(struct release *rel,
			  const struct inner_content *inner)
{
	for (uint32_t i = 0; i < INNER_CHILDREN; i++)
		if (inner->children[i])
			release_node(rel, inner->children[i]);
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
	if (n->level == 0)
		release_leaf(rel, n->leaf);
	else
		release_inner(rel, n->inner);
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

/* In one hold: afterwards they may get other names. */
static void release_roots(struct release *rel, const struct index_vector *roots)
{
	mutex_lock(&rel->store->core.lock);
	for (size_t i = 0; i < roots->len; i++)
		release_node(rel, roots->ptr[i]);
	mutex_unlock(&rel->store->core.lock);
}

static int release_slice(struct release *rel, struct error *err)
{
	struct mutex *lock = &rel->store->core.lock;
	int r = 0;

	mutex_lock(lock);
	for (uint32_t i = 0; r == 0 && rel->queue.len > 0 && i < NODES_SLICE;
	     i++)
		r = release_next(rel, err);
	mutex_unlock(lock);
	mutex_give_way(lock);
	return r;
}

static int release_pass(struct release *rel, const struct index_vector *roots,
			size_t nr_names_max, struct error *err)
{
	int r;

	release_done(rel);
	rel->nr_released = 0;
	r = release_reserve(rel, roots->len, nr_names_max);
	if (r == 0)
		release_roots(rel, roots);
	while (r == 0 && rel->queue.len > 0) {
		r = release_reserve(rel, SLICE_REFERENCES, nr_names_max);
		if (r == 0)
			r = release_slice(rel, err);
	}
	if (r == -ENOMEM)
		(void)error_set(err, ENOMEM, "out of memory");
	if (r < 0 || rel->alone)
		return r;
	rel->shared += count_shared(rel, &rel->blocks);
	if (rel->pass == 0)
		rel->shared += count_shared(rel, &rel->nodes);
	return 0;
}

static int release_all(struct release *rel, const struct index_vector *roots,
		       size_t nr_names_max, struct error *err)
{
	int r = loader_finish(rel->store, err);

	if (r < 0)
		return r;
	r = -EOVERFLOW;
	for (rel->nr_passes = 1; r == -EOVERFLOW; rel->nr_passes *= 2) {
		r = 0;
		rel->freed = rel->shared = 0;
		for (rel->pass = 0; r == 0 && rel->pass < rel->nr_passes;
		     rel->pass++)
			r = release_pass(rel, roots, nr_names_max, err);
	}
	return r;
}

int freed_blocks_within(struct store *store, const struct index_vector *roots,
			size_t nr_names_max, struct freed *ret,
			struct error *err)
{
	struct release rel = {.store = store};
	int r = release_all(&rel, roots, nr_names_max, err);

	if (r == 0)
		*ret = (struct freed){rel.freed, rel.shared};
	release_done(&rel);
	return r;
}

int freed_blocks(struct store *store, const struct index_vector *roots,
		 struct freed *ret, struct error *err)
{
	return freed_blocks_within(store, roots, FREED_NAMES_MAX, ret, err);
}

int freed_alone(struct store *store, const struct index_vector *root,
		uint64_t *ret_blocks, struct error *err)
{
	struct release rel = {.store = store, .alone = true};
	int r;

	assert(root->len <= 1);
	r = release_all(&rel, root, 0, err);
	if (r == 0)
		*ret_blocks = rel.freed;
	release_done(&rel);
	return r;
}
