/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads of byte ranges of a volume.
 *
 * A read takes core once per piece: it copies entries, resolves them and pins
 * what it will read, then reads and verifies without a lock.
 */
#include "volume-io.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "checksum.h"

/* Where the blocks of a piece come from. */
struct source {
	struct leaf_entry entries[LEAF_BLOCKS];
	struct segment *segments[LEAF_BLOCKS];	 /* pinned, or NULL */
	struct log_buffer *buffers[LEAF_BLOCKS]; /* pinned, or NULL */
	const uint8_t *data[LEAF_BLOCKS];	 /* in a buffer */
	uint32_t slots[LEAF_BLOCKS];
	uint32_t nr;
	bool pinned;
};

/* Resolve and pin block @i.  Core held. */
static int source_pin(struct store *store, struct source *src, uint32_t i,
		      struct error *err)
{
	struct birth name = leaf_entry_birth(src->entries[i]);
	struct segment *s;
	int r;

	r = segment_resolve(&store->segments, name, &s, &src->slots[i], err);
	if (r < 0)
		return r;
	src->buffers[i] =
		log_pin(&store->log, s->segno, src->slots[i], &src->data[i]);
	if (!src->buffers[i]) {
		s->pins++;
		src->segments[i] = s;
	}
	src->pinned = true;
	return 0;
}

static void source_unpin(struct store *store, struct source *src)
{
	if (!src->pinned)
		return;
	mutex_lock(&store->core.lock);
	for (uint32_t i = 0; i < src->nr; i++) {
		if (src->buffers[i])
			log_unpin(&store->log, src->buffers[i]);
		if (src->segments[i])
			src->segments[i]->pins--;
	}
	mutex_unlock(&store->core.lock);
}

static int source_find(struct store *store, struct volume *v,
		       struct vblock first, struct source *src,
		       struct error *err)
{
	uint32_t missing = 0;
	int r;

	mutex_lock(&store->core.lock);
	do
		r = extent_map_read(&store->nodes, &v->map, first, src->nr,
				    src->entries, &missing, err);
	while (store_look_again(store, missing, &r, err));
	for (uint32_t i = 0; r == 0 && i < src->nr; i++)
		if (leaf_entry_kind(src->entries[i]) == ENTRY_DATA)
			r = source_pin(store, src, i, err);
	mutex_unlock(&store->core.lock);
	return r;
}

/* Count and log a block that cannot be read; returns -EIO. */
static int bad_block(struct store *store, struct volume *v, struct vblock block,
		     const struct source *src, uint32_t i, struct error *err)
{
	char name[NAME_MAX_BYTES + 1];

	mutex_lock(&store->core.lock);
	store->checksum_errors++;
	volume_full_name(&store->volumes, v, name);
	mutex_unlock(&store->core.lock);
	store_message(store, MESSAGE_ERROR, EVENT_DAMAGE,
		      "checksum mismatch: volume=%s offset=%" PRIu64
		      " length=%u segment=%" PRIu64 " slot=%" PRIu32,
		      name, block.index * BLOCK_SIZE, BLOCK_SIZE,
		      src->segments[i] ? src->segments[i]->segno : 0,
		      src->slots[i]);
	return error_set(err, EIO, "%s: block %" PRIu64 ": checksum mismatch",
			 name, block.index);
}

/* The same for a block that a repair had to give up. */
static int lost_block(struct store *store, struct volume *v,
		      struct vblock block, struct error *err)
{
	char name[NAME_MAX_BYTES + 1];

	mutex_lock(&store->core.lock);
	store->checksum_errors++;
	volume_full_name(&store->volumes, v, name);
	mutex_unlock(&store->core.lock);
	store_message(store, MESSAGE_ERROR, EVENT_DAMAGE,
		      "lost block: volume=%s block=%" PRIu64, name,
		      block.index);
	return error_set(err, EIO,
			 "%s: block %" PRIu64
			 ": lost, the map was damaged here",
			 name, block.index);
}

/* How many blocks from @i on lie one after the other in one frame. */
static uint32_t source_run(const struct source *src, uint32_t i)
{
	uint32_t end = i + 1;

	while (end < src->nr && src->segments[end] == src->segments[i] &&
	       src->slots[end] == src->slots[i] + (end - i))
		end++;
	return end - i;
}

static bool block_is_good(const struct source *src, uint32_t i,
			  const uint8_t *block)
{
	return checksum32(block, BLOCK_SIZE) == src->entries[i].checksum;
}

/* Read the run at @i from its frame and verify it. */
static int read_run(struct store *store, struct volume *v, struct vblock first,
		    const struct source *src, uint32_t i, uint32_t nr,
		    uint8_t *ret, struct error *err)
{
	struct backend *be = store->core.be;
	uint64_t place = src->segments[i]->place;
	int r;

	r = backend_read(be, place, src->slots[i] * BLOCK_SIZE, ret,
			 nr * BLOCK_SIZE, 0, err);
	if (r < 0)
		return r;
	for (uint32_t k = 0; k < nr; k++) {
		uint8_t *block = ret + (size_t)k * BLOCK_SIZE;

		if (block_is_good(src, i + k, block))
			continue;
		/* once more around the page cache */
		r = backend_read(be, place, src->slots[i + k] * BLOCK_SIZE,
				 block, BLOCK_SIZE, BACKEND_READ_AROUND_CACHE,
				 err);
		if (r < 0)
			return r;
		if (!block_is_good(src, i + k, block))
			return bad_block(store, v,
					 (struct vblock){first.index + k}, src,
					 i + k, err);
	}
	return 0;
}

static int source_copy(struct store *store, struct volume *v,
		       struct vblock first, const struct source *src,
		       uint8_t *ret, struct error *err)
{
	int r = 0;

	for (uint32_t i = 0, nr; r == 0 && i < src->nr; i += nr) {
		uint8_t *to = ret + (size_t)i * BLOCK_SIZE;
		struct vblock at = {first.index + i};

		nr = 1;
		if (src->buffers[i]) {
			memcpy(to, src->data[i], BLOCK_SIZE);
			if (!block_is_good(src, i, to))
				r = bad_block(store, v, at, src, i, err);
		} else if (src->segments[i]) {
			nr = source_run(src, i);
			r = read_run(store, v, at, src, i, nr, to, err);
		} else if (leaf_entry_kind(src->entries[i]) == ENTRY_LOST) {
			r = lost_block(store, v, at, err);
		} else {
			memset(to, 0, BLOCK_SIZE);
		}
	}
	return r;
}

int volume_read_blocks(struct store *store, struct volume *v,
		       struct vblock first, uint32_t nr, uint8_t *ret,
		       struct leaf_entry *ret_entry, struct error *err)
{
	struct source src;
	int r;

	assert(nr > 0 && first.index % LEAF_BLOCKS + nr <= LEAF_BLOCKS);
	src.nr = nr;
	src.pinned = false;
	memset(src.segments, 0, nr * sizeof(*src.segments));
	memset(src.buffers, 0, nr * sizeof(*src.buffers));
	r = source_find(store, v, first, &src, err);
	if (r == 0)
		r = source_copy(store, v, first, &src, ret, err);
	source_unpin(store, &src);
	if (r == 0 && ret_entry)
		*ret_entry = src.entries[0];
	return r;
}

int volume_read_range(struct store *store, struct volume *v, uint8_t *ret,
		      uint64_t length, uint64_t offset, struct error *err)
{
	uint8_t block[BLOCK_SIZE];
	int r = 0;

	while (r == 0 && length > 0) {
		struct vblock first = {offset / BLOCK_SIZE};
		uint64_t in_block = offset % BLOCK_SIZE, n;

		if (in_block || length < BLOCK_SIZE) {
			n = BLOCK_SIZE - in_block;
			n = n < length ? n : length;
			r = volume_read_blocks(store, v, first, 1, block, NULL,
					       err);
			if (r == 0)
				memcpy(ret, block + in_block, n);
		} else {
			n = LEAF_BLOCKS - first.index % LEAF_BLOCKS;
			if (n > length / BLOCK_SIZE)
				n = length / BLOCK_SIZE;
			r = volume_read_blocks(store, v, first, (uint32_t)n,
					       ret, NULL, err);
			n *= BLOCK_SIZE;
		}
		ret += n;
		offset += n;
		length -= n;
	}
	return r;
}
