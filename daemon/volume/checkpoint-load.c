/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loading a checkpoint: superblock, root, directories, pages.  Everything is
 * verified by the checksum in the reference that names it; what a record
 * takes is counted as live in its META segment.
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
#include <string.h>

#include "checksum.h"
#include "read-ahead.h"
#include "tables.h"

int superblock_choose(struct backend *be, struct superblock *ret,
		      unsigned int *ret_first, struct error *err)
{
	struct superblock sb[SUPERBLOCK_COPIES];
	struct error errors[SUPERBLOCK_COPIES] = {ERROR_NONE, ERROR_NONE};
	int r[SUPERBLOCK_COPIES];
	unsigned int newer;

	for (unsigned int i = 0; i < SUPERBLOCK_COPIES; i++) {
		struct disk_superblock disk;

		r[i] = backend_super_read(be, i, &disk, &errors[i]);
		if (r[i] == 0)
			r[i] = superblock_decode(&disk, i, &sb[i], &errors[i]);
		/* an unknown format is never overruled by the other copy */
		if (r[i] == -ENOTSUP) {
			if (err)
				*err = errors[i];
			return r[i];
		}
	}
	if (r[0] < 0 && r[1] < 0) {
		unsigned int told = r[0] == -EINVAL && r[1] != -EINVAL;

		if (err)
			*err = errors[told];
		return r[told];
	}
	/* an init that was cut short on an old store's device */
	if (r[0] == 0 && r[1] == 0 &&
	    memcmp(sb[0].uuid, sb[1].uuid, sizeof(sb[0].uuid)) != 0)
		return error_set(err, EUCLEAN,
				 "the superblock copies are of two stores: "
				 "init was cut short, run it again");
	newer = r[0] < 0 ||
		(r[1] == 0 &&
		 (sb[1].checkpoint_id > sb[0].checkpoint_id ||
		  (sb[1].checkpoint_id == sb[0].checkpoint_id &&
		   sb[1].open_incarnation > sb[0].open_incarnation)));
	*ret = sb[newer];
	*ret_first = 1 - newer;
	return 0;
}

/*
 * Pages are loaded in the order in which they lie there: those that one
 * checkpoint wrote lie side by side, and one read gets many of them.
 */
#define WINDOW_BYTES (128u << 10)

struct page_order {
	struct page_ref ref;
	uint32_t index;
};

DEFINE_VECTOR(page_order_vector, struct page_order);

struct window {
	uint64_t place;
	uint32_t offset, length; /* length 0: nothing */
	uint8_t data[WINDOW_BYTES];
};

static const void *window_find(const struct window *w, uint64_t place,
			       const struct page_ref *ref)
{
	if (w->length == 0 || w->place != place || ref->offset < w->offset ||
	    ref->length > w->length ||
	    ref->offset - w->offset > w->length - ref->length)
		return NULL;
	return w->data + (ref->offset - w->offset);
}

/*
 * Fill it from the first of @pages on, as far as those behind it lie there,
 * too.
 */
static void window_move(struct store *store, struct window *w, uint64_t place,
			const struct page_order *pages, size_t nr)
{
	uint32_t begin = pages->ref.offset, end = 0;
	uint32_t most = store->core.nr_slots * BLOCK_SIZE;

	for (size_t i = 0; i < nr; i++) {
		const struct page_ref *ref = &pages[i].ref;

		if (ref->segno != pages->ref.segno || ref->offset < end ||
		    ref->offset >= most || ref->length > most - ref->offset ||
		    ref->offset + ref->length - begin > WINDOW_BYTES ||
		    (i > 0 && ref->offset - end > READ_AHEAD_GAP_BYTES))
			break;
		end = ref->offset + ref->length;
	}
	w->length = 0;
	/* what cannot be read is met again, by itself */
	if (end == 0 || backend_read(store->core.be, place, begin, w->data,
				     end - begin, 0, NULL) < 0)
		return;
	w->place = place;
	w->offset = begin;
	w->length = end - begin;
}

/* Read and verify the record that @ref names into malloc'ed *ret. */
static int read_record(struct store *store, const struct page_ref *ref,
		       void **ret, struct error *err)
{
	struct segment *s = segment_find_meta(&store->segments, ref->segno);
	void *data;
	int r;

	if (!s)
		return error_set(err, EUCLEAN,
				 "a record is in segment %" PRIu64
				 ", which holds no metadata",
				 ref->segno);
	data = malloc(ref->length);
	if (!data)
		return error_set(err, ENOMEM, "out of memory");
	r = backend_read(store->core.be, s->place, ref->offset, data,
			 ref->length, 0, err);
	if (r == 0 && checksum64(data, ref->length) != ref->checksum)
		r = backend_read(store->core.be, s->place, ref->offset, data,
				 ref->length, BACKEND_READ_AROUND_CACHE, err);
	if (r == 0 && checksum64(data, ref->length) != ref->checksum)
		r = error_set(err, EBADMSG,
			      "checksum mismatch: segment %" PRIu64
			      " offset %" PRIu32,
			      ref->segno, ref->offset);
	if (r == 0)
		r = segment_add_meta(&store->segments, ref->segno, ref->length,
				     err);
	if (r < 0) {
		free(data);
		return r;
	}
	*ret = data;
	return 0;
}

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
	uint32_t most = (store->core.nr_slots - 2) * BLOCK_SIZE;
	void *data;
	int r;

	if (ref->length < ROOT_FIXED_BYTES || ref->length > most)
		return error_set(err, EUCLEAN, "root of %" PRIu32 " bytes",
				 ref->length);
	data = malloc(ref->length);
	if (!data)
		return error_set(err, ENOMEM, "out of memory");
	r = backend_read(store->core.be, ref->place, ref->offset, data,
			 ref->length, 0, err);
	if (r == 0 && checksum64(data, ref->length) != ref->checksum)
		r = backend_read(store->core.be, ref->place, ref->offset, data,
				 ref->length, BACKEND_READ_AROUND_CACHE, err);
	if (r == 0 && checksum64(data, ref->length) != ref->checksum)
		r = error_set(err, EBADMSG, "checksum mismatch");
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
			     struct window *w)
{
	const struct page_ref *ref = &pages->ref;
	struct segment *s = segment_find_meta(&store->segments, ref->segno);
	const void *ret;

	if (!s)
		return NULL;
	ret = window_find(w, s->place, ref);
	if (!ret) {
		window_move(store, w, s->place, pages, nr);
		ret = window_find(w, s->place, ref);
	}
	return ret && checksum64(ret, ref->length) == ref->checksum ? ret
								    : NULL;
}

/* Load the first of @pages. */
static int load_ref(struct store *store, struct page_table *table,
		    const struct page_order *pages, size_t nr, struct window *w,
		    struct error *err)
{
	const struct page_ref *ref = &pages->ref;
	const void *page = find_page(store, pages, nr, w);
	CLEANUP_FREE void *record = NULL;
	int r;

	if (page) {
		r = segment_add_meta(&store->segments, ref->segno, ref->length,
				     err);
	} else {
		r = read_record(store, ref, &record, err);
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

	r = read_record(store, &table->directories[index], &data, err);
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

/* Note the references of its pages in the table. */
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

static int compare_places(const void *a, const void *b)
{
	const struct page_ref *x = &((const struct page_order *)a)->ref;
	const struct page_ref *y = &((const struct page_order *)b)->ref;

	if (x->segno != y->segno)
		return x->segno < y->segno ? -1 : 1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* The pages there are; the reaper's queue keeps its order. */
static int order_pages(const struct page_table *table, uint32_t nr_pages,
		       struct page_order_vector *ret)
{
	for (uint32_t i = 0; i < nr_pages; i++) {
		struct page_order page = {table->pages[i].ref, i};

		if (page.ref.segno && page_order_vector_push(ret, page) < 0)
			return -ENOMEM;
	}
	if (table->kind != TABLE_REAPER && ret->len > 0)
		qsort(ret->ptr, ret->len, sizeof(*ret->ptr), compare_places);
	return 0;
}

static int load_ordered(struct store *store, struct page_table *table,
			const struct page_order_vector *order,
			struct window *window, struct error *err)
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
	CLEANUP_FREE struct window *window = malloc(sizeof(*window));
	struct page_order_vector order = {0};
	int r = -ENOMEM;

	if (window) {
		window->length = 0;
		r = order_pages(table, root->nr_pages[table->kind], &order);
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

/*
 * The directories of all tables first: then all the pages are on their way
 * while the first are looked at.
 */
static int find_pages(struct store *store, const void *record,
		      const struct root *root, struct error *err)
{
	struct page_table *const tables[] = {
		&store->frames.pages, &store->nodes.pages,
		&store->segments.pages, &store->volumes.pages,
		&store->reaper_pages};
	struct read_ahead ahead = {.be = store->core.be};
	int r = 0;

	for (int t = 0; r == 0 && t < NR_TABLES; t++)
		r = begin_table(store, tables[t], record, root, &ahead, err);
	read_ahead_submit(&ahead);
	for (int t = 0; r == 0 && t < NR_TABLES; t++)
		r = load_directories(store, tables[t],
				     root->nr_pages[tables[t]->kind], &ahead,
				     err);
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

/* Nodes that are referred to from outside the map exist. */
static int check_roots(const struct store *store, struct error *err)
{
	for (size_t i = 0; i < store->nodes.reaper.len; i++)
		if (!node_exists(&store->nodes, store->nodes.reaper.ptr[i]))
			return error_set(err, EUCLEAN,
					 "reaper queue: node %" PRIu32
					 " does not exist",
					 store->nodes.reaper.ptr[i]);
	for (size_t i = 0; i < store->volumes.all.len; i++) {
		const struct volume *v = store->volumes.all.ptr[i];

		if (v->map.root && !node_exists(&store->nodes, v->map.root))
			return error_set(err, EUCLEAN,
					 "volume %" PRIu32
					 ": its root does not exist",
					 v->id);
	}
	return 0;
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

static int load_tables(struct store *store, const struct root *root,
		       struct error *err)
{
	int r;

	r = load_table(store, &store->frames.pages, root, err);
	/* its entries look up META segments: before there are many others */
	if (r == 0)
		r = load_table(store, &store->nodes.pages, root, err);
	if (r == 0)
		r = nodes_loaded(&store->nodes, root->next_node_id, err);
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
	return r < 0 ? r : find_pages(store, record, ret, err);
}

int checkpoint_load(struct store *store, const struct root *root,
		    struct error *err)
{
	int r;

	mutex_assert_held(&store->core.lock);
	store->scrub_record = root->scrub;
	store->scrub_stage = root->scrub.stage;
	store->scrub_position = root->scrub.position;
	r = load_tables(store, root, err);
	if (r == 0 && !store->salvage)
		r = check_roots(store, err);
	if (r == 0)
		r = mark_frames(store, err);
	/* from here on a segment without live records is dead */
	if (r == 0)
		segment_table_seal_open_meta(&store->segments);
	return r;
}
