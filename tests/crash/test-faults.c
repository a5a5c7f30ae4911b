/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What fails: for each operation of the medium, each system call on a file,
 * for an allocation and for the start of a thread the k-th one fails, for k =
 * 1, 2 ... until the workload gets through without meeting it; once alone, and
 * each later one too.
 *
 * Whatever failed said so in a sentence, and either the store goes on as if
 * the operation had never been asked for, or it has stopped (I12): then reads
 * go on and are right, and nothing else is acknowledged.  Opened again, also
 * after a power cut, it holds a prefix of the log at or after what was
 * acknowledged as durable.  Under LeakSanitizer nothing leaks.
 *
 * The first round does everything a store can do, one after the other; the
 * rounds after it work at random.
 *
 * test-faults [--seed N] [--long] [--every N] [--allocations]
 *             [--fault N [--k N] [--forever N] [--round N]]
 *
 * --every N: of the faults of a kind each N-th; --allocations: of that kind
 * only.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faults-work.h"
#include "faults.h"
#include "test-store.h"

#define RANDOM_STEPS 40u
#define ROUNDS_DEFAULT 2u
#define ROUNDS_LONG 30u
/* Of the faults that last, by default each so many-th is tried. */
#define FOREVER_EVERY 4u
#define SHORT_SEEDS 10u
/* With @forever so many operations fail before the fault ends. */
#define FAILURES_FOREVER 3u

struct strike {
	enum fault fault;
	uint64_t k;
	bool forever;
	uint64_t round;
	struct workload w;
};

static uint64_t seed;
static char file[] = "/dev/shm/varve-test-XXXXXX";

/* What the faults of a kind came to. */
static struct tally {
	uint64_t struck, stopped, refused, unnoticed;
} tallies[NR_FAULTS];

static void fail(const struct strike *s, const char *sentence)
{
	const struct steps *steps = &s->w.steps;

	die("FAILED %s %" PRIu64 "%s, after %s: %s\n"
	    "  again: --seed %" PRIu64 " --fault %d --k %" PRIu64
	    " --forever %d (round %" PRIu64 ")",
	    fault_name(s->fault), s->k, s->forever ? " and all later" : "",
	    steps->len ? steps->ptr[steps->len - 1].what : "start", sentence,
	    seed, (int)s->fault, s->k, s->forever, s->round);
}

/* ---- afterwards ---- */

static struct model *before; /* the operation at hand */

static void inside(struct workload *w, bool enters)
{
	if (enters) {
		model_free(before);
		before = model_copy(w->model);
		if (w->nr_refused >= FAILURES_FOREVER)
			faults_disarm(w->disk);
	}
	faults_inside(w->disk, enters);
}

/* Does @name hold what it does in @model?  True when it is not there. */
static bool snapshot_equals(const struct workload *w, const struct model *model,
			    const char *name, struct error *err)
{
	const struct model_volume *v = model_find(model, name);
	struct volume_handle *handle;
	bool equal;
	int r = volume_open(w->store, name, 0, &handle, err);

	if (r < 0)
		return r == -ENOENT;
	equal = v && model_volume_equals(v, handle, err);
	volume_close(handle);
	return equal;
}

/* Each snapshot is as it was, or as the failed operation makes it. */
static bool reads_go_on(const struct workload *w, struct error *err)
{
	for (size_t i = 0; i < before->nr; i++) {
		const struct model_volume *v = before->volumes[i];

		/* the one that was being written may be half new */
		if (v->snapshot && !snapshot_equals(w, before, v->name, err) &&
		    !snapshot_equals(w, w->model, v->name, err))
			return false;
	}
	return true;
}

/* Nothing that changes the store is acknowledged any more. */
static bool nothing_is_acknowledged(const struct workload *w)
{
	static const char *const a_late[] = {"a@late"};
	struct volume_handle *handle;
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
	return ok;
}

/* Open @disk: a prefix of the log, at or after what was durable. */
static void must_recover(const struct strike *s, struct memory_disk *disk,
			 const char *when)
{
	const struct workload *w = &s->w;
	struct window window = {0, w->states.len - 1, NULL};
	struct error err = ERROR_NONE;
	struct store *store;
	uint64_t hash;

	for (size_t i = 0; i < w->steps.len; i++)
		if (w->steps.ptr[i].durable)
			window.first = w->steps.ptr[i].last_state;
	if (test_store_open(disk, &w->options, &store, &err) < 0) {
		(void)error_prefix(&err, "%s: does not open", when);
		fail(s, err.message);
	}
	if (model_hash_store(store, &hash, &err) < 0)
		fail(s, err.message);
	if (!workload_allows(w, window, hash)) {
		(void)error_set(&err, EUCLEAN,
				"%s: no prefix at or after what was durable",
				when);
		fail(s, err.message);
	}
	if (!test_store_check(store, &err))
		fail(s, err.message);
	(void)store_close(store, false, NULL); /* it was looked at */
}

static void must_recover_from_power_cut(const struct strike *s)
{
	struct memory_disk *disk =
		memory_disk_rebuild(s->w.disk, memory_disk_nr_events(s->w.disk),
				    CRASH_KEEP_NONE, 0);

	must_recover(s, disk, "after a power cut");
	memory_disk_put(disk);
}

/* The store has stopped. */
static void must_have_stopped(struct strike *s)
{
	struct workload *w = &s->w;
	struct error err = ERROR_NONE;
	int r;

	if (!reads_go_on(w, &err))
		fail(s, err.message);
	if (!nothing_is_acknowledged(w))
		fail(s, "something was acknowledged");
	r = store_close(w->store, true, NULL);
	w->store = NULL;
	if (r == 0)
		fail(s, "a clean stop succeeded");
	must_recover(s, w->disk, "opened again");
}

/* The store goes on. */
static void must_be_whole(struct strike *s)
{
	struct workload *w = &s->w;
	struct error err = ERROR_NONE;
	int r;

	if (!model_equals_store(w->model, w->store, &err) ||
	    !test_store_check(w->store, &err))
		fail(s, err.message);
	r = store_close(w->store, true, &err);
	w->store = NULL;
	if (r < 0 || test_store_open(w->disk, &w->options, &w->store, &err) < 0)
		fail(s, err.message);
	if (!model_equals_store(w->model, w->store, &err) ||
	    !test_store_check(w->store, &err))
		fail(s, err.message);
}

/* ---- strikes ---- */

/* Work until well after the fault. */
static void work(struct strike *s)
{
	struct workload *w = &s->w;
	unsigned int after = 0;

	if ((int)s->fault == MEMORY_ALLOCATE || (int)s->fault == MEMORY_FREE)
		faults_do_space(w);
	for (unsigned int i = 0; s->round > 0 && i < RANDOM_STEPS; i++)
		faults_do_random(w, i);
	for (size_t i = 0; s->round == 0 && after < 2 && faults_do_part(w, i);
	     i++)
		after += faults_struck(w->disk) > 0;
}

static void count(const struct strike *s)
{
	struct tally *tally = &tallies[s->fault];

	tally->struck++;
	if (s->w.stopped)
		tally->stopped++;
	else if (s->w.nr_refused > 0)
		tally->refused++;
	else
		tally->unnoticed++;
}

/* Run until the fault strikes; false when it was never reached. */
static bool strike(struct strike *s)
{
	bool struck, on_file = s->fault >= FAULT_PREAD;
	struct workload *w = &s->w;

	faults_use_file(on_file ? file : NULL);
	(void)unlink(file);
	workload_init(w, seed + s->round, WORK_FRAMES, TEST_SEGMENT_SHIFT);
	workload_record(w);
	w->may_fail = true;
	w->inside = inside;
	faults_arm(w->disk, s->fault, s->k, s->forever);
	work(s);
	faults_disarm(w->disk);
	struck = faults_struck(w->disk) > 0;
	w->inside = NULL;
	if (!on_file)
		must_recover_from_power_cut(s);
	if (w->stopped)
		must_have_stopped(s);
	else
		must_be_whole(s);
	workload_done(w);
	if (s->fault == FAULT_SHORT && w->nr_refused > 0)
		fail(s, "a short read or write was a failure");
	if (struck)
		count(s);
	return struck;
}

static void try_fault(enum fault fault, bool forever, uint64_t round,
		      uint64_t every)
{
	struct strike s = {
		.fault = fault, .k = 1, .forever = forever, .round = round};

	while (strike(&s) && (fault != FAULT_SHORT || s.k < SHORT_SEEDS))
		s.k += every;
	(void)unlink(file);
}

static void print_tally(enum fault fault)
{
	const struct tally *t = &tallies[fault];

	printf("%-18s %6" PRIu64 " faults: %6" PRIu64 " refused, %6" PRIu64
	       " stopped the store, %6" PRIu64 " without harm\n",
	       fault_name(fault), t->struck, t->refused, t->stopped,
	       t->unnoticed);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	bool is_long = test_flag(&argc, argv, "long");
	uint64_t rounds = is_long ? ROUNDS_LONG : ROUNDS_DEFAULT;
	uint64_t only, k, forever, round, every;

	seed = test_option(&argc, argv, "seed", rng_time_seed());
	every = test_option(&argc, argv, "every", 1);
	only = test_option(&argc, argv, "fault", NR_FAULTS);
	if (test_flag(&argc, argv, "allocations"))
		only = FAULT_ALLOCATION;
	k = test_option(&argc, argv, "k", 0);
	forever = test_option(&argc, argv, "forever", 0);
	round = test_option(&argc, argv, "round", 0);
	if (argc > 1)
		die("%s: unknown option %s", argv[0], argv[1]);
	if (every == 0)
		die("%s: --every: must be above 0", argv[0]);
	printf("seed %" PRIu64 "\n", seed);
	fflush(stdout);
	if (mkstemp(file) < 0)
		die("%s: %s", file, strerror(errno));
	if (k > 0) {
		struct strike s = {.fault = (enum fault)only,
				   .k = k,
				   .forever = forever,
				   .round = round};

		printf("struck: %d\n", strike(&s));
		return 0;
	}
	for (enum fault f = 0; f < NR_FAULTS; f++) {
		for (uint64_t i = 0; i < rounds; i++) {
			if (only != NR_FAULTS && only != f)
				continue;
			try_fault(f, false, i, every);
			try_fault(f, true, i,
				  is_long ? every : every * FOREVER_EVERY);
		}
		print_tally(f);
	}
	model_free(before);
	return 0;
}
