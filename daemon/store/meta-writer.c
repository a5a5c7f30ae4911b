/* SPDX-License-Identifier: BSD-2-Clause */
#include "meta-writer.h"

#include <assert.h>
#include <string.h>

#include "checksum.h"

#define RECORD_ALIGN 8u

uint32_t meta_record_max(const struct meta_writer *mw)
{
	return core_batch_payload_max(mw->stream.core) * BLOCK_SIZE;
}

static uint8_t *payload_of(const struct meta_writer *mw)
{
	return segment_stream_payload(&mw->stream);
}

int meta_writer_init(struct meta_writer *mw, struct core *core,
		     struct frames *frames, struct segment_table *segments,
		     struct error *err)
{
	*mw = (struct meta_writer){0};
	return segment_stream_init(&mw->stream, core, frames, segments,
				   SEGMENT_META, FRAME_USER_CHECKPOINT,
				   core_batch_payload_max(core), err);
}

void meta_writer_done(struct meta_writer *mw)
{
	segment_stream_done(&mw->stream);
	*mw = (struct meta_writer){0};
}

void *meta_writer_put(struct meta_writer *mw, uint32_t length,
		      uint64_t *ret_segno, uint32_t *ret_offset)
{
	uint32_t room, start = mw->payload_bytes;
	struct core *core = mw->stream.core;

	mutex_assert_held(&core->lock);
	assert(length > 0 && length <= meta_record_max(mw));
	room = segment_stream_room(&mw->stream);
	if (room == 0)
		return NULL;
	if (room > core_batch_payload_max(core))
		room = core_batch_payload_max(core);
	if (length > room * BLOCK_SIZE - start)
		return NULL;
	if (start == 0) {
		core->unwritten_segno = mw->stream.segment->segno;
		core->unwritten_offset = (mw->stream.slot + 1) * BLOCK_SIZE;
	}
	*ret_segno = mw->stream.segment->segno;
	*ret_offset = (mw->stream.slot + 1) * BLOCK_SIZE + start;
	mw->payload_bytes =
		(uint32_t)round_up_u64(start + length, RECORD_ALIGN);
	if (mw->payload_bytes > room * BLOCK_SIZE)
		mw->payload_bytes = room * BLOCK_SIZE;
	/* cannot fail: the segment is being filled */
	(void)segment_add_meta(mw->stream.segments, *ret_segno, length, NULL);
	return payload_of(mw) + start;
}

static void build_batch(struct meta_writer *mw, uint32_t nr_payload)
{
	struct disk_batch *batch = segment_stream_begin(&mw->stream);
	struct batch_entry entry = {.op = OP_META,
				    .first_block = mw->checkpoint_id &
						   ((UINT64_C(1) << 48) - 1),
				    .count = nr_payload};

	for (uint32_t i = 0; i < nr_payload; i++)
		batch_put_checksum(
			batch, i,
			checksum32(payload_of(mw) + (size_t)i * BLOCK_SIZE,
				   BLOCK_SIZE));
	batch_put_entry(batch, 0, &entry);
}

static int write_batch(struct meta_writer *mw, struct error *err)
{
	uint32_t nr = (uint32_t)bytes_to_blocks_up(mw->payload_bytes);
	struct core *core = mw->stream.core;
	int r;

	memset(payload_of(mw) + mw->payload_bytes, 0,
	       (size_t)nr * BLOCK_SIZE - mw->payload_bytes);
	build_batch(mw, nr);
	r = segment_stream_write(&mw->stream, 1, nr, err);
	if (r < 0) /* its nodes stay in memory, for reads go on */
		return r;
	mutex_lock(&core->lock);
	core->unwritten_segno = 0;
	/* with its header, and that of the segment */
	mw->written_bytes +=
		(uint64_t)(1 + nr + (mw->stream.slot == 1)) * BLOCK_SIZE;
	mutex_unlock(&core->lock);
	segment_stream_advance(&mw->stream, nr);
	mw->payload_bytes = 0;
	memset(payload_of(mw), 0, (size_t)nr * BLOCK_SIZE);
	return 0;
}

/* Does a batch with a record of @length bytes fit what is left? */
static bool segment_has_room(const struct meta_writer *mw, uint32_t length)
{
	return mw->stream.segment &&
	       (length == 0 ||
		bytes_to_blocks_up(length) <= segment_stream_room(&mw->stream));
}

int meta_writer_next(struct meta_writer *mw, uint32_t length, struct error *err)
{
	int r = 0;

	if (mw->payload_bytes > 0) {
		r = write_batch(mw, err);
		/* a failed write is final; -ENOSPC means that a frame lacks */
		if (r < 0)
			return r == -ENOSPC ? -EIO : r;
	}
	if (segment_has_room(mw, length))
		return 0;
	mutex_lock(&mw->stream.core->lock);
	r = segment_stream_next(&mw->stream, err);
	mutex_unlock(&mw->stream.core->lock);
	return r;
}
