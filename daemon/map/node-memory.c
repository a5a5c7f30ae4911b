/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory of nodes.
 *
 * NOTES ON THE DESIGN.  Nearly all of it is leaves, all of one size.  What a
 * leaf gives back when it is evicted or freed is kept for the next one: any
 * thread may read a leaf into memory and any other evict it, and in malloc's
 * arenas, of which each thread has its own, such room is of no use to others.
 * The frozen image of a leaf takes the same memory and is counted with the
 * leaves, so what they take of the process is the most that leaf_bytes ever
 * was.
 */
#include "node-internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The content of a spare leaf is nobody's: so ASan sees who still uses it. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address))
#endif

static size_t content_bytes(unsigned int level)
{
	return level == 0 ? sizeof(struct leaf_content)
			  : sizeof(struct inner_content);
}

size_t node_bytes(unsigned int level)
{
	return sizeof(struct node) + content_bytes(level);
}

_Static_assert(sizeof(struct node) + sizeof(struct leaf_content) >=
		       NODE_LEAF_DENSE_BYTES,
	       "the image of a leaf fits the memory of one");

void node_clear(struct node *n, unsigned int level)
{
	memset(n, 0, node_bytes(level));
	n->level = (uint8_t)level;
	n->leaf = (struct leaf_content *)(n + 1);
}

struct node *node_alloc(unsigned int level)
{
	struct node *n = malloc(node_bytes(level));

	if (n)
		node_clear(n, level);
	return n;
}

static uint64_t *bytes_sum(struct nodes *nodes, unsigned int level)
{
	return level == 0 ? &nodes->leaf_bytes : &nodes->inner_bytes;
}

void node_count_memory(struct nodes *nodes, const struct node *n)
{
	nodes->nr_loaded++;
	*bytes_sum(nodes, n->level) += node_bytes(n->level);
}

/* ---- spares ---- */

static void push_leaf(struct nodes *nodes, struct node *n)
{
	n->next_spare = nodes->spare_leaves;
	nodes->spare_leaves = n;
	nodes->nr_spare_leaves++;
	ASAN_POISON_MEMORY_REGION(n + 1, content_bytes(0));
}

static struct node *pop_leaf(struct nodes *nodes)
{
	struct node *n = nodes->spare_leaves;

	nodes->spare_leaves = n->next_spare;
	nodes->nr_spare_leaves--;
	ASAN_UNPOISON_MEMORY_REGION(n + 1, content_bytes(0));
	return n;
}

int node_spares_fill(struct nodes *nodes)
{
	struct node *n;

	mutex_assert_held(&nodes->core->lock);
	while (nodes->nr_spare_leaves < SPARE_LEAVES) {
		n = node_alloc(0);
		if (!n)
			return -ENOMEM;
		push_leaf(nodes, n);
	}
	while (nodes->nr_spare_inners < SPARE_INNERS) {
		n = node_alloc(1);
		if (!n)
			return -ENOMEM;
		n->next_spare = nodes->spare_inners;
		nodes->spare_inners = n;
		nodes->nr_spare_inners++;
	}
	return 0;
}

struct node *node_take_spare(struct nodes *nodes, unsigned int level)
{
	struct node *n;

	mutex_assert_held(&nodes->core->lock);
	assert(level ? nodes->nr_spare_inners : nodes->nr_spare_leaves);
	if (level == 0) {
		n = pop_leaf(nodes);
	} else {
		n = nodes->spare_inners;
		nodes->spare_inners = n->next_spare;
		nodes->nr_spare_inners--;
	}
	node_clear(n, level);
	return n;
}

void node_memory_done(struct nodes *nodes)
{
	while (nodes->spare_leaves)
		free(pop_leaf(nodes));
	while (nodes->spare_inners) {
		struct node *n = nodes->spare_inners;

		nodes->spare_inners = n->next_spare;
		free(n);
	}
}

struct node *node_keep(struct nodes *nodes, struct node *n)
{
	struct node *kept;

	mutex_assert_held(&nodes->core->lock);
	/* what this hold was promised stays: nodes_prepare() */
	if (n->level > 0 || nodes->nr_spare_leaves <= SPARE_LEAVES)
		return n;
	kept = node_take_spare(nodes, 0);
	kept->id = n->id;
	kept->epoch = n->epoch;
	*kept->leaf = *n->leaf;
	free(n);
	return kept;
}

/* ---- images ---- */

int node_set_image(struct nodes *nodes, struct node *n, const void *record,
		   uint32_t length)
{
	void *image;

	mutex_assert_held(&nodes->core->lock);
	if (n->level > 0)
		image = malloc(length);
	else if (nodes->nr_spare_leaves > SPARE_LEAVES)
		image = pop_leaf(nodes);
	else
		image = malloc(node_bytes(0));
	if (!image)
		return -ENOMEM;
	memcpy(image, record, length);
	n->image = image;
	n->image_bytes = length;
	if (n->level == 0)
		nodes->leaf_bytes += node_bytes(0);
	return 0;
}

void node_drop_image(struct nodes *nodes, struct node *n)
{
	if (n->image && n->level == 0) {
		nodes->leaf_bytes -= node_bytes(0);
		push_leaf(nodes, n->image);
	} else {
		free(n->image);
	}
	n->image = NULL;
}

void node_release(struct nodes *nodes, struct node *n)
{
	node_drop_image(nodes, n);
	*bytes_sum(nodes, n->level) -= node_bytes(n->level);
	nodes->nr_loaded--;
	if (n->level == 0)
		push_leaf(nodes, n);
	else
		free(n);
}
