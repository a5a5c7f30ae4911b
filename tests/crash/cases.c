/* SPDX-License-Identifier: BSD-2-Clause */
/* The workloads of the crash test. */
#include "cases.h"

#include <stdio.h>

#include "test-store.h"

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
static const char *const volume_b[] = {"b"};
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

/* Both are set at once or not at all; a rollback leaves them. */
static void settings(struct workload *w)
{
	work_set(w, "a", 1 << 20, true);
	work_write(w, "a", 8192, 0, false);
	work_snapshot(w, a_s, 1);
	work_set(w, "a", 2 << 20, false);
	work_rollback(w, a_s, 1);
	work_set(w, "b", 1 << 20, true);
	work_checkpoint(w);
	work_set(w, "a", 0, false);
	work_reopen(w, false);
	work_set(w, "b", 3 << 20, true);
	work_flush(w);
}

/* A volume with its snapshots, a snapshot, several at once. */
static void renamings(struct workload *w)
{
	static const char *const from[] = {"a", "b@s"};
	static const char *const to[] = {"group/c", "b@other"};
	static const char *const kept[] = {"group/c"};

	work_snapshot(w, set_s, 2);
	work_rollback(w, a_s, 1);
	work_rename(w, from, to, 2);
	work_write(w, "group/c", 20000, 5000, false);
	work_undo(w, kept, 1);
	work_rename(w, kept, volume_a, 1);
	work_checkpoint(w);
	work_rename(w, volume_a, kept, 1);
	work_create(w, "a", 64 << 10);
	work_write(w, "a", 4096, 0, false);
	work_reopen(w, false);
	work_write(w, "group/c", 4096, 0, false);
	work_rename(w, to + 1, from + 1, 1);
	work_flush(w);
}

/* What was beyond the end does not come back, but for a rollback. */
static void resizings(struct workload *w)
{
	work_write(w, "a", 300 << 10, 0, false);
	work_snapshot(w, a_s, 1);
	work_resize(w, "a", (600 << 10) + 512);
	work_write(w, "a", 10000, 590 << 10, false);
	work_resize(w, "a", 264 << 10);
	work_checkpoint(w);
	work_resize(w, "a", 40 << 10);
	work_write(w, "a", 8192, 32 << 10, false);
	work_resize(w, "a", 2 << 20);
	work_write(w, "a", 4096, 1 << 20, false);
	work_reopen(w, false);
	work_rollback(w, a_s, 1);
	work_undo(w, volume_a, 1);
	work_resize(w, "a", 4096);
	work_reap(w);
	work_resize(w, "b", 8 << 20);
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

/* Batches that are written before anybody flushes them. */
static void early_writes(struct workload *w)
{
	for (unsigned int i = 0; i < 4; i++) {
		work_write(w, "a", 4096 + 512 * i, 8192 * i, false);
		work_write_early(w);
		work_trim(w, "b", 4096, 4096 * i, false);
		work_write_early(w);
	}
	work_flush(w);
	work_idle(w);
	work_write(w, "a", 100 << 10, 0, false);
	work_write_early(w);
	work_snapshot(w, a_s, 1);
	work_write(w, "a", 4096, 0, false);
	work_write_early(w);
	work_idle(w);
	work_flush(w);
}

/* The log says what is durable while nobody writes. */
static void idle_times(struct workload *w)
{
	work_idle(w);
	work_write(w, "a", 4096, 0, false);
	work_flush(w);
	work_idle(w);
	work_idle(w);
	work_write(w, "b", 8192, 0, false);
	work_flush(w);
	work_idle(w);
}

/* Blocks with three and more references, then with fewer again. */
static void many_references(struct workload *w)
{
	static const char *const clones_of_s[] = {"c1", "c2", "c3"};
	static const char *const gone[] = {"c1", "c3"};

	work_write(w, "a", 100 << 10, 0, false);
	work_snapshot(w, a_s, 1);
	work_clone(w, "a@s", clones_of_s, 3);
	for (unsigned int i = 0; i < 3; i++)
		work_write(w, clones_of_s[i], 4096, 4096 * i, false);
	work_write(w, "a", 4096, 0, false);
	work_checkpoint(w);
	work_delete(w, gone, 2);
	work_reap(w);
	work_checkpoint(w);
	work_delete(w, volume_a, 1);
	work_checkpoint(w);
	work_reap(w);
	work_checkpoint(w);
	work_flush(w);
}

/* A scrub that is always somewhere in the middle. */
static void scrubs(struct workload *w)
{
	work_write(w, "a", 200 << 10, 0, false);
	work_checkpoint(w);
	for (unsigned int i = 0; i < 8; i++) {
		work_scrub(w, 32 << 10);
		work_write(w, "a", 4096, 8192 * i, false);
		work_checkpoint(w);
		if (i == 4)
			work_reopen(w, false);
	}
	work_scrub(w, UINT64_MAX);
	work_scrub(w, 32 << 10);
	work_reopen(w, true);
	work_flush(w);
}

/* A whole leaf whose blocks lie one behind the other. */
static void long_runs(struct workload *w)
{
	work_create(w, "long", 512 << 10);
	work_write(w, "long", 512 << 10, 0, false);
	work_checkpoint(w);
	work_write(w, "long", 4096, 100 << 10, false);
	work_checkpoint(w);
	work_write(w, "long", 256 << 10, 256 << 10, false);
	work_flush(w);
	work_checkpoint(w);
}

/* A snapshot of @volume, any one; NULL: it has none. */
static const char *some_snapshot(struct workload *w, const char *volume)
{
	unsigned int nr = model_nr_snapshots(w->model, volume), chosen;

	if (nr == 0)
		return NULL;
	chosen = (unsigned int)rng_below(&w->rng, nr);
	for (size_t i = 0; i < w->model->nr; i++) {
		const struct model_volume *v = w->model->volumes[i];

		if (v->snapshot &&
		    model_find_head(w->model, v->name) ==
			    model_find(w->model, volume) &&
		    chosen-- == 0)
			return v->name;
	}
	return NULL;
}

static void delete_some(struct workload *w, const char *volume)
{
	const char *found = some_snapshot(w, volume);
	char name[NAME_MAX_BYTES + 1];
	const char *const names[] = {name};

	if (!found)
		return;
	(void)snprintf(name, sizeof(name), "%s", found);
	work_delete(w, names, 1);
}

/* Any verb, on what there is. */
static void random_verb(struct workload *w, unsigned int i)
{
	char name[32];
	const char *const names[] = {name};

	(void)snprintf(name, sizeof(name), "b@v%u", i);
	switch (rng_below(&w->rng, 6)) {
	case 0:
		work_snapshot(w, names, 1);
		work_write(w, "b", 4096, 0, false);
		work_rollback(w, names, 1);
		break;
	case 1:
		if (model_find_kept(w->model, "b"))
			work_undo(w, volume_b, 1);
		break;
	case 2:
		work_snapshot(w, names, 1);
		name[0] = 'a';
		work_snapshot(w, names, 1);
		break;
	case 3:
		delete_some(w, "b");
		break;
	case 4:
		work_reap(w);
		break;
	default:
		work_write_early(w);
	}
}

static void random_verbs(struct workload *w)
{
	for (unsigned int i = 0; i < 30; i++)
		if (rng_one_in(&w->rng, 2))
			random_verb(w, i);
		else
			random_work_item(w, i);
	work_flush(w);
}

const struct crash_case crash_cases[] = {
	{"small writes", small_writes, false, WORK_FRAMES, TEST_SEGMENT_SHIFT,
	 false},
	{"large writes", large_writes, true, WORK_FRAMES, TEST_SEGMENT_SHIFT,
	 false},
	{"unaligned writes", unaligned_writes, false, WORK_FRAMES,
	 TEST_SEGMENT_SHIFT, false},
	{"forced writes", forced_writes, false, WORK_FRAMES, TEST_SEGMENT_SHIFT,
	 false},
	{"zeros", zeros, true, WORK_FRAMES, TEST_SEGMENT_SHIFT, false},
	{"trims", trims, false, WORK_FRAMES, TEST_SEGMENT_SHIFT, false},
	{"creations", creations, true, WORK_FRAMES, TEST_SEGMENT_SHIFT, false},
	{"snapshots", snapshots, false, WORK_FRAMES, TEST_SEGMENT_SHIFT, false},
	{"snapshot sets", snapshot_sets, true, WORK_FRAMES, TEST_SEGMENT_SHIFT,
	 false},
	{"clones", clones, false, WORK_FRAMES, TEST_SEGMENT_SHIFT, false},
	{"deletions", deletions, false, WORK_FRAMES, TEST_SEGMENT_SHIFT, false},
	{"rollbacks", rollbacks, true, WORK_FRAMES, TEST_SEGMENT_SHIFT, false},
	{"undos", undos, false, WORK_FRAMES, TEST_SEGMENT_SHIFT, false},
	{"settings", settings, false, WORK_FRAMES, TEST_SEGMENT_SHIFT, false},
	{"renamings", renamings, false, WORK_FRAMES, TEST_SEGMENT_SHIFT, false},
	{"resizings", resizings, true, WORK_FRAMES, TEST_SEGMENT_SHIFT, false},
	{"checkpoints", checkpoints, false, WORK_FRAMES, TEST_SEGMENT_SHIFT,
	 false},
	{"clean stops", clean_stops, false, WORK_FRAMES, TEST_SEGMENT_SHIFT,
	 false},
	{"recoveries", recoveries, true, WORK_FRAMES, TEST_SEGMENT_SHIFT,
	 false},
	{"frames used again", frames_used_again, true, WORK_FRAMES,
	 TEST_SEGMENT_SHIFT, false},
	{"early writes", early_writes, false, WORK_FRAMES, TEST_SEGMENT_SHIFT,
	 false},
	{"idle times", idle_times, true, WORK_FRAMES, TEST_SEGMENT_SHIFT,
	 false},
	{"many references", many_references, false, WORK_FRAMES,
	 TEST_SEGMENT_SHIFT, false},
	{"cleaning", cleaning, true, WORK_FRAMES, TEST_SEGMENT_SHIFT, false},
	{"blocks on their way", blocks_on_their_way, false, WORK_FRAMES,
	 TEST_SEGMENT_SHIFT, false},
	{"renames", renames, false, WORK_FRAMES, TEST_SEGMENT_SHIFT, false},
	{"metadata moves", metadata_moves, false, WORK_FRAMES,
	 TEST_SEGMENT_SHIFT, false},
	{"scrubs", scrubs, false, WORK_FRAMES, TEST_SEGMENT_SHIFT, false},
	{"space comes back", space_comes_back, false, WORK_FRAMES,
	 TEST_SEGMENT_SHIFT, false},
	{"long runs", long_runs, false, WORK_FRAMES_FEW, 19, false},
	{"full store", full_store, true, WORK_FRAMES_FEW, TEST_SEGMENT_SHIFT,
	 true},
	{"growth", growth, true, WORK_FRAMES_FEW, TEST_SEGMENT_SHIFT, true},
	{"growth of the reserve", growth_of_the_reserve, false, WORK_FRAMES_FEW,
	 TEST_SEGMENT_SHIFT, false},
	{"full host", full_host, false, WORK_FRAMES, TEST_SEGMENT_SHIFT, true},
	{"random verbs", random_verbs, false, WORK_FRAMES, TEST_SEGMENT_SHIFT,
	 false},
	{"random verbs", random_verbs, true, WORK_FRAMES_FEW,
	 TEST_SEGMENT_SHIFT, true},
	{"random work", random_work, false, WORK_FRAMES, TEST_SEGMENT_SHIFT,
	 false},
	{"random work", random_work, true, WORK_FRAMES, TEST_SEGMENT_SHIFT,
	 false},
};

const size_t nr_crash_cases = sizeof(crash_cases) / sizeof(crash_cases[0]);
