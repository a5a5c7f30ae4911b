/* SPDX-License-Identifier: BSD-2-Clause */
#include "reaper.h"

#include <assert.h>
#include <inttypes.h>

static int drop_leaf(struct nodes *nodes, const struct node *n,
		     struct error *err)
{
	int r;

	for (uint32_t i = 0; i < LEAF_BLOCKS; i++) {
		struct leaf_entry e = n->leaf->entries[i];

		if (leaf_entry_kind(e) != ENTRY_DATA)
			continue;
		r = count_add(nodes->segments, leaf_entry_birth(e), -1, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int drop_children(struct nodes *nodes, const struct node *n,
			 struct error *err)
{
	for (uint32_t i = 0; i < INNER_CHILDREN; i++) {
		uint32_t id = n->inner->children[i];

		if (id == 0)
			continue;
		if (!node_exists(nodes, id))
			return error_set(err, EUCLEAN,
					 "node %" PRIu32 ": child %" PRIu32
					 " does not exist",
					 n->id, id);
		if (node_entry(nodes, id)->count > 1)
			node_unref_shared(nodes, id);
		else
			node_reap(nodes, id);
	}
	return 0;
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
	if (node_exists(nodes, id) && node_entry(nodes, id)->count > 1) {
		nodes->reaper.len--;
		node_unref_shared(nodes, id);
		return 1;
	}
	r = node_get(nodes, id, LEVEL_ANY, &n, ret_missing, err);
	if (r < 0)
		return r;
	nodes->reaper.len--;
	r = n->level ? drop_children(nodes, n, err) : drop_leaf(nodes, n, err);
	if (r < 0)
		return r;
	node_free(nodes, n);
	return 1;
}
