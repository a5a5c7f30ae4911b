/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loading the pages of a table in the order in which they lie there: those
 * that one checkpoint wrote lie side by side, and one read gets many of them.
 */
#ifndef VOLUME_PAGE_WINDOW_H
#define VOLUME_PAGE_WINDOW_H

#include "page-table.h"

struct page_order {
	struct page_ref ref;
	uint32_t index;
};

DEFINE_VECTOR(page_order_vector, struct page_order);

#define PAGE_WINDOW_BYTES (128u << 10)

/* What was read last. */
struct page_window {
	uint64_t place;
	uint32_t offset, length; /* length 0: nothing */
	uint8_t data[PAGE_WINDOW_BYTES];
};

/*
 * Those of the first @nr_pages pages of @table that are on disk; the reaper's
 * queue keeps its order.  -ENOMEM.  Core held.
 */
int page_order_get(const struct page_table *table, uint32_t nr_pages,
		   struct page_order_vector *ret);

/*
 * The record that @ref names, in a META segment at @place, when it is in the
 * window and verifies; else NULL.  No lock needed.
 */
const void *page_window_find(const struct page_window *w, uint64_t place,
			     const struct page_ref *ref);

/*
 * Fill it from the first of @pages on, which lies at @place, as far as those
 * behind it lie there, too.  What cannot be read is not in it.  No lock
 * needed; reads.
 */
void page_window_move(struct page_window *w, const struct core *core,
		      uint64_t place, const struct page_order *pages,
		      size_t nr);

#endif
