/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A damaged store is repaired, and looked at.
 *
 * What cannot be repaired: a store both superblocks of which are lost, or the
 * roots of all checkpoints that they name.  All else must be sound afterwards:
 * it opens, check finds nothing, every block is right or cannot be read.
 */
#include "trial.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "test-store.h"

static uint64_t nr_changes(struct memory_disk *disk)
{
	static const enum memory_op changes[] = {
		MEMORY_WRITE, MEMORY_FREE, MEMORY_ALLOCATE, MEMORY_SUPER_WRITE};
	uint64_t nr = 0;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		nr += memory_disk_count(disk, changes[i]);
	return nr;
}

static int repair(struct memory_disk *disk, bool dry_run, bool cut_log,
		  struct said *said, struct error *err)
{
	struct repair_options options = {.dry_run = dry_run,
					 .cut_log = cut_log};
	struct backend *be = backend_memory_open(disk);
	struct check_report report;
	int r = store_repair(be, &options, said_hear, said, &report, err);

	backend_close(be);
	return r;
}

static bool root_hit(const struct trial *trial)
{
	return strike_hit_kinds(trial->strike, trial->verdict.survey, KIND_ROOT,
				KIND_ROOT);
}

static bool is_beyond_repair(const struct trial *trial)
{
	return trial->verdict.supers_lost || root_hit(trial);
}

/* It would say the same, and changes nothing. */
static bool try_dry(struct trial *trial, struct memory_disk *disk)
{
	struct said said = {0};
	struct error err = ERROR_NONE;
	int r = repair(disk, true, true, &said, &err);

	said_done(&said);
	if (nr_changes(disk) > 0)
		return trial_fails(trial, "a dry run of repair writes");
	if ((r < 0) != is_beyond_repair(trial))
		return trial_fails(trial, "dry run of repair: %d %s", r,
				   err.message);
	return true;
}

/* A damaged log is cut only when told. */
static bool try_uncut(struct trial *trial, struct memory_disk *disk)
{
	const struct verdict *v = &trial->verdict;
	struct said said = {0};
	struct error err = ERROR_NONE;
	int r;

	if (!v->log_is_damaged || is_beyond_repair(trial))
		return true;
	r = repair(disk, false, false, &said, &err);
	said_done(&said);
	if (r != -EBUSY || nr_changes(disk) > 0)
		return trial_fails(trial, "repair cuts a log untold: %d %s", r,
				   err.message);
	return true;
}

/* ---- afterwards ---- */

/* Drop from the state what lost pages of the volume table led to. */
static bool find_survivors(struct trial *trial, struct store *store)
{
	for (unsigned int i = trial->state.nr; i-- > 0;) {
		const char *name = trial->state.contents[i].name;
		struct volume_info info;

		if (store_find(store, name, &info, NULL) == 0)
			continue;
		if (!trial->verdict.pages_hit)
			return trial_fails(trial, "repair lost %.80s", name);
		state_remove(&trial->state, name);
	}
	return true;
}

/*
 * Can what is lost be told exactly?  Pages of the segment table, the frame map
 * and the reaper queue are made anew without loss, but for forwards.
 */
static bool loss_is_known(const struct trial *trial)
{
	const struct verdict *v = &trial->verdict;
	const struct strike *strike = trial->strike;

	if (!v->log_is_whole || (v->nodes_hit && trial->refused[true]))
		return false;
	if (strike_hit_kinds(strike, v->survey, KIND_DIRECTORY,
			     KIND_NODE_PAGE) ||
	    strike_hit_kinds(strike, v->survey, KIND_VOLUME_PAGE,
			     KIND_VOLUME_PAGE))
		return false;
	return strike->specimen->kind != SPECIMEN_CLEANED ||
	       !strike_hit_kinds(strike, v->survey, KIND_SEGMENT_PAGE,
				 KIND_SEGMENT_PAGE);
}

static bool losses_are_right(struct trial *trial, const struct said *said,
			     const struct unread *unread)
{
	const struct verdict *v = &trial->verdict;

	if (unread->nr > 0 && !v->pages_hit && !v->nodes_hit && !v->data_hit)
		return trial_fails(trial, "repair lost something: %s",
				   unread->example);
	if (!loss_is_known(trial))
		return true;
	for (unsigned int i = 0; i < trial->state.nr; i++)
		for (unsigned int b = 0; b < NR_BLOCKS; b++)
			if (trial->state.contents[i].numbers[b] !=
				    NUMBER_LOST &&
			    unread->blocks[i][b] !=
				    verdict_is_unread(v, trial->strike, i, b))
				return trial_fails(
					trial,
					"repair: %.60s block %" PRIu64
					" can%s be read",
					trial->state.contents[i].name,
					block_of_interest(b).index,
					unread->blocks[i][b] ? "not" : "");
	return v->data_hit ||
	       said_names_all(said, &trial->state, unread, &trial->err);
}

static bool look_again(struct trial *trial, struct memory_disk *disk,
		       const struct said *said)
{
	struct store_open_options options = {.nr_buffers = 4};
	struct error err = ERROR_NONE;
	struct unread unread;
	struct store *store;
	bool good;

	if (test_store_open(disk, &options, &store, &err) < 0)
		return trial_fails(trial, "repaired, and does not open: %s",
				   err.message);
	good = test_store_check(store, &err);
	if (!good)
		(void)trial_fails(trial, "repaired: %s", err.message);
	good = good && find_survivors(trial, store) &&
	       state_compare_contents(&trial->state, store, &unread,
				      &trial->err) &&
	       losses_are_right(trial, said, &unread);
	(void)store_close(store, false, NULL); /* it was looked at */
	return good;
}

bool trial_mend(struct trial *trial)
{
	struct memory_disk *disk = disk_copy(trial->strike->disk);
	struct said said = {0};
	struct error err = ERROR_NONE;
	bool good;
	int r;

	/* superblock B may still name a whole checkpoint */
	if (trial->strike->specimen->kind == SPECIMEN_BETWEEN &&
	    root_hit(trial))
		verdict_find_older(&trial->verdict, trial->strike);
	trial->state = *specimen_state(trial->strike->specimen,
				       trial->verdict.end_seq);
	good = try_dry(trial, disk) && try_uncut(trial, disk);
	r = good ? repair(disk, false, true, &said, &err) : 0;
	trial->mended = r == 0;
	if (good && (r < 0) != is_beyond_repair(trial))
		good = trial_fails(trial, "repair: %d %s", r, err.message);
	if (good && r == 0)
		good = look_again(trial, disk, &said);
	said_done(&said);
	memory_disk_put(disk);
	return good;
}
