/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dump: the structures of a store as text, one per line.  Reads what is on
 * disk and what is in memory; changes nothing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "log-walk.h"
#include "print.h"

#define LINE_BYTES 1024

struct dump {
	struct store *store;
	line_fn *line;
	void *opaque;
};

static int dump_super(const struct dump *d, struct error *err)
{
	struct backend *be = d->store->core.be;
	char text[LINE_BYTES], line[LINE_BYTES + 64];

	for (unsigned int copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
		struct error failure = ERROR_NONE;
		struct disk_superblock disk;
		struct superblock sb;
		int r;

		r = backend_super_read(be, copy, &disk, &failure);
		if (r == 0)
			r = superblock_decode(&disk, copy, &sb, &failure);
		if (r == 0)
			(void)superblock_print(&sb, text, sizeof(text));
		(void)snprintf(line, sizeof(line), "%c %s", 'A' + (int)copy,
			       r == 0 ? text : failure.message);
		d->line(d->opaque, line);
	}
	(void)err;
	return 0;
}

static int dump_batch(const struct dump *d, const struct log_batch *b,
		      struct error *err)
{
	char text[LINE_BYTES], line[LINE_BYTES + 64];
	struct disk_batch disk;
	struct batch_header h;
	struct batch_entry e;
	int r;

	r = log_tail_read_header(d->store->core.be, b, &disk, &h, err);
	if (r < 0)
		return r;
	(void)batch_header_print(&h, line, sizeof(line));
	d->line(d->opaque, line);
	for (uint32_t i = 0; r == 0 && i < h.nr_entries; i++) {
		r = batch_get_entry(&disk, i, h.kind, &e, err);
		if (r < 0)
			break;
		(void)batch_entry_print(&e, text, sizeof(text));
		(void)snprintf(line, sizeof(line), "  %s", text);
		d->line(d->opaque, line);
	}
	return r;
}

/* The log after the newest checkpoint. */
static int dump_log(const struct dump *d, struct error *err)
{
	struct superblock sb;
	struct log_tail tail;
	unsigned int first;
	int r;

	r = superblock_choose(d->store->core.be, &sb, &first, err);
	if (r == 0)
		r = log_tail_find(d->store->core.be, &sb, NULL, false, &tail,
				  err);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < tail.batches.len; i++)
		r = dump_batch(d, &tail.batches.ptr[i], err);
	if (tail.damaged)
		d->line(d->opaque, "damaged: later batches had been durable");
	log_tail_done(&tail);
	return r;
}

static void dump_segment(const struct dump *d, const struct segment *s)
{
	char text[LINE_BYTES];
	struct segment_info info;

	segment_to_info(s, &info);
	(void)segment_info_print(&info, text, sizeof(text));
	d->line(d->opaque, text);
}

/*
 * Tables are walked one row per hold of core, so that dumping a large store
 * stalls nobody: a row that comes or goes meanwhile may be missed.
 */
static int dump_segments(const struct dump *d, struct error *err)
{
	struct core *core = &d->store->core;
	struct segment_table *t = &d->store->segments;

	(void)err;
	mutex_lock(&core->lock);
	for (uint32_t i = 0; i < t->meta.len; i++)
		dump_segment(d, t->meta.ptr[i]);
	for (uint32_t i = 0; i < t->pages.nr_pages; i++) {
		if (t->by_index[i])
			dump_segment(d, t->by_index[i]);
		mutex_unlock(&core->lock);
		mutex_lock(&core->lock);
	}
	mutex_unlock(&core->lock);
	return 0;
}

static int dump_volumes(const struct dump *d, struct error *err)
{
	struct core *core = &d->store->core;
	struct volumes *volumes = &d->store->volumes;

	(void)err;
	mutex_lock(&core->lock);
	for (size_t i = 0; i < volumes->all.len; i++) {
		const struct volume *v = volumes->all.ptr[i];
		struct volume_record record;
		char text[LINE_BYTES];

		volume_to_record(v, &record);
		(void)volume_record_print(&record, text, sizeof(text));
		d->line(d->opaque, text);
	}
	mutex_unlock(&core->lock);
	return 0;
}

static int dump_nodes(const struct dump *d, struct error *err)
{
	struct core *core = &d->store->core;
	struct nodes *nodes = &d->store->nodes;
	char text[LINE_BYTES];

	(void)err;
	mutex_lock(&core->lock);
	for (uint32_t id = 1; id < nodes->next_id; id++) {
		if (node_exists(nodes, id)) {
			(void)node_entry_print(id, node_entry(nodes, id), text,
					       sizeof(text));
			d->line(d->opaque, text);
		}
		mutex_unlock(&core->lock);
		mutex_lock(&core->lock);
	}
	mutex_unlock(&core->lock);
	return 0;
}

static const struct {
	const char *name;
	int (*dump)(const struct dump *d, struct error *err);
} parts[] = {
	{"super", dump_super},	     {"log", dump_log},
	{"segments", dump_segments}, {"volumes", dump_volumes},
	{"nodes", dump_nodes},
};

int store_dump(struct store *store, const char *what, line_fn *line,
	       void *opaque, struct error *err)
{
	struct dump d = {store, line, opaque};
	bool all = strcmp(what, "all") == 0, found = false;
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(parts) / sizeof(*parts); i++) {
		if (!all && strcmp(what, parts[i].name) != 0)
			continue;
		found = true;
		if (all)
			line(opaque, parts[i].name);
		r = parts[i].dump(&d, err);
	}
	if (!found)
		return error_set(err, EINVAL,
				 "%.32s: not super, log, segments, volumes, "
				 "nodes or all",
				 what);
	return r;
}
