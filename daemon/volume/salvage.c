/* SPDX-License-Identifier: BSD-2-Clause */
#include "salvage.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
