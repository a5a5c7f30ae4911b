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
 * A store that is written to after that is still right.  Scrub names every
 * block that cannot be read.  After a repair, which is impossible only when
 * both superblocks or all roots are lost, check finds nothing, and no more is
 * lost than was hit.
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test-store.h"
#include "trial.h"

#define RUNS_DEFAULT 1000u
#define RUNS_LONG 20000u
#define FAILURES_MAX 10u

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
	uint64_t mended[NR_KINDS];
};

static enum outcome outcome_of(const struct trial *trial)
{
	if (trial->refused[true])
		return OUTCOME_REFUSED;
	if (trial->refused[false])
		return OUTCOME_READ_ONLY;
	if (trial->torn)
		return OUTCOME_TORN;
	if (trial->unread)
		return OUTCOME_UNREAD;
	return trial->told ? OUTCOME_TOLD : OUTCOME_RIGHT;
}

static void try_strike(struct totals *totals, uint64_t number,
		       const struct strike *strike)
{
	struct trial trial;
	char what[300];

	trial_begin(&trial, strike);
	if (trial_open(&trial, true) && trial_open(&trial, false) &&
	    trial_mend(&trial)) {
		totals->mended[strike->aim.kind] += trial.mended;
		totals->table[strike->aim.kind][outcome_of(&trial)]++;
		return;
	}
	strike_print(strike, what, sizeof(what));
	fprintf(stderr,
		"FAILED %s\n  %s\n  again: --seed %" PRIu64 " --run %" PRIu64
		"\n",
		what, trial.err.message, totals->seed, number);
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
	printf(" | %9s\n", "repaired");
	for (int k = 0; k < NR_KINDS; k++) {
		printf("%-20s", kind_names[k]);
		for (int o = 0; o < NR_OUTCOMES; o++)
			printf(" %9" PRIu64, totals->table[k][o]);
		printf(" | %9" PRIu64 "\n", totals->mended[k]);
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
