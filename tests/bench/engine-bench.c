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
 * nothing.  Prints "name value unit" lines for the script that runs it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend-file.h"
#include "engine.h"
#include "units.h"

#define VOLUME_BYTES (4ull << 30)
#define NR_WRITES ((1ull << 30) / BLOCK_SIZE)
#define NR_SAMPLES 21u
#define NR_MANY 1000u

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
	fprintf(stderr, "engine-bench: %s: %s (%s)\n", what, err->message,
		strerror(-r));
	exit(1);
}

static struct store *open_store(const char *path)
{
	struct store_init_options init = {.capacity = 12ull << 30};
	struct store_open_options options = {0};
	struct error err = {0};
	struct store *store;
	struct backend *be;

	must(backend_file_create(path, init.capacity, true, &be, &init.capacity,
				 &err),
	     "create", &err);
	must(store_init(be, &init, &err), "init", &err);
	backend_close(be);
	must(backend_file_open(path, 0, -1, 0, &be, &err), "open", &err);
	must(store_open(be, &options, &store, &err), "open", &err);
	must(store_start(store, &err), "start", &err);
	must(store_create(store, "v", VOLUME_BYTES, &err), "create", &err);
	return store;
}

/* Write random blocks: @nr of them, or as many as @ns allows. */
static uint64_t write_random(struct volume_handle *handle, uint64_t nr,
			     uint64_t ns)
{
	static uint64_t data[BLOCK_SIZE / sizeof(uint64_t)];
	uint64_t end = now_ns() + ns, done = 0, block;
	struct error err = {0};

	while (nr ? done < nr : done % 64 || now_ns() < end) {
		data[done % 512] = random_next();
		block = random_next() % (VOLUME_BYTES / BLOCK_SIZE);
		must(volume_write(handle, data, BLOCK_SIZE, block * BLOCK_SIZE,
				  false, &err),
		     "write", &err);
		done++;
	}
	return done;
}

/* Nanoseconds of one snapshot that finds nothing else to flush. */
static uint64_t snapshot(struct store *store, unsigned int number)
{
	struct error err = {0};
	const char *names[1];
	uint64_t begin;
	char name[32];

	(void)snprintf(name, sizeof(name), "v@%u", number);
	names[0] = name;
	must(store_flush(store, &err), "flush", &err);
	begin = now_ns();
	must(store_snapshot(store, names, 1, NULL, &err), "snapshot", &err);
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

	qsort(samples, NR_SAMPLES, sizeof(samples[0]), compare_u64);
	printf("%s-median %.1f us\n", name, (double)samples[middle] / 1000);
	printf("%s-worst %.1f us\n", name,
	       (double)samples[NR_SAMPLES - 1] / 1000);
}

static void bench_snapshot(struct store *store, struct volume_handle *handle)
{
	uint64_t samples[NR_SAMPLES];
	unsigned int i, number = 0;

	(void)write_random(handle, NR_WRITES, 0);
	for (i = 0; i < NR_SAMPLES; i++) {
		samples[i] = snapshot(store, number++);
		(void)write_random(handle, 64, 0);
	}
	print_samples("snapshot-few", samples);
	while (number < NR_MANY) {
		(void)snapshot(store, number++);
		(void)write_random(handle, 64, 0);
	}
	for (i = 0; i < NR_SAMPLES; i++) {
		samples[i] = snapshot(store, number++);
		(void)write_random(handle, 64, 0);
	}
	print_samples("snapshot-1000", samples);
}

static void bench_writes(struct store *store, struct volume_handle *handle)
{
	const uint64_t second = 1000000000;
	uint64_t before, after;

	(void)write_random(handle, NR_WRITES, 0);
	/* until checkpoints come as often as they will */
	(void)write_random(handle, 0, 2 * second);
	before = write_random(handle, 0, second);
	(void)snapshot(store, 0);
	after = write_random(handle, 0, second);
	printf("writes-before %" PRIu64 " per second\n", before);
	printf("writes-after %" PRIu64 " per second\n", after);
}

int main(int argc, char **argv)
{
	struct volume_handle *handle;
	struct error err = {0};
	struct store *store;

	if (argc != 3) {
		fprintf(stderr, "usage: engine-bench snapshot|writes STORE\n");
		return 2;
	}
	store = open_store(argv[2]);
	must(volume_open(store, "v", VOLUME_OPEN_WRITE, &handle, &err), "v",
	     &err);
	if (!strcmp(argv[1], "snapshot"))
		bench_snapshot(store, handle);
	else
		bench_writes(store, handle);
	volume_close(handle);
	must(store_close(store, false, &err), "close", &err);
	return 0;
}
