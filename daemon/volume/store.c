/* SPDX-License-Identifier: BSD-2-Clause */
/* A store's making, end, flush and status. */
#include "scrub.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "space.h"
#include "tables.h"

void store_message(struct store *store, enum message_level level,
		   enum store_event event, const char *format, ...)
{
	char text[512];
	va_list ap;

	if (!store->message)
		return;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	store->message(store->message_opaque, level, event, text);
}

static size_t reaper_page_of(void *owner, uint32_t index, void *ret)
{
	struct store *store = owner;
	size_t first = (size_t)index * REAPER_PAGE_ENTRIES;
	size_t nr = store->reaper_cut.len;

	if (first >= nr)
		return 0;
	nr -= first;
	if (nr > REAPER_PAGE_ENTRIES)
		nr = REAPER_PAGE_ENTRIES;
	reaper_page_encode(index, store->reaper_cut.ptr + first, (uint32_t)nr,
			   ret);
	return PAGE_BYTES;
}

static void core_init(struct core *core, struct backend *be,
		      const struct superblock *sb,
		      const struct store_open_options *options)
{
	mutex_init(&core->lock, LOCK_CORE);
	cond_init(&core->changed);
	for (int i = 0; i < NR_WORKERS; i++)
		cond_init(&core->work[i]);
	core->be = be;
	memcpy(core->uuid, sb->uuid, sizeof(core->uuid));
	core->segment_shift = sb->segment_shift;
	core->nr_slots = segment_slots(sb->segment_shift);
	core->incarnation = sb->open_incarnation;
	core->read_only = options->read_only;
	core->generation = 1;
}

int store_new(struct backend *be, const struct superblock *sb,
	      const struct store_open_options *options, struct store **ret,
	      struct error *err)
{
	struct store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return error_set(err, ENOMEM, "out of memory");
	core_init(&store->core, be, sb, options);
	mutex_init(&store->admin, LOCK_ADMIN);
	mutex_init(&store->cleaner.lock, LOCK_CLEANER);
	store->sb = *sb;
	store->capacity = sb->capacity;
	store->message = options->message;
	store->message_opaque = options->message_opaque;
	store->checkpoint_log_bytes = options->checkpoint_log_bytes
					      ? options->checkpoint_log_bytes
					      : CHECKPOINT_LOG_BYTES;
	store->tables_max_bytes = options->tables_bytes
					  ? options->tables_bytes
					  : tables_default_limit();
	mutex_lock(&store->core.lock);
	r = frames_init(&store->frames, &store->core, be->nr_frames);
	if (r == 0)
		r = segment_table_init(&store->segments, &store->core);
	if (r == 0)
		r = nodes_init(&store->nodes, &store->core, &store->segments);
	if (r == 0)
		r = volumes_init(&store->volumes, &store->core);
	if (r == 0)
		r = page_table_init(&store->reaper_pages, &store->core,
				    TABLE_REAPER, reaper_page_of, store);
	mutex_unlock(&store->core.lock);
	if (r < 0)
		(void)error_set(err, ENOMEM, "out of memory");
	else
		r = scrub_new(store, &store->scrub, err);
	if (r == 0 && !options->read_only)
		r = meta_writer_init(&store->meta, &store->core, &store->frames,
				     &store->segments, err);
	if (r == 0 && !options->read_only)
		r = cleaner_init(store, err);
	if (r < 0) {
		store_free(store, false);
		return r;
	}
	*ret = store;
	return 0;
}

void store_free(struct store *store, bool close_backend)
{
	struct backend *be;

	if (!store)
		return;
	be = store->core.be;
	scrub_free(store->scrub);
	log_done(&store->log);
	meta_writer_done(&store->meta);
	cleaner_done(store);
	nodes_done(&store->nodes);
	volumes_done(&store->volumes);
	page_table_done(&store->reaper_pages);
	index_vector_done(&store->reaper_cut);
	segment_vector_done(&store->dying);
	segment_table_done(&store->segments);
	frames_done(&store->frames);
	cond_done(&store->core.changed);
	for (int i = 0; i < NR_WORKERS; i++)
		cond_done(&store->core.work[i]);
	mutex_done(&store->core.lock);
	mutex_done(&store->admin);
	mutex_done(&store->cleaner.lock);
	free(store);
	if (close_backend)
		backend_close(be);
}

int store_flush(struct store *store, struct error *err)
{
	return log_flush(&store->log, err);
}

int store_checkpoint(struct store *store, struct error *err)
{
	int r;

	if (store->core.read_only)
		return error_set(err, EROFS, "store is open read-only");
	mutex_lock(&store->admin);
	r = checkpoint_run(store, err);
	mutex_unlock(&store->admin);
	return r;
}

/* Frames that the last checkpoint made spare: nobody will take them soon. */
static bool may_give_back(struct store *store)
{
	bool ret;

	mutex_lock(&store->core.lock);
	ret = checkpoint_is_old(store, UINT64_MAX);
	mutex_unlock(&store->core.lock);
	return ret;
}

/* Flush and checkpoint; what was reaped until then is kept. */
static int make_clean(struct store *store, struct error *err)
{
	int r = log_flush(&store->log, err);

	if (r == 0)
		r = store_checkpoint(store, err);
	if (r == 0 && may_give_back(store))
		r = store_checkpoint(store, err);
	if (r == 0)
		tail_file_unlink(&store->log.tail);
	return r;
}

int store_clean(struct store *store, struct error *err)
{
	int r;

	if (store->core.read_only)
		return error_set(err, EROFS, "store is open read-only");
	mutex_lock(&store->core.lock);
	store->cleaner.hopeless = false;
	mutex_unlock(&store->core.lock);
	do {
		r = checkpoint_when_due(store, false, err);
		if (r == 0)
			r = cleaner_step(store, err);
	} while (r > 0);
	return r < 0 ? r : store_checkpoint(store, err);
}

int store_stop(struct store *store, struct error *err)
{
	int r = 0;

	mutex_lock(&store->core.lock);
	store->stopped = true;
	mutex_unlock(&store->core.lock);
	workers_stop(store);
	if (!store->core.read_only)
		r = make_clean(store, err);
	return r;
}

int store_close(struct store *store, bool clean, struct error *err)
{
	int r = 0;

	if (!store)
		return 0;
	workers_stop(store);
	if (clean && !store->core.read_only)
		r = make_clean(store, err);
	store_free(store, true);
	return r;
}

void store_stat(struct store *store, struct store_stat *ret)
{
	struct backend_stat be;

	backend_stat(store->core.be, &be);
	mutex_lock(&store->core.lock);
	*ret = (struct store_stat){
		.capacity = store->sb.capacity,
		.segment_bytes = UINT64_C(1) << store->core.segment_shift,
		.checkpoint_id = store->sb.checkpoint_id,
		.open_incarnation = store->sb.open_incarnation,
		.read_only = store->core.read_only,
		.failed = store->core.failed != 0,
		.tail_shared = store->log.tail.shared,
		.direct = be.direct,
		.live_blocks = store->segments.live_blocks,
		.frames_total = store->frames.nr,
		.frames_used = store->frames.nr_used,
		.frames_allocated = store->frames.nr_allocated,
		.frames_reserve = store->frames.reserve,
		.used_percent = space_used_percent(store),
		.meta_bytes_live = store->segments.meta_bytes,
		.metadata_bytes = store->meta.written_bytes,
		.nodes_bytes = store->nodes.leaf_bytes,
		.nr_nodes = store->nodes.nr_nodes,
		.dirty_nodes = store->nodes.dirty.len,
		.reaper_queue = store->nodes.reaper.len,
		.dead_segments = dead_segments(store),
		.forwarded_blocks = store->segments.nr_forwards,
		.nr_name_segments = store->segments.nr_nameless,
		.nr_live_segments = store->segments.nr_live,
		.nr_named_segments = store->segments.nr_named,
		.copied_blocks = cleaner_copied_blocks(store),
		.moved_blocks = cleaner_moved_blocks(store),
		.renamed_blocks = store->segments.nr_renamed,
		.nr_victims = store->cleaner.nr_victims,
		.nodes_touched = store->nodes.nr_cleaning_touches,
		.log_bytes = store->log.bytes,
		.checksum_errors = store->checksum_errors,
		.scrub_began_ns = store->scrub_record.began_ns,
		.scrub_percent = scrub_percent(store),
		.scrub_ended_ns = store->scrub_record.ended_ns,
		.scrub_errors = store->scrub_record.errors,
		.recovered_batches = store->recovered_batches,
		.recovered_tail_batches = store->recovered_tail_batches,
	};
	tables_stat(store, ret);
	memcpy(ret->uuid, store->core.uuid, sizeof(ret->uuid));
	for (size_t i = 0; i < store->volumes.all.len; i++) {
		const struct volume *v = store->volumes.all.ptr[i];

		if (v->flags & VOLUME_FLAG_HIDDEN)
			continue;
		if (v->kind == VOLUME_HEAD)
			ret->nr_volumes++;
		else
			ret->nr_snapshots++;
	}
	mutex_unlock(&store->core.lock);
}
