/* SPDX-License-Identifier: BSD-2-Clause */
#include "segment-stream.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

static size_t memory_bytes(uint32_t nr_payload)
{
	return SEGMENT_HEADER_SIZE + BATCH_HEADER_SIZE +
	       (size_t)nr_payload * BLOCK_SIZE;
}

uint64_t segment_stream_bytes(const struct core *core)
{
	return memory_bytes(core_batch_payload_max(core));
}

int segment_stream_init(struct segment_stream *stream, struct core *core,
			struct frames *frames, struct segment_table *segments,
			enum segment_kind kind, enum frame_user user,
			uint32_t nr_payload, struct error *err)
{
	size_t bytes = memory_bytes(nr_payload);

	*stream = (struct segment_stream){.core = core,
					  .frames = frames,
					  .segments = segments,
					  .kind = kind,
					  .user = user,
					  .next_seq = 1};
	stream->memory = aligned_alloc(BLOCK_SIZE, bytes);
	if (!stream->memory)
		return error_set(err, ENOMEM, "out of memory");
	memset(stream->memory, 0, bytes);
	return 0;
}

void segment_stream_done(struct segment_stream *stream)
{
	free(stream->memory);
	*stream = (struct segment_stream){0};
}

static struct disk_batch *batch_of(const struct segment_stream *stream)
{
	return (struct disk_batch *)(stream->memory + SEGMENT_HEADER_SIZE);
}

uint8_t *segment_stream_payload(const struct segment_stream *stream)
{
	return stream->memory + SEGMENT_HEADER_SIZE + BATCH_HEADER_SIZE;
}

uint32_t segment_stream_room(const struct segment_stream *stream)
{
	if (!stream->segment || stream->slot + 1 >= stream->core->nr_slots)
		return 0;
	return stream->core->nr_slots - stream->slot - 1;
}

/* ---- segments ---- */

static int open_segment(struct segment_stream *stream, struct error *err)
{
	struct core *core = stream->core;
	struct segment *s;

	mutex_assert_held(&core->lock);
	if (segment_table_prepare(stream->segments) < 0)
		return error_set(err, ENOMEM, "out of memory");
	s = segment_new(core, stream->kind);
	if (!s)
		return error_set(err, ENOMEM, "out of memory");
	s->place = frames_take(stream->frames, stream->user);
	if (s->place == PLACE_NONE) {
		segment_free(s);
		return error_set(err, ENOSPC, "no frame for %s",
				 stream->kind == SEGMENT_META ? "metadata"
							      : "the cleaner");
	}
	s->segno = core_new_segno(core);
	if (s->segno == 0) {
		frames_release(stream->frames, s->place);
		segment_free(s);
		return error_set(err, EOVERFLOW, "no segment number left");
	}
	s->first_seq = stream->next_seq;
	segment_insert(stream->segments, s);
	stream->segment = s;
	stream->slot = 1;
	return 0;
}

int segment_stream_next(struct segment_stream *stream, struct error *err)
{
	if (stream->segment)
		segment_seal(stream->segments, stream->segment,
			     stream->next_seq - 1);
	stream->segment = NULL;
	return open_segment(stream, err);
}

/* ---- batches ---- */

/* Before the first batch takes its seq. */
static void build_segment_header(struct segment_stream *stream)
{
	struct segment_header header = {
		.kind = stream->kind,
		.segno = stream->segment->segno,
		.place = stream->segment->place,
		.incarnation = stream->core->incarnation,
		.first_seq = stream->next_seq,
		.time_ns = clock_ns(),
		.next_place = PLACE_NONE,
	};

	memcpy(header.uuid, stream->core->uuid, sizeof(header.uuid));
	segment_header_encode(&header,
			      (struct disk_segment_header *)stream->memory);
}

struct disk_batch *segment_stream_begin(struct segment_stream *stream)
{
	struct batch_header header = {
		.kind = stream->kind,
		.segno = stream->segment->segno,
		.slot = stream->slot,
		.incarnation = stream->core->incarnation,
		.prev_hash = stream->prev_hash,
	};

	if (stream->slot == 1)
		build_segment_header(stream);
	header.seq = stream->next_seq++;
	memcpy(header.uuid, stream->core->uuid, sizeof(header.uuid));
	batch_init(batch_of(stream), &header);
	return batch_of(stream);
}

int segment_stream_write(struct segment_stream *stream, uint32_t nr_entries,
			 uint32_t nr_payload, struct error *err)
{
	bool first = stream->slot == 1;
	struct iovec iov = {
		.iov_base = stream->memory + (first ? 0 : SEGMENT_HEADER_SIZE),
		.iov_len =
			(size_t)(1 + nr_payload + (first ? 1 : 0)) * BLOCK_SIZE,
	};

	stream->prev_hash = batch_seal(batch_of(stream), nr_entries, nr_payload,
				       0, clock_ns());
	return backend_write(stream->core->be, stream->segment->place,
			     (first ? 0 : stream->slot) * BLOCK_SIZE, &iov, 1,
			     err);
}

void segment_stream_advance(struct segment_stream *stream, uint32_t nr_payload)
{
	stream->slot += 1 + nr_payload;
}
