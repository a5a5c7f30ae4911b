/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Before the log is replayed: the leaves that it will change are read, in the
 * order in which they lie on the medium, which works on some while others are
 * decoded; the replay would wait for one after the other.
 */
#ifndef VOLUME_REPLAY_AHEAD_H
#define VOLUME_REPLAY_AHEAD_H

#include "log-walk.h"

/* Each is the id of a volume and the number of the leaf in its map. */
DEFINE_VECTOR(leaf_list, uint64_t);

/*
 * Those that @batches of the log of @sb, or a buffer of @file that goes on
 * there, would change.  -ENOMEM, -EIO; no lock needed.
 */
int replay_list_leaves(struct backend *be, const struct superblock *sb,
		       const struct log_batch_vector *batches,
		       const struct tail_file *file, struct leaf_list *ret);

/*
 * Bring them into memory, which changes no outcome.  Best effort: whatever
 * cannot be read now is met again by the replay.  Core held; dropped.
 */
void replay_read_leaves(struct store *store, const struct leaf_list *leaves);

#endif
