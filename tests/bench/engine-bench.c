/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a snapshot costs the engine itself, without nbdkit and NBD:
 *
 *   engine-bench snapshot STORE   time of a snapshot of a volume that took
 *                                 1 GiB of random 4 KiB writes, with few
 *                                 snapshots and with 1,000
 *   engine-bench writes STORE     random 4 KiB writes in the second before
 *                                 and the second after a snapshot
 *
 * STORE is made and left behind; put it on tmpfs, where a sync costs next to
 * nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "test-store.h"

#define CAPACITY (12ull << 30)
#define NR_MANY 1000u
#define NR_SAMPLES 21u
#define SECOND_NS UINT64_C(1000000000)

static uint64_t written_bytes = 1ull << 30;
static struct load load = {.nr_blocks = (4ull << 30) / BLOCK_SIZE};

static void write_blocks(struct volume_handle *handle, uint64_t nr)
{
	while (nr--)
		bench_write(handle, load_next(&load), NULL);
}

/* As many as @ns allow. */
static uint64_t write_for(struct volume_handle *handle, uint64_t ns)
{
	uint64_t end_ns = now_ns() + ns, nr = 0;

	for (; now_ns() < end_ns; nr += 64)
		write_blocks(handle, 64);
	return nr;
}

/* Nanoseconds of one snapshot that finds nothing else to flush. */
static uint64_t time_snapshot(struct store *store, unsigned int number)
{
	struct error err = ERROR_NONE;
	uint64_t begin;
	char name[32];

	(void)snprintf(name, sizeof(name), "v@%u", number);
	must(store_flush(store, &err), "flush", &err);
	begin = now_ns();
	bench_snapshot(store, name);
	return now_ns() - begin;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void print_samples(const char *name, uint64_t *samples)
{
	const unsigned int middle = NR_SAMPLES / 2;
	char text[64];

	qsort(samples, NR_SAMPLES, sizeof(samples[0]), compare_u64);
	(void)snprintf(text, sizeof(text), "%s-median", name);
	bench_figure(text, (double)samples[middle] / 1000, "us");
	(void)snprintf(text, sizeof(text), "%s-worst", name);
	bench_figure(text, (double)samples[NR_SAMPLES - 1] / 1000, "us");
}

/* The figures of the next snapshots; *number is the name of the first. */
static void sample_snapshots(struct store *store, struct volume_handle *handle,
			     const char *name, unsigned int *number)
{
	uint64_t samples[NR_SAMPLES];

	for (unsigned int i = 0; i < NR_SAMPLES; i++) {
		samples[i] = time_snapshot(store, (*number)++);
		write_blocks(handle, 64);
	}
	print_samples(name, samples);
}

static void bench_snapshots(struct store *store, struct volume_handle *handle)
{
	unsigned int number = 0;

	write_blocks(handle, written_bytes / BLOCK_SIZE);
	sample_snapshots(store, handle, "snapshot-few", &number);
	while (number < NR_MANY) {
		(void)time_snapshot(store, number++);
		write_blocks(handle, 64);
	}
	sample_snapshots(store, handle, "snapshot-1000", &number);
}

static void bench_writes(struct store *store, struct volume_handle *handle)
{
	uint64_t before, after;

	write_blocks(handle, written_bytes / BLOCK_SIZE);
	/* until checkpoints come as often as they will */
	(void)write_for(handle, 2 * SECOND_NS);
	before = write_for(handle, SECOND_NS);
	bench_snapshot(store, "v@0");
	after = write_for(handle, SECOND_NS);
	bench_figure("writes-before", (double)before, "per second");
	bench_figure("writes-after", (double)after, "per second");
}

int main(int argc, char **argv)
{
	struct volume_handle *handle;
	struct error err = ERROR_NONE;
	struct store *store;

	written_bytes =
		test_option(&argc, argv, "written-mib", written_bytes >> 20)
		<< 20;
	if (argc != 3) {
		fprintf(stderr, "usage: engine-bench snapshot|writes STORE "
				"[--written-mib N]\n");
		return 2;
	}
	store = bench_make(argv[2], CAPACITY);
	must(store_create(store, "v", load.nr_blocks * BLOCK_SIZE, &err),
	     "create", &err);
	handle = bench_open_volume(store, "v");
	if (!strcmp(argv[1], "snapshot"))
		bench_snapshots(store, handle);
	else
		bench_writes(store, handle);
	volume_close(handle);
	bench_close(store);
	return 0;
}
