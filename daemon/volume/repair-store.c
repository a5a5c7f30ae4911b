/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Check and repair of a store that nobody has open, and that perhaps cannot
 * be opened.
 */
#include <inttypes.h>
#include <string.h>

#include "check.h"
#include "log-loss.h"
#include "salvage.h"

/*
 * What lies behind damage in the log.  It was replayed: its own frames count
 * as used by now, and must be searched all the same.
 */
static int check_log(struct store *store, const struct check_output *out,
		     struct error *err)
{
	struct log_tail tail;
	int r;

	r = log_tail_find(store->core.be, &store->sb, NULL, true, &tail, err);
	if (r < 0)
		return r;
	if (tail.damaged) {
		out->report->nr_errors++;
		out->report->log_is_damaged = true;
		if (out->line)
			r = log_loss_report(store, &tail, out->line,
					    out->opaque, err);
	}
	log_tail_done(&tail);
	return r;
}

static int check_opened(struct store *store, const struct check_output *out,
			bool walk_log, struct error *err)
{
	int r = 0;

	if (walk_log)
		r = check_log(store, out, err);
	return r < 0 ? r : check_image(store, out, NULL, err);
}

/* It does not open, for the reason @why: as far as it goes. */
static int check_salvaged(struct backend *be, const struct check_output *out,
			  const struct error *why, struct error *err)
{
	static const struct store_open_options options = {
		.read_only = true, .at_checkpoint = true};
	struct salvage salvage = {.found = out->line, .opaque = out->opaque};
	uint64_t nr_before = out->report->nr_errors;
	struct error failure = ERROR_NONE;
	struct store *store;
	int r;

	r = store_open_salvage(be, &options, &salvage, &store, &failure);
	out->report->nr_errors += salvage.nr_found;
	salvage_done(&salvage);
	if (r == -ENOMEM)
		return error_set(err, ENOMEM, "out of memory");
	if (r < 0) {
		check_complain(out, "%s", failure.message);
		return 0;
	}
	r = check_opened(store, out, true, err);
	store_free(store, false);
	if (r == 0 && out->report->nr_errors == nr_before)
		check_complain(out, "%s", why->message);
	return r;
}

int store_check_backend(struct backend *be, const char *const *tail_dirs,
			line_fn *line, void *opaque, struct check_report *ret,
			struct error *err)
{
	const struct store_open_options options = {.read_only = true,
						   .tail_dirs = tail_dirs};
	const struct check_output out = {line, opaque, ret};
	struct error why = ERROR_NONE;
	struct superblock sb;
	struct store *store;
	unsigned int first;
	int r;

	*ret = (struct check_report){0};
	r = superblock_choose(be, &sb, &first, err);
	if (r < 0) /* no store, or all is lost with them */
		return r;
	r = store_open(be, &options, &store, &why);
	if (r == -ENOTSUP || r == -ENOMEM)
		return error_set(err, -r, "%s", why.message);
	check_superblocks(&out, be);
	if (r < 0) {
		r = check_salvaged(be, &out, &why, err);
	} else {
		r = check_opened(store, &out, store->log_is_damaged, err);
		store_free(store, false);
	}
	return r < 0 ? r : check_result(&out, err);
}

/* ---- repair ---- */

/* The reserve may have gone with the frame map. */
static void grow_reserve(struct store *store)
{
	struct frames *frames = &store->frames;
	bool want = true;

	while (want) {
		mutex_lock(&store->core.lock);
		want = frames_want_growth(frames);
		mutex_unlock(&store->core.lock);
		if (want && frames_grow(frames, false, NULL) < 0)
			want = false; /* as far as the host has room */
	}
}

/* Is it sound now?  Then it is left as after a clean stop. */
static int finish(struct store *store, struct error *err)
{
	struct check_report report;
	int r;

	grow_reserve(store);
	r = store_check(store, NULL, NULL, &report, err);
	if (r < 0)
		return error_prefix(err, "after the repair");
	return store_stop(store, err);
}

static int repair(struct backend *be, const struct repair_options *options,
		  line_fn *line, void *opaque, struct error *err)
{
	const struct store_open_options open = {
		.read_only = options->dry_run,
		.tail_dirs = options->tail_dirs,
	};
	struct salvage salvage = {.done = line,
				  .opaque = opaque,
				  .repairs = true,
				  .cut_log = options->cut_log};
	struct store *store;
	int r;

	r = store_open_salvage(be, &open, &salvage, &store, err);
	salvage_done(&salvage);
	if (r < 0)
		return error_prefix(err, "cannot be repaired");
	if (!options->dry_run)
		r = finish(store, err);
	store_free(store, false);
	return r;
}

int store_repair(struct backend *be, const struct repair_options *options,
		 line_fn *line, void *opaque, struct check_report *ret,
		 struct error *err)
{
	int r;

	r = store_check_backend(be, options->tail_dirs, line, opaque, ret, err);
	if (r != -EUCLEAN || ret->nr_errors == 0)
		return r;
	if (ret->log_is_damaged && !options->cut_log)
		return error_set(err, EBUSY,
				 "log is damaged: a repair gives up what lies "
				 "behind the damage, only when told to");
	return repair(be, options, line, opaque, err);
}
