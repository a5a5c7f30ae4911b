/* SPDX-License-Identifier: BSD-2-Clause */
#include "excl.h"

#include <errno.h>

#include "freed.h"

#define WALKS_MAX 3

/* Core held. */
static struct excl_moment moment_of(struct store *store,
				    const struct index_vector *ids)
{
	struct excl_moment ret = {
		.sharing = store->given_up + store->nr_operations,
		.settled = store->nodes.reaper.len == 0 || store->reaper_stuck,
	};

	for (size_t i = 0; i < ids->len; i++) {
		const struct volume *v =
			volume_find_id(&store->volumes, ids->ptr[i]);

		ret.changes += v ? v->nr_changes : 0;
	}
	return ret;
}

struct excl_moment excl_now(struct store *store, const struct index_vector *ids)
{
	struct excl_moment ret;

	mutex_lock(&store->core.lock);
	ret = moment_of(store, ids);
	mutex_unlock(&store->core.lock);
	return ret;
}

bool excl_is_same(const struct excl_moment *before,
		  const struct excl_moment *now)
{
	return before->sharing == now->sharing &&
	       before->changes == now->changes;
}

/* What stays so until a check repairs it; other failures pass. */
static bool is_damage(int r)
{
	return r == -EIO || r == -EBADMSG || r == -EUCLEAN;
}

/*
 * Wait for the reaper; what it cannot free stays, whatever else is deleted.
 * Core held; it is dropped while there is a wait.
 */
static void settle(struct store *store, uint64_t deadline_ms)
{
	struct error damage = ERROR_NONE; /* given one, it is told */
	int r = 0;

	mutex_assert_held(&store->core.lock);
	while (r == 0 && store->nodes.reaper.len > 0 && !store->reaper_stuck &&
	       !store->core.failed && monotonic_ms() < deadline_ms)
		r = reap_some(store, &damage);
	if (is_damage(r))
		store->reaper_stuck = true;
}

/* The roots of the set.  Core held. */
static int collect_roots(const struct store *store,
			 const struct index_vector *ids,
			 struct index_vector *roots, struct error *err)
{
	roots->len = 0;
	for (size_t i = 0; i < ids->len; i++) {
		const struct volume *v =
			volume_find_id(&store->volumes, ids->ptr[i]);

		if (v && v->map.root &&
		    index_vector_push(roots, v->map.root) < 0)
			return error_set(err, ENOMEM, "out of memory");
	}
	return 0;
}

static int walk(struct store *store, const struct index_vector *roots,
		uint64_t *ret_blocks, struct error *err)
{
	struct freed freed = {0};
	int r;

	if (roots->len <= 1)
		return freed_alone(store, roots, ret_blocks, err);
	r = freed_blocks(store, roots, &freed, err);
	if (r == 0)
		*ret_blocks = freed.blocks;
	return r;
}

/* One attempt.  *ret_moment: what the answer depends on. */
static int ask(struct store *store, const struct index_vector *ids,
	       uint64_t deadline_ms, struct space_freed *ret,
	       struct excl_moment *ret_moment, struct error *err)
{
	struct mutex *lock = &store->core.lock;
	struct index_vector roots = {0};
	struct excl_moment now;
	int r;

	mutex_lock(lock);
	settle(store, deadline_ms);
	*ret_moment = moment_of(store, ids);
	r = collect_roots(store, ids, &roots, err);
	mutex_unlock(lock);
	if (r == 0)
		r = walk(store, &roots, &ret->blocks, err);
	index_vector_done(&roots);
	if (r < 0)
		return r;
	now = excl_now(store, ids);
	ret->exact = ret_moment->settled && now.settled &&
		     excl_is_same(ret_moment, &now);
	return 0;
}

static int ask_again(struct store *store, const struct index_vector *ids,
		     uint64_t deadline_ms, struct space_freed *ret,
		     struct excl_moment *ret_moment, struct error *err)
{
	struct error failure = ERROR_NONE;
	int r = 0;

	ret->exact = false;
	for (int i = 0; r == 0 && !ret->exact && i < WALKS_MAX; i++) {
		if (i > 0 && monotonic_ms() >= deadline_ms)
			break;
		r = ask(store, ids, deadline_ms, ret, ret_moment, &failure);
	}
	if (r < 0 && !is_damage(r))
		return error_set(err, -r, "%s", failure.message);
	if (r < 0)
		*ret = (struct space_freed){.blocks = BLOCKS_UNKNOWN};
	return 0;
}

int excl_of_set(struct store *store, const struct index_vector *ids,
		uint64_t deadline_ms, struct space_freed *ret,
		struct error *err)
{
	struct excl_moment moment;

	return ask_again(store, ids, deadline_ms, ret, &moment, err);
}

/* Core held. */
static bool find_kept(struct store *store, const struct index_vector *id,
		      struct space_freed *ret)
{
	const struct volume *v = volume_find_id(&store->volumes, id->ptr[0]);
	struct excl_moment now = moment_of(store, id);

	if (!v || !v->excl.known || v->excl.sharing != now.sharing ||
	    v->excl.changes != now.changes)
		return false;
	*ret = (struct space_freed){.blocks = v->excl.blocks, .exact = true};
	return true;
}

/* Core held. */
static void keep(struct store *store, uint32_t id,
		 const struct excl_moment *moment, uint64_t blocks)
{
	struct volume *v = volume_find_id(&store->volumes, id);

	if (v)
		v->excl = (struct excl){
			.known = true,
			.sharing = moment->sharing,
			.changes = moment->changes,
			.blocks = blocks,
		};
}

int excl_of_one(struct store *store, uint32_t id, uint64_t deadline_ms,
		struct space_freed *ret, struct error *err)
{
	const struct index_vector ids = {.ptr = &id, .len = 1};
	struct excl_moment moment;
	bool is_kept;
	int r;

	mutex_lock(&store->core.lock);
	is_kept = find_kept(store, &ids, ret);
	mutex_unlock(&store->core.lock);
	if (is_kept)
		return 0;
	r = ask_again(store, &ids, deadline_ms, ret, &moment, err);
	if (r < 0 || !ret->exact)
		return r;
	mutex_lock(&store->core.lock);
	keep(store, id, &moment, ret->blocks);
	mutex_unlock(&store->core.lock);
	return 0;
}

int store_excl(struct store *store, struct volume_info *infos, size_t nr,
	       struct error *err)
{
	uint64_t deadline_ms = monotonic_ms() + EXCL_WAIT_MS;
	struct space_freed freed;
	int r = 0;

	for (size_t i = 0; r == 0 && i < nr; i++) {
		r = excl_of_one(store, infos[i].id, deadline_ms, &freed, err);
		if (r == 0)
			infos[i].excl_blocks = freed.blocks;
	}
	return r;
}
