/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the cleaner costs: random 4 KiB writes over a volume that fills a
 * given share of its store.
 *
 *   cleaner-bench STORE [--capacity-mib N] [--share PERCENT | --live-mib N]
 *                 [--hot 0|1] [--times N] [--seconds N]
 *                 [--snapshots N [--stay]] [--rows FILE] [--latencies FILE]
 *
 * The share is of (capacity - reserve), and live, snapshots included
 * (churn.h).  --hot 1: nine tenths of the writes go to one tenth of the
 * blocks, 0: uniform.  N times the capacity is written, but for no longer than
 * --seconds, nor when a write is refused; the figures of the cleaner are those
 * of the last fifth.
 */
#include <stdlib.h>

#include "churn.h"
#include "test-store.h"

/* A row of the plot for so much of the capacity. */
#define ROWS_PER_CAPACITY 8u

struct plan {
	struct churn churn;
	struct store *store;
	uint64_t capacity;
	uint64_t nr_writes, nr_written;
	uint64_t end_ns;
	uint64_t allocated_most;
	struct latency latency;
	FILE *rows; /* may be NULL */
};

static void print_row(struct plan *plan, const struct span *span)
{
	struct store_stat st;

	if (!plan->rows || span->nr_writes == 0)
		return;
	store_stat(plan->store, &st);
	fprintf(plan->rows, "%.3f\t%.3f\t%.3f\t%.1f\t%.1f\n",
		(double)plan->nr_written * BLOCK_SIZE / (double)plan->capacity,
		amplification(span, &st), metadata_share(span, &st),
		live_percent(&st),
		(double)allocated_bytes(plan->churn.path) / (1 << 20));
}

static void latency_join(struct latency *into, const struct latency *from)
{
	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
	into->nr += from->nr;
	if (from->worst_ns > into->worst_ns)
		into->worst_ns = from->worst_ns;
}

static void span_join(struct span *into, const struct span *from)
{
	into->nr_writes += from->nr_writes;
	into->live_sum += from->live_sum;
	into->nr_looks += from->nr_looks;
	latency_join(&into->latency, &from->latency);
}

/* No more is to be written. */
static bool is_over(const struct plan *plan)
{
	return plan->churn.refused ||
	       (plan->end_ns && now_ns() >= plan->end_ns);
}

/* Write @nr blocks, with a row for each part; all of it is added to @whole. */
static void write_rows(struct plan *plan, struct span *whole, uint64_t nr)
{
	uint64_t step = plan->capacity / BLOCK_SIZE / ROWS_PER_CAPACITY;
	static struct span part;

	while (nr > 0 && !is_over(plan)) {
		uint64_t now = nr < step ? nr : step;

		span_begin(&part, plan->store);
		churn_write(&plan->churn, &part, now, plan->end_ns);
		nr -= now;
		plan->nr_written += part.nr_writes;
		if (part.allocated_most > plan->allocated_most)
			plan->allocated_most = part.allocated_most;
		print_row(plan, &part);
		span_join(whole, &part);
	}
	latency_join(&plan->latency, &whole->latency);
}

static void print_cleaner(const struct plan *plan, const struct span *span)
{
	struct store_stat st;

	store_stat(plan->store, &st);
	bench_figure("write-amplification", amplification(span, &st), "");
	bench_figure("metadata", metadata_share(span, &st),
		     "bytes per byte written");
	bench_figure("live-share",
		     span->nr_looks ? span->live_sum / (double)span->nr_looks
				    : live_percent(&st),
		     "%");
	bench_figure("names-per-live-segment",
		     (double)st.nr_named_segments / (double)st.nr_live_segments,
		     "");
	bench_figure("forwarded",
		     100.0 * (double)st.forwarded_blocks /
			     (double)st.live_blocks,
		     "%");
	bench_figure("nodes-touched", (double)st.nodes_touched, "");
	bench_figure("metadata-live", (double)st.meta_bytes_live / (1 << 20),
		     "MiB");
	bench_figure("refused", plan->churn.refused, "");
	bench_figure("dead", dead_percent(&st), "%");
	bench_figure("snapshots", st.nr_snapshots, "");
	bench_figure("snapshots-deleted", (double)plan->churn.nr_deleted, "");
}

static void run(struct plan *plan)
{
	uint64_t begin_ns = now_ns();
	static struct span span;

	span_begin(&span, plan->store);
	write_rows(plan, &span, plan->nr_writes - plan->nr_writes / 5);
	if (!is_over(plan)) {
		span_begin(&span, plan->store);
		write_rows(plan, &span, plan->nr_writes / 5);
	}
	print_cleaner(plan, &span);
	bench_figure("written", (double)(plan->nr_written * BLOCK_SIZE >> 20),
		     "MiB");
	bench_figure("writes",
		     (double)plan->nr_written * 1e9 /
			     (double)(now_ns() - begin_ns),
		     "per second");
	bench_figure("allocated-most", (double)plan->allocated_most / (1 << 20),
		     "MiB");
	latency_print(&plan->latency, "write");
}

/* --live-mib, or the share of what can be written. */
static uint64_t live_blocks(struct store *store, uint64_t share,
			    uint64_t live_mib)
{
	struct store_stat st;

	store_stat(store, &st);
	return live_mib ? (live_mib << 20) / BLOCK_SIZE
			: writable_blocks(&st) * share / 100;
}

int main(int argc, char **argv)
{
	uint64_t share = test_option(&argc, argv, "share", 80);
	uint64_t live_mib = test_option(&argc, argv, "live-mib", 0);
	uint64_t times = test_option(&argc, argv, "times", 10);
	uint64_t seconds = test_option(&argc, argv, "seconds", 0);
	uint64_t snapshots = test_option(&argc, argv, "snapshots", 0);
	static struct plan plan;
	FILE *latencies;

	plan.capacity = test_option(&argc, argv, "capacity-mib", 5120) << 20;
	plan.nr_writes = plan.capacity / BLOCK_SIZE * times;
	if (test_flag(&argc, argv, "stay"))
		plan.churn.order = CHURN_NONE;
	plan.churn.load.hot = test_option(&argc, argv, "hot", 1) != 0;
	plan.rows = bench_rows(
		bench_text_option(&argc, argv, "rows"),
		"times-capacity\tamplification\tmetadata\tlive-percent\t"
		"allocated-mib");
	latencies = bench_rows(bench_text_option(&argc, argv, "latencies"),
			       "microseconds\twrites");
	if (argc != 2) {
		fprintf(stderr,
			"usage: cleaner-bench STORE [--OPTION VALUE]...\n");
		return 2;
	}
	plan.store = bench_make(argv[1], plan.capacity);
	churn_begin(&plan.churn, plan.store, argv[1],
		    live_blocks(plan.store, share, live_mib), snapshots);
	if (seconds)
		plan.end_ns = now_ns() + seconds * UINT64_C(1000000000);
	run(&plan);
	if (latencies) {
		latency_plot(&plan.latency, latencies);
		(void)fclose(latencies);
	}
	if (plan.rows)
		(void)fclose(plan.rows);
	churn_end(&plan.churn);
	bench_close(plan.store);
	return 0;
}
