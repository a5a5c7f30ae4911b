/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A store that is kept so and so full of live data while it is written to:
 * one volume, and snapshots.
 *
 * Without snapshots the volume is the live data.  With them:
 *
 * They rotate: two thirds are the volume, and the rest is what only snapshots
 * hold.  They are taken one by one, as the live data grows towards its share;
 * from then on, whenever it is reached, one is deleted and a new one taken.
 *
 * They stay: they are taken one by one before anything is measured.  Then the
 * whole volume is overwritten, so that what it holds and what they hold have
 * nothing in common and the share stays as it is: three eighths are the
 * volume, three eighths what the last snapshot holds, and a quarter what only
 * the others do.
 */
#ifndef BENCH_CHURN_H
#define BENCH_CHURN_H

#include "bench.h"

enum churn_order {
	CHURN_OLDEST, /* the oldest snapshot is deleted */
	CHURN_ANY,    /* any one is */
	CHURN_NONE,   /* they stay */
};

struct churn {
	const char *path;
	struct store *store;
	struct volume_handle *handle;
	struct load load;
	uint64_t nr_snapshots;
	uint64_t *snapshots; /* numbers in the names, oldest first */
	uint64_t nr, next;   /* of them; number of the next one */
	enum churn_order order;
	uint64_t target_blocks; /* live */
	uint64_t growth_blocks; /* live, from one snapshot to the next */
	uint64_t nr_deleted;
	bool refused; /* a write met -ENOSPC: nothing more is written */
};

/* What was written in a span, and what was seen. */
struct span {
	struct store_stat before;
	uint64_t begin_ns, nr_writes;
	double live_sum; /* of the shares, in percent */
	uint64_t nr_looks;
	uint64_t allocated_most; /* bytes of the file */
	struct latency latency;
};

/*
 * Plan for @store, in the file @path: @live_blocks of it live, and
 * @nr_snapshots.  The volume is made and filled, unless a write is refused;
 * snapshots that stay are taken.
 */
void churn_begin(struct churn *churn, struct store *store, const char *path,
		 uint64_t live_blocks, uint64_t nr_snapshots);
/* Volume and store stay open. */
void churn_end(struct churn *churn);

/*
 * Write @nr blocks, or until @end_ns of now_ns(); 0: no end; or until one is
 * refused.  Adds to @span.
 */
void churn_write(struct churn *churn, struct span *span, uint64_t nr,
		 uint64_t end_ns);
void churn_delete_snapshots(struct churn *churn);

void span_begin(struct span *span, struct store *store);

/* Blocks that writers may fill: all but the reserve. */
uint64_t writable_blocks(const struct store_stat *st);
/* What is live of them. */
double live_percent(const struct store_stat *st);
/* What is neither live data nor live metadata of them. */
double dead_percent(const struct store_stat *st);
/* Data blocks (written + copied) / written, from @span's begin to @now. */
double amplification(const struct span *span, const struct store_stat *now);
/* Bytes of metadata written for each byte of data that was. */
double metadata_share(const struct span *span, const struct store_stat *now);
/* Bytes of the file that the host holds for it. */
uint64_t allocated_bytes(const char *path);

#endif
