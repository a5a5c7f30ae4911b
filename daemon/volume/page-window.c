/* SPDX-License-Identifier: BSD-2-Clause */
#include "page-window.h"

#include <stdlib.h>

#include "checksum.h"
#include "read-ahead.h"

static int compare_places(const void *a, const void *b)
{
	const struct page_ref *x = &((const struct page_order *)a)->ref;
	const struct page_ref *y = &((const struct page_order *)b)->ref;

	if (x->segno != y->segno)
		return x->segno < y->segno ? -1 : 1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

int page_order_get(const struct page_table *table, uint32_t nr_pages,
		   struct page_order_vector *ret)
{
	mutex_assert_held(&table->core->lock);
	for (uint32_t i = 0; i < nr_pages; i++) {
		struct page_order page = {table->pages[i].ref, i};

		if (page.ref.segno && page_order_vector_push(ret, page) < 0)
			return -ENOMEM;
	}
	if (table->kind != TABLE_REAPER && ret->len > 0)
		qsort(ret->ptr, ret->len, sizeof(*ret->ptr), compare_places);
	return 0;
}

const void *page_window_find(const struct page_window *w, uint64_t place,
			     const struct page_ref *ref)
{
	const uint8_t *ret = w->data;

	if (w->length == 0 || w->place != place || ref->offset < w->offset ||
	    ref->length > w->length ||
	    ref->offset - w->offset > w->length - ref->length)
		return NULL;
	ret += ref->offset - w->offset;
	return checksum64(ret, ref->length) == ref->checksum ? ret : NULL;
}

void page_window_move(struct page_window *w, const struct core *core,
		      uint64_t place, const struct page_order *pages, size_t nr)
{
	uint32_t begin = pages->ref.offset, end = 0;
	uint32_t most = core->nr_slots * BLOCK_SIZE;

	for (size_t i = 0; i < nr; i++) {
		const struct page_ref *ref = &pages[i].ref;

		if (ref->segno != pages->ref.segno || ref->offset < end ||
		    ref->offset >= most || ref->length > most - ref->offset ||
		    ref->offset + ref->length - begin > PAGE_WINDOW_BYTES ||
		    (i > 0 && ref->offset - end > READ_AHEAD_GAP_BYTES))
			break;
		end = ref->offset + ref->length;
	}
	w->length = 0;
	/* what cannot be read is met again, by itself */
	if (end == 0 || backend_read(core->be, place, begin, w->data,
				     end - begin, 0, NULL) < 0)
		return;
	w->place = place;
	w->offset = begin;
	w->length = end - begin;
}
