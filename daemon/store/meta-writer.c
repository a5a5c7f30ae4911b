/* SPDX-License-Identifier: BSD-2-Clause */
#include "meta-writer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"

#define RECORD_ALIGN 8u

uint32_t meta_record_max(const struct meta_writer *mw)
{
	return core_batch_payload_max(mw->core) * BLOCK_SIZE;
}

static uint8_t *payload_of(const struct meta_writer *mw)
{
	return mw->memory + SEGMENT_HEADER_SIZE + BATCH_HEADER_SIZE;
}

int meta_writer_init(struct meta_writer *mw, struct core *core,
		     struct frames *frames, struct segment_table *segments,
		     struct error *err)
{
	size_t bytes;

	*mw = (struct meta_writer){.core = core,
				   .frames = frames,
				   .segments = segments,
				   .user = FRAME_USER_CHECKPOINT,
				   .next_seq = 1};
	bytes = SEGMENT_HEADER_SIZE + BATCH_HEADER_SIZE +
		(size_t)core_batch_payload_max(mw->core) * BLOCK_SIZE;
	mw->memory = aligned_alloc(BLOCK_SIZE, bytes);
	if (!mw->memory)
		return error_set(err, ENOMEM, "out of memory");
	memset(mw->memory, 0, bytes);
	return 0;
}

void meta_writer_done(struct meta_writer *mw)
{
	free(mw->memory);
	*mw = (struct meta_writer){0};
}

void *meta_writer_put(struct meta_writer *mw, uint32_t length,
		      uint64_t *ret_segno, uint32_t *ret_offset)
{
	uint32_t room, start = mw->payload_bytes;

	mutex_assert_held(&mw->core->lock);
	assert(length > 0 && length <= meta_record_max(mw));
	if (!mw->segment || mw->slot + 1 >= mw->core->nr_slots)
		return NULL;
	room = mw->core->nr_slots - mw->slot - 1;
	if (room > core_batch_payload_max(mw->core))
		room = core_batch_payload_max(mw->core);
	if (length > room * BLOCK_SIZE - start)
		return NULL;
	if (start == 0) {
		mw->core->unwritten_segno = mw->segment->segno;
		mw->core->unwritten_offset = (mw->slot + 1) * BLOCK_SIZE;
	}
	*ret_segno = mw->segment->segno;
	*ret_offset = (mw->slot + 1) * BLOCK_SIZE + start;
	mw->payload_bytes =
		(uint32_t)round_up_u64(start + length, RECORD_ALIGN);
	if (mw->payload_bytes > room * BLOCK_SIZE)
		mw->payload_bytes = room * BLOCK_SIZE;
	/* cannot fail: the segment is being filled */
	(void)segment_add_meta(mw->segments, *ret_segno, length, NULL);
	return payload_of(mw) + start;
}

static void build_header(struct meta_writer *mw, uint32_t nr_payload)
{
	struct disk_batch *batch =
		(struct disk_batch *)(mw->memory + SEGMENT_HEADER_SIZE);
	struct batch_entry entry = {.op = OP_META,
				    .first_block = mw->checkpoint_id &
						   ((UINT64_C(1) << 48) - 1),
				    .count = nr_payload};
	struct batch_header header = {
		.kind = SEGMENT_META,
		.seq = mw->next_seq++,
		.segno = mw->segment->segno,
		.slot = mw->slot,
		.incarnation = mw->core->incarnation,
		.prev_hash = mw->prev_hash,
	};

	memcpy(header.uuid, mw->core->uuid, sizeof(header.uuid));
	batch_init(batch, &header);
	for (uint32_t i = 0; i < nr_payload; i++)
		batch_put_checksum(
			batch, i,
			checksum32(payload_of(mw) + (size_t)i * BLOCK_SIZE,
				   BLOCK_SIZE));
	batch_put_entry(batch, 0, &entry);
	mw->prev_hash = batch_seal(batch, 1, nr_payload, 0, clock_ns());
}

static void build_segment_header(struct meta_writer *mw)
{
	struct segment_header header = {
		.kind = SEGMENT_META,
		.segno = mw->segment->segno,
		.place = mw->segment->place,
		.incarnation = mw->core->incarnation,
		.first_seq = mw->next_seq,
		.time_ns = clock_ns(),
		.next_place = PLACE_NONE,
	};

	memcpy(header.uuid, mw->core->uuid, sizeof(header.uuid));
	segment_header_encode(&header,
			      (struct disk_segment_header *)mw->memory);
}

static int write_batch(struct meta_writer *mw, struct error *err)
{
	uint32_t nr = (uint32_t)bytes_to_blocks_up(mw->payload_bytes);
	bool first = mw->slot == 1;
	struct iovec iov = {
		.iov_base = mw->memory + (first ? 0 : SEGMENT_HEADER_SIZE),
		.iov_len = (size_t)(1 + nr + (first ? 1 : 0)) * BLOCK_SIZE,
	};
	int r;

	memset(payload_of(mw) + mw->payload_bytes, 0,
	       (size_t)nr * BLOCK_SIZE - mw->payload_bytes);
	if (first)
		build_segment_header(mw);
	build_header(mw, nr);
	r = backend_write(mw->core->be, mw->segment->place,
			  (first ? 0 : mw->slot) * BLOCK_SIZE, &iov, 1, err);
	if (r < 0) /* its nodes stay in memory, for reads go on */
		return r;
	mutex_lock(&mw->core->lock);
	mw->core->unwritten_segno = 0;
	mutex_unlock(&mw->core->lock);
	mw->slot += 1 + nr;
	mw->payload_bytes = 0;
	memset(payload_of(mw), 0, (size_t)nr * BLOCK_SIZE);
	return 0;
}

/* Core held. */
static int open_segment(struct meta_writer *mw, struct error *err)
{
	struct segment *s;

	mutex_assert_held(&mw->core->lock);
	if (segment_table_prepare(mw->segments) < 0)
		return error_set(err, ENOMEM, "out of memory");
	s = segment_new(mw->core, SEGMENT_META);
	if (!s)
		return error_set(err, ENOMEM, "out of memory");
	s->place = frames_take(mw->frames, mw->user);
	if (s->place == PLACE_NONE) {
		segment_free(s);
		return error_set(err, ENOSPC, "no frame for metadata");
	}
	s->segno = core_new_segno(mw->core);
	if (s->segno == 0) {
		frames_release(mw->frames, s->place);
		segment_free(s);
		return error_set(err, ENOSPC, "no segment number left");
	}
	s->first_seq = mw->next_seq;
	segment_insert(mw->segments, s);
	mw->segment = s;
	mw->slot = 1;
	return 0;
}

/* Does a batch with a record of @length bytes fit what is left? */
static bool segment_has_room(const struct meta_writer *mw, uint32_t length)
{
	if (!mw->segment)
		return false;
	return length == 0 ||
	       mw->slot + 1 + bytes_to_blocks_up(length) <= mw->core->nr_slots;
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
	mutex_lock(&mw->core->lock);
	if (mw->segment)
		segment_seal(mw->segments, mw->segment, mw->next_seq - 1);
	mw->segment = NULL;
	r = open_segment(mw, err);
	mutex_unlock(&mw->core->lock);
	return r;
}
