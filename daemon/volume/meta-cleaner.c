/* SPDX-License-Identifier: BSD-2-Clause */
#include "meta-cleaner.h"

#include "tables.h"

/* META segments that are not worth looking at. */
#define SEGMENTS_MIN 4u
/* Node ids, or pages, looked at in one hold of core. */
#define LOOKS_PER_HOLD 1024u

bool meta_cleaner_is_victim(struct store *store, uint64_t segno)
{
	const struct segment *s =
		segno ? segment_find(&store->segments, segno) : NULL;

	return s && s->victim;
}

/* Does every frame count?  Then so early that there is room to move them. */
static bool is_tight(const struct store *store)
{
	return store->cleaner.scraping ||
	       !frames_suffice(&store->frames, FRAME_USER_METADATA, 1);
}

/*
 * Live bytes that the coming checkpoint moves, at most: about as many as it
 * writes anyway, since so many die elsewhere by that; or half a segment, so
 * that there is always one that fits, and where every frame counts a whole
 * one.
 */
static uint64_t bytes_to_move(const struct store *store)
{
	uint64_t segment_bytes = UINT64_C(1) << store->core.segment_shift;
	uint64_t least = is_tight(store) ? segment_bytes : segment_bytes / 2;
	uint64_t dirty = dirty_bytes(store);

	return dirty > least ? dirty : least;
}

/*
 * Is there room for a checkpoint that moves @bytes of records, too, and for
 * the next one, which gives back what is named until then?  A node that moves
 * makes its page of the node table dirty, and a leaf counts as a dense one
 * then.
 */
static bool has_room(const struct store *store, uint64_t bytes)
{
	uint64_t nr_leaves = bytes / NODE_LEAF_NEAR_BYTES;
	uint64_t nr_pages = nr_leaves;

	bytes += nr_leaves * (NODE_LEAF_DENSE_BYTES - NODE_LEAF_NEAR_BYTES);
	if (nr_pages > store->nodes.pages.nr_pages)
		nr_pages = store->nodes.pages.nr_pages;
	return checkpoint_fits(
		store, dirty_bytes(store) + bytes + nr_pages * PAGE_BYTES, 1);
}

/* The one with the fewest live bytes that is no victim yet. */
static struct segment *find_emptiest(const struct segment_table *table)
{
	struct segment *ret = NULL;

	for (size_t i = 0; i < table->meta.len; i++) {
		struct segment *s = table->meta.ptr[i];

		if (s->sealed && !s->dying && !s->victim && s->live > 0 &&
		    (!ret || s->live < ret->live))
			ret = s;
	}
	return ret;
}

/*
 * As many META segments may be: where frames are few what they take is not
 * there for blocks, and the cleaner pays for that with a multiple.  For the
 * checkpoint of a recovery everybody waits: the next one can do as much.
 */
static uint64_t segments_max(const struct store *store)
{
	bool few = is_tight(store) || cleaner_frames_are_few(store);
	unsigned int eighths = few ? 9 : store->replaying ? 20 : 16;

	return SEGMENTS_MIN + ((store->segments.meta_bytes * eighths / 8) >>
			       store->core.segment_shift);
}

/* Returns their live bytes; 0: there is none. */
static uint64_t choose_victims(struct store *store)
{
	struct segment_table *table = &store->segments;
	uint64_t most = segments_max(store);
	uint64_t left = bytes_to_move(store), nr = table->meta.len;
	uint64_t ret = 0;
	struct segment *s;

	/* what is emptied would not become free, or is not known to be */
	if (store->nr_images > 0 || store->loads_behind)
		return 0;
	while (nr > most && (s = find_emptiest(table)) && s->live <= left &&
	       has_room(store, ret + s->live)) {
		left -= s->live;
		ret += s->live;
		s->victim = true;
		nr--;
	}
	return ret;
}

/* They stay as they are. */
static void give_up_victims(struct segment_table *table)
{
	for (size_t i = 0; i < table->meta.len; i++)
		table->meta.ptr[i]->victim = false;
}

/*
 * Make node @id dirty if a victim holds it.  Core held; dropped for a fault,
 * and then tried again.  @bytes are still to be moved, and become fewer.
 * False: there is no room for them.
 */
static bool touch_node(struct store *store, uint32_t id, uint64_t *bytes)
{
	struct nodes *nodes = &store->nodes;
	uint32_t missing = 0, length;
	struct node *n;
	int r;

	do {
		if (!node_exists(nodes, id) ||
		    !meta_cleaner_is_victim(store,
					    node_entry(nodes, id)->segno))
			return true;
		if (!checkpoint_fits(store, dirty_bytes(store) + *bytes, 1))
			return false;
		if (nodes_prepare(nodes) < 0)
			return true;
		r = node_get(nodes, id, LEVEL_ANY, &n, &missing, NULL);
	} while (store_look_again(store, missing, &r, NULL));
	if (r == 0) {
		length = node_entry(nodes, id)->length;
		*bytes -= length < *bytes ? length : *bytes;
		node_touch(nodes, n);
	}
	return true;
}

/* After looking at the @i-th: let the others in, now and then.  Core held. */
static void give_way(struct store *store, uint32_t i) NO_THREAD_SAFETY_ANALYSIS
{
	if (i % LOOKS_PER_HOLD)
		return;
	mutex_unlock(&store->core.lock);
	mutex_give_way(&store->core.lock);
	mutex_lock(&store->core.lock);
}

/* None is missed: only a checkpoint changes where a page is.  Core held. */
static void touch_pages(struct store *store, struct page_table *table)
{
	for (uint32_t i = 0; i < table->nr_pages; i++) {
		if (meta_cleaner_is_victim(store, table->pages[i].ref.segno))
			store_touch_page(store, table, i);
		give_way(store, i);
	}
}

bool meta_cleaner_begin(struct store *store)
{
	uint64_t bytes;

	mutex_assert_held(&store->core.lock);
	bytes = choose_victims(store);
	if (bytes == 0)
		return false;
	for (uint32_t id = 1; id < store->nodes.next_id; id++) {
		if (!touch_node(store, id, &bytes)) {
			give_up_victims(&store->segments);
			return false;
		}
		give_way(store, id);
	}
	for (int t = 0; t < NR_TABLES; t++)
		touch_pages(store, store_table(store, t));
	return true;
}
