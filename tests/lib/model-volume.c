/* SPDX-License-Identifier: BSD-2-Clause */
#include "model-volume.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model-terms.h"
#include "units.h"

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

/* ---- content ---- */

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

uint64_t model_nr_data(const struct model_volume *v)
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
