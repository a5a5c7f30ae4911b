/* SPDX-License-Identifier: BSD-2-Clause */
/* The verb du: where the space is. */
#include "verbs-internal.h"

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "engine.h"
#include "json.h"

static uint64_t plus(uint64_t a, uint64_t b)
{
	if (a == BLOCKS_UNKNOWN || b == BLOCKS_UNKNOWN)
		return BLOCKS_UNKNOWN;
	return a + b;
}

/* The two were counted at different moments, unless they are exact. */
static uint64_t minus(uint64_t a, uint64_t b)
{
	if (a == BLOCKS_UNKNOWN || b == BLOCKS_UNKNOWN)
		return BLOCKS_UNKNOWN;
	return a > b ? a - b : 0;
}

static struct json_object *json_space(const struct volume_space *row)
{
	struct json_object *ret = json_object_new_object();
	uint64_t parts = plus(row->head_blocks, row->snapshots_blocks);

	if (!ret)
		return NULL;
	json_put_string(ret, "name", row->name);
	json_put_string(ret, "type", row->snapshot ? "snapshot" : "volume");
	json_put_blocks(ret, "refer", row->refer_blocks);
	json_put_blocks(ret, "excl", row->excl_blocks);
	if (row->snapshot)
		return ret;
	json_put_blocks(ret, "head", row->head_blocks);
	json_put_blocks(ret, "snapshots", row->snapshots_blocks);
	json_put_blocks(ret, "both", minus(row->excl_blocks, parts));
	return ret;
}

static uint64_t sum_of(const struct volume_space *rows, size_t nr)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < nr; i++)
		sum = plus(sum, rows[i].excl_blocks);
	return sum;
}

static struct json_object *json_du(const struct volume_space *rows, size_t nr,
				   const struct space_freed *all)
{
	struct json_object *ret = json_object_new_object();
	struct json_object *array = json_object_new_array_ext((int)nr + 1);
	uint64_t sum = sum_of(rows, nr);

	if (!ret || !array) {
		json_object_put(ret);
		json_object_put(array);
		return NULL;
	}
	for (size_t i = 0; i < nr; i++)
		(void)json_object_array_add(array, json_space(&rows[i]));
	(void)json_object_object_add(ret, "volumes", array);
	json_put_blocks(ret, "shared", minus(all->blocks, sum));
	json_put_blocks(ret, "total", all->blocks);
	json_put_bool(ret, "exact", all->exact);
	return ret;
}

int verb_du(struct store *store, struct json_object *args,
	    struct json_object **ret, struct error *err)
{
	CLEANUP_FREE struct volume_space *rows = NULL;
	CLEANUP_FREE const char **names = NULL;
	struct space_freed all;
	size_t nr_names, nr;
	int r;

	r = args_names(args, "names", true, &names, &nr_names, err);
	if (r == 0)
		r = store_space(store, (const char *const *)names, nr_names,
				&rows, &nr, &all, err);
	return r < 0 ? r : verb_give(json_du(rows, nr, &all), ret, err);
}
