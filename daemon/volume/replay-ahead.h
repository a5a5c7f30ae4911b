/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Before a part of the log is replayed: the medium is told which leaves will
 * be needed, all at once, so that replay finds them in the page cache instead
 * of waiting for one after the other.
 */
#ifndef VOLUME_REPLAY_AHEAD_H
#define VOLUME_REPLAY_AHEAD_H

#include "log-walk.h"

/* As many batches at a time: their leaves are listed in memory. */
#define REPLAY_AHEAD_BATCHES 1024u

/*
 * @nr batches will be replayed.  Best effort: whatever cannot be read now is
 * met again by the replay.  Core held; dropped for reading inner nodes.
 */
void replay_ahead(struct store *store, const struct log_batch *batches,
		  size_t nr);

#endif
