/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding the end of the log after a stop or a crash.
 *
 * The walk only reads.  What it finds: the batches after the checkpoint's
 * cut, in order; where the log ends; whether it ends torn, as a crash leaves
 * it, or is damaged.
 */
#ifndef VOLUME_LOG_WALK_H
#define VOLUME_LOG_WALK_H

#include "store.h"

struct log_batch {
	uint64_t segno;
	uint64_t place;
	uint64_t seq;
	uint64_t hash;
	uint64_t time_ns;
	uint32_t slot;
	uint32_t nr_payload;
	bool has_operation;
};

DEFINE_VECTOR(log_batch_vector, struct log_batch);

struct log_tail {
	struct log_batch_vector batches;
	uint64_t durable_seq; /* the largest that any header claims */
	uint64_t end_seq;     /* of the last good batch */
	uint64_t end_hash;
	uint64_t time_ns;
	/* the successor that the last segment's header names; PLACE_NONE */
	uint64_t successor_place;
	bool damaged; /* something beyond the end had been durable */
};

/* Who has the log walked. */
struct log_walker {
	/* Known by the time they are asked for; mostly nobody asks. */
	const struct frames *(*frames)(void *owner);
	/*
	 * Headers show @batches, while their payload is being verified: found
	 * are the first of them in the end, or all.
	 */
	void (*shown)(void *owner, const struct log_batch_vector *batches);
	void *owner;
};

/*
 * Does the log of @sb hold nothing, by the look of its first block?  A guess,
 * for what only costs time when it is wrong.  No lock needed.
 */
bool log_tail_is_empty(struct backend *be, const struct superblock *sb);

/*
 * Walk the log of @sb; @drop_cache: what is read comes from the medium.  A
 * frame that @walker (NULL: there is none) calls used is not searched.  -EIO,
 * -ENOMEM; damage is no error here, see ret->damaged.  No lock needed.
 */
int log_tail_find(struct backend *be, const struct superblock *sb,
		  const struct log_walker *walker, bool drop_cache,
		  struct log_tail *ret, struct error *err);
void log_tail_done(struct log_tail *tail);

/* Read batch header @b again and check that it is the one walked over. */
int log_tail_read_header(struct backend *be, const struct log_batch *b,
			 struct disk_batch *ret,
			 struct batch_header *ret_header, struct error *err);

#endif
