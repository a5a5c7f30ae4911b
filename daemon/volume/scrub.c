/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NOTES ON THE DESIGN OF THE SCRUB
 *
 * A scrub reads everything the store refers to from the medium and verifies
 * it.  It works in slices, which callers ask for: so it needs no thread, and
 * whoever asks decides how fast it goes.  Order:
 *   superblocks, root, then each table's pages with their directories,
 *   map nodes by id, and the blocks their leaves name,
 *   map nodes that were written since it began, once more: a block may have
 *   moved from a leaf that had not been looked at to one that had.
 *
 * Its position is a stage and a page or a node id.  It is in the root of
 * every checkpoint, so that a scrub goes on after the store was opened anew.
 * What was found is in memory only; therefore, once something was found, the
 * position that is written is where that was: who opens the store anew finds
 * it again.  Which blocks were seen is in memory only, too: then some that
 * several leaves share are read twice.
 *
 * What is damaged and still known in memory (superblocks, root, pages, map
 * nodes) is made dirty; the checkpoint at the scrub's end writes it anew.
 */
#include "scrub.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "loader.h"
#include "tables.h"

/*
 * Blocks collected before they are read: as many as so many slices verify.
 * Then those of a map that was written at random lie close enough to be read
 * together.
 */
#define BATCH_SLICES 16u
#define BATCH_BLOCKS_MAX (256u << 10)
/* Messages about what one scrub finds; the report has it all. */
#define MESSAGES_MAX 100u
/* Findings that are remembered as sentences. */
#define FINDINGS_MAX 1000u

int scrub_new(struct store *store, struct scrub **ret, struct error *err)
{
	struct scrub *scrub = calloc(1, sizeof(*scrub));

	if (!scrub)
		return error_set(err, ENOMEM, "out of memory");
	scrub->store = store;
	mutex_init(&scrub->lock, LOCK_SCRUB);
	damage_init(&scrub->damage);
	*ret = scrub;
	return 0;
}

/* Forget what was found. */
static void forget_findings(struct scrub *scrub)
{
	for (size_t i = 0; i < scrub->findings.len; i++)
		free(scrub->findings.ptr[i]);
	text_vector_done(&scrub->findings);
	damage_done(&scrub->damage);
	scrub->errors = 0;
	scrub->has_found = false;
}

/* What is needed only while a scrub is under way. */
static void free_buffers(struct scrub *scrub)
{
	scrub_block_vector_done(&scrub->blocks);
	free(scrub->data);
	free(scrub->window);
	scrub->data = scrub->window = NULL;
	scrub->window_segno = 0;
}

void scrub_free(struct scrub *scrub)
{
	if (!scrub)
		return;
	forget_findings(scrub);
	free_buffers(scrub);
	mutex_done(&scrub->lock);
	free(scrub);
}

/* ---- what was found ---- */

static void note_error(struct scrub *scrub, bool is_checksum, const char *text)
{
	struct store *store = scrub->store;

	if (!scrub->has_found) {
		scrub->has_found = true;
		scrub->found_stage = scrub->batch_stage;
		scrub->found_position = scrub->batch_position;
	}
	scrub->errors++;
	mutex_lock(&store->core.lock);
	store->checksum_errors += is_checksum;
	mutex_unlock(&store->core.lock);
	if (scrub->errors <= MESSAGES_MAX)
		store_message(store, MESSAGE_ERROR, EVENT_DAMAGE, "scrub: %s",
			      text);
	if (scrub->errors == MESSAGES_MAX)
		store_message(store, MESSAGE_ERROR, EVENT_DAMAGE,
			      "scrub: what else it finds is reported at its "
			      "end");
}

void scrub_found(struct scrub *scrub, const char *format, ...)
{
	char text[400], *copy;
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	note_error(scrub, true, text);
	copy = scrub->findings.len < FINDINGS_MAX ? strdup(text) : NULL;
	if (!copy || text_vector_push(&scrub->findings, copy) < 0) {
		free(copy);
		scrub->damage.nr_dropped++;
	}
}

void scrub_found_node(struct scrub *scrub, uint32_t id, const struct error *err)
{
	char text[500];

	(void)snprintf(text, sizeof(text), "map node %" PRIu32 ": %s", id,
		       err->message);
	note_error(scrub, err->code == EBADMSG, text);
	damage_add_node(&scrub->damage, id);
}

void scrub_found_block(struct scrub *scrub, struct birth name,
		       const struct error *err)
{
	char text[500];

	(void)snprintf(text, sizeof(text), "block %" PRIu64 ":%" PRIu32 ": %s",
		       birth_segno(name), birth_slot(name), err->message);
	note_error(scrub, err->code == EBADMSG, text);
	damage_add_block(&scrub->damage, name);
}

/* ---- reading metadata ---- */

/* Read ahead from @offset of @segment. */
static int fill_window(struct scrub *scrub, const struct segment *segment,
		       uint32_t offset)
{
	uint32_t end = 1u << scrub->store->core.segment_shift;
	uint32_t length;
	int r;

	offset -= offset % BLOCK_SIZE;
	length = end - offset;
	if (length > SCRUB_WINDOW_BYTES)
		length = SCRUB_WINDOW_BYTES;
	scrub->window_segno = 0;
	r = backend_read(scrub->store->core.be, segment->place, offset,
			 scrub->window, length, BACKEND_READ_AROUND_CACHE,
			 NULL);
	if (r < 0)
		return r;
	scrub->window_segno = segment->segno;
	scrub->window_offset = offset;
	scrub->window_length = length;
	return 0;
}

static bool window_holds(const struct scrub *scrub,
			 const struct segment *segment, uint32_t offset,
			 uint32_t length)
{
	return scrub->window_segno == segment->segno &&
	       offset >= scrub->window_offset &&
	       range_is_inside(offset - scrub->window_offset, length,
			       scrub->window_length);
}

int scrub_read_record(struct scrub *scrub, const struct segment *segment,
		      uint32_t offset, uint32_t length, bool again, void *ret,
		      struct error *err)
{
	uint32_t segment_bytes = 1u << scrub->store->core.segment_shift;

	if (!again && offset < segment_bytes &&
	    !window_holds(scrub, segment, offset, length))
		(void)fill_window(scrub, segment, offset); /* or read below */
	if (!again && window_holds(scrub, segment, offset, length)) {
		memcpy(ret, scrub->window + (offset - scrub->window_offset),
		       length);
		return 0;
	}
	return backend_read(scrub->store->core.be, segment->place, offset, ret,
			    length, BACKEND_READ_AROUND_CACHE, err);
}

/* ---- position ---- */

static unsigned int percent_done(uint32_t stage, uint32_t position,
				 uint32_t next_id)
{
	if (stage != SCRUB_NODES)
		return stage < SCRUB_NODES ? 0 : 99;
	return (unsigned int)((uint64_t)position * 99 / next_id);
}

unsigned int scrub_percent(struct store *store)
{
	mutex_assert_held(&store->core.lock);
	if (store->scrub_record.began_ns == 0)
		return 0;
	return percent_done(store->scrub_stage, store->scrub_position,
			    store->nodes.next_id);
}

/*
 * For status: where it would be if nodes and their blocks were verified in
 * turn.  Core held.
 */
static void publish_progress(struct scrub *scrub)
{
	struct store *store = scrub->store;
	uint32_t end = scrub->position;

	mutex_assert_held(&store->core.lock);
	store->scrub_stage = scrub->stage;
	store->scrub_position = scrub->position;
	if (scrub->blocks.len == 0)
		return;
	if (scrub->stage != scrub->batch_stage)
		end = store->nodes.next_id;
	store->scrub_stage = scrub->batch_stage;
	store->scrub_position =
		scrub->batch_position +
		(uint32_t)((uint64_t)(end - scrub->batch_position) *
			   scrub->nr_verified / scrub->blocks.len);
}

/* Tell the next checkpoint and status where the scrub is. */
static void publish(struct scrub *scrub)
{
	struct store *store = scrub->store;

	mutex_lock(&store->core.lock);
	publish_progress(scrub);
	store->scrub_record.stage =
		scrub->has_found ? scrub->found_stage : scrub->batch_stage;
	store->scrub_record.position = scrub->has_found ? scrub->found_position
							: scrub->batch_position;
	store->scrub_changed = true;
	if (store->dirty_since_ms == 0 && !store->core.read_only) {
		store->dirty_since_ms = monotonic_ms();
		core_wake(&store->core, WORKER_DRIVER); /* sets its timer */
	}
	mutex_unlock(&store->core.lock);
}

/* From here on, with no block collected. */
static void set_position(struct scrub *scrub, uint32_t stage, uint32_t position)
{
	scrub->stage = scrub->batch_stage = stage;
	scrub->position = scrub->batch_position = position;
	scrub->blocks.len = 0;
	scrub->nr_verified = 0;
}

static void begin(struct scrub *scrub)
{
	struct store *store = scrub->store;

	forget_findings(scrub);
	scrub_forget_blocks(scrub);
	scrub->bytes = 0;
	set_position(scrub, 0, 0);
	scrub->active = true;
	mutex_lock(&store->core.lock);
	store->scrub_record.began_ns = clock_ns();
	store->scrub_record.segno = store->core.next_segno;
	mutex_unlock(&store->core.lock);
	publish(scrub);
	store_message(store, MESSAGE_INFO, EVENT_SCRUB, "scrub began");
}

/* Go on with a scrub that was under way when the store was opened. */
static void go_on(struct scrub *scrub)
{
	struct store *store = scrub->store;

	mutex_lock(&store->core.lock);
	set_position(scrub, store->scrub_record.stage,
		     store->scrub_record.position);
	mutex_unlock(&store->core.lock);
	scrub->active = true;
	store_message(store, MESSAGE_INFO, EVENT_SCRUB, "scrub goes on");
}

static int finish(struct scrub *scrub, struct error *err)
{
	struct store *store = scrub->store;
	bool failed;

	scrub->active = false;
	scrub_forget_blocks(scrub);
	free_buffers(scrub);
	mutex_lock(&store->core.lock);
	store->scrub_record = (struct scrub_record){.ended_ns = clock_ns(),
						    .errors = scrub->errors};
	store->scrub_changed = true;
	failed = store->core.failed != 0;
	mutex_unlock(&store->core.lock);
	store_message(store, scrub->errors ? MESSAGE_ERROR : MESSAGE_INFO,
		      EVENT_SCRUB, "scrub ended: errors=%" PRIu64,
		      scrub->errors);
	if (failed || store->core.read_only) /* nothing can be written */
		return 0;
	return store_checkpoint(store, err);
}

/* ---- slices ---- */

/* Things of the stage: their positions are below. */
static uint32_t stage_end(struct scrub *scrub)
{
	struct store *store = scrub->store;
	uint32_t ret;

	mutex_lock(&store->core.lock);
	if (scrub->stage < NR_TABLES)
		ret = store_table(store, (enum table)scrub->stage)->nr_pages;
	else
		ret = store->nodes.next_id;
	mutex_unlock(&store->core.lock);
	return ret;
}

/* Verify one thing, or enter the next stage. */
static int step(struct scrub *scrub)
{
	int r = 0;

	if (scrub->stage == 0 && scrub->position == 0)
		r = scrub_roots(scrub);
	if (scrub->position >= stage_end(scrub)) {
		scrub->stage++;
		scrub->position = 0;
		return r;
	}
	if (r == 0 && scrub->stage < NR_TABLES)
		r = scrub_page(scrub, (enum table)scrub->stage,
			       scrub->position);
	else if (r == 0)
		r = scrub_node(scrub, scrub->position,
			       scrub->stage == SCRUB_NEW_NODES);
	if (r == 0)
		scrub->position++;
	return r;
}

static int make_buffers(struct scrub *scrub)
{
	if (!scrub->data)
		scrub->data = malloc(SCRUB_READ_BYTES);
	if (!scrub->window)
		scrub->window = malloc(SCRUB_WINDOW_BYTES);
	return scrub->data && scrub->window ? 0 : -ENOMEM;
}

static bool is_done(const struct scrub *scrub)
{
	return scrub->stage >= NR_SCRUB_STAGES && scrub->blocks.len == 0;
}

/* Verify what was collected, or collect, until there are @batch blocks. */
static int advance(struct scrub *scrub, size_t batch)
{
	int r = 0;

	if (scrub->blocks.len >= batch || scrub->stage >= NR_SCRUB_STAGES ||
	    scrub->nr_verified > 0) {
		if (scrub->nr_verified == 0)
			scrub_sort_blocks(scrub);
		scrub_verify_blocks(scrub);
	} else {
		r = step(scrub);
	}
	if (scrub->nr_verified == scrub->blocks.len)
		set_position(scrub, scrub->stage, scrub->position);
	return r;
}

/* Verify at least one thing, and @max_bytes or to the end. */
static int slice(struct scrub *scrub, uint64_t max_bytes)
{
	uint64_t batch = max_bytes / BLOCK_SIZE * BATCH_SLICES;
	uint64_t end;
	int r = make_buffers(scrub);

	if (max_bytes > BATCH_BLOCKS_MAX * (uint64_t)BLOCK_SIZE ||
	    batch > BATCH_BLOCKS_MAX)
		batch = BATCH_BLOCKS_MAX;
	if (batch == 0)
		batch = 1;
	if (__builtin_add_overflow(scrub->bytes, max_bytes, &end))
		end = UINT64_MAX;
	do {
		if (r == 0)
			r = advance(scrub, batch);
	} while (r == 0 && !is_done(scrub) && scrub->bytes < end);
	return r;
}

/* ---- what the caller gets ---- */

static void fill_progress(struct scrub *scrub, bool done,
			  struct scrub_progress *ret)
{
	struct store *store = scrub->store;

	*ret = (struct scrub_progress){.bytes = scrub->bytes, .done = done};
	mutex_lock(&store->core.lock);
	ret->errors = done ? store->scrub_record.errors : scrub->errors;
	ret->began_ns = store->scrub_record.began_ns;
	ret->percent = done ? 100 : scrub_percent(store);
	for (size_t i = 0; i < store->volumes.all.len; i++)
		ret->busy |= volume_is_open(store->volumes.all.ptr[i]);
	mutex_unlock(&store->core.lock);
}

static int report(struct scrub *scrub, line_fn *line, void *opaque,
		  struct error *err)
{
	for (size_t i = 0; i < scrub->findings.len; i++)
		line(opaque, scrub->findings.ptr[i]);
	if (damage_is_empty(&scrub->damage))
		return 0;
	return damage_report(scrub->store, &scrub->damage, line, opaque, NULL,
			     err);
}

static int run(struct scrub *scrub, const struct scrub_options *options,
	       bool *ret_done, struct error *err)
{
	struct store *store = scrub->store;
	uint64_t began_ns;
	int r;

	mutex_lock(&store->core.lock);
	began_ns = store->scrub_record.began_ns;
	mutex_unlock(&store->core.lock);
	*ret_done = options->began_ns && options->began_ns != began_ns;
	if (*ret_done) /* somebody else has brought it to its end */
		return 0;
	r = loader_finish(store, err);
	if (r < 0)
		return r;
	if (options->restart || began_ns == 0)
		begin(scrub);
	else if (!scrub->active)
		go_on(scrub);
	r = slice(scrub, options->max_bytes);
	if (r < 0)
		return error_set(err, -r, "out of memory");
	*ret_done = is_done(scrub);
	if (*ret_done)
		return finish(scrub, err);
	publish(scrub);
	return 0;
}

int store_scrub(struct store *store, const struct scrub_options *options,
		struct scrub_progress *ret, line_fn *line, void *opaque,
		struct error *err)
{
	struct scrub *scrub = store->scrub;
	bool done = false;
	int r;

	mutex_lock(&scrub->lock);
	r = run(scrub, options, &done, err);
	if (r == 0)
		fill_progress(scrub, done, ret);
	/* unless another one has begun since, and forgotten it */
	if (r == 0 && done && !scrub->active)
		r = report(scrub, line, opaque, err);
	mutex_unlock(&scrub->lock);
	if (r == 0 && ret->done && ret->errors)
		r = error_set(err, EUCLEAN, "%" PRIu64 " errors found",
			      ret->errors);
	return r;
}
