/* SPDX-License-Identifier: BSD-2-Clause */
#include "metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "engine.h"
#include "json.h"
#include "units.h"

const char *const traffic_kind_names[NR_TRAFFIC_KINDS] = {
	[TRAFFIC_READ] = "read",   [TRAFFIC_WRITE] = "write",
	[TRAFFIC_ZERO] = "zero",   [TRAFFIC_TRIM] = "trim",
	[TRAFFIC_FLUSH] = "flush",
};

static void family(FILE *out, const char *name, const char *type,
		   const char *help)
{
	fprintf(out, "# HELP varve_%s %s\n# TYPE varve_%s %s\n", name, help,
		name, type);
}

static void single(FILE *out, const char *name, const char *type,
		   uint64_t value, const char *help)
{
	family(out, name, type, help);
	fprintf(out, "varve_%s %" PRIu64 "\n", name, value);
}

static void print_seconds(FILE *out, uint64_t ns)
{
	fprintf(out, "%" PRIu64 ".%09" PRIu64 "\n", ns / 1000000000,
		ns % 1000000000);
}

/* ---- requests ---- */

static void durations(FILE *out, const struct traffic_count *all)
{
	static const char name[] = "varve_request_duration_seconds";

	family(out, "request_duration_seconds", "histogram",
	       "What requests of clients took in the server.");
	for (unsigned int k = 0; k < NR_TRAFFIC_KINDS; k++) {
		const struct traffic_kind_count *c = &all->kinds[k];
		const char *op = traffic_kind_names[k];
		uint64_t sum = 0;

		for (unsigned int b = 0; b < TRAFFIC_BUCKETS - 1; b++) {
			sum += c->buckets[b];
			fprintf(out,
				"%s_bucket{operation=\"%s\",le=\"%g\"} "
				"%" PRIu64 "\n",
				name, op, (double)traffic_bounds_us[b] / 1e6,
				sum);
		}
		/* of one moment: what came meanwhile is in the next one */
		sum += c->buckets[TRAFFIC_BUCKETS - 1];
		fprintf(out,
			"%s_bucket{operation=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
			"%s_sum{operation=\"%s\"} ",
			name, op, sum, name, op);
		print_seconds(out, c->ns);
		fprintf(out, "%s_count{operation=\"%s\"} %" PRIu64 "\n", name,
			op, sum);
	}
}

struct traffic_family {
	const char *name; /* behind varve_ or varve_volume_ */
	const char *help;
	size_t offset; /* in struct traffic_kind_count */
	bool is_time;
};

#define COUNT(name) offsetof(struct traffic_kind_count, name)

static const struct traffic_family families[] = {
	{"requests_total", "Requests of clients that were answered.",
	 COUNT(requests), false},
	{"request_errors_total", "Requests of clients that failed.",
	 COUNT(errors), false},
	{"request_bytes_total", "Bytes that requests of clients were about.",
	 COUNT(bytes), false},
	{"request_seconds_total", "What requests of clients took, together.",
	 COUNT(ns), true},
};

#define NR_FAMILIES (sizeof(families) / sizeof(families[0]))

static void print_counts(FILE *out, const struct traffic_family *f,
			 const char *volume, const struct traffic_count *count)
{
	for (unsigned int k = 0; k < NR_TRAFFIC_KINDS; k++) {
		const char *at = (const char *)&count->kinds[k] + f->offset;
		uint64_t value = *(const uint64_t *)(const void *)at;

		/* names need no escaping: see names.h */
		if (volume)
			fprintf(out,
				"varve_volume_%s{volume=\"%s\",operation=\"%s\""
				"} ",
				f->name, volume, traffic_kind_names[k]);
		else
			fprintf(out, "varve_%s{operation=\"%s\"} ", f->name,
				traffic_kind_names[k]);
		if (f->is_time)
			print_seconds(out, value);
		else
			fprintf(out, "%" PRIu64 "\n", value);
	}
}

static int requests(FILE *out, struct store *store, struct error *err)
{
	CLEANUP_FREE struct volume_traffic *list = NULL;
	struct traffic_count all;
	char name[64];
	size_t nr;
	int r;

	r = store_traffic(store, &list, &nr, &all, err);
	if (r < 0)
		return r;
	durations(out, &all);
	/* the last is the sum of the histogram */
	for (size_t f = 0; f < NR_FAMILIES - 1; f++) {
		family(out, families[f].name, "counter", families[f].help);
		print_counts(out, &families[f], NULL, &all);
	}
	for (size_t f = 0; f < NR_FAMILIES; f++) {
		(void)snprintf(name, sizeof(name), "volume_%s",
			       families[f].name);
		family(out, name, "counter", families[f].help);
		for (size_t i = 0; i < nr; i++)
			if (!list[i].hidden) /* views come and go */
				print_counts(out, &families[f], list[i].name,
					     &list[i].count);
	}
	return 0;
}

/* ---- volumes ---- */

enum volume_number { SIZE, REFER, WRITTEN, SNAPSHOTS, CLIENTS, NR_NUMBERS };

static const struct {
	const char *name, *help;
} numbers[NR_NUMBERS] = {
	[SIZE] = {"volume_size_bytes", "Size of a volume."},
	[REFER] = {"volume_refer_bytes", "Bytes that a volume maps."},
	[WRITTEN] = {"volume_written_bytes",
		     "Bytes written to a volume since its last snapshot."},
	[SNAPSHOTS] = {"volume_snapshots", "Snapshots of a volume."},
	[CLIENTS] = {"volume_clients", "Connections that have a volume open."},
};

static uint64_t number_of(const struct volume_info *info,
			  enum volume_number which)
{
	switch (which) {
	case SIZE:
		return info->size;
	case REFER:
		return info->refer_blocks * BLOCK_SIZE;
	case WRITTEN:
		return info->written_blocks * BLOCK_SIZE;
	case SNAPSHOTS:
		return info->nr_snapshots;
	default:
		return (uint64_t)info->nr_readers + info->nr_writers +
		       info->nr_attached;
	}
}

static int volumes(FILE *out, struct store *store, struct error *err)
{
	CLEANUP_FREE struct volume_info *list = NULL;
	size_t nr;
	int r;

	r = store_list(store, &list, &nr, err);
	if (r < 0)
		return r;
	for (unsigned int n = 0; n < NR_NUMBERS; n++) {
		family(out, numbers[n].name, "gauge", numbers[n].help);
		for (size_t i = 0; i < nr; i++)
			if (!list[i].snapshot && !list[i].hidden)
				fprintf(out,
					"varve_%s{volume=\"%s\"} %" PRIu64 "\n",
					numbers[n].name, list[i].name,
					number_of(&list[i], n));
	}
	return 0;
}

/* ---- the store ---- */

static void space(FILE *out, const struct store_stat *st)
{
	single(out, "store_capacity_bytes", "gauge", st->capacity,
	       "What the store may take.");
	single(out, "store_used_bytes", "gauge",
	       st->frames_used * st->segment_bytes,
	       "Segments that hold something.");
	single(out, "store_allocated_bytes", "gauge",
	       st->frames_allocated * st->segment_bytes,
	       "Segments that take space of the host.");
	single(out, "store_free_bytes", "gauge", stat_free_bytes(st),
	       "What clients may still write, before anything is cleaned.");
	single(out, "store_live_bytes", "gauge", st->live_blocks * BLOCK_SIZE,
	       "Blocks of data that are in use.");
	single(out, "store_metadata_bytes", "gauge", st->meta_bytes_live,
	       "Maps and tables that are in use.");
	single(out, "store_log_bytes", "gauge", st->log_bytes,
	       "Log since the last checkpoint, which a crash would replay.");
	single(out, "store_reclaimable_bytes", "gauge",
	       st->dead_segments * st->segment_bytes,
	       "Segments that the next checkpoint gives back.");
	single(out, "store_freeing_nodes", "gauge", st->reaper_queue,
	       "Map nodes of what was deleted that wait to be freed.");
	single(out, "volumes", "gauge", st->nr_volumes, "Volumes.");
	single(out, "snapshots", "gauge", st->nr_snapshots, "Snapshots.");
}

static void work(FILE *out, const struct store_stat *st)
{
	single(out, "checkpoints_total", "counter", st->checkpoint_id,
	       "Checkpoints since the store was made.");
	single(out, "metadata_written_bytes_total", "counter",
	       st->metadata_bytes, "What checkpoints wrote.");
	single(out, "cleaner_segments_total", "counter", st->nr_victims,
	       "Segments that the cleaner took on.");
	single(out, "cleaner_copied_bytes_total", "counter",
	       st->copied_blocks * BLOCK_SIZE, "What the cleaner wrote.");
	single(out, "cleaner_moved_bytes_total", "counter",
	       st->moved_blocks * BLOCK_SIZE,
	       "What the cleaner wrote and was still in use then.");
	single(out, "forwarded_bytes", "gauge",
	       st->forwarded_blocks * BLOCK_SIZE,
	       "Blocks that are found through the cleaner's table.");
}

static void memory(FILE *out, const struct store_stat *st)
{
	single(out, "memory_tables_bytes", "gauge", st->tables_bytes,
	       "Memory for tables, which stay there.");
	single(out, "memory_tables_limit_bytes", "gauge", st->tables_max_bytes,
	       "What tables may take.");
	single(out, "cache_bytes", "gauge", st->nodes_bytes,
	       "Memory for leaves of maps, which are read again when they are "
	       "needed.");
	single(out, "cache_dirty_nodes", "gauge", st->dirty_nodes,
	       "Map nodes that the next checkpoint writes.");
}

static void health(FILE *out, const struct store_stat *st)
{
	single(out, "store_failed", "gauge", st->failed,
	       "1: a write of the store failed, and it only reads.");
	single(out, "store_read_only", "gauge", st->read_only,
	       "1: the store is served read-only.");
	single(out, "checksum_errors_total", "counter", st->checksum_errors,
	       "Blocks and map nodes that did not match their checksum.");
	single(out, "scrub_errors", "gauge", st->scrub_errors,
	       "What the last complete scrub found.");
	single(out, "scrub_last_end_timestamp_seconds", "gauge",
	       st->scrub_ended_ns / 1000000000,
	       "When the last complete scrub ended; 0: never.");
}

int metrics_text(struct store *store, char **ret, size_t *ret_length,
		 struct error *err)
{
	struct store_stat st;
	FILE *out = open_memstream(ret, ret_length);
	int r;

	if (!out)
		return error_set(err, ENOMEM, "out of memory");
	store_stat(store, &st);
	family(out, "build_info", "gauge", "The version that runs; always 1.");
	fprintf(out, "varve_build_info{version=\"" VARVE_VERSION "\"} 1\n");
	space(out, &st);
	r = volumes(out, store, err);
	if (r == 0)
		r = requests(out, store, err);
	work(out, &st);
	memory(out, &st);
	health(out, &st);
	if (fclose(out) != 0 && r == 0)
		r = error_set(err, ENOMEM, "out of memory");
	if (r < 0) {
		free(*ret);
		*ret = NULL;
	}
	return r;
}
