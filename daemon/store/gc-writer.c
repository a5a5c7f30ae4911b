/* SPDX-License-Identifier: BSD-2-Clause */
#include "gc-writer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Names forwarded per hold of core. */
#define MOVES_PER_HOLD 32u

static uint8_t *payload_of(const struct gc_writer *gw)
{
	return gw->memory + SEGMENT_HEADER_SIZE + BATCH_HEADER_SIZE;
}

int gc_writer_init(struct gc_writer *gw, struct core *core,
		   struct frames *frames, struct segment_table *segments,
		   struct error *err)
{
	size_t bytes = SEGMENT_HEADER_SIZE + BATCH_HEADER_SIZE +
		       (size_t)GC_BATCH_BLOCKS * BLOCK_SIZE;

	*gw = (struct gc_writer){.core = core,
				 .frames = frames,
				 .segments = segments,
				 .next_seq = 1};
	gw->memory = aligned_alloc(BLOCK_SIZE, bytes);
	if (!gw->memory)
		return error_set(err, ENOMEM, "out of memory");
	memset(gw->memory, 0, bytes);
	return 0;
}

void gc_writer_done(struct gc_writer *gw)
{
	free(gw->memory);
	*gw = (struct gc_writer){0};
}

/* ---- the batch ---- */

static void build_segment_header(struct gc_writer *gw)
{
	struct segment_header header = {
		.kind = SEGMENT_GC,
		.segno = gw->segment->segno,
		.place = gw->segment->place,
		.incarnation = gw->core->incarnation,
		.first_seq = gw->next_seq,
		.time_ns = clock_ns(),
		.next_place = PLACE_NONE,
	};

	memcpy(header.uuid, gw->core->uuid, sizeof(header.uuid));
	segment_header_encode(&header,
			      (struct disk_segment_header *)gw->memory);
}

static void build_header(struct gc_writer *gw)
{
	struct disk_batch *batch =
		(struct disk_batch *)(gw->memory + SEGMENT_HEADER_SIZE);
	struct batch_header header = {
		.kind = SEGMENT_GC,
		.seq = gw->next_seq++,
		.segno = gw->segment->segno,
		.slot = gw->slot,
		.incarnation = gw->core->incarnation,
		.prev_hash = gw->prev_hash,
	};

	memcpy(header.uuid, gw->core->uuid, sizeof(header.uuid));
	batch_init(batch, &header);
	for (uint32_t i = 0; i < gw->nr; i++) {
		struct batch_entry entry =
			batch_entry_gcmove(gw->moves[i].name);

		batch_put_checksum(batch, i, gw->checksums[i]);
		batch_put_entry(batch, i, &entry);
	}
	gw->prev_hash = batch_seal(batch, gw->nr, gw->nr, 0, clock_ns());
}

static int write_batch(struct gc_writer *gw, struct error *err)
{
	bool first = gw->slot == 1;
	struct iovec iov = {
		.iov_base = gw->memory + (first ? 0 : SEGMENT_HEADER_SIZE),
		.iov_len = (size_t)(1 + gw->nr + (first ? 1 : 0)) * BLOCK_SIZE,
	};

	if (first)
		build_segment_header(gw);
	build_header(gw);
	return backend_write(gw->core->be, gw->segment->place,
			     (first ? 0 : gw->slot) * BLOCK_SIZE, &iov, 1, err);
}

/* ---- the segment ---- */

/* Core held. */
static int open_segment(struct gc_writer *gw, struct error *err)
{
	struct segment *s;

	mutex_assert_held(&gw->core->lock);
	if (segment_table_prepare(gw->segments) < 0)
		return error_set(err, ENOMEM, "out of memory");
	s = segment_new(gw->core, SEGMENT_GC);
	if (!s)
		return error_set(err, ENOMEM, "out of memory");
	s->place = frames_take(gw->frames, FRAME_USER_CLEANER);
	if (s->place == PLACE_NONE) {
		segment_free(s);
		return error_set(err, ENOSPC, "no frame for the cleaner");
	}
	s->segno = core_new_segno(gw->core);
	if (s->segno == 0) {
		frames_release(gw->frames, s->place);
		segment_free(s);
		return error_set(err, ENOSPC, "no segment number left");
	}
	s->first_seq = gw->next_seq;
	segment_insert(gw->segments, s);
	gw->segment = s;
	gw->slot = 1;
	return 0;
}

/* Blocks that the batch being filled can take. */
static uint32_t room(const struct gc_writer *gw)
{
	uint32_t left;

	if (!gw->segment || gw->slot + 1 >= gw->core->nr_slots)
		return 0;
	left = gw->core->nr_slots - gw->slot - 1;
	return left < GC_BATCH_BLOCKS ? left : GC_BATCH_BLOCKS;
}

int gc_writer_ready(struct gc_writer *gw, struct error *err)
{
	int r = 0;

	if (gw->nr > 0 && gw->nr == room(gw))
		r = gc_writer_flush(gw, err);
	if (r < 0 || room(gw) > 0)
		return r;
	mutex_lock(&gw->core->lock);
	r = core_check(gw->core, err);
	if (r == 0 && gw->segment)
		segment_seal(gw->segments, gw->segment, gw->next_seq - 1);
	if (r == 0) {
		gw->segment = NULL;
		r = open_segment(gw, err);
	}
	mutex_unlock(&gw->core->lock);
	return r;
}

void gc_writer_put(struct gc_writer *gw, struct birth name, struct pblock from,
		   const void *data, uint32_t checksum)
{
	assert(gw->nr < room(gw));
	memcpy(payload_of(gw) + (size_t)gw->nr * BLOCK_SIZE, data, BLOCK_SIZE);
	gw->checksums[gw->nr] = checksum;
	gw->moves[gw->nr++] = (struct gc_move){.name = name, .from = from};
}

/* ---- forward ---- */

/* Forward blocks @i .. @end of the batch at @slot, now written. */
static int forward_some(struct gc_writer *gw, uint32_t i, uint32_t end,
			struct error *err)
{
	struct core *core = gw->core;
	int r;

	mutex_lock(&core->lock);
	r = core_check(core, err);
	for (; r == 0 && i < end; i++) {
		struct birth name = gw->moves[i].name;
		struct segment *s =
			segment_find(gw->segments, birth_segno(name));

		if (!s)
			continue;
		if (forward_reserve(s, 1) < 0 ||
		    segment_table_prepare(gw->segments) < 0)
			r = error_set(err, ENOMEM, "out of memory");
		else
			gw->moved_blocks += forward_set(
				gw->segments, name, gw->moves[i].from,
				pblock_make(gw->segment->segno,
					    gw->slot + 1 + i));
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
	mutex_lock(&gw->core->lock);
	if (r < 0)
		core_fail(gw->core, &failure);
	else
		gw->copied_blocks += nr;
	r = core_check(gw->core, err);
	mutex_unlock(&gw->core->lock);
	for (uint32_t i = 0; r == 0 && i < nr; i += MOVES_PER_HOLD)
		r = forward_some(
			gw, i,
			i + MOVES_PER_HOLD < nr ? i + MOVES_PER_HOLD : nr, err);
	/* what was not forwarded is still where it was */
	gw->nr_batches++;
	gw->slot += 1 + nr;
	gw->nr = 0;
	return r;
}
