/* SPDX-License-Identifier: BSD-2-Clause */
#include "meta-cleaner.h"

/* Live bytes that a checkpoint may move however few frames there are. */
#define BYTES_ALWAYS (1u << 20)
/* META segments that are not worth looking at. */
#define SEGMENTS_MIN 4u
/* Node ids looked at in one hold of core. */
#define IDS_PER_HOLD 1024u

bool meta_cleaner_is_victim(struct store *store, uint64_t segno)
{
	const struct segment *s =
		segno ? segment_find(&store->segments, segno) : NULL;

	return s && s->victim;
}

/*
 * Live bytes that the coming checkpoint moves, at most: as many as it writes
 * anyway, since about so many die elsewhere by that; or half a segment, so
 * that there is always one that fits.  Little when that could take frames
 * that deletes count on; unless data segments are scraped for a few blocks,
 * when a META segment that is half empty is what helps them.
 */
static uint64_t bytes_to_move(const struct store *store)
{
	uint64_t segment_bytes = UINT64_C(1) << store->core.segment_shift;
	uint64_t dirty = dirty_bytes(store);
	uint64_t ret = dirty > segment_bytes / 2 ? dirty : segment_bytes / 2;
	/* an eighth of a segment is headers and what its end leaves */
	uint64_t nr = (dirty + ret) / (segment_bytes / 8 * 7) + 2;

	enum frame_user user = store->cleaner.scraping ? FRAME_USER_CHECKPOINT
						       : FRAME_USER_DELETE;

	if (nr <= store->frames.nr &&
	    frames_available(&store->frames, user, (uint32_t)nr))
		return ret;
	return segment_bytes / 4 < BYTES_ALWAYS ? segment_bytes / 4
						: BYTES_ALWAYS;
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

static bool choose_victims(struct store *store)
{
	struct segment_table *table = &store->segments;
	uint64_t segment_bytes = UINT64_C(1) << store->core.segment_shift;
	bool scraping = store->cleaner.scraping; /* every frame counts */
	uint64_t most = SEGMENTS_MIN + (scraping ? 5 : 8) * table->meta_bytes /
					       segment_bytes / 4;
	uint64_t left = bytes_to_move(store), nr = table->meta.len;
	bool found = false;
	struct segment *s;

	if (store->nr_images > 0) /* what is emptied would not become free */
		return false;
	while (nr > most && (s = find_emptiest(table)) && s->live <= left) {
		left -= s->live;
		s->victim = true;
		found = true;
		nr--;
	}
	return found;
}

/* Make node @id dirty if a victim holds it.  Core held; dropped for a fault,
 * and then tried again. */
static void touch_node(struct store *store, uint32_t id)
{
	struct nodes *nodes = &store->nodes;
	uint32_t missing;
	struct node *n;
	int r = -EAGAIN;

	while (r == -EAGAIN && node_exists(nodes, id) &&
	       meta_cleaner_is_victim(store, node_entry(nodes, id)->segno)) {
		if (nodes_prepare(nodes) < 0)
			return;
		r = node_get(nodes, id, LEVEL_ANY, &n, &missing, NULL);
		if (r == 0)
			node_touch(nodes, n);
		else if (r == -EAGAIN && store_fault(store, id, NULL) < 0)
			return;
	}
}

bool meta_cleaner_begin(struct store *store) NO_THREAD_SAFETY_ANALYSIS
{
	mutex_assert_held(&store->core.lock);
	if (!choose_victims(store))
		return false;
	for (uint32_t id = 1; id < store->nodes.next_id; id++) {
		if (id % IDS_PER_HOLD == 0) { /* let the others in */
			mutex_unlock(&store->core.lock);
			mutex_give_way(&store->core.lock);
			mutex_lock(&store->core.lock);
		}
		touch_node(store, id);
	}
	return true;
}

void meta_cleaner_touch_pages(struct store *store, struct page_table *table)
{
	mutex_assert_held(&store->core.lock);
	for (uint32_t i = 0; i < table->nr_pages; i++)
		if (meta_cleaner_is_victim(store, table->pages[i].ref.segno))
			page_table_touch(table, i);
}
