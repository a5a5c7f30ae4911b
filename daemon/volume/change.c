/* SPDX-License-Identifier: BSD-2-Clause */
#include "change.h"

#include <errno.h>
#include <string.h>

int change_begin(struct change *change, struct store *store, enum op op,
		 bool dry_run, struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	*change = (struct change){
		.store = store, .operation = {.op = op}, .dry_run = dry_run};
	if (store->core.read_only && !dry_run)
		return error_set(err, EROFS, "store is open read-only");
	mutex_lock(&store->admin);
	return 0;
}

int change_add(struct change *change, const struct operation_item *item,
	       struct error *err)
{
	if (item_vector_push(&change->items, *item) < 0)
		return error_set(err, ENOMEM, "out of memory");
	return 0;
}

int change_run(struct change *change, int r, struct error *err)
{
	struct core *core = &change->store->core;

	if (r == 0 && change->items.len == 0)
		r = error_set(err, EINVAL, "no operand");
	if (r == 0)
		r = operation_check_size(change->store, change->items.ptr,
					 (uint32_t)change->items.len, err);
	if (r == 0) {
		change->operation.nr_items = (uint32_t)change->items.len;
		/* every item is checked before anything is done */
		mutex_lock(&core->lock);
		r = core_check(core, err);
		if (r == 0)
			r = operation_check(change->store, &change->operation,
					    change->items.ptr, err);
		mutex_unlock(&core->lock);
	}
	if (r == 0 && !change->dry_run)
		r = operation_run(change->store, &change->operation,
				  change->items.ptr, err);
	return r;
}

void change_end(struct change *change) NO_THREAD_SAFETY_ANALYSIS
{
	item_vector_done(&change->items);
	mutex_unlock(&change->store->admin);
}

struct operation_item item_named(const char *name)
{
	return (struct operation_item){
		.name = name,
		.name_length = (uint16_t)strlen(name),
	};
}

int change_find(struct store *store, const char *text, struct volume **ret,
		struct error *err)
{
	int r;

	mutex_lock(&store->core.lock);
	r = volume_find(&store->volumes, text, ret, err);
	mutex_unlock(&store->core.lock);
	return r;
}

int volume_size_check(const char *name, uint64_t size, struct error *err)
{
	if (size == 0 || size % 512 || size > VOLUME_BYTES_MAX)
		return error_set(err, EINVAL,
				 "%s: size must be a multiple of 512 between "
				 "512 and 32 TiB",
				 name);
	return 0;
}
