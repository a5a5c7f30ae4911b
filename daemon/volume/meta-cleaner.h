/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cleaner of META segments: a checkpoint writes anew what nearly empty
 * ones hold, so that their frames come back.
 *
 * Without it every checkpoint and every open would leave a frame behind that
 * a few cold records keep.  All records are found from memory (the tables
 * name them), so nothing is searched for on disk.
 */
#ifndef VOLUME_META_CLEANER_H
#define VOLUME_META_CLEANER_H

#include "store.h"

/*
 * Before the cut: when META takes more than twice the segments its live bytes
 * need (two and a half times at an open), or an eighth more where frames are
 * few, choose victims and make the nodes in them dirty, as far as there is
 * room for a checkpoint of them, and the pages of tables.  Returns true when
 * there are victims.  A node that cannot be read stays where it is.  Core
 * held, dropped now and then.
 */
bool meta_cleaner_begin(struct store *store);

/* Is record segment @segno a victim?  Core held. */
bool meta_cleaner_is_victim(struct store *store, uint64_t segno);

#endif
