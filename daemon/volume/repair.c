/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NOTES ON THE DESIGN OF THE REPAIR
 *
 * The checkpoint is loaded as far as it can be read (salvage).  Then the maps
 * are walked, again and again until a walk meets nothing that is wrong:
 *   - a reference to a node that cannot be read, or has the wrong level, gets
 *     a node in its place whose blocks are all lost; one node for each level
 *     serves all who need one
 *   - a leaf entry whose block is nowhere becomes a lost one
 *   - maps that no volume leads to, when pages of the volume table are lost,
 *     get a volume that does
 * What the last walk found is what the tables then say: counts of nodes and
 * names, blocks below, refer; what it has not met is dropped.  Only then the
 * log is replayed, and one checkpoint writes everything.
 *
 * Ids of free nodes are not used while this goes on: a reference from a place
 * that was not yet walked to a node that was lost must not find another one.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "recount.h"
#include "salvage.h"
#include "tables.h"

/* A map has five kinds of fault, each found at the latest one walk later. */
#define WALKS_MAX 16

struct repair {
	struct store *store;
	struct salvage *salvage;
	uint32_t lost[INNER_LEVELS + 1]; /* nodes by level; 0: not made yet */
	uint32_t epoch;			 /* of those */
	uint64_t nr_fixed;		 /* in this walk */
	uint64_t nr_nodes;		 /* references replaced */
	uint64_t nr_blocks;		 /* entries replaced */
	bool reaper_is_bad;
	bool adopted;
};

/* ---- lost nodes ---- */

static void fill_lost(struct repair *rep, struct node *n)
{
	struct nodes *nodes = &rep->store->nodes;

	for (uint32_t i = 0; n->level == 0 && i < LEAF_BLOCKS; i++)
		n->leaf->entries[i] = leaf_entry_lost();
	for (uint32_t i = 0; n->level > 0 && i < INNER_CHILDREN; i++) {
		n->inner->children[i] = rep->lost[n->level - 1];
		node_ref(nodes, n->inner->children[i]);
	}
}

/*
 * The node of @level below which everything is lost, with one reference more.
 * The repair keeps one itself, so that nobody takes the node over to change
 * it; the recount drops that.  Core held.
 */
static int lost_node(struct repair *rep, unsigned int level, uint32_t *ret,
		     struct error *err)
{
	struct nodes *nodes = &rep->store->nodes;

	mutex_assert_held(&rep->store->core.lock);
	if (rep->epoch == 0)
		rep->epoch = volumes_new_epoch(&rep->store->volumes);
	for (unsigned int at = 0; at <= level; at++) {
		struct node *n;

		if (rep->lost[at])
			continue;
		if (nodes_prepare(nodes) < 0)
			return error_set(err, ENOMEM, "out of memory");
		n = node_new(nodes, at, rep->epoch);
		rep->lost[at] = n->id;
		fill_lost(rep, n);
	}
	*ret = rep->lost[level];
	node_ref(nodes, *ret);
	return 0;
}

/* Node @id in memory, about to change.  Core held; may be dropped. */
static int get_changed(struct repair *rep, uint32_t id, struct node **ret,
		       struct error *err)
{
	struct nodes *nodes = &rep->store->nodes;
	uint32_t missing = 0;
	int r;

	do {
		if (nodes_prepare(nodes) < 0)
			return error_set(err, ENOMEM, "out of memory");
		r = node_get(nodes, id, LEVEL_ANY, ret, &missing, err);
	} while (store_look_again(rep->store, missing, &r, err));
	if (r == 0)
		node_touch(nodes, *ret);
	return r;
}

static int replace_child(struct repair *rep, const struct recount_finding *f,
			 struct error *err)
{
	struct node *parent;
	uint32_t id;
	int r;

	r = lost_node(rep, f->level, &id, err);
	if (r == 0)
		r = get_changed(rep, f->parent, &parent, err);
	if (r == 0)
		parent->inner->children[f->index] = id;
	return r;
}

/* What a volume cannot reach is not lost. */
static int clear_beyond(struct repair *rep, struct volume *v, struct error *err)
{
	struct vblock end = {(v->size + BLOCK_SIZE - 1) / BLOCK_SIZE};
	uint32_t epoch = v->map.epoch;
	int r;

	if (end.index == VOLUME_BLOCKS_MAX)
		return 0;
	if (epoch == 0) /* of a snapshot: it has none */
		v->map.epoch = volumes_new_epoch(&rep->store->volumes);
	r = volume_clear_blocks(rep->store, v, end,
				VOLUME_BLOCKS_MAX - end.index, err);
	v->map.epoch = epoch;
	return r;
}

static int replace_root(struct repair *rep, struct volume *v, struct error *err)
{
	uint32_t id;
	int r;

	r = lost_node(rep, INNER_LEVELS, &id, err);
	if (r < 0)
		return r;
	volume_touch(&rep->store->volumes, v);
	v->map.root = id;
	return clear_beyond(rep, v, err);
}

static int lose_entries(struct repair *rep, const struct recount_finding *f,
			struct error *err)
{
	struct node *leaf;
	int r;

	r = get_changed(rep, f->parent, &leaf, err);
	for (uint32_t i = 0; r == 0 && i < LEAF_BLOCKS; i++) {
		if (!(f->entries >> i & 1))
			continue;
		leaf->leaf->entries[i] = leaf_entry_lost();
		rep->nr_blocks++;
	}
	return r;
}

static int fix(void *opaque, const struct recount_finding *f, struct error *err)
{
	struct repair *rep = opaque;
	struct core *core = &rep->store->core;
	int r = 0;

	if (f->fault == RECOUNT_UNREADABLE && f->first &&
	    !salvage_may_lose(rep->salvage, f->error))
		return error_set(err, -f->error, "%s", f->text);
	rep->nr_fixed++;
	mutex_lock(&core->lock);
	if (f->fault == RECOUNT_NO_BLOCKS)
		r = lose_entries(rep, f, err);
	else if (f->volume)
		r = replace_root(rep, f->volume, err);
	else if (f->parent)
		r = replace_child(rep, f, err);
	else
		rep->reaper_is_bad = true;
	mutex_unlock(&core->lock);
	if (f->fault != RECOUNT_NO_BLOCKS && (f->volume || f->parent))
		rep->nr_nodes++;
	return r;
}

/* What cannot be read cannot be freed step by step. */
static void clean_reaper(struct repair *rep, const struct recount *rc)
{
	struct index_vector *reaper = &rep->store->nodes.reaper;
	size_t left = 0;

	for (size_t i = 0; i < reaper->len; i++)
		/* a repair that made holes may have put new nodes there */
		if (reaper->ptr[i] >= rc->nr_ids ||
		    recount_was_walked(rc, reaper->ptr[i]))
			reaper->ptr[left++] = reaper->ptr[i];
	reaper->len = left;
	rep->reaper_is_bad = false;
}

/* ---- maps without a volume ---- */

/* Behind the last block of @id that is no hole; 0: there is none. */
static uint64_t map_end(struct store *store, uint32_t id)
{
	uint64_t block = 0, step = LEAF_BLOCKS;
	unsigned int level = INNER_LEVELS;

	for (unsigned int i = 1; i < INNER_LEVELS; i++)
		step *= INNER_CHILDREN;
	for (;; step /= INNER_CHILDREN) {
		struct node *n;
		uint32_t i = level ? INNER_CHILDREN : LEAF_BLOCKS;

		if (node_copy(&store->nodes, id, &n, NULL) < 0) /* any of it */
			return block + (level ? step * INNER_CHILDREN : i);
		if (n->level != level) {
			free(n);
			return block;
		}
		while (i > 0 && (level ? n->inner->children[i - 1] == 0
				       : n->leaf->entries[i - 1].ref == 0))
			i--;
		id = level && i ? n->inner->children[i - 1] : 0;
		free(n);
		if (level == 0 || i == 0)
			return block + i;
		block += (i - 1) * step;
		level--;
	}
}

static int adopt_map(struct repair *rep, uint32_t id, uint64_t end,
		     struct volume *v, struct error *err)
{
	struct store *store = rep->store;
	uint64_t size = end * BLOCK_SIZE;
	int r = 0;

	mutex_lock(&store->core.lock);
	if (!v)
		r = salvage_adopting_head(store, &v, err);
	if (r == 0) {
		volume_touch(&store->volumes, v);
		v->map.root = id;
		v->size = v->size > size ? v->size : size;
		salvage_say(rep->salvage,
			    "%s: gets a map that no volume leads to, and a "
			    "size of %" PRIu64 " bytes, where that ends",
			    v->name, v->size);
	}
	mutex_unlock(&store->core.lock);
	return r;
}

/* Roots with content that nothing refers to. */
static int find_orphans(struct repair *rep, const struct recount *rc,
			struct index_vector *ret, struct error *err)
{
	struct nodes *nodes = &rep->store->nodes;
	int r;

	for (uint32_t id = 1; id < rc->nr_ids; id++) {
		struct node *n;

		if (rc->node_refs[id] > 0 || !node_exists(nodes, id) ||
		    node_entry(nodes, id)->length != NODE_INNER_BYTES)
			continue;
		r = node_copy(nodes, id, &n, err);
		if (r < 0 && !salvage_may_lose(rep->salvage, r))
			return r;
		if (r < 0)
			continue;
		if (n->level == INNER_LEVELS && map_end(rep->store, id) > 0)
			r = index_vector_push(ret, id);
		free(n);
		if (r < 0)
			return error_set(err, ENOMEM, "out of memory");
	}
	return 0;
}

/*
 * Records of the volume table are lost, but the maps they led to may be
 * there.  When one volume misses its content and one map its volume, they
 * belong together; who can tell otherwise?
 */
static int adopt(struct repair *rep, const struct recount *rc,
		 struct error *err)
{
	struct volumes *volumes = &rep->store->volumes;
	const struct index_vector *heads = &rep->salvage->heads;
	struct index_vector orphans = {0};
	int r;

	rep->adopted = true;
	r = find_orphans(rep, rc, &orphans, err);
	for (size_t i = 0; r == 0 && i < orphans.len; i++) {
		struct volume *v = NULL;

		if (orphans.len == 1 && heads->len == 1)
			v = volume_find_id(volumes, heads->ptr[0]);
		r = adopt_map(rep, orphans.ptr[i],
			      map_end(rep->store, orphans.ptr[i]), v, err);
	}
	for (size_t i = 0; r == 0 && i < heads->len; i++) {
		struct volume *v = volume_find_id(volumes, heads->ptr[i]);

		if (v->map.root)
			continue;
		mutex_lock(&rep->store->core.lock);
		r = replace_root(rep, v, err);
		mutex_unlock(&rep->store->core.lock);
		salvage_say(rep->salvage,
			    "%s: made for the snapshots of volume %" PRIu32
			    "; what it held itself is lost",
			    v->name, v->id);
	}
	index_vector_done(&orphans);
	return r;
}

/* ---- counts ---- */

static bool assign_node(struct repair *rep, const struct recount *rc,
			uint32_t id)
{
	struct nodes *nodes = &rep->store->nodes;
	struct node_entry *e = node_entry(nodes, id);
	uint32_t refs = rc->node_refs[id], used = 0;

	if (e->count == 0 && refs == 0)
		return false;
	if (refs == 0) {
		node_forget(nodes, id);
		return true;
	}
	if (recount_level(rc, id) < INNER_LEVELS)
		used = (uint32_t)recount_used(rc, id);
	if (e->count == refs && e->used == used)
		return false;
	node_entry_touch(nodes, id);
	e->count = refs;
	e->used = used;
	return true;
}

static bool assign_refer(struct repair *rep, const struct recount *rc,
			 struct volume *v)
{
	uint64_t used = v->map.root ? recount_used(rc, v->map.root) : 0;

	if (v->map.refer == used)
		return false;
	volume_touch(&rep->store->volumes, v);
	v->map.refer = used;
	return true;
}

static int assign(struct repair *rep, const struct recount *rc,
		  struct error *err)
{
	struct store *store = rep->store;
	struct segment_table *segments = &store->segments;
	uint64_t nr_nodes = 0, nr_volumes = 0;
	int r = 0;

	mutex_lock(&store->core.lock);
	for (uint32_t id = 1; id < rc->nr_ids; id++)
		nr_nodes += assign_node(rep, rc, id);
	for (size_t i = 0; i < store->volumes.all.len; i++)
		nr_volumes += assign_refer(rep, rc, store->volumes.all.ptr[i]);
	for (uint32_t i = 0; r == 0 && i < segments->pages.nr_pages; i++)
		if (segments->by_index[i])
			r = recount_assign_segment(rc, segments->by_index[i],
						   err);
	if (r == 0 && segment_table_add_up(segments) < 0)
		r = error_set(err, ENOMEM, "out of memory");
	mutex_unlock(&store->core.lock);
	if (nr_nodes)
		salvage_say(rep->salvage,
			    "map nodes counted anew, or dropped: %" PRIu64,
			    nr_nodes);
	if (nr_volumes)
		salvage_say(rep->salvage, "volumes counted anew: %" PRIu64,
			    nr_volumes);
	return r;
}

/* ---- all ---- */

static int walk(struct repair *rep, struct recount *rc, struct error *err)
{
	int r;

	rep->nr_fixed = 0;
	r = recount_init(rc, rep->store, fix, rep, err);
	if (r == 0)
		r = recount_walk(rc, err);
	if (r == 0 && rep->reaper_is_bad)
		clean_reaper(rep, rc);
	if (r == 0 && rep->nr_fixed == 0 && !rep->adopted &&
	    salvage_has_lost(rep->salvage, TABLE_VOLUME)) {
		r = adopt(rep, rc, err);
		rep->nr_fixed = 1; /* look again */
	}
	if (r < 0)
		recount_done(rc);
	return r;
}

/* Lost pages are written anew, as what there is now. */
static void touch_lost(struct repair *rep)
{
	struct store *store = rep->store;

	mutex_lock(&store->core.lock);
	for (int t = 0; t < NR_TABLES; t++)
		for (size_t i = 0; i < rep->salvage->lost_pages[t].len; i++)
			store_touch_page(store, store_table(store, t),
					 rep->salvage->lost_pages[t].ptr[i]);
	mutex_unlock(&store->core.lock);
}

int repair_tables(struct store *store, struct error *err)
{
	struct repair rep = {.store = store, .salvage = store->salvage};
	struct recount rc = {0};
	int r, nr_walks = 0;

	store->nodes.free_ids.len = 0;
	do {
		recount_done(&rc);
		r = walk(&rep, &rc, err);
	} while (r == 0 && rep.nr_fixed > 0 && ++nr_walks < WALKS_MAX);
	if (r == 0 && rep.nr_fixed > 0)
		r = error_set(err, EUCLEAN, "the maps cannot be made sound");
	if (r == 0)
		r = assign(&rep, &rc, err);
	recount_done(&rc);
	if (r < 0)
		return r;
	touch_lost(&rep);
	if (rep.nr_nodes)
		salvage_say(rep.salvage,
			    "unreadable map nodes replaced by lost blocks: "
			    "%" PRIu64 " references",
			    rep.nr_nodes);
	if (rep.nr_blocks)
		salvage_say(rep.salvage,
			    "blocks that are nowhere, now lost: %" PRIu64,
			    rep.nr_blocks);
	return 0;
}
