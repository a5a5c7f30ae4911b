/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the benchmark programs share: a store on a file, writes of whole
 * blocks that are timed, and figures as lines "name value unit", which
 * tests/bench/functions.sh reads.
 *
 * Typical use: bench_make(), store_create(), bench_open_volume(),
 * bench_write() ..., bench_figure() and latency_print(), bench_close().
 * Options are taken off the command line by test_option() and test_flag()
 * (test-store.h).  One thread, unless said otherwise.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine.h"
#include "random.h"
#include "units.h"

struct backend;

/* Nanoseconds of a clock that only goes forward.  Any thread. */
uint64_t now_ns(void);

/* A benchmark has no use for a store that fails: say so, and exit(1). */
void must(int r, const char *what, const struct error *err);

/* ---- stores ---- */

/* An empty store in the file @path, which is replaced; open and started. */
struct store *bench_make(const char *path, uint64_t capacity);
/* Open and start the store in @path; @options may be NULL. */
struct store *bench_open(const char *path,
			 const struct store_open_options *options);
/* The same on @be, which is taken over. */
struct store *bench_open_backend(struct backend *be,
				 const struct store_open_options *options);
/* In order, with a checkpoint. */
void bench_close(struct store *store);

struct volume_handle *bench_open_volume(struct store *store, const char *name);
/* One snapshot; @name is vol@s. */
void bench_snapshot(struct store *store, const char *name);

/* ---- latencies ---- */

/* Each power of two of nanoseconds in so many equal steps: 3 % at most. */
#define LATENCY_STEPS_SHIFT 5u
#define LATENCY_BUCKETS ((65u - LATENCY_STEPS_SHIFT) << LATENCY_STEPS_SHIFT)

/* How often something took how long; all zero: nothing yet. */
struct latency {
	uint64_t buckets[LATENCY_BUCKETS];
	uint64_t nr;
	uint64_t worst_ns;
};

void latency_add(struct latency *latency, uint64_t ns);
/* What @percent of them took at most; the upper end of its bucket. */
uint64_t latency_percentile(const struct latency *latency, double percent);
/* Figures NAME-p50, -p99, -p99.9 and -worst. */
void latency_print(const struct latency *latency, const char *name);
/* Lines "microseconds count" of the buckets that are not empty. */
void latency_plot(const struct latency *latency, FILE *file);

/* ---- load ---- */

/* Which block is written next. */
struct load {
	struct rng rng;
	uint64_t nr_blocks;
	bool hot; /* nine of ten writes to one tenth of the blocks */
};

uint64_t load_next(struct load *load);

/*
 * Write @block of the volume, with a content that no block had before.
 * @latency may be NULL.  Returns what volume_write() did.
 */
int bench_try_write(struct volume_handle *handle, uint64_t block,
		    struct latency *latency, struct error *err);
/* The same; must succeed. */
void bench_write(struct volume_handle *handle, uint64_t block,
		 struct latency *latency);

/* ---- figures ---- */

/* Print one; @unit may have spaces in it, or be "". */
void bench_figure(const char *name, double value, const char *unit);

/* The file for rows of a plot, with its line of column names; exits if it
 * cannot be made.  NULL, when @path is. */
FILE *bench_rows(const char *path, const char *columns);
/* --NAME VALUE of the command line, removed from it; else NULL. */
const char *bench_text_option(int *argc, char **argv, const char *name);

#endif
