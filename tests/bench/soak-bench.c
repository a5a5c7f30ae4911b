/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing into a full store for long, while snapshots come and go.
 *
 *   soak-bench STORE [--capacity-mib N] [--share PERCENT] [--times N]
 *              [--snapshots N] [--hot 0|1] [--seed N] [--rows FILE]
 *
 * The share, of (capacity - reserve), is live, snapshots included (churn.h);
 * they are deleted in random order.  N times the capacity is written.  Then
 * they are all deleted and the store is cleaned, as an idle one is, until no
 * segment is worth it.  What is used then is compared with what was used when
 * the volume had just been filled and cleaned: the same blocks were live.
 * At the end store_check() counts everything again.
 */
#include <errno.h>
#include <stdlib.h>

#include "churn.h"
#include "test-store.h"

/* Rows of the plot for each capacity that is written. */
#define ROWS_PER_CAPACITY 4u
/* Checkpoints that cleaning may need, at most. */
#define CLEANINGS_MAX 100u

struct soak {
	struct churn churn;
	struct store *store;
	uint64_t capacity, nr_written;
	FILE *rows; /* may be NULL */
};

static struct store_stat stat_now(const struct soak *soak)
{
	struct store_stat st;

	store_stat(soak->store, &st);
	return st;
}

static double mib(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

/* What idleness would do; what is used then. */
static struct store_stat clean(struct soak *soak)
{
	struct error err = ERROR_NONE;
	int r = -ENOSPC;

	must(store_flush(soak->store, &err), "flush", &err);
	must(store_reap(soak->store, &err), "reap", &err);
	/* a checkpoint frees what cleaning emptied, so that it can go on */
	for (uint64_t i = 0; r == -ENOSPC && i < CLEANINGS_MAX; i++) {
		must(store_checkpoint(soak->store, &err), "checkpoint", &err);
		r = store_clean(soak->store, &err);
	}
	must(r, "clean", &err);
	return stat_now(soak);
}

static void print_row(const struct soak *soak, const struct span *span)
{
	struct store_stat st = stat_now(soak);

	if (!soak->rows || span->nr_writes == 0)
		return;
	fprintf(soak->rows, "%.3f\t%.3f\t%.1f\t%.1f\t%.1f\n",
		(double)soak->nr_written * BLOCK_SIZE / (double)soak->capacity,
		amplification(span, &st), live_percent(&st),
		mib(st.frames_used * st.segment_bytes),
		mib(st.meta_bytes_live));
}

static void write_all(struct soak *soak, uint64_t times)
{
	uint64_t step = soak->capacity / BLOCK_SIZE / ROWS_PER_CAPACITY;
	static struct span whole, part;
	double live_sum = 0;
	uint64_t nr_looks = 0;
	struct store_stat st;

	span_begin(&whole, soak->store);
	for (uint64_t i = 0; i < times * ROWS_PER_CAPACITY; i++) {
		span_begin(&part, soak->store);
		churn_write(&soak->churn, &part, step, 0);
		soak->nr_written += part.nr_writes;
		live_sum += part.live_sum;
		nr_looks += part.nr_looks;
		print_row(soak, &part);
		if (soak->churn.refused)
			break;
	}
	whole.nr_writes = soak->nr_written;
	st = stat_now(soak);
	bench_figure("written", mib(soak->nr_written * BLOCK_SIZE), "MiB");
	bench_figure("refused", soak->churn.refused, "");
	bench_figure("live-share", live_sum / (double)nr_looks, "%");
	bench_figure("write-amplification", amplification(&whole, &st), "");
	bench_figure("metadata", metadata_share(&whole, &st),
		     "bytes per byte written");
	bench_figure("writes",
		     (double)soak->nr_written * 1e9 /
			     (double)(now_ns() - whole.begin_ns),
		     "per second");
	bench_figure("snapshots-deleted", (double)soak->churn.nr_deleted, "");
}

static void print_line(void *opaque, const char *line)
{
	fprintf(stderr, "%s\n", line);
}

static void check(struct soak *soak)
{
	struct check_report report = {0};
	struct error err = ERROR_NONE;

	if (store_check(soak->store, print_line, NULL, &report, &err) < 0)
		fprintf(stderr, "check: %s\n", err.message);
	bench_figure("check-errors", (double)report.nr_errors, "");
	bench_figure("check-blocks", (double)report.nr_blocks, "");
}

static void run(struct soak *soak, const char *path, uint64_t share,
		uint64_t snapshots, uint64_t times)
{
	struct store_stat start = stat_now(soak), end;

	churn_begin(&soak->churn, soak->store, path,
		    writable_blocks(&start) * share / 100, snapshots);
	start = clean(soak);
	write_all(soak, times);
	churn_delete_snapshots(&soak->churn);
	end = clean(soak);
	bench_figure("used-at-start",
		     mib(start.frames_used * start.segment_bytes), "MiB");
	bench_figure("used-at-end", mib(end.frames_used * end.segment_bytes),
		     "MiB");
	bench_figure("live-at-start", mib(start.live_blocks * BLOCK_SIZE),
		     "MiB");
	bench_figure("live-at-end", mib(end.live_blocks * BLOCK_SIZE), "MiB");
	check(soak);
	churn_end(&soak->churn);
}

int main(int argc, char **argv)
{
	uint64_t share = test_option(&argc, argv, "share", 90);
	uint64_t times = test_option(&argc, argv, "times", 20);
	uint64_t snapshots = test_option(&argc, argv, "snapshots", 20);
	static struct soak soak;

	soak.capacity = test_option(&argc, argv, "capacity-mib", 2048) << 20;
	soak.churn.load.hot = test_option(&argc, argv, "hot", 1) != 0;
	soak.churn.load.rng.state = test_option(&argc, argv, "seed", 1);
	soak.churn.order = CHURN_ANY;
	soak.rows = bench_rows(bench_text_option(&argc, argv, "rows"),
			       "times-capacity\tamplification\tlive-percent\t"
			       "used-mib\tmetadata-live-mib");
	if (argc != 2) {
		fprintf(stderr,
			"usage: soak-bench STORE [--OPTION VALUE]...\n");
		return 2;
	}
	soak.store = bench_make(argv[1], soak.capacity);
	run(&soak, argv[1], share, snapshots, times);
	if (soak.rows)
		(void)fclose(soak.rows);
	bench_close(soak.store);
	return 0;
}
