/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading nodes into memory, and dropping leaves from it. */
#include "node-internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "cleanup.h"
#include "meta-reader.h"
#include "read-ahead.h"

/* Ids the evictor looks at in one call. */
#define EVICT_SCAN 64u

void node_evict_some(struct nodes *nodes)
{
	uint32_t nr = nodes->next_id < EVICT_SCAN ? nodes->next_id : EVICT_SCAN;

	mutex_assert_held(&nodes->core->lock);
	for (; nr > 0 && nodes->leaf_bytes > nodes->bytes_max; nr--) {
		const struct node_entry *e;
		struct node *n;

		nodes->hand++;
		if (nodes->hand >= nodes->next_id)
			nodes->hand = 1; /* 0 is no node */
		n = *node_place(nodes, nodes->hand);
		if (!n || n->level > 0 || n->pending ||
		    n->generation == nodes->core->generation)
			continue;
		e = node_entry(nodes, nodes->hand);
		if (!core_record_is_written(nodes->core, e->segno, e->offset))
			continue;
		if (n->used) {
			n->used = false;
			continue;
		}
		*node_place(nodes, nodes->hand) = NULL;
		node_release(nodes, n);
	}
}

void node_insert(struct nodes *nodes, struct node *n)
{
	n = node_keep(nodes, n);
	*node_place(nodes, n->id) = n;
	node_count_memory(nodes, n);
	n->used = true;
	node_evict_some(nodes);
}

int node_decode(const void *record, const struct node_entry *e, uint32_t id,
		struct node **ret, struct error *err)
{
	const struct disk_node_header *h = record;
	unsigned int level = h->kind == NODE_LEAF ? 0 : h->level;
	struct node *n;
	int r;

	if (h->kind != NODE_LEAF && (level < 1 || level > INNER_LEVELS))
		return error_set(err, EUCLEAN, "node %" PRIu32 ": level %u", id,
				 level);
	n = node_alloc(level);
	if (!n)
		return error_set(err, ENOMEM, "out of memory");
	n->id = id;
	if (level == 0)
		r = leaf_decode(record, e->length, id, e->checksum, &n->epoch,
				n->leaf, err);
	else
		r = inner_decode(record, e->length, id, level, e->checksum,
				 &n->epoch, n->inner, err);
	if (r < 0) {
		free(n);
		return r;
	}
	*ret = n;
	return 0;
}

static int read_node(struct nodes *nodes, uint32_t id,
		     const struct node_entry *e, uint64_t place,
		     struct node **ret, struct error *err)
{
	uint8_t record[NODE_BYTES_MAX];
	int r;

	if (e->length < sizeof(struct disk_node_header) ||
	    e->length > sizeof(record))
		return error_set(err, EUCLEAN, "record of %u bytes",
				 (unsigned int)e->length);
	r = backend_read(nodes->core->be, place, e->offset, record, e->length,
			 0, err);
	if (r < 0)
		return r;
	r = node_decode(record, e, id, ret, err);
	if (r != -EBADMSG)
		return r;
	/* once more around the page cache */
	r = backend_read(nodes->core->be, place, e->offset, record, e->length,
			 BACKEND_READ_AROUND_CACHE, err);
	return r < 0 ? r : node_decode(record, e, id, ret, err);
}

/* Read the record that @e, the entry of @id, names.  Core held; dropped. */
static int read_entry(struct nodes *nodes, uint32_t id,
		      const struct node_entry *e, struct node **ret,
		      struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	struct core *core = nodes->core;
	struct segment *s = segment_find_meta(nodes->segments, e->segno);
	int r;

	node_note_use(nodes);
	if (!s)
		return error_set(err, EUCLEAN,
				 "node %" PRIu32
				 ": its record is in no META segment",
				 id);
	s->pins++;
	mutex_unlock(&core->lock);
	r = read_node(nodes, id, e, s->place, ret, err);
	mutex_lock(&core->lock);
	s->pins--;
	if (r < 0)
		(void)error_prefix(err, "node %" PRIu32, id);
	return r;
}

/*
 * Load the page of the entry of @id, which is not loaded.  Core held;
 * dropped.
 */
static int fault_page(struct nodes *nodes, uint32_t id,
		      struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	uint32_t index = id / NODE_TABLE_PAGE_ENTRIES;
	struct page_ref ref = nodes->pages.pages[index].ref;
	CLEANUP_FREE void *record = NULL;
	struct core *core = nodes->core;
	struct segment *s;
	int r;

	mutex_assert_held(&core->lock);
	r = meta_record_find(nodes->segments, &ref, &s, err);
	if (r == 0) {
		s->pins++;
		mutex_unlock(&core->lock);
		r = meta_record_read(core->be, s->place, &ref, &record, err);
		mutex_lock(&core->lock);
		s->pins--;
	}
	if (r == 0 && !nodes_page_is_loaded(nodes, index)) {
		r = nodes_load_page(nodes, index, record, ref.length, err);
		if (r == 0) /* cannot fail: it is there */
			(void)segment_add_meta(nodes->segments, ref.segno,
					       ref.length, NULL);
	}
	return r < 0 ? error_prefix(err, "node table: page %" PRIu32, index)
		     : 0;
}

int nodes_fault(struct nodes *nodes, uint32_t id, struct error *err)
{
	struct core *core = nodes->core;
	struct node_entry e;
	struct node *n = NULL;
	int r = 0;

	mutex_lock(&core->lock);
	if (!node_is_loaded(nodes, id)) {
		r = fault_page(nodes, id, err);
	} else if (node_exists(nodes, id) && !*node_place(nodes, id)) {
		e = *node_entry(nodes, id);
		r = read_entry(nodes, id, &e, &n, err);
		if (r == 0 && node_exists(nodes, id) &&
		    !*node_place(nodes, id) &&
		    node_entry(nodes, id)->checksum == e.checksum &&
		    node_entry(nodes, id)->segno == e.segno) {
			node_insert(nodes, n);
			n = NULL;
		}
	}
	mutex_unlock(&core->lock);
	free(n);
	return r;
}

bool nodes_find_record(struct nodes *nodes, uint32_t id, struct read_range *ret)
{
	const struct node_entry *e;
	struct segment *s;

	mutex_assert_held(&nodes->core->lock);
	if (node_want(nodes, id, NULL) < 0 || !node_exists(nodes, id))
		return false;
	e = node_entry(nodes, id);
	s = segment_find_meta(nodes->segments, e->segno);
	if (!s)
		return false;
	*ret = (struct read_range){s->place, e->offset, e->length};
	return true;
}

/* A copy of what is in memory. */
static int dup_node(const struct node *n, struct node **ret, struct error *err)
{
	struct node *copy = node_alloc(n->level);

	if (!copy)
		return error_set(err, ENOMEM, "out of memory");
	copy->id = n->id;
	copy->epoch = n->epoch;
	if (n->level == 0)
		*copy->leaf = *n->leaf;
	else
		*copy->inner = *n->inner;
	*ret = copy;
	return 0;
}

int node_copy(struct nodes *nodes, uint32_t id, struct node **ret,
	      struct error *err)
{
	struct core *core = nodes->core;
	struct node_entry e;
	int r;

	mutex_lock(&core->lock);
	r = node_want(nodes, id, err);
	if (r < 0) {
		/* and so is what it says */
	} else if (!node_exists(nodes, id)) {
		r = error_set(err, EUCLEAN, "node %" PRIu32 " does not exist",
			      id);
	} else if (*node_place(nodes, id)) {
		node_note_use(nodes);
		r = dup_node(*node_place(nodes, id), ret, err);
	} else {
		e = *node_entry(nodes, id);
		r = read_entry(nodes, id, &e, ret, err);
	}
	mutex_unlock(&core->lock);
	return r;
}
