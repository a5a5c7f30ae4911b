/* SPDX-License-Identifier: BSD-2-Clause */
#include "replay-ahead.h"

#include <stdlib.h>

#include "read-ahead.h"

/* Volume id and number of the leaf in its map. */
DEFINE_VECTOR(leaf_vector, uint64_t);

#define LEAF_BITS 32u
_Static_assert(VOLUME_BLOCKS_MAX / LEAF_BLOCKS <= UINT64_C(1) << LEAF_BITS,
	       "a leaf's number fits");

static int add_leaf(struct leaf_vector *leaves, uint32_t volume, uint64_t block)
{
	return leaf_vector_push(leaves, (uint64_t)volume << LEAF_BITS |
						block / LEAF_BLOCKS);
}

/* Of a range that is cleared only the leaves at its ends are read. */
static int add_entry(struct leaf_vector *leaves, const struct batch_entry *e)
{
	int r;

	if (op_is_metadata(e->op))
		return 0;
	r = add_leaf(leaves, e->volume, e->first_block);
	if (r == 0 && e->count > 1)
		r = add_leaf(leaves, e->volume, e->first_block + e->count - 1);
	return r;
}

static int add_batch(struct store *store, struct leaf_vector *leaves,
		     const struct log_batch *b)
{
	struct disk_batch disk;
	struct batch_header h;
	struct batch_entry e;
	int r;

	r = log_tail_read_header(store->core.be, b, &disk, &h, NULL);
	for (uint32_t i = 0; r == 0 && i < h.nr_entries; i++) {
		r = batch_get_entry(&disk, i, h.kind, &e, NULL);
		if (r == 0)
			r = add_entry(leaves, &e);
	}
	return r;
}

static int compare_leaves(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void sort_once(struct leaf_vector *leaves)
{
	size_t nr = 0;

	if (leaves->len == 0)
		return;
	qsort(leaves->ptr, leaves->len, sizeof(*leaves->ptr), compare_leaves);
	for (size_t i = 1; i < leaves->len; i++)
		if (leaves->ptr[i] != leaves->ptr[nr])
			leaves->ptr[++nr] = leaves->ptr[i];
	leaves->len = nr + 1;
}

/* Hint at what is missing on the way to @leaf; inner nodes go to @inner. */
static int hint_leaf(struct store *store, uint64_t leaf,
		     struct read_ahead *ahead, struct index_vector *inner)
{
	struct vblock block = {(leaf & ((UINT64_C(1) << LEAF_BITS) - 1)) *
			       LEAF_BLOCKS};
	const struct volume *v;
	unsigned int level;
	uint32_t id;

	v = volume_find_id(&store->volumes, (uint32_t)(leaf >> LEAF_BITS));
	if (!v || block.index >= VOLUME_BLOCKS_MAX)
		return 0;
	id = extent_map_find_missing(&store->nodes, &v->map, block, &level);
	if (id == 0)
		return 0;
	/* neighbours miss the same inner node */
	if (level > 0 && inner->len > 0 && inner->ptr[inner->len - 1] == id)
		return 0;
	nodes_hint(&store->nodes, id, ahead);
	return level > 0 ? index_vector_push(inner, id) : 0;
}

/* The next level down; *ret_more: there were inner nodes, now in memory. */
static int hint_level(struct store *store, const struct leaf_vector *leaves,
		      bool *ret_more)
{
	struct read_ahead ahead = {.be = store->core.be};
	struct index_vector inner = {0};
	int r = 0;

	mutex_assert_held(&store->core.lock);
	for (size_t i = 0; r == 0 && i < leaves->len; i++)
		r = hint_leaf(store, leaves->ptr[i], &ahead, &inner);
	read_ahead_submit(&ahead);
	for (size_t i = 0; r == 0 && i < inner.len; i++)
		r = store_fault(store, inner.ptr[i], NULL);
	*ret_more = inner.len > 0;
	read_ahead_done(&ahead);
	index_vector_done(&inner);
	return r;
}

void replay_ahead(struct store *store, const struct log_batch *batches,
		  size_t nr)
{
	struct leaf_vector leaves = {0};
	bool more = true;
	int r = 0;

	for (size_t i = 0; r == 0 && i < nr; i++)
		r = add_batch(store, &leaves, &batches[i]);
	sort_once(&leaves);
	for (unsigned int i = 0; r == 0 && more && i <= INNER_LEVELS; i++)
		r = hint_level(store, &leaves, &more);
	leaf_vector_done(&leaves);
}
