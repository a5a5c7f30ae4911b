/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tables that stay in memory as long as a store is open, what they take,
 * and the limit: a store whose tables take more is not opened, and what would
 * make them grow beyond it is refused.  What makes them smaller, and what
 * reads, always goes on, and so does writing where no node has to be made, or
 * as long as nodes that were freed leave room in the node table.
 *
 * Lock: core held for all.
 */
#ifndef VOLUME_TABLES_H
#define VOLUME_TABLES_H

#include "store.h"

struct page_table *store_table(struct store *store, enum table table);
/* For messages. */
const char *table_name(enum table table);

/* A quarter of the machine's memory. */
uint64_t tables_default_limit(void);

uint64_t tables_bytes(const struct store *store);
/* The same by kind. */
void tables_stat(const struct store *store, struct store_stat *ret);

/*
 * Would the tables of the checkpoint with @root be within the limit?  Called
 * before they are loaded.  -ENOMEM.
 */
int tables_check_root(const struct store *store, const struct root *root,
		      struct error *err);

/*
 * May admission->volume be written at @block, as far as tables are concerned?
 * -EAGAIN: core was dropped, look at the world again.  -ENOSPC: it needs a new
 * node, tables have reached the limit, and no freed node is on its way back.
 */
int tables_admit(struct store *store, struct vblock block,
		 struct admission *admission, struct error *err);
/* The same for @nr new volumes or snapshots; never -EAGAIN. */
int tables_admit_volumes(const struct store *store, uint32_t nr,
			 struct error *err);

#endif
