/* SPDX-License-Identifier: BSD-2-Clause */
#include "replay-ahead.h"

#include <pthread.h>
#include <stdlib.h>

#include "read-ahead.h"
#include "replay.h"

#define LEAF_BITS 32u
_Static_assert(VOLUME_BLOCKS_MAX / LEAF_BLOCKS <= UINT64_C(1) << LEAF_BITS,
	       "a leaf's number fits");

static int add_leaf(struct leaf_list *leaves, uint32_t volume, uint64_t block)
{
	return leaf_list_push(leaves, (uint64_t)volume << LEAF_BITS |
					      block / LEAF_BLOCKS);
}

/* Of a range that is cleared only the leaves at its ends are read. */
static int add_entry(struct leaf_list *leaves, const struct batch_entry *e)
{
	int r;

	if (op_is_metadata(e->op))
		return 0;
	r = add_leaf(leaves, e->volume, e->first_block);
	if (r == 0 && e->count > 1)
		r = add_leaf(leaves, e->volume, e->first_block + e->count - 1);
	return r;
}

static int add_entries(struct leaf_list *leaves, const struct disk_batch *disk,
		       const struct batch_header *h)
{
	struct batch_entry e;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < h->nr_entries; i++) {
		r = batch_get_entry(disk, i, h->kind, &e, NULL);
		if (r == 0)
			r = add_entry(leaves, &e);
	}
	return r;
}

static int add_batch(struct backend *be, struct leaf_list *leaves,
		     const struct log_batch *b)
{
	struct disk_batch disk;
	struct batch_header h;
	int r;

	r = log_tail_read_header(be, b, &disk, &h, NULL);
	return r < 0 ? r : add_entries(leaves, &disk, &h);
}

static int add_tail_file(struct leaf_list *leaves, const struct superblock *sb,
			 const struct tail_file *file)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < file->nr_buffers; i++) {
		struct batch_header h;
		bool sealed;
		const struct disk_batch *disk =
			replay_tail_batch(file, i, &h, &sealed);

		/* most buffers have been written, some before the checkpoint */
		if (disk && h.kind == SEGMENT_DATA && h.seq >= sb->log.seq)
			r = add_entries(leaves, disk, &h);
	}
	return r;
}

static int compare_leaves(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void sort_once(struct leaf_list *leaves)
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

struct hints {
	struct backend *be;
	const struct missing_vector *missing;
};

static void *run_hints(void *opaque)
{
	const struct hints *hints = opaque;
	struct read_ahead ahead = {.be = hints->be};

	for (size_t i = 0; i < hints->missing->len; i++) {
		const struct read_range *range = &hints->missing->ptr[i].range;

		read_ahead_add(&ahead, range->place, range->offset,
			       range->length);
	}
	read_ahead_submit(&ahead);
	read_ahead_done(&ahead);
	return NULL;
}

/*
 * In the order in which they lie there.  A thread goes ahead: to say what will
 * be read takes as long as to decode it.  Core held, dropped.
 */
static void read_missing(struct store *store,
			 const struct missing_vector *missing)
{
	struct hints hints = {store->core.be, missing};
	pthread_t thread;
	bool is_ahead;

	qsort(missing->ptr, missing->len, sizeof(*missing->ptr),
	      compare_missing);
	is_ahead = pthread_create(&thread, NULL, run_hints, &hints) == 0;
	/* damage is met again, by a replay that needs it */
	for (size_t i = 0; i < missing->len; i++)
		(void)store_fault(store, missing->ptr[i].id, NULL);
	if (is_ahead)
		(void)pthread_join(thread, NULL);
}

/* The next level down; *ret_more: there were inner nodes, now in memory. */
static int read_level(struct store *store, const struct leaf_list *leaves,
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

/*
 * Some leaves are listed many times.  A store of ours has at most half as many
 * dirty; one that is damaged may name any number, and the rest is not listed.
 */
#define LEAVES_LISTED_MAX (8 * CHECKPOINT_DIRTY_NODES)

static bool list_is_full(struct leaf_list *leaves)
{
	if (leaves->len < LEAVES_LISTED_MAX)
		return false;
	sort_once(leaves);
	return leaves->len >= LEAVES_LISTED_MAX / 2;
}

int replay_list_leaves(struct backend *be, const struct superblock *sb,
		       const struct log_batch_vector *batches,
		       const struct tail_file *file, struct leaf_list *ret)
{
	int r = add_tail_file(ret, sb, file);

	for (size_t i = 0; r == 0 && i < batches->len && !list_is_full(ret);
	     i++)
		r = add_batch(be, ret, &batches->ptr[i]);
	sort_once(ret);
	return r;
}

void replay_read_leaves(struct store *store, const struct leaf_list *leaves)
{
	bool more = true;
	int r = 0;

	for (unsigned int i = 0; r == 0 && more && i <= INNER_LEVELS; i++)
		r = read_level(store, leaves, &more);
}
