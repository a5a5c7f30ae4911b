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

/* A node on the way to leaves, or a leaf, and where it lies. */
struct missing {
	struct read_range range;
	uint32_t id;
	bool is_leaf;
};

DEFINE_VECTOR(missing_vector, struct missing);

/* What is missing on the way to @leaf. */
static int find_missing(struct store *store, uint64_t leaf,
			struct missing_vector *missing)
{
	struct vblock block = {(leaf & ((UINT64_C(1) << LEAF_BITS) - 1)) *
			       LEAF_BLOCKS};
	struct missing m = {0};
	const struct volume *v;
	unsigned int level = 0;

	v = volume_find_id(&store->volumes, (uint32_t)(leaf >> LEAF_BITS));
	if (!v || block.index >= VOLUME_BLOCKS_MAX)
		return 0;
	m.id = extent_map_find_missing(&store->nodes, &v->map, block, &level);
	m.is_leaf = level == 0;
	if (m.id == 0 || !nodes_find_record(&store->nodes, m.id, &m.range))
		return 0;
	/* neighbours miss the same inner node */
	if (missing->len > 0 && missing->ptr[missing->len - 1].id == m.id)
		return 0;
	return missing_vector_push(missing, m);
}

static int compare_missing(const void *a, const void *b)
{
	const struct missing *x = a, *y = b;

	return read_range_compare(&x->range, &y->range);
}

/* So many are on their way while those before them are decoded. */
#define NODES_AHEAD 2048u

static void hint_missing(struct store *store,
			 const struct missing_vector *missing, size_t first)
{
	struct read_ahead ahead = {.be = store->core.be};

	for (size_t i = first; i < missing->len && i < first + NODES_AHEAD; i++)
		read_ahead_add(&ahead, missing->ptr[i].range.place,
			       missing->ptr[i].range.offset,
			       missing->ptr[i].range.length);
	read_ahead_submit(&ahead);
	read_ahead_done(&ahead);
}

/* In the order in which they lie there.  Core held, dropped. */
static void read_missing(struct store *store,
			 const struct missing_vector *missing)
{
	qsort(missing->ptr, missing->len, sizeof(*missing->ptr),
	      compare_missing);
	hint_missing(store, missing, 0);
	for (size_t i = 0; i < missing->len; i++) {
		if (i % NODES_AHEAD == 0)
			hint_missing(store, missing, i + NODES_AHEAD);
		/* damage is met again, by a replay that needs it */
		(void)store_fault(store, missing->ptr[i].id, NULL);
	}
}

/* The next level down; *ret_more: there were inner nodes, now in memory. */
static int read_level(struct store *store, const struct leaf_vector *leaves,
		      bool *ret_more)
{
	struct missing_vector missing = {0};
	int r = 0;

	mutex_assert_held(&store->core.lock);
	*ret_more = false;
	for (size_t i = 0; r == 0 && i < leaves->len; i++)
		r = find_missing(store, leaves->ptr[i], &missing);
	for (size_t i = 0; i < missing.len; i++)
		*ret_more |= !missing.ptr[i].is_leaf;
	if (r == 0 && missing.len > 0)
		read_missing(store, &missing);
	missing_vector_done(&missing);
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
		r = read_level(store, &leaves, &more);
	leaf_vector_done(&leaves);
}
