/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loading a checkpoint: root, directories, pages.  Everything is verified by
 * the checksum in the reference that names it; what a record takes is counted
 * as live in its META segment.
 *
 * Core is held throughout, I/O included: nobody else knows the store yet but
 * the thread that opens it, which meanwhile writes superblocks and reads the
 * log through the same back end, and makes store->log (recovery.c).  It touches
 * neither tables nor frames nor segments before this is done, and nothing here
 * touches the log or changes store->sb.
 */
#include "salvage.h"

#include <inttypes.h>
#include <stdlib.h>

#include "loader.h"
#include "meta-reader.h"
#include "page-window.h"
#include "read-ahead.h"
#include "tables.h"

/*
 * The pages of the node table take memory although they are lost: as many as
 * the metadata there is could fill, and some whose nodes were all freed.
 */
static bool may_lose_nodes(const struct store *store, uint32_t nr)
{
	uint64_t lost = store->salvage->lost_pages[TABLE_NODE].len;
	uint64_t bytes = (uint64_t)store->segments.meta.len
			 << store->core.segment_shift;

	return lost + nr <=
	       bytes / NODE_LEAF_RUN_BYTES / NODE_TABLE_PAGE_ENTRIES +
		       64 * DIRECTORY_PAGE_ENTRIES;
}

/*
 * Pages of @table cannot be used: an error, unless the store is opened as far
 * as it goes.
 */
static int lose_pages(struct store *store, enum table table, uint32_t first,
		      uint32_t nr, int r, struct error *err)
{
	(void)error_prefix(err, "%s", table_name(table));
	if (!store->salvage || !salvage_may_lose(store->salvage, r))
		return r;
	if (table == TABLE_NODE && !may_lose_nodes(store, nr))
		return error_prefix(err, "too much is lost");
	for (uint32_t i = first; table == TABLE_NODE && i < first + nr; i++)
		if (nodes_lose_page(&store->nodes, i) < 0)
			return error_set(err, ENOMEM, "out of memory");
	return salvage_lose_pages(store->salvage, table, first, nr, err);
}

/* ---- root ---- */

static int add_meta_segment(struct store *store, const struct meta_segment *m,
			    struct error *err)
{
	struct segment *s;

	if (segment_find(&store->segments, m->segno))
		return error_set(err, EUCLEAN,
				 "segment %" PRIu64 " is listed twice",
				 m->segno);
	if (segment_table_prepare(&store->segments) < 0)
		return error_set(err, ENOMEM, "out of memory");
	s = segment_new(&store->core, SEGMENT_META);
	if (!s)
		return error_set(err, ENOMEM, "out of memory");
	s->segno = m->segno;
	s->place = m->place;
	segment_insert(&store->segments, s);
	return 0;
}

static int read_root(struct store *store, void **ret, struct root *ret_root,
		     struct error *err)
{
	const struct root_ref *ref = &store->sb.root;
	const struct page_ref record = {ref->segno, ref->offset, ref->length,
					ref->checksum};
	uint32_t most = (store->core.nr_slots - 2) * BLOCK_SIZE;
	void *data = NULL;
	int r;

	if (ref->length < ROOT_FIXED_BYTES || ref->length > most)
		return error_set(err, EUCLEAN, "root of %" PRIu32 " bytes",
				 ref->length);
	r = meta_record_read(store->core.be, ref->place, &record, &data, err);
	if (r == 0)
		r = root_decode(data, ref->length, store->sb.checkpoint_id,
				ret_root, err);
	for (uint32_t i = 0; r == 0 && i < ret_root->nr_meta_segments; i++) {
		struct meta_segment m;

		r = root_get_meta_segment(data, ret_root, i, &m, err);
		if (r == 0)
			r = add_meta_segment(store, &m, err);
	}
	if (r == 0)
		r = segment_add_meta(&store->segments, ref->segno, ref->length,
				     err);
	if (r < 0) {
		free(data);
		return error_prefix(err, "checkpoint root");
	}
	*ret = data;
	return 0;
}

/* ---- tables ---- */

static int load_reaper_page(struct store *store, uint32_t index,
			    const void *page, size_t length, struct error *err)
{
	uint32_t ids[REAPER_PAGE_ENTRIES], nr;
	int r;

	r = reaper_page_decode(page, length, index, ids, &nr, err);
	for (uint32_t i = 0; r == 0 && i < nr; i++)
		if (index_vector_push(&store->nodes.reaper, ids[i]) < 0)
			return error_set(err, ENOMEM, "out of memory");
	return r;
}

static int load_page(struct store *store, enum table t, uint32_t index,
		     const void *page, size_t length, struct error *err)
{
	switch (t) {
	case TABLE_NODE:
		return nodes_load_page(&store->nodes, index, page, length, err);
	case TABLE_SEGMENT:
		return segment_table_load(&store->segments, index, page, length,
					  err);
	case TABLE_VOLUME:
		return volumes_load(&store->volumes, index, page, length, err);
	case TABLE_FRAME:
		return frames_load(&store->frames, index, page, length, err);
	default:
		return load_reaper_page(store, index, page, length, err);
	}
}

/* The first of @pages; NULL: it is read by itself. */
static const void *find_page(struct store *store,
			     const struct page_order *pages, size_t nr,
			     struct page_window *w)
{
	const struct page_ref *ref = &pages->ref;
	struct segment *s = segment_find_meta(&store->segments, ref->segno);
	const void *ret;

	if (!s)
		return NULL;
	ret = page_window_find(w, s->place, ref);
	if (!ret) {
		page_window_move(w, &store->core, s->place, pages, nr);
		ret = page_window_find(w, s->place, ref);
	}
	return ret;
}

/* Load the first of @pages. */
static int load_ref(struct store *store, struct page_table *table,
		    const struct page_order *pages, size_t nr,
		    struct page_window *w, struct error *err)
{
	const struct page_ref *ref = &pages->ref;
	const void *page = find_page(store, pages, nr, w);
	CLEANUP_FREE void *record = NULL;
	int r;

	if (page) {
		r = segment_add_meta(&store->segments, ref->segno, ref->length,
				     err);
	} else {
		r = meta_record_load(&store->segments, ref, &record, err);
		page = record;
	}
	if (r == 0)
		r = load_page(store, table->kind, pages->index, page,
			      ref->length, err);
	if (r < 0) {
		table->pages[pages->index].ref = (struct page_ref){0};
		(void)error_prefix(err, "page %" PRIu32, pages->index);
	}
	return r;
}

static void hint_ref(struct store *store, struct read_ahead *ahead,
		     const struct page_ref *ref)
{
	struct segment *s = segment_find_meta(&store->segments, ref->segno);

	if (s)
		read_ahead_add(ahead, s->place, ref->offset, ref->length);
}

static int read_directory(struct store *store, struct page_table *table,
			  uint32_t nr_pages, uint32_t index,
			  struct page_ref *ret, struct error *err)
{
	uint32_t first = index * DIRECTORY_PAGE_ENTRIES;
	CLEANUP_FREE void *data = NULL;
	int r;

	r = meta_record_load(&store->segments, &table->directories[index],
			     &data, err);
	if (r == 0)
		r = directory_decode(data, table->directories[index].length,
				     table->kind, index,
				     store->core.segment_shift, ret, err);
	for (uint32_t i = 0; r == 0 && i < DIRECTORY_PAGE_ENTRIES; i++)
		if (ret[i].segno && first + i >= nr_pages)
			r = error_set(err, EUCLEAN,
				      "page %" PRIu32 " is beyond the table",
				      first + i);
	if (r < 0)
		(void)error_prefix(err, "directory page %" PRIu32, index);
	return r;
}

/* Note the references of its pages in the table; @ahead: they will be read. */
static int load_directory(struct store *store, struct page_table *table,
			  uint32_t nr_pages, uint32_t index,
			  struct read_ahead *ahead, struct error *err)
{
	struct page_ref refs[DIRECTORY_PAGE_ENTRIES];
	uint32_t first = index * DIRECTORY_PAGE_ENTRIES;
	uint32_t nr = nr_pages - first;
	int r;

	nr = nr < DIRECTORY_PAGE_ENTRIES ? nr : DIRECTORY_PAGE_ENTRIES;
	r = read_directory(store, table, nr_pages, index, refs, err);
	if (r < 0) {
		/* its record is counted no more */
		table->directories[index] = (struct page_ref){0};
		return lose_pages(store, table->kind, first, nr, r, err);
	}
	for (uint32_t i = 0; i < nr; i++) {
		table->pages[first + i].ref = refs[i];
		if (ahead)
			hint_ref(store, ahead, &refs[i]);
	}
	return 0;
}

static int load_directories(struct store *store, struct page_table *table,
			    uint32_t nr_pages, struct read_ahead *ahead,
			    struct error *err)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < table->nr_directories; i++)
		if (table->directories[i].segno)
			r = load_directory(store, table, nr_pages, i, ahead,
					   err);
	return r;
}

static int load_ordered(struct store *store, struct page_table *table,
			const struct page_order_vector *order,
			struct page_window *window, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < order->len; i++) {
		const struct page_order *pages = &order->ptr[i];

		r = load_ref(store, table, pages, order->len - i, window, err);
		if (r < 0)
			r = lose_pages(store, table->kind, pages->index, 1, r,
				       err);
	}
	return r;
}

static int load_table(struct store *store, struct page_table *table,
		      const struct root *root, struct error *err)
{
	CLEANUP_FREE struct page_window *window = malloc(sizeof(*window));
	struct page_order_vector order = {0};
	int r = -ENOMEM;

	if (window) {
		window->length = 0;
		r = page_order_get(table, root->nr_pages[table->kind], &order);
	}
	if (r < 0)
		r = error_set(err, ENOMEM, "out of memory");
	else
		r = load_ordered(store, table, &order, window, err);
	page_order_vector_done(&order);
	return r;
}

/* Note what the root says of @table. */
static int begin_table(struct store *store, struct page_table *table,
		       const void *record, const struct root *root,
		       struct read_ahead *ahead, struct error *err)
{
	uint32_t nr_pages = root->nr_pages[table->kind];
	uint32_t nr = nr_directory_pages(nr_pages);
	int r = 0;

	if (page_table_grow(table, nr_pages) < 0)
		return error_set(err, ENOMEM, "out of memory");
	table->directories = calloc(nr + 1, sizeof(*table->directories));
	if (!table->directories)
		return error_set(err, ENOMEM, "out of memory");
	table->nr_directories = nr;
	for (uint32_t i = 0; r == 0 && i < nr; i++) {
		r = root_get_directory(record, root, table->kind, i,
				       store->core.segment_shift,
				       &table->directories[i], err);
		if (r < 0)
			(void)error_prefix(err, "checkpoint root");
		else
			hint_ref(store, ahead, &table->directories[i]);
	}
	return r;
}

/* All the directories are on their way while the first are looked at. */
static int begin_tables(struct store *store, const void *record,
			const struct root *root, struct error *err)
{
	struct read_ahead ahead = {.be = store->core.be};
	int r = 0;

	for (int t = 0; r == 0 && t < NR_TABLES; t++)
		r = begin_table(store, store_table(store, t), record, root,
				&ahead, err);
	read_ahead_submit(&ahead);
	read_ahead_done(&ahead);
	return r;
}

/* So are all the pages then that are loaded before the open ends. */
static int find_pages(struct store *store, const struct root *root, bool behind,
		      struct error *err)
{
	struct read_ahead ahead = {.be = store->core.be};
	int r = 0;

	for (int t = 0; r == 0 && t < NR_TABLES; t++)
		r = load_directories(
			store, store_table(store, t), root->nr_pages[t],
			behind && t == TABLE_NODE ? NULL : &ahead, err);
	read_ahead_submit(&ahead);
	read_ahead_done(&ahead);
	return r;
}

/* The frames of all segments are in use. */
static int mark_frames(struct store *store, struct error *err)
{
	struct segment_table *t = &store->segments;
	int r = 0;

	for (uint32_t i = 0; i < t->nr_buckets; i++)
		for (struct segment *s = t->buckets[i]; r == 0 && s;
		     s = s->hash_next)
			if (s->place != PLACE_NONE)
				r = frames_mark_used(&store->frames, s->place,
						     err);
	return r;
}

static int load_volumes(struct store *store, const struct root *root,
			struct error *err)
{
	int r;

	r = load_table(store, &store->volumes.pages, root, err);
	if (r == 0 && root->next_volume_id == 0)
		r = error_set(err, EUCLEAN, "next volume id 0");
	store->volumes.next_id = root->next_volume_id;
	store->volumes.next_epoch = root->next_epoch;
	if (r == 0)
		r = volumes_loaded(&store->volumes,
				   root->nr_pages[TABLE_VOLUME], err);
	if (r == 0 && store->salvage)
		r = salvage_heads(store, err);
	return r < 0 ? r : volumes_check_parents(&store->volumes, err);
}

static int load_nodes(struct store *store, const struct root *root, bool behind,
		      struct error *err)
{
	int r;

	r = nodes_begin_load(&store->nodes, root->next_node_id, err);
	if (r == 0 && !behind)
		r = load_table(store, &store->nodes.pages, root, err);
	return r < 0 ? r : nodes_make_pages(&store->nodes, err);
}

/* Nodes that are referred to from outside the map have ids that were used. */
static int check_ids(const struct store *store, struct error *err)
{
	uint32_t next_id = store->nodes.next_id;

	for (size_t i = 0; i < store->nodes.reaper.len; i++)
		if (store->nodes.reaper.ptr[i] >= next_id)
			return error_set(err, EUCLEAN,
					 "reaper queue: node %" PRIu32
					 " does not exist",
					 store->nodes.reaper.ptr[i]);
	for (size_t i = 0; i < store->volumes.all.len; i++)
		if (store->volumes.all.ptr[i]->map.root >= next_id)
			return error_set(err, EUCLEAN,
					 "volume %" PRIu32
					 ": its root does not exist",
					 store->volumes.all.ptr[i]->id);
	return 0;
}

static int load_tables(struct store *store, const struct root *root,
		       bool behind, struct error *err)
{
	int r;

	r = load_table(store, &store->frames.pages, root, err);
	/* its entries look up META segments: before there are many others */
	if (r == 0)
		r = load_nodes(store, root, behind, err);
	if (r == 0)
		r = load_table(store, &store->segments.pages, root, err);
	if (r == 0 && segment_table_loaded(&store->segments,
					   root->nr_pages[TABLE_SEGMENT]) < 0)
		r = error_set(err, ENOMEM, "out of memory");
	if (r == 0)
		r = load_volumes(store, root, err);
	if (r == 0)
		r = load_table(store, &store->reaper_pages, root, err);
	return r;
}

int checkpoint_find(struct store *store, struct root *ret, struct error *err)
{
	CLEANUP_FREE void *record = NULL;
	int r;

	mutex_assert_held(&store->core.lock);
	store->meta_below = store->core.next_segno;
	r = read_root(store, &record, ret, err);
	if (r < 0) {
		if (store->salvage)
			store->salvage->root_is_lost =
				salvage_may_lose(store->salvage, r);
		return r;
	}
	if (!store->salvage)
		r = tables_check_root(store, ret, err);
	if (r == 0 && ret->nr_pages[TABLE_FRAME] > store->frames.pages.nr_pages)
		r = error_set(err, EUCLEAN,
			      "frame map is larger than the store");
	return r < 0 ? r : begin_tables(store, record, ret, err);
}

int checkpoint_load(struct store *store, const struct root *root, bool behind,
		    struct error *err)
{
	int r;

	mutex_assert_held(&store->core.lock);
	store->scrub_record = root->scrub;
	store->scrub_stage = root->scrub.stage;
	store->scrub_position = root->scrub.position;
	r = find_pages(store, root, behind, err);
	if (r == 0)
		r = load_tables(store, root, behind, err);
	if (r == 0 && !store->salvage)
		r = check_ids(store, err);
	if (r == 0)
		r = mark_frames(store, err);
	store->loads_behind = behind;
	if (r == 0 && !behind)
		r = tables_loaded(store, err);
	return r;
}
