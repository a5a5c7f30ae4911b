/* SPDX-License-Identifier: BSD-2-Clause */
/* A workload's verbs about volumes and snapshots. */
#include "workload-internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

void work_create(struct workload *w, const char *name, uint64_t size)
{
	struct step *step = step_begin(w, "create", name, size, 0);
	struct error err = ERROR_NONE;
	enum outcome outcome;

	if (!step)
		return;
	outcome = step_settle(w, store_create(w->store, name, size, &err), &err,
			      step->what);
	if (outcome != REFUSED)
		model_create_volume(w->model, name, size);
	step_end(w, step, outcome == DONE);
}

/* What the verb returned; if it was done, the model's part of it for each. */
static void end_each(struct workload *w, struct step *step, int r,
		     const struct error *err,
		     void (*change)(struct model *model, const char *name),
		     const char *const *names, size_t nr)
{
	enum outcome outcome = step_settle(w, r, err, step->what);

	for (size_t i = 0; outcome != REFUSED && i < nr; i++)
		change(w->model, names[i]);
	step_end(w, step, outcome == DONE);
}

void work_snapshot(struct workload *w, const char *const *names, size_t nr)
{
	struct step *step = step_begin(w, "snapshot", names[0], nr, 0);
	struct error err = ERROR_NONE;
	int r;

	if (!step)
		return;
	r = store_snapshot(w->store, names, nr, "text", &err);
	end_each(w, step, r, &err, model_snapshot, names, nr);
}

void work_clone(struct workload *w, const char *snapshot,
		const char *const *names, size_t nr)
{
	struct step *step = step_begin(w, "clone", snapshot, nr, 0);
	struct error err = ERROR_NONE;
	enum outcome outcome;

	if (!step)
		return;
	outcome =
		step_settle(w, store_clone(w->store, snapshot, names, nr, &err),
			    &err, step->what);
	for (size_t i = 0; outcome != REFUSED && i < nr; i++)
		model_clone(w->model, snapshot, names[i]);
	step_end(w, step, outcome == DONE);
}

void work_delete(struct workload *w, const char *const *names, size_t nr)
{
	struct step *step = step_begin(w, "delete", names[0], nr, 0);
	struct error err = ERROR_NONE;
	int r;

	if (!step)
		return;
	r = store_delete(w->store, names, nr, true, &err);
	end_each(w, step, r, &err, model_delete, names, nr);
}

void work_rollback(struct workload *w, const char *const *names, size_t nr)
{
	struct step *step = step_begin(w, "rollback", names[0], nr, 0);
	char kept[4][NAME_MAX_BYTES + 1] = {{0}};
	struct error err = ERROR_NONE;
	enum outcome outcome;

	assert(nr <= 4);
	if (!step)
		return;
	outcome =
		step_settle(w, store_rollback(w->store, names, nr, kept, &err),
			    &err, step->what);
	for (size_t i = 0; outcome != REFUSED && i < nr; i++)
		model_rollback(w->model, names[i], kept[i]);
	step_end(w, step, outcome == DONE);
}

void work_undo(struct workload *w, const char *const *names, size_t nr)
{
	struct step *step = step_begin(w, "undo", names[0], nr, 0);
	struct error err = ERROR_NONE;
	int r;

	if (!step)
		return;
	r = store_undo(w->store, names, nr, &err);
	end_each(w, step, r, &err, model_undo, names, nr);
}

void work_rename(struct workload *w, const char *const *from,
		 const char *const *to, size_t nr)
{
	struct step *step = step_begin(w, "rename", from[0], nr, 0);
	struct error err = ERROR_NONE;
	enum outcome outcome;

	if (!step)
		return;
	outcome = step_settle(w, store_rename(w->store, from, to, nr, &err),
			      &err, step->what);
	for (size_t i = 0; outcome != REFUSED && i < nr; i++)
		model_rename(w->model, from[i], to[i]);
	step_end(w, step, outcome == DONE);
}

void work_resize(struct workload *w, const char *volume, uint64_t size)
{
	struct step *step = step_begin(w, "resize", volume, size, 0);
	struct error err = ERROR_NONE;
	enum outcome outcome;
	uint64_t was;

	if (!step)
		return;
	outcome = step_settle(
		w, store_resize(w->store, volume, size, true, &was, &err), &err,
		step->what);
	if (outcome != REFUSED)
		model_resize(w->model, volume, size);
	step_end(w, step, outcome == DONE);
}

/* @quota 0: none. */
void work_set(struct workload *w, const char *volume, uint64_t quota,
	      bool pause)
{
	struct step *step = step_begin(w, "set", volume, quota, pause);
	char bytes[24] = "none";
	struct setting settings[] = {
		{"quota", bytes},
		{"on-full", pause ? "pause" : "error"},
	};
	struct error err = ERROR_NONE;
	enum outcome outcome;

	if (!step)
		return;
	if (quota)
		(void)snprintf(bytes, sizeof(bytes), "%" PRIu64, quota);
	outcome = step_settle(w, store_set(w->store, volume, settings, 2, &err),
			      &err, step->what);
	if (outcome != REFUSED)
		model_set(w->model, volume, quota, pause);
	step_end(w, step, outcome == DONE);
}
