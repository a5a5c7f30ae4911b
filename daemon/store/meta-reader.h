/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading what META segments hold: records that a page_ref names. */
#ifndef STORE_META_READER_H
#define STORE_META_READER_H

#include "page-table.h"
#include "segment-table.h"

/*
 * Read and verify the record that @ref names, in a segment at @place, into
 * malloc'ed *ret.  -EBADMSG, -EIO, -ENOMEM.  No lock needed.
 */
int meta_record_read(struct backend *be, uint64_t place,
		     const struct page_ref *ref, void **ret, struct error *err);

/* The segment it is in.  -EUCLEAN: in no META segment.  Core held. */
int meta_record_find(struct segment_table *table, const struct page_ref *ref,
		     struct segment **ret, struct error *err);

/*
 * Both, and count the record as live.  Core held, during the read, too: for
 * tables that are being loaded.
 */
int meta_record_load(struct segment_table *table, const struct page_ref *ref,
		     void **ret, struct error *err);

#endif
