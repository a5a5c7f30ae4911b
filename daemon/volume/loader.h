/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loader: what of the node table an open with load_behind left is loaded
 * while the store is at work already, in the order in which it lies there.
 */
#ifndef VOLUME_LOADER_H
#define VOLUME_LOADER_H

#include "store.h"

/*
 * Load pages until all are loaded, or the store stops or has failed.  A page
 * that cannot be loaded makes it fail-stop.  Core not held.
 */
void loader_run(struct store *store);

/*
 * Load what is left, for somebody who is going to look at all of it.  -EIO,
 * -EBADMSG, -EUCLEAN, -ENOMEM.  Core not held.
 */
int loader_finish(struct store *store, struct error *err);

/*
 * All of the node table is loaded: check what refers to it from outside, and
 * let META segments die.  -EUCLEAN.  Core held.
 */
int tables_loaded(struct store *store, struct error *err);

/* Both, where room is so short that what is dead has to be known. */
int loader_complete(struct store *store, struct error *err);

#endif
