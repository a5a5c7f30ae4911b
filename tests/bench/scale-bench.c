/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What size costs: memory, snapshots, opening, metadata, with so many GiB
 * mapped at random.  tests/bench/scale.sh runs the phases one after another,
 * each in a process of its own.
 *
 *   scale-bench fill STORE --size GiB
 *	a new store; every block of a volume of that size is written once, in
 *	random order, by 4 KiB writes, then 1 GiB of random overwrites and
 *	400 MiB of random reads
 *   scale-bench tail STORE
 *	writes at random until the log or the dirty nodes are as many as a
 *	checkpoint lets them become, then kills itself
 *   scale-bench open STORE
 *	opens the store, its pages dropped from the cache, and reads a block
 *   scale-bench snapshot STORE...
 *	three stores of each size: one with 1 snapshot, one with 100, one with
 *	10,000; then one more of each in turn, again and again
 *   scale-bench clone STORE
 *	1,000 clones of one snapshot
 *
 * Data is synthetic (backend-synthetic.h), but for that of `tail`: recovery
 * has to read it.  Prints lines "name value unit".
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend-synthetic.h"
#include "bench.h"
#include "store.h"
#include "test-store.h"

#define CAPACITY (UINT64_C(256) << 30)
#define NR_OVERWRITES ((UINT64_C(1) << 30) / BLOCK_SIZE)
#define NR_READS 100000u
#define NR_SAMPLES 101u
#define NR_SNAPSHOTS 10000u
#define NR_CLONES 1000u
#define STORES_MAX 9u
#define WRITES_BETWEEN 64u
/* Between two snapshots that are timed, and before the first. */
#define SAMPLE_WRITES 8u
#define WARM_UP_ROUNDS 10000u
/* What a checkpoint of a snapshot that came and went writes, generously. */
#define SETTLED_BYTES (UINT64_C(1) << 18)

static const char *const tail_dirs[] = {"/dev/shm", NULL};

static struct backend *open_backend(const char *path)
{
	struct error err = ERROR_NONE;
	struct backend *be;

	must(backend_synthetic_open(path, &be, &err), path, &err);
	return be;
}

static struct store *open_store(const char *path, struct backend **ret_be)
{
	struct store_open_options options = {.tail_dirs = tail_dirs};

	*ret_be = open_backend(path);
	return bench_open_backend(*ret_be, &options);
}

/* ---- blocks ---- */

/*
 * The @i-th block of a random order of 0 .. @nr - 1: a Feistel network over
 * the next even number of bits, walked until it is inside.
 */
static uint64_t shuffled(uint64_t i, uint64_t nr)
{
	unsigned int half = 1;
	uint64_t mask;

	while (UINT64_C(1) << 2 * half < nr)
		half++;
	mask = (UINT64_C(1) << half) - 1;
	do {
		for (uint64_t round = 1; round <= 4; round++) {
			struct rng rng = {(i & mask) << 3 | round};
			uint64_t left = i >> half ^ (rng_next(&rng) & mask);

			i = (i & mask) << half | left;
		}
	} while (i >= nr);
	return i;
}

static uint64_t nr_blocks(const struct volume_handle *handle)
{
	return volume_size(handle) / BLOCK_SIZE;
}

static void write_block(struct volume_handle *handle, uint64_t block,
			const void *data)
{
	struct error err = ERROR_NONE;

	must(volume_write(handle, data, BLOCK_SIZE, block * BLOCK_SIZE, false,
			  &err),
	     "write", &err);
}

static void write_synthetic(struct volume_handle *handle, uint64_t block,
			    struct rng *rng)
{
	uint64_t data[BLOCK_SIZE / sizeof(uint64_t)];

	synthetic_block(rng_next(rng) | 1, data);
	write_block(handle, block, data);
}

/* Data that the back end has to keep as it is. */
static void write_real(struct volume_handle *handle, struct rng *rng)
{
	uint64_t data[BLOCK_SIZE / sizeof(uint64_t)];

	for (size_t i = 0; i < BLOCK_SIZE / sizeof(uint64_t); i++)
		data[i] = rng_next(rng);
	write_block(handle, rng_below(rng, nr_blocks(handle)), data);
}

static void write_random(struct volume_handle *handle, uint64_t nr,
			 struct rng *rng)
{
	while (nr-- > 0)
		write_synthetic(handle, rng_below(rng, nr_blocks(handle)), rng);
}

/* ---- figures ---- */

/* @key of /proc/self/status, in MiB. */
static double process_mib(const char *key)
{
	FILE *file = fopen("/proc/self/status", "r");
	size_t length = strlen(key);
	char line[256];
	double ret = 0;

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, key, length) == 0 && line[length] == ':')
			ret = strtod(line + length + 1, NULL) / 1024;
	if (file)
		(void)fclose(file);
	return ret;
}

static void print_memory(struct store *store)
{
	struct store_stat stat;

	store_stat(store, &stat);
	bench_figure("rss-worst", process_mib("VmHWM"), "MiB");
	bench_figure("rss", process_mib("VmRSS"), "MiB");
	bench_figure("tables", (double)stat.tables_bytes / (1 << 20), "MiB");
	bench_figure("tables-per-mapped-tib",
		     (double)stat.tables_bytes /
			     ((double)stat.live_blocks * BLOCK_SIZE) * 1024,
		     "GiB");
	bench_figure("nodes", (double)stat.nodes_bytes / (1 << 20), "MiB");
}

/* Bytes of metadata for each hundred bytes of data, from @before to @after. */
static void print_written(const struct synthetic_written *before,
			  const struct synthetic_written *after)
{
	double data = (double)(after->data_bytes - before->data_bytes) / 100;

	bench_figure("metadata-per-write",
		     (double)(after->meta_bytes - before->meta_bytes) / data,
		     "percent");
	bench_figure("headers-per-write",
		     (double)(after->header_bytes - before->header_bytes) /
			     data,
		     "percent");
	bench_figure("copied-per-write",
		     (double)(after->gc_bytes - before->gc_bytes) / data,
		     "percent");
}

/* ---- fill ---- */

static void make_store(const char *path, uint64_t size)
{
	struct store_init_options init = {.capacity = CAPACITY};
	struct error err = ERROR_NONE;
	struct backend *be;
	struct store *store;

	must(backend_synthetic_create(path, CAPACITY, &be, &err), path, &err);
	must(store_init(be, &init, &err), "init", &err);
	backend_close(be);
	store = open_store(path, &be);
	must(store_create(store, "v", size, &err), "create", &err);
	bench_close(store);
}

static void read_random(struct volume_handle *handle, struct rng *rng)
{
	uint64_t data[BLOCK_SIZE / sizeof(uint64_t)];
	struct error err = ERROR_NONE;

	for (unsigned int i = 0; i < NR_READS; i++)
		must(volume_read(handle, data, BLOCK_SIZE,
				 rng_below(rng, nr_blocks(handle)) * BLOCK_SIZE,
				 &err),
		     "read", &err);
}

static void overwrite(struct store *store, struct backend *be,
		      struct volume_handle *handle, struct rng *rng)
{
	struct synthetic_written before, after;
	struct error err = ERROR_NONE;

	must(store_checkpoint(store, &err), "checkpoint", &err);
	backend_synthetic_written(be, &before);
	write_random(handle, NR_OVERWRITES, rng);
	must(store_checkpoint(store, &err), "checkpoint", &err);
	backend_synthetic_written(be, &after);
	print_written(&before, &after);
}

static void fill(const char *path, uint64_t size)
{
	struct volume_handle *handle;
	struct rng rng = {size};
	struct backend *be;
	struct store *store;
	uint64_t begin, nr;

	make_store(path, size);
	store = open_store(path, &be);
	handle = bench_open_volume(store, "v");
	nr = nr_blocks(handle);
	begin = now_ns();
	for (uint64_t i = 0; i < nr; i++)
		write_synthetic(handle, shuffled(i, nr), &rng);
	bench_figure("fill", (double)nr * 1e9 / (double)(now_ns() - begin),
		     "writes/s");
	overwrite(store, be, handle, &rng);
	read_random(handle, &rng);
	print_memory(store);
	volume_close(handle);
	bench_close(store);
}

/* ---- open ---- */

/* Without workers no checkpoint comes before, for space or for its age. */
static bool tail_is_longest(struct store *store)
{
	struct store_stat stat;
	uint32_t nodes_max;

	store_stat(store, &stat);
	mutex_lock(&store->core.lock);
	nodes_max = checkpoint_nodes_max(store);
	mutex_unlock(&store->core.lock);
	return stat.dirty_nodes + 2 * WRITES_BETWEEN >= nodes_max ||
	       stat.log_bytes + (4u << 20) >= CHECKPOINT_LOG_BYTES;
}

/* As a worker would. */
static void flush_when_due(struct store *store)
{
	struct error err = ERROR_NONE;
	bool is_due;

	mutex_lock(&store->core.lock);
	is_due = flush_is_due(store);
	mutex_unlock(&store->core.lock);
	if (is_due)
		must(store_flush(store, &err), "flush", &err);
}

/* Never returns. */
static void tail(const char *path)
{
	struct store_open_options options = {.tail_dirs = tail_dirs};
	struct backend *be = open_backend(path);
	struct error err = ERROR_NONE;
	struct volume_handle *handle;
	struct store_stat stat;
	struct rng rng = {rng_time_seed()};
	struct store *store;
	uint64_t nr = 0;

	/* it recovers the tail before, and begins with a checkpoint */
	must(store_open(be, &options, &store, &err), "open", &err);
	handle = bench_open_volume(store, "v");
	while (nr % WRITES_BETWEEN || !tail_is_longest(store)) {
		write_real(handle, &rng);
		nr++;
		flush_when_due(store);
	}
	store_stat(store, &stat);
	bench_figure("tail-log", (double)stat.log_bytes / (1 << 20), "MiB");
	bench_figure("tail-nodes", (double)stat.dirty_nodes, "");
	(void)kill(getpid(), SIGKILL);
}

static void drop_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fdatasync(fd) < 0 ||
	    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
		perror(path);
	if (fd >= 0)
		(void)close(fd);
}

/* As a server does it, up to the answer to the first read. */
static void open_dropped(const char *path)
{
	struct store_open_options options = {.tail_dirs = tail_dirs,
					     .load_behind = true};
	uint64_t block[BLOCK_SIZE / sizeof(uint64_t)], begin;
	struct rng rng = {rng_time_seed()};
	struct volume_handle *handle;
	struct error err = ERROR_NONE;
	struct store_stat stat;
	struct store *store;
	struct backend *be;
	char data[4096];

	(void)snprintf(data, sizeof(data), "%s.data", path);
	drop_file(path);
	drop_file(data);
	be = open_backend(path);
	begin = now_ns();
	must(store_open(be, &options, &store, &err), "open", &err);
	must(store_start(store, &err), "start", &err);
	bench_figure("open", (double)(now_ns() - begin) / 1e6, "ms");
	handle = bench_open_volume(store, "v");
	must(volume_read(handle, block, BLOCK_SIZE,
			 rng_below(&rng, nr_blocks(handle)) * BLOCK_SIZE, &err),
	     "read", &err);
	bench_figure("first-read", (double)(now_ns() - begin) / 1e6, "ms");
	volume_close(handle);
	store_stat(store, &stat);
	bench_figure("replayed", (double)stat.recovered_batches, "batches");
	bench_figure("replayed-of-tail-file",
		     (double)stat.recovered_tail_batches, "batches");
	bench_figure("rss-worst", process_mib("VmHWM"), "MiB");
	bench_close(store);
}

/* ---- snapshots and clones ---- */

static void take_snapshot(struct store *store, unsigned int number)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "v@%u", number);
	bench_snapshot(store, name);
}

/* A store whose snapshots are timed. */
struct sampled {
	struct store *store;
	struct volume_handle *handle;
	struct latency latency;
	unsigned int nr_snapshots;
};

static void write_and_flush(struct sampled *s, struct rng *rng)
{
	struct error err = ERROR_NONE;

	for (unsigned int i = 0; i < SAMPLE_WRITES; i++)
		write_real(s->handle, rng);
	must(store_flush(s->store, &err), "flush", &err);
}

/*
 * The log of a store that was just filled goes to frames that were never
 * written, or that have holes where synthetic data was, and a medium takes
 * twice as long for a flush there.  After 400 MB of small flushes of real data
 * it is where it is in a store at work: in frames that were zeroed ahead.
 */
static void warm_up(struct sampled *s, struct rng *rng)
{
	for (unsigned int i = 0; i < WARM_UP_ROUNDS; i++)
		write_and_flush(s, rng);
}

/* After some writes; nothing else is left to flush. */
static void sample_snapshot(struct sampled *s, struct rng *rng)
{
	uint64_t begin;

	write_and_flush(s, rng);
	begin = now_ns();
	take_snapshot(s->store, s->nr_snapshots++);
	latency_add(&s->latency, now_ns() - begin);
}

static void open_sampled(struct sampled *s, const char *path,
			 unsigned int nr_snapshots)
{
	struct backend *be;

	*s = (struct sampled){0};
	s->store = open_store(path, &be);
	s->handle = bench_open_volume(s->store, "v");
	while (s->nr_snapshots + 1 < nr_snapshots)
		take_snapshot(s->store, s->nr_snapshots++);
}

/* The medium's moods come to all of them alike. */
static void snapshots(char **paths, unsigned int nr)
{
	static const unsigned int counts[] = {1, 100, NR_SNAPSHOTS};
	static struct sampled sampled[STORES_MAX];
	struct rng rng = {rng_time_seed()};
	char name[32];

	if (nr > STORES_MAX || nr % 3 != 0)
		die("three stores of each size, at most 9");
	for (unsigned int i = 0; i < nr; i++)
		open_sampled(&sampled[i], paths[i], counts[i % 3]);
	for (unsigned int i = 0; i < nr; i++)
		warm_up(&sampled[i], &rng);
	for (unsigned int round = 0; round < NR_SAMPLES; round++)
		for (unsigned int i = 0; i < nr; i++)
			sample_snapshot(&sampled[i], &rng);
	for (unsigned int i = 0; i < nr; i++) {
		const struct latency *latency = &sampled[i].latency;

		(void)snprintf(name, sizeof(name), "snapshot-%u-%u", i / 3,
			       counts[i % 3]);
		bench_figure(name,
			     (double)latency_percentile(latency, 50) / 1e3,
			     "us");
		volume_close(sampled[i].handle);
		bench_close(sampled[i].store);
	}
}

static uint64_t bytes_written(struct backend *be)
{
	struct synthetic_written written;

	backend_synthetic_written(be, &written);
	return written.meta_bytes + written.header_bytes + written.data_bytes;
}

/*
 * Until a checkpoint has nothing to move: after a fill it makes META smaller,
 * half a segment at a time, and that is not what clones take.
 */
static void settle(struct store *store, struct backend *be)
{
	static const char *const names[] = {"v@settle"};
	struct error err = ERROR_NONE;
	uint64_t before;

	do {
		before = bytes_written(be);
		bench_snapshot(store, names[0]);
		must(store_delete(store, names, 1, false, &err), "delete",
		     &err);
		must(store_checkpoint(store, &err), "checkpoint", &err);
	} while (bytes_written(be) - before > SETTLED_BYTES);
}

static void clones(const char *path)
{
	static char names[NR_CLONES][16];
	const char *pointers[NR_CLONES];
	struct error err = ERROR_NONE;
	struct backend *be;
	struct store *store = open_store(path, &be);
	uint64_t begin, before;

	for (unsigned int i = 0; i < NR_CLONES; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "clone%u", i);
		pointers[i] = names[i];
	}
	bench_snapshot(store, "v@origin");
	settle(store, be);
	before = bytes_written(be);
	begin = now_ns();
	must(store_clone(store, "v@origin", pointers, NR_CLONES, &err), "clone",
	     &err);
	bench_figure("clones", (double)(now_ns() - begin) / 1e6, "ms");
	must(store_checkpoint(store, &err), "checkpoint", &err);
	bench_figure("clones-written",
		     (double)(bytes_written(be) - before) / 1024, "KiB");
	begin = now_ns();
	must(store_delete(store, pointers, NR_CLONES, false, &err), "delete",
	     &err);
	bench_figure("clones-delete", (double)(now_ns() - begin) / 1e6, "ms");
	bench_close(store);
}

int main(int argc, char **argv)
{
	uint64_t size = test_option(&argc, argv, "size", 1) << 30;

	if (argc == 3 && !strcmp(argv[1], "fill"))
		fill(argv[2], size);
	else if (argc == 3 && !strcmp(argv[1], "tail"))
		tail(argv[2]);
	else if (argc == 3 && !strcmp(argv[1], "open"))
		open_dropped(argv[2]);
	else if (argc >= 3 && !strcmp(argv[1], "snapshot"))
		snapshots(argv + 2, (unsigned int)argc - 2);
	else if (argc == 3 && !strcmp(argv[1], "clone"))
		clones(argv[2]);
	else
		die("usage: scale-bench fill|tail|open|snapshot|clone STORE "
		    "[--size GiB]");
	return 0;
}
