/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts that do not fit two bits: name -> count, for names whose count is 3
 * or more.  Open addressing, linear probing, at most half full.
 *
 * Not locked: the segment table's, so core is held.
 */
#ifndef STORE_OVERFLOW_TABLE_H
#define STORE_OVERFLOW_TABLE_H

#include <stdint.h>

struct overflow_table {
	uint64_t *names; /* 0: empty */
	uint32_t *counts;
	uint32_t nr, cap; /* cap: a power of two */
	/*
	 * No count was ever above it.  What the next checkpoint is thought to
	 * write jumps when this needs another byte, as if each dirty overflow
	 * needed it.  That does no harm: it is never too little, and at worst
	 * a checkpoint comes sooner.
	 */
	uint32_t greatest;
};

/* Room for @extra more names, so that setting them cannot fail.  -ENOMEM. */
int overflow_reserve(struct overflow_table *table, uint32_t extra);
/* Memory it takes. */
uint64_t overflow_bytes(const struct overflow_table *table);
void overflow_done(struct overflow_table *table);

/* The count of @name, 0: not there. */
uint32_t overflow_get(const struct overflow_table *table, uint64_t name);
/* Add @name or change its count; room for it was reserved. */
void overflow_set(struct overflow_table *table, uint64_t name, uint32_t count);
/* Take out @name, which is there. */
void overflow_remove(struct overflow_table *table, uint64_t name);

#endif
