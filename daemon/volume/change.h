/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A metadata verb on its way from operands to one operation.
 *
 * Typical use: change_begin(), change_add() for each operand, change_run(),
 * change_end(), which also comes after a failure of the two before.  A dry
 * run builds and checks the same operation and stops there.
 */
#ifndef VOLUME_CHANGE_H
#define VOLUME_CHANGE_H

#include "store.h"
#include "vector.h"

DEFINE_VECTOR(item_vector, struct operation_item);

struct change {
	struct store *store;
	struct operation operation;
	struct item_vector items;
	bool dry_run;
};

/* -EROFS: the store is open read-only, and nothing has begun.  Takes admin. */
int change_begin(struct change *change, struct store *store, enum op op,
		 bool dry_run, struct error *err);
int change_add(struct change *change, const struct operation_item *item,
	       struct error *err);
/* Run or check what was added, unless @r already says why not. */
int change_run(struct change *change, int r, struct error *err);
void change_end(struct change *change);

/* An item with nothing but its name, which stays the caller's. */
struct operation_item item_named(const char *name);

/* volume_find(); core is taken for it. */
int change_find(struct store *store, const char *text, struct volume **ret,
		struct error *err);

/* Can a volume have @size bytes?  -EINVAL, with a sentence about @name. */
int volume_size_check(const char *name, uint64_t size, struct error *err);

#endif
