/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Damage to stores: at a structure of each kind in turn, bits are flipped,
 * blocks and frames are zeroed, swapped and duplicated, and earlier versions
 * put in place of the present ones.  Then the store is opened read-only and,
 * from another copy, for writing.
 *
 * Whatever opens holds every volume and snapshot, and every block of them is
 * right or cannot be read; what cannot be read depends on what was hit, and
 * what does not is readable.  The log ends where it must (verdict.h).  Check
 * finds what was hit of the metadata, and nothing where only dead space was.
 * A store that is written to after that is still right.
 *
 * Both superblocks replaced by older ones at once are not tried: that is a
 * store as it once was, and cannot be told.
 *
 * test-damage-store [--seed N] [--runs N] [--long] [--run N]
 *
 * --run repeats one run, as printed with a failure.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test-store.h"
#include "verdict.h"

#define RUNS_DEFAULT 1000u
#define RUNS_LONG 20000u
#define FAILURES_MAX 10u
#define NEW_NUMBER 0x40000000u /* of what is written to damaged stores */

enum outcome {
	OUTCOME_REFUSED,   /* does not open */
	OUTCOME_READ_ONLY, /* opens read-only alone */
	OUTCOME_TORN,	   /* the end of the log looked torn and was cut off */
	OUTCOME_UNREAD,	   /* some blocks cannot be read */
	OUTCOME_TOLD,	   /* all can be read, check tells of damage */
	OUTCOME_RIGHT,	   /* nothing is lost */
	NR_OUTCOMES,
};

static const char *const outcome_names[NR_OUTCOMES] = {
	"refused", "read-only", "torn", "unread", "told", "right",
};

struct totals {
	uint64_t seed, runs, failures;
	uint64_t table[NR_KINDS][NR_OUTCOMES];
};

/* One run, and what was found in it. */
struct run {
	const struct strike *strike;
	struct verdict verdict;
	struct state state; /* what the store must hold */
	bool heard_damage;
	char said[512]; /* the first line of check */
	bool refused[2], torn, unread, told;
	struct error err;
};

static bool wrong(struct run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static bool wrong(struct run *run, const char *format, ...)
{
	va_list args;

	run->err.code = EUCLEAN;
	va_start(args, format);
	(void)vsnprintf(run->err.message, sizeof(run->err.message), format,
			args);
	va_end(args);
	return false;
}

static void hear(void *opaque, enum message_level level, enum store_event event,
		 const char *text)
{
	struct run *run = opaque;

	run->heard_damage = run->heard_damage || event == EVENT_DAMAGE;
}

static void keep_line(void *opaque, const char *line)
{
	struct run *run = opaque;

	if (!run->said[0])
		(void)snprintf(run->said, sizeof(run->said), "%s", line);
}

/* ---- opening ---- */

static int open_copy(struct run *run, struct memory_disk *disk, bool read_only,
		     struct store **ret, struct error *err)
{
	struct store_open_options options = {
		.read_only = read_only,
		.nr_buffers = 4,
		.message = hear,
		.message_opaque = run,
	};

	run->heard_damage = false;
	return test_store_open(disk, &options, ret, err);
}

/* May, or must, this open be refused? */
static bool refusal_is_right(struct run *run, bool read_only, int r,
			     const struct error *err)
{
	const struct verdict *v = &run->verdict;
	bool must = v->supers_lost || v->pages_hit ||
		    (v->log_is_damaged && !read_only);

	if (r < 0 && r != -EBADMSG && r != -EUCLEAN &&
	    !(r == -EINVAL && v->supers_lost))
		return wrong(run, "opening fails with %d: %s", r, err->message);
	if (r < 0 && !err->message[0])
		return wrong(run, "opening fails without a sentence");
	/* the replay may need the nodes */
	if (r < 0 && !must && !v->nodes_hit &&
	    (read_only || !v->log_may_be_damaged))
		return wrong(run, "refused for nothing: %s", err->message);
	if (r == 0 && must)
		return wrong(run, "opens %s, though %s",
			     read_only ? "read-only" : "for writing",
			     v->supers_lost	 ? "both superblocks are lost"
			     : v->log_is_damaged ? "the log is damaged"
						 : "a page is lost");
	return true;
}

/* ---- looking ---- */

/* What cannot be read is what depends on what was hit, exactly. */
static bool unread_is_right(struct run *run, const struct unread *unread)
{
	const struct verdict *v = &run->verdict;

	if (!v->log_is_whole)
		return unread->nr == 0 || v->nodes_hit || v->data_hit ||
		       wrong(run, "cannot be read for nothing: %s",
			     unread->example);
	for (unsigned int i = 0; i < run->state.nr; i++)
		for (unsigned int b = 0; b < NR_BLOCKS; b++)
			if (unread->blocks[i][b] !=
			    verdict_is_unread(v, run->strike, i, b))
				return wrong(run,
					     "%.60s block %" PRIu64
					     " can%s be read",
					     run->state.contents[i].name,
					     block_of_interest(b).index,
					     unread->blocks[i][b] ? "not" : "");
	return true;
}

static bool check_is_right(struct run *run, struct store *store)
{
	const struct verdict *v = &run->verdict;
	struct check_report report;
	struct error err = ERROR_NONE;
	bool clean;

	run->said[0] = '\0';
	clean = store_check(store, keep_line, run, &report, &err) == 0;
	if (clean == (report.nr_errors > 0) || clean == !!run->said[0])
		return wrong(run, "check is at odds with itself: %s",
			     err.message);
	if (clean && v->nodes_hit)
		return wrong(run, "check does not find the damaged node");
	if (!clean && !v->nodes_hit && !v->super_hit)
		return wrong(run, "check finds what is not wrong: %s",
			     run->said);
	run->told = run->told || !clean;
	return true;
}

static bool look(struct run *run, struct store *store, bool read_only)
{
	const struct verdict *v = &run->verdict;
	struct unread unread;
	struct store_stat stat;

	if (!state_compare(&run->state, store, &unread, &run->err))
		return false;
	if (!unread_is_right(run, &unread))
		return false;
	run->unread = run->unread || unread.nr > 0;
	run->torn = run->torn || (!v->log_is_whole && !v->log_is_damaged);
	if (v->log_is_damaged && read_only && !run->heard_damage)
		return wrong(run, "a damaged log is not told");
	store_stat(store, &stat);
	if (stat.failed)
		return wrong(run, "a read has stopped the store");
	return check_is_right(run, store);
}

/* ---- going on ---- */

/* Each may fail for damage; what worked is durable. */
static int write_on(struct run *run, struct store *store, struct error *err)
{
	static const char *const taken[] = {"w@after"}, *const gone[] = {"w@2"};
	static uint8_t data[BLOCK_SIZE];
	struct state *state = &run->state;
	struct content *w = state_find(state, "w");
	struct volume_handle *handle;
	int r;

	r = volume_open(store, "w", VOLUME_OPEN_WRITE, &handle, err);
	if (r < 0)
		return r;
	fill_block(data, NEW_NUMBER);
	r = volume_write(handle, data, BLOCK_SIZE,
			 block_of_interest(65).index * BLOCK_SIZE, true, err);
	volume_close(handle);
	if (r < 0)
		return r;
	w->numbers[65] = NEW_NUMBER;
	r = store_snapshot(store, taken, 1, NULL, err);
	if (r < 0)
		return r;
	(void)state_add(state, w, taken[0], true);
	r = store_delete(store, gone, 1, false, err);
	if (r < 0)
		return r;
	state_remove(state, gone[0]);
	r = store_reap(store, err);
	return r < 0 ? r : store_checkpoint(store, err);
}

/* Write, stop, look again: nothing wrong has come of it. */
static bool go_on(struct run *run, struct memory_disk *disk,
		  struct store *store)
{
	const struct verdict *v = &run->verdict;
	struct error err = ERROR_NONE;
	struct unread unread;
	bool good;
	int r;

	r = write_on(run, store, &err);
	if (r < 0 && !v->nodes_hit) {
		(void)store_close(store, false, NULL); /* it failed already */
		return wrong(run, "going on: %s", err.message);
	}
	(void)store_close(store, r == 0, NULL); /* the next open will tell */
	if (open_copy(run, disk, true, &store, &err) < 0)
		return wrong(run, "opening again: %s", err.message);
	good = state_compare(&run->state, store, &unread, &run->err);
	if (good && unread.nr > 0 && !v->nodes_hit && !v->data_hit)
		good = wrong(run, "cannot be read any more: %s",
			     unread.example);
	(void)store_close(store, false, NULL); /* read-only */
	return good;
}

/* ---- one run ---- */

static bool try_open(struct run *run, bool read_only)
{
	struct memory_disk *disk = disk_copy(run->strike->disk);
	struct error err = ERROR_NONE;
	struct store *store = NULL;
	bool good;
	int r;

	r = open_copy(run, disk, read_only, &store, &err);
	run->refused[read_only] = r < 0;
	good = refusal_is_right(run, read_only, r, &err);
	if (r == 0 && good)
		good = look(run, store, read_only);
	if (r == 0 && good && !read_only)
		good = go_on(run, disk, store);
	else if (r == 0)
		(void)store_close(store, false, NULL); /* it was looked at */
	memory_disk_put(disk);
	return good;
}

static enum outcome outcome_of(const struct run *run)
{
	if (run->refused[true])
		return OUTCOME_REFUSED;
	if (run->refused[false])
		return OUTCOME_READ_ONLY;
	if (run->torn)
		return OUTCOME_TORN;
	if (run->unread)
		return OUTCOME_UNREAD;
	return run->told ? OUTCOME_TOLD : OUTCOME_RIGHT;
}

static void try_strike(struct totals *totals, uint64_t number,
		       const struct strike *strike)
{
	struct run run = {.strike = strike};
	char what[300];

	verdict_find(&run.verdict, strike);
	run.state = *specimen_state(strike->specimen, run.verdict.end_seq);
	if (try_open(&run, true) && try_open(&run, false)) {
		totals->table[strike->aim.kind][outcome_of(&run)]++;
		return;
	}
	strike_print(strike, what, sizeof(what));
	fprintf(stderr,
		"FAILED %s\n  %s\n  again: --seed %" PRIu64 " --run %" PRIu64
		"\n",
		what, run.err.message, totals->seed, number);
	if (++totals->failures >= FAILURES_MAX)
		die("too many failures");
}

static void try_run(struct totals *totals, const struct specimen *specimens,
		    uint64_t number)
{
	struct rng rng = {totals->seed * 1000003u + number};
	enum kind kind = (enum kind)(number % NR_KINDS);
	struct strike strike;

	totals->runs++;
	while (!strike_make(&strike, &specimens[rng_below(&rng, NR_SPECIMENS)],
			    kind, &rng))
		;
	try_strike(totals, number, &strike);
	strike_done(&strike);
}

/* ---- all ---- */

static void print_table(const struct totals *totals)
{
	printf("%-20s", "damaged");
	for (int o = 0; o < NR_OUTCOMES; o++)
		printf(" %9s", outcome_names[o]);
	putchar('\n');
	for (int k = 0; k < NR_KINDS; k++) {
		printf("%-20s", kind_names[k]);
		for (int o = 0; o < NR_OUTCOMES; o++)
			printf(" %9" PRIu64, totals->table[k][o]);
		putchar('\n');
	}
	printf("%" PRIu64 " damages, %" PRIu64
	       " failures, nothing wrong or stale was read otherwise, seed "
	       "%" PRIu64 "\n",
	       totals->runs, totals->failures, totals->seed);
}

int main(int argc, char **argv)
{
	static struct specimen specimens[NR_SPECIMENS];
	struct totals totals = {0};
	bool is_long = test_flag(&argc, argv, "long");
	uint64_t nr = test_option(&argc, argv, "runs",
				  is_long ? RUNS_LONG : RUNS_DEFAULT);
	uint64_t only = test_option(&argc, argv, "run", UINT64_MAX);

	totals.seed = test_option(&argc, argv, "seed", rng_time_seed());
	if (argc > 1)
		die("%s: unknown option %s", argv[0], argv[1]);
	printf("seed %" PRIu64 "\n", totals.seed);
	fflush(stdout);
	for (int i = 0; i < NR_SPECIMENS; i++)
		specimen_make(&specimens[i], (enum specimen_kind)i,
			      totals.seed);
	for (uint64_t i = 0; only == UINT64_MAX && i < nr; i++)
		try_run(&totals, specimens, i);
	if (only != UINT64_MAX)
		try_run(&totals, specimens, only);
	for (int i = 0; i < NR_SPECIMENS; i++)
		specimen_done(&specimens[i]);
	print_table(&totals);
	return totals.failures ? 1 : 0;
}
