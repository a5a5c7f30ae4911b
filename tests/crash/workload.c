/* SPDX-License-Identifier: BSD-2-Clause */
/* A workload that runs on a recorded disk and on the model at once. */
#include "workload-internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader.h"
#include "store.h"
#include "test-store.h"

#define WRITE_MAX (1u << 20) /* a multiple of 8 */

static void inside(struct workload *w, bool enters)
{
	if (w->inside)
		w->inside(w, enters);
}

static bool store_has_failed(const struct workload *w)
{
	struct store_stat st;

	store_stat(w->store, &st);
	return st.failed;
}

enum outcome step_settle(struct workload *w, int r, const struct error *err,
			 const char *what)
{
	inside(w, false);
	if (r < 0 && !w->may_fail)
		die("%s: %s", what, err->message);
	if (r < 0 && (err->code != -r || !err->message[0]))
		die("FAILED %s: result %d, but said %d, \"%s\"", what, r,
		    -err->code, err->message);
	w->failure = r;
	w->err = *err;
	if (r == 0)
		return DONE;
	w->stopped = store_has_failed(w);
	if (w->stopped)
		return UNKNOWN;
	w->nr_refused++;
	return REFUSED;
}

/* ---- steps and states ---- */

static void push_state(struct workload *w)
{
	if (hashes_push(&w->states, w->model->hash) < 0)
		die("out of memory");
}

struct step *step_begin(struct workload *w, const char *verb,
			const char *operand, uint64_t length, uint64_t offset)
{
	struct step step = {.events_before = memory_disk_nr_events(w->disk)};

	if (w->stopped)
		return NULL;
	(void)snprintf(step.what, sizeof(step.what),
		       "%s %.40s %" PRIu64 "@%" PRIu64, verb, operand, length,
		       offset);
	if (steps_push(&w->steps, step) < 0)
		die("out of memory");
	inside(w, true);
	return &w->steps.ptr[w->steps.len - 1];
}

void step_end(struct workload *w, struct step *step, bool durable)
{
	push_state(w);
	step->events_after = memory_disk_nr_events(w->disk);
	step->last_state = w->states.len - 1;
	step->durable = durable;
}

struct window workload_window(const struct workload *w, uint64_t nr_events)
{
	struct window ret = {0, 0, "start"};

	for (size_t i = 0; i < w->steps.len; i++) {
		const struct step *step = &w->steps.ptr[i];

		if (step->events_before >= nr_events)
			break;
		ret.last = step->last_state;
		ret.step = step->what;
		if (step->durable && step->events_after <= nr_events)
			ret.first = step->last_state;
	}
	return ret;
}

bool workload_allows(const struct workload *w, struct window window,
		     uint64_t hash)
{
	for (size_t i = window.first; i <= window.last; i++)
		if (w->states.ptr[i] == hash)
			return true;
	return false;
}

/* ---- life ---- */

static void open_store(struct workload *w)
{
	struct error err = ERROR_NONE;

	if (test_store_open(w->disk, &w->options, &w->store, &err) < 0)
		die("store_open: %s", err.message);
}

void workload_start(struct workload *w, uint64_t seed, struct memory_disk *disk,
		    struct model *model)
{
	struct store_stat st;

	*w = (struct workload){
		.disk = disk,
		.model = model,
		.rng = {seed},
		.options = {.nr_buffers = 8, .load_behind = true},
	};
	open_store(w);
	store_stat(w->store, &st);
	model_set_capacity(model, st.capacity);
}

void workload_init(struct workload *w, uint64_t seed, uint64_t nr_frames,
		   unsigned int segment_shift)
{
	static const char *const names[] = {"a", "b"};
	static const uint64_t sizes[] = {300 << 10, 130 << 10};

	workload_start(w, seed, test_store_disk_of(nr_frames, segment_shift),
		       model_create());
	for (size_t i = 0; i < 2; i++) {
		work_create(w, names[i], sizes[i]);
		work_write(w, names[i], sizes[i] / 2, sizes[i] / 8, false);
	}
	work_flush(w);
}

void workload_record(struct workload *w)
{
	work_flush(w);
	memory_disk_record(w->disk);
	w->steps.len = 0;
	w->states.len = 0;
	push_state(w);
}

void workload_done(struct workload *w)
{
	(void)store_close(w->store, false, NULL); /* no longer of interest */
	memory_disk_put(w->disk);
	model_free(w->model);
	hashes_done(&w->states);
	steps_done(&w->steps);
}

/* ---- data ---- */

/*
 * Apply to the model block by block, with a state after each but the last,
 * which step_end() adds.
 */
static void model_by_blocks(struct workload *w, const char *volume,
			    const uint8_t *data, uint64_t length,
			    uint64_t offset)
{
	struct model_volume *v = model_find(w->model, volume);

	while (length > 0) {
		uint64_t n = BLOCK_SIZE - offset % BLOCK_SIZE;

		if (n > length)
			n = length;
		/* how often a refused one wrote a block nobody knows */
		if (w->failure < 0)
			model_settle(w->model, v, data, n, offset);
		else if (data)
			model_write(w->model, v, data, n, offset);
		else
			model_zero(w->model, v, n, offset);
		data = data ? data + n : NULL;
		offset += n;
		length -= n;
		if (length > 0)
			push_state(w);
	}
}

/* How far a refused request got: it is done block by block.  NULL: zeros. */
static uint64_t length_done(struct workload *w, const char *volume,
			    const uint8_t *data, uint64_t length,
			    uint64_t offset)
{
	static uint8_t found[4 * WRITE_MAX];
	struct volume_handle *handle;
	struct error err = ERROR_NONE;
	uint64_t done = 0;

	assert(length <= sizeof(found));
	if (!model_find(w->model, volume))
		return 0;
	if (volume_open(w->store, volume, 0, &handle, &err) < 0 ||
	    volume_read(handle, found, (uint32_t)length, offset, &err) < 0)
		die("FAILED to read back: %s", err.message);
	volume_close(handle);
	while (done < length) {
		uint64_t n = BLOCK_SIZE - (offset + done) % BLOCK_SIZE;

		if (n > length - done)
			n = length - done;
		for (uint64_t i = done; i < done + n; i++)
			if (found[i] != (data ? data[i] : 0))
				return done;
		done += n;
	}
	return done;
}

enum data_op {
	DATA_WRITE,
	DATA_ZERO,
	DATA_TRIM,
};

static int do_data(struct workload *w, enum data_op op, const char *volume,
		   const uint8_t *data, uint64_t length, uint64_t offset,
		   bool fua, struct error *err)
{
	struct volume_handle *handle;
	int r = volume_open(w->store, volume, VOLUME_OPEN_WRITE, &handle, err);

	if (r < 0)
		return r;
	if (op == DATA_WRITE)
		r = volume_write(handle, data, (uint32_t)length, offset, fua,
				 err);
	else if (op == DATA_ZERO)
		r = volume_zero(handle, length, offset, fua, err);
	else
		r = volume_trim(handle, length, offset, fua, err);
	volume_close(handle);
	return r;
}

static void work_data(struct workload *w, enum data_op op, const char *verb,
		      const char *volume, const uint8_t *data, uint64_t length,
		      uint64_t offset, bool fua)
{
	struct step *step = step_begin(w, verb, volume, length, offset);
	struct error err = ERROR_NONE;
	enum outcome outcome;
	int r;

	if (!step)
		return;
	r = do_data(w, op, volume, data, length, offset, fua, &err);
	outcome = step_settle(w, r, &err, step->what);
	if (outcome == REFUSED)
		length = length_done(w, volume, data, length, offset);
	if (length > 0)
		model_by_blocks(w, volume, data, length, offset);
	/* FUA is about this request's data only: of nothing, there is none */
	step_end(w, step, outcome == DONE && fua && length > 0);
}

void work_write(struct workload *w, const char *volume, uint64_t length,
		uint64_t offset, bool fua)
{
	static uint8_t data[WRITE_MAX];

	assert(length <= sizeof(data));
	for (uint64_t i = 0; i < length; i += sizeof(uint64_t)) {
		uint64_t word = rng_next(&w->rng);

		memcpy(data + i, &word, sizeof(word));
	}
	work_data(w, DATA_WRITE, fua ? "write-fua" : "write", volume, data,
		  length, offset, fua);
}

void work_zero(struct workload *w, const char *volume, uint64_t length,
	       uint64_t offset, bool fua)
{
	work_data(w, DATA_ZERO, "zero", volume, NULL, length, offset, fua);
}

void work_trim(struct workload *w, const char *volume, uint64_t length,
	       uint64_t offset, bool fua)
{
	assert(length % BLOCK_SIZE == 0 && offset % BLOCK_SIZE == 0);
	work_data(w, DATA_TRIM, "trim", volume, NULL, length, offset, fua);
}

void work_random_data(struct workload *w, bool fua)
{
	const char *volume = rng_one_in(&w->rng, 3) ? "b" : "a";
	uint64_t size = model_find(w->model, volume)->size;
	uint64_t offset = rng_below(&w->rng, size);
	uint64_t length = 1 + rng_below(&w->rng, size - offset);
	uint64_t dice = rng_below(&w->rng, 10);

	fua = fua && rng_one_in(&w->rng, 6);
	if (rng_one_in(&w->rng, 2) && length > 10000)
		length %= 10000;
	if (dice == 0)
		work_zero(w, volume, length, offset, fua);
	else if (dice == 1)
		work_trim(w, volume, length / BLOCK_SIZE * BLOCK_SIZE,
			  offset / BLOCK_SIZE * BLOCK_SIZE, fua);
	else
		work_write(w, volume, length, offset, fua);
}

void work_flush(struct workload *w)
{
	struct step *step = step_begin(w, "flush", "", 0, 0);
	struct error err = ERROR_NONE;
	int r;

	if (!step)
		return;
	r = store_flush(w->store, &err);
	step_end(w, step, step_settle(w, r, &err, step->what) == DONE);
}

/* ---- the store itself ---- */

void work_grow(struct workload *w, uint64_t more)
{
	struct step *step = step_begin(w, "grow", "", more, 0);
	uint64_t capacity, now;
	struct error err = ERROR_NONE;
	enum outcome outcome;

	if (!step)
		return;
	capacity = w->model->capacity + (more << w->store->core.segment_shift);
	outcome = step_settle(
		w, store_set_capacity(w->store, capacity, &now, &err), &err,
		step->what);
	if (outcome != REFUSED)
		model_set_capacity(w->model, capacity);
	step_end(w, step, outcome == DONE);
}

/* The segments of nodes that a checkpoint need not write; of others 0. */
static uint64_t *clean_node_segments(struct store *store, uint32_t nr)
{
	uint64_t *ret = calloc(nr, sizeof(*ret));

	if (!ret)
		abort();
	mutex_lock(&store->core.lock);
	for (uint32_t id = 1; id < nr; id++) {
		const struct node *n = node_peek(&store->nodes, id);

		if (node_exists(&store->nodes, id) &&
		    !(n && n->generation == store->core.generation))
			ret[id] = node_entry(&store->nodes, id)->segno;
	}
	mutex_unlock(&store->core.lock);
	return ret;
}

static void note_moved_nodes(struct workload *w, const uint64_t *before,
			     uint32_t nr)
{
	uint64_t *after = clean_node_segments(w->store, nr);

	for (uint32_t id = 0; id < nr; id++)
		w->nr_moved_nodes += before[id] && before[id] != after[id];
	free(after);
}

/* Half of them after the loader, as it happens when there is one. */
void work_checkpoint(struct workload *w)
{
	bool loads = rng_one_in(&w->rng, 2);
	uint32_t nr = w->store->nodes.next_id;
	uint64_t *before = clean_node_segments(w->store, nr);
	struct step *step = step_begin(w, "checkpoint", "", 0, 0);
	struct error err = ERROR_NONE;
	enum outcome outcome;
	int r;

	if (step) {
		if (loads)
			loader_run(w->store);
		r = store_checkpoint(w->store, &err);
		outcome = step_settle(w, r, &err, step->what);
		if (outcome == DONE)
			note_moved_nodes(w, before, nr);
		step_end(w, step, outcome == DONE);
	}
	free(before);
}

void work_reap(struct workload *w)
{
	struct step *step = step_begin(w, "reap", "", 0, 0);
	struct error err = ERROR_NONE;

	if (!step)
		return;
	w->nr_reaped += w->store->nodes.reaper.len;
	(void)step_settle(w, store_reap(w->store, &err), &err, step->what);
	step_end(w, step, false);
}

static void no_line(void *opaque, const char *line)
{
}

void work_scrub(struct workload *w, uint64_t max_bytes)
{
	struct step *step = step_begin(w, "scrub", "", max_bytes, 0);
	struct scrub_options options = {.max_bytes = max_bytes};
	struct scrub_progress progress;
	struct error err = ERROR_NONE;
	int r;

	if (!step)
		return;
	r = store_scrub(w->store, &options, &progress, no_line, NULL, &err);
	(void)step_settle(w, r, &err, step->what);
	step_end(w, step, false);
}

void work_call(struct workload *w, const char *what,
	       int (*call)(struct workload *w, struct error *err))
{
	struct step *step = step_begin(w, what, "", 0, 0);
	struct error err = ERROR_NONE;
	int r;

	if (!step)
		return;
	r = call(w, &err);
	(void)step_settle(w, r, &err, step->what);
	step_end(w, step, false);
}

/* Until blocks were read, and will be moved later. */
static int clean_some(struct workload *w, struct error *err)
{
	const struct gc_stream *streams = w->store->cleaner.streams;
	int r = 1;

	while (r > 0 && streams[GC_FIRST].writer.nr == 0 &&
	       streams[GC_AGAIN].writer.nr == 0)
		r = cleaner_step(w->store, err);
	return r < 0 ? r : 0;
}

void work_clean_some(struct workload *w)
{
	work_call(w, "clean some", clean_some);
}

void work_clean(struct workload *w)
{
	struct step *step = step_begin(w, "clean", "", 0, 0);
	struct error err = ERROR_NONE;
	struct store_stat st;
	int r;

	if (!step)
		return;
	r = store_clean(w->store, &err);

	/* it needs a frame that only a checkpoint gives back */
	if (r == -ENOSPC)
		r = store_checkpoint(w->store, &err);
	(void)step_settle(w, r, &err, step->what);
	store_stat(w->store, &st);
	w->nr_moved += st.moved_blocks;
	w->nr_renamed += st.renamed_blocks;
	step_end(w, step, false);
}

void work_write_early(struct workload *w)
{
	struct step *step = step_begin(w, "write-early", "", 0, 0);
	struct core *core = &w->store->core;

	if (!step)
		return;
	mutex_lock(&core->lock);
	log_seal(&w->store->log);
	(void)log_write_one(&w->store->log);
	mutex_unlock(&core->lock);
	inside(w, false);
	step_end(w, step, false);
}

void work_idle(struct workload *w)
{
	struct step *step = step_begin(w, "idle", "", 0, 0);
	struct core *core = &w->store->core;

	if (!step)
		return;
	mutex_lock(&core->lock);
	w->store->log.flushed_at_ms = 0; /* long ago */
	log_advertise_durable(&w->store->log);
	mutex_unlock(&core->lock);
	inside(w, false);
	step_end(w, step, false);
}

void work_reopen(struct workload *w, bool clean)
{
	struct step *step;
	struct error err = ERROR_NONE, failure = ERROR_NONE;
	int r, opened;

	work_flush(w);
	step = step_begin(w, clean ? "reopen-clean" : "reopen", "", 0, 0);
	if (!step)
		return;
	r = store_close(w->store, clean, &err);
	opened = test_store_open(w->disk, &w->options, &w->store, &failure);
	if (opened < 0) {
		inside(w, false);
		r = opened;
		err = failure;
		open_store(w);
	}
	/* it was flushed: whatever happened, nothing may be lost */
	(void)step_settle(w, r, &err, step->what);
	step_end(w, step, true);
}
