/* SPDX-License-Identifier: BSD-2-Clause */
#include "gc-writer.h"

#include <assert.h>
#include <string.h>

/* Names forwarded per hold of core. */
#define MOVES_PER_HOLD 32u

int gc_writer_init(struct gc_writer *gw, struct core *core,
		   struct frames *frames, struct segment_table *segments,
		   struct error *err)
{
	*gw = (struct gc_writer){0};
	return segment_stream_init(&gw->stream, core, frames, segments,
				   SEGMENT_GC, FRAME_USER_CLEANER,
				   GC_BATCH_BLOCKS, err);
}

void gc_writer_done(struct gc_writer *gw)
{
	segment_stream_done(&gw->stream);
	*gw = (struct gc_writer){0};
}

static int write_batch(struct gc_writer *gw, struct error *err)
{
	struct disk_batch *batch = segment_stream_begin(&gw->stream);

	for (uint32_t i = 0; i < gw->nr; i++) {
		struct batch_entry entry =
			batch_entry_gcmove(gw->moves[i].name);

		batch_put_checksum(batch, i, gw->checksums[i]);
		batch_put_entry(batch, i, &entry);
	}
	return segment_stream_write(&gw->stream, gw->nr, gw->nr, err);
}

/* Blocks that the batch being filled can take. */
static uint32_t room(const struct gc_writer *gw)
{
	uint32_t left = segment_stream_room(&gw->stream);

	return left < GC_BATCH_BLOCKS ? left : GC_BATCH_BLOCKS;
}

int gc_writer_ready(struct gc_writer *gw, struct error *err)
{
	struct core *core = gw->stream.core;
	int r = 0;

	if (gw->nr > 0 && gw->nr == room(gw))
		r = gc_writer_flush(gw, err);
	if (r < 0 || room(gw) > 0)
		return r;
	mutex_lock(&core->lock);
	r = core_check(core, err);
	if (r == 0)
		r = segment_stream_next(&gw->stream, err);
	mutex_unlock(&core->lock);
	return r;
}

void gc_writer_put(struct gc_writer *gw, struct birth name, struct pblock from,
		   const void *data, uint32_t checksum)
{
	assert(gw->nr < room(gw));
	memcpy(segment_stream_payload(&gw->stream) +
		       (size_t)gw->nr * BLOCK_SIZE,
	       data, BLOCK_SIZE);
	gw->checksums[gw->nr] = checksum;
	gw->moves[gw->nr++] = (struct gc_move){.name = name, .from = from};
}

/* ---- forward ---- */

/* Forward blocks @i .. @end of the batch at @slot, now written. */
static int forward_some(struct gc_writer *gw, uint32_t i, uint32_t end,
			struct error *err)
{
	struct core *core = gw->stream.core;
	int r;

	mutex_lock(&core->lock);
	r = core_check(core, err);
	for (; r == 0 && i < end; i++) {
		struct birth name = gw->moves[i].name;
		struct segment *s =
			segment_find(gw->stream.segments, birth_segno(name));

		if (!s)
			continue;
		if (forward_reserve(s, 1) < 0 ||
		    segment_table_prepare(gw->stream.segments) < 0)
			r = error_set(err, ENOMEM, "out of memory");
		else
			gw->moved_blocks += forward_set(
				gw->stream.segments, name, gw->moves[i].from,
				pblock_make(gw->stream.segment->segno,
					    gw->stream.slot + 1 + i));
	}
	mutex_unlock(&core->lock);
	mutex_give_way(&core->lock);
	return r;
}

int gc_writer_flush(struct gc_writer *gw, struct error *err)
{
	struct error failure = ERROR_NONE;
	uint32_t nr = gw->nr;
	int r;

	if (nr == 0)
		return 0;
	r = write_batch(gw, &failure);
	mutex_lock(&gw->stream.core->lock);
	if (r < 0)
		core_fail(gw->stream.core, &failure);
	else
		gw->copied_blocks += nr;
	r = core_check(gw->stream.core, err);
	mutex_unlock(&gw->stream.core->lock);
	for (uint32_t i = 0; r == 0 && i < nr; i += MOVES_PER_HOLD)
		r = forward_some(
			gw, i,
			i + MOVES_PER_HOLD < nr ? i + MOVES_PER_HOLD : nr, err);
	/* what was not forwarded is still where it was */
	gw->nr_batches++;
	segment_stream_advance(&gw->stream, nr);
	gw->nr = 0;
	return r;
}
