/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes, zeroes and trims of byte ranges of a volume.
 *
 * A write is cut at leaf borders.  Each piece is hashed outside the lock;
 * then, in one hold of core: admit, own the leaf, reserve slots, copy, set
 * entries, counts (I5).
 */
#include "volume-io.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "checksum.h"
#include "quota.h"
#include "tables.h"

static bool block_is_zero(const uint8_t *block)
{
	static const uint8_t zero[16];

	return memcmp(block, zero, sizeof(zero)) == 0 &&
	       memcmp(block, block + sizeof(zero), BLOCK_SIZE - sizeof(zero)) ==
		       0;
}

/* ---- map ---- */

/* The failure of a change that has begun: only reopening helps. */
static int stop_store(struct store *store, const struct error *failure,
		      struct error *err)
{
	mutex_assert_held(&store->core.lock);
	core_fail(&store->core, failure);
	return core_check(&store->core, err);
}

int volume_map_blocks(struct store *store, struct volume *v,
		      struct vblock first, uint32_t nr, struct birth name,
		      const uint32_t *checksums, struct error *err)
{
	struct map_path path;
	uint32_t missing = 0;
	int r = 0;

	mutex_assert_held(&store->core.lock);
	while (nr > 0) {
		uint32_t part =
			LEAF_BLOCKS - (uint32_t)(first.index % LEAF_BLOCKS);

		part = part < nr ? part : nr;
		do {
			if (nodes_prepare(&store->nodes) < 0)
				return error_set(err, ENOMEM, "out of memory");
			volume_touch(&store->volumes, v);
			r = extent_map_own_leaf(&store->nodes, &v->map, first,
						&path, &missing, err);
		} while (store_look_again(store, missing, &r, err));
		if (r == 0)
			r = extent_map_set(&store->nodes, &v->map, &path, first,
					   part, name, checksums, err);
		if (r < 0)
			return r;
		v->written += part;
		first.index += part;
		name.value += part;
		checksums += part;
		nr -= part;
	}
	return 0;
}

int volume_clear_blocks(struct store *store, struct volume *v,
			struct vblock first, uint64_t nr, struct error *err)
{
	uint32_t missing = 0;
	int r;

	mutex_assert_held(&store->core.lock);
	do {
		if (nodes_prepare(&store->nodes) < 0)
			return error_set(err, ENOMEM, "out of memory");
		volume_touch(&store->volumes, v);
		r = extent_map_prepare_clear(&store->nodes, &v->map, first, nr,
					     &missing, err);
	} while (store_look_again(store, missing, &r, err));
	if (r < 0)
		return r;
	return extent_map_clear(&store->nodes, &v->map, first, nr, err);
}

/* ---- write ---- */

/* Up to a leaf's worth of whole blocks on their way into the log. */
struct piece {
	struct vblock first;
	uint32_t nr;
	const uint8_t *data;
	uint32_t checksums[LEAF_BLOCKS];
	uint64_t zero; /* bit i: block i is all zeros */
	/* read-modify-write: what the first block's entry must still be */
	const struct leaf_entry *expected;
};

static void piece_hash(struct piece *p)
{
	for (uint32_t i = 0; i < p->nr; i++) {
		const uint8_t *block = p->data + (size_t)i * BLOCK_SIZE;

		if (block_is_zero(block))
			p->zero |= UINT64_C(1) << i;
		else
			p->checksums[i] = checksum32(block, BLOCK_SIZE);
	}
}

/* Blocks from @i on that are all zeros, or all data, as block @i is. */
static uint32_t piece_run(const struct piece *p, uint32_t i)
{
	uint64_t zero = p->zero >> i & 1;
	uint32_t end = i + 1;

	while (end < p->nr && (p->zero >> end & 1) == zero)
		end++;
	return end - i;
}

/* Log and map the data blocks @i .. @i + @nr of a piece.  Same hold. */
static int put_data(struct store *store, struct volume *v,
		    const struct map_path *path, const struct piece *p,
		    uint32_t i, uint32_t nr, struct error *err)
{
	struct charge_mark mark = charge_begin(store, v);
	int r = 0;

	v->written += nr;
	while (r == 0 && nr > 0) {
		struct vblock at = {p->first.index + i};
		struct birth name;
		uint32_t done;

		done = log_append_write(&store->log, v->id, at, nr,
					p->data + (size_t)i * BLOCK_SIZE,
					p->checksums + i, &name);
		r = extent_map_set(&store->nodes, &v->map, path, at, done, name,
				   p->checksums + i, err);
		i += done;
		nr -= done;
	}
	charge_written(store, v, mark);
	return r;
}

static int put_zeros(struct store *store, struct volume *v, enum op op,
		     struct vblock first, uint32_t nr, struct error *err)
{
	struct charge_mark mark = charge_begin(store, v);
	int r;

	log_append_range(&store->log, op, v->id, first, nr);
	r = extent_map_clear(&store->nodes, &v->map, first, nr, err);
	charge_cleared(store, v, mark);
	return r;
}

/* Everything is there: log and map the piece.  Core held throughout. */
static int piece_put(struct store *store, struct volume *v,
		     const struct map_path *path, const struct piece *p,
		     struct error *err)
{
	struct error failure = ERROR_NONE;
	int r = 0;

	for (uint32_t i = 0, nr; r == 0 && i < p->nr; i += nr) {
		struct vblock at = {p->first.index + i};

		nr = piece_run(p, i);
		if (p->zero >> i & 1)
			r = put_zeros(store, v, OP_ZERO, at, nr, &failure);
		else
			r = put_data(store, v, path, p, i, nr, &failure);
	}
	return r < 0 ? stop_store(store, &failure, err) : 0;
}

static bool entry_is(const struct map_path *path, struct vblock block,
		     const struct leaf_entry *expected)
{
	const struct leaf_entry *e =
		&path->nodes[0]->leaf->entries[block.index % LEAF_BLOCKS];

	return e->ref == expected->ref && e->checksum == expected->checksum;
}

/* Log @op and make holes of whole blocks. */
static int clear_blocks(struct store *store, struct volume *v, enum op op,
			struct vblock first, uint32_t nr,
			struct request *request, struct error *err)
{
	struct core *core = &store->core;
	struct error failure = ERROR_NONE;
	struct admission admission = {.user = FRAME_USER_METADATA,
				      .volume = v,
				      .deadline_ms = request->deadline_ms};
	uint32_t missing = 0;
	int r;

	mutex_lock(&core->lock);
	for (;;) {
		admission.pause = v->settings.pause;
		r = store_admit(store, &admission, err);
		if (r == -EAGAIN)
			continue;
		if (r < 0)
			break;
		volume_touch(&store->volumes, v);
		r = extent_map_prepare_clear(&store->nodes, &v->map, first, nr,
					     &missing, err);
		if (!store_look_again(store, missing, &r, err))
			break;
	}
	if (r == 0) {
		r = put_zeros(store, v, op, first, nr, &failure);
		if (r < 0)
			r = stop_store(store, &failure, err);
	}
	request->seq = log_seq(&store->log);
	request->deadline_ms = admission.deadline_ms;
	mutex_unlock(&core->lock);
	return r;
}

/* Is the piece within the quota?  Blocks that only @v has it may overwrite. */
static int piece_admit(struct store *store, struct volume *v,
		       const struct map_path *path, const struct piece *p,
		       struct admission *admission, struct error *err)
{
	const struct leaf_entry *entries =
		&path->nodes[0]->leaf->entries[p->first.index % LEAF_BLOCKS];
	uint64_t need = 0;

	if (quota_has_room(store, v, p->nr))
		return 0;
	for (uint32_t i = 0; i < p->nr; i++) {
		bool own = leaf_entry_kind(entries[i]) == ENTRY_DATA &&
			   count_get(&store->segments,
				     leaf_entry_birth(entries[i])) == 1;

		need += !own && !(p->zero >> i & 1);
	}
	return quota_admit(store, v, need, admission, err);
}

/*
 * One piece.  -ESTALE: the block of a read-modify-write has changed.
 */
static int piece_write(struct store *store, struct volume *v, struct piece *p,
		       struct request *request, struct error *err)
{
	struct core *core = &store->core;
	struct map_path path;
	struct admission admission = {.user = FRAME_USER_WRITE,
				      .volume = v,
				      .deadline_ms = request->deadline_ms};
	uint32_t missing = 0;
	int r;

	piece_hash(p);
	if (!p->expected && piece_run(p, 0) == p->nr && p->zero)
		return clear_blocks(store, v, OP_ZERO, p->first, p->nr, request,
				    err);
	mutex_lock(&core->lock);
	for (;;) {
		admission.pause = v->settings.pause;
		r = store_admit(store, &admission, err);
		if (r == -EAGAIN)
			continue;
		if (r == 0 && !store->replaying)
			r = tables_admit(store, p->first, &admission, err);
		if (r == -EAGAIN)
			continue;
		if (r < 0)
			break;
		volume_touch(&store->volumes, v);
		r = extent_map_own_leaf(&store->nodes, &v->map, p->first, &path,
					&missing, err);
		if (r == 0 && v->settings.quota && !store->replaying) {
			r = piece_admit(store, v, &path, p, &admission, err);
			if (r == -EAGAIN)
				continue;
		}
		if (!store_look_again(store, missing, &r, err))
			break;
	}
	if (r == 0 && p->expected && !entry_is(&path, p->first, p->expected))
		r = -ESTALE;
	if (r == 0)
		r = piece_put(store, v, &path, p, err);
	request->seq = log_seq(&store->log);
	request->deadline_ms = admission.deadline_ms;
	mutex_unlock(&core->lock);
	return r;
}

/* Blocks of the piece that begins at @first: to the leaf's end at most. */
static uint32_t piece_blocks(const struct store *store, uint64_t first,
			     uint64_t nr)
{
	uint64_t most = LEAF_BLOCKS - first % LEAF_BLOCKS;

	if (most > log_piece_max(&store->log))
		most = log_piece_max(&store->log);
	return (uint32_t)(most < nr ? most : nr);
}

static int write_blocks(struct store *store, struct volume *v,
			struct vblock first, uint64_t nr, const uint8_t *data,
			struct request *request, struct error *err)
{
	int r = 0;

	while (r == 0 && nr > 0) {
		struct piece p = {.first = first, .data = data};

		p.nr = piece_blocks(store, first.index, nr);
		r = piece_write(store, v, &p, request, err);
		first.index += p.nr;
		data += (size_t)p.nr * BLOCK_SIZE;
		nr -= p.nr;
	}
	return r;
}

int volume_write_blocks(struct store *store, uint32_t volume,
			struct vblock first, uint32_t nr, const void *data,
			struct error *err)
{
	struct volume *v;
	struct request request = {0};

	mutex_lock(&store->core.lock);
	v = volume_find_id(&store->volumes, volume);
	mutex_unlock(&store->core.lock);
	if (!v || v->kind != VOLUME_HEAD)
		return error_set(err, EUCLEAN,
				 "volume %" PRIu32 " does not exist", volume);
	return write_blocks(store, v, first, nr, data, &request, err);
}

/* ---- write and zero by bytes ---- */

/*
 * Read, change and write one block.  Another writer of the block makes it
 * start again; each time one of them has got on.  @data NULL: zeros.
 */
static int write_partial(struct store *store, struct volume *v, uint64_t offset,
			 uint32_t length, const uint8_t *data,
			 struct request *request, struct error *err)
{
	struct vblock at = {offset / BLOCK_SIZE};
	uint8_t block[BLOCK_SIZE];
	struct leaf_entry old;
	int r;

	do {
		struct piece p = {
			.first = at, .nr = 1, .data = block, .expected = &old};

		r = volume_read_blocks(store, v, at, 1, block, &old, err);
		if (r < 0)
			return r;
		if (!data && leaf_entry_kind(old) != ENTRY_DATA) {
			/* nothing to log, but FUA waits for what made it */
			mutex_lock(&store->core.lock);
			request->seq = log_seq(&store->log);
			mutex_unlock(&store->core.lock);
			return 0;
		}
		if (data)
			memcpy(block + offset % BLOCK_SIZE, data, length);
		else
			memset(block + offset % BLOCK_SIZE, 0, length);
		r = piece_write(store, v, &p, request, err);
	} while (r == -ESTALE);
	return r;
}

int volume_write_range(struct store *store, struct volume *v,
		       const uint8_t *data, uint64_t length, uint64_t offset,
		       struct request *request, struct error *err)
{
	int r = 0;

	while (r == 0 && length > 0) {
		uint64_t in_block = offset % BLOCK_SIZE, n;

		if (in_block || length < BLOCK_SIZE) {
			n = BLOCK_SIZE - in_block;
			n = n < length ? n : length;
			r = write_partial(store, v, offset, (uint32_t)n, data,
					  request, err);
		} else {
			n = length / BLOCK_SIZE;
			r = write_blocks(store, v,
					 (struct vblock){offset / BLOCK_SIZE},
					 n, data, request, err);
			n *= BLOCK_SIZE;
		}
		data += n;
		offset += n;
		length -= n;
	}
	return r;
}

int volume_clear_range(struct store *store, struct volume *v, enum op op,
		       uint64_t nr_blocks, struct vblock first,
		       struct request *request, struct error *err)
{
	int r = 0;

	while (r == 0 && nr_blocks > 0) {
		uint32_t nr = nr_blocks < UINT32_MAX ? (uint32_t)nr_blocks
						     : UINT32_MAX;

		r = clear_blocks(store, v, op, first, nr, request, err);
		first.index += nr;
		nr_blocks -= nr;
	}
	return r;
}

int volume_zero_range(struct store *store, struct volume *v, uint64_t length,
		      uint64_t offset, struct request *request,
		      struct error *err)
{
	uint64_t in_block = offset % BLOCK_SIZE, n;
	int r = 0;

	if (in_block && length > 0) {
		n = BLOCK_SIZE - in_block;
		n = n < length ? n : length;
		r = write_partial(store, v, offset, (uint32_t)n, NULL, request,
				  err);
		offset += n;
		length -= n;
	}
	n = length / BLOCK_SIZE;
	if (r == 0 && n > 0)
		r = volume_clear_range(store, v, OP_ZERO, n,
				       (struct vblock){offset / BLOCK_SIZE},
				       request, err);
	offset += n * BLOCK_SIZE;
	length -= n * BLOCK_SIZE;
	if (r == 0 && length > 0)
		r = write_partial(store, v, offset, (uint32_t)length, NULL,
				  request, err);
	return r;
}
