/* SPDX-License-Identifier: BSD-2-Clause */
/* A workload that runs on a recorded disk and on the model at once. */
#include "workload.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test-store.h"
#include "units.h"

#define NR_FRAMES 128u
#define WRITE_MAX (1u << 20)

/* Take note of a result; true when it was a success. */
static bool worked(struct workload *w, int r, const struct error *err,
		   const char *what)
{
	if (r < 0 && !w->may_fail)
		die("%s: %s", what, err->message);
	w->failure = r;
	w->err = *err;
	return r == 0;
}

/* ---- steps and states ---- */

static void push_state(struct workload *w)
{
	if (hashes_push(&w->states, w->model->hash) < 0)
		die("out of memory");
}

static struct step *begin(struct workload *w, const char *verb,
			  const char *operand, uint64_t length, uint64_t offset)
{
	struct step step = {.events_before = memory_disk_nr_events(w->disk)};

	(void)snprintf(step.what, sizeof(step.what),
		       "%s %.40s %" PRIu64 "@%" PRIu64, verb, operand, length,
		       offset);
	if (steps_push(&w->steps, step) < 0)
		die("out of memory");
	return &w->steps.ptr[w->steps.len - 1];
}

static void end(struct workload *w, struct step *step, bool durable)
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

void workload_init(struct workload *w, uint64_t seed)
{
	static const char *const names[] = {"a", "b"};
	static const uint64_t sizes[] = {300 << 10, 130 << 10};

	*w = (struct workload){.rng = {seed}, .options = {.nr_buffers = 8}};
	w->disk = test_store_disk(NR_FRAMES);
	w->model = model_create();
	open_store(w);
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

static struct volume_handle *open_volume(struct workload *w, const char *volume)
{
	struct volume_handle *handle;
	struct error err = ERROR_NONE;

	if (volume_open(w->store, volume, VOLUME_OPEN_WRITE, &handle, &err) < 0)
		die("%s: %s", volume, err.message);
	return handle;
}

/*
 * Apply to the model block by block, with a state after each but the last,
 * which end() adds.
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
		if (data)
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

void work_write(struct workload *w, const char *volume, uint64_t length,
		uint64_t offset, bool fua)
{
	static uint8_t data[WRITE_MAX];
	struct step *step =
		begin(w, fua ? "write-fua" : "write", volume, length, offset);
	struct volume_handle *handle = open_volume(w, volume);
	struct error err = ERROR_NONE;
	bool ok;
	int r;

	assert(length <= sizeof(data));
	for (uint64_t i = 0; i < length; i++)
		data[i] = (uint8_t)rng_next(&w->rng);
	r = volume_write(handle, data, (uint32_t)length, offset, fua, &err);
	ok = worked(w, r, &err, step->what);
	volume_close(handle);
	model_by_blocks(w, volume, data, length, offset);
	end(w, step, ok && fua);
}

void work_zero(struct workload *w, const char *volume, uint64_t length,
	       uint64_t offset, bool fua)
{
	struct step *step = begin(w, "zero", volume, length, offset);
	struct volume_handle *handle = open_volume(w, volume);
	struct error err = ERROR_NONE;
	bool ok;

	ok = worked(w, volume_zero(handle, length, offset, fua, &err), &err,
		    step->what);
	volume_close(handle);
	model_by_blocks(w, volume, NULL, length, offset);
	end(w, step, ok && fua);
}

void work_trim(struct workload *w, const char *volume, uint64_t length,
	       uint64_t offset, bool fua)
{
	struct step *step = begin(w, "trim", volume, length, offset);
	struct volume_handle *handle = open_volume(w, volume);
	struct error err = ERROR_NONE;
	bool ok;

	assert(length % BLOCK_SIZE == 0 && offset % BLOCK_SIZE == 0);
	ok = worked(w, volume_trim(handle, length, offset, fua, &err), &err,
		    step->what);
	volume_close(handle);
	model_by_blocks(w, volume, NULL, length, offset);
	/* FUA is about this request's data only: of nothing, there is none */
	end(w, step, ok && fua && length > 0);
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
	struct step *step = begin(w, "flush", "", 0, 0);
	struct error err = ERROR_NONE;
	bool ok;

	ok = worked(w, store_flush(w->store, &err), &err, step->what);
	end(w, step, ok);
}

/* ---- verbs ---- */

void work_create(struct workload *w, const char *name, uint64_t size)
{
	struct step *step = begin(w, "create", name, size, 0);
	struct error err = ERROR_NONE;
	bool ok;

	ok = worked(w, store_create(w->store, name, size, &err), &err,
		    step->what);
	model_create_volume(w->model, name, size);
	end(w, step, ok);
}

void work_snapshot(struct workload *w, const char *const *names, size_t nr)
{
	struct step *step = begin(w, "snapshot", names[0], nr, 0);
	struct error err = ERROR_NONE;
	bool ok;

	ok = worked(w, store_snapshot(w->store, names, nr, "text", &err), &err,
		    step->what);
	for (size_t i = 0; i < nr; i++)
		model_snapshot(w->model, names[i]);
	end(w, step, ok);
}

void work_clone(struct workload *w, const char *snapshot,
		const char *const *names, size_t nr)
{
	struct step *step = begin(w, "clone", snapshot, nr, 0);
	struct error err = ERROR_NONE;
	bool ok;

	ok = worked(w, store_clone(w->store, snapshot, names, nr, &err), &err,
		    step->what);
	for (size_t i = 0; i < nr; i++)
		model_clone(w->model, snapshot, names[i]);
	end(w, step, ok);
}

void work_delete(struct workload *w, const char *const *names, size_t nr)
{
	struct step *step = begin(w, "delete", names[0], nr, 0);
	struct error err = ERROR_NONE;
	bool ok;

	ok = worked(w, store_delete(w->store, names, nr, true, &err), &err,
		    step->what);
	for (size_t i = 0; i < nr; i++)
		model_delete(w->model, names[i]);
	end(w, step, ok);
}

void work_rollback(struct workload *w, const char *const *names, size_t nr)
{
	struct step *step = begin(w, "rollback", names[0], nr, 0);
	char kept[4][NAME_MAX_BYTES + 1];
	struct error err = ERROR_NONE;
	bool ok;

	assert(nr <= 4);
	ok = worked(w, store_rollback(w->store, names, nr, kept, &err), &err,
		    step->what);
	for (size_t i = 0; i < nr; i++)
		model_rollback(w->model, names[i], kept[i]);
	end(w, step, ok);
}

void work_undo(struct workload *w, const char *const *names, size_t nr)
{
	struct step *step = begin(w, "undo", names[0], nr, 0);
	struct error err = ERROR_NONE;
	bool ok;

	ok = worked(w, store_undo(w->store, names, nr, &err), &err, step->what);
	for (size_t i = 0; i < nr; i++)
		model_undo(w->model, names[i]);
	end(w, step, ok);
}

/* ---- the store itself ---- */

void work_checkpoint(struct workload *w)
{
	struct step *step = begin(w, "checkpoint", "", 0, 0);
	struct error err = ERROR_NONE;
	bool ok;

	ok = worked(w, store_checkpoint(w->store, &err), &err, step->what);
	end(w, step, ok);
}

void work_reap(struct workload *w)
{
	struct step *step = begin(w, "reap", "", 0, 0);
	struct error err = ERROR_NONE;

	(void)worked(w, store_reap(w->store, &err), &err, step->what);
	end(w, step, false);
}

void work_reopen(struct workload *w, bool clean)
{
	struct step *step;
	struct error err = ERROR_NONE;
	bool ok;

	work_flush(w);
	step = begin(w, clean ? "reopen-clean" : "reopen", "", 0, 0);
	ok = worked(w, store_close(w->store, clean, &err), &err, step->what);
	open_store(w);
	end(w, step, ok);
}
