/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The death of the process with a tail file on tmpfs: nothing acknowledged is
 * lost, flushed or not, though the recovery itself dies at each of its
 * writes, syncs and superblock writes, and once more after that.
 *
 * A write that fails for good stands for the death: what comes after it does
 * not happen, and the tail files stay as they are.
 *
 * test-tail [--seed N]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test-store.h"
#include "workload.h"

#define NR_OPERATIONS 20u
#define SKIPPED 77

static uint64_t seed, nr_deaths;
static char dir[] = "/dev/shm/varve-test-XXXXXX";
static const char *const dirs[] = {dir, NULL};

/* Acknowledged, not flushed, and then the process is gone. */
static void work_and_die(struct workload *w, uint64_t k)
{
	static const char *const a_s[] = {"a@s"};
	struct store_stat st;

	workload_init(w, seed + k, WORK_FRAMES, TEST_SEGMENT_SHIFT);
	w->options.tail_dirs = dirs;
	work_reopen(w, true);
	store_stat(w->store, &st);
	if (!st.tail_shared)
		die("FAILED no tail file was made in %s", dir);
	for (unsigned int i = 0; i < NR_OPERATIONS; i++) {
		work_random_data(w, false);
		if (i == 7 && k % 2)
			work_snapshot(w, a_s, 1);
		if (i == 11 && k % 3 == 0)
			work_checkpoint(w);
	}
	(void)store_close(w->store, false, NULL); /* dead in any case */
	w->store = NULL;
}

/* A recovery that dies at the @k-th @op; false: it was through before. */
static bool die_in_recovery(struct workload *w, enum memory_op op, uint64_t k)
{
	struct store *store = NULL;
	struct error err = ERROR_NONE;
	int r;

	memory_disk_fault(w->disk, op, k, EIO, true);
	r = test_store_open(w->disk, &w->options, &store, &err);
	memory_disk_fault(w->disk, op, 0, 0, false);
	if (r == 0)
		(void)store_close(store, false, NULL); /* a death, too */
	else if (r != -EIO)
		die("FAILED operation %d, death at %" PRIu64 ": %s (seed "
		    "%" PRIu64 ")",
		    (int)op, k, err.message, seed);
	nr_deaths += r < 0;
	return r < 0;
}

static bool strike(enum memory_op op, uint64_t k)
{
	struct workload w;
	struct error err = ERROR_NONE;
	bool died;

	work_and_die(&w, k);
	died = die_in_recovery(&w, op, k);
	(void)die_in_recovery(&w, op, 1 + rng_below(&w.rng, k));
	if (test_store_open(w.disk, &w.options, &w.store, &err) < 0 ||
	    !model_equals_store(w.model, w.store, &err) ||
	    !test_store_check(w.store, &err))
		die("FAILED operation %d, death at %" PRIu64 ": %s\n"
		    "  again: --seed %" PRIu64,
		    (int)op, k, err.message, seed);
	if (store_close(w.store, true, &err) < 0)
		die("FAILED to stop: %s (seed %" PRIu64 ")", err.message, seed);
	w.store = NULL;
	workload_done(&w);
	return died;
}

int main(int argc, char **argv)
{
	static const enum memory_op ops[] = {MEMORY_WRITE, MEMORY_SYNC,
					     MEMORY_SUPER_WRITE};

	seed = test_option(&argc, argv, "seed", rng_time_seed());
	if (argc > 1)
		die("%s: unknown option %s", argv[0], argv[1]);
	if (!mkdtemp(dir))
		return SKIPPED;
	printf("seed %" PRIu64 "\n", seed);
	fflush(stdout);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		for (uint64_t k = 1; strike(ops[i], k); k++)
			;
	if (rmdir(dir) < 0)
		die("FAILED a clean stop left a tail file in %s", dir);
	printf("%" PRIu64 " deaths, seed %" PRIu64 "\n", nr_deaths, seed);
	return nr_deaths > 0 ? 0 : 1;
}
