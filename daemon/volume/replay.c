/* SPDX-License-Identifier: BSD-2-Clause */
#include "replay.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "print.h"
#include "salvage.h"

int replay_find_head(struct store *store, uint32_t id, struct volume **ret,
		     struct error *err)
{
	struct volume *v = volume_find_id(&store->volumes, id);

	if (!v || v->kind != VOLUME_HEAD)
		return error_set(err, EUCLEAN,
				 "volume %" PRIu32 " does not exist", id);
	*ret = v;
	return 0;
}

int replay_load_operation(struct store *store, enum op op, const void *payload,
			  uint32_t nr_blocks, struct operation *ret,
			  struct operation_item **ret_items, struct error *err)
{
	struct operation_item *items;
	size_t cursor = 0;
	int r;

	r = operation_decode(payload, (size_t)nr_blocks * BLOCK_SIZE, op, ret,
			     err);
	if (r < 0)
		return r;
	items = calloc(ret->nr_items, sizeof(*items));
	if (!items || volumes_prepare(&store->volumes, ret->nr_items) < 0 ||
	    nodes_prepare(&store->nodes) < 0 ||
	    index_vector_reserve(&store->nodes.reaper,
				 ret->nr_items + REAPER_SLACK) < 0) {
		free(items);
		return error_set(err, ENOMEM, "out of memory");
	}
	for (uint32_t i = 0; i < ret->nr_items; i++)
		operation_next_item(payload, &cursor, &items[i]);
	r = operation_check(store, ret, items, err);
	if (r < 0) {
		free(items);
		return error_set(err, EUCLEAN,
				 "an operation of the log does not fit");
	}
	/* reading drops core, but nobody else is there */
	do {
		if (nodes_prepare(&store->nodes) < 0)
			r = error_set(err, ENOMEM, "out of memory");
		else
			r = operation_prepare(store, ret, items, err);
	} while (r == -EAGAIN);
	if (r < 0) {
		free(items);
		return r;
	}
	*ret_items = items;
	return 0;
}

static int replay_operation(struct store *store, const struct log_batch *b,
			    const struct batch_entry *e, uint32_t slot,
			    struct error *err)
{
	CLEANUP_FREE void *payload = malloc((size_t)e->count * BLOCK_SIZE);
	CLEANUP_FREE struct operation_item *items = NULL;
	struct operation operation;
	int r;

	if (!payload)
		return error_set(err, ENOMEM, "out of memory");
	r = backend_read(store->core.be, b->place, slot * BLOCK_SIZE, payload,
			 e->count * BLOCK_SIZE, 0, err);
	if (r == 0)
		r = replay_load_operation(store, e->op, payload, e->count,
					  &operation, &items, err);
	if (r == -EUCLEAN && store->salvage) {
		salvage_say(store->salvage,
			    "batch %" PRIu64 ": %s is given up: what it is "
			    "about is lost",
			    b->seq, op_name(e->op));
		return 0;
	}
	return r < 0 ? r
		     : operation_apply(store, &operation, items, b->seq, err);
}

static int replay_entry(struct store *store, const struct log_batch *b,
			const struct disk_batch *disk,
			const struct batch_entry *e, uint32_t payload,
			struct error *err)
{
	struct vblock first = {e->first_block};
	uint32_t checksums[BATCH_PAYLOAD_MAX];
	struct volume *v = NULL;
	int r;

	if (op_is_metadata(e->op))
		return replay_operation(store, b, e, b->slot + 1 + payload,
					err);
	r = replay_find_head(store, e->volume, &v, err);
	if (r < 0 && store->salvage) {
		salvage_skip(store, b->seq, e->volume);
		return 0;
	}
	if (r < 0)
		return r;
	if (e->op != OP_WRITE)
		return volume_clear_blocks(store, v, first, e->count, err);
	for (uint32_t i = 0; i < e->count; i++)
		checksums[i] = batch_get_checksum(disk, payload + i);
	return volume_map_blocks(store, v, first, e->count,
				 birth_make(b->segno, b->slot + 1 + payload),
				 checksums, err);
}

static int replay_batch(struct store *store, const struct log_batch *b,
			struct error *err)
{
	uint32_t payload = 0;
	struct disk_batch disk;
	struct batch_header h;
	struct batch_entry e;
	int r;

	r = log_tail_read_header(store->core.be, b, &disk, &h, err);
	for (uint32_t i = 0; r == 0 && i < h.nr_entries; i++) {
		r = batch_get_entry(&disk, i, h.kind, &e, err);
		if (r == 0)
			r = replay_entry(store, b, &disk, &e, payload, err);
		payload += batch_entry_payload(&e);
	}
	return r < 0 ? error_prefix(err, "batch %" PRIu64, b->seq) : 0;
}

int replay_log(struct store *store, const struct log_tail *tail,
	       struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < tail->batches.len; i++)
		r = replay_batch(store, &tail->batches.ptr[i], err);
	store->recovered_batches = tail->batches.len;
	return r;
}
