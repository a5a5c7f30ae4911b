/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A medium that fails: a random workload runs until the k-th write, sync or
 * superblock write fails, for each k.  From then on the store must be
 * fail-stop (I12): reads go on and are right, nothing else is acknowledged.
 * Opened again on a medium that works, it holds a prefix of the log at or
 * after what was acknowledged as durable.
 *
 * test-faults [--seed N] [--long]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test-store.h"
#include "workload.h"

#define STEPS_MAX 60u
#define ROUNDS_DEFAULT 1u
#define ROUNDS_LONG 30u

static uint64_t seed, nr_faults;

static void fail(const struct workload *w, enum memory_op op, uint64_t k,
		 const char *sentence)
{
	die("FAILED operation %d, fault at %" PRIu64 ", after %s: %s\n"
	    "  again: --seed %" PRIu64,
	    (int)op, k, w->steps.ptr[w->steps.len - 1].what, sentence, seed);
}

static void random_step(struct workload *w, unsigned int i)
{
	char name[32];
	const char *const names[] = {name};

	(void)snprintf(name, sizeof(name), "a@f%u", i);
	switch (rng_below(&w->rng, 8)) {
	case 0:
		work_flush(w);
		break;
	case 1:
		work_checkpoint(w);
		break;
	case 2:
		work_snapshot(w, names, 1);
		break;
	default:
		work_random_data(w, true);
	}
}

/* What the volumes held when the failing operation began. */
static bool reads_go_on(const struct workload *w, const struct model *before,
			struct error *err)
{
	for (size_t i = 0; i < before->nr; i++) {
		const struct model_volume *v = before->volumes[i];
		struct volume_handle *handle;
		bool equal;

		/* the one that was being written may be half new */
		if (!v->snapshot)
			continue;
		if (volume_open(w->store, v->name, 0, &handle, err) < 0)
			return false;
		equal = model_volume_equals(v, handle, err);
		volume_close(handle);
		if (!equal)
			return false;
	}
	return true;
}

/* Nothing that changes the store is acknowledged any more. */
static bool nothing_is_acknowledged(const struct workload *w)
{
	static const char *const a_late[] = {"a@late"};
	struct volume_handle *handle;
	struct store_stat st;
	struct error err;
	bool ok;

	if (volume_open(w->store, "a", VOLUME_OPEN_WRITE, &handle, &err) < 0)
		return false;
	ok = volume_write(handle, "x", 1, 0, false, &err) == -EIO &&
	     volume_zero(handle, 9000, 0, false, &err) == -EIO &&
	     volume_trim(handle, 8192, 0, false, &err) == -EIO &&
	     volume_flush(handle, &err) == -EIO &&
	     store_snapshot(w->store, a_late, 1, NULL, &err) == -EIO &&
	     store_checkpoint(w->store, &err) == -EIO;
	volume_close(handle);
	store_stat(w->store, &st);
	return ok && st.failed;
}

static bool recovers(struct workload *w, struct error *err)
{
	struct window window = {0, w->states.len - 1, NULL};
	uint64_t hash;

	for (size_t i = 0; i < w->steps.len; i++)
		if (w->steps.ptr[i].durable)
			window.first = w->steps.ptr[i].last_state;
	if (store_close(w->store, true, NULL) == 0) {
		(void)error_set(err, EUCLEAN, "a clean stop succeeded");
		return false;
	}
	if (test_store_open(w->disk, &w->options, &w->store, err) < 0)
		die("FAILED does not open: %s (seed %" PRIu64 ")", err->message,
		    seed);
	if (model_hash_store(w->store, &hash, err) < 0)
		return false;
	if (!workload_allows(w, window, hash)) {
		(void)error_set(err, EUCLEAN,
				"recovered no prefix at or after what was "
				"durable");
		return false;
	}
	return test_store_check(w->store, err);
}

/* Run until the @k-th @op fails; false when it was never reached. */
static bool strike(enum memory_op op, uint64_t k, bool forever, uint64_t round)
{
	struct workload w;
	struct model *before = NULL;
	struct error err = ERROR_NONE;
	bool struck;

	workload_init(&w, seed + round, WORK_FRAMES, TEST_SEGMENT_SHIFT);
	workload_record(&w);
	w.may_fail = true;
	memory_disk_fault(w.disk, op, k, EIO, forever);
	for (unsigned int i = 0; i < STEPS_MAX && w.failure == 0; i++) {
		model_free(before);
		before = model_copy(w.model);
		random_step(&w, i);
	}
	struck = w.failure != 0;
	if (struck) {
		nr_faults++;
		if (w.failure != -EIO)
			fail(&w, op, k, w.err.message);
		if (!reads_go_on(&w, before, &err))
			fail(&w, op, k, err.message);
		if (!nothing_is_acknowledged(&w))
			fail(&w, op, k, "something was acknowledged");
		memory_disk_fault(w.disk, op, 0, 0, false);
		if (!recovers(&w, &err))
			fail(&w, op, k, err.message);
	}
	model_free(before);
	workload_done(&w);
	return struck;
}

int main(int argc, char **argv)
{
	static const enum memory_op ops[] = {MEMORY_WRITE, MEMORY_SYNC,
					     MEMORY_SUPER_WRITE};
	bool is_long = test_flag(&argc, argv, "long");
	uint64_t rounds = is_long ? ROUNDS_LONG : ROUNDS_DEFAULT;

	seed = test_option(&argc, argv, "seed", rng_time_seed());
	if (argc > 1)
		die("%s: unknown option %s", argv[0], argv[1]);
	printf("seed %" PRIu64 "\n", seed);
	fflush(stdout);
	for (uint64_t round = 0; round < rounds; round++)
		for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
			for (uint64_t k = 1; strike(ops[i], k, k % 2, round);
			     k++)
				;
	printf("%" PRIu64 " faults, seed %" PRIu64 "\n", nr_faults, seed);
	return nr_faults > 0 ? 0 : 1;
}
