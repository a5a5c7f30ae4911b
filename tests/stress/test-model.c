/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random operations on several volumes, against plain arrays of bytes.
 *
 * test-model [--seed N] [--ops N] [--frames N] [--long] [--verbose]
 *
 * No workers, a clock of its own: a seed replays exactly.  (An open has a
 * thread that loads the tables, which decides nothing.)  The store is closed
 * and opened again now and then: cleanly, after a flush as a process that died,
 * or without a flush when the tail file is on tmpfs.  With few frames the store
 * gets full; a request that fails so leaves each block of its range as it was
 * or as it was to be, a verb leaves everything as it was.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader.h"
#include "model-run.h"
#include "test-store.h"

#define OPS_DEFAULT 200000u
#define OPS_LONG 5000000u
#define FRAMES_DEFAULT 3000u /* 188 MiB */
#define COMPARE_EVERY 2500u
#define CHECK_EVERY 20000u

/* ---- time ---- */

/*
 * The store's clock, which no run sees go faster or slower than another one:
 * a little later each time that somebody looks; and whoever waits has waited.
 */
#define CLOCK_STEP_NS 20000
#define CLOCK_START_NS UINT64_C(1800000000000000000)

static uint64_t clock_ns_now = CLOCK_START_NS;

int __real_clock_gettime(clockid_t id, struct timespec *ret);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
				  const struct timespec *until);

int __wrap_clock_gettime(clockid_t id, struct timespec *ret)
{
	uint64_t now;

	if (!t.model) /* for a seed of its own */
		return __real_clock_gettime(id, ret);
	/* while a store is opened two threads may look */
	now = __atomic_add_fetch(&clock_ns_now, CLOCK_STEP_NS,
				 __ATOMIC_RELAXED);
	ret->tv_sec = (time_t)(now / 1000000000);
	ret->tv_nsec = (long)(now % 1000000000);
	return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
				  const struct timespec *until)
{
	clock_ns_now =
		(uint64_t)until->tv_sec * 1000000000 + (uint64_t)until->tv_nsec;
	return ETIMEDOUT;
}

/* ---- the store itself ---- */

static void print_message(void *opaque, enum message_level level,
			  enum store_event event, const char *text)
{
	if (t.verbose)
		printf("%" PRIu64 ": store says: %s\n", t.op, text);
}

static void open_store(void)
{
	struct store_open_options options = {
		.message = print_message,
		.nr_buffers = 4 + (uint32_t)rng_below(&t.rng, 12),
		.checkpoint_log_bytes = (1 + rng_below(&t.rng, 32)) << 20,
		/* mostly so little that leaves are evicted */
		.memory_bytes = (1 + rng_below(&t.rng, 16)) << 20,
		.load_behind = rng_one_in(&t.rng, 2),
	};
	struct store_stat st;
	struct error err = ERROR_NONE;

	/* whoever opens after a death looks where the dead one's tail is */
	if (t.tail_dir[0] && (t.tail_shared || rng_one_in(&t.rng, 2)))
		options.tail_dirs = t.tail_dirs;
	must(test_store_open(t.disk, &options, &t.store, &err), &err);
	store_stat(t.store, &st);
	t.tail_shared = st.tail_shared;
	if (options.tail_dirs && !t.tail_shared)
		fail("no tail file was made");
}

static void do_reopen(void)
{
	bool clean = rng_one_in(&t.rng, 3);
	struct error err = ERROR_NONE;

	note(clean ? "reopen-clean" : "reopen", t.tail_shared ? "tail" : "", 0,
	     0);
	t.nr_reopened++;
	if (!clean && !t.tail_shared)
		must(store_flush(t.store, &err), &err);
	must(store_close(t.store, clean, &err), &err);
	open_store();
	if (!model_equals_store(t.model, t.store, &err))
		fail(err.message);
}

static void do_checkpoint(void)
{
	struct error err = ERROR_NONE;

	note("checkpoint", "", 0, 0);
	must(store_checkpoint(t.store, &err), &err);
}

static void do_reap(void)
{
	struct error err = ERROR_NONE;

	note("reap", "", 0, 0);
	must(store_reap(t.store, &err), &err);
}

static void do_clean(void)
{
	struct error err = ERROR_NONE;
	struct store_stat st;
	int r;

	note("clean", "", 0, 0);
	r = store_clean(t.store, &err);
	if (r != -ENOSPC)
		must(r, &err);
	store_stat(t.store, &st);
	t.nr_moved += st.moved_blocks > 0;
	if (!model_equals_store(t.model, t.store, &err))
		fail(err.message);
}

static void do_grow(void)
{
	uint64_t capacity = t.model->capacity, now;
	struct error err = ERROR_NONE;

	if (capacity >= t.most_bytes)
		return;
	capacity += rng_below(&t.rng, t.most_bytes / 8);
	note("grow", "", capacity, 0);
	must(store_set_capacity(t.store, capacity, &now, &err), &err);
	model_set_capacity(t.model, capacity);
	t.nr_grown++;
}

static void check_everything(void)
{
	struct error err = ERROR_NONE;

	note("check", "", 0, 0);
	if (!model_equals_store(t.model, t.store, &err) ||
	    !test_store_check(t.store, &err))
		fail(err.message);
	if (memory_disk_unallocated_writes(t.disk) > 0)
		fail("a frame was written that had not been allocated");
}

/* ---- all of it ---- */

/* What an open left, as the loader would. */
static void do_load(void)
{
	note("load", "", 0, 0);
	loader_run(t.store);
}

static const struct {
	unsigned int weight;
	void (*run)(void);
} operations[] = {
	{4000, do_write},	{2500, do_read},
	{700, do_zero},		{700, do_trim},
	{500, do_extents},	{400, do_flush},
	{120, do_snapshot},	{90, do_delete_snapshot},
	{40, do_clone},		{40, do_rollback},
	{20, do_set},		{40, do_undo},
	{30, do_delete_volume}, {25, do_create},
	{30, do_mischief},	{15, do_checkpoint},
	{20, do_reap},		{5, do_reopen},
	{10, do_clean},		{1, do_grow},
	{30, do_rename},	{40, do_resize},
	{30, do_foretell},	{20, do_space},
	{20, do_load},
};

static void run_operation(unsigned int total_weight)
{
	uint64_t dice = rng_below(&t.rng, total_weight);
	size_t i = 0;

	while (dice >= operations[i].weight)
		dice -= operations[i++].weight;
	operations[i].run();
}

static void make_tail_dir(void)
{
	strcpy(t.tail_dir, "/dev/shm/varve-test-XXXXXX");
	if (!mkdtemp(t.tail_dir))
		t.tail_dir[0] = '\0';
	t.tail_dirs[0] = t.tail_dir;
}

int main(int argc, char **argv)
{
	bool is_long = test_flag(&argc, argv, "long");
	uint64_t ops = test_option(&argc, argv, "ops",
				   is_long ? OPS_LONG : OPS_DEFAULT);
	uint64_t frames = test_option(&argc, argv, "frames", FRAMES_DEFAULT);
	unsigned int total_weight = 0;
	struct error err = ERROR_NONE;
	struct store_stat st;

	t.seed = test_option(&argc, argv, "seed", rng_time_seed());
	t.verbose = test_flag(&argc, argv, "verbose");
	if (argc > 1)
		die("%s: unknown option %s", argv[0], argv[1]);
	printf("seed %" PRIu64 ", %" PRIu64 " operations\n", t.seed, ops);
	fflush(stdout);
	t.rng.state = t.seed;
	t.model = model_create();
	t.disk = test_store_disk(frames);
	make_tail_dir();
	open_store();
	store_stat(t.store, &st);
	model_set_capacity(t.model, st.capacity);
	t.most_bytes = 2 * st.capacity;
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++)
		total_weight += operations[i].weight;
	for (unsigned int i = 0; i < NR_VOLUMES; i++)
		do_create();
	for (t.op = 0; t.op < ops; t.op++) {
		run_operation(total_weight);
		if (t.op % COMPARE_EVERY == 0 &&
		    !model_equals_store(t.model, t.store, &err))
			fail(err.message);
		if (t.op % CHECK_EVERY == 0)
			check_everything();
	}
	check_everything();
	do_reopen();
	check_everything();
	must(store_close(t.store, true, &err), &err);
	if (t.tail_dir[0] && rmdir(t.tail_dir) < 0)
		fail("a clean stop left a tail file");
	printf("%" PRIu64 " operations, %" PRIu64 " times reopened, %" PRIu64
	       " times full, %" PRIu64 " times cleaned, %" PRIu64
	       " times grown, seed %" PRIu64 "\n",
	       ops, t.nr_reopened, t.nr_full, t.nr_moved, t.nr_grown, t.seed);
	if (t.nr_moved == 0)
		fail("the cleaner never moved a block");
	memory_disk_put(t.disk);
	model_free(t.model);
	return 0;
}
