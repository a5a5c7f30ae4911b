/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Check: recount what a checkpoint claims.
 *
 * An unserved store is open read-only with its log replayed in memory, and
 * that state is checked.  A served one takes a checkpoint, opens its image
 * beside the store and checks that; until it is done no dead segment is freed,
 * so nothing the image names is reused (I7).  Both use the same recount.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"

struct check {
	struct store *store;
	line_fn *line;
	void *opaque;
	struct check_report *report;
	uint32_t *node_refs;	   /* by node id: references found (I3) */
	uint64_t *node_used;	   /* by node id: data blocks below */
	uint32_t **block_refs;	   /* by index of the segment table (I2) */
	struct index_vector queue; /* nodes met, not yet walked */
	struct index_vector order; /* walked, parents first */
};

static void complain(struct check *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void complain(struct check *c, const char *format, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	c->report->nr_errors++;
	if (c->line)
		c->line(c->opaque, text);
}

/* One reference to node @id from @who; queued when it is the first. */
static int meet_node(struct check *c, uint32_t id, const char *who)
{
	if (!node_exists(&c->store->nodes, id)) {
		complain(c,
			 "%s refers to node %" PRIu32 ", which does not exist",
			 who, id);
		return 0;
	}
	if (c->node_refs[id]++ > 0)
		return 0;
	return index_vector_push(&c->queue, id);
}

static void meet_block(struct check *c, const struct node *leaf, uint32_t i)
{
	struct segment_table *segments = &c->store->segments;
	struct birth name = leaf_entry_birth(leaf->leaf->entries[i]);
	struct segment *s = segment_find(segments, birth_segno(name));

	c->report->nr_blocks++;
	c->node_used[leaf->id]++;
	if (!s || s->index == NO_INDEX ||
	    birth_slot(name) >= c->store->core.nr_slots) {
		complain(c,
			 "node %" PRIu32 ": block %" PRIu32 ": name %" PRIu64
			 ":%" PRIu32 " is in no segment",
			 leaf->id, i, birth_segno(name), birth_slot(name));
		return;
	}
	c->block_refs[s->index][birth_slot(name)]++;
}

static int walk_content(struct check *c, const struct node *n)
{
	char who[64];
	int r = 0;

	(void)snprintf(who, sizeof(who), "node %" PRIu32, n->id);
	for (uint32_t i = 0; n->level == 0 && i < LEAF_BLOCKS; i++)
		if (leaf_entry_kind(n->leaf->entries[i]) == ENTRY_DATA)
			meet_block(c, n, i);
	for (uint32_t i = 0; r == 0 && n->level > 0 && i < INNER_CHILDREN; i++)
		if (n->inner->children[i])
			r = meet_node(c, n->inner->children[i], who);
	return r;
}

/* A child is one level below its parent: so a walk always ends. */
static void check_levels(struct check *c, const struct node *n)
{
	for (uint32_t i = 0; n->level > 0 && i < INNER_CHILDREN; i++) {
		uint32_t id = n->inner->children[i], missing;
		struct node *child;

		if (id && node_exists(&c->store->nodes, id) &&
		    node_get(&c->store->nodes, id, n->level - 1u, &child,
			     &missing, NULL) == -EUCLEAN)
			complain(c,
				 "node %" PRIu32 ": child %" PRIu32
				 " has the wrong level",
				 n->id, id);
	}
}

/* Walk the last node of the queue.  Core held, dropped. */
static int walk_next(struct check *c)
{
	uint32_t id = c->queue.ptr[--c->queue.len], missing;
	struct error err = ERROR_NONE;
	struct node *n;
	int r;

	r = node_get(&c->store->nodes, id, LEVEL_ANY, &n, &missing, &err);
	if (r == -EAGAIN) {
		r = store_fault(c->store, missing, &err);
		if (r == 0)
			r = node_get(&c->store->nodes, id, LEVEL_ANY, &n,
				     &missing, &err);
	}
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		complain(c, "%s", err.message);
		return 0;
	}
	c->report->nr_nodes++;
	r = index_vector_push(&c->order, id);
	return r < 0 ? r : walk_content(c, n);
}

static int walk_roots(struct check *c)
{
	const struct volumes *volumes = &c->store->volumes;
	const struct index_vector *reaper = &c->store->nodes.reaper;
	char name[NAME_MAX_BYTES + 1];
	int r = 0;

	for (size_t i = 0; r == 0 && i < volumes->all.len; i++) {
		const struct volume *v = volumes->all.ptr[i];

		c->report->nr_volumes++;
		volume_full_name(volumes, v, name);
		if (v->map.root)
			r = meet_node(c, v->map.root, name);
	}
	for (size_t i = 0; r == 0 && i < reaper->len; i++)
		r = meet_node(c, reaper->ptr[i], "the reaper queue");
	while (r == 0 && c->queue.len > 0)
		r = walk_next(c);
	return r;
}

/* ---- compare ---- */

static void check_nodes(struct check *c)
{
	struct nodes *nodes = &c->store->nodes;

	for (size_t i = 0; i < c->order.len; i++) {
		uint32_t id = c->order.ptr[i], missing;
		struct node *n;

		if (node_get(nodes, id, LEVEL_ANY, &n, &missing, NULL) < 0)
			continue;
		check_levels(c, n);
	}
	for (uint32_t id = 1; id < nodes->next_id; id++) {
		uint32_t count = node_entry(nodes, id)->count;

		if (count != c->node_refs[id])
			complain(c,
				 "node %" PRIu32 ": count %" PRIu32
				 ", but %" PRIu32 " references",
				 id, count, c->node_refs[id]);
	}
}

/* Data blocks below @id: from its children, which were added up before. */
static uint64_t add_used(struct check *c, const struct node *n)
{
	uint64_t used = c->node_used[n->id];

	for (uint32_t i = 0; n->level > 0 && i < INNER_CHILDREN; i++) {
		uint32_t id = n->inner->children[i];

		if (id && id < c->store->nodes.next_id)
			used += c->node_used[id];
	}
	return used;
}

/* entry.used and refer, level by level from the leaves. */
static void check_used(struct check *c)
{
	struct nodes *nodes = &c->store->nodes;

	for (unsigned int level = 0; level <= INNER_LEVELS; level++) {
		for (size_t i = 0; i < c->order.len; i++) {
			uint32_t id = c->order.ptr[i], missing;
			struct node *n;

			if (node_get(nodes, id, LEVEL_ANY, &n, &missing, NULL) <
				    0 ||
			    n->level != level)
				continue;
			c->node_used[id] = add_used(c, n);
			if (level < INNER_LEVELS &&
			    node_entry(nodes, id)->used != c->node_used[id])
				complain(c,
					 "node %" PRIu32 ": used %" PRIu32
					 ", but %" PRIu64 " blocks",
					 id, node_entry(nodes, id)->used,
					 c->node_used[id]);
		}
	}
	for (size_t i = 0; i < c->store->volumes.all.len; i++) {
		const struct volume *v = c->store->volumes.all.ptr[i];
		uint64_t used = v->map.root ? c->node_used[v->map.root] : 0;
		char name[NAME_MAX_BYTES + 1];

		if (v->map.refer == used)
			continue;
		volume_full_name(&c->store->volumes, v, name);
		complain(c, "%s: refers to %" PRIu64 " blocks, but %" PRIu64,
			 name, v->map.refer, used);
	}
}

/* I2 for one segment; adds to the live numbers of where its names are. */
static void check_counts(struct check *c, const struct segment *s,
			 uint32_t *live)
{
	struct segment_table *t = &c->store->segments;

	for (uint32_t slot = 1; slot < c->store->core.nr_slots; slot++) {
		struct birth name = birth_make(s->segno, slot);
		uint32_t found = c->block_refs[s->index][slot], at;
		uint32_t count = count_get(t, name);
		struct segment *holder;

		if (count != found)
			complain(c,
				 "segment %" PRIu64 " slot %" PRIu32
				 ": count %" PRIu32 ", but %" PRIu32
				 " references",
				 s->segno, slot, count, found);
		if (count == 0)
			continue;
		if (segment_resolve(t, name, &holder, &at, NULL) == 0)
			live[holder->index]++;
		else
			complain(c,
				 "segment %" PRIu64 " slot %" PRIu32
				 ": no physical address",
				 s->segno, slot);
	}
}

static int check_segments(struct check *c)
{
	struct segment_table *t = &c->store->segments;
	CLEANUP_FREE uint32_t *live =
		calloc(t->pages.nr_pages + 1, sizeof(*live));

	if (!live)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->pages.nr_pages; i++) {
		if (!t->by_index[i])
			continue;
		c->report->nr_segments++;
		check_counts(c, t->by_index[i], live);
	}
	for (uint32_t i = 0; i < t->pages.nr_pages; i++) {
		const struct segment *s = t->by_index[i];

		if (s && s->live != live[i])
			complain(c,
				 "segment %" PRIu64 ": live %" PRIu32
				 ", but %" PRIu32 " blocks",
				 s->segno, s->live, live[i]);
	}
	return 0;
}

/* ---- all ---- */

static int check_alloc(struct check *c)
{
	struct segment_table *t = &c->store->segments;
	uint32_t nr_ids = c->store->nodes.next_id;

	c->node_refs = calloc(nr_ids, sizeof(*c->node_refs));
	c->node_used = calloc(nr_ids, sizeof(*c->node_used));
	c->block_refs = calloc(t->pages.nr_pages + 1, sizeof(*c->block_refs));
	if (!c->node_refs || !c->node_used || !c->block_refs)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->pages.nr_pages; i++) {
		if (!t->by_index[i])
			continue;
		c->block_refs[i] = calloc(c->store->core.nr_slots,
					  sizeof(**c->block_refs));
		if (!c->block_refs[i])
			return -ENOMEM;
	}
	return 0;
}

static void check_done(struct check *c)
{
	for (uint32_t i = 0;
	     c->block_refs && i < c->store->segments.pages.nr_pages; i++)
		free(c->block_refs[i]);
	free(c->block_refs);
	free(c->node_refs);
	free(c->node_used);
	index_vector_done(&c->queue);
	index_vector_done(&c->order);
}

/* Check what @store has in memory; nobody changes it meanwhile. */
static int check_image(struct store *store, line_fn *line, void *opaque,
		       struct check_report *report, struct error *err)
{
	struct check c = {.store = store,
			  .line = line,
			  .opaque = opaque,
			  .report = report};
	int r;

	mutex_lock(&store->core.lock);
	r = check_alloc(&c);
	if (r == 0)
		r = walk_roots(&c);
	if (r == 0) {
		check_nodes(&c);
		check_used(&c);
		r = check_segments(&c);
	}
	mutex_unlock(&store->core.lock);
	check_done(&c);
	if (r < 0)
		return error_set(err, ENOMEM, "out of memory");
	if (report->nr_errors)
		return error_set(err, EUCLEAN, "%" PRIu64 " errors found",
				 report->nr_errors);
	return 0;
}

/*
 * Take a checkpoint and open its image.  Admin held: no later checkpoint may
 * free what it names before nr_images says so.
 */
static int image_open(struct store *store, struct store **ret,
		      struct error *err)
{
	struct store_open_options options = {.read_only = true,
					     .at_checkpoint = true};
	int r;

	mutex_assert_held(&store->admin);
	r = checkpoint_run(store, err);
	if (r < 0)
		return r;
	r = store_open(store->core.be, &options, ret, err);
	if (r < 0)
		return r;
	mutex_lock(&store->core.lock);
	store->nr_images++;
	mutex_unlock(&store->core.lock);
	return 0;
}

static void image_close(struct store *store, struct store *image)
{
	store_free(image, false);
	mutex_lock(&store->core.lock);
	store->nr_images--;
	free_dying(store);
	core_wake(&store->core, WORKER_JANITOR);
	mutex_unlock(&store->core.lock);
}

int store_check(struct store *store, line_fn *line, void *opaque,
		struct check_report *ret, struct error *err)
{
	struct error failure = ERROR_NONE;
	struct store *image;
	int r;

	*ret = (struct check_report){0};
	if (store->core.read_only)
		return check_image(store, line, opaque, ret, err);
	mutex_lock(&store->admin);
	r = image_open(store, &image, &failure);
	mutex_unlock(&store->admin);
	if (r < 0) {
		ret->nr_errors++;
		if (line)
			line(opaque, failure.message);
		return error_set(err, -r, "%s", failure.message);
	}
	r = check_image(image, line, opaque, ret, err);
	image_close(store, image);
	return r;
}
