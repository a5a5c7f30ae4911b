/* SPDX-License-Identifier: BSD-2-Clause */
/* What there is in a store, by engine.h: store_list(), store_find(). */
#include <stdlib.h>
#include <string.h>

#include "store.h"
#include "text.h"
#include "traffic.h"

/* Volumes listed in one hold of core. */
#define SLICE 256u
/* How often the list is begun again before it is made in one hold. */
#define TRIES 4

static void fill_info(const struct volumes *volumes, const struct volume *v,
		      struct volume_info *ret)
{
	const struct volume *origin = volume_find_id(volumes, v->origin);
	size_t length;
	const char *text = volume_attr(v, "message", &length);

	*ret = (struct volume_info){
		.id = v->id,
		.snapshot = v->kind == VOLUME_SNAPSHOT,
		.hidden = v->flags & VOLUME_FLAG_HIDDEN,
		.scratch = v->flags & VOLUME_FLAG_SCRATCH,
		.old_head = v->flags & VOLUME_FLAG_OLD_HEAD,
		.size = v->size,
		.refer_blocks = v->map.refer,
		.written_blocks = v->written,
		.created_ns = v->created_ns,
		.nr_readers = v->nr_readers,
		.nr_writers = v->nr_writers,
		.nr_attached = v->nr_attached,
		.quota_bytes = v->settings.quota,
		.reservation_bytes = v->settings.reservation,
		.pause_on_full = v->settings.pause,
		.excl_blocks = BLOCKS_UNKNOWN,
	};
	volume_full_name(volumes, v, ret->name);
	if (origin)
		volume_full_name(volumes, origin, ret->origin);
	if (text)
		text_make_plain(text, length, ret->message,
				sizeof(ret->message));
}

/* Volume by name, a volume before its snapshots, those by creation. */
static int compare_infos(const void *a, const void *b)
{
	const struct volume_info *x = a, *y = b;
	size_t xn = strcspn(x->name, "@"), yn = strcspn(y->name, "@");
	int c = memcmp(x->name, y->name, xn < yn ? xn : yn);

	if (c == 0 && xn != yn)
		c = xn < yn ? -1 : 1;
	if (c == 0 && x->snapshot != y->snapshot)
		c = x->snapshot ? 1 : -1;
	if (c == 0)
		c = (x->id > y->id) - (x->id < y->id);
	return c;
}

/* Room for @nr; *ret is replaced.  Core not held. */
static int make_room(struct volume_info **ret, size_t nr)
{
	struct volume_info *list = calloc(nr, sizeof(*list));

	if (!list)
		return -ENOMEM;
	free(*ret);
	*ret = list;
	return 0;
}

/*
 * Fill in all that there are, a slice in each hold of core.  -EAGAIN: there
 * is no room for all, *ret_nr says how many there are; or a verb changed them
 * meanwhile.  When @at_once, in one hold.
 */
static int fill_list(struct store *store, struct volume_info *list, size_t cap,
		     bool at_once, size_t *ret_nr)
{
	const struct volumes *volumes = &store->volumes;
	struct mutex *lock = &store->core.lock;
	uint64_t nr_operations;
	size_t nr, i = 0;
	int r = 0;

	mutex_lock(lock);
	nr_operations = store->nr_operations;
	nr = volumes->all.len;
	if (nr > cap)
		r = -EAGAIN;
	while (r == 0 && i < nr) {
		fill_info(volumes, volumes->all.ptr[i], &list[i]);
		i++;
		if (i % SLICE == 0 && !at_once) {
			mutex_unlock(lock);
			mutex_give_way(lock);
			mutex_lock(lock);
		}
		if (i < nr && store->nr_operations != nr_operations)
			r = -EAGAIN;
	}
	mutex_unlock(lock);
	*ret_nr = nr;
	return r;
}

static void count_snapshots(struct volume_info *list, size_t nr)
{
	struct volume_info *head = NULL;

	/* a volume comes before its snapshots */
	for (size_t i = 0; i < nr; i++) {
		if (!list[i].snapshot)
			head = &list[i];
		else if (head)
			head->nr_snapshots++;
	}
}

int store_list(struct store *store, struct volume_info **ret, size_t *ret_nr,
	       struct error *err)
{
	struct volume_info *list = NULL;
	size_t nr = 0, cap = 0;
	int r = -EAGAIN;

	for (int i = 0; r == -EAGAIN; i++) {
		if (nr + 1 > cap || !list) {
			cap = nr + 16;
			r = make_room(&list, cap);
			if (r < 0) {
				free(list);
				return error_set(err, ENOMEM, "out of memory");
			}
		}
		r = fill_list(store, list, cap, i >= TRIES, &nr);
	}
	qsort(list, nr, sizeof(*list), compare_infos);
	count_snapshots(list, nr);
	*ret = list;
	*ret_nr = nr;
	return 0;
}

int store_find(struct store *store, const char *name, struct volume_info *ret,
	       struct error *err)
{
	struct volume *v;
	int r;

	mutex_lock(&store->core.lock);
	r = volume_find(&store->volumes, name, &v, err);
	if (r == 0) {
		fill_info(&store->volumes, v, ret);
		ret->nr_snapshots = volume_nr_snapshots(&store->volumes, v->id);
	}
	mutex_unlock(&store->core.lock);
	return r;
}

/* Volumes that have counts.  Core held. */
static size_t nr_with_traffic(const struct volumes *volumes)
{
	size_t nr = 0;

	for (size_t i = 0; i < volumes->all.len; i++)
		nr += volumes->all.ptr[i]->traffic != NULL;
	return nr;
}

/* @list has room for all of them.  Core held. */
static void fill_traffic(const struct volumes *volumes,
			 struct volume_traffic *list,
			 struct traffic_count *ret_all)
{
	if (volumes->gone)
		traffic_read(volumes->gone, ret_all);
	for (size_t i = 0; i < volumes->all.len; i++) {
		const struct volume *v = volumes->all.ptr[i];

		if (!v->traffic)
			continue;
		volume_full_name(volumes, v, list->name);
		list->hidden = v->flags & VOLUME_FLAG_HIDDEN;
		traffic_read(v->traffic, &list->count);
		traffic_read(v->traffic, ret_all);
		list++;
	}
}

int store_traffic(struct store *store, struct volume_traffic **ret,
		  size_t *ret_nr, struct traffic_count *ret_all,
		  struct error *err)
{
	struct volumes *volumes = &store->volumes;
	struct volume_traffic *list = NULL;
	size_t nr, cap = 0;

	*ret_all = (struct traffic_count){0};
	mutex_lock(&store->core.lock);
	for (nr = nr_with_traffic(volumes); nr > cap || !list;
	     nr = nr_with_traffic(volumes)) {
		mutex_unlock(&store->core.lock);
		free(list);
		cap = nr + 16; /* others may open volumes meanwhile */
		list = calloc(cap, sizeof(*list));
		if (!list)
			return error_set(err, ENOMEM, "out of memory");
		mutex_lock(&store->core.lock);
	}
	fill_traffic(volumes, list, ret_all);
	mutex_unlock(&store->core.lock);
	*ret = list;
	*ret_nr = nr;
	return 0;
}
