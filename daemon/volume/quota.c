/* SPDX-License-Identifier: BSD-2-Clause */
#include "quota.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "freed.h"

/* How long a waiter sleeps before it looks again by itself. */
#define WAIT_MS 100u

static uint64_t add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* ---- charges ---- */

static uint64_t quota_blocks(const struct volume *v)
{
	return v->settings.quota / BLOCK_SIZE;
}

/* What of its reservation @v does surely not hold yet. */
static uint64_t unfilled(const struct volume *v)
{
	return less(bytes_to_blocks_up(v->settings.reservation), v->charge.low);
}

/* The most @v may be charged for. */
static uint64_t charge_most(const struct store *store, const struct volume *v)
{
	uint64_t given = store->given_up - v->charge.given_up;

	if (given > v->charge.shared)
		given = v->charge.shared;
	return add(v->charge.high, given);
}

static void set_low(struct store *store, struct volume *v, uint64_t low)
{
	store->unfilled -= unfilled(v);
	v->charge.low = low;
	store->unfilled += unfilled(v);
}

struct charge_mark charge_begin(const struct store *store,
				const struct volume *v)
{
	return (struct charge_mark){store->segments.live_blocks, v->map.refer};
}

/* How many live blocks there are more than at @mark; fewer: negative. */
static int64_t live_since(const struct store *store, struct charge_mark mark)
{
	return (int64_t)(store->segments.live_blocks - mark.live);
}

/*
 * Of the blocks that @v does not map any more since @mark, those that live
 * on: others hold them, or the reaper will free them.
 */
static uint64_t dropped_since(const struct store *store, const struct volume *v,
			      struct charge_mark mark)
{
	return (uint64_t)live_since(store, mark) - (v->map.refer - mark.refer);
}

static void change(struct store *store, struct volume *v,
		   struct charge_mark mark)
{
	int64_t live = live_since(store, mark);
	uint64_t dropped = dropped_since(store, v, mark);

	mutex_assert_held(&store->core.lock);
	v->nr_changes++;
	if (live > 0) {
		v->charge.high = add(v->charge.high, (uint64_t)live);
		set_low(store, v, add(v->charge.low, (uint64_t)live));
	} else if (live < 0) {
		v->charge.high = less(v->charge.high, (uint64_t)-live);
		set_low(store, v, less(v->charge.low, (uint64_t)-live));
	}
	/* what it drops itself is never charged to it anew */
	store->given_up += dropped;
	v->charge.given_up += dropped;
}

void charge_written(struct store *store, struct volume *v,
		    struct charge_mark mark)
{
	change(store, v, mark);
}

void charge_cleared(struct store *store, struct volume *v,
		    struct charge_mark mark)
{
	uint64_t dropped = dropped_since(store, v, mark);

	change(store, v, mark);
	if (dropped > 0)
		set_low(store, v, less(v->charge.low, dropped));
}

/* The volume that is charged for @v, a head or a snapshot. */
static struct volume *payer(struct store *store, const struct volume *v)
{
	return volume_find_id(&store->volumes,
			      v->kind == VOLUME_HEAD ? v->id : v->parent);
}

void charge_deleted(struct store *store, struct volume *v)
{
	struct volume *head = payer(store, v);

	mutex_assert_held(&store->core.lock);
	store->given_up += v->map.refer;
	if (head == v) {
		store->unfilled -= unfilled(v);
		return;
	}
	if (!head)
		return;
	head->charge.given_up += v->map.refer;
	head->charge.disturbed = true;
	set_low(store, head, less(head->charge.low, v->map.refer));
}

void charge_cloned(struct store *store, const struct volume *snapshot,
		   struct volume *clone)
{
	struct volume *head = payer(store, snapshot);

	mutex_assert_held(&store->core.lock);
	clone->charge.shared = snapshot->map.refer;
	clone->charge.given_up = store->given_up;
	if (!head)
		return;
	head->charge.disturbed = true;
	set_low(store, head, less(head->charge.low, snapshot->map.refer));
}

void charge_settings(struct store *store, const struct volume *v,
		     const struct settings *before)
{
	struct volume old = {.settings = *before, .charge = v->charge};

	mutex_assert_held(&store->core.lock);
	store->unfilled -= unfilled(&old);
	store->unfilled += unfilled(v);
}

void charges_load(struct store *store)
{
	struct volumes *volumes = &store->volumes;

	mutex_assert_held(&store->core.lock);
	for (size_t i = 0; i < volumes->all.len; i++)
		volumes->all.ptr[i]->charge =
			(struct charge){.given_up = store->given_up};
	store->unfilled = 0;
	for (size_t i = 0; i < volumes->all.len; i++) {
		struct volume *v = volumes->all.ptr[i];
		struct volume *head = payer(store, v);

		if (!head)
			continue;
		head->charge.high = add(head->charge.high, v->map.refer);
		if (head == v)
			store->unfilled += unfilled(v);
	}
}

/* ---- counting ---- */

static int collect_roots(struct store *store, const struct volume *head,
			 struct index_vector *roots)
{
	for (size_t i = 0; i < store->volumes.all.len; i++) {
		const struct volume *v = store->volumes.all.ptr[i];

		if (v->map.root && payer(store, v) == head &&
		    index_vector_push(roots, v->map.root) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Walk what head @id reaches, whose writers wait.  Core held, dropped. */
static int count_walk(struct store *store, struct volume *v,
		      struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	uint64_t given_up = store->given_up;
	struct index_vector roots = {0};
	struct freed freed;
	uint32_t id = v->id;
	int r;

	mutex_assert_held(&store->core.lock);
	r = collect_roots(store, v, &roots);
	v->charge.counting = true;
	v->charge.disturbed = false;
	mutex_unlock(&store->core.lock);
	if (r < 0)
		(void)error_set(err, ENOMEM, "out of memory");
	else
		r = freed_blocks(store, &roots, &freed, err);
	index_vector_done(&roots);
	mutex_lock(&store->core.lock);
	v = volume_find_id(&store->volumes, id);
	cond_broadcast(&store->core.changed);
	if (!v)
		return r;
	v->charge.counting = false;
	if (r < 0)
		return r;
	/* a snapshot that went or was cloned may have been counted */
	v->charge.high = freed.blocks;
	v->charge.shared = freed.shared;
	v->charge.given_up = given_up;
	set_low(store, v, v->charge.disturbed ? 0 : freed.blocks);
	return 0;
}

/*
 * Count @v, or wait for who does, or for the reaper first.  Core held,
 * dropped: -EAGAIN; or an error: it cannot be counted.
 */
static int count(struct store *store, struct volume *v, struct error *err)
{
	int r;

	mutex_assert_held(&store->core.lock);
	if (v->charge.counting) {
		(void)cond_wait_ms(&store->core.changed, &store->core.lock,
				   WAIT_MS);
		return -EAGAIN;
	}
	if (store->nodes.reaper.len > 0 && !store->reaper_stuck)
		r = reap_some(store, err); /* it holds what was deleted */
	else
		r = count_walk(store, v, err);
	return r < 0 ? r : -EAGAIN;
}

static bool charge_is_known(const struct store *store, const struct volume *v)
{
	return v->charge.low >= charge_most(store, v);
}

int charge_count(struct store *store, uint32_t id, struct error *err)
{
	struct core *core = &store->core;
	uint64_t deadline = monotonic_ms() + SPACE_WAIT_MS;
	struct volume *v;
	int r = -EAGAIN;

	mutex_lock(&core->lock);
	while (r == -EAGAIN) {
		v = volume_find_id(&store->volumes, id);
		if (!v)
			r = error_set(err, ENOENT, "volume is gone");
		else if (charge_is_known(store, v) || store->stopped ||
			 monotonic_ms() >= deadline)
			r = 0;
		else
			r = count(store, v, err);
	}
	mutex_unlock(&core->lock);
	return r;
}

/* ---- quota ---- */

bool quota_has_room(const struct store *store, const struct volume *v,
		    uint64_t nr)
{
	return v->settings.quota == 0 ||
	       add(charge_most(store, v), nr) <= quota_blocks(v);
}

static int refuse(const struct volume *v, struct error *err)
{
	char size[SIZE_TEXT_BYTES];

	settings_format_size(v->settings.quota, size);
	return error_set(err, ENOSPC, "%s: quota of %s reached", v->name, size);
}

int quota_admit(struct store *store, struct volume *v, uint64_t need,
		struct admission *admission, struct error *err)
{
	struct error ignored = ERROR_NONE;
	bool may_wait;
	int r;

	mutex_assert_held(&store->core.lock);
	if (need == 0 || quota_has_room(store, v, need))
		return 0;
	may_wait = admission_may_wait(admission);
	if (may_wait && add(v->charge.low, need) <= quota_blocks(v)) {
		r = count(store, v, &ignored);
		/* what cannot be counted is taken for what it is at most */
		return r == -EAGAIN ? r : refuse(v, err);
	}
	if (!may_wait || !admission->pause)
		return refuse(v, err);
	(void)cond_wait_ms(&store->core.changed, &store->core.lock, WAIT_MS);
	return -EAGAIN;
}

/* ---- reservations ---- */

/*
 * Frames that @blocks of data take in batches of 200 blocks, with what maps
 * them, and the two that a log holds ready.
 */
static uint64_t frames_for(const struct store *store, uint64_t blocks)
{
	uint64_t slots = store->core.nr_slots - 1;
	uint64_t data = slots - (slots + 200) / 201;

	if (blocks > UINT64_MAX / 2)
		blocks = UINT64_MAX / 2;
	return (blocks + blocks / 64) / data + 3;
}

bool reservations_are_covered(const struct store *store, const struct volume *v)
{
	uint64_t others = store->unfilled - (v ? unfilled(v) : 0);

	return others == 0 ||
	       frames_free(&store->frames) >= frames_for(store, others);
}

int reservation_check(struct store *store, const struct volume *v,
		      uint64_t bytes, struct error *err)
{
	struct volume with = {.settings = {.reservation = bytes},
			      .charge = v->charge};
	uint64_t others = store->unfilled - unfilled(v);
	uint64_t segment = UINT64_C(1) << store->core.segment_shift;
	uint64_t nr_free = frames_free(&store->frames);
	char size[SIZE_TEXT_BYTES], room[SIZE_TEXT_BYTES];

	mutex_assert_held(&store->core.lock);
	if (unfilled(&with) == 0 ||
	    nr_free >= frames_for(store, others + unfilled(&with)))
		return 0;
	settings_format_size(bytes, size);
	settings_format_size(nr_free * segment, room);
	return error_set(err, ENOSPC,
			 "%s: no room for a reservation of %s: %s are free, "
			 "%" PRIu64 " MiB of them reserved for other volumes",
			 v->name, size, room, others * BLOCK_SIZE >> 20);
}

int reservations_count(struct store *store, const char *also, struct error *err)
{
	struct index_vector ids = {0};
	int r = 0;

	mutex_lock(&store->core.lock);
	for (size_t i = 0; r == 0 && i < store->volumes.all.len; i++) {
		const struct volume *v = store->volumes.all.ptr[i];

		if (v->kind == VOLUME_HEAD &&
		    (v->settings.reservation || strcmp(v->name, also) == 0))
			r = index_vector_push(&ids, v->id);
	}
	mutex_unlock(&store->core.lock);
	if (r < 0)
		(void)error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < ids.len; i++) {
		r = charge_count(store, ids.ptr[i], err);
		if (r == -ENOENT)
			r = 0;
	}
	index_vector_done(&ids);
	return r;
}

/* A head whose reservation may be filled more than is known. */
static struct volume *find_doubtful(struct store *store,
				    const struct volume *but)
{
	for (size_t i = 0; i < store->volumes.all.len; i++) {
		struct volume *v = store->volumes.all.ptr[i];

		if (v != but && v->kind == VOLUME_HEAD && unfilled(v) > 0 &&
		    !charge_is_known(store, v))
			return v;
	}
	return NULL;
}

int reservations_admit(struct store *store, struct admission *admission,
		       struct error *err)
{
	const struct volume *v = admission->volume;
	struct error ignored = ERROR_NONE;
	struct volume *doubtful;

	mutex_assert_held(&store->core.lock);
	if (reservations_are_covered(store, v))
		return 0;
	doubtful = find_doubtful(store, v);
	if (doubtful && admission_may_wait(admission) &&
	    count(store, doubtful, &ignored) == -EAGAIN)
		return -EAGAIN;
	return error_set(err, ENOSPC,
			 "store is full: what is free is reserved for other "
			 "volumes");
}
