/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How full the store is, and who is told: a warning when the used share rises
 * over 80, 90 and 95 %, a word when it has fallen again, and the same for a
 * host that has no room for another frame.
 */
#ifndef VOLUME_SPACE_H
#define VOLUME_SPACE_H

#include "store.h"

/*
 * Frames that hold a segment, in percent of those that writes may fill: the
 * reserve is not theirs, so that 100 is full.  Core held.
 */
unsigned int space_used_percent(const struct store *store);

/*
 * The threshold that counts as crossed at @percent, 0: none, when @told was
 * the last one: it is left only @percent is 2 below it.
 */
unsigned int space_level(unsigned int told, unsigned int percent);

/*
 * Tell what has changed.  Core held; dropped when it returns true: there was
 * something to tell.
 */
bool space_tell(struct store *store);

#endif
