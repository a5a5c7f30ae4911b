/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NOTES ON THE DESIGN OF THE CHECKPOINT
 *
 * A checkpoint describes the store at one instant, the cut: one hold of core
 * that seals the open batch and turns everything dirty into pending.  Writers
 * go on at once; what they change first is frozen as of the cut
 * (page_table_touch(), node_touch()).
 *
 * Order, each step complete before the next:
 *   1 cut
 *   2 DATA up to the cut
 *   3 nodes, pages, directories, root: addresses are given in this order, so
 *     each record names only records written before it
 *   4 sync                     5 superblock A, sync     6 superblock B, sync
 *   7 what was dead at the cut, or written anew, becomes free (I7)
 * A crash before 5 leaves the checkpoint before; between 5 and 6 either copy
 * is complete, and what the older one needs is still there.
 *
 * META segments have no page in the segment table; the root lists them and
 * their live bytes are what the tables reference, so writing metadata makes
 * no other metadata dirty.
 */
#include "store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "loader.h"
#include "meta-cleaner.h"
#include "tables.h"

/*
 * Nodes and pages written per hold of core; a page is made and summed there,
 * 4 KiB of it, and most holds should be over before a sleeper is awake.
 */
#define NODES_PER_HOLD 32u
#define PAGES_PER_HOLD 8u

struct checkpoint {
	struct store *store;
	struct root root;
	struct log_position position;
	uint64_t cut_seq;
	struct segment_vector dead; /* at the cut, and what it replaced */
	struct root_ref root_ref;
	bool cleans; /* there are META victims */
};

/* ---- cut ---- */

/* All reaper pages are written anew: the queue is short or empty. */
static int cut_reaper(struct store *store)
{
	const struct index_vector *queue = &store->nodes.reaper;
	uint32_t nr_pages = (uint32_t)((queue->len + REAPER_PAGE_ENTRIES - 1) /
				       REAPER_PAGE_ENTRIES);
	uint32_t nr_old = store->reaper_pages.nr_pages;

	if (page_table_grow(&store->reaper_pages, nr_pages) < 0)
		return -ENOMEM;
	store->reaper_cut.len = 0;
	if (index_vector_reserve(&store->reaper_cut, queue->len) < 0)
		return -ENOMEM;
	if (queue->len)
		memcpy(store->reaper_cut.ptr, queue->ptr,
		       queue->len * sizeof(*queue->ptr));
	store->reaper_cut.len = queue->len;
	for (uint32_t i = 0; i < nr_pages || i < nr_old; i++)
		if (i < nr_pages || store->reaper_pages.pages[i].ref.segno)
			page_table_touch(&store->reaper_pages, i);
	return 0;
}

static void cut_dead(struct checkpoint *cp)
{
	struct store *store = cp->store;
	struct segment_vector empty = cp->dead;

	cp->dead = store->segments.dead;
	store->segments.dead = empty;
	for (size_t i = 0; i < cp->dead.len; i++)
		segment_cut_dead(&store->segments, cp->dead.ptr[i]);
}

/* One hold of core. */
static int cut(struct checkpoint *cp, struct error *err)
{
	struct store *store = cp->store;
	struct core *core = &store->core;

	mutex_assert_held(&core->lock);
	log_seal(&store->log);
	log_begin_segment(&store->log);
	log_position(&store->log, &cp->position);
	cp->cut_seq = store->log.sealed_seq;
	cut_dead(cp);
	if (cut_reaper(store) < 0)
		return error_set(err, ENOMEM, "out of memory");
	cp->root = (struct root){
		.checkpoint_id = store->sb.checkpoint_id + 1,
		.time_ns = clock_ns(),
		.next_volume_id = store->volumes.next_id,
		.next_node_id = store->nodes.next_id,
		.next_epoch = store->volumes.next_epoch,
		.scrub = store->scrub_record,
	};
	store->scrub_changed = false;
	for (int t = 0; t < NR_TABLES; t++)
		cp->root.nr_pages[t] = store_table(store, t)->nr_pages;
	/* what was admitted because there are frames for it finds them */
	frames_retire_spare(&store->frames, store->dirty_since_ms == 0,
			    checkpoint_frames(store));
	store->pending_bytes = dirty_bytes(store);
	core->generation++;
	nodes_cut(&store->nodes);
	segment_table_cut(&store->segments);
	for (int t = 0; t < NR_TABLES; t++)
		page_table_cut(store_table(store, t));
	frames_cut(&store->frames);
	store->log.bytes = 0;
	store->dirty_since_ms = 0;
	store->checkpoint_wanted = false;
	return 0;
}

/* ---- records ---- */

/*
 * Make room for a record of @length bytes, growing the store when it has no
 * ready frame.  Core not held.
 */
static int make_room(struct checkpoint *cp, uint32_t length, struct error *err)
{
	struct store *store = cp->store;
	int r;

	do {
		r = meta_writer_next(&store->meta, length, err);
	} while (r == -ENOSPC &&
		 (frames_grow(&store->frames, false, err) == 0 ||
		  frames_wait_grown(&store->frames, FRAME_USER_CHECKPOINT)));
	return r;
}

/* Write pending node @n; false: no room.  Core held. */
static bool put_node(struct store *store, struct node *n)
{
	uint8_t record[NODE_BYTES_MAX];
	uint32_t length, hash, offset;
	uint64_t segno;
	void *to;

	length = node_encode_pending(n, record, &hash);
	to = meta_writer_put(&store->meta, length, &segno, &offset);
	if (!to)
		return false;
	memcpy(to, record, length);
	node_written(&store->nodes, n, segno, offset, length, hash);
	return true;
}

static int write_nodes(struct checkpoint *cp, struct error *err)
{
	struct store *store = cp->store;
	struct node_vector *pending = &store->nodes.pending;
	size_t i = 0;
	int r = 0;

	while (r == 0 && i < pending->len) {
		size_t end = i + NODES_PER_HOLD;
		bool room = true;

		mutex_lock(&store->core.lock);
		for (; room && i < pending->len && i < end; i += room) {
			if (!pending->ptr[i])
				continue;
			room = put_node(store, pending->ptr[i]);
			if (room)
				pending->ptr[i] = NULL;
		}
		mutex_unlock(&store->core.lock);
		mutex_give_way(&store->core.lock);
		if (!room)
			r = make_room(cp, NODE_BYTES_MAX, err);
	}
	return r;
}

/* A record's new address takes the place of @ref.  Core held. */
static void replace_ref(struct store *store, struct page_ref *ref,
			struct page_ref now)
{
	if (ref->segno) /* cannot fail: it was counted */
		(void)segment_add_meta(&store->segments, ref->segno,
				       -(int64_t)ref->length, NULL);
	*ref = now;
}

/* Write @data as a record that @ref will name; false: no room. */
static bool put_record(struct store *store, const void *data, uint32_t length,
		       struct page_ref *ref)
{
	struct page_ref now = {.length = length};
	void *to;

	to = meta_writer_put(&store->meta, length, &now.segno, &now.offset);
	if (!to)
		return false;
	memcpy(to, data, length);
	now.checksum = checksum64(data, length);
	replace_ref(store, ref, now);
	return true;
}

/* Write pending page @index; *ret_length is what it needs.  Core held. */
static bool put_page(struct store *store, struct page_table *table,
		     uint32_t index, uint32_t *ret_length)
{
	struct page *page = &table->pages[index];
	const void *data = page->image;
	uint32_t length = page->image_bytes;

	assert(page->pending);
	if (!page->frozen) {
		length = (uint32_t)table->encode(table->owner, index,
						 table->scratch);
		data = table->scratch;
	}
	*ret_length = length;
	if (length == 0)
		replace_ref(store, &page->ref, (struct page_ref){0});
	else if (!put_record(store, data, length, &page->ref))
		return false;
	free(page->image);
	page->image = NULL;
	page->image_bytes = 0;
	page->frozen = false;
	page->pending = false;
	return true;
}

static int write_pages(struct checkpoint *cp, struct page_table *table,
		       struct error *err)
{
	struct store *store = cp->store;
	uint32_t length = 0;
	size_t i = 0;
	int r = 0;

	while (r == 0 && i < table->pending.len) {
		size_t end = i + PAGES_PER_HOLD;
		bool room = true;

		mutex_lock(&store->core.lock);
		for (; room && i < table->pending.len && i < end; i += room)
			room = put_page(store, table, table->pending.ptr[i],
					&length);
		mutex_unlock(&store->core.lock);
		mutex_give_way(&store->core.lock);
		if (!room)
			r = make_room(cp, length, err);
	}
	return r;
}

static int write_directory(struct checkpoint *cp, struct page_table *table,
			   uint32_t index, struct error *err)
{
	struct store *store = cp->store;
	struct page_ref refs[DIRECTORY_PAGE_ENTRIES] = {0};
	uint32_t nr_pages = cp->root.nr_pages[table->kind];
	uint32_t first = index * DIRECTORY_PAGE_ENTRIES;
	uint8_t data[PAGE_BYTES];
	bool room = false;
	int r = 0;

	while (r == 0 && !room) {
		mutex_lock(&store->core.lock);
		for (uint32_t i = 0; i < DIRECTORY_PAGE_ENTRIES; i++)
			if (first + i < nr_pages)
				refs[i] = table->pages[first + i].ref;
		directory_encode(table->kind, index, refs, data);
		room = put_record(store, data, sizeof(data),
				  &table->directories[index]);
		mutex_unlock(&store->core.lock);
		mutex_give_way(&store->core.lock);
		if (!room)
			r = make_room(cp, sizeof(data), err);
	}
	return r;
}

static bool directory_moves(struct checkpoint *cp,
			    const struct page_table *table, uint32_t index)
{
	bool ret;

	if (!cp->cleans)
		return false;
	mutex_lock(&cp->store->core.lock);
	ret = meta_cleaner_is_victim(cp->store,
				     table->directories[index].segno);
	mutex_unlock(&cp->store->core.lock);
	return ret;
}

/* Core held: admission looks at the number. */
static int grow_directories(struct page_table *table, uint32_t nr)
{
	uint32_t nr_old = table->nr_directories;
	struct page_ref *refs =
		reallocarray(table->directories, nr, sizeof(*refs));

	if (!refs)
		return -ENOMEM;
	memset(refs + nr_old, 0, (nr - nr_old) * sizeof(*refs));
	table->directories = refs;
	table->nr_directories = nr;
	return 0;
}

/* Directories that list a page just written, new ones, those of victims. */
static int write_directories(struct checkpoint *cp, struct page_table *table,
			     struct error *err)
{
	uint32_t nr = nr_directory_pages(cp->root.nr_pages[table->kind]);
	uint32_t nr_old = table->nr_directories;
	CLEANUP_FREE bool *dirty = calloc(nr + 1, sizeof(*dirty));
	int r = 0;

	if (!dirty)
		return error_set(err, ENOMEM, "out of memory");
	if (nr > nr_old) {
		mutex_lock(&cp->store->core.lock);
		r = grow_directories(table, nr);
		mutex_unlock(&cp->store->core.lock);
		if (r < 0)
			return error_set(err, ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < table->pending.len; i++)
		dirty[table->pending.ptr[i] / DIRECTORY_PAGE_ENTRIES] = true;
	for (uint32_t i = 0; r == 0 && i < nr; i++)
		if (dirty[i] || i >= nr_old || directory_moves(cp, table, i))
			r = write_directory(cp, table, i, err);
	return r;
}

/* ---- root ---- */

/*
 * META segments whose last records this checkpoint wrote anew: when it is
 * durable nothing names what is in them.  Core held.
 */
static void cut_replaced(struct checkpoint *cp)
{
	struct segment_table *table = &cp->store->segments;
	size_t left = 0;

	for (size_t i = 0; i < table->dead.len; i++) {
		struct segment *s = table->dead.ptr[i];

		if (segment_is_replaced(table, s) &&
		    segment_vector_push(&cp->dead, s) == 0)
			segment_cut_dead(table, s);
		else
			table->dead.ptr[left++] = s;
	}
	table->dead.len = left;
}

static int compare_meta(const void *a, const void *b)
{
	const struct meta_segment *x = a, *y = b;

	return (x->segno > y->segno) - (x->segno < y->segno);
}

/* All META segments but those that die with this checkpoint.  Core held. */
static struct meta_segment *list_meta(const struct segment_table *table,
				      uint32_t *ret_nr)
{
	struct meta_segment *list = calloc(table->meta.len + 1, sizeof(*list));
	uint32_t nr = 0;

	if (!list)
		return NULL;
	for (size_t i = 0; i < table->meta.len; i++) {
		const struct segment *s = table->meta.ptr[i];

		if (s->dying)
			continue;
		list[nr].segno = s->segno;
		list[nr++].place = s->place;
	}
	qsort(list, nr, sizeof(*list), compare_meta);
	*ret_nr = nr;
	return list;
}

/* Put the root; *ret_bytes is what it needs when there is no room. */
static int put_root(struct checkpoint *cp, uint32_t *ret_bytes, bool *ret_done,
		    struct error *err)
{
	struct store *store = cp->store;
	const struct page_ref *directories[NR_TABLES];
	CLEANUP_FREE struct meta_segment *meta = NULL;
	uint32_t bytes, offset;
	uint64_t segno;
	void *to;

	mutex_assert_held(&store->core.lock);
	cut_replaced(cp);
	meta = list_meta(&store->segments, &cp->root.nr_meta_segments);
	if (!meta)
		return error_set(err, ENOMEM, "out of memory");
	for (int t = 0; t < NR_TABLES; t++)
		directories[t] = store_table(store, t)->directories;
	/* the segments this checkpoint filled are below it too */
	cp->root.next_segno = store->core.next_segno;
	bytes = (uint32_t)root_bytes(&cp->root);
	*ret_bytes = bytes;
	if (bytes > meta_record_max(&store->meta))
		return error_set(err, ENOSPC, "checkpoint root is too large");
	to = meta_writer_put(&store->meta, bytes, &segno, &offset);
	*ret_done = to;
	if (!to)
		return 0;
	root_encode(&cp->root, meta, directories, to);
	cp->root_ref = (struct root_ref){
		.segno = segno,
		.offset = offset,
		.length = bytes,
		.checksum = checksum64(to, bytes),
		.place = store->meta.stream.segment->place,
	};
	return 0;
}

static int write_root(struct checkpoint *cp, struct error *err)
{
	struct store *store = cp->store;
	bool done = false;
	uint32_t bytes = 0;
	int r = 0;

	mutex_lock(&store->core.lock);
	if (store->sb.root.segno) /* this one takes its place */
		(void)segment_add_meta(&store->segments, store->sb.root.segno,
				       -(int64_t)store->sb.root.length, NULL);
	mutex_unlock(&store->core.lock);
	while (r == 0 && !done) {
		mutex_lock(&store->core.lock);
		r = put_root(cp, &bytes, &done, err);
		mutex_unlock(&store->core.lock);
		if (r == 0)
			r = make_room(cp, done ? 0 : bytes, err);
	}
	return r;
}

static int write_metadata(struct checkpoint *cp, struct error *err)
{
	int r;

	cp->store->meta.checkpoint_id = cp->root.checkpoint_id;
	r = write_nodes(cp, err);
	for (int t = 0; r == 0 && t < NR_TABLES; t++)
		r = write_pages(cp, store_table(cp->store, t), err);
	for (int t = 0; r == 0 && t < NR_TABLES; t++)
		r = write_directories(cp, store_table(cp->store, t), err);
	return r < 0 ? r : write_root(cp, err);
}

/* ---- commit ---- */

static int write_superblock(struct backend *be, const struct superblock *sb,
			    unsigned int copy, struct error *err)
{
	struct disk_superblock disk;
	int r;

	superblock_encode(sb, copy, &disk);
	r = backend_super_write(be, copy, &disk, err);
	return r < 0 ? r : backend_sync(be, err);
}

static int commit(struct checkpoint *cp, struct error *err)
{
	struct store *store = cp->store;
	struct core *core = &store->core;
	struct superblock sb = store->sb;
	int r;

	r = backend_sync(core->be, err);
	if (r < 0)
		return r;
	sb.checkpoint_id = cp->root.checkpoint_id;
	sb.root = cp->root_ref;
	sb.features_incompat |= FEATURES_INCOMPAT_KNOWN;
	sb.capacity = store->capacity;
	sb.log = cp->position;
	mutex_lock(&core->lock);
	sb.segno_bound = core->next_segno + SEGNO_RESERVATION;
	if (sb.segno_bound > SEGNO_MAX)
		sb.segno_bound = SEGNO_MAX;
	if (sb.segno_bound < core->segno_bound)
		sb.segno_bound = core->segno_bound;
	/* an image that could not be frozen must never be committed */
	r = core_check(core, err);
	mutex_unlock(&core->lock);
	for (unsigned int copy = 0; r == 0 && copy < SUPERBLOCK_COPIES; copy++)
		r = write_superblock(core->be, &sb, copy, err);
	if (r < 0)
		return r;
	mutex_lock(&core->lock);
	store->sb = sb;
	core->segno_bound = sb.segno_bound;
	mutex_unlock(&core->lock);
	return 0;
}

/* Both superblocks name this checkpoint: what was dead at its cut is free. */
static void release(struct checkpoint *cp)
{
	struct store *store = cp->store;

	mutex_assert_held(&store->core.lock);
	if (store->log.durable_seq < cp->cut_seq)
		store->log.durable_seq = cp->cut_seq;
	nodes_checkpoint_done(&store->nodes);
	if (segment_vector_reserve(&store->dying, cp->dead.len) < 0) {
		core_fail_nomem(&store->core);
		return;
	}
	for (size_t i = 0; i < cp->dead.len; i++)
		store->dying.ptr[store->dying.len++] = cp->dead.ptr[i];
	free_dying(store);
}

static bool nothing_to_do(const struct store *store)
{
	return store->sb.checkpoint_id > 0 && !store->replaying &&
	       !store->checkpoint_wanted && !store->scrub_changed &&
	       !room_is_coming(store) && store->log.bytes == 0 &&
	       !store->log.open && store->nodes.dirty.len == 0 &&
	       store->nodes.pages.dirty.len == 0 &&
	       store->segments.pages.dirty.len == 0 &&
	       store->volumes.pages.dirty.len == 0 &&
	       store->frames.pages.dirty.len == 0 &&
	       store->segments.dead.len == 0 &&
	       !frames_have_spare(&store->frames, 0);
}

static int run(struct checkpoint *cp,
	       struct error *err) NO_THREAD_SAFETY_ANALYSIS
{
	struct core *core = &cp->store->core;
	int r;

	cp->cleans = meta_cleaner_begin(cp->store);
	r = cut(cp, err);
	if (r == 0)
		r = log_write_upto(&cp->store->log, cp->cut_seq, err);
	mutex_unlock(&core->lock);
	if (r == 0)
		r = write_metadata(cp, err);
	if (r == 0)
		r = commit(cp, err);
	mutex_lock(&core->lock);
	return r;
}

/*
 * While tables are loaded behind no META segment dies, and each checkpoint
 * takes one: not where that could take the last frames.  Core not held.
 */
static int find_dead(struct store *store, struct error *err)
{
	struct error failure = ERROR_NONE;
	bool is_wanted;
	int r;

	mutex_lock(&store->core.lock);
	is_wanted = store->loads_behind &&
		    !frames_suffice(&store->frames, FRAME_USER_WRITE,
				    FRAMES_SPARE_MAX);
	mutex_unlock(&store->core.lock);
	if (!is_wanted)
		return 0;
	r = loader_complete(store, &failure);
	if (r == 0)
		return 0;
	mutex_lock(&store->core.lock);
	core_fail(&store->core, &failure);
	mutex_unlock(&store->core.lock);
	if (err)
		*err = failure;
	return r;
}

int checkpoint_run(struct store *store, struct error *err)
{
	struct core *core = &store->core;
	struct error failure = ERROR_NONE;
	struct checkpoint cp = {.store = store};
	int r;

	mutex_assert_held(&store->admin);
	r = find_dead(store, err);
	if (r < 0)
		return r;
	mutex_lock(&core->lock);
	r = core_check(core, err);
	if (r < 0 || nothing_to_do(store)) {
		store->dirty_since_ms = 0;
		free_dying(store);
		mutex_unlock(&core->lock);
		return r;
	}
	store->checkpoint_running = true;
	revoke_images(store);
	r = run(&cp, &failure);
	store->checkpoint_running = false;
	store->pending_bytes = 0;
	store->checkpointed_at_ms = monotonic_ms();
	if (r == 0)
		release(&cp);
	else /* half written: only reopening knows what is on disk (I12) */
		core_fail(core, &failure);
	note_room(store);
	r = core_check(core, err);
	cond_broadcast(&core->changed);
	core_wake(core, WORKER_JANITOR);   /* the reaper may have waited */
	if (cleaner_waits_for_idle(store)) /* trims leave work for it */
		core_wake(core, WORKER_CLEANER);
	mutex_unlock(&core->lock);
	segment_vector_done(&cp.dead);
	if (r == 0)
		frames_punch_retired(&store->frames);
	return r < 0 ? -EIO : 0;
}
