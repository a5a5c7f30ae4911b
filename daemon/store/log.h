/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log: the stream of DATA segments, its buffers and its flushes.
 *
 * NOTES ON THE DESIGN.  Definitions: batch seq s lives in buffer s mod
 * nr_buffers until batch s + nr_buffers takes it over, which waits until
 * every batch up to s has been written and no reader has it pinned.  A
 * buffer is [segment header block][batch header block][payload blocks]; the
 * buffers are the tail file, so that what is in them survives the process.
 *
 * States of a batch and who changes them:
 *   open -> sealed     log_seal(): full, 1 MiB, flush, end of segment
 *   sealed -> writing  log_write_one(): whoever claims it, lowest seq first
 *   writing -> written the same, after its pwrite
 * written_seq: every batch up to it is written.  durable_seq: a sync that
 * began after that has returned.  sealed_seq >= written_seq >= durable_seq.
 *
 * Positions are fixed when a block is appended, in the same hold of core in
 * which the map changes (I5); a slot is filled before it is reachable.
 *
 * The segment being filled has a successor whose segno and frame are fixed
 * and named in its header, so a writer never waits for one under the lock;
 * log_ready() keeps another frame in hand for the successor's successor.
 */
#ifndef STORE_LOG_H
#define STORE_LOG_H

#include "batch.h"
#include "frames.h"
#include "segment-table.h"
#include "tail-file.h"

enum batch_state {
	BATCH_EMPTY,
	BATCH_OPEN,
	BATCH_SEALED,
	BATCH_WRITING,
	BATCH_WRITTEN,
};

struct log_buffer {
	uint8_t *memory;
	enum batch_state state;
	uint64_t seq;
	uint64_t segno;
	uint64_t place;
	uint32_t slot; /* of the batch header */
	uint32_t nr_entries;
	uint32_t nr_payload;
	uint32_t payload_max;
	uint32_t pins;
};

struct log {
	struct core *core;
	struct frames *frames;
	struct segment_table *segments;
	struct mutex flush_lock; /* rank LOCK_FLUSH: one leader at a time */
	struct tail_file tail;
	struct log_buffer *buffers;
	uint32_t nr_buffers;

	/* guarded by core.lock */
	struct log_buffer *open;
	uint64_t next_seq; /* of the next batch to open */
	uint64_t sealed_seq;
	uint64_t written_seq;
	uint64_t durable_seq;
	uint64_t advertised_seq; /* durable_seq of the last sealed header */
	uint64_t prev_hash;	 /* of the last sealed batch */
	uint64_t time_ns;	 /* of the last sealed batch */
	struct segment *current;
	uint32_t slot; /* next free one of current */
	struct segment *successor;
	struct segment *spare; /* becomes the successor's successor */
	uint64_t bytes;	       /* sealed since the last cut */
	uint64_t flushed_at_ms;
	uint64_t unflushed_bytes; /* sealed since the last round began */
	uint64_t round_bytes;	  /* running mean of a flush round */
	bool timer_armed;	  /* the writer looks again within a second */
};

/*
 * The log of this incarnation, without a batch: makes the tail file
 * (@tail_dirs may be NULL).  @frames and @segments need not be loaded yet.
 */
int log_init(struct log *log, struct core *core, struct frames *frames,
	     struct segment_table *segments, const char *const *tail_dirs,
	     uint32_t nr_buffers, struct error *err);
/* Start it at batch @next_seq: takes two frames.  core.lock not held. */
int log_start(struct log *log, uint64_t next_seq, uint64_t prev_hash,
	      uint64_t time_ns, struct error *err);
/* Free memory; the tail file stays unless it was removed before. */
void log_done(struct log *log);

/* Most payload blocks one log_append() sequence may need in one hold. */
uint32_t log_piece_max(const struct log *log);

/*
 * Can a piece (or an operation) be appended now?  Core held; may drop it.
 * Returns 0: yes, nothing was dropped; -EAGAIN: it was dropped and things
 * have changed, look again; -ENOSPC: no frame for @user; -EIO: fail-stop;
 * -ENOMEM.
 */
int log_ready(struct log *log, enum frame_user user, struct error *err);

/*
 * Append up to @nr blocks of one write (at least one): entry, checksums and
 * data.  Returns how many; their names are consecutive from *ret_name.
 * Core held, after log_ready().
 */
uint32_t log_append_write(struct log *log, uint32_t volume, struct vblock first,
			  uint32_t nr, const void *data,
			  const uint32_t *checksums, struct birth *ret_name);
/* Append a ZERO or TRIM. */
void log_append_range(struct log *log, enum op op, uint32_t volume,
		      struct vblock first, uint32_t nr);
/* Append a metadata operation of @nr_blocks whole blocks. */
void log_append_operation(struct log *log, enum op op, const void *payload,
			  uint32_t nr_blocks);

/* Seq of the batch that holds what was appended last.  Core held. */
uint64_t log_seq(const struct log *log);

/*
 * Close the open batch, if any; the caller writes it, soon.  The writer is
 * woken for full batches only: a hand-over takes longer than the write, and
 * one who wakes for nothing is in the way.  Core held.
 */
void log_seal(struct log *log);

/*
 * Before a cut: where no batch of the segment in which the log goes on is
 * there yet, one without entries begins it, if that takes no waiting and no
 * frame.  Recovery then finds the header that says where the log went on, and
 * searches no frames for it.  The open batch must be sealed.  Core held.
 */
void log_begin_segment(struct log *log);

/*
 * Write the oldest sealed batch nobody has claimed.  Core held; dropped for
 * the write.  Returns false when there is none (nothing was dropped).
 */
bool log_write_one(struct log *log);

/* Until every batch up to @seq is written.  Core held; dropped. */
int log_write_upto(struct log *log, uint64_t seq, struct error *err);

/*
 * Everything appended before the call is durable (I10).  In the caller's
 * thread: the first becomes the leader, later ones join the next round.
 * Core not held.
 */
int log_flush(struct log *log, struct error *err);
/* The same for batches up to @seq. */
int log_flush_upto(struct log *log, uint64_t seq, struct error *err);

/*
 * Are flushes frequent?  Then frames filled with zeros ahead are worth it: a
 * sync after rewriting written blocks costs a half to a third of one after
 * the first write to allocated ones.  A stream takes frames as they are.
 */
bool log_flushes_are_small(const struct log *log);

/*
 * A header-only batch that carries durable_seq, when the last header does
 * not and the log has been idle for a second.  Core held; may drop it.
 */
void log_advertise_durable(struct log *log);

/* Where the next batch will be: a checkpoint's cut.  The open batch must be
 * sealed.  Core held. */
void log_position(const struct log *log, struct log_position *ret);

/*
 * The buffer that holds physical slot (@segno, @slot), pinned, or NULL;
 * *ret_data is the block.  Core held.
 */
struct log_buffer *log_pin(struct log *log, uint64_t segno, uint32_t slot,
			   const uint8_t **ret_data);
void log_unpin(struct log *log, struct log_buffer *buffer);

#endif
