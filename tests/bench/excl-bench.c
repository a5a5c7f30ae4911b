/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast the engine tells what deleting would free, from memory:
 *
 *   excl-bench STORE [--mib N]
 *
 * A volume of N MiB (2048) is written once, 4 KiB at a time, in an order in
 * which no two neighbours follow one another: every leaf of its map is full,
 * and its names are all over the store.  Then every other leaf is written
 * again behind a snapshot.  STORE is made and left behind; put it on tmpfs.
 * Prints "name value unit" lines.
 */
#include <stdlib.h>

#include "bench.h"
#include "test-store.h"

#define NR_WALKS 21u

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The middle one of several walks over @nr_leaves, which free @expected. */
static double leaves_per_second(struct store *store, const char *name,
				bool recursive, uint64_t nr_leaves,
				uint64_t expected)
{
	double rates[NR_WALKS];
	struct error err = {0};

	/* what the writes left to do is not part of it */
	must(store_checkpoint(store, &err), "checkpoint", &err);
	for (unsigned int i = 0; i < NR_WALKS; i++) {
		uint64_t begin = now_ns();
		struct space_freed freed;

		must(store_delete_dry_run(store, &name, 1, recursive, &freed,
					  &err),
		     name, &err);
		rates[i] = (double)nr_leaves * 1e9 / (double)(now_ns() - begin);
		if (freed.blocks != expected || !freed.exact) {
			fprintf(stderr, "%s: wrong answer\n", name);
			exit(1);
		}
	}
	qsort(rates, NR_WALKS, sizeof(rates[0]), compare_doubles);
	return rates[NR_WALKS / 2];
}

/* Every block once, far from the one before; @nr_blocks is a power of two. */
static void write_scattered(struct store *store, uint64_t nr_blocks,
			    uint64_t every_leaf)
{
	struct volume_handle *handle = bench_open_volume(store, "v");

	for (uint64_t i = 0; i < nr_blocks; i++) {
		uint64_t block = i * 0x9e3779b1 % nr_blocks;

		if (block / LEAF_BLOCKS % every_leaf == 0)
			bench_write(handle, block, NULL);
	}
	volume_close(handle);
}

int main(int argc, char **argv)
{
	uint64_t nr_blocks = test_option(&argc, argv, "mib", 2048) << 8;
	struct error err = {0};
	struct store *store;

	if (argc != 2 || (nr_blocks & (nr_blocks - 1))) {
		fprintf(stderr, "usage: excl-bench STORE [--mib N], a power of "
				"two\n");
		return 2;
	}
	store = bench_make(argv[1], nr_blocks * BLOCK_SIZE * 2 + (1ull << 30));
	must(store_create(store, "v", nr_blocks * BLOCK_SIZE, &err), "create",
	     &err);
	write_scattered(store, nr_blocks, 1);
	bench_figure("one",
		     leaves_per_second(store, "v", false,
				       nr_blocks / LEAF_BLOCKS, nr_blocks),
		     "leaves/s");
	bench_snapshot(store, "v@s");
	write_scattered(store, nr_blocks, 2);
	bench_figure("half",
		     leaves_per_second(store, "v@s", false,
				       nr_blocks / 2 / LEAF_BLOCKS,
				       nr_blocks / 2),
		     "leaves/s");
	bench_figure("set",
		     leaves_per_second(store, "v", true,
				       nr_blocks * 3 / 2 / LEAF_BLOCKS,
				       nr_blocks * 3 / 2),
		     "leaves/s");
	bench_close(store);
	return 0;
}
