/* SPDX-License-Identifier: BSD-2-Clause */
#include "loader.h"

#include <inttypes.h>
#include <stdlib.h>

#include "page-window.h"

struct loader {
	struct store *store;
	struct page_order_vector order;
	struct page_window window;
};

/* Nodes that are referred to from outside the map exist. */
static int check_roots(struct store *store, struct error *err)
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

int tables_loaded(struct store *store, struct error *err)
{
	int r = store->salvage ? 0 : check_roots(store, err);

	mutex_assert_held(&store->core.lock);
	if (r < 0)
		return r;
	/* from here on a segment without live records is dead */
	segment_table_seal_open_meta(&store->segments, store->meta_below);
	store->loads_behind = false;
	return 0;
}

/*
 * Where page @page lies, when it has to be read: PLACE_NONE when nowhere, or
 * when it is loaded already.  Core held.
 */
static uint64_t find_place(struct store *store, const struct page_order *page)
{
	struct segment *s;

	mutex_assert_held(&store->core.lock);
	if (nodes_page_is_loaded(&store->nodes, page->index))
		return PLACE_NONE;
	s = segment_find_meta(&store->segments, page->ref.segno);
	return s ? s->place : PLACE_NONE;
}

/*
 * Load the @i-th page, unless somebody wanted it meanwhile.  Until it is
 * loaded it does not change, and no META segment of before the open is given
 * back before all are: what the window holds is right.  Core held; dropped
 * for a read.
 */
static int load_page(struct loader *loader, size_t i,
		     struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	const struct page_order *page = &loader->order.ptr[i];
	struct store *store = loader->store;
	struct core *core = &store->core;
	uint64_t place = find_place(store, page);
	const void *record = NULL;

	mutex_assert_held(&core->lock);
	if (place != PLACE_NONE) {
		record = page_window_find(&loader->window, place, &page->ref);
		if (!record) {
			mutex_unlock(&core->lock);
			page_window_move(&loader->window, core, place, page,
					 loader->order.len - i);
			record = page_window_find(&loader->window, place,
						  &page->ref);
			mutex_give_way(&core->lock);
			mutex_lock(&core->lock);
		}
	}
	if (nodes_page_is_loaded(&store->nodes, page->index))
		return 0;
	if (!record || nodes_load_page(&store->nodes, page->index, record,
				       page->ref.length, NULL) < 0)
		return nodes_want_page(&store->nodes, page->index, err);
	/* cannot fail: it is there */
	(void)segment_add_meta(&store->segments, page->ref.segno,
			       page->ref.length, NULL);
	return 0;
}

/* Core held, dropped. */
static int load_pages(struct loader *loader, struct error *err)
{
	struct store *store = loader->store;
	int r;

	mutex_assert_held(&store->core.lock);
	r = page_order_get(&store->nodes.pages, store->nodes.pages.nr_pages,
			   &loader->order);
	if (r < 0)
		return error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < loader->order.len &&
			   !store->stopping && !store->core.failed;
	     i++)
		r = load_page(loader, i, err);
	return r;
}

int loader_finish(struct store *store,
		  struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	struct core *core = &store->core;
	int r = 0;

	mutex_lock(&core->lock);
	for (uint32_t i = 0; r == 0 && !nodes_are_loaded(&store->nodes); i++) {
		if (nodes_page_is_loaded(&store->nodes, i))
			continue;
		r = nodes_want_page(&store->nodes, i, err);
		mutex_unlock(&core->lock);
		mutex_give_way(&core->lock);
		mutex_lock(&core->lock);
	}
	mutex_unlock(&core->lock);
	return r;
}

int loader_complete(struct store *store, struct error *err)
{
	int r = loader_finish(store, err);

	mutex_lock(&store->core.lock);
	if (r == 0)
		r = tables_loaded(store, err);
	mutex_unlock(&store->core.lock);
	return r;
}

/* Segments that died while nobody knew: room is not short of them. */
static void give_back_dead(struct store *store)
{
	mutex_assert_held(&store->core.lock);
	if (store->segments.dead.len == 0 || store->core.read_only)
		return;
	store->checkpoint_wanted = true;
	store->nr_short = 0;
	core_wake(&store->core, WORKER_DRIVER);
}

void loader_run(struct store *store)
{
	struct loader *loader = calloc(1, sizeof(*loader));
	struct error failure = ERROR_NONE;
	struct core *core = &store->core;
	int r = 0;

	if (!loader) /* one page after the other */
		r = loader_finish(store, &failure);
	mutex_lock(&core->lock);
	if (loader) {
		loader->store = store;
		r = load_pages(loader, &failure);
	}
	if (r == 0 && nodes_are_loaded(&store->nodes) && !core->failed)
		r = tables_loaded(store, &failure);
	if (r < 0)
		core_fail(core, &failure);
	give_back_dead(store);
	mutex_unlock(&core->lock);
	if (loader)
		page_order_vector_done(&loader->order);
	free(loader);
}
