/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the cleaner costs: random 4 KiB writes over a volume that fills a
 * given share of its store.
 *
 *   cleaner-bench STORE [--capacity-mib N] [--share PERCENT] [--hot 0|1]
 *                 [--times N] [--snapshots N] [--rows FILE]
 *
 * The share is of (capacity - reserve), and live.  --hot 1: nine tenths of the
 * writes go to one tenth of the blocks, 0: uniform.  N times the capacity is
 * written, and the figures are those of the last fifth of that.
 *
 * With snapshots there are always so many, once they have been taken: two
 * thirds of the share are the volume, and one is what only snapshots hold.
 * Whenever the live share has been reached, the oldest is deleted and a new
 * one taken.
 *
 * Write amplification is data blocks (written + copied) / written.  Metadata
 * is what checkpoints wrote, for each byte that was written.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "bench.h"
#include "test-store.h"

/* A row of the plot for each half of the capacity. */
#define ROWS_PER_CAPACITY 2u
/* Writes between two looks at the live share. */
#define WRITES_PER_LOOK 256u

struct plan {
	struct store *store;
	struct volume_handle *handle;
	struct load load;
	uint64_t capacity, share, times;
	uint64_t nr_snapshots, oldest, newest; /* newest: the next one */
	uint64_t target_blocks;		       /* live */
	uint64_t growth_blocks; /* live, from one snapshot to the next */
	FILE *rows;		/* may be NULL */
};

/* A span of writes, from one look at the counters to the next. */
struct span {
	struct store_stat before;
	uint64_t begin_ns, nr_writes;
	double live_sum; /* of the shares seen, in percent */
	uint64_t nr_looks;
	struct latency latency;
};

static uint64_t writable_blocks(const struct store_stat *st)
{
	return (st->frames_total - st->frames_reserve) *
	       (st->segment_bytes / BLOCK_SIZE);
}

static double live_percent(const struct store_stat *st)
{
	return 100.0 * (double)st->live_blocks / (double)writable_blocks(st);
}

static void snapshot_name(char name[32], uint64_t number)
{
	(void)snprintf(name, 32, "v@%" PRIu64, number);
}

static void delete_oldest(struct plan *plan)
{
	struct error err = ERROR_NONE;
	const char *names[1];
	char name[32];

	snapshot_name(name, plan->oldest++);
	names[0] = name;
	must(store_delete(plan->store, names, 1, false, &err), name, &err);
	must(store_reap(plan->store, &err), "reap", &err);
}

static void take_snapshot(struct plan *plan)
{
	char name[32];

	snapshot_name(name, plan->newest++);
	bench_snapshot(plan->store, name);
}

/*
 * While they are taken, each one when the live share has grown by its part;
 * then a new one for an old one when it has reached the whole.
 */
static void roll_snapshots(struct plan *plan, const struct store_stat *st)
{
	uint64_t nr = plan->newest - plan->oldest;
	uint64_t missing = plan->nr_snapshots - nr;

	if (st->live_blocks + missing * plan->growth_blocks <
	    plan->target_blocks)
		return;
	if (missing == 0)
		delete_oldest(plan);
	take_snapshot(plan);
}

static void look(struct plan *plan, struct span *span)
{
	struct store_stat st;

	store_stat(plan->store, &st);
	span->live_sum += live_percent(&st);
	span->nr_looks++;
	if (plan->nr_snapshots)
		roll_snapshots(plan, &st);
}

static void span_begin(struct plan *plan, struct span *span)
{
	*span = (struct span){.begin_ns = now_ns()};
	store_stat(plan->store, &span->before);
}

static void span_write(struct plan *plan, struct span *span, uint64_t nr)
{
	for (uint64_t i = 0; i < nr; i++) {
		if (i % WRITES_PER_LOOK == 0)
			look(plan, span);
		bench_write(plan->handle, load_next(&plan->load),
			    &span->latency);
	}
	span->nr_writes += nr;
}

static double amplification(const struct span *span,
			    const struct store_stat *now)
{
	return 1 + (double)(now->copied_blocks - span->before.copied_blocks) /
			   (double)span->nr_writes;
}

/* Write @nr blocks; a row for each part of the capacity. */
static void write_rows(struct plan *plan, struct span *whole, uint64_t nr,
		       uint64_t *written)
{
	uint64_t step = plan->capacity / BLOCK_SIZE / ROWS_PER_CAPACITY;
	struct store_stat st;
	struct span span;

	while (nr > 0) {
		uint64_t part = nr < step ? nr : step;

		span_begin(plan, &span);
		span_write(plan, whole, part);
		span.nr_writes = part;
		nr -= part;
		*written += part;
		store_stat(plan->store, &st);
		if (plan->rows)
			fprintf(plan->rows, "%.2f\t%.3f\t%.1f\n",
				(double)*written * BLOCK_SIZE /
					(double)plan->capacity,
				amplification(&span, &st), live_percent(&st));
	}
}

static void print_figures(const struct plan *plan, const struct span *span)
{
	uint64_t took_ns = now_ns() - span->begin_ns;
	struct store_stat st;

	store_stat(plan->store, &st);
	bench_figure("write-amplification", amplification(span, &st), "");
	bench_figure("live-share", span->live_sum / (double)span->nr_looks,
		     "%");
	bench_figure("snapshots", st.nr_snapshots, "");
	bench_figure("forwarded",
		     100.0 * (double)st.forwarded_blocks /
			     (double)st.live_blocks,
		     "%");
	bench_figure("metadata-live", (double)st.meta_bytes_live / (1 << 20),
		     "MiB");
	bench_figure("writes", (double)span->nr_writes * 1e9 / (double)took_ns,
		     "per second");
	latency_print(&span->latency, "write");
}

static void plan_sizes(struct plan *plan)
{
	struct store_stat st;

	store_stat(plan->store, &st);
	plan->target_blocks = writable_blocks(&st) * plan->share / 100;
	plan->load.nr_blocks = plan->target_blocks;
	if (plan->nr_snapshots) {
		plan->load.nr_blocks = plan->target_blocks / 3 * 2;
		/* rounded up: the first one is taken at once */
		plan->growth_blocks =
			1 + (plan->target_blocks - plan->load.nr_blocks) /
				    plan->nr_snapshots;
	}
}

static void run(struct plan *plan)
{
	uint64_t nr = plan->capacity / BLOCK_SIZE * plan->times, written = 0;
	struct error err = ERROR_NONE;
	static struct span span;

	plan_sizes(plan);
	must(store_create(plan->store, "v", plan->load.nr_blocks * BLOCK_SIZE,
			  &err),
	     "create", &err);
	plan->handle = bench_open_volume(plan->store, "v");
	bench_fill(plan->handle, plan->load.nr_blocks);
	span_begin(plan, &span);
	write_rows(plan, &span, nr - nr / 5, &written);
	span_begin(plan, &span);
	write_rows(plan, &span, nr / 5, &written);
	print_figures(plan, &span);
	volume_close(plan->handle);
}

int main(int argc, char **argv)
{
	struct plan plan = {
		.capacity = test_option(&argc, argv, "capacity-mib", 5120)
			    << 20,
		.share = test_option(&argc, argv, "share", 80),
		.load.hot = test_option(&argc, argv, "hot", 1) != 0,
		.times = test_option(&argc, argv, "times", 10),
		.nr_snapshots = test_option(&argc, argv, "snapshots", 0),
	};

	plan.rows = bench_rows(bench_text_option(&argc, argv, "rows"),
			       "times-capacity\tamplification\tlive-percent");
	if (argc != 2) {
		fprintf(stderr,
			"usage: cleaner-bench STORE [--OPTION VALUE]...\n");
		return 2;
	}
	plan.store = bench_make(argv[1], plan.capacity);
	run(&plan);
	bench_close(plan.store);
	if (plan.rows)
		(void)fclose(plan.rows);
	return 0;
}
