/* SPDX-License-Identifier: BSD-2-Clause */
#include "tables.h"

#include <inttypes.h>
#include <unistd.h>

#include "loader.h"

struct page_table *store_table(struct store *store, enum table table)
{
	switch (table) {
	case TABLE_NODE:
		return &store->nodes.pages;
	case TABLE_SEGMENT:
		return &store->segments.pages;
	case TABLE_VOLUME:
		return &store->volumes.pages;
	case TABLE_FRAME:
		return &store->frames.pages;
	default:
		return &store->reaper_pages;
	}
}

const char *table_name(enum table table)
{
	static const char *const names[NR_TABLES] = {
		"node table", "segment table", "volume table", "frame map",
		"reaper queue"};

	return names[table];
}

uint64_t tables_default_limit(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	long page_bytes = sysconf(_SC_PAGESIZE);

	if (pages <= 0 || page_bytes <= 0)
		return UINT64_MAX;
	return (uint64_t)pages * (uint64_t)page_bytes / 4;
}

/* ---- what they take ---- */

static uint64_t volumes_bytes(uint64_t nr)
{
	return nr * (sizeof(struct volume) + sizeof(struct page));
}

void tables_stat(const struct store *store, struct store_stat *ret)
{
	struct segment_memory segments;

	segment_table_memory(&store->segments, &segments);
	ret->table_nodes_bytes = nodes_table_bytes(&store->nodes);
	ret->table_counts_bytes = segments.counts;
	ret->table_forwards_bytes = segments.forwards;
	ret->table_inner_bytes = store->nodes.inner_bytes;
	ret->table_volumes_bytes = volumes_bytes(store->volumes.all.len);
	ret->tables_bytes = ret->table_nodes_bytes + ret->table_counts_bytes +
			    ret->table_forwards_bytes + ret->table_inner_bytes +
			    ret->table_volumes_bytes;
	ret->tables_max_bytes = store->tables_max_bytes;
}

uint64_t tables_bytes(const struct store *store)
{
	struct store_stat stat;

	tables_stat(store, &stat);
	return stat.tables_bytes;
}

/* ---- the limit ---- */

int tables_check_root(const struct store *store, const struct root *root,
		      struct error *err)
{
	uint64_t bytes =
		(uint64_t)root->nr_pages[TABLE_NODE] *
			(sizeof(struct node_page) + sizeof(struct page)) +
		segment_memory_bytes(&store->core,
				     root->nr_pages[TABLE_SEGMENT]) +
		volumes_bytes(root->nr_pages[TABLE_VOLUME]);

	if (bytes <= store->tables_max_bytes)
		return 0;
	return error_set(err, ENOMEM,
			 "its tables take %" PRIu64
			 " MiB of memory, the limit is %" PRIu64
			 " MiB: serve it with a larger --memory-tables",
			 (bytes >> 20) + 1, store->tables_max_bytes >> 20);
}

static int refuse(const struct store *store, struct error *err)
{
	return error_set(err, ENOSPC,
			 "tables have reached %" PRIu64
			 " MiB of memory: delete snapshots or volumes, or "
			 "serve with a larger --memory-tables",
			 store->tables_max_bytes >> 20);
}

/* Will places in the node table come back by themselves? */
static bool ids_are_coming(const struct nodes *nodes)
{
	return nodes->reaper.len > 0 || nodes->freed.len > 0 ||
	       nodes->freed_at_cut.len > 0;
}

/* Free ids may lie in what is loaded behind.  Core held, dropped. */
static int load_rest(struct store *store,
		     struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	int r;

	mutex_unlock(&store->core.lock);
	r = loader_finish(store, err);
	mutex_lock(&store->core.lock);
	return r < 0 ? r : -EAGAIN;
}

int tables_admit(struct store *store, struct vblock block,
		 struct admission *admission, struct error *err)
{
	struct nodes *nodes = &store->nodes;
	uint32_t missing;
	int r;

	mutex_assert_held(&store->core.lock);
	if (tables_bytes(store) <= store->tables_max_bytes ||
	    nodes_have_free_ids(nodes))
		return 0;
	r = extent_map_owns_leaf(nodes, &admission->volume->map, block,
				 &missing, err);
	if (r == -EAGAIN)
		r = store_fault(store, missing, err) < 0 ? -EIO : -EAGAIN;
	if (r != 0)
		return r < 0 ? r : 0;
	if (!nodes_are_loaded(nodes))
		return load_rest(store, err);
	r = refuse(store, err);
	if (!ids_are_coming(nodes) || !admission_may_wait(admission))
		return r;
	if (nodes->reaper.len == 0)
		store->checkpoint_wanted = true;
	return admission_relieve(store, admission, err);
}

int tables_admit_volumes(const struct store *store, uint32_t nr,
			 struct error *err)
{
	if (tables_bytes(store) + volumes_bytes(nr) <= store->tables_max_bytes)
		return 0;
	return refuse(store, err);
}
