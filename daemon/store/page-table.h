/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The paged tables of a checkpoint, in memory: which pages exist, where
 * their newest version lies and which of them are dirty.
 *
 * NOTES ON THE DESIGN.  A page is clean, dirty (its content changed since the
 * last cut) or pending (it was dirty at the cut of the running checkpoint,
 * which has not written it yet); it may be dirty and pending at once.  The
 * content of a page is whatever its owner's encode function says at the
 * moment.  The owner calls page_table_touch() BEFORE it changes anything the
 * function would encode: a pending page is then encoded as of the cut and
 * the image kept for the checkpoint (freeze on first touch).
 */
#ifndef STORE_PAGE_TABLE_H
#define STORE_PAGE_TABLE_H

#include <stddef.h>

#include "checkpoint.h"
#include "core.h"
#include "vector.h"

DEFINE_VECTOR(index_vector, uint32_t);

/*
 * Encode page @index into @ret (PAGE_BYTES_MAX bytes); returns its length, 0
 * when the page does not exist.  Lock: core held.
 */
typedef size_t page_encode_fn(void *owner, uint32_t index, void *ret);

struct page {
	struct page_ref ref;  /* newest version on disk; segno 0: none */
	uint64_t generation;  /* dirty when it is core.generation */
	void *image;	      /* as of the cut, when touched since */
	uint32_t image_bytes; /* 0: the page did not exist */
	bool pending;
	bool frozen; /* image and image_bytes are set */
};

struct page_table {
	struct core *core;
	enum table kind;
	page_encode_fn *encode;
	void *owner;
	struct page *pages;
	uint32_t nr_pages, cap;
	struct index_vector dirty;
	struct index_vector pending;
	struct page_ref *directories;
	uint32_t nr_directories;
	uint8_t *scratch; /* PAGE_BYTES_MAX, for images */
};

int page_table_init(struct page_table *table, struct core *core,
		    enum table kind, page_encode_fn *encode, void *owner);
void page_table_done(struct page_table *table);

/* Make pages 0..nr_pages-1 known.  -ENOMEM.  Lock: core held. */
int page_table_grow(struct page_table *table, uint32_t nr_pages);

/*
 * Page @index is about to change.  When memory for an image is missing the
 * store becomes fail-stop, so that the checkpoint that needed it never
 * completes.  Lock: core held.
 */
void page_table_touch(struct page_table *table, uint32_t index);

/* Has page @index changed since the last cut?  Lock: core held. */
static inline bool page_table_is_dirty(const struct page_table *table,
				       uint32_t index)
{
	return table->pages[index].generation == table->core->generation;
}

/* The cut: what is dirty becomes pending.  Lock: core held. */
void page_table_cut(struct page_table *table);

#endif
