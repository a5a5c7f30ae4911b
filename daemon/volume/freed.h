/* SPDX-License-Identifier: BSD-2-Clause */
/* What would come free if a set of roots lost one reference each. */
#ifndef VOLUME_FREED_H
#define VOLUME_FREED_H

#include "store.h"

struct freed {
	uint64_t blocks; /* data blocks whose count would reach 0 */
	uint64_t shared; /* those below the roots that would not, at most */
};

/* Shared blocks remembered at a time: they take 48 MiB, of 2^22 slots. */
#define FREED_NAMES_MAX UINT32_C(2000000)

/*
 * Exact for the state at the time each node is looked at.  Walks the nodes
 * exclusive to the set; more than once, when these share more than
 * FREED_NAMES_MAX blocks (or @nr_names_max) among themselves and with others.
 * Core not held.
 */
int freed_blocks(struct store *store, const struct index_vector *roots,
		 struct freed *ret, struct error *err);
int freed_blocks_within(struct store *store, const struct index_vector *roots,
			size_t nr_names_max, struct freed *ret,
			struct error *err);

/*
 * The same for one root, or none: quicker, since what has a second reference
 * need not be remembered.
 */
int freed_alone(struct store *store, const struct index_vector *root,
		uint64_t *ret_blocks, struct error *err);

#endif
