/* SPDX-License-Identifier: BSD-2-Clause */
#include "extent-map.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* Blocks that a node of @level covers. */
static uint64_t level_blocks(unsigned int level)
{
	uint64_t ret = LEAF_BLOCKS;

	while (level-- > 0)
		ret *= INNER_CHILDREN;
	return ret;
}

/* Which child of a node of @level (1..3) covers @block. */
static uint32_t child_index(unsigned int level, struct vblock block)
{
	return (uint32_t)(block.index / level_blocks(level - 1) %
			  INNER_CHILDREN);
}

/*
 * Own node @id of @level, whose ancestors are owned.  *ret may have another
 * id: the caller stores it in the parent.
 */
static int own_node(struct nodes *nodes, const struct extent_map *map,
		    uint32_t id, unsigned int level, struct node **ret,
		    uint32_t *ret_missing, struct error *err)
{
	struct node *n;
	int r;

	r = node_get(nodes, id, level, &n, ret_missing, err);
	if (r < 0)
		return r;
	if (n->epoch == map->epoch) {
		*ret = n;
		return 0;
	}
	if (node_entry(nodes, id)->count == 1) {
		node_touch(nodes, n);
		n->epoch = map->epoch;
		*ret = n;
		return 0;
	}
	r = node_children_are_loaded(nodes, n, ret_missing);
	if (r == 0)
		r = node_shadow(nodes, n, map->epoch, ret, err);
	if (r < 0)
		return r;
	if (node_entry(nodes, id)->count < 2) /* hostile: it was shared */
		return error_set(err, EUCLEAN,
				 "node %" PRIu32 ": count %" PRIu32
				 ", but it is shared",
				 id, node_entry(nodes, id)->count);
	node_unref_shared(nodes, id);
	return 0;
}

static int own_root(struct nodes *nodes, struct extent_map *map,
		    struct node **ret, uint32_t *ret_missing, struct error *err)
{
	int r;

	if (map->root == 0)
		*ret = node_new(nodes, INNER_LEVELS, map->epoch);
	else {
		r = own_node(nodes, map, map->root, INNER_LEVELS, ret,
			     ret_missing, err);
		if (r < 0)
			return r;
	}
	map->root = (*ret)->id;
	return 0;
}

/* Own child @i of owned @parent; a missing one is made. */
static int own_child(struct nodes *nodes, const struct extent_map *map,
		     struct node *parent, uint32_t i, struct node **ret,
		     uint32_t *ret_missing, struct error *err)
{
	uint32_t id = parent->inner->children[i];
	int r;

	if (id == 0)
		*ret = node_new(nodes, parent->level - 1u, map->epoch);
	else {
		r = own_node(nodes, map, id, parent->level - 1u, ret,
			     ret_missing, err);
		if (r < 0)
			return r;
	}
	if ((*ret)->id != id) {
		node_touch(nodes, parent);
		parent->inner->children[i] = (*ret)->id;
	}
	return 0;
}

int extent_map_own_leaf(struct nodes *nodes, struct extent_map *map,
			struct vblock block, struct map_path *ret,
			uint32_t *ret_missing, struct error *err)
{
	int r;

	mutex_assert_held(&nodes->core->lock);
	assert(block.index < VOLUME_BLOCKS_MAX);
	r = own_root(nodes, map, &ret->nodes[INNER_LEVELS], ret_missing, err);
	for (unsigned int level = INNER_LEVELS; r == 0 && level > 0; level--) {
		if (level == 1)
			node_prefetch(
				nodes,
				ret->nodes[1]->inner->children[child_index(
					1, block)],
				(uint32_t)(block.index % LEAF_BLOCKS));
		r = own_child(nodes, map, ret->nodes[level],
			      child_index(level, block), &ret->nodes[level - 1],
			      ret_missing, err);
	}
	return r;
}

int extent_map_owns_leaf(struct nodes *nodes, const struct extent_map *map,
			 struct vblock block, uint32_t *ret_missing,
			 struct error *err)
{
	uint32_t id = map->root;
	struct node *n;
	int r;

	mutex_assert_held(&nodes->core->lock);
	for (unsigned int level = INNER_LEVELS; id; level--) {
		r = node_get(nodes, id, level, &n, ret_missing, err);
		if (r < 0)
			return r;
		if (n->epoch != map->epoch && node_entry(nodes, id)->count > 1)
			return 0;
		if (level == 0)
			return 1;
		id = n->inner->children[child_index(level, block)];
	}
	return 0;
}

uint32_t extent_map_find_missing(struct nodes *nodes,
				 const struct extent_map *map,
				 struct vblock block, unsigned int *ret_level)
{
	unsigned int level = INNER_LEVELS;
	uint32_t id = map->root;

	mutex_assert_held(&nodes->core->lock);
	while (id) {
		const struct node *n = node_peek(nodes, id);

		*ret_level = level;
		if (!n)
			return id;
		if (level == 0 || n->level != level)
			return 0;
		id = n->inner->children[child_index(level, block)];
		level--;
	}
	return 0;
}

static void used_add(struct nodes *nodes, const struct node *n, int64_t delta)
{
	struct node_entry *e = node_entry(nodes, n->id);

	if (delta == 0 || n->level == INNER_LEVELS)
		return;
	node_entry_touch(nodes, n->id);
	e->used = (uint32_t)(e->used + delta);
}

/*
 * Rename on first touch: an exclusive leaf that becomes dirty is written
 * anyhow, so its blocks that the cleaner moved, and that nothing else names,
 * get the place where they are as their name.  Without this the names of a
 * block's first segment, most of them dead, would have to be kept for ever.
 */
static void rename_moved(struct nodes *nodes, struct node *leaf)
{
	for (uint32_t i = 0; i < LEAF_BLOCKS; i++) {
		struct leaf_entry *e = &leaf->leaf->entries[i];
		struct birth name;

		if (leaf_entry_kind(*e) == ENTRY_DATA &&
		    name_rename(nodes->segments, leaf_entry_birth(*e), &name))
			*e = leaf_entry_data(name, e->checksum);
	}
}

int extent_map_set(struct nodes *nodes, struct extent_map *map,
		   const struct map_path *path, struct vblock first,
		   uint32_t nr, struct birth name, const uint32_t *checksums,
		   struct error *err)
{
	struct node *leaf = path->nodes[0];
	uint32_t at = (uint32_t)(first.index % LEAF_BLOCKS);
	bool first_touch;
	int64_t more = 0;
	int r;

	mutex_assert_held(&nodes->core->lock);
	assert(leaf->epoch == map->epoch);
	assert(at + nr <= LEAF_BLOCKS);
	first_touch = leaf->generation != nodes->core->generation;
	node_touch(nodes, leaf);
	if (first_touch && segments_want_rename(nodes->segments))
		rename_moved(nodes, leaf);
	for (uint32_t i = 0; i < nr; i++) {
		struct leaf_entry *entry = &leaf->leaf->entries[at + i];
		struct leaf_entry old = *entry;
		struct birth new_name = {name.value + i};

		r = count_add(nodes->segments, new_name, 1, err);
		if (r < 0)
			return r;
		*entry = leaf_entry_data(new_name, checksums[i]);
		if (leaf_entry_kind(old) != ENTRY_DATA) {
			more++;
			continue;
		}
		r = count_add(nodes->segments, leaf_entry_birth(old), -1, err);
		if (r < 0)
			return r;
	}
	for (unsigned int level = 0; level < INNER_LEVELS; level++)
		used_add(nodes, path->nodes[level], more);
	map->refer += (uint64_t)more;
	return 0;
}

/* ---- clear ---- */

struct range {
	uint64_t first, last; /* blocks, last included */
};

/* Can the entries @from to @to be cleared? */
static int check_leaf(struct nodes *nodes, const struct node *leaf,
		      uint32_t from, uint32_t to, struct error *err)
{
	struct segment *holder;
	uint32_t at;
	int r = 0;

	for (uint32_t i = from; r == 0 && i <= to; i++) {
		struct leaf_entry e = leaf->leaf->entries[i];

		if (leaf_entry_kind(e) != ENTRY_DATA)
			continue;
		if (count_get(nodes->segments, leaf_entry_birth(e)) == 0)
			return error_set(err, EUCLEAN,
					 "node %" PRIu32 ": its block %" PRIu32
					 " is not counted",
					 leaf->id, i);
		r = segment_resolve(nodes->segments, leaf_entry_birth(e),
				    &holder, &at, err);
	}
	return r;
}

static int clear_leaf(struct nodes *nodes, struct node *leaf, uint32_t from,
		      uint32_t to, uint64_t *removed, struct error *err)
{
	int r;

	node_touch(nodes, leaf);
	for (uint32_t i = from; i <= to; i++) {
		struct leaf_entry old = leaf->leaf->entries[i];

		leaf->leaf->entries[i] = (struct leaf_entry){0};
		if (leaf_entry_kind(old) != ENTRY_DATA)
			continue;
		r = count_add(nodes->segments, leaf_entry_birth(old), -1, err);
		if (r < 0)
			return r;
		(*removed)++;
	}
	return 0;
}

/* Can child @i of @parent be detached? */
static int check_child(struct nodes *nodes, const struct node *parent,
		       uint32_t i, uint32_t *ret_missing, struct error *err)
{
	uint32_t id = parent->inner->children[i];

	if (!node_is_loaded(nodes, id)) {
		*ret_missing = id;
		return -EAGAIN;
	}
	if (node_exists(nodes, id))
		return 0;
	return error_set(err, EUCLEAN,
			 "node %" PRIu32 ": child %" PRIu32 " does not exist",
			 parent->id, id);
}

static void detach_child(struct nodes *nodes, struct node *parent, uint32_t i,
			 uint64_t *removed)
{
	uint32_t id = parent->inner->children[i];

	node_touch(nodes, parent);
	parent->inner->children[i] = 0;
	*removed += node_entry(nodes, id)->used;
	node_reap(nodes, id);
}

/*
 * Walk owned @n, which begins at block @base.  Without @detach only own what
 * @range covers in part, and see that nothing of it is damaged; with it make
 * the holes.
 */
static int clear_walk(struct nodes *nodes, const struct extent_map *map,
		      struct node *n, uint64_t base, struct range range,
		      bool detach, uint64_t *removed, uint32_t *ret_missing,
		      struct error *err)
{
	uint64_t step, child_removed = 0;
	int r = 0;

	if (n->level == 0) {
		uint32_t from = (uint32_t)(range.first - base);
		uint32_t to = (uint32_t)(range.last - base);

		if (!detach)
			return check_leaf(nodes, n, from, to, err);
		r = clear_leaf(nodes, n, from, to, &child_removed, err);
	}
	step = n->level ? level_blocks(n->level - 1u) : 0;
	for (uint32_t i = 0; n->level && r == 0 && i < INNER_CHILDREN; i++) {
		uint64_t first = base + i * step, last = first + step - 1;
		struct range part = {first > range.first ? first : range.first,
				     last < range.last ? last : range.last};
		struct node *child;

		if (part.first > part.last || n->inner->children[i] == 0)
			continue;
		if (part.first == first && part.last == last) {
			r = check_child(nodes, n, i, ret_missing, err);
			if (r == 0 && detach)
				detach_child(nodes, n, i, &child_removed);
			continue;
		}
		r = own_child(nodes, map, n, i, &child, ret_missing, err);
		if (r == 0)
			r = clear_walk(nodes, map, child, first, part, detach,
				       &child_removed, ret_missing, err);
	}
	used_add(nodes, n, -(int64_t)child_removed);
	*removed += child_removed;
	return r;
}

static int clear(struct nodes *nodes, struct extent_map *map,
		 struct vblock first, uint64_t nr, bool detach,
		 uint32_t *ret_missing, struct error *err)
{
	struct range range = {first.index, first.index + nr - 1};
	uint64_t removed = 0;
	struct node *root;
	int r;

	mutex_assert_held(&nodes->core->lock);
	assert(nr > 0 && first.index + nr <= VOLUME_BLOCKS_MAX);
	if (map->root == 0)
		return 0;
	if (range.first == 0 && range.last == VOLUME_BLOCKS_MAX - 1) {
		r = node_want(nodes, map->root, err);
		if (r < 0)
			return r;
		if (!node_exists(nodes, map->root))
			return error_set(err, EUCLEAN,
					 "node %" PRIu32 " does not exist",
					 map->root);
		if (!detach)
			return 0;
		node_reap(nodes, map->root);
		map->root = 0;
		map->refer = 0;
		return 0;
	}
	r = own_root(nodes, map, &root, ret_missing, err);
	if (r == 0)
		r = clear_walk(nodes, map, root, 0, range, detach, &removed,
			       ret_missing, err);
	map->refer -= removed;
	return r;
}

int extent_map_prepare_clear(struct nodes *nodes, struct extent_map *map,
			     struct vblock first, uint64_t nr,
			     uint32_t *ret_missing, struct error *err)
{
	return clear(nodes, map, first, nr, false, ret_missing, err);
}

int extent_map_clear(struct nodes *nodes, struct extent_map *map,
		     struct vblock first, uint64_t nr, struct error *err)
{
	uint32_t missing;
	int r = clear(nodes, map, first, nr, true, &missing, err);

	assert(r != -EAGAIN); /* prepared in this hold */
	return r;
}

/* ---- look-up ---- */

/*
 * Walk to the leaf of @block.  *ret is NULL where a node is missing in the
 * tree; *ret_level is then the level of the hole.
 */
static int find_leaf(struct nodes *nodes, const struct extent_map *map,
		     struct vblock block, struct node **ret,
		     unsigned int *ret_level, uint32_t *ret_missing,
		     struct error *err)
{
	uint32_t id = map->root;
	unsigned int level = INNER_LEVELS;
	struct node *n;
	int r;

	mutex_assert_held(&nodes->core->lock);
	assert(block.index < VOLUME_BLOCKS_MAX);
	for (;;) {
		*ret_level = level;
		*ret = NULL;
		if (id == 0)
			return 0;
		r = node_get(nodes, id, level, &n, ret_missing, err);
		if (r < 0)
			return r;
		*ret = n;
		if (level == 0)
			return 0;
		id = n->inner->children[child_index(level, block)];
		level--;
	}
}

int extent_map_read(struct nodes *nodes, const struct extent_map *map,
		    struct vblock first, uint32_t nr, struct leaf_entry *ret,
		    uint32_t *ret_missing, struct error *err)
{
	uint32_t at = (uint32_t)(first.index % LEAF_BLOCKS);
	unsigned int level;
	struct node *leaf;
	int r;

	assert(at + nr <= LEAF_BLOCKS);
	r = find_leaf(nodes, map, first, &leaf, &level, ret_missing, err);
	if (r < 0)
		return r;
	if (leaf)
		memcpy(ret, &leaf->leaf->entries[at], nr * sizeof(*ret));
	else
		memset(ret, 0, nr * sizeof(*ret));
	return 0;
}

/* Lost blocks count as data: nobody may take them for zeros. */
static bool entry_is_data(struct leaf_entry e)
{
	enum entry_kind kind = leaf_entry_kind(e);

	return kind == ENTRY_DATA || kind == ENTRY_LOST;
}

int extent_map_lookup(struct nodes *nodes, const struct extent_map *map,
		      struct vblock block, struct extent *ret,
		      uint32_t *ret_missing, struct error *err)
{
	uint32_t at = (uint32_t)(block.index % LEAF_BLOCKS), end;
	unsigned int level;
	struct node *leaf;
	bool data;
	int r;

	r = find_leaf(nodes, map, block, &leaf, &level, ret_missing, err);
	if (r < 0)
		return r;
	if (!leaf) {
		uint64_t span = level_blocks(level);

		ret->is_data = false;
		ret->nr_blocks = span - block.index % span;
		return 0;
	}
	data = entry_is_data(leaf->leaf->entries[at]);
	for (end = at + 1; end < LEAF_BLOCKS; end++)
		if (entry_is_data(leaf->leaf->entries[end]) != data)
			break;
	ret->is_data = data;
	ret->nr_blocks = end - at;
	return 0;
}

/* Data blocks of the leaf from entry @at on. */
static uint64_t count_leaf(const struct node *leaf, uint32_t at)
{
	uint64_t ret = 0;

	for (; at < LEAF_BLOCKS; at++)
		ret += leaf_entry_kind(leaf->leaf->entries[at]) == ENTRY_DATA;
	return ret;
}

/* Data blocks below the children of @inner from @at on. */
static uint64_t count_children(struct nodes *nodes, const struct node *inner,
			       uint32_t at)
{
	uint64_t ret = 0;

	for (; at < INNER_CHILDREN; at++) {
		uint32_t id = inner->inner->children[at];

		if (id && node_exists(nodes, id))
			ret += node_entry(nodes, id)->used;
	}
	return ret;
}

int extent_map_count_from(struct nodes *nodes, const struct extent_map *map,
			  struct vblock first, uint64_t *ret,
			  uint32_t *ret_missing, struct error *err)
{
	uint32_t id = map->root;
	uint64_t sum = 0;
	struct node *n;
	int r;

	mutex_assert_held(&nodes->core->lock);
	assert(first.index < VOLUME_BLOCKS_MAX);
	for (unsigned int level = INNER_LEVELS; id; level--) {
		uint32_t at;

		r = node_get(nodes, id, level, &n, ret_missing, err);
		if (r < 0)
			return r;
		if (level == 0) {
			at = (uint32_t)(first.index % LEAF_BLOCKS);
			sum += count_leaf(n, at);
			break;
		}
		r = node_children_are_loaded(nodes, n, ret_missing);
		if (r < 0)
			return r;
		at = child_index(level, first);
		sum += count_children(nodes, n, at + 1);
		id = n->inner->children[at];
	}
	*ret = sum;
	return 0;
}
