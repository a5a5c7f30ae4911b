/* SPDX-License-Identifier: BSD-2-Clause */
#include "reaper.h"

#include <assert.h>
#include <inttypes.h>

#include "node-internal.h"

/* Others wait for the lock meanwhile. */
#define CHILDREN_PER_STEP 64u

/* Each may make a page of the node table dirty: half a segment of them. */
static uint32_t children_per_step(const struct nodes *nodes)
{
	uint32_t nr = nodes->core->nr_slots / 2;

	return nr < CHILDREN_PER_STEP ? nr : CHILDREN_PER_STEP;
}

static int drop_child(struct nodes *nodes, const struct node *n, uint32_t id,
		      struct error *err)
{
	if (!node_exists(nodes, id))
		return error_set(err, EUCLEAN,
				 "node %" PRIu32 ": child %" PRIu32
				 " does not exist",
				 n->id, id);
	if (node_entry(nodes, id)->count > 1)
		node_unref_shared(nodes, id);
	else
		node_reap(nodes, id);
	return 0;
}

static uint32_t nr_children(const struct node *n)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < INNER_CHILDREN; i++)
		nr += n->inner->children[i] != 0;
	return nr;
}

static int drop_all_children(struct nodes *nodes, const struct node *n,
			     struct error *err)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < INNER_CHILDREN; i++)
		if (n->inner->children[i])
			r = drop_child(nodes, n, n->inner->children[i], err);
	return r;
}

/* Some, and @n stays in the queue: a node with fewer children. */
static int drop_some_children(struct nodes *nodes, struct node *n,
			      struct error *err)
{
	uint32_t most = children_per_step(nodes), nr = 0, used = 0;
	int r = 0;

	node_touch(nodes, n);
	for (uint32_t i = 0; r == 0 && nr < most; i++) {
		uint32_t id = n->inner->children[i];

		if (id == 0)
			continue;
		if (node_exists(nodes, id))
			used += node_entry(nodes, id)->used;
		r = drop_child(nodes, n, id, err);
		n->inner->children[i] = 0;
		nr++;
	}
	if (n->level < INNER_LEVELS) /* its entry was touched with it */
		node_entry(nodes, n->id)->used -= used;
	return r;
}

int reaper_step(struct nodes *nodes, uint32_t *ret_missing, struct error *err)
{
	struct node *n;
	uint32_t id;
	int r;

	mutex_assert_held(&nodes->core->lock);
	if (nodes->reaper.len == 0)
		return 0;
	id = nodes->reaper.ptr[nodes->reaper.len - 1];
	if (node_is_loaded(nodes, id) && node_exists(nodes, id) &&
	    node_entry(nodes, id)->count > 1) {
		nodes->reaper.len--;
		node_unref_shared(nodes, id);
		return 1;
	}
	r = node_get(nodes, id, LEVEL_ANY, &n, ret_missing, err);
	if (r == 0)
		r = node_children_are_loaded(nodes, n, ret_missing);
	if (r < 0)
		return r;
	if (n->level && nr_children(n) > children_per_step(nodes)) {
		r = drop_some_children(nodes, n, err);
		return r < 0 ? r : 1;
	}
	nodes->reaper.len--;
	r = n->level ? drop_all_children(nodes, n, err)
		     : leaf_add_counts(nodes, n->leaf, -1, err);
	if (r < 0)
		return r;
	node_free(nodes, n);
	return 1;
}
