/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every sequence of a few operations on a volume of a few blocks, with a
 * crash at each event of the last one: what it keeps is all, none, all but
 * one, and just one of what no sync covers.  The recovered store must hold a
 * prefix of the log at or after what was acknowledged as durable, and pass
 * check.
 *
 * A crash before the last operation is one of a shorter sequence.  What makes
 * no sense (to delete a snapshot when there is none) must be refused, and is
 * not gone on from, since it changes nothing.
 *
 * test-small [--operations N] [--long]
 *            [--sequence S [--event K --policy P --pick N]]
 *
 * --sequence, as printed with a failure: 1, then two digits per operation.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "test-store.h"
#include "workload.h"

#define OPERATIONS_DEFAULT 3u
#define OPERATIONS_LONG 5u
#define OPERATIONS_MAX 8u
#define FAILURES_MAX 10u
#define VOLUME_BYTES (4u * 4096)

struct sequence {
	unsigned int ops[OPERATIONS_MAX];
	unsigned int nr;
};

static struct memory_disk *base_disk;
static struct model *base_model;
static uint64_t nr_sequences, nr_refused, nr_states, nr_moved, nr_failures;

/* ---- operations ---- */

/* The snapshot of a that was made first or last; "a@none": there is none. */
static const char *find_snapshot(const struct workload *w, bool last)
{
	const char *found = "a@none";

	for (size_t i = 0; i < w->model->nr; i++) {
		const struct model_volume *v = w->model->volumes[i];

		if (!v->snapshot)
			continue;
		if (last || strcmp(found, "a@none") == 0)
			found = v->name;
	}
	return found;
}

/* A name that is not used yet: @prefix and a number. */
static void new_name(const struct workload *w, const char *prefix,
		     char ret[NAME_MAX_BYTES + 1])
{
	unsigned int i = 0;

	do
		(void)snprintf(ret, NAME_MAX_BYTES + 1, "%s%u", prefix, i++);
	while (model_find(w->model, ret));
}

static void write_0(struct workload *w)
{
	work_write(w, "a", 4096, 0, false);
}

static void write_1(struct workload *w)
{
	work_write(w, "a", 4096, 4096, false);
}

static void write_clone(struct workload *w)
{
	work_write(w, "c0", 4096, 0, false);
}

static void trim(struct workload *w)
{
	work_trim(w, "a", 8192, 0, false);
}

static void snapshot(struct workload *w)
{
	char name[NAME_MAX_BYTES + 1];
	const char *const names[] = {name};

	new_name(w, "a@s", name);
	work_snapshot(w, names, 1);
}

static void with_snapshot(struct workload *w, bool last,
			  void (*verb)(struct workload *w,
				       const char *const *names, size_t nr))
{
	char name[NAME_MAX_BYTES + 1];
	const char *const names[] = {name};

	(void)snprintf(name, sizeof(name), "%s", find_snapshot(w, last));
	verb(w, names, 1);
}

static void delete_snapshot(struct workload *w)
{
	with_snapshot(w, false, work_delete);
}

static void rollback(struct workload *w)
{
	with_snapshot(w, true, work_rollback);
}

static void clone_snapshot(struct workload *w)
{
	char from[NAME_MAX_BYTES + 1], name[NAME_MAX_BYTES + 1];
	const char *const names[] = {name};

	(void)snprintf(from, sizeof(from), "%s", find_snapshot(w, true));
	new_name(w, "c", name);
	work_clone(w, from, names, 1);
}

static void undo(struct workload *w)
{
	static const char *const a[] = {"a"};

	work_undo(w, a, 1);
}

static void rename_snapshot(struct workload *w)
{
	char from[NAME_MAX_BYTES + 1], to[NAME_MAX_BYTES + 1];
	const char *const from_names[] = {from};
	const char *const to_names[] = {to};

	(void)snprintf(from, sizeof(from), "%s", find_snapshot(w, false));
	new_name(w, "a@s", to);
	work_rename(w, from_names, to_names, 1);
}

/* And back to what it was, so that all else can be done to it. */
static void shrink(struct workload *w)
{
	work_resize(w, "a", BLOCK_SIZE);
	work_resize(w, "a", VOLUME_BYTES);
}

static void grow(struct workload *w)
{
	work_grow(w, 1);
}

static void reopen(struct workload *w)
{
	work_reopen(w, false);
}

static const struct {
	const char *name;
	void (*run)(struct workload *w);
} operations[] = {
	{"write-0", write_0},
	{"write-1", write_1},
	{"trim", trim},
	{"flush", work_flush},
	{"snapshot", snapshot},
	{"delete", delete_snapshot},
	{"clone", clone_snapshot},
	{"write-clone", write_clone},
	{"rollback", rollback},
	{"undo", undo},
	{"rename", rename_snapshot},
	{"shrink", shrink},
	{"checkpoint", work_checkpoint},
	{"reap", work_reap},
	{"clean", work_clean},
	{"grow", grow},
	{"reopen", reopen},
};

#define NR_OPERATIONS (sizeof(operations) / sizeof(*operations))

/* ---- one state ---- */

static void failed(const struct sequence *s, uint64_t event,
		   enum crash_policy policy, uint64_t pick,
		   const char *sentence)
{
	fprintf(stderr, "FAILED");
	for (unsigned int i = 0; i < s->nr; i++)
		fprintf(stderr, " %s", operations[s->ops[i]].name);
	fprintf(stderr, ":\n  %s\n  again: --sequence 1", sentence);
	for (unsigned int i = 0; i < s->nr; i++)
		fprintf(stderr, "%02u", s->ops[i]);
	fprintf(stderr, " --event %" PRIu64 " --policy %d --pick %" PRIu64 "\n",
		event, (int)policy, pick);
	if (++nr_failures >= FAILURES_MAX)
		die("too many failures");
}

static bool recovers(const struct workload *w, struct memory_disk *disk,
		     struct window window, struct error *err)
{
	struct store *store;
	uint64_t hash;
	bool ok;

	if (test_store_open(disk, &w->options, &store, err) < 0)
		return false;
	ok = model_hash_store(store, &hash, err) == 0;
	if (ok && !workload_allows(w, window, hash)) {
		(void)error_set(err, EUCLEAN,
				"no prefix of the log at or after what was "
				"durable");
		ok = false;
	}
	ok = ok && test_store_check(store, err);
	(void)store_close(store, false, NULL); /* it was looked at */
	return ok;
}

static void try_state(const struct workload *w, const struct sequence *s,
		      uint64_t event, enum crash_policy policy, uint64_t pick)
{
	struct memory_disk *disk =
		memory_disk_rebuild(w->disk, event, policy, pick);
	struct error err = ERROR_NONE;

	nr_states++;
	if (!recovers(w, disk, workload_window(w, event), &err))
		failed(s, event, policy, pick, err.message);
	memory_disk_put(disk);
}

static void try_event(const struct workload *w, const struct sequence *s,
		      uint64_t event)
{
	uint64_t nr = memory_disk_nr_unsynced(w->disk, event);

	try_state(w, s, event, CRASH_KEEP_ALL, 0);
	if (nr == 0)
		return;
	try_state(w, s, event, CRASH_KEEP_NONE, 0);
	try_state(w, s, event, CRASH_TEAR, event);
	try_state(w, s, event, CRASH_GARBAGE, event);
	for (uint64_t i = 0; nr > 1 && i < nr; i++) {
		try_state(w, s, event, CRASH_LOSE_ONE, i);
		if (nr > 2) /* of two it is the same */
			try_state(w, s, event, CRASH_KEEP_ONE, i);
	}
}

/* ---- sequences ---- */

/* Run @s; *ret_first: the events before the last operation. */
static void run(struct workload *w, const struct sequence *s,
		uint64_t *ret_first)
{
	workload_start(w, 1,
		       memory_disk_rebuild(base_disk, 0, CRASH_KEEP_ALL, 0),
		       model_copy(base_model));
	workload_record(w);
	w->may_fail = true;
	*ret_first = 0;
	for (unsigned int i = 0; i < s->nr; i++) {
		*ret_first = memory_disk_nr_events(w->disk);
		operations[s->ops[i]].run(w);
	}
}

/* True when it is worth going on from. */
static bool try_sequence(const struct sequence *s)
{
	struct error err = ERROR_NONE;
	struct workload w;
	uint64_t first, hash;
	bool refused;

	run(&w, s, &first);
	refused = w.failure < 0;
	if (refused && (w.stopped || w.failure != -ENOENT))
		failed(s, 0, CRASH_KEEP_ALL, 0, w.err.message);
	if (model_hash_store(w.store, &hash, &err) < 0)
		failed(s, 0, CRASH_KEEP_ALL, 0, err.message);
	else if (hash != w.model->hash)
		failed(s, 0, CRASH_KEEP_ALL, 0, "not what the model holds");
	for (uint64_t event = first + 1;
	     !refused && event <= memory_disk_nr_events(w.disk); event++)
		try_event(&w, s, event);
	nr_moved += w.nr_moved;
	workload_done(&w);
	nr_sequences++;
	nr_refused += refused;
	return !refused;
}

static void try_all(struct sequence *s, unsigned int most)
{
	unsigned int *op = &s->ops[s->nr++];

	for (*op = 0; *op < NR_OPERATIONS; (*op)++)
		if (try_sequence(s) && s->nr < most)
			try_all(s, most);
	s->nr--;
}

static void make_base(void)
{
	struct workload w;

	workload_start(&w, 1, test_store_disk(STORE_FRAMES_MIN),
		       model_create());
	work_create(&w, "a", VOLUME_BYTES);
	work_write(&w, "a", 8192, 0, false);
	work_reopen(&w, true);
	memory_disk_record(w.disk);
	base_disk = memory_disk_rebuild(w.disk, 0, CRASH_KEEP_ALL, 0);
	memory_disk_record(base_disk);
	base_model = model_copy(w.model);
	workload_done(&w);
}

/* ---- main ---- */

static struct sequence decode(uint64_t digits)
{
	struct sequence s = {0};
	unsigned int ops[OPERATIONS_MAX], nr = 0;

	for (; digits > 1 && nr < OPERATIONS_MAX; digits /= 100) {
		ops[nr] = (unsigned int)(digits % 100);
		if (ops[nr++] >= NR_OPERATIONS)
			die("there are %zu operations", NR_OPERATIONS);
	}
	while (nr > 0)
		s.ops[s.nr++] = ops[--nr];
	return s;
}

static int try_one(uint64_t digits, uint64_t event, enum crash_policy policy,
		   uint64_t pick)
{
	struct sequence s = decode(digits);
	struct workload w;
	uint64_t first;

	if (event == 0) {
		(void)try_sequence(&s);
		return nr_failures ? 1 : 0;
	}
	run(&w, &s, &first);
	if (event > memory_disk_nr_events(w.disk))
		die("there are %" PRIu64 " events",
		    memory_disk_nr_events(w.disk));
	try_state(&w, &s, event, policy, pick);
	workload_done(&w);
	return nr_failures ? 1 : 0;
}

int main(int argc, char **argv)
{
	bool is_long = test_flag(&argc, argv, "long");
	uint64_t most =
		test_option(&argc, argv, "operations",
			    is_long ? OPERATIONS_LONG : OPERATIONS_DEFAULT);
	uint64_t digits = test_option(&argc, argv, "sequence", 0);
	uint64_t event = test_option(&argc, argv, "event", 0);
	uint64_t policy = test_option(&argc, argv, "policy", 0);
	uint64_t pick = test_option(&argc, argv, "pick", 0);
	struct sequence s = {0};
	clock_t begin = clock();

	if (argc > 1)
		die("%s: unknown option %s", argv[0], argv[1]);
	if (most < 1 || most > OPERATIONS_MAX)
		die("--operations: 1 to %u", OPERATIONS_MAX);
	make_base();
	if (digits)
		return try_one(digits, event,
			       (enum crash_policy)(policy % NR_CRASH_POLICIES),
			       pick);
	try_all(&s, (unsigned int)most);
	printf("%" PRIu64 " sequences of up to %" PRIu64 " of %zu operations, "
	       "%" PRIu64 " of them refused; %" PRIu64
	       " crash states, %.0f states/s, %" PRIu64 " failures\n",
	       nr_sequences, most, NR_OPERATIONS, nr_refused, nr_states,
	       (double)nr_states / ((double)(clock() - begin) / CLOCKS_PER_SEC),
	       nr_failures);
	if (nr_moved == 0)
		die("the cleaner never moved a block");
	memory_disk_put(base_disk);
	model_free(base_model);
	return nr_failures ? 1 : 0;
}
