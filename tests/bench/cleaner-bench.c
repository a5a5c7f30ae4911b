/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the cleaner costs: random 4 KiB writes over a volume that fills a
 * given share of its store.
 *
 *   cleaner-bench STORE [--capacity GiB] [--share PERCENT] [--hot 0|1]
 *                 [--times N] [--snapshots N]
 *
 * The share is of (capacity - reserve); --hot 1: nine tenths of the writes go
 * to one tenth of the blocks, 0: uniform.  N times the capacity is written.
 * With snapshots, taken at equal distances and kept, the volume is made so
 * much smaller that the live share stays what was asked for.
 * Prints "name value unit" lines; write amplification is data blocks
 * (written + copied) / written, in the second half of the writes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend-file.h"
#include "engine.h"
#include "units.h"

struct plan {
	const char *path;
	uint64_t capacity, share, hot, times, snapshots;
	uint64_t nr_blocks; /* of the volume */
};

static uint64_t random_state = 1;

/* splitmix64: the next of a fixed sequence, the same in every run. */
static uint64_t random_next(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* A benchmark has no use for a store that fails. */
static void must(int r, const char *what, const struct error *err)
{
	if (r >= 0)
		return;
	fprintf(stderr, "cleaner-bench: %s: %s (%s)\n", what, err->message,
		strerror(-r));
	exit(1);
}

static struct store *open_store(const struct plan *plan)
{
	struct store_init_options init = {.capacity = plan->capacity};
	struct store_open_options options = {0};
	struct error err = {0};
	struct store *store;
	struct backend *be;

	must(backend_file_create(plan->path, init.capacity, true, &be,
				 &init.capacity, &err),
	     "create", &err);
	must(store_init(be, &init, &err), "init", &err);
	backend_close(be);
	must(backend_file_open(plan->path, 0, -1, 0, &be, &err), "open", &err);
	must(store_open(be, &options, &store, &err), "open", &err);
	must(store_start(store, &err), "start", &err);
	return store;
}

static void write_block(struct volume_handle *handle, uint64_t block,
			uint64_t *worst_ns)
{
	static uint64_t data[BLOCK_SIZE / sizeof(uint64_t)];
	struct error err = {0};
	uint64_t begin = now_ns(), took;

	data[block % 512] = random_next();
	must(volume_write(handle, data, BLOCK_SIZE, block * BLOCK_SIZE, false,
			  &err),
	     "write", &err);
	took = now_ns() - begin;
	if (took > *worst_ns)
		*worst_ns = took;
}

static uint64_t choose(const struct plan *plan)
{
	uint64_t hot = plan->nr_blocks / 10;

	if (!plan->hot)
		return random_next() % plan->nr_blocks;
	if (random_next() % 10)
		return random_next() % hot;
	return hot + random_next() % (plan->nr_blocks - hot);
}

/* So many random writes. */
static void write_random(const struct plan *plan, struct store *store,
			 struct volume_handle *handle, uint64_t nr,
			 uint64_t *worst_ns)
{
	for (uint64_t i = 0; i < nr; i++)
		write_block(handle, choose(plan), worst_ns);
}

static void take_snapshots(const struct plan *plan, struct store *store,
			   struct volume_handle *handle, uint64_t *worst_ns)
{
	struct error err = {0};
	const char *names[1];
	char name[32];

	names[0] = name;
	for (uint64_t i = 0; i < plan->snapshots; i++) {
		write_random(plan, store, handle,
			     plan->nr_blocks / 2 / plan->snapshots, worst_ns);
		(void)snprintf(name, sizeof(name), "v@%" PRIu64, i);
		must(store_snapshot(store, names, 1, NULL, &err), "snapshot",
		     &err);
	}
}

static void print_figures(const struct plan *plan, struct store *store,
			  uint64_t written, uint64_t copied, uint64_t ns,
			  uint64_t worst_ns)
{
	struct store_stat st;
	uint64_t live_segments;

	store_stat(store, &st);
	live_segments = st.frames_used;
	printf("live-share %.1f %%\n",
	       100.0 * (double)st.live_blocks * BLOCK_SIZE /
		       (double)((st.frames_total - st.frames_reserve) *
				st.segment_bytes));
	printf("write-amplification %.3f\n",
	       1 + (double)copied / (double)written);
	printf("names-per-live-segment %.2f\n",
	       1 + (double)st.nr_name_segments / (double)live_segments);
	printf("forwarded %.1f %%\n",
	       100.0 * (double)st.forwarded_blocks / (double)st.live_blocks);
	printf("frames-used %" PRIu64 " of %" PRIu64 "\n", st.frames_used,
	       st.frames_total);
	printf("metadata-live %.1f MiB\n",
	       (double)st.meta_bytes_live / (1 << 20));
	printf("writes %.0f per second\n", (double)written * 1e9 / (double)ns);
	printf("worst-write %.1f ms\n", (double)worst_ns / 1e6);
}

static void run(struct plan *plan)
{
	struct store *store = open_store(plan);
	uint64_t worst_ns = 0, nr, begin, copied;
	struct volume_handle *handle;
	struct error err = {0};
	struct store_stat st;

	store_stat(store, &st);
	plan->nr_blocks = (st.frames_total - st.frames_reserve) *
			  (st.segment_bytes / BLOCK_SIZE) * plan->share / 100;
	/* random halves of it, kept by snapshots, are live besides */
	if (plan->snapshots)
		plan->nr_blocks = plan->nr_blocks * 10 / 15;
	must(store_create(store, "v", plan->nr_blocks * BLOCK_SIZE, &err),
	     "create", &err);
	must(volume_open(store, "v", VOLUME_OPEN_WRITE, &handle, &err), "v",
	     &err);
	for (uint64_t i = 0; i < plan->nr_blocks; i++)
		write_block(handle, i, &worst_ns);
	take_snapshots(plan, store, handle, &worst_ns);
	nr = plan->capacity / BLOCK_SIZE * plan->times / 2;
	write_random(plan, store, handle, nr, &worst_ns);
	store_stat(store, &st);
	copied = st.copied_blocks;
	worst_ns = 0;
	begin = now_ns();
	write_random(plan, store, handle, nr, &worst_ns);
	store_stat(store, &st);
	print_figures(plan, store, nr, st.copied_blocks - copied,
		      now_ns() - begin, worst_ns);
	volume_close(handle);
	must(store_close(store, false, &err), "close", &err);
}

static uint64_t number(int argc, char **argv, const char *name, uint64_t value)
{
	for (int i = 2; i + 1 < argc; i += 2)
		if (strcmp(argv[i], name) == 0)
			value = strtoull(argv[i + 1], NULL, 10);
	return value;
}

int main(int argc, char **argv)
{
	struct plan plan = {
		.capacity = number(argc, argv, "--capacity", 5) << 30,
		.share = number(argc, argv, "--share", 80),
		.hot = number(argc, argv, "--hot", 1),
		.times = number(argc, argv, "--times", 10),
		.snapshots = number(argc, argv, "--snapshots", 0),
	};

	if (argc < 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: cleaner-bench STORE [--OPTION N]...\n");
		return 2;
	}
	plan.path = argv[1];
	run(&plan);
	return 0;
}
