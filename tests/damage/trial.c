/* SPDX-License-Identifier: BSD-2-Clause */
/* A damaged store is opened, looked at and written to. */
#include "trial.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "test-store.h"

#define NEW_NUMBER 0x40000000u /* of what is written to damaged stores */

bool trial_fails(struct trial *trial, const char *format, ...)
{
	va_list args;

	trial->err.code = EUCLEAN;
	va_start(args, format);
	(void)vsnprintf(trial->err.message, sizeof(trial->err.message), format,
			args);
	va_end(args);
	return false;
}

static void hear(void *opaque, enum message_level level, enum store_event event,
		 const char *text)
{
	struct trial *trial = opaque;

	trial->heard_damage = trial->heard_damage || event == EVENT_DAMAGE;
}

void trial_begin(struct trial *ret, const struct strike *strike)
{
	*ret = (struct trial){.strike = strike};
	verdict_find(&ret->verdict, strike);
	ret->state = *specimen_state(strike->specimen, ret->verdict.end_seq);
}

/* ---- opening ---- */

static int open_copy(struct trial *trial, struct memory_disk *disk,
		     bool read_only, struct store **ret, struct error *err)
{
	struct store_open_options options = {
		.read_only = read_only,
		.nr_buffers = 4,
		.message = hear,
		.message_opaque = trial,
	};

	trial->heard_damage = false;
	return test_store_open(disk, &options, ret, err);
}

/* May, or must, this open be refused? */
static bool refusal_is_right(struct trial *trial, bool read_only, int r,
			     const struct error *err)
{
	const struct verdict *v = &trial->verdict;
	bool must = v->supers_lost || v->pages_hit ||
		    (v->log_is_damaged && !read_only);

	if (r < 0 && r != -EBADMSG && r != -EUCLEAN &&
	    !(r == -EINVAL && v->supers_lost))
		return trial_fails(trial, "opening fails with %d: %s", r,
				   err->message);
	if (r < 0 && !err->message[0])
		return trial_fails(trial, "opening fails without a sentence");
	/* the replay may need the nodes */
	if (r < 0 && !must && !v->nodes_hit &&
	    (read_only || !v->log_may_be_damaged))
		return trial_fails(trial, "refused for nothing: %s",
				   err->message);
	if (r == 0 && must)
		return trial_fails(trial, "opens %s, though %s",
				   read_only ? "read-only" : "for writing",
				   v->supers_lost ? "both superblocks are lost"
				   : v->log_is_damaged ? "the log is damaged"
						       : "a page is lost");
	return true;
}

/* ---- looking ---- */

/* What cannot be read is what depends on what was hit, exactly. */
static bool unread_is_right(struct trial *trial, const struct unread *unread)
{
	const struct verdict *v = &trial->verdict;

	if (!v->log_is_whole)
		return unread->nr == 0 || v->nodes_hit || v->data_hit ||
		       trial_fails(trial, "cannot be read for nothing: %s",
				   unread->example);
	for (unsigned int i = 0; i < trial->state.nr; i++)
		for (unsigned int b = 0; b < NR_BLOCKS; b++)
			if (trial->state.contents[i].numbers[b] !=
				    NUMBER_LOST &&
			    unread->blocks[i][b] !=
				    verdict_is_unread(v, trial->strike, i, b))
				return trial_fails(
					trial,
					"%.60s block %" PRIu64 " can%s be read",
					trial->state.contents[i].name,
					block_of_interest(b).index,
					unread->blocks[i][b] ? "not" : "");
	return true;
}

static bool compare_report(struct trial *trial, const struct said *said,
			   uint64_t nr_errors, bool clean)
{
	const struct verdict *v = &trial->verdict;

	if (clean == (nr_errors > 0) || clean == (said->lines.len > 0))
		return trial_fails(trial, "check is at odds with itself: %s",
				   said_first(said));
	if (clean && v->nodes_hit)
		return trial_fails(trial, "check does not find the bad node");
	if (!clean && !v->nodes_hit && !v->super_hit)
		return trial_fails(trial, "check finds what is not wrong: %s",
				   said_first(said));
	trial->told = trial->told || !clean;
	return true;
}

static bool check_is_right(struct trial *trial, struct store *store)
{
	struct said said = {0};
	struct check_report report;
	bool clean, good;

	clean = store_check(store, said_hear, &said, &report, NULL) == 0;
	good = compare_report(trial, &said, report.nr_errors, clean);
	said_done(&said);
	return good;
}

/* Of what no volume reaches, only the reaper. */
static bool is_about_dead(const struct said *said)
{
	for (size_t i = 0; i < said->lines.len; i++)
		if (!strstr(said->lines.ptr[i],
			    "nothing that is readable leads to it"))
			return false;
	return true;
}

static bool compare_scrub(struct trial *trial, const struct said *said,
			  const struct unread *unread, bool read_only)
{
	const struct verdict *v = &trial->verdict;

	if (!said_names_all(said, &trial->state, unread, &trial->err))
		return trial_fails(trial, "scrub: %s", trial->err.message);
	if (v->super_invalid && read_only && said->lines.len == 0)
		return trial_fails(trial, "scrub misses the bad superblock");
	if (said->lines.len > 0 && !v->nodes_hit && !v->data_hit &&
	    !v->super_hit && !(v->dead_hit && is_about_dead(said)))
		return trial_fails(trial, "scrub finds what is not wrong: %s",
				   said_first(said));
	return true;
}

static bool scrub_is_right(struct trial *trial, struct store *store,
			   const struct unread *unread, bool read_only)
{
	struct scrub_options options = {.max_bytes = 64 << 10, .restart = true};
	struct scrub_progress progress = {0};
	struct said said = {0};
	struct error err = ERROR_NONE;
	bool good;
	int r = 0;

	while (r == 0 && !progress.done) {
		r = store_scrub(store, &options, &progress, said_hear, &said,
				&err);
		options.restart = false;
	}
	good = (r == 0 && said.lines.len == 0 && progress.errors == 0) ||
	       (r == -EUCLEAN && said.lines.len > 0 && progress.errors > 0) ||
	       trial_fails(trial, "scrub: %d (%s), %zu lines, %" PRIu64, r,
			   err.message, said.lines.len, progress.errors);
	good = good && compare_scrub(trial, &said, unread, read_only);
	said_done(&said);
	return good;
}

static bool look(struct trial *trial, struct store *store, bool read_only)
{
	const struct verdict *v = &trial->verdict;
	struct unread unread;
	struct store_stat stat;

	if (!state_compare(&trial->state, store, &unread, &trial->err))
		return false;
	if (!unread_is_right(trial, &unread))
		return false;
	trial->unread = trial->unread || unread.nr > 0;
	trial->torn = trial->torn || (!v->log_is_whole && !v->log_is_damaged);
	if (v->super_invalid && !trial->heard_damage)
		return trial_fails(trial, "a bad superblock is not told");
	if (v->log_is_damaged && read_only && !trial->heard_damage)
		return trial_fails(trial, "a damaged log is not told");
	store_stat(store, &stat);
	if (stat.failed)
		return trial_fails(trial, "a read has stopped the store");
	return check_is_right(trial, store) &&
	       scrub_is_right(trial, store, &unread, read_only);
}

/* ---- going on ---- */

/* Each may fail for damage; what worked is durable. */
static int write_on(struct trial *trial, struct store *store, struct error *err)
{
	static const char *const taken[] = {"w@after"}, *const gone[] = {"w@2"};
	static uint8_t data[BLOCK_SIZE];
	struct state *state = &trial->state;
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
static bool go_on(struct trial *trial, struct memory_disk *disk,
		  struct store *store)
{
	const struct verdict *v = &trial->verdict;
	struct error err = ERROR_NONE;
	struct unread unread;
	bool good;
	int r;

	r = write_on(trial, store, &err);
	if (r < 0 && !v->nodes_hit) {
		(void)store_close(store, false, NULL); /* it failed already */
		return trial_fails(trial, "going on: %s", err.message);
	}
	(void)store_close(store, r == 0, NULL); /* the next open will tell */
	if (open_copy(trial, disk, true, &store, &err) < 0)
		return trial_fails(trial, "opening again: %s", err.message);
	good = state_compare(&trial->state, store, &unread, &trial->err);
	if (good && unread.nr > 0 && !v->nodes_hit && !v->data_hit)
		good = trial_fails(trial, "cannot be read any more: %s",
				   unread.example);
	(void)store_close(store, false, NULL); /* read-only */
	return good;
}

/* ---- one open ---- */

bool trial_open(struct trial *trial, bool read_only)
{
	struct memory_disk *disk = disk_copy(trial->strike->disk);
	struct error err = ERROR_NONE;
	struct store *store = NULL;
	bool good;
	int r;

	r = open_copy(trial, disk, read_only, &store, &err);
	trial->refused[read_only] = r < 0;
	good = refusal_is_right(trial, read_only, r, &err);
	if (r == 0 && good)
		good = look(trial, store, read_only);
	if (r == 0 && good && !read_only)
		good = go_on(trial, disk, store);
	else if (r == 0)
		(void)store_close(store, false, NULL); /* it was looked at */
	memory_disk_put(disk);
	return good;
}
