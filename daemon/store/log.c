/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "clock.h"

/* Batches that one hold may open: what is left of the open one, the next,
 * and the first of the next segment. */
#define BATCHES_PER_HOLD 3
#define IDLE_MS 1000u
#define SMALL_ROUND_BYTES (64u << 10)

/* In a read-only store segments exist in memory only, at places beyond all
 * frames: a read that misses the buffers is refused. */
#define PLACE_MEMORY (UINT64_MAX - 1)

static struct disk_batch *batch_of(const struct log_buffer *b)
{
	return (struct disk_batch *)(b->memory + SEGMENT_HEADER_SIZE);
}

static uint8_t *payload_of(const struct log_buffer *b, uint32_t index)
{
	return b->memory + SEGMENT_HEADER_SIZE + BATCH_HEADER_SIZE +
	       (size_t)index * BLOCK_SIZE;
}

uint32_t log_piece_max(const struct log *log)
{
	uint32_t most = log->core->nr_slots - 2;

	return most < LEAF_BLOCKS ? most : LEAF_BLOCKS;
}

/* ---- segments ---- */

/* A DATA segment with a segno and a frame of its own, or NULL. */
static struct segment *new_segment(struct log *log, enum frame_user user)
{
	struct core *core = log->core;
	struct segment *s = segment_new(core, SEGMENT_DATA);

	mutex_assert_held(&core->lock);
	if (!s)
		return NULL;
	s->place =
		core->read_only ? PLACE_MEMORY : frames_take(log->frames, user);
	if (s->place == PLACE_NONE) {
		segment_free(s);
		return NULL;
	}
	s->segno = core_new_segno(core);
	if (s->segno == 0) {
		if (!core->read_only)
			frames_release(log->frames, s->place);
		segment_free(s);
		return NULL;
	}
	return s;
}

static void start_segment(struct log *log, struct segment *s)
{
	mutex_assert_held(&log->core->lock);
	log->current = s;
	log->slot = 1;
	s->first_seq = log->next_seq;
	segment_insert(log->segments, s);
}

/* The current segment is full: go on in its successor. */
static void next_segment(struct log *log)
{
	mutex_assert_held(&log->core->lock);
	assert(!log->open);
	assert(log->spare); /* log_ready() */
	segment_seal(log->segments, log->current, log->next_seq - 1);
	start_segment(log, log->successor);
	log->successor = log->spare;
	log->spare = NULL;
}

static void put_segment_header(struct log *log, struct log_buffer *b)
{
	struct segment_header header = {
		.kind = SEGMENT_DATA,
		.segno = log->current->segno,
		.place = log->current->place,
		.incarnation = log->core->incarnation,
		.first_seq = b->seq,
		.time_ns = clock_ns(),
		.next_segno = log->successor->segno,
		.next_place = log->successor->place,
	};

	memcpy(header.uuid, log->core->uuid, sizeof(header.uuid));
	segment_header_encode(&header, (struct disk_segment_header *)b->memory);
}

/* ---- batches ---- */

static struct log_buffer *buffer_of(struct log *log, uint64_t seq)
{
	return &log->buffers[seq % log->nr_buffers];
}

static void open_batch(struct log *log, uint32_t nr_payload)
{
	uint32_t room = log->core->nr_slots - log->slot;
	struct batch_header header;
	struct log_buffer *b;

	mutex_assert_held(&log->core->lock);
	assert(!log->open);
	if (room < 1 + (nr_payload ? nr_payload : 1)) {
		next_segment(log);
		room = log->core->nr_slots - log->slot;
	}
	b = buffer_of(log, log->next_seq);
	assert(b->pins == 0);
	assert(b->state == BATCH_EMPTY || b->state == BATCH_WRITTEN);
	b->seq = log->next_seq++;
	b->segno = log->current->segno;
	b->place = log->current->place;
	b->slot = log->slot;
	b->nr_entries = 0;
	b->nr_payload = 0;
	b->payload_max = room - 1 < core_batch_payload_max(log->core)
				 ? room - 1
				 : core_batch_payload_max(log->core);
	b->state = BATCH_OPEN;
	if (b->slot == 1)
		put_segment_header(log, b);
	header = (struct batch_header){
		.kind = SEGMENT_DATA,
		.seq = b->seq,
		.segno = b->segno,
		.slot = b->slot,
		.incarnation = log->core->incarnation,
		.prev_hash = log->prev_hash,
		.durable_seq = log->durable_seq,
		.time_ns = log->time_ns,
	};
	memcpy(header.uuid, log->core->uuid, sizeof(header.uuid));
	batch_init(batch_of(b), &header);
	log->open = b;
}

void log_seal(struct log *log)
{
	struct log_buffer *b = log->open;
	uint64_t now = clock_ns();

	mutex_assert_held(&log->core->lock);
	if (!b)
		return;
	if (now > log->time_ns)
		log->time_ns = now;
	log->prev_hash = batch_seal(batch_of(b), b->nr_entries, b->nr_payload,
				    log->durable_seq, log->time_ns);
	log->advertised_seq = log->durable_seq;
	log->sealed_seq = b->seq;
	log->slot = b->slot + 1 + b->nr_payload;
	log->bytes += (uint64_t)(1 + b->nr_payload) * BLOCK_SIZE;
	log->unflushed_bytes += (uint64_t)(1 + b->nr_payload) * BLOCK_SIZE;
	b->state = BATCH_SEALED;
	log->open = NULL;
}

/* The open batch, with room for one more entry and @nr_payload blocks. */
static struct log_buffer *batch_with_room(struct log *log, uint32_t nr_payload)
{
	struct log_buffer *b = log->open;

	if (b && (b->nr_payload + nr_payload > b->payload_max ||
		  !batch_has_room(b->nr_entries, b->nr_payload + nr_payload))) {
		log_seal(log);
		core_wake(log->core, WORKER_WRITER);
	}
	if (!log->open)
		open_batch(log, nr_payload);
	return log->open;
}

static void put_entry(struct log_buffer *b, const struct batch_entry *entry)
{
	batch_put_entry(batch_of(b), b->nr_entries, entry);
	b->nr_payload += batch_entry_payload(entry);
	b->nr_entries++;
	batch_publish(batch_of(b), b->nr_entries, b->nr_payload);
}

uint32_t log_append_write(struct log *log, uint32_t volume, struct vblock first,
			  uint32_t nr, const void *data,
			  const uint32_t *checksums, struct birth *ret_name)
{
	struct batch_entry entry = {
		.op = OP_WRITE, .volume = volume, .first_block = first.index};
	struct log_buffer *b;

	mutex_assert_held(&log->core->lock);
	assert(nr > 0);
	b = batch_with_room(log, 1);
	while (nr > 1 && (b->nr_payload + nr > b->payload_max ||
			  !batch_has_room(b->nr_entries, b->nr_payload + nr)))
		nr--;
	memcpy(payload_of(b, b->nr_payload), data, (size_t)nr * BLOCK_SIZE);
	for (uint32_t i = 0; i < nr; i++)
		batch_put_checksum(batch_of(b), b->nr_payload + i,
				   checksums[i]);
	*ret_name = birth_make(b->segno, b->slot + 1 + b->nr_payload);
	entry.count = nr;
	put_entry(b, &entry);
	return nr;
}

void log_append_range(struct log *log, enum op op, uint32_t volume,
		      struct vblock first, uint32_t nr)
{
	struct batch_entry entry = {.op = op,
				    .volume = volume,
				    .first_block = first.index,
				    .count = nr};

	mutex_assert_held(&log->core->lock);
	put_entry(batch_with_room(log, 0), &entry);
}

void log_append_operation(struct log *log, enum op op, const void *payload,
			  uint32_t nr_blocks)
{
	struct batch_entry entry = {.op = op, .count = nr_blocks};
	struct log_buffer *b;

	mutex_assert_held(&log->core->lock);
	assert(nr_blocks > 0 && nr_blocks <= core_batch_payload_max(log->core));
	b = batch_with_room(log, nr_blocks);
	memcpy(payload_of(b, b->nr_payload), payload,
	       (size_t)nr_blocks * BLOCK_SIZE);
	for (uint32_t i = 0; i < nr_blocks; i++)
		batch_put_checksum(batch_of(b), b->nr_payload + i,
				   checksum32((const uint8_t *)payload +
						      (size_t)i * BLOCK_SIZE,
					      BLOCK_SIZE));
	put_entry(b, &entry);
}

uint64_t log_seq(const struct log *log)
{
	return log->next_seq - 1;
}

void log_position(const struct log *log, struct log_position *ret)
{
	const struct segment *s = log->current;
	uint32_t slot = log->slot;

	assert(!log->open);
	if (log->core->nr_slots - slot < 2) {
		s = log->successor;
		slot = 1;
	}
	*ret = (struct log_position){
		.segno = s->segno,
		.slot = slot,
		.seq = log->next_seq,
		.prev_hash = log->prev_hash,
		.incarnation = log->core->incarnation,
		.place = s->place,
	};
}

/* ---- room ---- */

static bool buffers_free(const struct log *log)
{
	if (log->next_seq + BATCHES_PER_HOLD - 1 >
	    log->written_seq + log->nr_buffers)
		return false;
	for (uint32_t i = 0; i < BATCHES_PER_HOLD; i++)
		if (log->buffers[(log->next_seq + i) % log->nr_buffers].pins)
			return false;
	return true;
}

int log_ready(struct log *log, enum frame_user user, struct error *err)
{
	struct core *core = log->core;
	int r;

	mutex_assert_held(&core->lock);
	r = core_check(core, err);
	if (r < 0)
		return r;
	if (!buffers_free(log)) {
		if (!log_write_one(log))
			cond_wait(&core->changed, &core->lock);
		return -EAGAIN;
	}
	if (segment_table_prepare(log->segments) < 0)
		return error_set(err, ENOMEM, "out of memory");
	if (!core->read_only &&
	    !frames_available(log->frames, user, log->spare ? 0 : 1))
		return error_set(err, ENOSPC, "store is full");
	if (!log->spare) {
		log->spare = new_segment(log, user);
		if (!log->spare)
			return error_set(err, ENOSPC, "no segment to write to");
	}
	return 0;
}

void log_begin_segment(struct log *log)
{
	struct log_position at;

	mutex_assert_held(&log->core->lock);
	log_position(log, &at);
	if (at.slot > 1 || !buffers_free(log) || log->core->failed)
		return;
	if (at.segno != log->current->segno &&
	    (!log->spare || segment_table_prepare(log->segments) < 0))
		return;
	open_batch(log, 0);
	log_seal(log);
}

/* ---- writing ---- */

static int write_batch(struct log *log, const struct log_buffer *b,
		       struct error *err)
{
	bool first = b->slot == 1; /* the segment header goes with it */
	struct iovec iov = {
		.iov_base = b->memory + (first ? 0 : SEGMENT_HEADER_SIZE),
		.iov_len = (size_t)(1 + b->nr_payload + (first ? 1 : 0)) *
			   BLOCK_SIZE,
	};

	return backend_write(log->core->be, b->place,
			     (first ? 0 : b->slot) * BLOCK_SIZE, &iov, 1, err);
}

static struct log_buffer *oldest_sealed(struct log *log)
{
	for (uint64_t seq = log->written_seq + 1; seq <= log->sealed_seq;
	     seq++) {
		struct log_buffer *b = buffer_of(log, seq);

		assert(b->seq == seq);
		if (b->state == BATCH_SEALED)
			return b;
	}
	return NULL;
}

bool log_write_one(struct log *log) NO_THREAD_SAFETY_ANALYSIS
{
	struct core *core = log->core;
	struct error err = ERROR_NONE;
	struct log_buffer *b;
	int r;

	mutex_assert_held(&core->lock);
	if (core->read_only || core->failed)
		return false;
	b = oldest_sealed(log);
	if (!b)
		return false;
	b->state = BATCH_WRITING;
	mutex_unlock(&core->lock);

	r = write_batch(log, b, &err);

	mutex_lock(&core->lock);
	if (r < 0) {
		b->state = BATCH_SEALED; /* fail-stop: nobody claims it */
		core_fail(core, &err);
		return true;
	}
	b->state = BATCH_WRITTEN;
	while (log->written_seq < log->sealed_seq &&
	       buffer_of(log, log->written_seq + 1)->state == BATCH_WRITTEN)
		log->written_seq++;
	cond_broadcast(&core->changed);
	return true;
}

int log_write_upto(struct log *log, uint64_t seq, struct error *err)
{
	struct core *core = log->core;
	int r;

	mutex_assert_held(&core->lock);
	while (log->written_seq < seq) {
		r = core_check(core, err);
		if (r < 0)
			return r;
		if (!log_write_one(log))
			cond_wait(&core->changed, &core->lock);
	}
	return core_check(core, err);
}

/* ---- flush ---- */

/* The leader's round.  Both locks held; core is dropped for I/O. */
static int flush_round(struct log *log,
		       struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	struct core *core = log->core;
	struct error sync_err = ERROR_NONE;
	uint64_t seq;
	int r;

	mutex_assert_held(&core->lock);
	log_seal(log);
	log->round_bytes = (3 * log->round_bytes + log->unflushed_bytes) / 4;
	log->unflushed_bytes = 0;
	seq = log->sealed_seq;
	r = log_write_upto(log, seq, err);
	if (r < 0)
		return r;
	mutex_unlock(&core->lock);

	r = backend_sync(core->be, &sync_err);

	mutex_lock(&core->lock);
	if (r < 0) {
		core_fail(core, &sync_err);
		return core_check(core, err);
	}
	r = core_check(core, err);
	if (r < 0)
		return r;
	if (log->durable_seq < seq)
		log->durable_seq = seq;
	log->flushed_at_ms = monotonic_ms();
	if (!log->timer_armed) {
		log->timer_armed = true;
		core_wake(core, WORKER_WRITER);
	}
	return 0;
}

int log_flush_upto(struct log *log, uint64_t seq, struct error *err)
{
	struct core *core = log->core;
	int r = 0;

	if (core->read_only)
		return 0;
	mutex_lock(&log->flush_lock);
	mutex_lock(&core->lock);
	if (log->durable_seq < seq)
		r = flush_round(log, err);
	else
		r = core_check(core, err);
	mutex_unlock(&core->lock);
	mutex_unlock(&log->flush_lock);
	return r;
}

int log_flush(struct log *log, struct error *err)
{
	uint64_t seq;

	mutex_lock(&log->core->lock);
	seq = log_seq(log);
	mutex_unlock(&log->core->lock);
	return log_flush_upto(log, seq, err);
}

bool log_flushes_are_small(const struct log *log)
{
	mutex_assert_held(&log->core->lock);
	return log->round_bytes > 0 && log->round_bytes < SMALL_ROUND_BYTES &&
	       log->unflushed_bytes < SMALL_ROUND_BYTES * 16;
}

void log_advertise_durable(struct log *log)
{
	mutex_assert_held(&log->core->lock);
	if (log->core->failed || log->open ||
	    log->durable_seq <= log->advertised_seq ||
	    log->durable_seq != log->sealed_seq ||
	    monotonic_ms() < log->flushed_at_ms + IDLE_MS)
		return;
	if (log_ready(log, FRAME_USER_METADATA, NULL) < 0)
		return;
	open_batch(log, 0);
	log_seal(log);
	(void)log_write_one(log); /* a failure is a fail-stop */
}

/* ---- reading ---- */

struct log_buffer *log_pin(struct log *log, uint64_t segno, uint32_t slot,
			   const uint8_t **ret_data)
{
	mutex_assert_held(&log->core->lock);
	for (uint32_t i = 0; i < log->nr_buffers; i++) {
		struct log_buffer *b = &log->buffers[i];

		if (b->state == BATCH_EMPTY || b->segno != segno ||
		    slot <= b->slot || slot > b->slot + b->nr_payload)
			continue;
		b->pins++;
		*ret_data = payload_of(b, slot - b->slot - 1);
		return b;
	}
	return NULL;
}

void log_unpin(struct log *log, struct log_buffer *b)
{
	mutex_assert_held(&log->core->lock);
	assert(b->pins > 0);
	if (--b->pins == 0)
		cond_broadcast(&log->core->changed);
}

/* ---- open and close ---- */

static int take_first_segments(struct log *log, struct error *err)
{
	if (segment_table_prepare(log->segments) < 0)
		return error_set(err, ENOMEM, "out of memory");
	log->spare = new_segment(log, FRAME_USER_RECOVERY);
	log->successor = new_segment(log, FRAME_USER_RECOVERY);
	if (!log->spare || !log->successor)
		return error_set(err, ENOSPC, "no frame for the log");
	start_segment(log, log->spare);
	log->spare = NULL;
	return 0;
}

int log_init(struct log *log, struct core *core, struct frames *frames,
	     struct segment_table *segments, const char *const *tail_dirs,
	     uint32_t nr_buffers, struct error *err)
{
	struct tail_owner owner;
	uint32_t buffer_bytes;
	int r;

	*log = (struct log){
		.core = core,
		.frames = frames,
		.segments = segments,
		.nr_buffers = nr_buffers,
	};
	assert(nr_buffers > BATCHES_PER_HOLD);
	mutex_init(&log->flush_lock, LOCK_FLUSH);
	buffer_bytes = SEGMENT_HEADER_SIZE + BATCH_HEADER_SIZE +
		       core_batch_payload_max(log->core) * BLOCK_SIZE;
	core_tail_owner(core, &owner);
	r = tail_file_create(core->read_only ? NULL : tail_dirs, &owner,
			     core->incarnation, nr_buffers, buffer_bytes,
			     &log->tail, err);
	if (r < 0)
		return r;
	log->buffers = calloc(nr_buffers, sizeof(*log->buffers));
	if (!log->buffers)
		return error_set(err, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < nr_buffers; i++)
		log->buffers[i].memory =
			log->tail.buffers + (size_t)i * buffer_bytes;
	return 0;
}

int log_start(struct log *log, uint64_t next_seq, uint64_t prev_hash,
	      uint64_t time_ns, struct error *err)
{
	int r;

	assert(next_seq > 0);
	mutex_lock(&log->core->lock);
	log->next_seq = next_seq;
	log->sealed_seq = next_seq - 1;
	log->written_seq = next_seq - 1;
	log->durable_seq = next_seq - 1;
	log->advertised_seq = next_seq - 1;
	log->prev_hash = prev_hash;
	log->time_ns = time_ns;
	r = take_first_segments(log, err);
	mutex_unlock(&log->core->lock);
	return r;
}

void log_done(struct log *log)
{
	if (!log->core)
		return;
	/* current belongs to the segment table */
	segment_free(log->successor);
	segment_free(log->spare);
	free(log->buffers);
	tail_file_done(&log->tail);
	mutex_done(&log->flush_lock);
	*log = (struct log){0};
}
