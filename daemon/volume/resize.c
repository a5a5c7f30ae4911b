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

/* Blocks beyond the new end. */
static uint64_t nr_lost(const struct volume *head, uint64_t size)
{
	uint64_t now = bytes_to_blocks_up(head->size);
	uint64_t then = bytes_to_blocks_up(size);

	return now > then ? now - then : 0;
}

int resize_check(const struct volume *head, uint64_t size, struct error *err)
{
	uint32_t nr_open =
		head->nr_readers + head->nr_writers + head->nr_attached;

	if (size >= head->size)
		return 0;
	if (size % BLOCK_SIZE)
		return error_set(err, EINVAL,
				 "%s: shrinks to a multiple of 4 KiB only",
				 head->name);
	if (nr_open)
		return error_set(err, EBUSY,
				 "%s: in use by %" PRIu32
				 " client%s, and would shrink",
				 head->name, nr_open, nr_open == 1 ? "" : "s");
	return 0;
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

static int resize_one(struct store *store, const char *name, uint64_t size,
		      bool shrink, bool dry_run, uint64_t *ret_was,
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
	r = change_begin(&change, store, OP_RESIZE, dry_run, err);
	if (r < 0)
		return r;
	r = change_find(store, name, &head, err);
	/* admin is held: nobody else changes it */
	if (r == 0 && size < head->size && !shrink)
		r = error_set(err, EINVAL,
			      "%s: would shrink, and lose what is beyond the "
			      "new end, which has to be asked for (--shrink)",
			      name);
	if (r == 0) {
		*ret_was = head->size;
		item = (struct operation_item){.volume = head->id,
					       .size = size};
		r = change_add(&change, &item, err);
	}
	r = change_run(&change, r, err);
	change_end(&change);
	return r;
}

int store_resize(struct store *store, const char *name, uint64_t size,
		 bool shrink, uint64_t *ret_was, struct error *err)
{
	return resize_one(store, name, size, shrink, false, ret_was, err);
}

static int add_data(void *opaque, uint64_t offset, uint64_t length,
		    bool is_hole)
{
	uint64_t *sum = opaque;

	*sum += is_hole ? 0 : length;
	return 0;
}

/* Bytes of data of @name in [@offset, @end). */
static int count_data(struct store *store, const char *name, uint64_t offset,
		      uint64_t end, uint64_t *ret, struct error *err)
{
	const uint64_t slice = UINT64_C(1) << 30; /* volume_extents()'s most */
	struct volume_handle *handle;
	int r;

	*ret = 0;
	if (offset >= end)
		return 0;
	r = volume_open(store, name, 0, &handle, err);
	if (r < 0)
		return r;
	for (; r == 0 && offset < end; offset += slice)
		r = volume_extents(handle,
				   end - offset < slice ? end - offset : slice,
				   offset, add_data, ret, err);
	volume_close(handle);
	return r;
}

int store_resize_dry_run(struct store *store, const char *name, uint64_t size,
			 bool shrink, uint64_t *ret_was, uint64_t *ret_lost,
			 struct error *err)
{
	int r;

	r = resize_one(store, name, size, shrink, true, ret_was, err);
	if (r < 0)
		return r;
	return count_data(store, name, size, *ret_was, ret_lost, err);
}
