/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A full store loses nothing, and every way out of it works.
 *
 * For each step of a random workload: the capacity is reached there, or the
 * host has no room for another frame.  The workload goes on, refused where it
 * must be; then the power goes (each crash policy), the process dies, and
 * whatever makes space or only looks is done at 100 %.  After a delete,
 * writing goes on.  And recovery of a full store succeeds whatever it finds:
 * a tail file with all it can hold, a checkpoint cut short at each of its
 * writes when it was as large as admission lets it be.
 *
 * test-full [--seed N] [--long]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store.h"
#include "test-store.h"
#include "units.h"
#include "workload.h"

#define NR_STEPS 20u
#define RESERVE_FRAMES 16u
#define HOST_FRAMES 24u /* that the host still has */
/* Allocated since the last checkpoint: a crash makes the store forget them. */
#define FORGOTTEN_FRAMES 60u
#define SKIPPED 77
#define FILLER_BYTES (UINT64_C(84) << 20)
#define REGION_BYTES (UINT64_C(256) << 10)

enum full {
	FULL_CAPACITY,	/* by whole leaves */
	FULL_SCATTERED, /* by a block in each leaf: most metadata */
	FULL_HOST,	/* the store could grow, the host cannot */
	NR_FULL,
};

static const char *const full_names[] = {"capacity", "scattered", "host"};

static uint64_t seed;
static uint64_t nr_fillings, nr_refused, nr_crashes, nr_deaths, nr_ways;
static char dir[] = "/dev/shm/varve-test-XXXXXX";
static const char *const dirs[] = {dir, NULL};
static const char *doing; /* for messages */

#define must(r, err) must_at((r), (err), __LINE__)

static void must_at(int r, const struct error *err, int line)
{
	if (r < 0)
		die("FAILED line %d, %s: %s\n  again: --seed %" PRIu64, line,
		    doing, err->message, seed);
}

static struct store_stat stat_now(const struct workload *w)
{
	struct store_stat st;

	store_stat(w->store, &st);
	return st;
}

/* What was refused was so for want of space, and the store goes on. */
static void only_full(const struct workload *w)
{
	if (w->stopped || (w->failure < 0 && w->failure != -ENOSPC))
		die("FAILED %s: %s\n  again: --seed %" PRIu64, doing,
		    w->err.message, seed);
}

static void is_as_the_model(struct workload *w)
{
	struct error err = ERROR_NONE;

	if (!model_equals_store(w->model, w->store, &err))
		must(-EUCLEAN, &err);
}

/* ---- becoming full ---- */

static void one_step(struct workload *w, unsigned int i)
{
	char name[32];
	const char *const names[] = {name}, *const a[] = {"a"};
	static const char *const s[] = {"a@s"};

	(void)snprintf(name, sizeof(name), "a@t%u", i);
	switch (rng_below(&w->rng, 12)) {
	case 0:
		work_snapshot(w, names, 1);
		break;
	case 1:
		work_rollback(w, s, 1);
		break;
	case 2:
		if (model_find_kept(w->model, "a"))
			work_undo(w, a, 1);
		break;
	case 3:
		(void)snprintf(name, sizeof(name), "c%u", i);
		work_clone(w, "a@s", names, 1);
		break;
	case 4:
		work_checkpoint(w);
		break;
	case 5:
		work_reap(w);
		break;
	case 6:
		work_flush(w);
		break;
	default:
		work_random_data(w, true);
	}
	only_full(w);
}

/* Write to the filler until nothing more is taken, not a single block. */
static void fill(struct workload *w, enum full how)
{
	uint64_t length = how == FULL_SCATTERED ? BLOCK_SIZE : REGION_BYTES;
	uint64_t at = 0;

	nr_fillings++;
	for (;;) {
		if (at + length > FILLER_BYTES)
			die("FAILED %s: the store does not become full "
			    "(seed %" PRIu64 ")",
			    doing, seed);
		work_write(w, "filler", length, at, false);
		only_full(w);
		at += REGION_BYTES;
		if (w->failure == 0)
			continue;
		if (length == BLOCK_SIZE)
			break;
		length = BLOCK_SIZE;
	}
	nr_refused++;
}

static void become_full(struct workload *w, enum full how)
{
	w->may_fail = false;
	work_create(w, "filler", FILLER_BYTES);
	w->may_fail = true;
	if (how == FULL_HOST)
		memory_disk_limit_frames(w->disk, stat_now(w).frames_allocated +
							  HOST_FRAMES);
	fill(w, how);
}

/* ---- crashes ---- */

/* What is acknowledged as durable is there, and space can be made. */
static void open_after_power_cut(struct workload *w, struct memory_disk *disk,
				 enum crash_policy policy)
{
	const struct store_open_options options = {.nr_buffers = 8};
	static const char *const a[] = {"a"};
	struct window window =
		workload_window(w, memory_disk_nr_events(w->disk));
	struct error err = ERROR_NONE;
	struct store *store;
	uint64_t hash;

	must(test_store_open(disk, &options, &store, &err), &err);
	must(model_hash_store(store, &hash, &err), &err);
	if (!workload_allows(w, window, hash))
		die("FAILED %s, %s: the content is of no moment between "
		    "the last flush and the end\n  again: --seed %" PRIu64,
		    doing, crash_policy_name(policy), seed);
	must(store_delete(store, a, 1, true, &err), &err);
	if (!test_store_check(store, &err))
		must(-EUCLEAN, &err);
	must(store_close(store, true, &err), &err);
}

static void power_cuts(struct workload *w, bool host_is_full)
{
	uint64_t nr_allocated = stat_now(w).frames_allocated;

	for (int policy = 0; policy < NR_CRASH_POLICIES; policy++) {
		struct memory_disk *disk = memory_disk_rebuild(
			w->disk, memory_disk_nr_events(w->disk),
			(enum crash_policy)policy, rng_next(&w->rng));

		if (host_is_full)
			memory_disk_limit_frames(disk, nr_allocated);
		open_after_power_cut(w, disk, (enum crash_policy)policy);
		memory_disk_put(disk);
		nr_crashes++;
	}
}

/* The process dies without a flush; the tail file is there. */
static void die_and_recover(struct workload *w)
{
	struct error err = ERROR_NONE;

	(void)store_close(w->store, false, NULL); /* dead in any case */
	must(test_store_open(w->disk, &w->options, &w->store, &err), &err);
	nr_deaths++;
	is_as_the_model(w);
}

/* ---- the ways out ---- */

static void looking_works(struct workload *w)
{
	struct volume_info *list, info;
	struct error err = ERROR_NONE;
	size_t nr;

	must(store_list(w->store, &list, &nr, &err), &err);
	for (size_t i = 0; i < nr; i++)
		must(store_find(w->store, list[i].name, &info, &err), &err);
	free(list);
	if (!test_store_check(w->store, &err))
		must(-EUCLEAN, &err);
	is_as_the_model(w);
	nr_ways += 3;
}

/* None of these may be refused: writes leave room for them. */
static void changes_work(struct workload *w)
{
	static const char *const names[] = {"a"}, *const s[] = {"a@s"};

	work_flush(w);
	work_trim(w, "a", 8192, 0, true);
	work_zero(w, "b", 8192, 4096, true);
	work_rollback(w, s, 1);
	work_undo(w, names, 1);
	work_set(w, "a", 1 << 30, true);
	work_set(w, "a", 0, false);
	work_checkpoint(w);
	work_reopen(w, true);
	nr_ways += 9;
}

static void delete_snapshots(struct workload *w)
{
	for (size_t i = w->model->nr; i-- > 0;) {
		char name[NAME_MAX_BYTES + 1];
		const char *const names[] = {name};

		if (i >= w->model->nr || !w->model->volumes[i]->snapshot ||
		    strcmp(w->model->volumes[i]->name, "a@s") == 0)
			continue;
		strcpy(name, w->model->volumes[i]->name);
		work_delete(w, names, 1);
		nr_ways++;
	}
}

/* Snapshots until even they are refused; deleting is not, and gives room. */
static void deeper(struct workload *w)
{
	static const char *const filler[] = {"filler"};
	char name[32];
	const char *const names[] = {name};

	w->may_fail = true;
	for (unsigned int i = 0; i < 400; i++) {
		(void)snprintf(name, sizeof(name), "b@deep%u", i);
		work_snapshot(w, names, 1);
		only_full(w);
		if (w->failure < 0)
			break;
	}
	w->may_fail = false;
	is_as_the_model(w);
	die_and_recover(w);
	delete_snapshots(w);
	work_delete(w, filler, 1);
	nr_ways++;
	w->may_fail = true;
	work_write(w, "a", 200 << 10, 10000, false);
	must(w->failure, &w->err);
	work_write(w, "b", 100 << 10, 0, true);
	must(w->failure, &w->err);
	w->may_fail = false;
	looking_works(w);
	work_reopen(w, true);
	is_as_the_model(w);
}

/* A larger store takes what the full one refused, when its reserve is whole. */
static void growing_works(struct workload *w, enum full how)
{
	work_grow(w, RESERVE_FRAMES);
	must(w->failure, &w->err);
	nr_ways++;
	if (how == FULL_HOST)
		return;
	work_write(w, "a", 100 << 10, 0, true);
	must(w->failure, &w->err);
	fill(w, how);
	looking_works(w);
}

/* ---- all of it ---- */

static void start(struct workload *w, uint64_t nr_frames, uint64_t n)
{
	static const char *const s[] = {"a@s"};

	workload_init(w, seed + n, nr_frames, TEST_SEGMENT_SHIFT);
	w->options.tail_dirs = dirs;
	work_snapshot(w, s, 1);
	work_write(w, "a", 100 << 10, 50 << 10, false);
	work_reopen(w, true);
	if (!stat_now(w).tail_shared)
		die("FAILED no tail file was made in %s", dir);
	workload_record(w);
}

/* A clean stop, which leaves no tail file. */
static void finish(struct workload *w)
{
	struct error err = ERROR_NONE;

	must(store_close(w->store, true, &err), &err);
	w->store = NULL;
	workload_done(w);
}

/* Full at step @k; the rest of the workload runs into it. */
static void full_at(enum full how, unsigned int k)
{
	struct workload w;
	char text[64];

	(void)snprintf(text, sizeof(text), "full (%s) at step %u",
		       full_names[how], k);
	doing = text;
	start(&w, how == FULL_HOST ? 120 : WORK_FRAMES_FEW, k);
	w.may_fail = true;
	for (unsigned int i = 0; i < k; i++)
		one_step(&w, i);
	become_full(&w, how);
	w.may_fail = false;
	looking_works(&w);
	changes_work(&w);
	w.may_fail = true;
	for (unsigned int i = k; i < NR_STEPS; i++)
		one_step(&w, i);
	is_as_the_model(&w);
	power_cuts(&w, how == FULL_HOST);
	die_and_recover(&w);
	fill(&w, how);
	looking_works(&w);
	growing_works(&w, how);
	deeper(&w);
	nr_refused += w.nr_refused;
	finish(&w);
}

/* What the store has forgotten it can only have anew. */
static void give_forgotten(struct workload *w)
{
	memory_disk_limit_frames(w->disk, stat_now(w).frames_allocated +
						  FORGOTTEN_FRAMES);
	mutex_lock(&w->store->core.lock);
	w->store->frames.retry_at_ms = 0; /* it need not wait a second */
	mutex_unlock(&w->store->core.lock);
}

/*
 * A store filled by what dirties most, and a checkpoint that dies at its
 * @k-th @op; then a recovery that dies at its own.  False: the checkpoint was
 * through before.
 */
static bool cut_checkpoint_short(enum full how, enum memory_op op, uint64_t k)
{
	struct error err = ERROR_NONE;
	struct store *store = NULL;
	struct workload w;
	char text[64];
	bool died;

	(void)snprintf(text, sizeof(text),
		       "full (%s), checkpoint cut short at %" PRIu64,
		       full_names[how], k);
	doing = text;
	start(&w, how == FULL_HOST ? 120 : WORK_FRAMES_FEW, 1000 + k);
	w.may_fail = true;
	become_full(&w, how);
	is_as_the_model(&w);
	memory_disk_fault(w.disk, op, k, EIO, true);
	died = store_checkpoint(w.store, &err) < 0;
	(void)store_close(w.store, false, NULL); /* dead in any case */
	w.store = NULL;
	memory_disk_fault(w.disk, op, 1 + rng_below(&w.rng, k), EIO, true);
	if (test_store_open(w.disk, &w.options, &store, &err) == 0)
		(void)store_close(store, false, NULL); /* a death, too */
	memory_disk_fault(w.disk, op, 0, 0, false);
	must(test_store_open(w.disk, &w.options, &w.store, &err), &err);
	nr_deaths += 2;
	is_as_the_model(&w);
	w.may_fail = false;
	if (how == FULL_HOST)
		give_forgotten(&w);
	deeper(&w);
	finish(&w);
	return died;
}

int main(int argc, char **argv)
{
	static const enum memory_op ops[] = {MEMORY_WRITE, MEMORY_SYNC,
					     MEMORY_SUPER_WRITE};
	unsigned int rounds;

	seed = test_option(&argc, argv, "seed", rng_time_seed());
	rounds = test_flag(&argc, argv, "long") ? 20 : 1;
	if (argc > 1)
		die("%s: unknown option %s", argv[0], argv[1]);
	if (!mkdtemp(dir))
		return SKIPPED;
	printf("seed %" PRIu64 "\n", seed);
	fflush(stdout);
	for (unsigned int round = 0; round < rounds; round++, seed += 10000) {
		for (int how = 0; how < NR_FULL; how++)
			for (unsigned int k = 0; k <= NR_STEPS; k++)
				full_at((enum full)how, k);
		for (int how = 0; how < NR_FULL; how++)
			for (size_t i = 0; i < 3; i++)
				for (uint64_t k = 1; cut_checkpoint_short(
					     (enum full)how, ops[i], k);
				     k++)
					;
	}
	if (rmdir(dir) < 0)
		die("FAILED a clean stop left a tail file in %s", dir);
	printf("%" PRIu64 " times full, %" PRIu64
	       " operations refused, %" PRIu64 " power cuts, %" PRIu64
	       " deaths, %" PRIu64 " ways out, seed %" PRIu64 "\n",
	       nr_fillings, nr_refused, nr_crashes, nr_deaths, nr_ways,
	       seed - rounds * 10000);
	return nr_crashes > 0 && nr_deaths > 0 ? 0 : 1;
}
