/* SPDX-License-Identifier: BSD-2-Clause */
/* The workloads of the crash test. */
#include "cases.h"

#include <stdio.h>

static void small_writes(struct workload *w)
{
	for (unsigned int i = 0; i < 6; i++)
		work_write(w, i % 2 ? "a" : "b", 4096, 4096 * i, false);
	work_flush(w);
	work_write(w, "a", 4096, 0, false);
	work_write(w, "a", 4096, 0, false);
	work_flush(w);
}

static void large_writes(struct workload *w)
{
	work_write(w, "a", 300 << 10, 0, false);
	work_flush(w);
	work_write(w, "a", 200 << 10, 64 << 10, false);
	work_write(w, "b", 128 << 10, 0, false);
}

static void unaligned_writes(struct workload *w)
{
	work_write(w, "a", 10, 4090, false);
	work_write(w, "a", 9000, 100001, false);
	work_flush(w);
	work_write(w, "b", 70001, 333, false);
	work_write(w, "a", 1, (300 << 10) - 1, false);
	work_flush(w);
}

static void forced_writes(struct workload *w)
{
	work_write(w, "a", 8192, 4096, false);
	work_write(w, "b", 4096, 0, true);
	work_write(w, "a", 100, 50, true);
	work_zero(w, "a", 8192, 8192, true);
	work_trim(w, "b", 8192, 4096, true);
	work_write(w, "a", 100 << 10, 20 << 10, true);
}

static void zeros(struct workload *w)
{
	work_zero(w, "a", 100 << 10, 32 << 10, false);
	work_flush(w);
	work_zero(w, "a", 300 << 10, 0, false);
	work_write(w, "a", 4096, 40 << 10, false);
	work_zero(w, "b", 5000, 17001, false);
	work_flush(w);
}

static void trims(struct workload *w)
{
	work_trim(w, "a", 64 << 10, 40 << 10, false);
	work_write(w, "a", 8192, 48 << 10, false);
	work_flush(w);
	work_trim(w, "a", 300 << 10, 0, false);
	work_trim(w, "b", 4096, 20 << 10, false);
	work_flush(w);
}

static void creations(struct workload *w)
{
	work_create(w, "group/new", 100 << 10);
	work_write(w, "group/new", 50 << 10, 1000, false);
	work_create(w, "empty", 512);
	work_flush(w);
}

static const char *const a_s[] = {"a@s"};
static const char *const set_s[] = {"a@s", "b@s"};
static const char *const volume_a[] = {"a"};
static const char *const set_volumes[] = {"a", "b"};

static void snapshots(struct workload *w)
{
	static const char *const a_t[] = {"a@t"};

	work_write(w, "a", 20000, 0, false);
	work_snapshot(w, a_s, 1);
	work_write(w, "a", 20000, 4096, false);
	work_snapshot(w, a_t, 1);
	work_write(w, "a", 100, 0, false);
	work_flush(w);
}

static void snapshot_sets(struct workload *w)
{
	work_write(w, "a", 8192, 0, false);
	work_write(w, "b", 8192, 0, false);
	work_snapshot(w, set_s, 2);
	work_write(w, "b", 8192, 0, false);
	work_flush(w);
}

static void clones(struct workload *w)
{
	static const char *const two[] = {"c1", "c2"};

	work_snapshot(w, a_s, 1);
	work_clone(w, "a@s", two, 2);
	work_write(w, "c1", 30000, 1000, false);
	work_write(w, "a", 4096, 8192, false);
	work_delete(w, volume_a, 1);
	work_write(w, "c2", 4096, 0, false);
	work_flush(w);
}

static void deletions(struct workload *w)
{
	work_snapshot(w, set_s, 2);
	work_write(w, "a", 100 << 10, 0, false);
	work_delete(w, a_s, 1);
	work_reap(w);
	work_delete(w, volume_a, 1);
	work_reap(w);
	work_checkpoint(w);
	work_create(w, "a", 64 << 10);
	work_write(w, "a", 64 << 10, 0, false);
	work_flush(w);
}

static void rollbacks(struct workload *w)
{
	work_snapshot(w, set_s, 2);
	work_write(w, "a", 20000, 5000, false);
	work_write(w, "b", 4096, 0, false);
	work_rollback(w, set_s, 2);
	work_write(w, "a", 4096, 4096, false);
	work_rollback(w, a_s, 1);
	work_write(w, "a", 4096, 8192, false);
	work_flush(w);
}

static void undos(struct workload *w)
{
	work_snapshot(w, set_s, 2);
	work_write(w, "a", 20000, 5000, false);
	work_rollback(w, set_s, 2);
	work_write(w, "a", 4096, 0, false);
	work_undo(w, set_volumes, 2);
	work_write(w, "a", 4096, 12288, false);
	work_undo(w, volume_a, 1);
	work_write(w, "a", 4096, 8192, false);
	work_flush(w);
}

static void checkpoints(struct workload *w)
{
	work_write(w, "a", 50000, 0, false);
	work_checkpoint(w);
	work_write(w, "a", 8192, 4096, false);
	work_checkpoint(w);
	work_checkpoint(w);
	work_snapshot(w, a_s, 1);
	work_write(w, "a", 8192, 0, false);
	work_checkpoint(w);
	work_write(w, "b", 4096, 0, false);
}

static void clean_stops(struct workload *w)
{
	work_write(w, "a", 50000, 0, false);
	work_reopen(w, true);
	work_write(w, "a", 8192, 4096, false);
	work_reopen(w, true);
	work_reopen(w, true);
	work_flush(w);
}

static void recoveries(struct workload *w)
{
	work_write(w, "a", 50000, 0, false);
	work_snapshot(w, a_s, 1);
	work_reopen(w, false);
	work_write(w, "a", 8192, 4096, false);
	work_reopen(w, false);
	work_reopen(w, false);
	work_rollback(w, a_s, 1);
	work_reopen(w, false);
	work_write(w, "a", 8192, 4096, false);
	work_flush(w);
}

static void frames_used_again(struct workload *w)
{
	for (unsigned int i = 0; i < 12; i++) {
		work_write(w, "a", 300 << 10, 0, false);
		if (i % 3 == 2)
			work_checkpoint(w);
	}
	work_flush(w);
	work_checkpoint(w);
	work_write(w, "b", 100 << 10, 0, false);
	work_flush(w);
}

static void random_work_item(struct workload *w, unsigned int i)
{
	char name[32];
	const char *const names[] = {name};

	(void)snprintf(name, sizeof(name), "a@r%u", i);
	switch (rng_below(&w->rng, 12)) {
	case 0:
		work_snapshot(w, names, 1);
		break;
	case 1:
		work_checkpoint(w);
		break;
	case 2:
		work_reopen(w, rng_one_in(&w->rng, 2));
		break;
	case 3:
		work_reap(w);
		break;
	case 4:
		work_flush(w);
		break;
	default:
		work_random_data(w, true);
	}
}

static void random_work(struct workload *w)
{
	for (unsigned int i = 0; i < 25; i++)
		random_work_item(w, i);
	work_flush(w);
}

const struct crash_case crash_cases[] = {
	{"small writes", small_writes, false},
	{"large writes", large_writes, true},
	{"unaligned writes", unaligned_writes, false},
	{"forced writes", forced_writes, false},
	{"zeros", zeros, true},
	{"trims", trims, false},
	{"creations", creations, true},
	{"snapshots", snapshots, false},
	{"snapshot sets", snapshot_sets, true},
	{"clones", clones, false},
	{"deletions", deletions, false},
	{"rollbacks", rollbacks, true},
	{"undos", undos, false},
	{"checkpoints", checkpoints, false},
	{"clean stops", clean_stops, false},
	{"recoveries", recoveries, true},
	{"frames used again", frames_used_again, true},
	{"random work", random_work, false},
	{"random work", random_work, true},
};

const size_t nr_crash_cases = sizeof(crash_cases) / sizeof(crash_cases[0]);
