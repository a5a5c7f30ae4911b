/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NOTES ON THE DESIGN OF THE WALK
 *
 * Pass 1 goes from header to header.  A header fits when it decodes, is of
 * this store, segment, slot, incarnation and seq, and holds the hash of the
 * header before it.  Where none fits, slot 1 of the successor named by the
 * segment's header is tried, and the previous hash decides; a segment whose
 * header is lost has its successor looked for in the frames that the log may
 * have taken.  D is the largest durable_seq met: a header's durable_seq is a
 * fact even when its own payload is torn.
 * Pass 2 verifies the payload of every batch above D and of every metadata
 * operation.  E is the last batch before the first failure.  Meanwhile whoever
 * has the log walked is told of all batches: what a replay needs can be read
 * while a thread verifies.
 *
 * Torn or damaged?  After a crash nothing that was durable is missing.  So an
 * end before D proves damage, and so does any later header of this tail with
 * seq and durable_seq beyond E.  It is looked for in the rest of the segment
 * and in the chain of successors.  Where the log may have gone on and nothing
 * says where to, it is looked for in those frames: that is after the last
 * slot of a segment whose successor shows nothing, or whose header is lost.
 * What cannot be told apart: damage to the last flushed round itself, which
 * looks torn; therefore an idle store appends a header that carries its
 * durable_seq.
 */
#include "log-walk.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"

struct walk {
	struct backend *be;
	const struct superblock *sb;
	const struct log_walker *walker; /* NULL: all frames may hold the log */
	struct log_tail *tail;
	uint32_t nr_slots;
	uint32_t nr_hinted; /* headers ahead that may be on their way */
	bool drop_cache;
	bool none_is_ours; /* the frames were searched: no log of this tail */
	/* where the next header should be */
	uint64_t segno, place, seq, prev_hash;
	uint32_t slot;
};

static int read_block(const struct walk *w, uint64_t place, uint32_t slot,
		      void *ret, struct error *err)
{
	return backend_read(w->be, place, slot * BLOCK_SIZE, ret, BLOCK_SIZE, 0,
			    err);
}

/* A valid DATA header of this store and this tail's incarnation. */
static bool header_is_ours(const struct walk *w, const struct disk_batch *disk,
			   struct batch_header *ret)
{
	return batch_decode(disk, ret, NULL) == 0 &&
	       ret->kind == SEGMENT_DATA &&
	       memcmp(ret->uuid, w->sb->uuid, sizeof(ret->uuid)) == 0 &&
	       ret->incarnation == w->sb->log.incarnation;
}

static bool header_fits(const struct walk *w, const struct batch_header *h,
			uint64_t segno, uint32_t slot)
{
	return h->segno == segno && h->slot == slot && h->seq == w->seq &&
	       h->prev_hash == w->prev_hash &&
	       slot + 1 + h->nr_payload <= w->nr_slots;
}

/*
 * Most batches of a busy log are full, and so of one length: the headers
 * behind this one probably are where they would be then.
 */
#define HEADERS_AHEAD 16u

static void hint_headers(struct walk *w, const struct batch_header *h)
{
	uint32_t step = 1 + h->nr_payload, slot = h->slot + step;

	if (w->nr_hinted > 0 && h->slot > 1) {
		w->nr_hinted--;
		return;
	}
	for (uint32_t i = 0; i < HEADERS_AHEAD && slot < w->nr_slots; i++) {
		backend_will_read(w->be, w->place, slot * BLOCK_SIZE,
				  BLOCK_SIZE);
		slot += step;
	}
	w->nr_hinted = HEADERS_AHEAD;
}

static bool has_operation(const struct disk_batch *disk,
			  const struct batch_header *h)
{
	struct batch_entry e;

	for (uint32_t i = 0; i < h->nr_entries; i++)
		if (batch_get_entry(disk, i, h->kind, &e, NULL) == 0 &&
		    op_is_metadata(e.op))
			return true;
	return false;
}

static int walk_add(struct walk *w, const struct disk_batch *disk,
		    const struct batch_header *h, uint64_t place,
		    struct error *err)
{
	struct log_batch b = {
		.segno = h->segno,
		.place = place,
		.seq = h->seq,
		.hash = h->hash,
		.time_ns = h->time_ns,
		.slot = h->slot,
		.nr_payload = h->nr_payload,
		.has_operation = has_operation(disk, h),
	};

	if (log_batch_vector_push(&w->tail->batches, b) < 0)
		return error_set(err, ENOMEM, "out of memory");
	if (h->durable_seq > w->tail->durable_seq)
		w->tail->durable_seq = h->durable_seq;
	w->segno = h->segno;
	w->place = place;
	w->slot = h->slot + 1 + h->nr_payload;
	w->seq = h->seq + 1;
	w->prev_hash = h->hash;
	hint_headers(w, h);
	return 0;
}

/* The header of segment @segno in @place, when it is there and ours. */
static bool read_segment_header(const struct walk *w, uint64_t place,
				uint64_t segno, struct segment_header *ret)
{
	struct disk_segment_header disk;

	return place < w->be->nr_frames &&
	       read_block(w, place, 0, &disk, NULL) == 0 &&
	       segment_header_decode(&disk, place, ret, NULL) == 0 &&
	       ret->segno == segno && ret->kind == SEGMENT_DATA &&
	       ret->incarnation == w->sb->log.incarnation &&
	       memcmp(ret->uuid, w->sb->uuid, sizeof(ret->uuid)) == 0;
}

/* The successor it names; false when it is not there or names none. */
static bool find_successor(const struct walk *w, uint64_t place, uint64_t segno,
			   uint64_t *ret_segno, uint64_t *ret_place)
{
	struct segment_header h;

	if (!read_segment_header(w, place, segno, &h) ||
	    h.next_place >= w->be->nr_frames || h.next_segno == 0)
		return false;
	*ret_segno = h.next_segno;
	*ret_place = h.next_place;
	return true;
}

/*
 * What the page cache says of pages whose sync failed is not what the disk
 * holds: the walk believes only the disk.
 */
static int enter_segment(const struct walk *w, uint64_t place,
			 struct error *err)
{
	int r = 0;

	if (w->drop_cache)
		r = backend_drop_cache(w->be, place, err);
	/* its header, and that of its first batch */
	backend_will_read(w->be, place, 0, 2 * BLOCK_SIZE);
	return r;
}

/*
 * What may have been grown since the checkpoint, or while the one after it
 * ran, is among the first frames that the map does not call allocated.
 */
#define GROWN_BYTES_MAX (UINT64_C(4) << 30)
#define GROWN_FRAMES_MIN 1024u

/* Frames in which the log may have gone on, one after the other. */
struct frame_search {
	uint64_t next;
	uint64_t nr_unallocated;
};

static bool frame_search_next(const struct walk *w, struct frame_search *search,
			      uint64_t *ret)
{
	uint64_t most =
		(GROWN_BYTES_MAX >> w->be->segment_shift) + GROWN_FRAMES_MIN;

	const struct frames *frames = NULL;

	if (w->walker)
		frames = w->walker->frames(w->walker->owner);
	while (search->next < w->be->nr_frames) {
		*ret = search->next++;
		if (!frames)
			return true;
		if (frames_is_used(frames, *ret))
			continue;
		if (frames_is_allocated(frames, *ret) ||
		    search->nr_unallocated++ < most)
			return true;
	}
	return false;
}

/*
 * Does frame @place begin with a segment of this tail?  Its header may be
 * lost: then the first batch tells.  A frame that cannot be read does not.
 */
static bool frame_is_ours(const struct walk *w, uint64_t place,
			  struct batch_header *ret)
{
	struct disk_batch disk;

	return read_block(w, place, 1, &disk, NULL) == 0 &&
	       header_is_ours(w, &disk, ret) && ret->slot == 1;
}

/* All the frames will be looked at: not one after the other. */
static void hint_frames(const struct walk *w)
{
	struct frame_search search = {0};
	uint64_t place;

	while (frame_search_next(w, &search, &place))
		backend_will_read(w->be, place, BLOCK_SIZE, BLOCK_SIZE);
}

/*
 * The successor of a segment whose header is lost: the frame whose first
 * batch fits.
 */
static bool search_successor(struct walk *w, uint64_t *ret_segno,
			     uint64_t *ret_place)
{
	struct frame_search search = {0};
	struct segment_header header;
	struct batch_header h;
	bool is_ours = false;
	uint64_t place;

	if (read_segment_header(w, w->place, w->segno, &header))
		return false;
	hint_frames(w);
	while (frame_search_next(w, &search, &place)) {
		if (!frame_is_ours(w, place, &h))
			continue;
		is_ours = true;
		if (h.segno > w->segno && header_fits(w, &h, h.segno, 1)) {
			*ret_segno = h.segno;
			*ret_place = place;
			return true;
		}
	}
	w->none_is_ours = !is_ours;
	return false;
}

/* One step; *ret_end when no header fits. */
static int walk_step(struct walk *w, bool *ret_end, struct error *err)
{
	struct disk_batch disk;
	struct batch_header h;
	uint64_t segno, place;
	int r;

	*ret_end = false;
	if (w->slot < w->nr_slots) {
		r = read_block(w, w->place, w->slot, &disk, err);
		if (r < 0)
			return r;
		if (header_is_ours(w, &disk, &h) &&
		    header_fits(w, &h, w->segno, w->slot))
			return walk_add(w, &disk, &h, w->place, err);
	}
	*ret_end = true;
	if (!find_successor(w, w->place, w->segno, &segno, &place) &&
	    !search_successor(w, &segno, &place))
		return 0;
	r = enter_segment(w, place, err);
	if (r == 0)
		r = read_block(w, place, 1, &disk, err);
	if (r < 0)
		return r;
	if (!header_is_ours(w, &disk, &h) || !header_fits(w, &h, segno, 1))
		return 0;
	*ret_end = false;
	return walk_add(w, &disk, &h, place, err);
}

/* ---- pass 2 ---- */

int log_tail_read_header(struct backend *be, const struct log_batch *b,
			 struct disk_batch *ret,
			 struct batch_header *ret_header, struct error *err)
{
	int r;

	r = backend_read(be, b->place, b->slot * BLOCK_SIZE, ret, BLOCK_SIZE, 0,
			 err);
	if (r == 0)
		r = batch_decode(ret, ret_header, err);
	if (r == 0 && ret_header->hash != b->hash)
		r = error_set(err, EUCLEAN,
			      "batch %" PRIu64 " changed under the walk",
			      b->seq);
	return r;
}

static int payload_is_good(const struct walk *w, const struct log_batch *b,
			   uint8_t *memory, bool *ret, struct error *err)
{
	struct disk_batch disk;
	struct batch_header h;
	int r;

	r = log_tail_read_header(w->be, b, &disk, &h, err);
	if (r == 0 && b->nr_payload)
		r = backend_read(w->be, b->place, (b->slot + 1) * BLOCK_SIZE,
				 memory, b->nr_payload * BLOCK_SIZE, 0, err);
	if (r < 0)
		return r;
	*ret = true;
	for (uint32_t i = 0; *ret && i < b->nr_payload; i++)
		*ret = checksum32(memory + (size_t)i * BLOCK_SIZE,
				  BLOCK_SIZE) == batch_get_checksum(&disk, i);
	return 0;
}

static bool must_verify(const struct walk *w, const struct log_batch *b)
{
	return b->seq > w->tail->durable_seq || b->has_operation;
}

/* The medium works on the next ones while one is verified. */
#define PAYLOADS_AHEAD 4u

static void hint_payload(const struct walk *w, size_t i)
{
	const struct log_batch_vector *batches = &w->tail->batches;
	const struct log_batch *b;

	if (i >= batches->len)
		return;
	b = &batches->ptr[i];
	if (b->nr_payload > 0 && must_verify(w, b))
		backend_will_read(w->be, b->place, (b->slot + 1) * BLOCK_SIZE,
				  b->nr_payload * BLOCK_SIZE);
}

/* *ret: so many batches come before the first whose payload does not verify. */
static int verify_payloads(const struct walk *w, size_t *ret, struct error *err)
{
	const struct log_batch_vector *batches = &w->tail->batches;
	CLEANUP_FREE uint8_t *memory =
		malloc((size_t)BATCH_PAYLOAD_MAX * BLOCK_SIZE);
	size_t i;
	int r = 0;

	if (!memory)
		return error_set(err, ENOMEM, "out of memory");
	for (i = 0; i < PAYLOADS_AHEAD; i++)
		hint_payload(w, i);
	for (i = 0; i < batches->len; i++) {
		const struct log_batch *b = &batches->ptr[i];
		bool good = true;

		hint_payload(w, i + PAYLOADS_AHEAD);
		if (must_verify(w, b))
			r = payload_is_good(w, b, memory, &good, err);
		if (r < 0)
			return r;
		if (!good)
			break;
	}
	*ret = i;
	return 0;
}

struct verifier {
	const struct walk *walk;
	size_t nr_good;
	int result;
	struct error error;
};

static void *run_verifier(void *opaque)
{
	struct verifier *v = opaque;

	v->result = verify_payloads(v->walk, &v->nr_good, &v->error);
	return NULL;
}

/* Verify, and tell the walker; then cut the list where it is not good. */
static int verify_and_tell(struct walk *w, struct error *err)
{
	struct verifier v = {.walk = w, .error = ERROR_NONE};
	struct log_batch_vector *batches = &w->tail->batches;
	pthread_t thread;
	bool is_beside = w->walker && batches->len > 0 &&
			 pthread_create(&thread, NULL, run_verifier, &v) == 0;

	if (w->walker)
		w->walker->shown(w->walker->owner, batches);
	if (is_beside)
		(void)pthread_join(thread, NULL);
	else
		(void)run_verifier(&v);
	if (v.result < 0 && err)
		*err = v.error;
	if (v.result == 0)
		batches->len = v.nr_good;
	return v.result;
}

/* ---- torn or damaged ---- */

static bool proves_damage(const struct walk *w, const struct disk_batch *disk,
			  uint64_t segno, uint32_t slot)
{
	struct batch_header h;

	return header_is_ours(w, disk, &h) && h.segno == segno &&
	       h.slot == slot && h.seq > w->tail->end_seq &&
	       h.durable_seq > w->tail->end_seq;
}

#define SCAN_BLOCKS 256u

/* Look at slots @from.. of a segment for a header from beyond the end. */
static int scan_segment(const struct walk *w, uint64_t place, uint64_t segno,
			uint32_t from, bool *ret, struct error *err)
{
	CLEANUP_FREE uint8_t *memory = malloc(SCAN_BLOCKS * BLOCK_SIZE);
	int r;

	if (!memory)
		return error_set(err, ENOMEM, "out of memory");
	if (from < w->nr_slots)
		backend_will_read(w->be, place, from * BLOCK_SIZE,
				  (w->nr_slots - from) * BLOCK_SIZE);
	while (!*ret && from < w->nr_slots) {
		uint32_t n = w->nr_slots - from;

		n = n < SCAN_BLOCKS ? n : SCAN_BLOCKS;
		r = backend_read(w->be, place, from * BLOCK_SIZE, memory,
				 n * BLOCK_SIZE, 0, err);
		if (r < 0)
			return r;
		for (uint32_t i = 0; !*ret && i < n; i++) {
			const void *block = memory + (size_t)i * BLOCK_SIZE;

			*ret = proves_damage(w, block, segno, from + i);
		}
		from += n;
	}
	return 0;
}

/* Nothing says where the log went on: has it, anywhere? */
static int scan_frames(const struct walk *w, bool *ret, struct error *err)
{
	struct frame_search search = {0};
	struct batch_header h;
	uint64_t place;
	int r = 0;

	while (!*ret && frame_search_next(w, &search, &place)) {
		if (!frame_is_ours(w, place, &h) || h.seq <= w->tail->end_seq)
			continue;
		r = enter_segment(w, place, err);
		if (r == 0)
			r = scan_segment(w, place, h.segno, 1, ret, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Follow the successors of the segment where the log ends. */
static int scan_chain(const struct walk *w, uint64_t place, uint64_t segno,
		      uint32_t slot, bool *ret, struct error *err)
{
	int r = scan_segment(w, place, segno, slot, ret, err);

	/* the chain is acyclic when honest: bound it when not */
	for (uint64_t i = 0; r == 0 && !*ret && i < w->be->nr_frames &&
			     find_successor(w, place, segno, &segno, &place);
	     i++)
		r = scan_segment(w, place, segno, 1, ret, err);
	return r;
}

/* Is anything from (@place, @segno, @slot) on durable that is left out? */
static int find_damage(const struct walk *w, uint64_t place, uint64_t segno,
		       uint32_t slot, struct error *err)
{
	struct log_tail *tail = w->tail;
	uint64_t next_segno, next_place;
	struct segment_header h;
	int r = 0;

	tail->damaged = tail->end_seq < tail->durable_seq;
	tail->successor_place = PLACE_NONE;
	if (find_successor(w, place, segno, &next_segno, &next_place))
		tail->successor_place = next_place;
	if (!tail->damaged)
		r = scan_chain(w, place, segno, slot, &tail->damaged, err);
	if (r == 0 && !tail->damaged && !w->none_is_ours &&
	    (slot + 1 >= w->nr_slots ||
	     !read_segment_header(w, place, segno, &h)))
		r = scan_frames(w, &tail->damaged, err);
	return r;
}

/* ---- all ---- */

static const struct log_batch *last_batch(const struct log_tail *tail)
{
	return tail->batches.len ? &tail->batches.ptr[tail->batches.len - 1]
				 : NULL;
}

static void set_end(struct log_tail *tail, const struct log_position *start)
{
	const struct log_batch *last = last_batch(tail);

	tail->end_seq = last ? last->seq : start->seq - 1;
	tail->end_hash = last ? last->hash : start->prev_hash;
	tail->time_ns = last ? last->time_ns : 0;
}

bool log_tail_is_empty(struct backend *be, const struct superblock *sb)
{
	const struct log_position *start = &sb->log;
	const struct walk w = {
		.be = be,
		.sb = sb,
		.nr_slots = segment_slots(sb->segment_shift),
		.seq = start->seq,
		.prev_hash = start->prev_hash,
	};
	struct disk_batch disk;
	struct batch_header h;

	return start->slot < w.nr_slots &&
	       read_block(&w, start->place, start->slot, &disk, NULL) == 0 &&
	       !(header_is_ours(&w, &disk, &h) &&
		 header_fits(&w, &h, start->segno, start->slot));
}

int log_tail_find(struct backend *be, const struct superblock *sb,
		  const struct log_walker *walker, bool drop_cache,
		  struct log_tail *ret, struct error *err)
{
	const struct log_position *start = &sb->log;
	struct walk w = {
		.be = be,
		.sb = sb,
		.walker = walker,
		.tail = ret,
		.nr_slots = segment_slots(sb->segment_shift),
		.drop_cache = drop_cache,
		.segno = start->segno,
		.place = start->place,
		.seq = start->seq,
		.prev_hash = start->prev_hash,
		.slot = start->slot,
	};
	const struct log_batch *last;
	bool end = false;
	int r = 0;

	*ret = (struct log_tail){.durable_seq = start->seq - 1};
	r = enter_segment(&w, start->place, err);
	while (r == 0 && !end)
		r = walk_step(&w, &end, err);
	if (r == 0)
		r = verify_and_tell(&w, err);
	if (r == 0) {
		set_end(ret, start);
		last = last_batch(ret);
		r = find_damage(&w, last ? last->place : start->place,
				last ? last->segno : start->segno,
				last ? last->slot + 1 + last->nr_payload
				     : start->slot,
				err);
	}
	if (r < 0)
		log_tail_done(ret);
	return r;
}

void log_tail_done(struct log_tail *tail)
{
	log_batch_vector_done(&tail->batches);
}
