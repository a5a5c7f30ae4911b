/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend-file.h"

uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

void must(int r, const char *what, const struct error *err)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s: %s (%s)\n", program_invocation_short_name,
		what, err->message, strerror(-r));
	exit(1);
}

/* ---- stores ---- */

struct store *bench_make(const char *path, uint64_t capacity)
{
	struct store_init_options init = {.capacity = capacity};
	struct error err = ERROR_NONE;
	struct backend *be;

	if (path[0] == '-') {
		fprintf(stderr, "%s: no such option: %s\n",
			program_invocation_short_name, path);
		exit(2);
	}
	must(backend_file_create(path, capacity, true, &be, &init.capacity,
				 &err),
	     "create", &err);
	must(store_init(be, &init, &err), "init", &err);
	backend_close(be);
	return bench_open(path, NULL);
}

struct store *bench_open(const char *path,
			 const struct store_open_options *options)
{
	struct error err = ERROR_NONE;
	struct backend *be;

	must(backend_file_open(path, 0, -1, 0, &be, &err), "open", &err);
	return bench_open_backend(be, options);
}

struct store *bench_open_backend(struct backend *be,
				 const struct store_open_options *options)
{
	struct store_open_options none = {0};
	struct error err = ERROR_NONE;
	struct store *store;

	must(store_open(be, options ? options : &none, &store, &err), "open",
	     &err);
	must(store_start(store, &err), "start", &err);
	return store;
}

void bench_close(struct store *store)
{
	struct error err = ERROR_NONE;

	must(store_close(store, true, &err), "close", &err);
}

struct volume_handle *bench_open_volume(struct store *store, const char *name)
{
	struct volume_handle *handle;
	struct error err = ERROR_NONE;

	must(volume_open(store, name, VOLUME_OPEN_WRITE, &handle, &err), name,
	     &err);
	return handle;
}

void bench_snapshot(struct store *store, const char *name)
{
	struct error err = ERROR_NONE;

	must(store_snapshot(store, &name, 1, NULL, &err), name, &err);
}

/* ---- latencies ---- */

static unsigned int bucket_of(uint64_t ns)
{
	const uint64_t steps = 1u << LATENCY_STEPS_SHIFT;
	unsigned int shift = 0;

	if (ns < steps)
		return (unsigned int)ns;
	shift = 63 - (unsigned int)__builtin_clzll(ns) - LATENCY_STEPS_SHIFT;
	return (unsigned int)((shift << LATENCY_STEPS_SHIFT) + (ns >> shift));
}

/* The first nanosecond that is beyond @bucket. */
static uint64_t bucket_end_ns(unsigned int bucket)
{
	const uint64_t steps = 1u << LATENCY_STEPS_SHIFT;
	unsigned int shift;

	if (bucket < steps)
		return bucket + 1;
	shift = (bucket >> LATENCY_STEPS_SHIFT) - 1;
	return ((bucket & (steps - 1)) + steps + 1) << shift;
}

void latency_add(struct latency *latency, uint64_t ns)
{
	latency->buckets[bucket_of(ns)]++;
	latency->nr++;
	if (ns > latency->worst_ns)
		latency->worst_ns = ns;
}

uint64_t latency_percentile(const struct latency *latency, double percent)
{
	double wanted = (double)latency->nr * percent / 100;
	uint64_t seen = 0, end_ns;

	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++) {
		seen += latency->buckets[i];
		if (seen == 0 || (double)seen < wanted)
			continue;
		end_ns = bucket_end_ns(i);
		return end_ns < latency->worst_ns ? end_ns : latency->worst_ns;
	}
	return latency->worst_ns;
}

void latency_print(const struct latency *latency, const char *name)
{
	static const char *const percents[] = {"50", "99", "99.9"};
	char text[128];

	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		(void)snprintf(text, sizeof(text), "%s-p%s", name, percents[i]);
		bench_figure(text,
			     (double)latency_percentile(
				     latency, strtod(percents[i], NULL)) /
				     1e6,
			     "ms");
	}
	(void)snprintf(text, sizeof(text), "%s-worst", name);
	bench_figure(text, (double)latency->worst_ns / 1e6, "ms");
}

void latency_plot(const struct latency *latency, FILE *file)
{
	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++)
		if (latency->buckets[i])
			fprintf(file, "%.3f\t%" PRIu64 "\n",
				(double)bucket_end_ns(i) / 1e3,
				latency->buckets[i]);
}

/* ---- load ---- */

uint64_t load_next(struct load *load)
{
	uint64_t hot = load->nr_blocks / 10;

	if (!load->hot || hot == 0)
		return rng_below(&load->rng, load->nr_blocks);
	if (!rng_one_in(&load->rng, 10))
		return rng_below(&load->rng, hot);
	return hot + rng_below(&load->rng, load->nr_blocks - hot);
}

int bench_try_write(struct volume_handle *handle, uint64_t block,
		    struct latency *latency, struct error *err)
{
	static uint64_t data[BLOCK_SIZE / sizeof(uint64_t)];
	static uint64_t nr_writes;
	uint64_t begin;
	int r;

	data[0] = ++nr_writes;
	begin = now_ns();
	r = volume_write(handle, data, BLOCK_SIZE, block * BLOCK_SIZE, false,
			 err);
	if (latency)
		latency_add(latency, now_ns() - begin);
	return r;
}

void bench_write(struct volume_handle *handle, uint64_t block,
		 struct latency *latency)
{
	struct error err = ERROR_NONE;

	must(bench_try_write(handle, block, latency, &err), "write", &err);
}

/* ---- figures ---- */

void bench_figure(const char *name, double value, const char *unit)
{
	bool whole = value >= 1000 || value == (double)(int)value;
	int digits = whole ? 0 : value >= 100 ? 1 : 3;

	printf("%s %.*f %s\n", name, digits, value, unit);
	(void)fflush(stdout);
}

FILE *bench_rows(const char *path, const char *columns)
{
	FILE *file;

	if (!path)
		return NULL;
	file = fopen(path, "w");
	if (!file) {
		perror(path);
		exit(1);
	}
	fprintf(file, "%s\n", columns);
	setlinebuf(file); /* a run that is ended shows what it saw */
	return file;
}

const char *bench_text_option(int *argc, char **argv, const char *name)
{
	for (int i = 1; i + 1 < *argc; i++) {
		const char *value = argv[i + 1];

		if (strncmp(argv[i], "--", 2) != 0 ||
		    strcmp(argv[i] + 2, name) != 0)
			continue;
		memmove(argv + i, argv + i + 2,
			(size_t)(*argc - i - 1) * sizeof(*argv));
		*argc -= 2;
		return value;
	}
	return NULL;
}
