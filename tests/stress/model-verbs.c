/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs of test-model. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model-run.h"
#include "units.h"

static unsigned int nr_heads(void)
{
	unsigned int nr = 0;

	for (size_t i = 0; i < t.model->nr; i++)
		nr += !t.model->volumes[i]->snapshot;
	return nr;
}

void do_create(void)
{
	uint64_t size =
		512 * (1 + rng_below(&t.rng, VOLUME_BYTES_MAX_TEST / 512));
	struct error err = ERROR_NONE;
	char name[64];

	if (nr_heads() >= NR_VOLUMES + CLONES_MAX)
		return;
	new_name(rng_one_in(&t.rng, 3) ? "group/v" : "v", name);
	note("create", name, size, 0);
	if (!verb_worked(store_create(t.store, name, size, &err), &err))
		return;
	model_create_volume(t.model, name, size);
	if (store_create(t.store, name, size, &err) != -EEXIST)
		fail("creating it twice is not EEXIST");
}

/* One or two volumes at one instant. */
void do_snapshot(void)
{
	const struct model_volume *a = any_head(), *b = any_head();
	char names[2][NAME_MAX_BYTES + 1], word[64];
	const char *const list[] = {names[0], names[1]};
	size_t nr = 1;
	struct error err = ERROR_NONE;

	if (!a || model_nr_snapshots(t.model, a->name) >= SNAPSHOTS_MAX)
		return;
	new_name("s", word);
	(void)snprintf(names[0], sizeof(names[0]), "%.100s@%s", a->name, word);
	(void)snprintf(names[1], sizeof(names[1]), "%.100s@%s", b->name, word);
	if (a != b && rng_one_in(&t.rng, 3))
		nr = 2;
	note("snapshot", names[0], nr, 0);
	if (!verb_worked(store_snapshot(t.store, list, nr, NULL, &err), &err))
		return;
	for (size_t i = 0; i < nr; i++)
		model_snapshot(t.model, names[i]);
}

void do_clone(void)
{
	const struct model_volume *v = any(false, true);
	char from[NAME_MAX_BYTES + 1], name[64];
	const char *const list[] = {name};
	struct error err = ERROR_NONE;

	if (!v || nr_heads() >= NR_VOLUMES + CLONES_MAX)
		return;
	strcpy(from, v->name);
	new_name("c", name);
	note("clone", from, 1, 0);
	if (!verb_worked(store_clone(t.store, from, list, 1, &err), &err))
		return;
	model_clone(t.model, from, name);
}

static void delete_one(const struct model_volume *v)
{
	struct error err = ERROR_NONE;

	note("delete", v->name, 1, 0);
	if (model_nr_snapshots(t.model, v->name) > 0 &&
	    store_delete(t.store, (const char *const[]){v->name}, 1, false,
			 &err) != -EBUSY)
		fail("deleting a volume with snapshots is not EBUSY");
	drop(v);
}

void do_delete_snapshot(void)
{
	const struct model_volume *v = any(false, true);

	if (v)
		delete_one(v);
}

void do_delete_volume(void)
{
	const struct model_volume *v = any_head();

	if (v && nr_heads() > NR_VOLUMES)
		delete_one(v);
}

void do_rollback(void)
{
	const struct model_volume *v = any(false, true);
	char name[NAME_MAX_BYTES + 1], kept[1][NAME_MAX_BYTES + 1];
	const char *const list[] = {name};
	struct error err = ERROR_NONE;

	if (!v)
		return;
	strcpy(name, v->name);
	note("rollback", name, 1, 0);
	if (!verb_worked(store_rollback(t.store, list, 1, kept, &err), &err))
		return;
	model_rollback(t.model, name, kept[0]);
}

/* A quota that nothing here reaches: that it is kept is what counts. */
void do_set(void)
{
	struct model_volume *v = any_head();
	struct setting setting = {"quota", "none"};
	struct error err = ERROR_NONE;
	uint64_t quota = 0;
	char bytes[24];

	if (!v)
		return;
	if (!rng_one_in(&t.rng, 4)) {
		quota = (1 + rng_below(&t.rng, 1000)) << 40;
		(void)snprintf(bytes, sizeof(bytes), "%" PRIu64, quota);
		setting.value = bytes;
	}
	note("set", v->name, quota, 0);
	if (verb_worked(store_set(t.store, v->name, &setting, 1, &err), &err))
		model_set(t.model, v->name, quota, v->pause);
}

/* Names that are longer, or shorter again; now and then a taken one. */
void do_rename(void)
{
	const struct model_volume *v = any(true, true);
	char from[NAME_MAX_BYTES + 1], to[NAME_MAX_BYTES + 65], word[64];
	const char *const from_list[] = {from};
	const char *const to_list[] = {to};
	struct error err = ERROR_NONE;
	int r;

	if (!v)
		return;
	strcpy(from, v->name);
	new_name("renamed", word);
	if (v->snapshot)
		(void)snprintf(to, sizeof(to), "%.*s@%s",
			       (int)strcspn(from, "@"), from, word);
	else
		strcpy(to, word);
	if (rng_one_in(&t.rng, 10))
		strcpy(to, from);
	note("rename", from, 1, 0);
	r = store_rename(t.store, from_list, to_list, 1, &err);
	if (strcmp(from, to) == 0) {
		if (r != -EEXIST)
			fail("a name that is taken is not EEXIST");
		return;
	}
	if (verb_worked(r, &err))
		model_rename(t.model, from, to);
}

void do_resize(void)
{
	const struct model_volume *v = any_head();
	uint64_t size =
		512 * (1 + rng_below(&t.rng, VOLUME_BYTES_MAX_TEST / 512));
	struct error err = ERROR_NONE;
	uint64_t was;

	if (!v)
		return;
	if (size < v->size)
		size = round_up_u64(size, BLOCK_SIZE);
	note("resize", v->name, size, v->size);
	if (size < v->size &&
	    store_resize(t.store, v->name, size, false, &was, &err) != -EINVAL)
		fail("shrinking unasked is not EINVAL");
	if (verb_worked(store_resize(t.store, v->name, size, true, &was, &err),
			&err))
		model_resize(t.model, v->name, size);
}

void do_undo(void)
{
	const struct model_volume *v = any_head();
	struct error err = ERROR_NONE;
	int r;

	if (!v)
		return;
	note("undo", v->name, 1, 0);
	r = store_undo(t.store, (const char *const[]){v->name}, 1, &err);
	if (!model_find_kept(t.model, v->name)) {
		if (r != -ENOENT)
			fail("undo without a kept head is not ENOENT");
		return;
	}
	if (verb_worked(r, &err))
		model_undo(t.model, v->name);
}

/* ---- what would come free ---- */

#define SET_MAX 8u

/* Some snapshots, and a volume when there are enough: names, some twice. */
static size_t any_set(char (*ret)[NAME_MAX_BYTES + 1])
{
	size_t nr = 1 + rng_below(&t.rng, SET_MAX);
	bool heads = nr_heads() > NR_VOLUMES;

	for (size_t i = 0; i < nr; i++) {
		const struct model_volume *v = any(heads, true);

		if (!v)
			return i;
		strcpy(ret[i], v->name);
		heads &= v->snapshot;
	}
	return nr;
}

/* A delete frees what its dry run said, whatever is waiting to be reaped. */
void do_foretell(void)
{
	char names[SET_MAX][NAME_MAX_BYTES + 1];
	const char *list[SET_MAX];
	size_t nr = any_set(names);
	struct store_stat before, after;
	struct error err = ERROR_NONE;
	struct space_freed freed;

	if (nr == 0)
		return;
	for (size_t i = 0; i < nr; i++)
		list[i] = names[i];
	note("foretell", names[0], nr, 0);
	must(store_delete_dry_run(t.store, list, nr, true, &freed, &err), &err);
	store_stat(t.store, &before);
	must(store_delete(t.store, list, nr, true, &err), &err);
	must(store_reap(t.store, &err), &err);
	store_stat(t.store, &after);
	if (!freed.exact ||
	    before.live_blocks - after.live_blocks != freed.blocks) {
		(void)error_set(&err, EUCLEAN,
				"%" PRIu64 " blocks came free, not %" PRIu64,
				before.live_blocks - after.live_blocks,
				freed.blocks);
		fail(err.message);
	}
	for (size_t i = 0; i < nr; i++)
		if (model_find(t.model, list[i]))
			model_delete(t.model, list[i]);
}

/* What is remembered of one is what a walk finds now. */
static void check_excl(const struct volume_info *info)
{
	const char *name = info->name;
	struct error err = ERROR_NONE;
	struct space_freed freed;

	must(store_delete_dry_run(t.store, &name, 1, false, &freed, &err),
	     &err);
	if (info->excl_blocks != freed.blocks)
		fail("excl is not what deleting it would free");
}

void do_space(void)
{
	struct volume_space *rows;
	struct volume_info *infos;
	struct error err = ERROR_NONE;
	struct space_freed all;
	struct store_stat st;
	uint64_t sum = 0;
	size_t nr;

	note("space", "", 0, 0);
	must(store_list(t.store, &infos, &nr, &err), &err);
	must(store_excl(t.store, infos, nr, &err), &err);
	for (size_t i = 0; i < nr; i++)
		if (infos[i].snapshot || infos[i].nr_snapshots == 0)
			check_excl(&infos[i]);
	free(infos);
	must(store_space(t.store, NULL, 0, &rows, &nr, &all, &err), &err);
	store_stat(t.store, &st);
	for (size_t i = 0; i < nr; i++) {
		sum += rows[i].excl_blocks;
		if (rows[i].head_blocks + rows[i].snapshots_blocks >
		    rows[i].excl_blocks)
			fail("the parts of a volume are more than it has");
	}
	free(rows);
	if (all.blocks != st.live_blocks || sum > all.blocks)
		fail("what volumes hold is not what is live");
}
