/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What clients ask of a volume, counted since the store was opened.
 *
 * The counts are made when a volume is first opened and go with it; those of
 * volumes that are gone are kept by the store, so that sums never fall.
 * Adding takes no lock; who reads while others add gets numbers of about the
 * same moment.
 */
#ifndef VOLUME_TRAFFIC_H
#define VOLUME_TRAFFIC_H

#include <stdatomic.h>
#include <stdint.h>

#include "engine.h"

struct traffic {
	struct {
		_Atomic uint64_t requests;
		_Atomic uint64_t errors;
		_Atomic uint64_t bytes;
		_Atomic uint64_t ns;
		_Atomic uint64_t buckets[TRAFFIC_BUCKETS];
	} kinds[NR_TRAFFIC_KINDS];
};

/* A request that began at monotonic @began_ns ended with @r; @traffic NULL:
 * nothing. */
void traffic_add(struct traffic *traffic, enum traffic_kind kind,
		 uint64_t length, uint64_t began_ns, int r);

/* *to gets the sum of both. */
void traffic_sum(struct traffic *to, const struct traffic *from);

/* *ret gets what was counted besides. */
void traffic_read(const struct traffic *traffic, struct traffic_count *ret);

#endif
