/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Before a part of the log is replayed: the leaves that it will change are
 * read, in the order in which they lie on the medium, which works on some
 * while others are decoded; the replay would wait for one after the other.
 */
#ifndef VOLUME_REPLAY_AHEAD_H
#define VOLUME_REPLAY_AHEAD_H

#include "log-walk.h"

/* As many batches at a time: their leaves are listed in memory. */
#define REPLAY_AHEAD_BATCHES 1024u

/*
 * @nr batches will be replayed.  Best effort: whatever cannot be read now is
 * met again by the replay.  Core held; dropped for reading.
 */
void replay_ahead(struct store *store, const struct log_batch *batches,
		  size_t nr);

#endif
