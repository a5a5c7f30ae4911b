/* SPDX-License-Identifier: BSD-2-Clause */
#include "faults-work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "test-store.h"

/* ---- what changes nothing ---- */

/* Every byte, extent and record; what is read is right. */
static int read_volume(struct workload *w, const struct model_volume *v,
		       struct error *err)
{
	static uint8_t ours[4u << 20], theirs[4u << 20];
	struct volume_handle *handle;
	int r = volume_open(w->store, v->name, 0, &handle, err);

	if (r < 0)
		return r;
	r = volume_read(handle, theirs, (uint32_t)v->size, 0, err);
	if (r == 0) {
		model_read(v, ours, v->size, 0);
		if (memcmp(ours, theirs, v->size) != 0)
			die("FAILED %s: wrong data", v->name);
		r = volume_cache(handle, 4096, 0, err);
	}
	volume_close(handle);
	return r;
}

static int read_all(struct workload *w, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < w->model->nr; i++)
		r = read_volume(w, w->model->volumes[i], err);
	return r;
}

static int count_extent(void *opaque, uint64_t offset, uint64_t length,
			bool is_hole)
{
	*(uint64_t *)opaque += length;
	return 0;
}

static int extents(struct workload *w, struct error *err)
{
	struct volume_handle *handle;
	uint64_t bytes = 0;
	int r = volume_open(w->store, "a", 0, &handle, err);

	if (r < 0)
		return r;
	r = volume_extents(handle, volume_size(handle), 0, count_extent, &bytes,
			   err);
	if (r == 0 && bytes < volume_size(handle))
		die("FAILED extents are missing");
	volume_close(handle);
	return r;
}

static void no_line(void *opaque, const char *line)
{
}

static int check(struct workload *w, struct error *err)
{
	struct check_report report;

	return store_check(w->store, no_line, NULL, &report, err);
}

static int dump(struct workload *w, struct error *err)
{
	return store_dump(w->store, "all", no_line, NULL, err);
}

static int list(struct workload *w, struct error *err)
{
	static const char *const a[] = {"a"};
	struct volume_info *infos, info;
	struct space_freed freed;
	size_t nr;
	int r = store_list(w->store, &infos, &nr, err);

	if (r < 0)
		return r;
	free(infos);
	r = store_find(w->store, "a", &info, err);
	if (r == 0)
		r = store_delete_dry_run(w->store, a, 1, true, &freed, err);
	return r;
}

/* A private view, which goes with its handle. */
static int scratch(struct workload *w, struct error *err)
{
	struct volume_handle *handle;
	uint8_t bytes[5000] = {1};
	int r = volume_open(w->store, "a@s:scratch", VOLUME_OPEN_WRITE, &handle,
			    err);

	if (r < 0)
		return r;
	r = volume_write(handle, bytes, sizeof(bytes), 100, false, err);
	if (r == 0)
		r = volume_read(handle, bytes, sizeof(bytes), 0, err);
	volume_close(handle);
	return r;
}

static int look_read_only(struct workload *w, struct error *err)
{
	struct store_open_options options = {.read_only = true};
	struct check_report report;
	struct store *store;
	uint64_t hash;
	int r;

	if (faults_use_a_file()) /* which is locked */
		return 0;
	r = test_store_open(w->disk, &options, &store, err);
	if (r < 0)
		return r;
	r = model_hash_store(store, &hash, err);
	if (r == 0)
		r = store_check(store, no_line, NULL, &report, err);
	if (r == 0)
		r = store_dump(store, "all", no_line, NULL, err);
	(void)store_close(store, false, NULL); /* nothing to write */
	return r;
}

static int start(struct workload *w, struct error *err)
{
	int r;

	faults_threads(true);
	r = store_start(w->store, err);
	faults_threads(false);
	return r;
}

/* ---- the workload ---- */

static const char *const a_s[] = {"a@s"};
static const char *const set_s[] = {"a@s", "b@s"};
static const char *const clones[] = {"d", "group/e"};
static const char *const volume_a[] = {"a"};
static const char *const clone_d[] = {"d"};
static const char *const renamed_d[] = {"f"};

static void do_writes(struct workload *w)
{
	work_create(w, "c", 512 << 10);
	work_write(w, "a", 30000, 4090, false);
	work_flush(w);
	work_write(w, "c", 300 << 10, 0, false);
	work_zero(w, "a", 50000, 100, false);
	work_trim(w, "b", 64 << 10, 0, true);
	work_write(w, "b", 100, 50, true);
	work_idle(w);
	work_set(w, "a", 4 << 20, true);
}

static void do_verbs(struct workload *w)
{
	work_snapshot(w, set_s, 2);
	work_write(w, "a", 8192, 0, false);
	work_clone(w, "a@s", clones, 2);
	work_write(w, "d", 9000, 4096, false);
	work_call(w, "scratch", scratch);
	work_checkpoint(w);
	if (model_find(w->model, "b@s"))
		work_rollback(w, set_s, 2);
	work_write(w, "a", 4096, 0, false);
	work_undo(w, volume_a, 1);
	work_trim(w, "c", 512 << 10, 0, false);
	work_resize(w, "c", 300 << 10);
	work_resize(w, "c", 512 << 10);
	if (model_find(w->model, "d"))
		work_rename(w, clone_d, renamed_d, 1);
	if (model_find(w->model, "f"))
		work_rename(w, renamed_d, clone_d, 1);
	if (model_find(w->model, "d"))
		work_delete(w, clone_d, 1);
	work_reap(w);
	work_call(w, "list", list);
}

static void do_looks(struct workload *w)
{
	work_call(w, "read", read_all);
	work_call(w, "extents", extents);
	work_call(w, "dump", dump);
	work_call(w, "check", check);
	work_scrub(w, 64 << 10);
	work_scrub(w, UINT64_MAX);
	work_flush(w);
	work_call(w, "look-read-only", look_read_only);
}

static void do_checkpoints(struct workload *w)
{
	work_write(w, "a", 100 << 10, 0, false);
	work_checkpoint(w);
	work_write(w, "b", 4096, 0, false);
	if (model_find(w->model, "a@s"))
		work_delete(w, a_s, 1);
	work_checkpoint(w);
	work_reap(w);
	work_clean(w);
	work_grow(w, 1024);
}

static void do_reopenings(struct workload *w)
{
	work_reopen(w, true);
	work_call(w, "read", read_all);
	work_write(w, "a", 20000, 0, false);
	work_snapshot(w, a_s, 1);
	work_write(w, "a", 4096, 8192, false);
	work_reopen(w, false);
	work_call(w, "read", read_all);
}

static void do_threads(struct workload *w)
{
	work_call(w, "start", start);
	work_write(w, "a", 100 << 10, 0, false);
	work_trim(w, "a", 64 << 10, 0, false);
	work_flush(w);
	work_call(w, "check", check);
	work_checkpoint(w);
	work_reopen(w, true);
}

void faults_do_space(struct workload *w)
{
	work_create(w, "big", 3 << 20);
	for (unsigned int i = 0; i < 3; i++)
		work_write(w, "big", 1 << 20, (uint64_t)i << 20, false);
	work_trim(w, "big", 3 << 20, 0, false);
	for (unsigned int i = 0; i < 4; i++) {
		work_write(w, "a", 4096, 0, false);
		work_reap(w);
		work_checkpoint(w);
	}
}

static void (*const script[])(struct workload *w) = {
	do_writes,	do_verbs,      do_looks,
	do_checkpoints, do_reopenings, do_threads,
};

bool faults_do_part(struct workload *w, size_t part)
{
	if (part >= sizeof(script) / sizeof(*script))
		return false;
	script[part](w);
	return true;
}

void faults_do_random(struct workload *w, unsigned int i)
{
	char name[32];
	const char *const names[] = {name};

	(void)snprintf(name, sizeof(name), "a@f%u", i);
	switch (rng_below(&w->rng, 9)) {
	case 0:
		work_flush(w);
		break;
	case 1:
		work_checkpoint(w);
		break;
	case 2:
		work_snapshot(w, names, 1);
		break;
	case 3:
		work_call(w, "read", read_all);
		break;
	default:
		work_random_data(w, true);
	}
}
