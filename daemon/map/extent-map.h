/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The extent map of one volume: which block has which name.
 *
 * NOTES ON THE DESIGN.  Three inner levels over leaves of 64 blocks.  Maps
 * share nodes by count.  Before a node is modified it is owned (I4): its
 * epoch is the map's.  Walking down from the root, a node of another epoch
 * is taken over when its count is 1 (its ancestors are owned, so nobody else
 * can reach it) and shadowed otherwise.  Whoever makes a root reachable from
 * a second place gives the map that goes on writing a fresh epoch.
 *
 * entry.used of a node counts the data blocks below it (not of a root, whose
 * number is map.refer), so that a whole subtree is detached without being
 * read.
 *
 * Functions that meet a node which is not in memory return -EAGAIN and set
 * *ret_missing: drop core, nodes_fault(), start again.  What they changed
 * until then is a valid state.
 *
 * Lock: core held for all.  nodes_prepare() in the same hold before a change,
 * and the volume's page touched, because root and refer change.
 */
#ifndef MAP_EXTENT_MAP_H
#define MAP_EXTENT_MAP_H

#include "nodes.h"

struct extent_map {
	uint32_t root; /* node id, 0: all holes */
	uint32_t epoch;
	uint64_t refer; /* data blocks mapped */
};

/* The owned nodes from a leaf (0) up to the root (3). */
struct map_path {
	struct node *nodes[INNER_LEVELS + 1];
};

/*
 * Own the leaf that covers @block and all above it; missing nodes are made.
 */
int extent_map_own_leaf(struct nodes *nodes, struct extent_map *map,
			struct vblock block, struct map_path *ret,
			uint32_t *ret_missing, struct error *err);

/*
 * Map @nr blocks from @first, all in the leaf of @path, to consecutive names
 * from @name.  An error (damage) leaves the map half changed: the caller
 * stops the store.
 */
int extent_map_set(struct nodes *nodes, struct extent_map *map,
		   const struct map_path *path, struct vblock first,
		   uint32_t nr, struct birth name, const uint32_t *checksums,
		   struct error *err);

/*
 * Make holes of @nr blocks from @first.  prepare owns what is covered in
 * part, so that clear in the same hold cannot miss a node, and finds the
 * damage that clear would meet half-way.  Whole subtrees go to the reaper in
 * O(depth).
 */
int extent_map_prepare_clear(struct nodes *nodes, struct extent_map *map,
			     struct vblock first, uint64_t nr,
			     uint32_t *ret_missing, struct error *err);
int extent_map_clear(struct nodes *nodes, struct extent_map *map,
		     struct vblock first, uint64_t nr, struct error *err);

/*
 * Can a block of the leaf that covers @block be written without a new node?
 * 1, 0 or -EAGAIN.
 */
int extent_map_owns_leaf(struct nodes *nodes, const struct extent_map *map,
			 struct vblock block, uint32_t *ret_missing,
			 struct error *err);

/* Entries of @nr blocks from @first, all in one leaf. */
int extent_map_read(struct nodes *nodes, const struct extent_map *map,
		    struct vblock first, uint32_t nr, struct leaf_entry *ret,
		    uint32_t *ret_missing, struct error *err);

/*
 * The first node on the way from the root to the leaf of @block that is not
 * in memory, and its level; 0: there is none.
 */
uint32_t extent_map_find_missing(struct nodes *nodes,
				 const struct extent_map *map,
				 struct vblock block, unsigned int *ret_level);

/*
 * How many data blocks there are from @first on.  Only the nodes above @first
 * are looked at.
 */
int extent_map_count_from(struct nodes *nodes, const struct extent_map *map,
			  struct vblock first, uint64_t *ret,
			  uint32_t *ret_missing, struct error *err);

struct extent {
	bool is_data; /* or lost */
	uint64_t nr_blocks;
};

/*
 * The run that begins at @block: data, or hole, at least one block, cut at
 * the border of the node that decides it.
 */
int extent_map_lookup(struct nodes *nodes, const struct extent_map *map,
		      struct vblock block, struct extent *ret,
		      uint32_t *ret_missing, struct error *err);

#endif
