/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A store with many snapshots, for tests/bench/delete.sh to delete.
 *
 *   delete-bench STORE --capacity GiB --size MiB --snapshots N --blocks N
 *
 * makes it: volume v of that size, written once, then snapshots v@1, v@2 ...
 * with so many random 4 KiB writes before each.
 */
#include <inttypes.h>

#include "bench.h"
#include "test-store.h"

struct plan {
	uint64_t capacity, nr_volume_blocks, nr_snapshots, nr_blocks;
};

static void make_snapshots(const struct plan *plan, struct store *store,
			   struct volume_handle *handle)
{
	struct load load = {.rng = {1}, .nr_blocks = plan->nr_volume_blocks};
	char name[32];

	for (uint64_t i = 1; i <= plan->nr_snapshots; i++) {
		for (uint64_t k = 0; k < plan->nr_blocks; k++)
			bench_write(handle, load_next(&load), NULL);
		(void)snprintf(name, sizeof(name), "v@%" PRIu64, i);
		bench_snapshot(store, name);
	}
}

int main(int argc, char **argv)
{
	struct plan plan = {
		.capacity = test_option(&argc, argv, "capacity", 32) << 30,
		.nr_volume_blocks =
			(test_option(&argc, argv, "size", 1024) << 20) /
			BLOCK_SIZE,
		.nr_snapshots = test_option(&argc, argv, "snapshots", 10000),
		.nr_blocks = test_option(&argc, argv, "blocks", 150),
	};
	struct volume_handle *handle;
	struct error err = ERROR_NONE;
	struct store *store;

	if (argc != 2) {
		fprintf(stderr, "usage: delete-bench STORE [--OPTION N]...\n");
		return 2;
	}
	store = bench_make(argv[1], plan.capacity);
	must(store_create(store, "v", plan.nr_volume_blocks * BLOCK_SIZE, &err),
	     "create", &err);
	handle = bench_open_volume(store, "v");
	for (uint64_t i = 0; i < plan.nr_volume_blocks; i++)
		bench_write(handle, i, NULL);
	make_snapshots(&plan, store, handle);
	volume_close(handle);
	bench_close(store);
	return 0;
}
