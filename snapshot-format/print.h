/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Structures as text, one per line of `key value` pairs, for `varve dump`
 * and FORMAT.md's worked example.  Prints into a caller's buffer; returns
 * the length like snprintf.
 */
#ifndef FORMAT_PRINT_H
#define FORMAT_PRINT_H

#include <stddef.h>

#include "batch.h"
#include "checkpoint.h"
#include "map-node.h"
#include "node-table.h"
#include "operation.h"
#include "segment-info.h"
#include "segment.h"
#include "superblock.h"
#include "volume-record.h"

#define UUID_TEXT_BYTES 37

/* 8-4-4-4-12 hex digits and a zero byte. */
void uuid_format(const uint8_t uuid[16], char ret[UUID_TEXT_BYTES]);
/* RFC 3339 in UTC with seconds: 2026-11-22T13:00:00Z. */
#define TIME_TEXT_BYTES 32
void time_format(uint64_t time_ns, char ret[TIME_TEXT_BYTES]);

const char *op_name(enum op op);
const char *segment_kind_name(enum segment_kind kind);

int superblock_print(const struct superblock *sb, char *ret, size_t size);
int segment_header_print(const struct segment_header *h, char *ret,
			 size_t size);
int batch_header_print(const struct batch_header *h, char *ret, size_t size);
int batch_entry_print(const struct batch_entry *e, char *ret, size_t size);
int node_entry_print(uint32_t id, const struct node_entry *e, char *ret,
		     size_t size);
int segment_info_print(const struct segment_info *info, char *ret, size_t size);
int volume_record_print(const struct volume_record *r, char *ret, size_t size);
int operation_item_print(const struct operation_item *item, char *ret,
			 size_t size);
int root_print(const struct root *root, char *ret, size_t size);

#endif
