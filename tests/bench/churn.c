/* SPDX-License-Identifier: BSD-2-Clause */
#include "churn.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Writes between two looks at the live share. */
#define WRITES_PER_LOOK 256u
#define REAPER_POLL_US 500u

/* ---- figures ---- */

uint64_t writable_blocks(const struct store_stat *st)
{
	return (st->frames_total - st->frames_reserve) *
	       (st->segment_bytes / BLOCK_SIZE);
}

double live_percent(const struct store_stat *st)
{
	return 100.0 * (double)st->live_blocks / (double)writable_blocks(st);
}

double dead_percent(const struct store_stat *st)
{
	return 100.0 - live_percent(st) -
	       100.0 * (double)st->meta_bytes_live /
		       (double)(writable_blocks(st) * BLOCK_SIZE);
}

double amplification(const struct span *span, const struct store_stat *now)
{
	if (span->nr_writes == 0)
		return 1;
	return 1 + (double)(now->copied_blocks - span->before.copied_blocks) /
			   (double)span->nr_writes;
}

double metadata_share(const struct span *span, const struct store_stat *now)
{
	if (span->nr_writes == 0)
		return 0;
	return (double)(now->metadata_bytes - span->before.metadata_bytes) /
	       (double)(span->nr_writes * BLOCK_SIZE);
}

uint64_t allocated_bytes(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		perror(path);
		exit(1);
	}
	return (uint64_t)st.st_blocks * 512;
}

void span_begin(struct span *span, struct store *store)
{
	*span = (struct span){.begin_ns = now_ns()};
	store_stat(store, &span->before);
}

/* ---- snapshots ---- */

static void snapshot_name(char name[32], uint64_t number)
{
	(void)snprintf(name, 32, "v@%" PRIu64, number);
}

static void delete_snapshot(struct churn *churn, uint64_t at)
{
	struct error err = ERROR_NONE;
	const char *names[1];
	char name[32];

	snapshot_name(name, churn->snapshots[at]);
	names[0] = name;
	must(store_delete(churn->store, names, 1, false, &err), name, &err);
	churn->nr--;
	memmove(churn->snapshots + at, churn->snapshots + at + 1,
		(churn->nr - at) * sizeof(*churn->snapshots));
	churn->nr_deleted++;
}

static void take_snapshot(struct churn *churn)
{
	char name[32];

	churn->snapshots[churn->nr++] = churn->next;
	snapshot_name(name, churn->next++);
	bench_snapshot(churn->store, name);
}

static bool is_reached(const struct churn *churn, const struct store_stat *st)
{
	uint64_t missing = churn->nr_snapshots - churn->nr;

	return st->live_blocks + missing * churn->growth_blocks >=
	       churn->target_blocks;
}

/* Whoever wants the share kept waits for what was deleted to be freed. */
static void wait_for_reaper(struct churn *churn, struct store_stat *st)
{
	while (st->reaper_queue > 0) {
		(void)usleep(REAPER_POLL_US);
		store_stat(churn->store, st);
	}
}

/* Keep the live data at its share, or let it grow to it. */
static void roll_snapshots(struct churn *churn, struct store_stat *st)
{
	bool any = churn->order == CHURN_ANY;

	if (is_reached(churn, st))
		wait_for_reaper(churn, st);
	if (!is_reached(churn, st))
		return;
	if (churn->nr == churn->nr_snapshots)
		delete_snapshot(churn,
				any ? rng_below(&churn->load.rng, churn->nr)
				    : 0);
	take_snapshot(churn);
}

void churn_delete_snapshots(struct churn *churn)
{
	while (churn->nr > 0)
		delete_snapshot(churn, 0);
}

/* ---- writing ---- */

static void look(struct churn *churn, struct span *span)
{
	uint64_t allocated = allocated_bytes(churn->path);
	struct store_stat st;

	store_stat(churn->store, &st);
	span->live_sum += live_percent(&st);
	span->nr_looks++;
	if (allocated > span->allocated_most)
		span->allocated_most = allocated;
	if (churn->nr_snapshots && churn->order != CHURN_NONE)
		roll_snapshots(churn, &st);
}

/* Is it the store that is full, and not the medium it is on? */
static bool is_allocated(struct store *store)
{
	struct store_stat st;

	store_stat(store, &st);
	return st.frames_allocated == st.frames_total;
}

/* False: the store is full. */
static bool write_block(struct churn *churn, uint64_t block,
			struct latency *latency)
{
	struct error err = ERROR_NONE;
	int r = bench_try_write(churn->handle, block, latency, &err);

	churn->refused = r == -ENOSPC && is_allocated(churn->store);
	if (!churn->refused)
		must(r, "write", &err);
	return !churn->refused;
}

void churn_write(struct churn *churn, struct span *span, uint64_t nr,
		 uint64_t end_ns)
{
	for (uint64_t i = 0; i < nr && !churn->refused; i++) {
		if (end_ns && now_ns() >= end_ns)
			return;
		if (i % WRITES_PER_LOOK == 0)
			look(churn, span);
		if (write_block(churn, load_next(&churn->load), &span->latency))
			span->nr_writes++;
	}
}

static void plan_snapshots(struct churn *churn, uint64_t nr)
{
	bool stay = churn->order == CHURN_NONE;
	uint64_t volume = stay ? churn->target_blocks / 8 * 3
			       : churn->target_blocks / 3 * 2;
	uint64_t others = churn->target_blocks - (stay ? 2 : 1) * volume;

	churn->nr_snapshots = nr;
	churn->snapshots = calloc(nr, sizeof(*churn->snapshots));
	if (!churn->snapshots)
		abort();
	churn->load.nr_blocks = volume;
	/* rounded up; those that stay hold nothing but by the next one */
	churn->growth_blocks = 1 + others / (stay && nr > 1 ? nr - 1 : nr);
}

/* False: a write was refused. */
static bool write_whole(struct churn *churn)
{
	for (uint64_t i = 0; i < churn->load.nr_blocks; i++)
		if (!write_block(churn, i, NULL))
			return false;
	return true;
}

/* Those that stay; each is taken when the one before holds its blocks. */
static void take_snapshots(struct churn *churn)
{
	uint64_t nr_blocks = churn->load.nr_blocks;
	struct store_stat st;

	for (uint64_t i = 0; churn->nr < churn->nr_snapshots; i++) {
		if (i % WRITES_PER_LOOK == 0) {
			store_stat(churn->store, &st);
			if (st.live_blocks >=
			    nr_blocks + churn->nr * churn->growth_blocks)
				take_snapshot(churn);
		}
		if (!write_block(churn, load_next(&churn->load), NULL))
			return;
	}
	(void)write_whole(churn); /* churn->refused says */
}

void churn_begin(struct churn *churn, struct store *store, const char *path,
		 uint64_t live_blocks, uint64_t nr_snapshots)
{
	struct error err = ERROR_NONE;

	churn->store = store;
	churn->path = path;
	churn->target_blocks = live_blocks;
	churn->load.nr_blocks = live_blocks;
	if (nr_snapshots)
		plan_snapshots(churn, nr_snapshots);
	must(store_create(store, "v", churn->load.nr_blocks * BLOCK_SIZE, &err),
	     "create", &err);
	churn->handle = bench_open_volume(store, "v");
	if (write_whole(churn) && churn->order == CHURN_NONE)
		take_snapshots(churn);
}

void churn_end(struct churn *churn)
{
	volume_close(churn->handle);
	free(churn->snapshots);
}
