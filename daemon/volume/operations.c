/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Metadata operations: what each one needs, what it does to the volumes, and
 * how it gets into the log.  The same operation_apply() serves the live verb
 * and the replay, so both end in the same state.
 */
#include "quota.h"
#include "tables.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- check ---- */

static bool same_item_name(const struct operation_item *a,
			   const struct operation_item *b)
{
	return a->name_length == b->name_length &&
	       memcmp(a->name, b->name, a->name_length) == 0;
}

/* A head called as @item, other than a duplicate in the set. */
static int check_new_head(struct store *store,
			  const struct operation_item *items, uint32_t i,
			  struct error *err)
{
	const struct operation_item *item = &items[i];
	bool taken = volume_find_name(&store->volumes, 0, item->name,
				      item->name_length);

	for (uint32_t k = 0; k < i; k++)
		taken |= same_item_name(&items[k], item);
	if (taken)
		return error_set(err, EEXIST, "%.*s: already exists",
				 item->name_length, item->name);
	return 0;
}

static int check_new_snapshot(struct store *store, const struct volume *head,
			      const struct operation_item *items, uint32_t i,
			      struct error *err)
{
	const struct operation_item *item = &items[i];
	bool taken = volume_find_name(&store->volumes, head->id, item->name,
				      item->name_length);

	for (uint32_t k = 0; k < i; k++)
		taken |= items[k].volume == item->volume &&
			 same_item_name(&items[k], item);
	if (taken)
		return error_set(err, EEXIST, "%s@%.*s: already exists",
				 head->name, item->name_length, item->name);
	if (strlen(head->name) + 1 + item->name_length > NAME_MAX_BYTES)
		return error_set(err, EINVAL, "%s@%.*s: name is too long",
				 head->name, item->name_length, item->name);
	return 0;
}

static int find_head(struct store *store, uint32_t id, struct volume **ret,
		     struct error *err)
{
	struct volume *v = volume_find_id(&store->volumes, id);

	if (!v || v->kind != VOLUME_HEAD)
		return error_set(err, ENOENT, "volume %" PRIu32 " is gone", id);
	*ret = v;
	return 0;
}

static int find_snapshot(struct store *store, uint32_t id, struct volume **ret,
			 struct error *err)
{
	struct volume *v = volume_find_id(&store->volumes, id);

	if (!v || v->kind != VOLUME_SNAPSHOT)
		return error_set(err, ENOENT, "snapshot %" PRIu32 " is gone",
				 id);
	*ret = v;
	return 0;
}

bool items_name(const struct operation_item *items, uint32_t nr, uint32_t id)
{
	for (uint32_t i = 0; i < nr; i++)
		if (items[i].volume == id)
			return true;
	return false;
}

/* Items of a DELETE are marked meanwhile, so that the check is not square. */
static void mark_deleted(struct store *store, const struct operation *operation,
			 const struct operation_item *items, bool marked)
{
	for (uint32_t i = 0; i < operation->nr_items; i++) {
		struct volume *v =
			volume_find_id(&store->volumes, items[i].volume);

		if (v)
			v->being_deleted = marked;
	}
}

static int check_delete(struct store *store, const struct operation_item *item,
			struct error *err)
{
	struct volume *v = volume_find_id(&store->volumes, item->volume);
	uint32_t left = 0;
	int r;

	if (!v)
		return error_set(err, ENOENT, "volume %" PRIu32 " is gone",
				 item->volume);
	r = volume_check_unused(&store->volumes, v, "", err);
	if (r < 0 || v->kind == VOLUME_SNAPSHOT)
		return r;
	for (size_t k = 0; k < store->volumes.all.len; k++) {
		const struct volume *s = store->volumes.all.ptr[k];

		left += s->kind == VOLUME_SNAPSHOT && s->parent == v->id &&
			!s->being_deleted;
	}
	if (left)
		return error_set(err, EBUSY,
				 "%s: has %" PRIu32
				 " snapshot%s, delete %s first or use -r",
				 v->name, left, left == 1 ? "" : "s",
				 left == 1 ? "it" : "them");
	return 0;
}

static int check_no_writer(const struct volume *head, struct error *err)
{
	if (head->nr_writers)
		return error_set(err, EBUSY,
				 "%s: a writer is connected, disconnect it "
				 "first",
				 head->name);
	return 0;
}

/* A root that a damaged store has lost cannot be shared. */
static int check_root(struct store *store, const struct volume *v,
		      struct error *err)
{
	int r = node_want(&store->nodes, v->map.root, err);

	if (r < 0)
		return r;
	if (v->map.root && !node_exists(&store->nodes, v->map.root))
		return error_set(err, EUCLEAN,
				 "volume %" PRIu32 ": its root does not exist",
				 v->id);
	return 0;
}

static int check_item(struct store *store, enum op op,
		      const struct operation_item *items, uint32_t i,
		      struct error *err)
{
	const struct operation_item *item = &items[i];
	struct volume *head = NULL, *other = NULL;
	int r = 0;

	switch (op) {
	case OP_CREATE:
		return check_new_head(store, items, i, err);
	case OP_SNAPSHOT:
		r = find_head(store, item->volume, &head, err);
		if (r == 0)
			r = check_root(store, head, err);
		return r < 0 ? r
			     : check_new_snapshot(store, head, items, i, err);
	case OP_CLONE:
		r = find_snapshot(store, item->other, &other, err);
		if (r == 0)
			r = check_root(store, other, err);
		return r < 0 ? r : check_new_head(store, items, i, err);
	case OP_DELETE:
		return check_delete(store, item, err);
	case OP_SET:
		return find_head(store, item->volume, &head, err);
	case OP_RESIZE:
		r = find_head(store, item->volume, &head, err);
		return r < 0 ? r : resize_check(store, head, item->size, err);
	case OP_ROLLBACK:
	case OP_UNDO:
		r = find_head(store, item->volume, &head, err);
		if (r == 0)
			r = find_snapshot(store, item->other, &other, err);
		if (r < 0)
			return r;
		if (other->parent != head->id)
			return error_set(err, EUCLEAN, "%s: not its snapshot",
					 head->name);
		if (items_name(items, i, head->id))
			return error_set(err, EINVAL, "%s: named twice",
					 head->name);
		r = check_no_writer(head, err);
		if (r == 0 && op == OP_ROLLBACK)
			r = check_root(store, other, err);
		if (r == 0 && op == OP_ROLLBACK)
			r = check_new_snapshot(store, head, items, i, err);
		if (r == 0 && op == OP_UNDO && volume_is_open(other))
			r = error_set(err, EBUSY, "%s@%s: in use", head->name,
				      other->name);
		return r;
	default:
		return error_set(err, EUCLEAN, "operation %d is not supported",
				 (int)op);
	}
}

int operation_check(struct store *store, const struct operation *operation,
		    const struct operation_item *items, struct error *err)
{
	bool deletes = operation->op == OP_DELETE;
	int r = 0;

	mutex_assert_held(&store->core.lock);
	if (operation->op == OP_SET_NAME)
		return rename_check(store, items, operation->nr_items, err);
	if (operation->op == OP_RESIZE && operation->nr_items != 1)
		return error_set(err, EUCLEAN, "a resize of several volumes");
	if (deletes)
		mark_deleted(store, operation, items, true);
	for (uint32_t i = 0; r == 0 && i < operation->nr_items; i++)
		r = check_item(store, operation->op, items, i, err);
	if (deletes)
		mark_deleted(store, operation, items, false);
	return r;
}

int operation_prepare(struct store *store, const struct operation *operation,
		      const struct operation_item *items, struct error *err)
{
	if (operation->op != OP_RESIZE)
		return 0;
	return resize_prepare(store,
			      volume_find_id(&store->volumes, items[0].volume),
			      items[0].size, err);
}

/* ---- apply ---- */

/* Does each item make a volume or snapshot, its new_id? */
static bool op_makes(enum op op)
{
	return op == OP_CREATE || op == OP_SNAPSHOT || op == OP_CLONE ||
	       op == OP_ROLLBACK;
}

/* Rollback keeps the old head, too, but it is a way out. */
static bool op_grows(enum op op)
{
	return op == OP_CREATE || op == OP_SNAPSHOT || op == OP_CLONE;
}

static struct volume *new_volume(const struct operation *operation,
				 const struct operation_item *item,
				 uint64_t seq)
{
	struct volume *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->id = item->new_id;
	v->flags = item->flags;
	v->created_ns = operation->time_ns;
	v->seq = seq;
	memcpy(v->name, item->name, item->name_length);
	v->idle_since_ms = monotonic_ms();
	if (volume_set_attrs(v, item->attrs, item->attrs_length) < 0) {
		volume_free(v);
		return NULL;
	}
	return v;
}

/* @v's root becomes reachable from @to as well. */
static void share_root(struct store *store, const struct volume *v,
		       struct volume *to)
{
	to->map.root = v->map.root;
	to->map.refer = v->map.refer;
	to->size = v->size;
	if (v->map.root)
		node_ref(&store->nodes, v->map.root);
}

static void apply_snapshot(struct store *store, struct volume *head,
			   struct volume *snapshot)
{
	snapshot->kind = VOLUME_SNAPSHOT;
	snapshot->parent = head->id;
	snapshot->written = head->written;
	snapshot->map.epoch = head->map.epoch;
	share_root(store, head, snapshot);
	volume_touch(&store->volumes, head);
	head->map.epoch = volumes_new_epoch(&store->volumes);
	head->written = 0;
	volume_insert(&store->volumes, snapshot);
}

static void apply_clone(struct store *store, struct volume *origin,
			struct volume *clone)
{
	clone->kind = VOLUME_HEAD;
	clone->origin = origin->id;
	clone->map.epoch = volumes_new_epoch(&store->volumes);
	share_root(store, origin, clone);
	charge_cloned(store, origin, clone);
	volume_insert(&store->volumes, clone);
}

static void apply_rollback(struct store *store, struct volume *head,
			   struct volume *snapshot, struct volume *kept)
{
	kept->kind = VOLUME_SNAPSHOT;
	kept->flags |= VOLUME_FLAG_OLD_HEAD;
	kept->parent = head->id;
	kept->written = head->written;
	kept->size = head->size;
	kept->map = head->map; /* the head's reference moves */
	volume_touch(&store->volumes, head);
	share_root(store, snapshot, head);
	head->map.epoch = volumes_new_epoch(&store->volumes);
	head->written = 0;
	head->kept = kept->id;
	volume_insert(&store->volumes, kept);
}

static void apply_undo(struct store *store, struct volume *head,
		       struct volume *kept)
{
	struct extent_map map = head->map;
	uint64_t size = head->size, written = head->written;

	volume_touch(&store->volumes, head);
	volume_touch(&store->volumes, kept);
	head->map = kept->map;
	head->size = kept->size;
	head->written = kept->written;
	kept->map = map;
	kept->size = size;
	kept->written = written;
	head->map.epoch = volumes_new_epoch(&store->volumes);
}

static void apply_delete(struct store *store, struct volume *v)
{
	struct volume *parent;

	charge_deleted(store, v);
	if (v->kind == VOLUME_SNAPSHOT) {
		parent = volume_find_id(&store->volumes, v->parent);
		if (parent && parent->kept == v->id) {
			volume_touch(&store->volumes, parent);
			parent->kept = 0;
		}
	}
	if (v->map.root)
		node_reap(&store->nodes, v->map.root);
	volume_remove(&store->volumes, v);
}

static int apply_set(struct store *store, struct volume *v,
		     const struct operation_item *item, struct error *err)
{
	struct settings before = v->settings;

	volume_touch(&store->volumes, v);
	if (volume_set_attrs(v, item->attrs, item->attrs_length) < 0)
		return error_set(err, ENOMEM, "out of memory");
	charge_settings(store, v, &before);
	return 0;
}

static int apply_item(struct store *store, const struct operation *operation,
		      const struct operation_item *item, uint64_t seq,
		      struct error *err)
{
	struct volumes *volumes = &store->volumes;
	struct volume *v = volume_find_id(volumes, item->volume);
	struct volume *other = volume_find_id(volumes, item->other);
	struct volume *made = NULL;

	if (op_makes(operation->op)) {
		if (item->new_id < volumes->next_id ||
		    item->new_id == UINT32_MAX)
			return error_set(err, EUCLEAN,
					 "volume id %" PRIu32 " is in use",
					 item->new_id);
		made = new_volume(operation, item, seq);
		if (!made)
			return error_set(err, ENOMEM, "out of memory");
	}
	switch (operation->op) {
	case OP_CREATE:
		made->kind = VOLUME_HEAD;
		made->size = item->size;
		made->map.epoch = volumes_new_epoch(volumes);
		volume_insert(volumes, made);
		break;
	case OP_SNAPSHOT:
		apply_snapshot(store, v, made);
		break;
	case OP_CLONE:
		apply_clone(store, other, made);
		break;
	case OP_ROLLBACK:
		apply_rollback(store, v, other, made);
		break;
	case OP_UNDO:
		apply_undo(store, v, other);
		break;
	case OP_DELETE:
		apply_delete(store, v);
		break;
	case OP_SET:
		return apply_set(store, v, item, err);
	case OP_SET_NAME:
		volume_rename(volumes, v, item->name, item->name_length);
		break;
	case OP_RESIZE:
		return resize_apply(store, v, item->size, err);
	default:
		assert(false); /* operation_check() let it through */
	}
	return 0;
}

int operation_apply(struct store *store, const struct operation *operation,
		    const struct operation_item *items, uint64_t seq,
		    struct error *err)
{
	int r = 0;

	mutex_assert_held(&store->core.lock);
	store->nr_operations++;
	for (uint32_t i = 0; r == 0 && i < operation->nr_items; i++)
		r = apply_item(store, operation, &items[i], seq, err);
	if (r == 0 && operation->op == OP_SET_NAME)
		rename_views(store, items, operation->nr_items);
	return r;
}

/* ---- run ---- */

/* An item takes two at most; there are 2^32 in a store's life. */
static int epochs_suffice(const struct store *store, enum op op, uint32_t nr,
			  struct error *err)
{
	if ((!op_makes(op) && op != OP_UNDO) ||
	    store->volumes.next_epoch < UINT32_MAX - 2 * nr)
		return 0;
	return error_set(err, ENOSPC, "no epoch is left in this store");
}

/* Memory that applying @nr items may need.  Core held. */
static int prepare(struct store *store, uint32_t nr, struct error *err)
{
	if (volumes_prepare(&store->volumes, nr) < 0 ||
	    index_vector_reserve(&store->nodes.reaper, nr + REAPER_SLACK) < 0)
		return error_set(err, ENOMEM, "out of memory");
	return 0;
}

static int log_and_apply(struct store *store, struct operation *operation,
			 const struct operation_item *items, void *payload,
			 uint32_t nr_blocks, uint64_t *ret_seq,
			 struct error *err)
{
	struct error failure = ERROR_NONE;
	/* a delete is what gives space back: it may go deepest */
	struct admission admission = {.user = operation->op == OP_DELETE
						      ? FRAME_USER_DELETE
						      : FRAME_USER_METADATA,
				      .admin_held = true};
	int r;

	mutex_assert_held(&store->core.lock);
	/* a count of its blocks must not meet a change of its map */
	if (operation->op == OP_RESIZE)
		admission.volume =
			volume_find_id(&store->volumes, items[0].volume);
	do {
		r = store_admit(store, &admission, err);
		if (r == 0)
			r = operation_check(store, operation, items, err);
		if (r == 0)
			r = operation_prepare(store, operation, items, err);
	} while (r == -EAGAIN);
	if (r == 0 && op_grows(operation->op))
		r = tables_admit_volumes(store, operation->nr_items, err);
	if (r == 0)
		r = epochs_suffice(store, operation->op, operation->nr_items,
				   err);
	if (r == 0)
		r = prepare(store, operation->nr_items, err);
	if (r < 0)
		return r;
	operation_encode(operation, items, payload);
	log_append_operation(&store->log, operation->op, payload, nr_blocks);
	*ret_seq = log_seq(&store->log);
	r = operation_apply(store, operation, items, *ret_seq, &failure);
	if (r < 0) {
		core_fail(&store->core, &failure);
		return core_check(&store->core, err);
	}
	return 0;
}

int operation_check_size(const struct store *store,
			 const struct operation_item *items, uint32_t nr,
			 struct error *err)
{
	if (nr > UINT16_MAX || bytes_to_blocks_up(operation_bytes(items, nr)) >
				       core_batch_payload_max(&store->core))
		return error_set(err, EINVAL,
				 "too many names for one operation");
	return 0;
}

int operation_run(struct store *store, struct operation *operation,
		  struct operation_item *items, struct error *err)
{
	size_t bytes = operation_bytes(items, operation->nr_items);
	uint64_t nr_blocks = bytes_to_blocks_up(bytes), seq = 0;
	CLEANUP_FREE void *payload = NULL;
	int r;

	mutex_assert_held(&store->admin);
	r = operation_check_size(store, items, operation->nr_items, err);
	if (r < 0)
		return r;
	payload = calloc(nr_blocks, BLOCK_SIZE);
	if (!payload)
		return error_set(err, ENOMEM, "out of memory");
	operation->time_ns = clock_ns();
	mutex_lock(&store->core.lock);
	for (uint32_t i = 0; i < operation->nr_items; i++)
		if (op_makes(operation->op))
			items[i].new_id = store->volumes.next_id + i;
	r = log_and_apply(store, operation, items, payload, (uint32_t)nr_blocks,
			  &seq, err);
	mutex_unlock(&store->core.lock);
	return r < 0 ? r : log_flush_upto(&store->log, seq, err);
}
