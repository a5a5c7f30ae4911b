/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lock order, outermost first: a thread takes locks in rising rank only.
 */
#ifndef BASE_LOCK_ORDER_H
#define BASE_LOCK_ORDER_H

enum lock_rank {
	LOCK_SERVICE, /* the control service's list of clients */
	LOCK_SCRUB,   /* a slice of a scrub */
	LOCK_ADMIN,   /* metadata verbs, checkpoint driver, check */
	LOCK_CLEANER, /* the cleaner's victim and batch */
	LOCK_FLUSH,   /* leader election of a flush */
	LOCK_CORE,    /* open batch, map, counts, volumes: the engine's state */
	LOCK_BACKEND, /* the in-memory back end's own state */
	LOCK_MESSAGE, /* the message sink */
	NR_LOCK_RANKS,
};

#endif
