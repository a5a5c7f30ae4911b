/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files about nodes share. */
#ifndef MAP_NODE_INTERNAL_H
#define MAP_NODE_INTERNAL_H

#include "nodes.h"

/* ---- node-memory.c ---- */

/* Memory a node of @level takes. */
size_t node_bytes(unsigned int level);
/* Make @n a node of @level, all holes. */
void node_clear(struct node *n, unsigned int level);
/* A node of @level, all holes; NULL: out of memory.  No lock needed. */
struct node *node_alloc(unsigned int level);
/* Make as many spares as one hold may use.  -ENOMEM.  Core held. */
int node_spares_fill(struct nodes *nodes);
/* One of them, all holes.  Core held. */
struct node *node_take_spare(struct nodes *nodes, unsigned int level);
/* Node @n was read: it or, in memory of a spare leaf, the same.  Core held. */
struct node *node_keep(struct nodes *nodes, struct node *n);
/* @n is in memory from now on.  Core held. */
void node_count_memory(struct nodes *nodes, const struct node *n);
/* Keep @record, @n as of the cut.  -ENOMEM.  Core held. */
int node_set_image(struct nodes *nodes, struct node *n, const void *record,
		   uint32_t length);
void node_drop_image(struct nodes *nodes, struct node *n);
/* @n and its image are in no list any more: free them.  Core held. */
void node_release(struct nodes *nodes, struct node *n);
void node_memory_done(struct nodes *nodes);

/* ---- node-pages.c ---- */

/* Make page @index of the table exist, loaded.  -ENOMEM.  Core held. */
int node_page_make(struct nodes *nodes, uint32_t index);
void node_pages_done(struct nodes *nodes);

/* Page @index, which nobody wanted before, or the store fails.  Core held. */
void node_page_must_load(struct nodes *nodes, uint32_t index);
/* The page of the entry of @id, loaded.  Core held. */
static inline struct node_page *node_page(struct nodes *nodes, uint32_t id)
{
	uint32_t index = id / NODE_TABLE_PAGE_ENTRIES;

	if (!nodes->table[index]->is_loaded)
		node_page_must_load(nodes, index);
	return nodes->table[index];
}

/* ---- the others ---- */

/*
 * While nodes take too much memory, drop leaves that are clean and were not
 * used since the hand passed them last (CLOCK).  Each id is looked at once a
 * call, so what was just faulted in stays until it was used.  Core held.
 */
void node_evict_some(struct nodes *nodes);
/* A node or an entry is looked at, read or changed.  Core held. */
static inline void node_note_use(struct nodes *nodes)
{
	if (nodes->is_cleaning &&
	    pthread_equal(nodes->cleaning_thread, pthread_self()))
		nodes->nr_cleaning_touches++;
}

/*
 * Count each block of @leaf @delta times more: +1 or -1.  Half done when it
 * fails.  -EUCLEAN.  Core held.
 */
int leaf_add_counts(struct nodes *nodes, const struct leaf_content *leaf,
		    int delta, struct error *err);
/* Encode @n as it is into @ret (NODE_BYTES_MAX); returns the length. */
uint32_t node_encode_now(const struct node *n, void *ret, uint32_t *ret_hash);
/* Node @n was read: it is in memory now.  May evict others.  Core held. */
void node_insert(struct nodes *nodes, struct node *n);
/* Where the node @id is when it is in memory.  Core held. */
struct node **node_place(const struct nodes *nodes, uint32_t id);

#endif
