/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Crashes: for each kind of operation a short workload is recorded, the disk
 * is rebuilt as of a crash after each event under each policy, the store is
 * recovered, and must then hold an exact prefix of the log at or after what
 * was acknowledged as durable, and pass check.  A sample of the recoveries is
 * itself cut at each of its events.
 *
 * test-crash [--seed N] [--states N] [--long]
 *            [--case N --event K --policy P --pick S [--second K2]]
 *
 * The second form, as printed with a failure, repeats one state.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cases.h"
#include "test-store.h"

#define STATES_DEFAULT 10000u
#define STATES_LONG 300000u
#define FAILURES_MAX 10u
#define RECOVERY_EVERY 40u /* of that many states one recovery is cut */

/* ---- one state ---- */

struct place {
	size_t test_case;
	uint64_t event;
	enum crash_policy policy;
	uint64_t pick;
	uint64_t second; /* events of the recovery that was cut, 0: none */
};

struct totals {
	uint64_t seed, states, states_of_recovery, failures;
};

static void failed(struct totals *totals, const struct workload *w,
		   const struct place *at, struct window window,
		   const char *sentence)
{
	char event[128] = "start";

	if (at->event > 0)
		memory_disk_print_event(w->disk, at->event - 1, event,
					sizeof(event));
	fprintf(stderr,
		"FAILED %s, during %s, after %s:\n  %s\n"
		"  again: --seed %" PRIu64 " --case %zu --event %" PRIu64
		" --policy %d --pick %" PRIu64 " --second %" PRIu64 " (%s)\n",
		crash_cases[at->test_case].name, window.step, event, sentence,
		totals->seed, at->test_case, at->event, (int)at->policy,
		at->pick, at->second, crash_policy_name(at->policy));
	if (++totals->failures >= FAILURES_MAX)
		die("too many failures");
}

/* Write, reopen: what the recovered store takes is there next time. */
static int write_and_reopen(struct memory_disk *disk,
			    const struct store_open_options *options,
			    struct store **store, uint64_t *ret_hash,
			    struct error *err)
{
	struct volume_handle *handle;
	char data[5000];
	int r = volume_open(*store, "b", VOLUME_OPEN_WRITE, &handle, err);

	if (r < 0)
		return r;
	memset(data, 'z', sizeof(data));
	r = volume_write(handle, data, sizeof(data), 777, true, err);
	volume_close(handle);
	if (r == 0)
		r = model_hash_store(*store, ret_hash, err);
	if (r < 0)
		return r;
	r = store_close(*store, false, err);
	*store = NULL;
	return r < 0 ? r : test_store_open(disk, options, store, err);
}

static bool goes_on(struct memory_disk *disk,
		    const struct store_open_options *options,
		    struct store **store, struct error *err)
{
	uint64_t before, after;

	if (write_and_reopen(disk, options, store, &before, err) < 0 ||
	    model_hash_store(*store, &after, err) < 0) {
		(void)error_prefix(err, "going on");
		return false;
	}
	if (before != after) {
		(void)error_set(err, EUCLEAN,
				"what was written afterwards got lost");
		return false;
	}
	return test_store_check(*store, err);
}

static bool holds_prefix(const struct workload *w, struct window window,
			 uint64_t hash, struct error *err)
{
	struct window all = {0, w->states.len - 1, NULL};

	if (workload_allows(w, window, hash))
		return true;
	(void)error_set(err, EUCLEAN,
			"no prefix of the log at or after what was durable "
			"(states %zu to %zu)%s",
			window.first, window.last,
			workload_allows(w, all, hash)
				? ", but one before or after that"
				: "");
	return false;
}

/* Open @disk, compare, check; *ret_hash is what the store holds. */
static bool recovers(struct memory_disk *disk, const struct workload *w,
		     struct window window, bool go_on, uint64_t *ret_hash,
		     struct error *err)
{
	struct store *store;
	bool ok;

	if (test_store_open(disk, &w->options, &store, err) < 0) {
		(void)error_prefix(err, "does not open");
		return false;
	}
	ok = model_hash_store(store, ret_hash, err) == 0 &&
	     holds_prefix(w, window, *ret_hash, err) &&
	     test_store_check(store, err);
	if (ok && go_on)
		ok = goes_on(disk, &w->options, &store, err);
	(void)store_close(store, false, NULL); /* it was looked at */
	return ok;
}

/* Recover what @at describes while it is recorded. */
static struct memory_disk *record_recovery(const struct workload *w,
					   const struct place *at,
					   uint64_t *ret_hash,
					   struct error *err)
{
	struct memory_disk *disk =
		memory_disk_rebuild(w->disk, at->event, at->policy, at->pick);
	struct store *store;
	int r;

	memory_disk_record(disk);
	r = test_store_open(disk, &w->options, &store, err);
	if (r == 0) {
		r = model_hash_store(store, ret_hash, err);
		(void)store_close(store, false, NULL); /* as a crash would */
	}
	if (r == 0)
		return disk;
	memory_disk_put(disk);
	return NULL;
}

/*
 * Crash once more, after @at->second events of the recovery; after all of
 * them the second recovery must find what the first one found.
 */
static bool recovers_twice(const struct workload *w, const struct place *at,
			   struct window window, uint64_t *ret_nr_events,
			   struct error *err)
{
	struct memory_disk *first, *second;
	uint64_t hash, hash_after;
	enum crash_policy policy = (enum crash_policy)((at->pick + at->second) %
						       NR_CRASH_POLICIES);
	bool ok;

	first = record_recovery(w, at, &hash, err);
	if (!first)
		return false;
	*ret_nr_events = memory_disk_nr_events(first);
	second = memory_disk_rebuild(first, at->second, policy, at->pick);
	ok = recovers(second, w, window, false, &hash_after, err);
	if (ok && at->second == *ret_nr_events && hash_after != hash) {
		(void)error_set(err, EUCLEAN,
				"a finished recovery was not durable");
		ok = false;
	}
	memory_disk_put(second);
	memory_disk_put(first);
	return ok;
}

/* What a read-only open, which must change nothing, finds. */
static bool read_only_hash(struct memory_disk *disk, uint64_t *ret,
			   struct error *err)
{
	static const enum memory_op changes[] = {
		MEMORY_WRITE, MEMORY_FREE, MEMORY_ALLOCATE, MEMORY_SUPER_WRITE};
	struct store_open_options options = {.read_only = true};
	struct store *store;
	uint64_t nr = 0;
	int r = test_store_open(disk, &options, &store, err);

	if (r == 0) {
		r = model_hash_store(store, ret, err);
		(void)store_close(store, true, NULL); /* nothing to write */
	}
	if (r < 0) {
		(void)error_prefix(err, "read-only");
		return false;
	}
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		nr += memory_disk_count(disk, changes[i]);
	if (nr > 0)
		(void)error_set(err, EUCLEAN, "a read-only open wrote");
	return nr == 0;
}

/* Opened read-only, then for writing, both with the same result. */
static bool opens_both_ways(struct memory_disk *disk, const struct workload *w,
			    struct window window, bool go_on, struct error *err)
{
	uint64_t seen, hash;

	if (!read_only_hash(disk, &seen, err) ||
	    !recovers(disk, w, window, go_on, &hash, err))
		return false;
	if (seen == hash)
		return true;
	(void)error_set(err, EUCLEAN, "a read-only open saw another state");
	return false;
}

static void try_state(struct totals *totals, const struct workload *w,
		      const struct place *at)
{
	struct window window = workload_window(w, at->event);
	struct memory_disk *disk =
		memory_disk_rebuild(w->disk, at->event, at->policy, at->pick);
	struct error err = ERROR_NONE;

	totals->states++;
	if (!opens_both_ways(disk, w, window, at->pick % 8 == 0, &err))
		failed(totals, w, at, window, err.message);
	else if (memory_disk_unallocated_writes(disk) > 0)
		failed(totals, w, at, window,
		       "the log wrote to a frame that was not allocated");
	memory_disk_put(disk);
}

static void try_second(struct totals *totals, const struct workload *w,
		       const struct place *at, uint64_t *ret_nr_events)
{
	struct window window = workload_window(w, at->event);
	struct error err = ERROR_NONE;

	totals->states_of_recovery++;
	if (!recovers_twice(w, at, window, ret_nr_events, &err))
		failed(totals, w, at, window, err.message);
}

/* Cut the recovery of @at at each of its events. */
static void try_recovery(struct totals *totals, const struct workload *w,
			 struct place at)
{
	uint64_t nr_events = 1;

	for (at.second = 1; at.second <= nr_events; at.second++)
		try_second(totals, w, &at, &nr_events);
}

/* ---- one workload ---- */

static void run_workload(struct workload *w, size_t test_case, uint64_t seed)
{
	workload_init(w, seed);
	if (crash_cases[test_case].checkpoint_first)
		work_checkpoint(w);
	workload_record(w);
	crash_cases[test_case].run(w);
	if (memory_disk_unallocated_writes(w->disk) > 0)
		die("%s: the log wrote to a frame that was not allocated",
		    crash_cases[test_case].name);
}

/* Each event, each policy, @picks times. */
static void try_workload(struct totals *totals, const struct workload *w,
			 struct place at, uint64_t picks)
{
	uint64_t nr_events = memory_disk_nr_events(w->disk);

	for (at.event = 0; at.event <= nr_events; at.event++) {
		for (int p = 0; p < NR_CRASH_POLICIES; p++) {
			uint64_t n = p == CRASH_KEEP_ALL || p == CRASH_KEEP_NONE
					     ? 1
					     : picks;

			at.policy = (enum crash_policy)p;
			for (uint64_t i = 0; i < n; i++) {
				at.pick = totals->seed + at.event * 131 + i;
				try_state(totals, w, &at);
				if (totals->states % RECOVERY_EVERY == 0)
					try_recovery(totals, w, at);
			}
		}
	}
}

static void try_case(struct totals *totals, size_t test_case, uint64_t states)
{
	struct place at = {.test_case = test_case};
	uint64_t goal = states / nr_crash_cases * 3 / 4; /* and recoveries */
	uint64_t before = totals->states + totals->states_of_recovery;
	uint64_t nr_events, picks;
	struct workload w;

	run_workload(&w, test_case, totals->seed + test_case);
	nr_events = memory_disk_nr_events(w.disk);
	/* two policies have nothing to choose */
	picks = goal / (nr_events + 1) / (NR_CRASH_POLICIES - 2);
	try_workload(totals, &w, at, picks ? picks : 1);
	printf("%-20s %4zu steps %4" PRIu64 " events %6" PRIu64 " states\n",
	       crash_cases[test_case].name, w.steps.len, nr_events,
	       totals->states + totals->states_of_recovery - before);
	fflush(stdout);
	workload_done(&w);
}

static int try_one(struct totals *totals, struct place at)
{
	struct workload w;
	uint64_t nr_events;

	if (at.test_case >= nr_crash_cases)
		die("there are %zu cases", nr_crash_cases);
	run_workload(&w, at.test_case, totals->seed + at.test_case);
	if (at.event > memory_disk_nr_events(w.disk))
		die("there are %" PRIu64 " events",
		    memory_disk_nr_events(w.disk));
	if (at.second)
		try_second(totals, &w, &at, &nr_events);
	else
		try_state(totals, &w, &at);
	workload_done(&w);
	return totals->failures ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct totals totals = {
		.seed = test_option(&argc, argv, "seed", rng_time_seed())};
	bool is_long = test_flag(&argc, argv, "long");
	uint64_t states = test_option(&argc, argv, "states",
				      is_long ? STATES_LONG : STATES_DEFAULT);
	uint64_t rounds;
	struct place at = {
		.test_case = test_option(&argc, argv, "case", SIZE_MAX),
		.event = test_option(&argc, argv, "event", UINT64_MAX),
		.policy = (enum crash_policy)(
			test_option(&argc, argv, "policy", 0) %
			NR_CRASH_POLICIES),
		.pick = test_option(&argc, argv, "pick", 0),
		.second = test_option(&argc, argv, "second", 0),
	};

	if (argc > 1)
		die("%s: unknown option %s", argv[0], argv[1]);
	printf("seed %" PRIu64 "\n", totals.seed);
	if (at.event != UINT64_MAX)
		return try_one(&totals, at);
	/* more states: more workloads, not more looks at the same ones */
	rounds = (states + STATES_DEFAULT - 1) / STATES_DEFAULT;
	for (uint64_t round = 0; round < rounds; round++, totals.seed++)
		for (size_t i = 0; i < nr_crash_cases; i++)
			if (at.test_case == SIZE_MAX || at.test_case == i)
				try_case(&totals, i, states / rounds);
	printf("%" PRIu64 " crashes, %" PRIu64
	       " crashes of a recovery, %" PRIu64 " failures, seed %" PRIu64
	       "\n",
	       totals.states, totals.states_of_recovery, totals.failures,
	       totals.seed - rounds);
	return totals.failures ? 1 : 0;
}
