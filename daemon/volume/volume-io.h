/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Byte ranges of a volume, inside its size (the caller has checked).  Each
 * function may block; core is not held.  *ret_seq is set to the batch that
 * holds what was logged last; it keeps its value when nothing was.
 */
#ifndef VOLUME_VOLUME_IO_H
#define VOLUME_VOLUME_IO_H

#include "store.h"

/* A client's request on its way through its pieces; begins as zeros. */
struct request {
	uint64_t seq;	      /* batch that holds what was logged last */
	uint64_t deadline_ms; /* of waiting for space, for all of it */
};

/*
 * @nr whole blocks, all of one leaf; *ret_entry (may be NULL) is the entry of
 * the first as it was read.
 */
int volume_read_blocks(struct store *store, struct volume *v,
		       struct vblock first, uint32_t nr, uint8_t *ret,
		       struct leaf_entry *ret_entry, struct error *err);
int volume_read_range(struct store *store, struct volume *v, uint8_t *ret,
		      uint64_t length, uint64_t offset, struct error *err);
int volume_write_range(struct store *store, struct volume *v,
		       const uint8_t *data, uint64_t length, uint64_t offset,
		       struct request *request, struct error *err);
int volume_zero_range(struct store *store, struct volume *v, uint64_t length,
		      uint64_t offset, struct request *request,
		      struct error *err);
/* Whole blocks become holes; @op: OP_ZERO or OP_TRIM. */
int volume_clear_range(struct store *store, struct volume *v, enum op op,
		       uint64_t nr_blocks, struct vblock first,
		       struct request *request, struct error *err);

#endif
