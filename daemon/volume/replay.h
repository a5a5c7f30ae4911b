/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Replay: what the log says, done to the maps and volumes of the checkpoint.
 *
 * A checkpoint that has lost volumes is replayed as far as it goes, when the
 * store has a salvage: what belongs to them is given up, and said so.
 *
 * Lock: core held for all.
 */
#ifndef VOLUME_REPLAY_H
#define VOLUME_REPLAY_H

#include "log-walk.h"

/* All batches of @tail.  Core is dropped for reading. */
int replay_log(struct store *store, const struct log_tail *tail,
	       struct error *err);

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
