/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The GC stream: blocks that the cleaner moves, in segments of their own.
 *
 * Typical use, by one thread: for each block gc_writer_ready() and
 * gc_writer_put(); at the end gc_writer_flush().
 *
 * A block counts as moved when it has been written; then, and in one hold of
 * core with the check that its name is still counted and still where it was
 * read, the name gets its forward.  Nothing is synced here: a checkpoint
 * syncs before it names a forward, and until then the source is there (I7).
 * GC segments are never replayed: they have no successor.
 */
#ifndef STORE_GC_WRITER_H
#define STORE_GC_WRITER_H

#include "segment-stream.h"

/* What fits a header: an entry and a checksum for each block. */
#define GC_BATCH_BLOCKS 200u

struct gc_move {
	struct birth name;
	struct pblock from;
};

struct gc_writer {
	struct segment_stream stream;
	uint32_t nr; /* blocks in the batch being filled */
	uint32_t checksums[GC_BATCH_BLOCKS];
	struct gc_move moves[GC_BATCH_BLOCKS];
	uint64_t nr_batches;	/* written, since open */
	uint64_t copied_blocks; /* written, since open; guarded by core */
	uint64_t moved_blocks;	/* of them, forwarded; guarded by core */
};

int gc_writer_init(struct gc_writer *gw, struct core *core,
		   struct frames *frames, struct segment_table *segments,
		   struct error *err);
void gc_writer_done(struct gc_writer *gw);

/*
 * Make room for one block; writes a batch that is full.  -ENOSPC: no frame;
 * -EIO: fail-stop; -ENOMEM.  Core not held.
 */
int gc_writer_ready(struct gc_writer *gw, struct error *err);

/* Add a block that lies at @from; after gc_writer_ready(). */
void gc_writer_put(struct gc_writer *gw, struct birth name, struct pblock from,
		   const void *data, uint32_t checksum);

/* Write what was added and forward it.  Errors as above. */
int gc_writer_flush(struct gc_writer *gw, struct error *err);

#endif
