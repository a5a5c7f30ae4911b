/* SPDX-License-Identifier: BSD-2-Clause */
/* The codec of node table pages. */
#include "node-table.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bytes.h"
#include "map-node.h"
#include "segment.h"

void node_table_page_encode(uint32_t index, const struct node_entry *entries,
			    struct disk_node_table_page *ret)
{
	memset(ret, 0, sizeof(*ret));
	page_header_encode(PAGE_NODE_TABLE, 0, index, PAGE_BYTES, &ret->header);
	for (unsigned int i = 0; i < NODE_TABLE_PAGE_ENTRIES; i++) {
		const struct node_entry *e = &entries[i];

		ret->entries[i] = (struct disk_node_entry){
			.segno = le64_make(e->segno),
			.offset = le32_make(e->offset),
			.length = le16_make(e->length),
			.count = le32_make(e->count),
			.checksum = le32_make(e->checksum),
			.used = le32_make(e->used),
		};
	}
}

/* The length of a record says what it is. */
static int check_length(const struct node_entry *e, struct error *err)
{
	switch (e->length) {
	case NODE_INNER_BYTES:
		return 0;
	case NODE_LEAF_DENSE_BYTES:
	case NODE_LEAF_NEAR_BYTES:
		if (e->used <= LEAF_BLOCKS)
			return 0;
		break;
	case NODE_LEAF_RUN_BYTES:
		if (e->used == LEAF_BLOCKS)
			return 0;
		break;
	default:
		return error_set(err, EUCLEAN, "length %u", e->length);
	}
	return error_set(err, EUCLEAN,
			 "%" PRIu32 " data blocks in a leaf of length %u",
			 e->used, e->length);
}

static int check_entry(const struct disk_node_entry *disk,
		       const struct node_entry *e, uint64_t id,
		       struct error *err)
{
	int r;

	if (e->count == 0) {
		if (!bytes_are_zero(disk, sizeof(*disk)))
			return error_set(err, EUCLEAN,
					 "free, but not all zero");
		return 0;
	}
	if (id == 0 || id > UINT32_MAX)
		return error_set(err, EUCLEAN, "no node has this id");
	if (le16_get(disk->zero) != 0)
		return error_set(err, EUCLEAN, "reserved bytes are not zero");
	r = record_address_check(e->segno, e->offset, e->length,
				 SEGMENT_SHIFT_MAX, err);
	return r < 0 ? r : check_length(e, err);
}

int node_table_page_decode(const void *page, size_t length, uint32_t index,
			   struct node_entry *ret, struct error *err)
{
	struct disk_node_table_page disk;
	int r;

	r = page_header_check(page, length, PAGE_NODE_TABLE, 0, index, err);
	if (r < 0)
		return r;
	if (length != sizeof(disk))
		return error_set(err, EUCLEAN,
				 "node table page %" PRIu32 ": length %zu",
				 index, length);
	memcpy(&disk, page, sizeof(disk));
	if (!bytes_are_zero(disk.zero, sizeof(disk.zero)))
		return error_set(err, EUCLEAN,
				 "node table page %" PRIu32
				 ": reserved bytes are not zero",
				 index);
	for (unsigned int i = 0; i < NODE_TABLE_PAGE_ENTRIES; i++) {
		const struct disk_node_entry *d = &disk.entries[i];
		uint64_t id = (uint64_t)index * NODE_TABLE_PAGE_ENTRIES + i;

		ret[i] = (struct node_entry){
			.segno = le64_get(d->segno),
			.offset = le32_get(d->offset),
			.length = le16_get(d->length),
			.count = le32_get(d->count),
			.checksum = le32_get(d->checksum),
			.used = le32_get(d->used),
		};
		r = check_entry(d, &ret[i], id, err);
		if (r < 0) {
			(void)error_prefix(err,
					   "node table page %" PRIu32
					   ": node %" PRIu64,
					   index, id);
			return r;
		}
	}
	return 0;
}
