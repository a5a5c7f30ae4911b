/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The META stream: metadata records packed into batches of META segments.
 *
 * Only the checkpoint driver uses it, one at a time (admin lock).  A record
 * gets its address when it is put into the batch being filled; the batch is
 * written when the next record does not fit, and at the end.  META segments
 * are never replayed: they have no successor.
 */
#ifndef STORE_META_WRITER_H
#define STORE_META_WRITER_H

#include "segment-stream.h"
#include "log.h"

struct meta_writer {
	struct segment_stream stream;
	uint32_t payload_bytes;
	uint64_t checkpoint_id;
	uint64_t written_bytes; /* since open; guarded by core */
};

int meta_writer_init(struct meta_writer *mw, struct core *core,
		     struct frames *frames, struct segment_table *segments,
		     struct error *err);
void meta_writer_done(struct meta_writer *mw);

/* Longest record. */
uint32_t meta_record_max(const struct meta_writer *mw);

/*
 * Room for a record of @length bytes in the batch being filled: its memory
 * and address, and the bytes are counted as live.  NULL: no room, call
 * meta_writer_next() and try again.  Core held.
 */
void *meta_writer_put(struct meta_writer *mw, uint32_t length,
		      uint64_t *ret_segno, uint32_t *ret_offset);

/*
 * Write the batch being filled, if it holds anything, and start the next one,
 * in a new segment when a record of @length bytes does not fit this one (0:
 * no further record is planned).
 * -ENOSPC: no frame; -EIO.  Core not held.
 */
int meta_writer_next(struct meta_writer *mw, uint32_t length,
		     struct error *err);

#endif
