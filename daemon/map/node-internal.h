/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files about nodes share. */
#ifndef MAP_NODE_INTERNAL_H
#define MAP_NODE_INTERNAL_H

#include "nodes.h"

/* Memory a node of @level takes. */
size_t node_bytes(unsigned int level);
/* A node of @level, all holes; NULL: out of memory.  No lock needed. */
struct node *node_alloc(unsigned int level);
/* What nodes of @level take in all.  Core held. */
uint64_t *node_bytes_sum(struct nodes *nodes, unsigned int level);
/* Free @n and its image; it is in no list any more.  Core held. */
void node_release(struct nodes *nodes, struct node *n);
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

/* Encode @n as it is into @ret (NODE_BYTES_MAX); returns the length. */
uint32_t node_encode_now(const struct node *n, void *ret, uint32_t *ret_hash);
/* Node @n was read: it is in memory now.  May evict others.  Core held. */
void node_insert(struct nodes *nodes, struct node *n);
/* Where the node @id is when it is in memory.  Core held. */
struct node **node_place(const struct nodes *nodes, uint32_t id);

#endif
