/* SPDX-License-Identifier: BSD-2-Clause */
/* Open volumes: what a client of an export holds. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traffic.h"
#include "volume-io.h"

/* nbdkit before 1.42.4 aborts on extents of 4 GiB (CVE-2025-47711). */
#define EXTENTS_MAX (UINT64_C(1) << 30)

struct volume_handle {
	struct store *store;
	struct volume *volume; /* NULL: a private view not yet made */
	/*
	 * Until it is made, whose view it will be: the handle is a reader of
	 * that, so that the view shows what was opened, whatever gets its name.
	 */
	struct volume *origin;
	bool writer;
	bool attached;
	bool private;
	bool read_only;
};

static uint32_t *handle_counter(struct volume_handle *h, struct volume *v)
{
	if (h->attached)
		return &v->nr_attached;
	return h->writer ? &v->nr_writers : &v->nr_readers;
}

/* Count what is asked of @v from now on.  Core held. */
static int start_traffic(struct volume *v, struct error *err)
{
	if (!v->traffic)
		v->traffic = calloc(1, sizeof(*v->traffic));
	return v->traffic ? 0 : error_set(err, ENOMEM, "out of memory");
}

/* Core held. */
static int handle_bind(struct volume_handle *h, const char *name,
		       unsigned int flags, struct error *err)
{
	struct store *store = h->store;
	struct volume *v;
	int r;

	mutex_assert_held(&store->core.lock);
	r = volume_find(&store->volumes, name, &v, err);
	if (r < 0)
		return r;
	if (h->private) {
		if (store->core.read_only)
			return error_set(err, EROFS,
					 "%s: store is open read-only", name);
		h->origin = v;
		v->nr_readers++;
		return 0;
	}
	h->read_only = v->kind == VOLUME_SNAPSHOT || store->core.read_only;
	if (h->read_only && (flags & VOLUME_OPEN_WRITE))
		return error_set(err, EROFS, "%s: is read-only", name);
	r = start_traffic(v, err);
	if (r < 0)
		return r;
	h->writer = flags & VOLUME_OPEN_WRITE;
	h->volume = v;
	(*handle_counter(h, v))++;
	return 0;
}

int volume_open(struct store *store, const char *name, unsigned int flags,
		struct volume_handle **ret, struct error *err)
{
	struct volume_handle *h;
	char base[NAME_MAX_BYTES + 1];
	struct name parsed;
	int r;

	r = name_parse(name, &parsed, err);
	if (r < 0)
		return r;
	h = calloc(1, sizeof(*h));
	if (!h)
		return error_set(err, ENOMEM, "out of memory");
	h->store = store;
	h->attached = parsed.view == VIEW_ATTACHED;
	h->private = parsed.view == VIEW_SCRATCH;
	/* the views of a volume or snapshot are found by its own name */
	(void)snprintf(base, sizeof(base), "%s", name);
	if (h->attached || h->private)
		*strrchr(base, ':') = '\0';
	mutex_lock(&store->core.lock);
	r = handle_bind(h, base, flags, err);
	mutex_unlock(&store->core.lock);
	if (r < 0) {
		free(h);
		return r;
	}
	*ret = h;
	return 0;
}

/* The view @name is the handle's; its origin may go.  Core held. */
static int handle_bind_private(struct volume_handle *h, const char *name,
			       struct error *err)
{
	struct volume *v;
	int r;

	mutex_assert_held(&h->store->core.lock);
	r = volume_find(&h->store->volumes, name, &v, err);
	if (r == 0)
		r = start_traffic(v, err);
	if (r < 0)
		return r;
	h->writer = true;
	h->volume = v;
	v->nr_writers++;
	h->origin->nr_readers--;
	h->origin = NULL;
	return 0;
}

/* A private view is made at the first request, not when it is opened. */
static int handle_volume(struct volume_handle *h, struct volume **ret,
			 struct error *err)
{
	struct store *store = h->store;
	struct mutex *lock = &store->core.lock;
	char from[NAME_MAX_BYTES + 1], name[NAME_MAX_BYTES + 1];
	int r;

	if (!h->private) {
		*ret = h->volume;
		return 0;
	}
	mutex_lock(lock);
	/* a stopping server makes no view and gives no answer either */
	while (!h->volume && store->stopped)
		cond_wait(&store->core.changed, lock);
	*ret = h->volume;
	if (h->origin)
		volume_full_name(&store->volumes, h->origin, from);
	mutex_unlock(lock);
	if (*ret)
		return 0;
	r = store_scratch(store, from, name, err);
	mutex_lock(lock);
	if (h->volume) /* another first request was faster */
		r = 0;
	else if (r == 0)
		r = handle_bind_private(h, name, err);
	*ret = h->volume;
	mutex_unlock(lock);
	return r;
}

void volume_close(struct volume_handle *h)
{
	struct store *store;
	struct volume *v;
	char name[NAME_MAX_BYTES + 1];
	const char *names[] = {name};

	if (!h)
		return;
	store = h->store;
	v = h->volume;
	if (h->origin) {
		mutex_lock(&store->core.lock);
		h->origin->nr_readers--;
		mutex_unlock(&store->core.lock);
	}
	if (v) {
		mutex_lock(&store->core.lock);
		(*handle_counter(h, v))--;
		v->idle_since_ms = monotonic_ms();
		if (v->flags & VOLUME_FLAG_SCRATCH)
			core_wake(&store->core, WORKER_DRIVER);
		volume_full_name(&store->volumes, v, name);
		mutex_unlock(&store->core.lock);
		if (h->private) /* else the worker drops it */
			(void)store_delete(store, names, 1, false, NULL);
	}
	free(h);
}

uint64_t volume_size(const struct volume_handle *h)
{
	uint64_t size;

	if (h->attached)
		return VOLUME_BYTES_MAX;
	mutex_lock(&h->store->core.lock);
	size = (h->volume ? h->volume : h->origin)->size;
	mutex_unlock(&h->store->core.lock);
	return size;
}

bool volume_is_read_only(const struct volume_handle *h)
{
	return h->read_only;
}

bool volume_is_private(const struct volume_handle *h)
{
	return h->private;
}

/* The volume, when [offset, offset + length) is inside it. */
static int begin(struct volume_handle *h, uint64_t offset, uint64_t length,
		 int code, bool write, struct volume **ret, struct error *err)
{
	uint64_t size;
	int r;

	r = handle_volume(h, ret, err);
	if (r < 0)
		return r;
	if (write && h->read_only)
		return error_set(err, EROFS, "snapshot is read-only");
	mutex_lock(&h->store->core.lock);
	size = (*ret)->size;
	mutex_unlock(&h->store->core.lock);
	if (!range_is_inside(offset, length, size))
		return error_set(err, code,
				 "%" PRIu64 " bytes at %" PRIu64
				 " are beyond the end (%" PRIu64 ")",
				 length, offset, size);
	return 0;
}

/*
 * A request of @v has ended with @r, which is returned.  NULL: it asked for a
 * private view, which could not be made.
 */
static int count(const struct volume *v, enum traffic_kind kind,
		 uint64_t length, uint64_t began_ns, int r)
{
	if (v)
		traffic_add(v->traffic, kind, length, began_ns, r);
	return r;
}

int volume_read(struct volume_handle *h, void *ret, uint32_t length,
		uint64_t offset, struct error *err)
{
	uint64_t began_ns = monotonic_ns();
	struct volume *v = NULL;
	int r = begin(h, offset, length, EINVAL, false, &v, err);

	if (r == 0)
		r = volume_read_range(h->store, v, ret, length, offset, err);
	return count(v, TRAFFIC_READ, length, began_ns, r);
}

/* With @fua: wait until the batch that holds the request is durable. */
static int finish(struct volume_handle *h, bool fua,
		  const struct request *request, int r, struct error *err)
{
	if (r < 0 || !fua || request->seq == 0)
		return r;
	return log_flush_upto(&h->store->log, request->seq, err);
}

int volume_write(struct volume_handle *h, const void *data, uint32_t length,
		 uint64_t offset, bool fua, struct error *err)
{
	uint64_t began_ns = monotonic_ns();
	struct request request = {0};
	struct volume *v = NULL;
	int r = begin(h, offset, length, ENOSPC, true, &v, err);

	if (r == 0)
		r = volume_write_range(h->store, v, data, length, offset,
				       &request, err);
	r = finish(h, fua, &request, r, err);
	return count(v, TRAFFIC_WRITE, length, began_ns, r);
}

int volume_zero(struct volume_handle *h, uint64_t length, uint64_t offset,
		bool fua, struct error *err)
{
	uint64_t began_ns = monotonic_ns();
	struct request request = {0};
	struct volume *v = NULL;
	int r = begin(h, offset, length, ENOSPC, true, &v, err);

	if (r == 0)
		r = volume_zero_range(h->store, v, length, offset, &request,
				      err);
	r = finish(h, fua, &request, r, err);
	return count(v, TRAFFIC_ZERO, length, began_ns, r);
}

/* Whole blocks only; the last block of the volume may be short. */
static int trim_blocks(struct store *store, struct volume *v, uint64_t length,
		       uint64_t offset, struct request *request,
		       struct error *err)
{
	uint64_t first = bytes_to_blocks_up(offset);
	uint64_t end = (offset + length) / BLOCK_SIZE;

	if (first >= end)
		return 0;
	return volume_clear_range(store, v, OP_TRIM, end - first,
				  (struct vblock){first}, request, err);
}

int volume_trim(struct volume_handle *h, uint64_t length, uint64_t offset,
		bool fua, struct error *err)
{
	uint64_t began_ns = monotonic_ns();
	struct request request = {0};
	struct volume *v = NULL;
	int r = begin(h, offset, length, ENOSPC, true, &v, err);

	if (r == 0)
		r = trim_blocks(h->store, v, length, offset, &request, err);
	r = finish(h, fua, &request, r, err);
	return count(v, TRAFFIC_TRIM, length, began_ns, r);
}

/* NULL: none yet.  Another request may be making it. */
static struct volume *private_volume(struct volume_handle *h)
{
	struct volume *v;

	mutex_lock(&h->store->core.lock);
	v = h->volume;
	mutex_unlock(&h->store->core.lock);
	return v;
}

int volume_flush(struct volume_handle *h, struct error *err)
{
	struct volume *v = h->private ? private_volume(h) : h->volume;
	uint64_t began_ns = monotonic_ns();

	return count(v, TRAFFIC_FLUSH, 0, began_ns, store_flush(h->store, err));
}

int volume_cache(struct volume_handle *h, uint32_t length, uint64_t offset,
		 struct error *err)
{
	uint8_t piece[64u << 10];
	struct volume *v;
	int r = begin(h, offset, length, EINVAL, false, &v, err);

	/* reading puts leaves and blocks where the next read finds them */
	while (r == 0 && length > 0) {
		uint32_t n = length < sizeof(piece) ? length
						    : (uint32_t)sizeof(piece);

		r = volume_read_range(h->store, v, piece, n, offset, err);
		offset += n;
		length -= n;
	}
	return r;
}

/* The run at @block, its node faulted in if need be. */
static int lookup(struct store *store, struct volume *v, struct vblock block,
		  struct extent *ret, struct error *err)
{
	uint32_t missing = 0;
	int r;

	mutex_lock(&store->core.lock);
	do
		r = extent_map_lookup(&store->nodes, &v->map, block, ret,
				      &missing, err);
	while (store_look_again(store, missing, &r, err));
	mutex_unlock(&store->core.lock);
	return r;
}

int volume_extents(struct volume_handle *h, uint64_t length, uint64_t offset,
		   extent_fn *extent, void *opaque, struct error *err)
{
	uint64_t size = volume_size(h), end;
	struct volume *v;
	int r;

	r = handle_volume(h, &v, err);
	if (r < 0)
		return r;
	if (!range_is_inside(offset, length, size))
		return error_set(err, EINVAL,
				 "%" PRIu64 " bytes at %" PRIu64
				 " are beyond the end (%" PRIu64 ")",
				 length, offset, size);
	if (length > EXTENTS_MAX)
		length = EXTENTS_MAX;
	end = offset + length;
	while (r == 0 && offset < end) {
		struct vblock block = {offset / BLOCK_SIZE};
		struct extent e;
		uint64_t stop;

		r = lookup(h->store, v, block, &e, err);
		if (r < 0)
			return r;
		stop = (block.index + e.nr_blocks) * BLOCK_SIZE;
		stop = stop < end ? stop : end;
		r = extent(opaque, offset, stop - offset, !e.is_data);
		offset = stop;
	}
	return r;
}
