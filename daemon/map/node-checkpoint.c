/* SPDX-License-Identifier: BSD-2-Clause */
/* What a checkpoint does with nodes: the cut, their records, freed ids. */
#include "node-internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void nodes_cut(struct nodes *nodes)
{
	struct node_vector empty = nodes->pending;
	struct index_vector ids = nodes->freed_at_cut;

	mutex_assert_held(&nodes->core->lock);
	for (size_t i = 0; i < nodes->dirty.len; i++)
		if (nodes->dirty.ptr[i])
			nodes->dirty.ptr[i]->pending = true;
	empty.len = 0;
	nodes->pending = nodes->dirty;
	nodes->dirty = empty;
	nodes->dirty_bytes = 0;
	assert(ids.len == 0);
	nodes->freed_at_cut = nodes->freed;
	nodes->freed = ids;
}

void nodes_checkpoint_done(struct nodes *nodes)
{
	mutex_assert_held(&nodes->core->lock);
	for (size_t i = 0; i < nodes->freed_at_cut.len; i++) {
		/* an id that is not remembered is never used again: harmless */
		if (index_vector_push(&nodes->free_ids,
				      nodes->freed_at_cut.ptr[i]) < 0)
			break;
	}
	nodes->freed_at_cut.len = 0;
	nodes->pending.len = 0;
}

uint32_t node_encode_pending(const struct node *n, void *ret,
			     uint32_t *ret_hash)
{
	assert(n->pending);
	if (!n->image)
		return node_encode_now(n, ret, ret_hash);
	memcpy(ret, n->image, n->image_bytes);
	*ret_hash = n->image_hash;
	return n->image_bytes;
}

/* The page was frozen: the record's address belongs into its image too. */
static void patch_image(struct nodes *nodes, uint32_t id,
			const struct node_entry *e)
{
	struct page *page = &nodes->pages.pages[id / NODE_TABLE_PAGE_ENTRIES];
	struct disk_node_table_page *image = page->image;
	struct disk_node_entry *disk;

	assert(page->pending);
	if (!page->frozen)
		return;
	disk = &image->entries[id % NODE_TABLE_PAGE_ENTRIES];
	disk->segno = le64_make(e->segno);
	disk->offset = le32_make(e->offset);
	disk->length = le16_make(e->length);
	disk->checksum = le32_make(e->checksum);
}

void node_written(struct nodes *nodes, struct node *n, uint64_t segno,
		  uint32_t offset, uint32_t length, uint32_t hash)
{
	struct node_entry where = {.segno = segno,
				   .offset = offset,
				   .length = (uint16_t)length,
				   .checksum = hash};
	struct node_entry *e;

	mutex_assert_held(&nodes->core->lock);
	patch_image(nodes, n->id, &where);
	node_drop_image(nodes, n);
	n->pending = false;
	if (n->zombie) {
		segment_drop_meta(nodes->segments, segno, length);
		node_release(nodes, n);
		return;
	}
	e = node_entry(nodes, n->id);
	if (e->segno)
		(void)segment_add_meta(nodes->segments, e->segno,
				       -(int64_t)e->length, NULL);
	e->segno = segno;
	e->offset = offset;
	e->length = (uint16_t)length;
	e->checksum = hash;
}
