/* SPDX-License-Identifier: BSD-2-Clause */
#include "salvage.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recount.h"

void salvage_done(struct salvage *salvage)
{
	for (int t = 0; t < NR_TABLES; t++)
		index_vector_done(&salvage->lost_pages[t]);
	index_vector_done(&salvage->heads);
	index_vector_done(&salvage->skipped);
}

static void say(line_fn *line, void *opaque, const char *format, va_list ap)
	__attribute__((format(printf, 3, 0)));

static void say(line_fn *line, void *opaque, const char *format, va_list ap)
{
	char text[600];

	(void)vsnprintf(text, sizeof(text), format, ap);
	if (line)
		line(opaque, text);
}

void salvage_found(struct salvage *salvage, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(salvage->found, salvage->opaque, format, ap);
	va_end(ap);
	salvage->nr_found++;
}

void salvage_say(struct salvage *salvage, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(salvage->done, salvage->opaque, format, ap);
	va_end(ap);
}

/* ---- pages ---- */

int salvage_lose_pages(struct salvage *salvage, enum table table,
		       uint32_t first, uint32_t nr, struct error *err)
{
	struct index_vector *lost = &salvage->lost_pages[table];

	if (index_vector_reserve(lost, nr) < 0)
		return error_set(err, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < nr; i++)
		lost->ptr[lost->len++] = first + i;
	salvage_found(salvage, "%s", err->message);
	*err = (struct error)ERROR_NONE;
	return 0;
}

bool salvage_may_lose(const struct salvage *salvage, int r)
{
	return r != -ENOMEM && !(salvage->repairs && r == -EIO);
}

bool salvage_has_lost(const struct salvage *salvage, enum table table)
{
	return salvage->lost_pages[table].len > 0;
}

/* ---- volumes ---- */

/* Volumes that a log makes, at most: a replay that meets more is refused. */
#define LOG_IDS_MAX (1u << 20)

/* lost-ID, or lost-ID-2 and so on where that is taken. */
static void choose_name(const struct volumes *volumes, struct volume *v)
{
	unsigned int n = 1;

	(void)snprintf(v->name, sizeof(v->name), "lost-%" PRIu32, v->id);
	while (volume_find_head(volumes, v->name))
		(void)snprintf(v->name, sizeof(v->name), "lost-%" PRIu32 "-%u",
			       v->id, ++n);
}

int salvage_new_head(struct store *store, uint32_t id, struct volume **ret,
		     struct error *err)
{
	struct volume *v = calloc(1, sizeof(*v));

	mutex_assert_held(&store->core.lock);
	if (!v || volumes_prepare(&store->volumes, 1) < 0) {
		free(v);
		return error_set(err, ENOMEM, "out of memory");
	}
	v->id = id;
	v->kind = VOLUME_HEAD;
	v->created_ns = clock_ns();
	v->map.epoch = volumes_new_epoch(&store->volumes);
	choose_name(&store->volumes, v);
	volume_insert(&store->volumes, v);
	*ret = v;
	return 0;
}

int salvage_adopting_head(struct store *store, struct volume **ret,
			  struct error *err)
{
	struct volumes *volumes = &store->volumes;
	uint32_t next_id = volumes->next_id;
	uint32_t *id = &store->salvage->adopted_id;
	int r;

	mutex_assert_held(&store->core.lock);
	if (*id == 0 && next_id < UINT32_MAX - 2 * LOG_IDS_MAX)
		*id = next_id + LOG_IDS_MAX;
	if (*id == 0 || *id == UINT32_MAX - 1)
		return error_set(err, ENOSPC, "no volume id left");
	r = salvage_new_head(store, *id + 1, ret, err);
	volumes->next_id = next_id;
	*id += r == 0;
	return r;
}

void salvage_end_ids(struct store *store)
{
	struct volumes *volumes = &store->volumes;
	uint32_t last = store->salvage->adopted_id;

	mutex_assert_held(&store->core.lock);
	if (last && volumes->next_id <= last)
		volumes->next_id = last + 1;
}

/* A volume that snapshots belong to and that does not exist; 0: none. */
static uint32_t missing_head(const struct volumes *volumes, uint64_t *ret_size)
{
	uint32_t id = 0;

	*ret_size = 0;
	for (size_t i = 0; i < volumes->all.len; i++) {
		const struct volume *v = volumes->all.ptr[i];

		if (v->kind != VOLUME_SNAPSHOT ||
		    volume_find_id(volumes, v->parent))
			continue;
		if (id == 0)
			id = v->parent;
		if (v->parent == id && v->size > *ret_size)
			*ret_size = v->size;
	}
	return id;
}

int salvage_heads(struct store *store, struct error *err)
{
	struct salvage *salvage = store->salvage;
	const struct index_vector *lost = &salvage->lost_pages[TABLE_VOLUME];
	struct volume *head;
	uint64_t size;
	uint32_t id;
	int r = 0;

	mutex_assert_held(&store->core.lock);
	/* no more than there were records: hostile ones stay without */
	while (r == 0 && salvage->heads.len < lost->len &&
	       (id = missing_head(&store->volumes, &size))) {
		r = salvage_new_head(store, id, &head, err);
		if (r < 0)
			break;
		head->size = size;
		if (index_vector_push(&salvage->heads, id) < 0)
			r = error_set(err, ENOMEM, "out of memory");
		salvage_found(salvage,
			      "volume %" PRIu32 ": only its snapshots are left",
			      id);
	}
	return r;
}

void salvage_skip(struct store *store, uint64_t seq, uint32_t volume)
{
	struct salvage *salvage = store->salvage;

	mutex_assert_held(&store->core.lock);
	for (size_t i = 0; i < salvage->skipped.len; i++)
		if (salvage->skipped.ptr[i] == volume)
			return;
	if (index_vector_push(&salvage->skipped, volume) < 0)
		return; /* it is said again */
	salvage_say(salvage,
		    "volume %" PRIu32 ": what batch %" PRIu64
		    " and later ones of the log wrote to it is given up: it "
		    "is lost",
		    volume, seq);
}

void salvage_frames(struct store *store)
{
	const struct index_vector *lost =
		&store->salvage->lost_pages[TABLE_FRAME];

	for (size_t i = 0; i < lost->len; i++)
		frames_believe_used(&store->frames, lost->ptr[i]);
	if (lost->len)
		salvage_say(store->salvage,
			    "frame map: the frames in use are allocated, "
			    "others are allocated anew");
}

/* ---- segments ---- */

/* Segments that leaves name and nobody knows, ascending. */
struct missing {
	struct store *store;
	struct segno_vector segnos;
	struct segment_vector found;
};

/* Where @segno is, or belongs. */
static size_t missing_place(const struct missing *m, uint64_t segno)
{
	size_t low = 0, high = m->segnos.len;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (m->segnos.ptr[middle] < segno)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_missing(const struct missing *m, uint64_t segno)
{
	size_t i = missing_place(m, segno);

	return i < m->segnos.len && m->segnos.ptr[i] == segno;
}

static int note_missing(void *opaque, const struct recount_finding *f,
			struct error *err)
{
	struct missing *m = opaque;

	for (uint32_t i = 0; i < LEAF_BLOCKS; i++) {
		uint64_t segno;
		size_t at;

		if (!(f->entries >> i & 1))
			continue;
		segno = birth_segno(leaf_entry_birth(f->leaf->entries[i]));
		at = missing_place(m, segno);
		if (is_missing(m, segno))
			continue;
		if (segno_vector_reserve(&m->segnos, 1) < 0)
			return error_set(err, ENOMEM, "out of memory");
		memmove(&m->segnos.ptr[at + 1], &m->segnos.ptr[at],
			(m->segnos.len - at) * sizeof(*m->segnos.ptr));
		m->segnos.ptr[at] = segno;
		m->segnos.len++;
	}
	return 0;
}

/*
 * What the headers in frame @place say it holds.  That of the segment may be
 * lost: then the first batch tells.
 */
static bool identify_frame(struct store *store, uint64_t place,
			   const uint8_t *blocks, struct segment *ret)
{
	struct segment_header s;
	struct batch_header b;

	if (segment_header_decode((const void *)blocks, place, &s, NULL) == 0 &&
	    memcmp(s.uuid, store->core.uuid, sizeof(s.uuid)) == 0) {
		*ret = (struct segment){.segno = s.segno,
					.kind = s.kind,
					.sealed_time_ns = s.time_ns,
					.first_seq = s.first_seq};
		return s.kind != SEGMENT_META;
	}
	if (batch_decode((const void *)(blocks + BLOCK_SIZE), &b, NULL) == 0 &&
	    memcmp(b.uuid, store->core.uuid, sizeof(b.uuid)) == 0 &&
	    b.slot == 1) {
		*ret = (struct segment){.segno = b.segno,
					.kind = b.kind,
					.sealed_time_ns = b.time_ns,
					.first_seq = b.seq};
		return b.kind != SEGMENT_META;
	}
	return false;
}

/* The number of the last batch in frame @place, found by their headers. */
static uint64_t last_seq(struct store *store, uint64_t place,
			 const struct segment *s)
{
	uint64_t seq = s->first_seq - 1;
	struct disk_batch disk;
	struct batch_header h;

	for (uint32_t slot = 1; slot < store->core.nr_slots;
	     slot += 1 + h.nr_payload) {
		if (backend_read(store->core.be, place, slot * BLOCK_SIZE,
				 &disk, sizeof(disk), 0, NULL) < 0 ||
		    batch_decode(&disk, &h, NULL) < 0 || h.segno != s->segno ||
		    h.slot != slot)
			break;
		seq = h.seq;
	}
	return seq;
}

static int add_segment(struct missing *m, uint64_t place,
		       const struct segment *what, struct error *err)
{
	struct store *store = m->store;
	struct segment *s;
	int r;

	r = frames_mark_used(&store->frames, place, err);
	if (r < 0)
		return r;
	s = segment_new(&store->core, what->kind);
	if (!s || segment_table_prepare(&store->segments) < 0 ||
	    segment_vector_reserve(&m->found, 1) < 0) {
		segment_free(s);
		return error_set(err, ENOMEM, "out of memory");
	}
	s->segno = what->segno;
	s->place = place;
	s->first_seq = what->first_seq;
	/* the log goes on in one: recovery seals what it has left behind */
	if (s->segno != store->sb.log.segno) {
		s->sealed = true;
		s->sealed_time_ns = what->sealed_time_ns;
		s->last_seq = last_seq(store, place, s);
	}
	segment_insert(&store->segments, s);
	m->found.ptr[m->found.len++] = s;
	salvage_say(store->salvage,
		    "segment %" PRIu64 ": found in frame %" PRIu64
		    ", its blocks are counted anew",
		    s->segno, place);
	return 0;
}

static int search_frames(struct missing *m, struct error *err)
{
	struct store *store = m->store;
	uint8_t blocks[2 * BLOCK_SIZE];
	struct segment what;
	int r = 0;

	for (uint64_t place = 0; r == 0 && place < store->core.be->nr_frames;
	     place++) {
		if (frames_is_used(&store->frames, place))
			continue;
		r = backend_read(store->core.be, place, 0, blocks,
				 sizeof(blocks), 0, err);
		if (r < 0 && salvage_may_lose(store->salvage, r))
			r = 0;
		else if (r == 0 &&
			 identify_frame(store, place, blocks, &what) &&
			 is_missing(m, what.segno) &&
			 !segment_find(&store->segments, what.segno))
			r = add_segment(m, place, &what, err);
	}
	return r;
}

static int found_again(void *opaque, const struct recount_finding *f,
		       struct error *err)
{
	(void)opaque; /* it was said, or is about to be */
	(void)f;
	(void)err;
	return 0;
}

static int count_segments(struct missing *m, struct error *err)
{
	struct store *store = m->store;
	struct recount rc;
	int r;

	r = recount_init(&rc, store, found_again, NULL, err);
	if (r == 0)
		r = recount_walk(&rc, err);
	mutex_lock(&store->core.lock);
	for (size_t i = 0; r == 0 && i < m->found.len; i++)
		r = recount_assign_segment(&rc, m->found.ptr[i], err);
	if (r == 0 && segment_table_add_up(&store->segments) < 0)
		r = error_set(err, ENOMEM, "out of memory");
	mutex_unlock(&store->core.lock);
	recount_done(&rc);
	return r;
}

int salvage_segments(struct store *store, struct error *err)
{
	struct missing m = {.store = store};
	struct recount rc;
	int r;

	if (!salvage_has_lost(store->salvage, TABLE_SEGMENT))
		return 0;
	r = recount_init(&rc, store, note_missing, &m, err);
	if (r == 0)
		r = recount_walk(&rc, err);
	recount_done(&rc);
	if (r == 0 && m.segnos.len > 0) {
		mutex_lock(&store->core.lock);
		r = search_frames(&m, err);
		mutex_unlock(&store->core.lock);
	}
	if (r == 0 && m.found.len > 0)
		r = count_segments(&m, err);
	segno_vector_done(&m.segnos);
	segment_vector_done(&m.found);
	return r;
}
