/* SPDX-License-Identifier: BSD-2-Clause */
/* What nodes.c and node-fault.c share. */
#ifndef MAP_NODE_INTERNAL_H
#define MAP_NODE_INTERNAL_H

#include "nodes.h"

/* Memory a node of @level takes. */
size_t node_bytes(unsigned int level);
/* A node of @level, all holes; NULL: out of memory.  No lock needed. */
struct node *node_alloc(unsigned int level);
/* Node @n was read: it is in memory now.  May evict others.  Core held. */
void node_insert(struct nodes *nodes, struct node *n);
/* Where the node @id is when it is in memory.  Core held. */
struct node **node_place(const struct nodes *nodes, uint32_t id);

#endif
