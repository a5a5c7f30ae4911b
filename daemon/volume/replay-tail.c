/* SPDX-License-Identifier: BSD-2-Clause */
/* The tail file: what a killed process had not written is appended anew. */
#include "replay.h"

#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "volume-io.h"

const struct disk_batch *replay_tail_batch(const struct tail_file *file,
					   uint32_t i, struct batch_header *ret,
					   bool *ret_sealed)
{
	const struct disk_batch *disk =
		(const void *)(file->buffers + (size_t)i * file->buffer_bytes +
			       SEGMENT_HEADER_SIZE);

	*ret_sealed = batch_decode(disk, ret, NULL) == 0;
	if (!*ret_sealed && batch_decode_unsealed(disk, ret, NULL) < 0)
		return NULL;
	return disk;
}

/* The batch that follows (@seq, @hash); NULL: none. */
static const struct disk_batch *tail_next(const struct tail_file *file,
					  const struct superblock *sb,
					  uint64_t seq, uint64_t hash,
					  struct batch_header *ret,
					  bool *ret_sealed)
{
	for (uint32_t i = 0; i < file->nr_buffers; i++) {
		const struct disk_batch *disk =
			replay_tail_batch(file, i, ret, ret_sealed);

		if (disk && ret->seq == seq + 1 && ret->prev_hash == hash &&
		    ret->kind == SEGMENT_DATA &&
		    ret->incarnation == sb->log.incarnation &&
		    memcmp(ret->uuid, sb->uuid, sizeof(ret->uuid)) == 0 &&
		    SEGMENT_HEADER_SIZE + BATCH_HEADER_SIZE +
				    ret->nr_payload * BLOCK_SIZE <=
			    file->buffer_bytes)
			return disk;
	}
	return NULL;
}

static int append_operation(struct store *store, const struct batch_entry *e,
			    const void *payload, struct error *err)
{
	CLEANUP_FREE struct operation_item *items = NULL;
	struct operation operation;
	struct admission admission = {.user = FRAME_USER_RECOVERY,
				      .admin_held = true};
	int r;

	mutex_lock(&store->core.lock);
	do {
		r = store_admit(store, &admission, err);
	} while (r == -EAGAIN);
	if (r == 0)
		r = replay_load_operation(store, e->op, payload, e->count,
					  &operation, &items, err);
	if (r == 0) {
		log_append_operation(&store->log, e->op, payload, e->count);
		r = operation_apply(store, &operation, items,
				    log_seq(&store->log), err);
	}
	mutex_unlock(&store->core.lock);
	return r;
}

/* Do entry @e, whose payload begins at @payload, once more. */
static int append_entry(struct store *store, const struct batch_entry *e,
			const uint8_t *payload, struct error *err)
{
	struct vblock first = {e->first_block};
	struct request request = {0};
	struct volume *v = NULL;
	int r;

	if (op_is_metadata(e->op))
		return append_operation(store, e, payload, err);
	if (e->op == OP_WRITE)
		return volume_write_blocks(store, e->volume, first, e->count,
					   payload, err);
	mutex_lock(&store->core.lock);
	r = replay_find_head(store, e->volume, &v, err);
	mutex_unlock(&store->core.lock);
	if (r < 0)
		return r;
	return volume_clear_range(store, v, e->op, e->count, first, &request,
				  err);
}

/* Append a batch's entries up to the first whose payload does not verify. */
static int append_batch(struct store *store, const struct disk_batch *disk,
			const struct batch_header *h, bool *ret_whole,
			struct error *err)
{
	const uint8_t *payload = (const uint8_t *)(disk + 1);
	uint32_t at = 0;
	int r = 0;

	*ret_whole = true;
	for (uint32_t i = 0; r == 0 && i < h->nr_entries; i++) {
		struct batch_entry e;

		r = batch_get_entry(disk, i, h->kind, &e, err);
		for (uint32_t k = 0; r == 0 && k < batch_entry_payload(&e); k++)
			if (checksum32(payload + (size_t)(at + k) * BLOCK_SIZE,
				       BLOCK_SIZE) !=
			    batch_get_checksum(disk, at + k))
				*ret_whole = false;
		if (!*ret_whole)
			return 0;
		if (r == 0)
			r = append_entry(store, &e,
					 payload + (size_t)at * BLOCK_SIZE,
					 err);
		at += batch_entry_payload(&e);
	}
	return r;
}

int replay_tail_file(struct store *store, const struct tail_file *file,
		     const struct superblock *sb, const struct log_tail *tail,
		     struct error *err)
{
	uint64_t seq = tail->end_seq, hash = tail->end_hash;
	const struct disk_batch *disk;
	bool sealed = true, whole = true;
	struct batch_header h;
	int r = 0;

	while (r == 0 && sealed && whole) {
		disk = tail_next(file, sb, seq, hash, &h, &sealed);
		if (!disk)
			break;
		r = append_batch(store, disk, &h, &whole, err);
		seq = h.seq;
		hash = h.hash;
		store->recovered_tail_batches++;
		store->recovered_batches++;
	}
	return r < 0 ? error_prefix(err, "tail file") : 0;
}
