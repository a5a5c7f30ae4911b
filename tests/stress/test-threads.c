/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Readers, writers, flushers and verbs at once, with the workers running:
 * for ThreadSanitizer, and for what one thread cannot show.
 *
 * test-threads [--seconds N] [--seed N] [--fill PERCENT]
 *
 * Each writer has blocks of its own and stamps them with a number that only
 * grows; a reader must never see a number go back or a block torn, and a
 * snapshot must not change.  The writers also write to parts of the same
 * blocks: none may undo what another one wrote.  What a flush covered must be
 * there when the store is opened again.
 *
 * --fill: before they begin so much of the store is live, in a volume that is
 * written to all over, so that the cleaner always has to work.  No write may
 * be refused all the same.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "random.h"
#include "test-store.h"
#include "units.h"

#define SECONDS_DEFAULT 4u
#define NR_FRAMES 2000u
#define NR_WRITERS 3u
#define NR_READERS 2u
#define BLOCKS_OF_WRITER 200u
#define NR_BLOCKS (NR_WRITERS * BLOCKS_OF_WRITER)
#define VOLUME_BYTES ((uint64_t)NR_BLOCKS * BLOCK_SIZE)
#define NR_SHARED_BLOCKS 4u
#define PART_BYTES 1000u /* of a shared block, one writer's */

static struct store *store;
static uint64_t seed;
static atomic_bool stopping;
static _Atomic uint64_t nr_operations;
static uint64_t nr_scrubs;  /* complete ones */
static uint64_t nr_exact;   /* answers where the space is */
static uint64_t nr_ballast; /* blocks of the volume that fills the store */
/* the last number acknowledged, and the last one flushed, of each block */
static _Atomic uint64_t written[NR_BLOCKS], durable[NR_BLOCKS];

static void check(int r, const struct error *err, const char *what)
{
	if (r < 0)
		die("FAILED %s: %s (seed %" PRIu64 ")", what, err->message,
		    seed);
}

static struct volume_handle *open_volume(const char *name, unsigned int flags)
{
	struct volume_handle *handle;
	struct error err = ERROR_NONE;

	check(volume_open(store, name, flags, &handle, &err), &err, name);
	return handle;
}

static void fill(uint64_t *block, uint64_t number)
{
	for (size_t i = 0; i < BLOCK_SIZE / sizeof(*block); i++)
		block[i] = number;
}

/* The number in a block, which must be whole. */
static uint64_t number_in(const uint64_t *block)
{
	for (size_t i = 1; i < BLOCK_SIZE / sizeof(*block); i++)
		if (block[i] != block[0])
			die("FAILED torn block: %" PRIu64 " and %" PRIu64
			    " (seed %" PRIu64 ")",
			    block[0], block[i], seed);
	return block[0];
}

/* ---- threads ---- */

static void write_some(struct volume_handle *handle, struct rng *rng,
		       unsigned int base, uint64_t number)
{
	static __thread uint64_t data[8][BLOCK_SIZE / 8];
	unsigned int first = (unsigned int)rng_below(rng, BLOCKS_OF_WRITER - 8);
	unsigned int nr = 1 + (unsigned int)rng_below(rng, 8);
	bool fua = rng_one_in(rng, 50);
	struct error err = ERROR_NONE;

	for (unsigned int i = 0; i < nr; i++)
		fill(data[i], number);
	check(volume_write(handle, data, nr * BLOCK_SIZE,
			   (uint64_t)(base + first) * BLOCK_SIZE, fua, &err),
	      &err, "write");
	for (unsigned int i = 0; i < nr; i++)
		atomic_store(&written[base + first + i], number);
}

/* A part of a block whose other parts are being written, too. */
static void write_part(struct volume_handle *handle, struct rng *rng,
		       unsigned int self, uint8_t byte)
{
	uint64_t offset = rng_below(rng, NR_SHARED_BLOCKS) * BLOCK_SIZE +
			  self * PART_BYTES;
	uint8_t part[PART_BYTES], read_back[PART_BYTES];
	struct error err = ERROR_NONE;

	memset(part, byte, sizeof(part));
	check(volume_write(handle, part, sizeof(part), offset, false, &err),
	      &err, "write of a part");
	check(volume_read(handle, read_back, sizeof(part), offset, &err), &err,
	      "read of a part");
	if (memcmp(part, read_back, sizeof(part)) != 0)
		die("FAILED a write to another part of the block undid ours "
		    "(seed %" PRIu64 ")",
		    seed);
}

/* A flush covers what was acknowledged before it was sent (I10). */
static void flush_all(struct volume_handle *handle)
{
	static __thread uint64_t before[NR_BLOCKS];
	struct error err = ERROR_NONE;

	for (unsigned int i = 0; i < NR_BLOCKS; i++)
		before[i] = atomic_load(&written[i]);
	check(volume_flush(handle, &err), &err, "flush");
	for (unsigned int i = 0; i < NR_BLOCKS; i++) {
		uint64_t old = atomic_load(&durable[i]);

		while (old < before[i] && !atomic_compare_exchange_weak(
						  &durable[i], &old, before[i]))
			;
	}
}

static void *run_writer(void *opaque)
{
	unsigned int self = (unsigned int)(uintptr_t)opaque;
	struct volume_handle *handle = open_volume("v", VOLUME_OPEN_WRITE);
	struct volume_handle *shared = open_volume("x", VOLUME_OPEN_WRITE);
	struct rng rng = {seed + self};

	for (uint64_t number = 1; !atomic_load(&stopping); number++) {
		write_some(handle, &rng, self * BLOCKS_OF_WRITER, number);
		write_part(shared, &rng, self, (uint8_t)number);
		if (rng_one_in(&rng, 20))
			flush_all(handle);
		atomic_fetch_add(&nr_operations, 1);
	}
	volume_close(shared);
	volume_close(handle);
	return NULL;
}

static void *run_reader(void *opaque)
{
	static __thread uint64_t block[BLOCK_SIZE / 8];
	struct volume_handle *handle = open_volume("v", 0);
	struct rng rng = {seed + 100 + (uintptr_t)opaque};
	struct error err = ERROR_NONE;

	while (!atomic_load(&stopping)) {
		unsigned int i = (unsigned int)rng_below(&rng, NR_BLOCKS);
		uint64_t before = atomic_load(&written[i]);

		check(volume_read(handle, block, BLOCK_SIZE,
				  (uint64_t)i * BLOCK_SIZE, &err),
		      &err, "read");
		if (number_in(block) < before)
			die("FAILED block %u went back (seed %" PRIu64 ")", i,
			    seed);
		atomic_fetch_add(&nr_operations, 1);
	}
	volume_close(handle);
	return NULL;
}

/* A volume that is zeroed, trimmed and asked for its extents. */
static int take_extent(void *opaque, uint64_t offset, uint64_t length,
		       bool is_hole)
{
	*(uint64_t *)opaque += length;
	return 0;
}

static void *run_clearer(void *opaque)
{
	static uint8_t data[100000];
	struct volume_handle *handle = open_volume("w", VOLUME_OPEN_WRITE);
	struct rng rng = {seed + 200};
	struct error err = ERROR_NONE;

	while (!atomic_load(&stopping)) {
		uint64_t offset = rng_below(&rng, VOLUME_BYTES - sizeof(data));
		uint64_t length = rng_below(&rng, sizeof(data));
		uint64_t sum = 0;

		check(volume_write(handle, data, (uint32_t)length, offset,
				   false, &err),
		      &err, "write");
		check(volume_trim(handle, length, offset / 2, false, &err),
		      &err, "trim");
		check(volume_zero(handle, length, offset, false, &err), &err,
		      "zero");
		check(volume_extents(handle, VOLUME_BYTES, 0, take_extent, &sum,
				     &err),
		      &err, "extents");
		atomic_fetch_add(&nr_operations, 1);
	}
	volume_close(handle);
	return NULL;
}

/* Each of them is written in its turn at first, and then any. */
static void *run_ballast(void *opaque)
{
	static uint64_t data[BLOCK_SIZE / 8];
	struct volume_handle *handle = open_volume("y", VOLUME_OPEN_WRITE);
	struct rng rng = {seed + 300};
	struct error err = ERROR_NONE;

	for (uint64_t n = 0; n < nr_ballast || !atomic_load(&stopping); n++) {
		uint64_t i = n < nr_ballast ? n : rng_below(&rng, nr_ballast);

		if (n >= nr_ballast) {
			check(volume_read(handle, data, BLOCK_SIZE,
					  i * BLOCK_SIZE, &err),
			      &err, "read of ballast");
			if (number_in(data) % nr_ballast != i)
				die("FAILED ballast block %" PRIu64
				    " has another's content (seed %" PRIu64 ")",
				    i, seed);
		}
		fill(data, n / nr_ballast * nr_ballast + i);
		check(volume_write(handle, data, BLOCK_SIZE, i * BLOCK_SIZE,
				   false, &err),
		      &err, "write of ballast");
		atomic_fetch_add(&nr_operations, 1);
	}
	volume_close(handle);
	return NULL;
}

/* Two reads of one snapshot are equal, whatever is written meanwhile. */
static void check_snapshot(const char *name)
{
	static uint8_t first[VOLUME_BYTES], second[VOLUME_BYTES];
	struct volume_handle *handle = open_volume(name, 0);
	struct error err = ERROR_NONE;

	check(volume_read(handle, first, VOLUME_BYTES, 0, &err), &err, name);
	check(volume_read(handle, second, VOLUME_BYTES, 0, &err), &err, name);
	if (memcmp(first, second, VOLUME_BYTES) != 0)
		die("FAILED %s changed (seed %" PRIu64 ")", name, seed);
	volume_close(handle);
}

/* A little, while all the others go on; not where it is to stay full. */
static void grow(void)
{
	struct error err = ERROR_NONE;
	struct store_stat st;
	uint64_t now;

	store_stat(store, &st);
	check(store_set_capacity(store, st.capacity + st.segment_bytes, &now,
				 &err),
	      &err, "grow");
}

static void *run_verbs(void *opaque)
{
	struct error err = ERROR_NONE;

	for (unsigned int i = 0; !atomic_load(&stopping); i++) {
		char v[32], w[32], clone[32];
		const char *const set[] = {v, w}, *const clones[] = {clone};
		const char *const all[] = {v, w, clone};

		(void)snprintf(v, sizeof(v), "v@s%u", i);
		(void)snprintf(w, sizeof(w), "w@s%u", i);
		(void)snprintf(clone, sizeof(clone), "c%u", i);
		check(store_snapshot(store, set, 2, NULL, &err), &err, v);
		check(store_clone(store, v, clones, 1, &err), &err, clone);
		check_snapshot(v);
		check_snapshot(clone);
		if (i % 16 == 0 && nr_ballast == 0)
			grow();
		if (i % 3 == 0)
			check(store_checkpoint(store, &err), &err,
			      "checkpoint");
		check(store_delete(store, all, 3, false, &err), &err, v);
		atomic_fetch_add(&nr_operations, 1);
	}
	return NULL;
}

static void *run_looker(void *opaque)
{
	struct error err = ERROR_NONE;

	while (!atomic_load(&stopping)) {
		struct volume_info *list;
		struct store_stat st;
		size_t nr;

		check(store_list(store, &list, &nr, &err), &err, "list");
		free(list);
		store_stat(store, &st);
		/* a store that gets full may take the check's room */
		if (!test_store_check(store, &err) && err.code != EBUSY)
			die("FAILED %s (seed %" PRIu64 ")", err.message, seed);
		atomic_fetch_add(&nr_operations, 1);
	}
	return NULL;
}

/* What an answer says of itself to be exact adds up. */
static void check_space(void)
{
	struct error err = ERROR_NONE;
	struct volume_space *rows;
	struct space_freed all;
	uint64_t sum = 0;
	size_t nr;

	check(store_space(store, NULL, 0, &rows, &nr, &all, &err), &err,
	      "space");
	for (size_t i = 0; i < nr; i++) {
		sum += rows[i].excl_blocks;
		if (all.exact &&
		    rows[i].head_blocks + rows[i].snapshots_blocks >
			    rows[i].excl_blocks)
			die("FAILED the parts of %s do not add up (seed "
			    "%" PRIu64 ")",
			    rows[i].name, seed);
	}
	free(rows);
	if (all.exact && sum > all.blocks)
		die("FAILED what volumes have is more than all (seed %" PRIu64
		    ")",
		    seed);
	nr_exact += all.exact;
}

static void *run_accountant(void *opaque)
{
	struct error err = ERROR_NONE;

	while (!atomic_load(&stopping)) {
		struct volume_info *list;
		size_t nr;

		check(store_list(store, &list, &nr, &err), &err, "list");
		check(store_excl(store, list, nr, &err), &err, "excl");
		free(list);
		check_space();
		atomic_fetch_add(&nr_operations, 1);
	}
	return NULL;
}

static void say_line(void *opaque, const char *line)
{
	printf("%s\n", line);
}

/* Whatever moves and dies meanwhile, a scrub finds nothing damaged. */
static void *run_scrubber(void *opaque)
{
	const struct scrub_options options = {.max_bytes = 256 << 10};
	struct scrub_progress progress;
	struct error err = ERROR_NONE;

	while (!atomic_load(&stopping)) {
		check(store_scrub(store, &options, &progress, say_line, NULL,
				  &err),
		      &err, "scrub");
		if (progress.errors)
			die("FAILED scrub found %" PRIu64
			    " errors (seed %" PRIu64 ")",
			    progress.errors, seed);
		nr_scrubs += progress.done;
		atomic_fetch_add(&nr_operations, 1);
	}
	return NULL;
}

/* The cleaner, as if frames were always scarce. */
static void *run_cleaner(void *opaque)
{
	struct error err = ERROR_NONE;

	while (!atomic_load(&stopping)) {
		int r = store_clean(store, &err);

		/* it needs a frame that only a checkpoint gives back */
		if (r == -ENOSPC)
			r = store_checkpoint(store, &err);
		check(r, &err, "clean");
		atomic_fetch_add(&nr_operations, 1);
	}
	return NULL;
}

/* ---- all of it ---- */

/* Has the cleaner of a full store had something to do? */
static bool has_cleaned(void)
{
	struct store_stat st;

	store_stat(store, &st);
	return nr_ballast == 0 || st.moved_blocks > 0;
}

static void run_threads(unsigned int seconds)
{
	void *(*const others[])(void *) = {
		run_clearer, run_verbs,	     run_looker, run_scrubber,
		run_cleaner, run_accountant, run_ballast};
	unsigned int nr_others = sizeof(others) / sizeof(others[0]);
	pthread_t threads[NR_WRITERS + NR_READERS + 7];
	unsigned int nr = 0;
	int r = 0;

	if (nr_ballast == 0)
		nr_others--;
	for (uintptr_t i = 0; i < NR_WRITERS; i++)
		r |= pthread_create(&threads[nr++], NULL, run_writer,
				    (void *)i);
	for (uintptr_t i = 0; i < NR_READERS; i++)
		r |= pthread_create(&threads[nr++], NULL, run_reader,
				    (void *)i);
	for (unsigned int i = 0; i < nr_others; i++)
		r |= pthread_create(&threads[nr++], NULL, others[i], NULL);
	if (r)
		die("pthread_create failed");
	sleep_ms(seconds * 1000);
	for (int i = 0; i < 10 && !has_cleaned(); i++) /* a slow machine */
		sleep_ms(seconds * 1000);
	atomic_store(&stopping, true);
	while (nr > 0)
		(void)pthread_join(threads[--nr], NULL);
}

static void open_store(struct memory_disk *disk)
{
	struct store_open_options options = {
		.checkpoint_log_bytes = 8 << 20,
		.load_behind = true,
	};
	struct error err = ERROR_NONE;

	check(test_store_open(disk, &options, &store, &err), &err, "open");
	check(store_start(store, &err), &err, "start");
}

static void check_durable(void)
{
	static uint64_t block[BLOCK_SIZE / 8];
	struct volume_handle *handle = open_volume("v", 0);
	struct error err = ERROR_NONE;

	for (unsigned int i = 0; i < NR_BLOCKS; i++) {
		check(volume_read(handle, block, BLOCK_SIZE,
				  (uint64_t)i * BLOCK_SIZE, &err),
		      &err, "read");
		if (number_in(block) < atomic_load(&durable[i]))
			die("FAILED block %u was flushed and is gone (seed "
			    "%" PRIu64 ")",
			    i, seed);
	}
	volume_close(handle);
}

/* So much of what writers may fill, less what the other volumes take. */
static void create_ballast(uint64_t percent)
{
	struct error err = ERROR_NONE;
	struct store_stat st;
	uint64_t slots;

	store_stat(store, &st);
	slots = (st.frames_total - st.frames_reserve) *
		(st.segment_bytes / BLOCK_SIZE - 2);
	if (percent == 0)
		return;
	if (slots * percent / 100 < 4 * NR_BLOCKS)
		die("there is no room to fill");
	nr_ballast = slots * percent / 100 - 4 * NR_BLOCKS;
	check(store_create(store, "y", nr_ballast * BLOCK_SIZE, &err), &err,
	      "create");
	atomic_store(&stopping, true);
	(void)run_ballast(NULL);
	atomic_store(&stopping, false);
}

static void print_cleaner(void)
{
	struct store_stat st;

	store_stat(store, &st);
	printf("%" PRIu64 " victims, %" PRIu64 " blocks moved, %" PRIu64
	       " renamed, %u %% used\n",
	       st.nr_victims, st.moved_blocks, st.renamed_blocks,
	       st.used_percent);
	if (!has_cleaned())
		die("FAILED the cleaner had nothing to do (seed %" PRIu64 ")",
		    seed);
}

int main(int argc, char **argv)
{
	unsigned int seconds = (unsigned int)test_option(&argc, argv, "seconds",
							 SECONDS_DEFAULT);
	uint64_t percent = test_option(&argc, argv, "fill", 0);
	struct memory_disk *disk = test_store_disk(NR_FRAMES);
	struct error err = ERROR_NONE;

	seed = test_option(&argc, argv, "seed", rng_time_seed());
	if (argc > 1)
		die("%s: unknown option %s", argv[0], argv[1]);
	open_store(disk);
	check(store_create(store, "v", VOLUME_BYTES, &err), &err, "create");
	check(store_create(store, "w", VOLUME_BYTES, &err), &err, "create");
	check(store_create(store, "x", NR_SHARED_BLOCKS * BLOCK_SIZE, &err),
	      &err, "create");
	create_ballast(percent);
	run_threads(seconds);
	print_cleaner();
	check(store_close(store, false, &err), &err, "close");
	open_store(disk);
	check_durable();
	if (!test_store_check(store, &err))
		die("FAILED %s (seed %" PRIu64 ")", err.message, seed);
	check(store_close(store, true, &err), &err, "close");
	memory_disk_put(disk);
	printf("%" PRIu64 " operations, %" PRIu64 " scrubs, %" PRIu64
	       " times space added up, seed %" PRIu64 "\n",
	       atomic_load(&nr_operations), nr_scrubs, nr_exact, seed);
	return 0;
}
