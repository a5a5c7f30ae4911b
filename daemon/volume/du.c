/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the space is: store_space() of engine.h. */
#include <stdlib.h>
#include <string.h>

#include "excl.h"

struct du {
	struct store *store;
	uint64_t deadline_ms;
	struct volume_info *infos; /* a volume before its snapshots */
	bool *wanted;		   /* by name */
	size_t nr_infos;
	struct volume_space *rows;
	size_t nr_rows;
	struct index_vector ids; /* of all that is in rows */
	bool exact;
};

/* ---- what is asked about ---- */

static int mark_named(struct du *du, const char *name, struct error *err)
{
	struct volume_info info;
	int r = store_find(du->store, name, &info, err);

	for (size_t i = 0; r == 0 && i < du->nr_infos; i++)
		du->wanted[i] |= du->infos[i].id == info.id;
	return r;
}

static int choose(struct du *du, const char *const *names, size_t nr_names,
		  struct error *err)
{
	int r;

	r = store_list(du->store, &du->infos, &du->nr_infos, err);
	if (r < 0)
		return r;
	du->wanted = calloc(du->nr_infos + 1, sizeof(*du->wanted));
	du->rows = calloc(du->nr_infos + 1, sizeof(*du->rows));
	if (!du->wanted || !du->rows)
		return error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < nr_names; i++)
		r = mark_named(du, names[i], err);
	for (size_t i = 0; nr_names == 0 && i < du->nr_infos; i++)
		du->wanted[i] = !du->infos[i].snapshot;
	return r;
}

/* ---- rows ---- */

static int add_id(struct index_vector *ids, uint32_t id, struct error *err)
{
	if (index_vector_push(ids, id) < 0)
		return error_set(err, ENOMEM, "out of memory");
	return 0;
}

/* The infos from @first on up to the next volume. */
static size_t volume_end(const struct du *du, size_t first)
{
	size_t end = first + 1;

	while (end < du->nr_infos && du->infos[end].snapshot)
		end++;
	return end;
}

/* What would come free without the infos @from up to @end. */
static int ask(struct du *du, size_t from, size_t end, uint64_t *ret_blocks,
	       struct error *err)
{
	struct space_freed freed = {.exact = true};
	struct index_vector ids = {0};
	int r = 0;

	for (size_t i = from; r == 0 && i < end; i++)
		r = add_id(&ids, du->infos[i].id, err);
	if (r == 0 && ids.len == 1)
		r = excl_of_one(du->store, ids.ptr[0], du->deadline_ms, &freed,
				err);
	else if (r == 0 && ids.len > 1)
		r = excl_of_set(du->store, &ids, du->deadline_ms, &freed, err);
	index_vector_done(&ids);
	*ret_blocks = freed.blocks;
	du->exact &= freed.exact;
	return r;
}

static int add_row(struct du *du, size_t first, size_t end, struct error *err)
{
	const struct volume_info *info = &du->infos[first];
	struct volume_space *row = &du->rows[du->nr_rows++];
	int r;

	memcpy(row->name, info->name, sizeof(row->name));
	row->snapshot = info->snapshot;
	row->refer_blocks = info->refer_blocks;
	r = ask(du, first, first + 1, &row->head_blocks, err);
	if (r == 0)
		r = ask(du, first + 1, end, &row->snapshots_blocks, err);
	row->excl_blocks = row->head_blocks;
	if (r == 0 && end - first > 1)
		r = ask(du, first, end, &row->excl_blocks, err);
	return r;
}

static int add_ids(struct du *du, size_t first, size_t end, struct error *err)
{
	int r = 0;

	for (size_t i = first; r == 0 && i < end; i++)
		r = add_id(&du->ids, du->infos[i].id, err);
	return r;
}

typedef int row_fn(struct du *du, size_t first, size_t end, struct error *err);

/* Call @row for the infos from first up to end of every row. */
static int for_each_row(struct du *du, row_fn *row, struct error *err)
{
	size_t end;
	int r = 0;

	for (size_t first = 0; r == 0 && first < du->nr_infos; first = end) {
		end = volume_end(du, first);
		if (du->wanted[first])
			r = row(du, first, end, err);
		/* what is part of a row is not told twice */
		for (size_t i = first + 1;
		     !du->wanted[first] && r == 0 && i < end; i++)
			if (du->wanted[i])
				r = row(du, i, i + 1, err);
	}
	return r;
}

/* Fill in the rows, and what they are together. */
static int add_up(struct du *du, struct space_freed *ret, struct error *err)
{
	struct excl_moment before = excl_now(du->store, &du->ids), now;
	int r = for_each_row(du, add_row, err);

	*ret = (struct space_freed){.exact = true};
	if (r < 0)
		return r;
	if (du->nr_rows == 1)
		ret->blocks = du->rows[0].excl_blocks;
	else
		r = excl_of_set(du->store, &du->ids, du->deadline_ms, ret, err);
	/* numbers of several moments need not add up */
	now = excl_now(du->store, &du->ids);
	ret->exact &= du->exact && excl_is_same(&before, &now);
	return r;
}

int store_space(struct store *store, const char *const *names, size_t nr_names,
		struct volume_space **ret, size_t *ret_nr,
		struct space_freed *ret_all, struct error *err)
{
	struct du du = {
		.store = store,
		.deadline_ms = monotonic_ms() + EXCL_WAIT_MS,
		.exact = true,
	};
	int r;

	r = choose(&du, names, nr_names, err);
	if (r == 0)
		r = for_each_row(&du, add_ids, err);
	if (r == 0)
		r = add_up(&du, ret_all, err);
	free(du.infos);
	free(du.wanted);
	index_vector_done(&du.ids);
	if (r < 0) {
		free(du.rows);
		return r;
	}
	*ret = du.rows;
	*ret_nr = du.nr_rows;
	return 0;
}
