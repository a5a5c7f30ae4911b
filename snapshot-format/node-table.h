/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The node table: node id -> record, count, checksum and number of data
 * blocks below.  A page holds 145 entries.  See FORMAT.md, Node table.
 */
#ifndef FORMAT_NODE_TABLE_H
#define FORMAT_NODE_TABLE_H

#include <stddef.h>

#include "checkpoint.h"
#include "error.h"
#include "le.h"

#define NODE_TABLE_PAGE_ENTRIES 145u

struct disk_node_entry {
	le64 segno; /* of the META segment; 0: never written or free */
	le32 offset;
	le16 length;
	le16 zero;
	le32 count; /* 0: free */
	le32 checksum;
	le32 used; /* data blocks below, each leaf entry counted */
};
_Static_assert(sizeof(struct disk_node_entry) == 28,
	       "see FORMAT.md, Node table");

struct disk_node_table_page {
	struct disk_page_header header;
	struct disk_node_entry entries[NODE_TABLE_PAGE_ENTRIES];
	uint8_t zero[20];
};
_Static_assert(sizeof(struct disk_node_table_page) == 4096,
	       "see FORMAT.md, Node table");

struct node_entry {
	uint64_t segno;
	uint32_t offset;
	uint16_t length;
	uint32_t count;
	uint32_t checksum;
	uint32_t used;
};

/* @entries: NODE_TABLE_PAGE_ENTRIES of them. */
void node_table_page_encode(uint32_t index, const struct node_entry *entries,
			    struct disk_node_table_page *ret);
int node_table_page_decode(const void *page, size_t length, uint32_t index,
			   struct node_entry *ret, struct error *err);

#endif
