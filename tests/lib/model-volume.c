/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The oracle: volumes and snapshots as plain arrays of bytes.
 *
 * The hash of a model is a sum of one term per volume and one per block that
 * is not all zeros, so that a change costs the terms it changes.
 */
#include "model-volume.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "engine.h"
#include "units.h"

#define READ_BYTES (256u << 10)

struct model_block {
	unsigned int refs;
	uint8_t bytes[BLOCK_SIZE];
};

static void *must(void *p)
{
	if (!p) {
		fprintf(stderr, "model-volume: out of memory\n");
		abort();
	}
	return p;
}

/* ---- hash ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t pair[2] = {a, b};

	return checksum64(pair, sizeof(pair));
}

static uint64_t name_hash(const char *name)
{
	return checksum64(name, strlen(name));
}

static uint64_t volume_term(const char *name, uint64_t size)
{
	return mix(name_hash(name), size);
}

/* 0 where nothing is set. */
static uint64_t settings_term(const char *name, uint64_t quota, bool pause)
{
	if (!quota && !pause)
		return 0;
	return mix(name_hash(name) + pause, ~quota);
}

static uint64_t capacity_term(uint64_t capacity)
{
	return capacity ? mix(name_hash("capacity"), capacity) : 0;
}

static bool all_zero(const uint8_t *bytes, size_t length)
{
	return length == 0 ||
	       (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

/* Of a block's bytes; content that is all zeros counts as nothing. */
static uint64_t bytes_term(const char *name, uint64_t index,
			   const uint8_t bytes[BLOCK_SIZE])
{
	if (all_zero(bytes, BLOCK_SIZE))
		return 0;
	return mix(name_hash(name) + index, checksum64(bytes, BLOCK_SIZE));
}

static uint64_t block_term(const struct model_volume *v, uint64_t index)
{
	return v->blocks[index]
		       ? bytes_term(v->name, index, v->blocks[index]->bytes)
		       : 0;
}

/* Blocks that are all zeros are stored as holes. */
static bool is_data(const struct model_volume *v, uint64_t index)
{
	return v->blocks[index] &&
	       !all_zero(v->blocks[index]->bytes, BLOCK_SIZE);
}

static uint64_t nr_data(const struct model_volume *v)
{
	uint64_t nr = 0;

	for (uint64_t i = 0; i < v->nr_blocks; i++)
		nr += is_data(v, i);
	return nr;
}

static uint64_t content_terms(const struct model_volume *v)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < v->nr_blocks; i++)
		sum += block_term(v, i);
	return sum;
}

/* ---- blocks ---- */

static void block_put(struct model_block *block)
{
	if (block && --block->refs == 0)
		free(block);
}

static struct model_block **blocks_share(struct model_block **blocks,
					 uint64_t nr)
{
	struct model_block **ret = must(calloc(nr + 1, sizeof(*ret)));

	for (uint64_t i = 0; i < nr; i++) {
		ret[i] = blocks[i];
		if (ret[i])
			ret[i]->refs++;
	}
	return ret;
}

static void blocks_free(struct model_block **blocks, uint64_t nr)
{
	for (uint64_t i = 0; i < nr; i++)
		block_put(blocks[i]);
	free(blocks);
}

/* The bytes of a block that nobody else shares. */
static uint8_t *block_own(struct model_volume *v, uint64_t index)
{
	struct model_block *old = v->blocks[index];
	struct model_block *block;

	if (old && old->refs == 1)
		return old->bytes;
	block = must(calloc(1, sizeof(*block)));
	block->refs = 1;
	if (old)
		memcpy(block->bytes, old->bytes, BLOCK_SIZE);
	block_put(old);
	v->blocks[index] = block;
	return block->bytes;
}

/* ---- volumes ---- */

static void volume_free(struct model_volume *v)
{
	blocks_free(v->blocks, v->nr_blocks);
	free(v);
}

static struct model_volume *volume_copy(const struct model_volume *v)
{
	struct model_volume *ret = must(malloc(sizeof(*ret)));

	*ret = *v;
	ret->blocks = blocks_share(v->blocks, v->nr_blocks);
	return ret;
}

/* All that the hash knows of @v. */
static uint64_t terms(const struct model_volume *v)
{
	return volume_term(v->name, v->size) + content_terms(v) +
	       settings_term(v->name, v->quota, v->pause);
}

static void add_terms(struct model *model, const struct model_volume *v)
{
	model->hash += terms(v);
}

static void forget_terms(struct model *model, const struct model_volume *v)
{
	model->hash -= terms(v);
}

static void add(struct model *model, struct model_volume *v)
{
	assert(!model_find(model, v->name));
	if (model->nr == model->cap) {
		model->cap = model->cap ? 2 * model->cap : 8;
		model->volumes = must(reallocarray(model->volumes, model->cap,
						   sizeof(*model->volumes)));
	}
	v->snapshot = strchr(v->name, '@') != NULL;
	model->volumes[model->nr++] = v;
	add_terms(model, v);
}

static void drop(struct model *model, size_t i)
{
	struct model_volume *v = model->volumes[i];

	forget_terms(model, v);
	volume_free(v);
	model->volumes[i] = model->volumes[--model->nr];
}

static void set_name(struct model_volume *v, const char *name)
{
	assert(strlen(name) < sizeof(v->name));
	strcpy(v->name, name);
}

static void none_written(struct model_volume *v)
{
	v->written = 0;
	v->written_is_unknown = false;
}

/* Add a copy of @v under @name. */
static struct model_volume *
add_copy(struct model *model, const struct model_volume *v, const char *name)
{
	struct model_volume *copy;

	assert(v);
	copy = volume_copy(v);
	set_name(copy, name);
	copy->kept[0] = '\0';
	copy->quota = 0;
	copy->pause = false;
	/* only snapshots are of what was written */
	if (!strchr(name, '@'))
		none_written(copy);
	add(model, copy);
	return copy;
}

/* ---- the model ---- */

struct model *model_create(void)
{
	return must(calloc(1, sizeof(struct model)));
}

struct model *model_copy(const struct model *model)
{
	struct model *ret = must(malloc(sizeof(*ret)));

	*ret = *model;
	ret->cap = model->nr + 1;
	ret->volumes = must(calloc(ret->cap, sizeof(*ret->volumes)));
	for (size_t i = 0; i < model->nr; i++)
		ret->volumes[i] = volume_copy(model->volumes[i]);
	return ret;
}

void model_free(struct model *model)
{
	if (!model)
		return;
	for (size_t i = 0; i < model->nr; i++)
		volume_free(model->volumes[i]);
	free(model->volumes);
	free(model);
}

struct model_volume *model_find(const struct model *model, const char *name)
{
	for (size_t i = 0; i < model->nr; i++)
		if (strcmp(model->volumes[i]->name, name) == 0)
			return model->volumes[i];
	return NULL;
}

struct model_volume *model_find_head(const struct model *model,
				     const char *name)
{
	char head[NAME_MAX_BYTES + 1];

	(void)snprintf(head, sizeof(head), "%.*s", (int)strcspn(name, "@"),
		       name);
	return model_find(model, head);
}

static bool is_snapshot_of(const struct model_volume *v, const char *volume)
{
	size_t length = strlen(volume);

	return strncmp(v->name, volume, length) == 0 && v->name[length] == '@';
}

unsigned int model_nr_snapshots(const struct model *model, const char *volume)
{
	unsigned int nr = 0;

	for (size_t i = 0; i < model->nr; i++)
		nr += is_snapshot_of(model->volumes[i], volume);
	return nr;
}

struct model_volume *model_find_kept(const struct model *model,
				     const char *volume)
{
	const struct model_volume *head = model_find(model, volume);

	return head && head->kept[0] ? model_find(model, head->kept) : NULL;
}

void model_create_volume(struct model *model, const char *name, uint64_t size)
{
	struct model_volume *v = must(calloc(1, sizeof(*v)));

	set_name(v, name);
	v->size = size;
	v->nr_blocks = bytes_to_blocks_up(size);
	v->blocks = must(calloc(v->nr_blocks + 1, sizeof(*v->blocks)));
	add(model, v);
}

void model_snapshot(struct model *model, const char *name)
{
	struct model_volume *head = model_find_head(model, name);

	(void)add_copy(model, head, name);
	none_written(head);
}

void model_clone(struct model *model, const char *snapshot, const char *name)
{
	(void)add_copy(model, model_find(model, snapshot), name);
}

void model_delete(struct model *model, const char *name)
{
	struct model_volume *head = model_find_head(model, name);

	assert(model_find(model, name));
	if (strcmp(head->kept, name) == 0)
		head->kept[0] = '\0';
	for (size_t i = model->nr; i-- > 0;) {
		const struct model_volume *v = model->volumes[i];

		if (strcmp(v->name, name) == 0 || is_snapshot_of(v, name))
			drop(model, i);
	}
}

void model_rollback(struct model *model, const char *snapshot, const char *kept)
{
	struct model_volume *head = model_find_head(model, snapshot);
	struct model_volume *from = model_find(model, snapshot);

	assert(from);
	(void)add_copy(model, head, kept);
	none_written(head);
	forget_terms(model, head);
	blocks_free(head->blocks, head->nr_blocks);
	head->blocks = blocks_share(from->blocks, from->nr_blocks);
	head->nr_blocks = from->nr_blocks;
	head->size = from->size;
	add_terms(model, head);
	assert(strlen(kept) < sizeof(head->kept));
	strcpy(head->kept, kept);
}

void model_undo(struct model *model, const char *volume)
{
	struct model_volume *head = model_find(model, volume);
	struct model_volume *kept = model_find_kept(model, volume);
	struct model_block **blocks = head->blocks;
	uint64_t nr_blocks = head->nr_blocks, size = head->size;
	uint64_t written = head->written;
	bool is_unknown = head->written_is_unknown;

	assert(kept);
	forget_terms(model, head);
	forget_terms(model, kept);
	head->blocks = kept->blocks;
	head->nr_blocks = kept->nr_blocks;
	head->size = kept->size;
	kept->blocks = blocks;
	kept->nr_blocks = nr_blocks;
	kept->size = size;
	head->written = kept->written;
	head->written_is_unknown = kept->written_is_unknown;
	kept->written = written;
	kept->written_is_unknown = is_unknown;
	add_terms(model, head);
	add_terms(model, kept);
}

static void rename_one(struct model *model, struct model_volume *v,
		       const char *name)
{
	struct model_volume *head = model_find_head(model, v->name);

	if (head && strcmp(head->kept, v->name) == 0)
		(void)snprintf(head->kept, sizeof(head->kept), "%s", name);
	forget_terms(model, v);
	set_name(v, name);
	add_terms(model, v);
}

void model_rename(struct model *model, const char *from, const char *to)
{
	struct model_volume *named = model_find(model, from);
	char name[2 * NAME_MAX_BYTES + 2];

	assert(named && !model_find(model, to));
	for (size_t i = 0; i < model->nr; i++) {
		struct model_volume *v = model->volumes[i];

		if (named->snapshot || !is_snapshot_of(v, from))
			continue;
		(void)snprintf(name, sizeof(name), "%s%s", to,
			       strchr(v->name, '@'));
		rename_one(model, v, name);
	}
	rename_one(model, named, to);
}

void model_resize(struct model *model, const char *volume, uint64_t size)
{
	struct model_volume *v = model_find(model, volume);
	uint64_t nr = bytes_to_blocks_up(size);

	assert(v && !v->snapshot);
	assert(size >= v->size || size % BLOCK_SIZE == 0);
	forget_terms(model, v);
	for (uint64_t i = nr; i < v->nr_blocks; i++)
		block_put(v->blocks[i]);
	v->blocks = must(reallocarray(v->blocks, nr + 1, sizeof(*v->blocks)));
	for (uint64_t i = v->nr_blocks; i < nr; i++)
		v->blocks[i] = NULL;
	v->nr_blocks = nr;
	v->size = size;
	add_terms(model, v);
}

void model_set(struct model *model, const char *volume, uint64_t quota,
	       bool pause)
{
	struct model_volume *v = model_find(model, volume);

	assert(v && !v->snapshot);
	model->hash -= settings_term(volume, v->quota, v->pause);
	v->quota = quota;
	v->pause = pause;
	model->hash += settings_term(volume, quota, pause);
}

/* ---- bytes ---- */

/* @data NULL: zeros. */
static void put(struct model *model, struct model_volume *v,
		const uint8_t *data, uint64_t length, uint64_t offset)
{
	assert(!v->snapshot && range_is_inside(offset, length, v->size));
	while (length > 0) {
		uint64_t index = offset / BLOCK_SIZE;
		uint32_t at = (uint32_t)(offset % BLOCK_SIZE);
		uint32_t n = BLOCK_SIZE - at;

		if (n > length)
			n = (uint32_t)length;
		model->hash -= block_term(v, index);
		if (data)
			memcpy(block_own(v, index) + at, data, n);
		else if (v->blocks[index])
			memset(block_own(v, index) + at, 0, n);
		model->hash += block_term(v, index);
		v->written += is_data(v, index);
		data = data ? data + n : NULL;
		offset += n;
		length -= n;
	}
}

void model_set_capacity(struct model *model, uint64_t capacity)
{
	model->hash -= capacity_term(model->capacity);
	model->hash += capacity_term(capacity);
	model->capacity = capacity;
}

void model_write(struct model *model, struct model_volume *volume,
		 const void *data, uint64_t length, uint64_t offset)
{
	put(model, volume, data, length, offset);
}

void model_zero(struct model *model, struct model_volume *volume,
		uint64_t length, uint64_t offset)
{
	put(model, volume, NULL, length, offset);
}

void model_settle(struct model *model, struct model_volume *volume,
		  const void *data, uint64_t length, uint64_t offset)
{
	put(model, volume, data, length, offset);
	volume->written_is_unknown = true;
}

void model_read(const struct model_volume *v, void *ret, uint64_t length,
		uint64_t offset)
{
	uint8_t *to = ret;

	assert(range_is_inside(offset, length, v->size));
	while (length > 0) {
		const struct model_block *b = v->blocks[offset / BLOCK_SIZE];
		uint32_t at = (uint32_t)(offset % BLOCK_SIZE);
		uint32_t n = BLOCK_SIZE - at;

		if (n > length)
			n = (uint32_t)length;
		if (b)
			memcpy(to, b->bytes + at, n);
		else
			memset(to, 0, n);
		to += n;
		offset += n;
		length -= n;
	}
}

bool model_is_zero(const struct model_volume *v, uint64_t length,
		   uint64_t offset)
{
	while (length > 0) {
		uint8_t bytes[BLOCK_SIZE];
		uint64_t n = length < BLOCK_SIZE ? length : BLOCK_SIZE;

		model_read(v, bytes, n, offset);
		if (!all_zero(bytes, n))
			return false;
		offset += n;
		length -= n;
	}
	return true;
}

/* ---- comparison with the engine ---- */

static uint64_t first_difference(const uint8_t *a, const uint8_t *b,
				 uint64_t length)
{
	uint64_t i = 0;

	while (i < length && a[i] == b[i])
		i++;
	return i;
}

/* Returns false. */
static bool differs(struct error *err, const char *name, uint64_t offset,
		    const char *what)
{
	(void)error_set(err, EUCLEAN, "%s: byte %" PRIu64 ": %s", name, offset,
			what);
	return false;
}

bool model_volume_equals(const struct model_volume *v,
			 struct volume_handle *handle, struct error *err)
{
	static __thread uint8_t ours[READ_BYTES], theirs[READ_BYTES];

	if (volume_size(handle) != v->size)
		return differs(err, v->name, volume_size(handle),
			       "is not the size");
	for (uint64_t at = 0; at < v->size; at += READ_BYTES) {
		uint32_t n = READ_BYTES;

		if (v->size - at < n)
			n = (uint32_t)(v->size - at);
		if (volume_read(handle, theirs, n, at, err) < 0)
			return false;
		model_read(v, ours, n, at);
		if (memcmp(ours, theirs, n) != 0)
			return differs(err, v->name,
				       at + first_difference(ours, theirs, n),
				       "differs");
	}
	return true;
}

struct extents_check {
	const struct model_volume *volume;
	uint64_t next; /* where the next run must begin */
	struct error *err;
	bool failed;
};

static int bad_extent(struct extents_check *check, uint64_t offset,
		      const char *what)
{
	check->failed = true;
	(void)differs(check->err, check->volume->name, offset, what);
	return -EUCLEAN;
}

static int check_extent(void *opaque, uint64_t offset, uint64_t length,
			bool is_hole)
{
	struct extents_check *check = opaque;
	const struct model_volume *v = check->volume;

	if (offset != check->next || length == 0)
		return bad_extent(check, offset, "run out of order");
	check->next = offset + length;
	if (check->next > v->size)
		return bad_extent(check, check->next, "run beyond the end");
	if (is_hole && !model_is_zero(v, length, offset))
		return bad_extent(check, offset, "hole where there is data");
	return 0;
}

bool model_volume_check_extents(const struct model_volume *v,
				struct volume_handle *handle, uint64_t length,
				uint64_t offset, struct error *err)
{
	struct extents_check check = {v, offset, err, false};
	struct error ignored =
		ERROR_NONE; /* once check_extent has said what is wrong */

	if (volume_extents(handle, length, offset, check_extent, &check,
			   &ignored) < 0) {
		if (!check.failed)
			(void)differs(err, v->name, offset, ignored.message);
		return false;
	}
	if (length > 0 && check.next == offset)
		return differs(err, v->name, offset, "no extent at all");
	return !check.failed;
}

static bool compare_one(const struct model *model, struct store *store,
			const struct volume_info *info, struct error *err)
{
	const char *name = info->name;
	const struct model_volume *v = model_find(model, name);
	struct volume_handle *handle;
	bool equal;

	if (!v)
		return differs(err, name, 0, "should not exist");
	if (info->quota_bytes != v->quota || info->pause_on_full != v->pause)
		return differs(err, name, info->quota_bytes,
			       "is not its quota");
	if (info->refer_blocks != nr_data(v))
		return differs(err, name, info->refer_blocks,
			       "is not what it refers to");
	if (!v->written_is_unknown && info->written_blocks != v->written)
		return differs(err, name, info->written_blocks,
			       "is not what was written");
	if (volume_open(store, name, 0, &handle, err) < 0)
		return false;
	equal = model_volume_equals(v, handle, err) &&
		model_volume_check_extents(v, handle, v->size, 0, err);
	volume_close(handle);
	return equal;
}

bool model_equals_store(const struct model *model, struct store *store,
			struct error *err)
{
	struct volume_info *list;
	size_t nr, visible = 0;
	struct store_stat st;
	bool equal = true;

	store_stat(store, &st);
	if (model->capacity && st.capacity != model->capacity)
		return differs(err, "store", st.capacity,
			       "is not its capacity");
	if (store_list(store, &list, &nr, err) < 0)
		return false;
	for (size_t i = 0; i < nr && equal; i++) {
		if (list[i].hidden)
			continue;
		visible++;
		equal = compare_one(model, store, &list[i], err);
	}
	free(list);
	if (equal && visible != model->nr)
		return differs(err, "list", visible,
			       "is not the number of volumes");
	return equal;
}

/* The terms of the blocks in @bytes, the last one filled up with zeros. */
static uint64_t terms_of(const char *name, uint64_t first, uint8_t *bytes,
			 uint32_t length)
{
	uint64_t sum = 0;

	if (length % BLOCK_SIZE)
		memset(bytes + length, 0, BLOCK_SIZE - length % BLOCK_SIZE);
	for (uint32_t b = 0; b < length; b += BLOCK_SIZE)
		sum += bytes_term(name, first + b / BLOCK_SIZE, bytes + b);
	return sum;
}

static int hash_one(struct store *store, const struct volume_info *info,
		    uint64_t *sum, struct error *err)
{
	const char *name = info->name;
	static __thread uint8_t bytes[READ_BYTES];
	struct volume_handle *handle;
	uint64_t size;
	int r = volume_open(store, name, 0, &handle, err);

	if (r < 0)
		return r;
	size = volume_size(handle);
	*sum += volume_term(name, size) +
		settings_term(name, info->quota_bytes, info->pause_on_full);
	for (uint64_t at = 0; at < size && r == 0; at += READ_BYTES) {
		uint32_t n = READ_BYTES;

		if (size - at < n)
			n = (uint32_t)(size - at);
		r = volume_read(handle, bytes, n, at, err);
		if (r == 0)
			*sum += terms_of(name, at / BLOCK_SIZE, bytes, n);
	}
	volume_close(handle);
	return r;
}

int model_hash_store(struct store *store, uint64_t *ret, struct error *err)
{
	struct volume_info *list;
	struct store_stat st;
	uint64_t sum;
	size_t nr;
	int r = store_list(store, &list, &nr, err);

	if (r < 0)
		return r;
	store_stat(store, &st);
	sum = capacity_term(st.capacity);
	for (size_t i = 0; i < nr && r == 0; i++)
		if (!list[i].hidden)
			r = hash_one(store, &list[i], &sum, err);
	free(list);
	if (r == 0)
		*ret = sum;
	return r;
}
