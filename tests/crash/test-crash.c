/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Crashes: for each kind of operation a short workload is recorded, the disk
 * is rebuilt as of a crash after each event under each policy, the store is
 * recovered, and must then hold an exact prefix of the log at or after what
 * was acknowledged as durable, and pass check.  A sample of the recoveries is
 * itself cut at each of its events, and of those recoveries once more.
 *
 * For each event the crash that keeps all, none, all but one and just one of
 * the events that no sync covers are enumerated; what is left of --states
 * goes to those that choose by chance.  States that leave the same disk count
 * once.
 *
 * test-crash [--seed N] [--states N] [--long]
 *            [--case N [--event K --policy P --pick S
 *                       [--event2 K2 ... [--event3 K3 ...]]]]
 *
 * The longer form, as printed with a failure, repeats one state.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cases.h"
#include "coverage.h"
#include "test-store.h"

#define STATES_DEFAULT 10000u
#define STATES_LONG 1000000u
#define FAILURES_MAX 10u
/* Of so many states one recovery is cut at each event, by level. */
static const uint64_t recovery_every[CRASH_LEVELS - 1] = {50, 40};

/* ---- one state ---- */

struct cut {
	uint64_t event;
	enum crash_policy policy;
	uint64_t pick;
};

struct place {
	size_t test_case;
	struct cut cuts[CRASH_LEVELS]; /* of the work, of its recovery ... */
	unsigned int nr_cuts;
};

DEFINE_VECTOR(signatures, uint64_t);

struct totals {
	uint64_t seed, states[CRASH_LEVELS], failures;
	struct coverage coverage;
	struct signatures seen; /* of the event at hand */
};

static uint64_t nr_states(const struct totals *totals)
{
	uint64_t ret = 0;

	for (unsigned int level = 0; level < CRASH_LEVELS; level++)
		ret += totals->states[level];
	return ret;
}

static void failed(struct totals *totals, const struct workload *w,
		   const struct place *at, struct window window,
		   const char *sentence)
{
	char event[128] = "start";

	if (at->cuts[0].event > 0)
		memory_disk_print_event(w->disk, at->cuts[0].event - 1, event,
					sizeof(event));
	fprintf(stderr,
		"FAILED %s, during %s, after %s:\n  %s\n"
		"  again: --seed %" PRIu64 " --case %zu",
		crash_cases[at->test_case].name, window.step, event, sentence,
		totals->seed, at->test_case);
	for (unsigned int i = 0; i < at->nr_cuts; i++) {
		const struct cut *cut = &at->cuts[i];
		const char *level = i == 0 ? "" : i == 1 ? "2" : "3";

		fprintf(stderr,
			" --event%s %" PRIu64
			" --policy%s %d --pick%s %" PRIu64,
			level, cut->event, level, (int)cut->policy, level,
			cut->pick);
	}
	fprintf(stderr, " (%s)\n",
		crash_policy_name(at->cuts[at->nr_cuts - 1].policy));
	if (++totals->failures >= FAILURES_MAX)
		die("too many failures");
}

static void see_recovery(struct coverage *coverage, struct store *store)
{
	struct store_stat st;

	store_stat(store, &st);
	coverage->seen[SEEN_LOG_EMPTY] += st.recovered_batches == 0;
	coverage->seen[SEEN_LOG_REPLAYED] += st.recovered_batches > 0;
	coverage->seen[SEEN_QUEUE] += st.reaper_queue > 0;
}

/* Write, reopen: what the recovered store takes is there next time. */
static int write_and_reopen(struct memory_disk *disk, const struct workload *w,
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
	if (r == -ENOSPC && w->may_fail) /* what was done of it, is */
		r = store_flush(*store, err);
	volume_close(handle);
	if (r == 0)
		r = model_hash_store(*store, ret_hash, err);
	if (r < 0)
		return r;
	r = store_close(*store, false, err);
	*store = NULL;
	return r < 0 ? r : test_store_open(disk, &w->options, store, err);
}

static void keep_line(void *opaque, const char *line)
{
	(void)error_set(opaque, EUCLEAN, "scrub: %s", line);
}

/* Every checksum is right; goes on with the scrub that the crash left. */
static bool scrubs_clean(struct store *store, struct error *err)
{
	struct scrub_options options = {.max_bytes = UINT64_MAX};
	struct scrub_progress progress = {0};
	struct error ignored; /* once keep_line() has said what is wrong */
	int r = 0;

	while (r == 0 && !progress.done)
		r = store_scrub(store, &options, &progress, keep_line, err,
				&ignored);
	return r == 0;
}

static bool goes_on(struct memory_disk *disk, const struct workload *w,
		    struct store **store, struct error *err)
{
	uint64_t before, after;

	if (write_and_reopen(disk, w, store, &before, err) < 0 ||
	    model_hash_store(*store, &after, err) < 0) {
		(void)error_prefix(err, "going on");
		return false;
	}
	if (before != after) {
		(void)error_set(err, EUCLEAN,
				"what was written afterwards got lost");
		return false;
	}
	return test_store_check(*store, err) && scrubs_clean(*store, err);
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
static bool recovers(struct totals *totals, struct memory_disk *disk,
		     const struct workload *w, struct window window, bool go_on,
		     uint64_t *ret_hash, struct error *err)
{
	struct store *store;
	bool ok;

	if (test_store_open(disk, &w->options, &store, err) < 0) {
		(void)error_prefix(err, "does not open");
		return false;
	}
	see_recovery(&totals->coverage, store);
	ok = model_hash_store(store, ret_hash, err) == 0 &&
	     holds_prefix(w, window, *ret_hash, err) &&
	     test_store_check(store, err);
	if (ok && go_on)
		ok = goes_on(disk, w, &store, err);
	(void)store_close(store, false, NULL); /* it was looked at */
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
static bool opens_both_ways(struct totals *totals, struct memory_disk *disk,
			    const struct workload *w, struct window window,
			    bool go_on, struct error *err)
{
	uint64_t seen, hash;

	if (!read_only_hash(disk, &seen, err) ||
	    !recovers(totals, disk, w, window, go_on, &hash, err))
		return false;
	if (seen == hash)
		return true;
	(void)error_set(err, EUCLEAN, "a read-only open saw another state");
	return false;
}

/* Recover @disk while it is recorded. */
static bool record_recovery(const struct workload *w, struct memory_disk *disk,
			    uint64_t *ret_hash, struct error *err)
{
	struct store *store;
	int r;

	memory_disk_record(disk);
	r = test_store_open(disk, &w->options, &store, err);
	if (r < 0)
		return false;
	r = model_hash_store(store, ret_hash, err);
	(void)store_close(store, false, NULL); /* as a crash would */
	return r == 0;
}

static struct memory_disk *rebuild(struct memory_disk *recorded,
				   const struct cut *cut)
{
	return memory_disk_rebuild(recorded, cut->event, cut->policy,
				   cut->pick);
}

/*
 * One state: the last cut of @at is made in @recorded, the recording of what
 * came before it.  @durable: what a finished recovery must have left, if
 * that is what was cut.
 */
static void try_state(struct totals *totals, const struct workload *w,
		      const struct place *at, struct memory_disk *recorded,
		      uint64_t durable)
{
	const struct cut *cut = &at->cuts[at->nr_cuts - 1];
	struct window window = workload_window(w, at->cuts[0].event);
	struct memory_disk *disk = rebuild(recorded, cut);
	struct error err = ERROR_NONE;
	uint64_t hash;

	totals->states[at->nr_cuts - 1]++;
	coverage_superblocks(&totals->coverage, disk);
	if (at->nr_cuts == 1) {
		if (!opens_both_ways(totals, disk, w, window,
				     cut->pick % 8 == 0, &err))
			failed(totals, w, at, window, err.message);
	} else if (!recovers(totals, disk, w, window, false, &hash, &err)) {
		failed(totals, w, at, window, err.message);
	} else if (cut->event == memory_disk_nr_events(recorded) &&
		   hash != durable) {
		failed(totals, w, at, window,
		       "a finished recovery was not durable");
	}
	if (memory_disk_unallocated_writes(disk) > 0)
		failed(totals, w, at, window,
		       "the log wrote to a frame that was not allocated");
	memory_disk_put(disk);
}

/* Cut the recovery of @at at each of its events, and some of those again. */
static void try_recovery(struct totals *totals, const struct workload *w,
			 struct place at, struct memory_disk *recorded)
{
	struct memory_disk *disk = rebuild(recorded, &at.cuts[at.nr_cuts - 1]);
	unsigned int level = at.nr_cuts++;
	struct cut *cut = &at.cuts[level];
	struct error err = ERROR_NONE;
	struct features features;
	uint64_t hash;

	if (!record_recovery(w, disk, &hash, &err)) {
		at.nr_cuts--;
		failed(totals, w, &at, workload_window(w, at.cuts[0].event),
		       err.message);
		memory_disk_put(disk);
		return;
	}
	features = features_of(disk, crash_cases[at.test_case].segment_shift);
	for (cut->event = 1; cut->event <= features.len; cut->event++) {
		cut->pick = at.cuts[0].pick + cut->event;
		cut->policy =
			(enum crash_policy)(cut->pick % NR_CRASH_POLICIES);
		try_state(totals, w, &at, disk, hash);
		coverage_crashed(&totals->coverage, &features, cut->event,
				 level, false);
		if (at.nr_cuts < CRASH_LEVELS &&
		    totals->states[level] % recovery_every[level] == 0)
			try_recovery(totals, w, at, disk);
	}
	features_done(&features);
	memory_disk_put(disk);
}

/* ---- one workload ---- */

static void run_workload(struct workload *w, size_t test_case, uint64_t seed)
{
	const struct crash_case *c = &crash_cases[test_case];

	workload_init(w, seed, c->nr_frames, c->segment_shift);
	if (c->checkpoint_first)
		work_checkpoint(w);
	workload_record(w);
	w->may_fail = c->may_fill_up;
	c->run(w);
	if (memory_disk_unallocated_writes(w->disk) > 0)
		die("%s: the log wrote to a frame that was not allocated",
		    c->name);
}

/* Is it the first that leaves this disk after this event? */
static bool is_new(struct totals *totals, struct memory_disk *recorded,
		   const struct cut *cut)
{
	struct memory_disk *disk = rebuild(recorded, cut);
	uint64_t signature = memory_disk_signature(disk);

	memory_disk_put(disk);
	for (size_t i = 0; i < totals->seen.len; i++)
		if (totals->seen.ptr[i] == signature)
			return false;
	if (signatures_push(&totals->seen, signature) < 0)
		die("out of memory");
	return true;
}

/* One way to crash after the event at hand. */
static void try_cut(struct totals *totals, const struct workload *w,
		    const struct features *features, struct place *at,
		    enum crash_policy policy, uint64_t pick)
{
	struct cut *cut = &at->cuts[0];

	cut->policy = policy;
	cut->pick = pick;
	if (!is_new(totals, w->disk, cut))
		return;
	try_state(totals, w, at, w->disk, 0);
	coverage_crashed(&totals->coverage, features, cut->event, 0,
			 policy == CRASH_KEEP_ALL);
	if (totals->states[0] % recovery_every[0] == 0)
		try_recovery(totals, w, *at, w->disk);
}

/* All ways to crash that need no chance, then @picks of each other policy. */
static void try_event(struct totals *totals, const struct workload *w,
		      const struct features *features, struct place *at,
		      uint64_t picks)
{
	uint64_t event = at->cuts[0].event;
	uint64_t nr = memory_disk_nr_unsynced(w->disk, event);

	totals->seen.len = 0;
	try_cut(totals, w, features, at, CRASH_KEEP_ALL, 0);
	try_cut(totals, w, features, at, CRASH_KEEP_NONE, 0);
	for (uint64_t i = 0; i < nr; i++) {
		try_cut(totals, w, features, at, CRASH_LOSE_ONE, i);
		try_cut(totals, w, features, at, CRASH_KEEP_ONE, i);
	}
	for (uint64_t i = 0; nr > 0 && i < picks; i++)
		for (int p = CRASH_DROP; p <= CRASH_GARBAGE; p++)
			try_cut(totals, w, features, at, (enum crash_policy)p,
				totals->seed + event * 131 + i);
}

/* Of each policy that goes by chance, how many to reach @goal states. */
static uint64_t picks_for(const struct workload *w, uint64_t goal)
{
	uint64_t nr_events = memory_disk_nr_events(w->disk);
	uint64_t enumerated = 0, nr_open = 0, picks;

	for (uint64_t event = 0; event <= nr_events; event++) {
		uint64_t nr = memory_disk_nr_unsynced(w->disk, event);

		enumerated += nr < 2 ? 1 + nr : 2 + 2 * nr;
		nr_open += nr > 0;
	}
	if (goal < enumerated || nr_open == 0)
		return 1;
	picks = (goal - enumerated) / nr_open /
		(CRASH_GARBAGE - CRASH_DROP + 1);
	return picks ? picks : 1;
}

static void see_work(struct coverage *coverage, const struct workload *w)
{
	coverage->seen[SEEN_FULL] += w->nr_refused;
	coverage->seen[SEEN_REAPED] += w->nr_reaped;
	coverage->seen[SEEN_META_CLEANED] += w->nr_moved_nodes;
	coverage->seen[SEEN_MOVED] += w->nr_moved;
	coverage->seen[SEEN_RENAMED] += w->nr_renamed;
}

static void try_case(struct totals *totals, size_t test_case, uint64_t goal)
{
	struct place at = {.test_case = test_case, .nr_cuts = 1};
	uint64_t before = nr_states(totals), picks;
	struct features features;
	struct workload w;

	run_workload(&w, test_case, totals->seed + test_case);
	features = features_of(w.disk, crash_cases[test_case].segment_shift);
	coverage_recorded(&totals->coverage, &features);
	see_work(&totals->coverage, &w);
	picks = picks_for(&w, goal * 3 / 4); /* and recoveries */
	for (at.cuts[0].event = 0; at.cuts[0].event <= features.len;
	     at.cuts[0].event++)
		try_event(totals, &w, &features, &at, picks);
	printf("%-24s %4zu steps %4zu events %6" PRIu64 " states\n",
	       crash_cases[test_case].name, w.steps.len, features.len,
	       nr_states(totals) - before);
	fflush(stdout);
	features_done(&features);
	workload_done(&w);
}

/* ---- main ---- */

/* Do the cuts before the last one of @at, then try that one. */
static int try_one(struct totals *totals, struct place at)
{
	struct memory_disk *recorded, *next;
	struct error err = ERROR_NONE;
	unsigned int last = at.nr_cuts - 1;
	uint64_t hash = 0;
	struct workload w;

	if (at.test_case >= nr_crash_cases)
		die("there are %zu cases", nr_crash_cases);
	run_workload(&w, at.test_case, totals->seed + at.test_case);
	recorded = memory_disk_get(w.disk);
	for (unsigned int i = 0; i <= last; i++) {
		if (at.cuts[i].event > memory_disk_nr_events(recorded))
			die("there are %" PRIu64 " events",
			    memory_disk_nr_events(recorded));
		if (i == last)
			break;
		next = rebuild(recorded, &at.cuts[i]);
		memory_disk_put(recorded);
		recorded = next;
		if (!record_recovery(&w, recorded, &hash, &err))
			die("does not recover: %s", err.message);
	}
	try_state(totals, &w, &at, recorded, hash);
	memory_disk_put(recorded);
	workload_done(&w);
	return totals->failures ? 1 : 0;
}

static void read_cuts(int *argc, char **argv, struct place *at)
{
	static const char *const names[CRASH_LEVELS][3] = {
		{"event", "policy", "pick"},
		{"event2", "policy2", "pick2"},
		{"event3", "policy3", "pick3"},
	};

	for (unsigned int i = 0; i < CRASH_LEVELS; i++) {
		struct cut *cut = &at->cuts[i];

		cut->event = test_option(argc, argv, names[i][0], UINT64_MAX);
		cut->policy = (enum crash_policy)(
			test_option(argc, argv, names[i][1], 0) %
			NR_CRASH_POLICIES);
		cut->pick = test_option(argc, argv, names[i][2], 0);
		if (cut->event != UINT64_MAX)
			at->nr_cuts = i + 1;
	}
}

/* More states: more workloads, not more looks at the same ones. */
static void try_all(struct totals *totals, size_t only, uint64_t states)
{
	uint64_t rounds = (states + STATES_DEFAULT - 1) / STATES_DEFAULT;
	uint64_t goal = states / rounds / nr_crash_cases;

	for (uint64_t round = 0; round < rounds; round++, totals->seed++)
		for (size_t i = 0; i < nr_crash_cases; i++)
			if (only == SIZE_MAX || only == i)
				try_case(totals, i, goal);
	totals->seed -= rounds;
}

int main(int argc, char **argv)
{
	struct totals totals = {
		.seed = test_option(&argc, argv, "seed", rng_time_seed())};
	bool is_long = test_flag(&argc, argv, "long");
	uint64_t states = test_option(&argc, argv, "states",
				      is_long ? STATES_LONG : STATES_DEFAULT);
	struct place at = {.test_case =
				   test_option(&argc, argv, "case", SIZE_MAX)};
	unsigned int nr_missing = 0;
	clock_t begin = clock();

	read_cuts(&argc, argv, &at);
	if (argc > 1)
		die("%s: unknown option %s", argv[0], argv[1]);
	printf("seed %" PRIu64 "\n", totals.seed);
	fflush(stdout);
	if (at.nr_cuts > 0)
		return try_one(&totals, at);
	try_all(&totals, at.test_case, states);
	if (at.test_case == SIZE_MAX)
		nr_missing = coverage_print(&totals.coverage);
	signatures_done(&totals.seen);
	printf("%" PRIu64 " crash states: %" PRIu64 " of the work, %" PRIu64
	       " of a recovery, %" PRIu64
	       " of the recovery after that; %.0f states/s\n%" PRIu64
	       " failures, %u not reached, seed %" PRIu64 "\n",
	       nr_states(&totals), totals.states[0], totals.states[1],
	       totals.states[2],
	       (double)nr_states(&totals) /
		       ((double)(clock() - begin) / CLOCKS_PER_SEC),
	       totals.failures, nr_missing, totals.seed);
	return totals.failures || nr_missing ? 1 : 0;
}
