/* SPDX-License-Identifier: BSD-2-Clause */
#include "volumes.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "clock.h"
#include "traffic.h"

void volume_to_record(const struct volume *v, struct volume_record *ret)
{
	*ret = (struct volume_record){
		.id = v->id,
		.kind = v->kind,
		.flags = v->flags,
		.parent = v->parent,
		.origin = v->origin,
		.kept = v->kept,
		.root = v->map.root,
		.epoch = v->map.epoch,
		.size = v->size,
		.refer = v->map.refer,
		.written = v->written,
		.created_ns = v->created_ns,
		.seq = v->seq,
		.attrs_length = v->attrs_length,
	};
	memcpy(ret->name, v->name, sizeof(ret->name));
	if (v->attrs_length)
		memcpy(ret->attrs, v->attrs, v->attrs_length);
}

static size_t volume_page_encode(void *owner, uint32_t index, void *ret)
{
	struct volumes *volumes = owner;
	struct volume_record record;

	if (!volumes->by_index[index])
		return 0;
	volume_to_record(volumes->by_index[index], &record);
	return volume_record_encode(index, &record, ret);
}

int volumes_init(struct volumes *volumes, struct core *core)
{
	*volumes =
		(struct volumes){.core = core, .next_id = 1, .next_epoch = 1};
	return page_table_init(&volumes->pages, core, TABLE_VOLUME,
			       volume_page_encode, volumes);
}

void volume_free(struct volume *v)
{
	if (!v)
		return;
	free(v->attrs);
	free(v->traffic);
	free(v);
}

void volumes_done(struct volumes *volumes)
{
	for (size_t i = 0; i < volumes->all.len; i++)
		volume_free(volumes->all.ptr[i]);
	volume_vector_done(&volumes->all);
	index_vector_done(&volumes->free_indices);
	free(volumes->by_index);
	free(volumes->by_name);
	page_table_done(&volumes->pages);
	free(volumes->gone);
	*volumes = (struct volumes){0};
}

static int indices_grow(struct volumes *volumes, uint32_t nr)
{
	struct volume **by_index;
	int r;

	r = page_table_grow(&volumes->pages, nr);
	if (r < 0 || volumes->by_index_cap >= volumes->pages.cap)
		return r;
	by_index = reallocarray(volumes->by_index, volumes->pages.cap,
				sizeof(*by_index));
	if (!by_index)
		return -ENOMEM;
	memset(by_index + volumes->by_index_cap, 0,
	       (volumes->pages.cap - volumes->by_index_cap) *
		       sizeof(*by_index));
	volumes->by_index = by_index;
	volumes->by_index_cap = volumes->pages.cap;
	return 0;
}

/* ---- names ---- */

#define NAMES_MIN 64u

/* A head has no parent, and a snapshot's is not 0. */
static struct volume **name_bucket(const struct volumes *volumes,
				   uint32_t parent, const char *name,
				   size_t length)
{
	uint64_t hash = checksum64(name, length) + parent;

	return &volumes->by_name[hash & (volumes->nr_names - 1)];
}

static void name_insert(struct volumes *volumes, struct volume *v)
{
	struct volume **bucket =
		name_bucket(volumes, v->parent, v->name, strlen(v->name));

	v->name_next = *bucket;
	*bucket = v;
}

static void name_remove(struct volumes *volumes, const struct volume *v)
{
	struct volume **p =
		name_bucket(volumes, v->parent, v->name, strlen(v->name));

	while (*p != v)
		p = &(*p)->name_next;
	*p = v->name_next;
}

/* Room for @nr names in all.  -ENOMEM: nothing has changed. */
static int names_grow(struct volumes *volumes, size_t nr)
{
	size_t cap = volumes->nr_names ? volumes->nr_names : NAMES_MIN;
	struct volume **by_name;

	while (cap < nr)
		cap *= 2;
	if (cap == volumes->nr_names)
		return 0;
	by_name = calloc(cap, sizeof(*by_name));
	if (!by_name)
		return -ENOMEM;
	free(volumes->by_name);
	volumes->by_name = by_name;
	volumes->nr_names = (uint32_t)cap;
	for (size_t i = 0; i < volumes->all.len; i++)
		name_insert(volumes, volumes->all.ptr[i]);
	return 0;
}

/* ---- loading ---- */

int volumes_load(struct volumes *volumes, uint32_t index, const void *page,
		 size_t length, struct error *err)
{
	struct volume_record record;
	struct volume *v;
	int r;

	mutex_assert_held(&volumes->core->lock);
	r = volume_record_decode(page, length, index, &record, err);
	if (r < 0)
		return r;
	v = calloc(1, sizeof(*v));
	if (!v || indices_grow(volumes, index + 1) < 0 ||
	    volume_vector_reserve(&volumes->all, 1) < 0 ||
	    names_grow(volumes, volumes->all.len + 1) < 0 ||
	    volume_set_attrs(v, record.attrs, record.attrs_length) < 0) {
		volume_free(v);
		return error_set(err, ENOMEM, "out of memory");
	}
	v->id = record.id;
	v->kind = record.kind;
	v->flags = record.flags;
	v->parent = record.parent;
	v->origin = record.origin;
	v->kept = record.kept;
	v->map = (struct extent_map){record.root, record.epoch, record.refer};
	v->size = record.size;
	v->written = record.written;
	v->created_ns = record.created_ns;
	v->seq = record.seq;
	memcpy(v->name, record.name, sizeof(v->name));
	v->index = index;
	v->idle_since_ms = monotonic_ms();
	volumes->by_index[index] = v;
	volumes->all.ptr[volumes->all.len++] = v;
	name_insert(volumes, v);
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	const struct volume *x = *(struct volume *const *)a;
	const struct volume *y = *(struct volume *const *)b;

	return (x->id > y->id) - (x->id < y->id);
}

static int check_loaded(const struct volumes *volumes, const struct volume *v,
			struct error *err)
{
	if (v->id >= volumes->next_id)
		return error_set(err, EUCLEAN,
				 "volume %" PRIu32 ": id beyond the next one",
				 v->id);
	if (v->map.epoch >= volumes->next_epoch)
		return error_set(
			err, EUCLEAN,
			"volume %" PRIu32 ": epoch beyond the next one", v->id);
	return 0;
}

int volumes_check_parents(const struct volumes *volumes, struct error *err)
{
	for (size_t i = 0; i < volumes->all.len; i++) {
		const struct volume *v = volumes->all.ptr[i], *parent;

		if (v->kind != VOLUME_SNAPSHOT)
			continue;
		parent = volume_find_id(volumes, v->parent);
		if (!parent || parent->kind != VOLUME_HEAD)
			return error_set(err, EUCLEAN,
					 "snapshot %" PRIu32 " has no volume",
					 v->id);
	}
	return 0;
}

int volumes_loaded(struct volumes *volumes, uint32_t nr_pages,
		   struct error *err)
{
	int r = 0;

	mutex_assert_held(&volumes->core->lock);
	if (indices_grow(volumes, nr_pages) < 0)
		return error_set(err, ENOMEM, "out of memory");
	if (volumes->all.len)
		qsort(volumes->all.ptr, volumes->all.len,
		      sizeof(*volumes->all.ptr), compare_ids);
	for (size_t i = 0; r == 0 && i < volumes->all.len; i++) {
		if (i && volumes->all.ptr[i]->id == volumes->all.ptr[i - 1]->id)
			return error_set(err, EUCLEAN,
					 "volume %" PRIu32 " is listed twice",
					 volumes->all.ptr[i]->id);
		r = check_loaded(volumes, volumes->all.ptr[i], err);
	}
	for (uint32_t i = 0; r == 0 && i < nr_pages; i++)
		if (!volumes->by_index[i] &&
		    index_vector_push(&volumes->free_indices, i) < 0)
			return error_set(err, ENOMEM, "out of memory");
	return r;
}

/* ---- look-up ---- */

/* Where the first one is whose id is @id or greater. */
static size_t find_index(const struct volumes *volumes, uint32_t id)
{
	size_t low = 0, high = volumes->all.len;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (volumes->all.ptr[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct volume *volume_find_id(const struct volumes *volumes, uint32_t id)
{
	size_t i = find_index(volumes, id);

	if (i == volumes->all.len || volumes->all.ptr[i]->id != id)
		return NULL;
	return volumes->all.ptr[i];
}

struct volume *volume_find_name(const struct volumes *volumes, uint32_t parent,
				const char *name, size_t length)
{
	struct volume *v = NULL;

	if (volumes->nr_names)
		v = *name_bucket(volumes, parent, name, length);
	while (v && (v->parent != parent || strlen(v->name) != length ||
		     memcmp(v->name, name, length) != 0))
		v = v->name_next;
	return v;
}

struct volume *volume_find_head(const struct volumes *volumes, const char *name)
{
	return volume_find_name(volumes, 0, name, strlen(name));
}

struct volume *volume_find_snapshot(const struct volumes *volumes,
				    uint32_t parent, const char *word)
{
	return volume_find_name(volumes, parent, word, strlen(word));
}

int volume_find(const struct volumes *volumes, const char *text,
		struct volume **ret, struct error *err)
{
	struct volume *v, *head;
	struct name name;
	int r;

	mutex_assert_held(&volumes->core->lock);
	r = name_parse(text, &name, err);
	if (r < 0)
		return r;
	if (name.until[0])
		return error_set(err, EINVAL, "%s: not a volume or snapshot",
				 text);
	if (name.view == VIEW_SCRATCH_N) {
		/* a scratch view's record has its whole name */
		v = volume_find_head(volumes, text);
		if (!v)
			return error_set(err, ENOENT, "%s: no such view", text);
		*ret = v;
		return 0;
	}
	head = volume_find_head(volumes, name.volume);
	if (!head)
		return error_set(err, ENOENT, "%s: no such volume", text);
	v = head;
	if (name.snapshot[0])
		v = volume_find_snapshot(volumes, head->id, name.snapshot);
	if (!v)
		return error_set(err, ENOENT, "%s: no such snapshot", text);
	*ret = v;
	return 0;
}

/* Append @text up to @end; returns where the zero byte is. */
static char *append(char *to, const char *end, const char *text)
{
	while (*text && to < end)
		*to++ = *text++;
	*to = '\0';
	return to;
}

void volume_full_name(const struct volumes *volumes, const struct volume *v,
		      char ret[NAME_MAX_BYTES + 1])
{
	const struct volume *parent = NULL;
	const char *end = ret + NAME_MAX_BYTES;

	if (v->kind == VOLUME_SNAPSHOT)
		parent = volume_find_id(volumes, v->parent);
	/* a whole name has at most NAME_MAX_BYTES bytes: checked on entry */
	if (parent)
		ret = append(append(ret, end, parent->name), end, "@");
	(void)append(ret, end, v->name);
}

bool volume_is_open(const struct volume *v)
{
	return v->nr_readers || v->nr_writers || v->nr_attached;
}

int volume_check_unused(const struct volumes *volumes, const struct volume *v,
			const char *what, struct error *err)
{
	uint32_t nr = v->nr_readers + v->nr_writers + v->nr_attached;
	char name[NAME_MAX_BYTES + 1];

	if (nr == 0)
		return 0;
	volume_full_name(volumes, v, name);
	return error_set(err, EBUSY, "%s: in use by %" PRIu32 " client%s%s",
			 name, nr, nr == 1 ? "" : "s", what);
}

uint32_t volume_nr_snapshots(const struct volumes *volumes, uint32_t id)
{
	uint32_t nr = 0;

	for (size_t i = 0; i < volumes->all.len; i++)
		nr += volumes->all.ptr[i]->kind == VOLUME_SNAPSHOT &&
		      volumes->all.ptr[i]->parent == id;
	return nr;
}

/* ---- change ---- */

int volumes_prepare(struct volumes *volumes, uint32_t nr)
{
	int r;

	mutex_assert_held(&volumes->core->lock);
	while (volumes->free_indices.len < nr) {
		uint32_t index = volumes->pages.nr_pages;

		r = indices_grow(volumes, index + 1);
		if (r < 0)
			return r;
		r = index_vector_push(&volumes->free_indices, index);
		if (r < 0)
			return r;
	}
	/* a removed volume gives its page back without allocating */
	r = index_vector_reserve(&volumes->free_indices, volumes->all.len + nr);
	if (r < 0)
		return r;
	r = names_grow(volumes, volumes->all.len + nr);
	if (r < 0)
		return r;
	return volume_vector_reserve(&volumes->all, nr);
}

void volume_insert(struct volumes *volumes, struct volume *v)
{
	size_t i = volumes->all.len;

	mutex_assert_held(&volumes->core->lock);
	assert(volumes->free_indices.len > 0);
	assert(volumes->all.len < volumes->all.cap);
	while (i > 0 && volumes->all.ptr[i - 1]->id > v->id) {
		volumes->all.ptr[i] = volumes->all.ptr[i - 1];
		i--;
	}
	assert(i == 0 || volumes->all.ptr[i - 1]->id < v->id);
	volumes->all.ptr[i] = v;
	volumes->all.len++;
	v->index = volumes->free_indices.ptr[--volumes->free_indices.len];
	volume_touch(volumes, v);
	volumes->by_index[v->index] = v;
	name_insert(volumes, v);
	if (v->id >= volumes->next_id)
		volumes->next_id = v->id + 1;
}

/* The first that goes gives its counts away. */
static void keep_traffic(struct volumes *volumes, struct volume *v)
{
	if (volumes->gone && v->traffic) {
		traffic_sum(volumes->gone, v->traffic);
	} else if (v->traffic) {
		volumes->gone = v->traffic;
		v->traffic = NULL;
	}
}

void volume_remove(struct volumes *volumes, struct volume *v)
{
	size_t i = find_index(volumes, v->id);

	mutex_assert_held(&volumes->core->lock);
	assert(!volume_is_open(v));
	volume_touch(volumes, v);
	volumes->by_index[v->index] = NULL;
	name_remove(volumes, v);
	assert(volumes->all.ptr[i] == v);
	/* room was made when it was inserted or loaded */
	if (index_vector_push(&volumes->free_indices, v->index) < 0)
		core_fail_nomem(volumes->core);
	memmove(&volumes->all.ptr[i], &volumes->all.ptr[i + 1],
		(volumes->all.len - i - 1) * sizeof(*volumes->all.ptr));
	volumes->all.len--;
	keep_traffic(volumes, v);
	volume_free(v);
}

void volume_touch(struct volumes *volumes, struct volume *v)
{
	page_table_touch(&volumes->pages, v->index);
}

void volume_rename(struct volumes *volumes, struct volume *v, const char *name,
		   size_t length)
{
	assert(length <= NAME_MAX_BYTES);
	assert(!volume_find_name(volumes, v->parent, name, length));
	volume_touch(volumes, v);
	name_remove(volumes, v);
	memcpy(v->name, name, length);
	v->name[length] = '\0';
	name_insert(volumes, v);
}

uint32_t volumes_new_epoch(struct volumes *volumes)
{
	mutex_assert_held(&volumes->core->lock);
	return volumes->next_epoch++;
}

int volume_set_attrs(struct volume *v, const char *attrs, uint16_t length)
{
	char *copy = NULL;

	if (length) {
		copy = malloc(length);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, attrs, length);
	}
	free(v->attrs);
	v->attrs = copy;
	v->attrs_length = length;
	settings_parse(copy, length, &v->settings);
	return 0;
}

const char *volume_attr(const struct volume *v, const char *key,
			size_t *ret_length)
{
	size_t key_length = strlen(key);

	for (size_t at = 0; at < v->attrs_length;) {
		const char *attr = v->attrs + at;
		size_t length = strnlen(attr, v->attrs_length - at);

		if (length > key_length && attr[key_length] == '=' &&
		    memcmp(attr, key, key_length) == 0) {
			*ret_length = length - key_length - 1;
			return attr + key_length + 1;
		}
		at += length + 1;
	}
	return NULL;
}
