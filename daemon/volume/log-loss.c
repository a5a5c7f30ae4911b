/* SPDX-License-Identifier: BSD-2-Clause */
#include "log-loss.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "print.h"

/*
 * Blocks of a volume that were written, zeroed or trimmed.  Volume 0: batch
 * number first is a metadata operation, end.
 */
struct loss {
	uint32_t volume;
	uint64_t first;
	uint64_t end;
};

DEFINE_VECTOR(loss_vector, struct loss);

/* Headers may be forged to hold nothing but entries. */
#define LOSSES_MAX (1u << 20)

struct loss_report {
	struct store *store;
	const struct log_tail *tail;
	line_fn *line;
	void *opaque;
	uint64_t nr_lines;
	bool cut; /* there is more */
	struct loss_vector losses;
	uint64_t nr_batches, first_seq, last_seq;
	uint64_t first_ns, last_ns;
	uint64_t durable_seq;
};

static void say(struct loss_report *rep, const char *text)
{
	if (rep->nr_lines++ < LOG_LOSS_LINES_MAX)
		rep->line(rep->opaque, text);
	else
		rep->cut = true;
}

/* A DATA header of the log that was damaged, from behind the damage. */
static bool is_beyond(const struct loss_report *rep,
		      const struct disk_batch *disk, struct batch_header *ret)
{
	const struct superblock *sb = &rep->store->sb;

	return batch_decode(disk, ret, NULL) == 0 &&
	       ret->kind == SEGMENT_DATA &&
	       memcmp(ret->uuid, sb->uuid, sizeof(ret->uuid)) == 0 &&
	       ret->incarnation == sb->log.incarnation &&
	       ret->seq > rep->tail->end_seq;
}

static int note_entries(struct loss_report *rep, const struct disk_batch *disk,
			const struct batch_header *h)
{
	struct batch_entry e;

	for (uint32_t i = 0; i < h->nr_entries; i++) {
		struct loss loss;

		if (batch_get_entry(disk, i, h->kind, &e, NULL) < 0)
			continue;
		if (rep->losses.len >= LOSSES_MAX) {
			rep->cut = true;
			break;
		}
		loss = (struct loss){e.volume, e.first_block,
				     e.first_block + e.count};
		if (op_is_metadata(e.op))
			loss = (struct loss){0, h->seq, e.op};
		if (loss_vector_push(&rep->losses, loss) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int note_batch(struct loss_report *rep, const struct disk_batch *disk,
		      const struct batch_header *h)
{
	if (rep->nr_batches == 0 || h->seq < rep->first_seq) {
		rep->first_seq = h->seq;
		rep->first_ns = h->time_ns;
	}
	if (rep->nr_batches == 0 || h->seq > rep->last_seq) {
		rep->last_seq = h->seq;
		rep->last_ns = h->time_ns;
	}
	if (h->durable_seq > rep->durable_seq)
		rep->durable_seq = h->durable_seq;
	rep->nr_batches++;
	return note_entries(rep, disk, h);
}

/* Does the log have batches in @place?  The first one, or the header, tells. */
static bool may_hold_log(const struct loss_report *rep, uint64_t place)
{
	struct store *store = rep->store;
	uint8_t blocks[2 * BLOCK_SIZE];
	const struct log_batch *last;
	struct segment_header s;
	struct batch_header b;

	/* where the damage is, its first blocks may be what is damaged */
	last = rep->tail->batches.len
		       ? &rep->tail->batches.ptr[rep->tail->batches.len - 1]
		       : NULL;
	if (place == (last ? last->place : store->sb.log.place))
		return true;
	if (backend_read(store->core.be, place, 0, blocks, sizeof(blocks), 0,
			 NULL) < 0)
		return false;
	if (segment_header_decode((const void *)blocks, place, &s, NULL) == 0)
		return s.kind == SEGMENT_DATA &&
		       s.incarnation == store->sb.log.incarnation &&
		       memcmp(s.uuid, store->sb.uuid, sizeof(s.uuid)) == 0;
	return is_beyond(rep, (const void *)(blocks + BLOCK_SIZE), &b);
}

static int scan_frame(struct loss_report *rep, uint64_t place)
{
	struct store *store = rep->store;
	struct disk_batch disk;
	struct batch_header h;
	uint64_t segno = 0;
	int r = 0;

	for (uint32_t slot = 1; r == 0 && slot < store->core.nr_slots; slot++) {
		if (backend_read(store->core.be, place, slot * BLOCK_SIZE,
				 &disk, sizeof(disk), 0, NULL) < 0 ||
		    !is_beyond(rep, &disk, &h) || h.slot != slot ||
		    (segno && h.segno != segno))
			continue;
		segno = h.segno;
		r = note_batch(rep, &disk, &h);
		slot += h.nr_payload;
	}
	return r;
}

static int scan(struct loss_report *rep, struct error *err)
{
	struct store *store = rep->store;
	int r = 0;

	for (uint64_t place = 0; r == 0 && place < store->core.be->nr_frames;
	     place++)
		if (may_hold_log(rep, place))
			r = scan_frame(rep, place);
	return r < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

/* ---- lines ---- */

static int compare_losses(const void *a, const void *b)
{
	const struct loss *x = a, *y = b;

	if (x->volume != y->volume)
		return x->volume < y->volume ? -1 : 1;
	return (x->first > y->first) - (x->first < y->first);
}

static void say_loss(struct loss_report *rep, const struct loss *loss)
{
	struct volumes *volumes = &rep->store->volumes;
	char name[NAME_MAX_BYTES + 1], text[NAME_MAX_BYTES + 100];
	const struct volume *v;

	if (loss->volume == 0) {
		(void)snprintf(text, sizeof(text),
			       "batch %" PRIu64
			       ": %s: done behind the damage in the log",
			       loss->first, op_name((enum op)loss->end));
		say(rep, text);
		return;
	}
	mutex_lock(&rep->store->core.lock);
	v = volume_find_id(volumes, loss->volume);
	if (v)
		volume_full_name(volumes, v, name);
	else
		(void)snprintf(name, sizeof(name), "volume %" PRIu32,
			       loss->volume);
	mutex_unlock(&rep->store->core.lock);
	(void)snprintf(text, sizeof(text),
		       "%s: offset %" PRIu64 ", length %" PRIu64
		       ": changed behind the damage in the log",
		       name, loss->first * BLOCK_SIZE,
		       (loss->end - loss->first) * BLOCK_SIZE);
	say(rep, text);
}

/* Ranges that touch are one. */
static void say_losses(struct loss_report *rep)
{
	struct loss_vector *losses = &rep->losses;
	struct loss at;

	if (losses->len == 0)
		return;
	qsort(losses->ptr, losses->len, sizeof(*losses->ptr), compare_losses);
	at = losses->ptr[0];
	for (size_t i = 1; i < losses->len; i++) {
		const struct loss *next = &losses->ptr[i];

		if (next->volume != at.volume || next->volume == 0 ||
		    next->first > at.end) {
			say_loss(rep, &at);
			at = *next;
		} else if (next->end > at.end) {
			at.end = next->end;
		}
	}
	say_loss(rep, &at);
}

static void say_sum(struct loss_report *rep)
{
	char first[TIME_TEXT_BYTES], last[TIME_TEXT_BYTES], text[300];

	(void)snprintf(text, sizeof(text),
		       "log is damaged after batch %" PRIu64
		       ": batches up to %" PRIu64 " had been durable",
		       rep->tail->end_seq,
		       rep->durable_seq > rep->tail->durable_seq
			       ? rep->durable_seq
			       : rep->tail->durable_seq);
	rep->line(rep->opaque, text);
	if (rep->nr_batches == 0) {
		rep->line(rep->opaque, "none of them can be read");
		return;
	}
	time_format(rep->first_ns, first);
	time_format(rep->last_ns, last);
	(void)snprintf(
		text, sizeof(text),
		"behind the damage %" PRIu64 " batches can be read, %" PRIu64
		" to %" PRIu64 ", of %s to %s",
		rep->nr_batches, rep->first_seq, rep->last_seq, first, last);
	rep->line(rep->opaque, text);
}

int log_loss_report(struct store *store, const struct log_tail *tail,
		    line_fn *line, void *opaque, struct error *err)
{
	struct loss_report rep = {
		.store = store, .tail = tail, .line = line, .opaque = opaque};
	int r = scan(&rep, err);

	if (r == 0) {
		say_sum(&rep);
		say_losses(&rep);
		if (rep.cut)
			line(opaque, "there is more than is listed");
	}
	loss_vector_done(&rep.losses);
	return r;
}
