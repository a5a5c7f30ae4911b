/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Replay: what the log says, done to the maps and volumes of the checkpoint.
 *
 * A checkpoint that has lost volumes is replayed as far as it goes, when the
 * store has a salvage: what belongs to them is given up, and said so.
 *
 * Lock: core held, unless said otherwise.
 */
#ifndef VOLUME_REPLAY_H
#define VOLUME_REPLAY_H

#include "log-walk.h"

/* All batches of @tail.  Core is dropped for reading. */
int replay_log(struct store *store, const struct log_tail *tail,
	       struct error *err);

/*
 * Append the batches of @file, of the incarnation whose log @sb names, that go
 * on where @tail ends.  The store's own log has begun.  Core not held.
 */
int replay_tail_file(struct store *store, const struct tail_file *file,
		     const struct superblock *sb, const struct log_tail *tail,
		     struct error *err);

/*
 * The batch in buffer @i of @file, if it is one; *ret_sealed: as it will be
 * for ever.  Only its header is looked at.
 */
const struct disk_batch *replay_tail_batch(const struct tail_file *file,
					   uint32_t i, struct batch_header *ret,
					   bool *ret_sealed);

/* The head that an entry of the log is about.  -EUCLEAN: there is none. */
int replay_find_head(struct store *store, uint32_t id, struct volume **ret,
		     struct error *err);
/*
 * Decode the operation in @payload and check it against the volumes;
 * *ret_items is malloc'ed.  -EUCLEAN: it does not fit them.
 */
int replay_load_operation(struct store *store, enum op op, const void *payload,
			  uint32_t nr_blocks, struct operation *ret,
			  struct operation_item **ret_items, struct error *err);

#endif
