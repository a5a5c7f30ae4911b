/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stream of segments that is never replayed: META or GC.  One thread fills
 * it, a batch at a time; its segments have no successor.
 *
 * Typical use: segment_stream_next() when segment_stream_room() is 0, fill
 * segment_stream_payload(), segment_stream_begin() and put checksums and
 * entries, segment_stream_write(), segment_stream_advance().
 */
#ifndef STORE_SEGMENT_STREAM_H
#define STORE_SEGMENT_STREAM_H

#include "batch.h"
#include "frames.h"
#include "segment-table.h"

struct segment_stream {
	struct core *core;
	struct frames *frames;
	struct segment_table *segments;
	enum segment_kind kind;
	enum frame_user user;
	uint8_t *memory;	 /* segment header, batch header, payload */
	struct segment *segment; /* being filled; NULL: none yet */
	uint32_t slot;		 /* of the batch being filled */
	uint64_t next_seq;
	uint64_t prev_hash;
};

/* Memory that a stream takes, at most. */
uint64_t segment_stream_bytes(const struct core *core);

/* Batches have at most @nr_payload blocks.  -ENOMEM. */
int segment_stream_init(struct segment_stream *stream, struct core *core,
			struct frames *frames, struct segment_table *segments,
			enum segment_kind kind, enum frame_user user,
			uint32_t nr_payload, struct error *err);
void segment_stream_done(struct segment_stream *stream);

/* Memory of the payload of the batch being filled. */
uint8_t *segment_stream_payload(const struct segment_stream *stream);

/* Payload blocks that the segment has left for a batch; 0: none. */
uint32_t segment_stream_room(const struct segment_stream *stream);

/*
 * Seal the segment being filled, if any, and open the next one.  -ENOSPC: no
 * frame; -EOVERFLOW: no segment number until a checkpoint; -ENOMEM.  Core held.
 */
int segment_stream_next(struct segment_stream *stream, struct error *err);

/* Begin the header of the batch, without entries; it takes a seq. */
struct disk_batch *segment_stream_begin(struct segment_stream *stream);
/*
 * Seal the header and write the batch, with the segment header when it is the
 * first.  Core not held.
 */
int segment_stream_write(struct segment_stream *stream, uint32_t nr_entries,
			 uint32_t nr_payload, struct error *err);
/* The next batch begins behind this one. */
void segment_stream_advance(struct segment_stream *stream, uint32_t nr_payload);

#endif
