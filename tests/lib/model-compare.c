/* SPDX-License-Identifier: BSD-2-Clause */
/* A model beside the store that it describes. */
#include "model-volume.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "model-terms.h"
#include "units.h"

#define READ_BYTES (256u << 10)

/* ---- bytes and extents ---- */

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

/* ---- all of a store ---- */

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
	if (info->refer_blocks != model_nr_data(v))
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

/* ---- by hash ---- */

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
