/* SPDX-License-Identifier: BSD-2-Clause */
#include "page-table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int page_table_init(struct page_table *table, struct core *core,
		    enum table kind, page_encode_fn *encode, void *owner)
{
	*table = (struct page_table){
		.core = core, .kind = kind, .encode = encode, .owner = owner};
	table->scratch = malloc(PAGE_BYTES_MAX);
	return table->scratch ? 0 : -ENOMEM;
}

void page_table_done(struct page_table *table)
{
	for (uint32_t i = 0; i < table->nr_pages; i++)
		free(table->pages[i].image);
	free(table->pages);
	free(table->directories);
	free(table->scratch);
	index_vector_done(&table->dirty);
	index_vector_done(&table->pending);
	*table = (struct page_table){0};
}

int page_table_grow(struct page_table *table, uint32_t nr_pages)
{
	if (nr_pages > table->cap) {
		uint32_t cap = table->cap ? table->cap : 16;
		struct page *pages;

		while (cap < nr_pages)
			cap *= 2;
		pages = reallocarray(table->pages, cap, sizeof(*pages));
		if (!pages)
			return -ENOMEM;
		memset(pages + table->cap, 0,
		       (cap - table->cap) * sizeof(*pages));
		table->pages = pages;
		table->cap = cap;
	}
	if (nr_pages > table->nr_pages)
		table->nr_pages = nr_pages;
	return 0;
}

static void page_freeze(struct page_table *table, struct page *page,
			uint32_t index)
{
	size_t length;

	mutex_assert_held(&table->core->lock);
	length = table->encode(table->owner, index, table->scratch);
	assert(length <= PAGE_BYTES_MAX);
	if (length > 0) {
		page->image = malloc(length);
		if (!page->image) {
			core_fail_nomem(table->core);
			return;
		}
		memcpy(page->image, table->scratch, length);
	}
	page->image_bytes = (uint32_t)length;
	page->frozen = true;
}

void page_table_touch(struct page_table *table, uint32_t index)
{
	struct page *page;

	mutex_assert_held(&table->core->lock);
	assert(index < table->nr_pages);
	page = &table->pages[index];
	if (page->generation == table->core->generation)
		return;
	if (page->pending && !page->frozen)
		page_freeze(table, page, index);
	if (index_vector_push(&table->dirty, index) < 0) {
		core_fail_nomem(table->core);
		return;
	}
	page->generation = table->core->generation;
}

void page_table_cut(struct page_table *table)
{
	struct index_vector empty = table->pending;

	mutex_assert_held(&table->core->lock);
	for (size_t i = 0; i < table->dirty.len; i++) {
		struct page *page = &table->pages[table->dirty.ptr[i]];

		assert(!page->pending && !page->frozen);
		page->pending = true;
	}
	empty.len = 0;
	table->pending = table->dirty;
	table->dirty = empty;
}
