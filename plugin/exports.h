/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of exports and what is said of each.
 */
#ifndef PLUGIN_EXPORTS_H
#define PLUGIN_EXPORTS_H

#include <stddef.h>

#include "names.h"

struct nbdkit_exports;
struct store;

#define EXPORT_DESCRIPTION_BYTES 128

/*
 * Add all volumes, then the newest snapshots, as many as nbdkit takes;
 * hidden ones are left out.  Returns 0 or -1, having said why.
 */
int exports_list(struct store *store, struct nbdkit_exports *exports);

/* The name of the only volume, or "" when there is none or more than one. */
int exports_default(struct store *store, char ret[NAME_MAX_BYTES + 1]);

/* "50 GiB, 3 days old"; "" when there is no such export any more. */
void exports_describe(struct store *store, const char *name,
		      char ret[EXPORT_DESCRIPTION_BYTES]);

#endif
