/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Another size for a volume.
 *
 * What lies beyond the new end of one that shrinks becomes holes with the same
 * record, so that it comes back neither with a crash nor when the volume
 * grows again.  That is also why it shrinks to whole blocks only: the record
 * cannot say what the rest of a block holds.  Snapshots keep their size.
 */
#include <errno.h>
#include <inttypes.h>

#include "change.h"
#include "quota.h"
#include "settings.h"

/* Blocks beyond the new end. */
static uint64_t nr_lost(const struct volume *head, uint64_t size)
{
	uint64_t now = bytes_to_blocks_up(head->size);
	uint64_t then = bytes_to_blocks_up(size);

	return now > then ? now - then : 0;
}

int resize_check(const struct store *store, const struct volume *head,
		 uint64_t size, struct error *err)
{
	char then[SIZE_TEXT_BYTES];

	if (size >= head->size)
		return 0;
	settings_format_size(size, then);
	if (size % BLOCK_SIZE)
		return error_set(err, EINVAL,
				 "%s: cannot shrink to %s, which is no "
				 "multiple of 4 KiB",
				 head->name, then);
	return volume_check_unused(&store->volumes, head, ", and would shrink",
				   err);
}

int resize_prepare(struct store *store, struct volume *head, uint64_t size,
		   struct error *err)
{
	uint32_t missing = 0;
	int r;

	mutex_assert_held(&store->core.lock);
	if (nr_lost(head, size) == 0)
		return 0;
	volume_touch(&store->volumes, head);
	r = extent_map_prepare_clear(&store->nodes, &head->map,
				     (struct vblock){bytes_to_blocks_up(size)},
				     nr_lost(head, size), &missing, err);
	if (r != -EAGAIN)
		return r;
	r = store_fault(store, missing, err);
	return r < 0 ? r : -EAGAIN;
}

int resize_apply(struct store *store, struct volume *head, uint64_t size,
		 struct error *err)
{
	struct charge_mark mark = charge_begin(store, head);
	uint64_t nr = nr_lost(head, size);
	int r = 0;

	mutex_assert_held(&store->core.lock);
	volume_touch(&store->volumes, head);
	if (nr) {
		r = extent_map_clear(&store->nodes, &head->map,
				     (struct vblock){bytes_to_blocks_up(size)},
				     nr, err);
		charge_cleared(store, head, mark);
	}
	head->size = size;
	return r;
}

/* ---- the verb ---- */

/*
 * Bytes of data that @head has beyond @size.  Admin is held: its size stays,
 * and so does the volume.
 */
static int count_lost(struct store *store, const struct volume *head,
		      uint64_t size, uint64_t *ret, struct error *err)
{
	const struct vblock end = {bytes_to_blocks_up(size)};
	const uint64_t most = head->size > size ? head->size - size : 0;
	uint32_t missing = 0;
	uint64_t nr = 0;
	int r = 0;

	mutex_lock(&store->core.lock);
	if (nr_lost(head, size) > 0)
		do
			r = extent_map_count_from(&store->nodes, &head->map,
						  end, &nr, &missing, err);
		while (store_look_again(store, missing, &r, err));
	/* the last block may be one in part */
	*ret = nr * BLOCK_SIZE;
	if (*ret > most)
		*ret = most;
	mutex_unlock(&store->core.lock);
	return r;
}

static int refuse_to_shrink(const struct volume *head, uint64_t size,
			    struct error *err)
{
	char now[SIZE_TEXT_BYTES], then[SIZE_TEXT_BYTES];

	settings_format_size(head->size, now);
	settings_format_size(size, then);
	return error_set(err, EINVAL,
			 "%s: shrinking from %s to %s loses what is beyond "
			 "the new end, and needs --shrink",
			 head->name, now, then);
}

/* @ret_lost: a dry run, which says what would be lost. */
static int resize_one(struct store *store, const char *name, uint64_t size,
		      bool shrink, uint64_t *ret_was, uint64_t *ret_lost,
		      struct error *err)
{
	struct operation_item item;
	struct change change;
	struct name parsed;
	struct volume *head;
	int r;

	r = name_parse_volume(name, &parsed, err);
	if (r == 0)
		r = volume_size_check(name, size, err);
	if (r < 0)
		return r;
	r = change_begin(&change, store, OP_RESIZE, ret_lost != NULL, err);
	if (r < 0)
		return r;
	r = change_find(store, name, &head, err);
	/* admin is held: nobody else changes it */
	if (r == 0 && size < head->size && !shrink)
		r = refuse_to_shrink(head, size, err);
	if (r == 0) {
		*ret_was = head->size;
		item = (struct operation_item){.volume = head->id,
					       .size = size};
		r = change_add(&change, &item, err);
	}
	r = change_run(&change, r, err);
	if (r == 0 && ret_lost)
		r = count_lost(store, head, size, ret_lost, err);
	change_end(&change);
	return r;
}

int store_resize(struct store *store, const char *name, uint64_t size,
		 bool shrink, uint64_t *ret_was, struct error *err)
{
	return resize_one(store, name, size, shrink, ret_was, NULL, err);
}

int store_resize_dry_run(struct store *store, const char *name, uint64_t size,
			 bool shrink, uint64_t *ret_was, uint64_t *ret_lost,
			 struct error *err)
{
	return resize_one(store, name, size, shrink, ret_was, ret_lost, err);
}
