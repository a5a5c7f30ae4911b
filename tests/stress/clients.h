/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many clients at once on two volumes, and the question whether any order
 * explains what they saw (history.h).
 *
 * Each client has a connection to each volume and sends writes, reads, zeroes,
 * trims and flushes that overlap with those of the others and begin and end
 * in the middle of blocks.  Meanwhile snapshots of both volumes are taken in
 * one instant, read twice, and deleted.  How requests reach the engine is the
 * target's business: through a server, or by calls.
 */
#ifndef STRESS_CLIENTS_H
#define STRESS_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

/* Of each of the two volumes, a and b: two leaves of a map and a bit. */
#define CLIENTS_VOLUME_BYTES (576u << 10)

/*
 * All functions return 0 or a negative number with a sentence in @err, and
 * may be called by any thread; a connection is used by one at a time.
 */
struct clients_target {
	/* @name: of a volume or a snapshot */
	int (*open)(const char *name, bool write, void **ret,
		    struct error *err);
	void (*close)(void *connection);
	int (*read)(void *connection, void *ret, uint32_t length,
		    uint64_t offset, struct error *err);
	int (*write)(void *connection, const void *data, uint32_t length,
		     uint64_t offset, bool fua, struct error *err);
	int (*zero)(void *connection, uint32_t length, uint64_t offset,
		    struct error *err);
	int (*trim)(void *connection, uint32_t length, uint64_t offset,
		    struct error *err);
	int (*flush)(void *connection, struct error *err);
	/* of a and b in one instant: a@name, b@name */
	int (*snapshot)(const char *name, struct error *err);
	int (*delete_snapshot)(const char *name, struct error *err);
	/* Something else that goes on meanwhile; called again and again. */
	int (*disturb)(struct error *err);
};

struct clients_options {
	unsigned int nr_clients; /* at most 32 */
	unsigned int seconds;
	uint64_t seed;
};

/*
 * Run for so long, in rounds of a few seconds, and judge each.  The first
 * thing that is wrong ends the process; else one line says what was done.
 */
void clients_run(const struct clients_target *target,
		 const struct clients_options *options);

#endif
