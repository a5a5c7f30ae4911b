/* SPDX-License-Identifier: BSD-2-Clause */
#include "recount.h"

#include <stdlib.h>

/* The first two slots of a segment hold headers. */
#define FIRST_PAYLOAD_SLOT 2u

/* What is known of a node; the level is in the low bits. */
#define STATE_LEVEL 3u
#define STATE_WALKED 8u
#define STATE_BAD 16u
#define STATE_PARTLY 32u

int recount_init(struct recount *rc, struct store *store, recount_fn *finding,
		 void *opaque, struct error *err)
{
	uint32_t nr_ids = store->nodes.next_id;

	*rc = (struct recount){
		.store = store,
		.finding = finding,
		.opaque = opaque,
		.nr_ids = nr_ids,
		.nr_indices = store->segments.pages.nr_pages,
	};
	rc->node_refs = calloc(nr_ids, sizeof(*rc->node_refs));
	rc->node_used = calloc(nr_ids, sizeof(*rc->node_used));
	rc->node_state = calloc(nr_ids, sizeof(*rc->node_state));
	rc->block_refs = calloc(rc->nr_indices + 1, sizeof(*rc->block_refs));
	if (rc->node_refs && rc->node_used && rc->node_state &&
	    rc->block_refs && overflow_reserve(&rc->many, 1) == 0)
		return 0;
	recount_done(rc);
	return error_set(err, ENOMEM, "out of memory");
}

void recount_done(struct recount *rc)
{
	while (rc->depth > 0)
		free(rc->path[--rc->depth].node);
	for (uint32_t i = 0; rc->block_refs && i < rc->nr_indices; i++)
		free(rc->block_refs[i]);
	free(rc->block_refs);
	free(rc->node_refs);
	free(rc->node_used);
	free(rc->node_state);
	recount_sums_done(&rc->root_used);
	overflow_done(&rc->many);
	*rc = (struct recount){0};
}

/* ---- leaves ---- */

/* One more leaf entry holds @name, in @s.  Core held. */
static int count_block(struct recount *rc, const struct segment *s,
		       struct birth name)
{
	uint8_t **refs = &rc->block_refs[s->index];
	uint8_t *at;

	if (!*refs)
		*refs = calloc(1, rc->store->core.nr_slots);
	if (!*refs)
		return -ENOMEM;
	at = &(*refs)[birth_slot(name)];
	if (*at < UINT8_MAX)
		(*at)++;
	if (*at < UINT8_MAX)
		return 0;
	if (overflow_reserve(&rc->many, 1) < 0)
		return -ENOMEM;
	if (overflow_get(&rc->many, name.value) == 0)
		overflow_set(&rc->many, name.value, UINT8_MAX);
	else
		overflow_set(&rc->many, name.value,
			     overflow_get(&rc->many, name.value) + 1);
	return 0;
}

/* Count the entries of @leaf; *ret_bad: those whose name is nowhere. */
static int count_leaf(struct recount *rc, const struct leaf_content *leaf,
		      uint64_t *ret_used, uint64_t *ret_bad)
{
	struct segment_table *segments = &rc->store->segments;
	struct core *core = &rc->store->core;
	int r = 0;

	*ret_used = 0;
	*ret_bad = 0;
	mutex_lock(&core->lock);
	for (uint32_t i = 0; r == 0 && i < LEAF_BLOCKS; i++) {
		struct birth name = leaf_entry_birth(leaf->entries[i]);
		struct segment *s, *holder;
		uint32_t at;

		rc->nr_lost += leaf_entry_kind(leaf->entries[i]) == ENTRY_LOST;
		if (leaf_entry_kind(leaf->entries[i]) != ENTRY_DATA)
			continue;
		++*ret_used;
		s = segment_find(segments, birth_segno(name));
		if (!s || s->index == NO_INDEX || s->index >= rc->nr_indices ||
		    birth_slot(name) < FIRST_PAYLOAD_SLOT ||
		    birth_slot(name) >= core->nr_slots ||
		    segment_resolve(segments, name, &holder, &at, NULL) < 0)
			*ret_bad |= UINT64_C(1) << i;
		else
			r = count_block(rc, s, name);
	}
	mutex_unlock(&core->lock);
	rc->nr_blocks += *ret_used;
	return r;
}

static int walk_leaf(struct recount *rc, struct recount_step *step,
		     struct error *err)
{
	const struct leaf_content *leaf = step->node->leaf;
	struct recount_finding f = {.fault = RECOUNT_NO_BLOCKS,
				    .parent = step->node->id};

	if (count_leaf(rc, leaf, &step->used, &f.entries) < 0)
		return error_set(err, ENOMEM, "out of memory");
	if (f.entries == 0)
		return 0;
	f.leaf = leaf;
	return rc->finding(rc->opaque, &f, err);
}

/* ---- the walk ---- */

static int find(struct recount *rc, struct recount_finding *f,
		enum recount_fault fault, struct error *err)
{
	f->fault = fault;
	rc->nr_unread++;
	if (rc->depth > 0)
		rc->path[rc->depth - 1].is_partly = true;
	return rc->finding(rc->opaque, f, err);
}

/* Read the node that @f refers to; *ret is NULL when that was in vain. */
static int read_node(struct recount *rc, struct recount_finding *f,
		     struct node **ret, struct error *err)
{
	struct error why = ERROR_NONE;
	uint8_t *state = &rc->node_state[f->id];
	int r;

	*ret = NULL;
	r = node_copy(&rc->store->nodes, f->id, ret, &why);
	if (r == -ENOMEM)
		return error_set(err, ENOMEM, "out of memory");
	if (r == 0) {
		*state |= (*ret)->level;
		return 0;
	}
	*state |= STATE_BAD;
	f->first = true;
	f->text = why.message;
	f->error = r;
	return find(rc, f, RECOUNT_UNREADABLE, err);
}

/* The node on top of the path is done: its parent takes its sum. */
static int leave(struct recount *rc, struct error *err)
{
	struct recount_step *step = &rc->path[rc->depth - 1];
	uint32_t id = step->node->id;

	rc->node_state[id] |=
		STATE_WALKED | (step->is_partly ? STATE_PARTLY : 0);
	if (step->node->level == INNER_LEVELS) {
		rc->node_used[id] = (uint32_t)rc->root_used.len;
		if (recount_sums_push(&rc->root_used, step->used) < 0)
			return error_set(err, ENOMEM, "out of memory");
	} else {
		rc->node_used[id] = (uint32_t)step->used;
	}
	free(step->node);
	step->node = NULL;
	if (--rc->depth == 0)
		return 0;
	rc->path[rc->depth - 1].used += step->used;
	rc->path[rc->depth - 1].is_partly |= step->is_partly;
	return 0;
}

/* @f->id has been walked before: its parent takes its sum. */
static void take_sum(struct recount *rc, uint32_t id)
{
	struct recount_step *parent;

	if (rc->depth == 0)
		return;
	parent = &rc->path[rc->depth - 1];
	parent->used += recount_used(rc, id);
	parent->is_partly |= recount_is_partly(rc, id);
}

/*
 * Count the reference @f; the node it names, when it is met for the first
 * time, goes on top of the path.
 */
static int enter(struct recount *rc, struct recount_finding *f,
		 struct error *err)
{
	struct node *n = NULL;
	uint8_t *state;
	int r = 0;

	if (f->id >= rc->nr_ids || !node_exists(&rc->store->nodes, f->id)) {
		f->first = true;
		return find(rc, f, RECOUNT_NO_NODE, err);
	}
	state = &rc->node_state[f->id];
	if (rc->node_refs[f->id] < UINT32_MAX)
		rc->node_refs[f->id]++;
	if (*state & STATE_BAD)
		return find(rc, f, RECOUNT_UNREADABLE, err);
	if (!(*state & STATE_WALKED)) {
		r = read_node(rc, f, &n, err);
		if (r < 0 || !n)
			return r;
	}
	if (f->level != LEVEL_ANY && f->level != (*state & STATE_LEVEL)) {
		free(n);
		return find(rc, f, RECOUNT_LEVEL, err);
	}
	if (!n) {
		take_sum(rc, f->id);
		return 0;
	}
	rc->nr_nodes++;
	rc->path[rc->depth++] = (struct recount_step){.node = n};
	return n->level == 0 ? walk_leaf(rc, &rc->path[rc->depth - 1], err) : 0;
}

/* One step: down to the next child, or up. */
static int walk_step(struct recount *rc, struct error *err)
{
	struct recount_step *step = &rc->path[rc->depth - 1];
	const struct node *n = step->node;
	struct recount_finding f = {.parent = n->id};

	while (n->level > 0 && step->next < INNER_CHILDREN) {
		f.index = step->next++;
		f.id = n->inner->children[f.index];
		f.level = n->level - 1u;
		if (f.id)
			return enter(rc, &f, err);
	}
	return leave(rc, err);
}

static int walk_root(struct recount *rc, struct volume *v, uint32_t id,
		     struct error *err)
{
	struct recount_finding f = {
		.volume = v,
		.id = id,
		.level = v ? INNER_LEVELS : LEVEL_ANY,
	};
	int r = enter(rc, &f, err);

	while (r == 0 && rc->depth > 0 && !(rc->stop && *rc->stop))
		r = walk_step(rc, err);
	if (r == 0 && rc->depth > 0)
		r = error_set(err, EBUSY, "stopped before all was read");
	return r;
}

int recount_walk(struct recount *rc, struct error *err)
{
	const struct volumes *volumes = &rc->store->volumes;
	const struct index_vector *reaper = &rc->store->nodes.reaper;
	int r = 0;

	for (size_t i = 0; r == 0 && i < volumes->all.len; i++)
		if (volumes->all.ptr[i]->map.root)
			r = walk_root(rc, volumes->all.ptr[i],
				      volumes->all.ptr[i]->map.root, err);
	for (size_t i = 0; r == 0 && i < reaper->len; i++)
		r = walk_root(rc, NULL, reaper->ptr[i], err);
	return r;
}

/* ---- what was found ---- */

bool recount_was_walked(const struct recount *rc, uint32_t id)
{
	return id < rc->nr_ids && (rc->node_state[id] & STATE_WALKED);
}

bool recount_is_partly(const struct recount *rc, uint32_t id)
{
	return rc->node_state[id] & STATE_PARTLY;
}

unsigned int recount_level(const struct recount *rc, uint32_t id)
{
	return rc->node_state[id] & STATE_LEVEL;
}

uint64_t recount_used(const struct recount *rc, uint32_t id)
{
	if (recount_level(rc, id) == INNER_LEVELS)
		return rc->root_used.ptr[rc->node_used[id]];
	return rc->node_used[id];
}

uint32_t recount_block(const struct recount *rc, const struct segment *s,
		       uint32_t slot)
{
	const uint8_t *refs =
		s->index < rc->nr_indices ? rc->block_refs[s->index] : NULL;

	if (!refs)
		return 0;
	if (refs[slot] < UINT8_MAX)
		return refs[slot];
	return overflow_get(&rc->many, birth_make(s->segno, slot).value);
}

int recount_assign_segment(const struct recount *rc, struct segment *s,
			   struct error *err)
{
	struct segment_table *t = &rc->store->segments;

	for (uint32_t slot = 1; slot < rc->store->core.nr_slots; slot++)
		if (segment_set_count(t, s, slot, recount_block(rc, s, slot)) <
		    0)
			return error_set(err, ENOMEM, "out of memory");
	return 0;
}
