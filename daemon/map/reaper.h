/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reaper: frees what deletes and trims detached.
 *
 * Its queue holds node ids together with the reference that pointed to them
 * (I3), so that a delete only moves a reference and is O(1).  It works
 * depth-first: the queue is a stack, bounded by roots x depth x 512.
 */
#ifndef MAP_REAPER_H
#define MAP_REAPER_H

#include "nodes.h"

/*
 * Drop one reference of the queue; the last one frees the node and queues
 * its children, some in one step: so long as it has others it stays, without
 * those.  Returns 1: did something; 0: the queue is empty; -EAGAIN:
 * node *ret_missing has to be faulted in; -EUCLEAN: damage.
 * Core held, nodes_prepare() in the same hold.
 */
int reaper_step(struct nodes *nodes, uint32_t *ret_missing, struct error *err);

#endif
