/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NOTES ON THE DESIGN
 *
 * Every unit is a register, and every value but zero is written once.  For
 * such registers the question has a cheap answer (Gibbons and Korach, Testing
 * Shared Memories, 1997).  A write and the reads that saw it form a cluster,
 * and in any order the cluster lies together.  Let f be the first end of any
 * of its operations and s the last start.  When f < s the value was current
 * all the time from f to s: a forward zone.  Otherwise it was current at some
 * moment between s and f: a backward zone.  There is an order if and only if
 * no read ended before its write began, no two forward zones overlap, and no
 * backward zone lies inside a forward one.
 *
 * Zeros have many writers.  A clearing operation is a cluster of its own, and
 * a read of zeros must have one that can be the last write before it.
 *
 * A cut must be right for each unit, as a read is, and for all of them
 * together: when it shows a write, it shows every write that came before
 * that one.  So for each unit, what comes after the value seen there must not
 * come before anything seen elsewhere.
 *
 * What this refuses is wrong; what zeros hide may pass.
 */
#include "history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "test-store.h"

#define ID_SHIFT 24u
#define UNITS_AT_ONCE 64u

/* One value at one unit. */
struct cluster {
	uint32_t id;	     /* 0: zeros */
	uint64_t start, end; /* of the write */
	uint64_t first_end;  /* of the write and of the reads that saw it */
	uint64_t last_start;
};

struct checker {
	const struct history *history;
	/* of the units looked at now */
	struct history_op **writes, **reads;
	size_t nr_writes, nr_reads;
	/* of one unit */
	struct cluster *clusters; /* [0] is what the round began with */
	size_t nr_clusters;
	struct cluster **of_write; /* of writes[slot]; NULL: elsewhere */
	const struct cluster **forward;
	struct error *err;
};

static bool covers(const struct history_op *op, uint32_t unit)
{
	return unit >= op->first && unit - op->first < op->nr;
}

static bool is_write(const struct history_op *op)
{
	return op->kind == HISTORY_WRITE || op->kind == HISTORY_CLEAR;
}

static const char *kind_name(const struct history_op *op)
{
	return op->kind == HISTORY_CUT ? "snapshot" : "read";
}

static int refuse(struct checker *c, uint32_t unit, const struct history_op *op,
		  const char *what, const struct cluster *other)
{
	uint32_t seen = op->seen[unit - op->first];

	return error_set(c->err, EIO,
			 "unit %" PRIu32 ": the %s of %" PRIu64 " to %" PRIu64
			 " saw %08" PRIx32 ": %s %08" PRIx32 " (%" PRIu64
			 " to %" PRIu64 ")",
			 unit, kind_name(op), op->start, op->end, seen, what,
			 other ? other->id : 0, other ? other->start : 0,
			 other ? other->end : 0);
}

/* ---- clusters of a unit ---- */

/* The write of this round that has @id, or NULL. */
static struct history_op *find_write(const struct history *history, uint32_t id)
{
	uint32_t number = (id >> ID_SHIFT) - 1;
	uint32_t index = (id & ((1u << ID_SHIFT) - 1)) - 1;
	const struct history_client *client;

	if (number >= HISTORY_CLIENTS_MAX)
		return NULL;
	client = &history->clients[number];
	if (index < client->nr_before ||
	    index - client->nr_before >= client->nr)
		return NULL;
	return &client->ops[index - client->nr_before];
}

static void add_cluster(struct checker *c, uint32_t id, uint64_t start,
			uint64_t end)
{
	c->clusters[c->nr_clusters++] = (struct cluster){
		.id = id,
		.start = start,
		.end = end,
		.first_end = end,
		.last_start = start,
	};
}

static void make_clusters(struct checker *c, uint32_t unit)
{
	c->nr_clusters = 0;
	add_cluster(c, c->history->base[unit], 0, 0);
	for (size_t i = 0; i < c->nr_writes; i++) {
		const struct history_op *op = c->writes[i];

		c->of_write[i] = NULL;
		if (!covers(op, unit))
			continue;
		c->of_write[i] = &c->clusters[c->nr_clusters];
		add_cluster(c, op->kind == HISTORY_WRITE ? op->id : 0,
			    op->start, op->end);
	}
}

/* The cluster of a value that is not zero, or NULL: nobody wrote it here. */
static struct cluster *find_cluster(struct checker *c, uint32_t unit,
				    uint32_t id)
{
	const struct history_op *op;

	if (id == c->history->base[unit])
		return &c->clusters[0];
	op = find_write(c->history, id);
	if (!op || op->kind != HISTORY_WRITE || !covers(op, unit))
		return NULL;
	return c->of_write[op->slot];
}

static int join_read(struct checker *c, uint32_t unit,
		     const struct history_op *read)
{
	uint32_t id = read->seen[unit - read->first];
	struct cluster *cluster;

	if (!id)
		return 0;
	cluster = find_cluster(c, unit, id);
	if (!cluster)
		return refuse(c, unit, read, "nobody wrote that here", NULL);
	if (read->end < cluster->start)
		return refuse(c, unit, read,
			      "that was written later:", cluster);
	if (read->end < cluster->first_end)
		cluster->first_end = read->end;
	if (read->start > cluster->last_start)
		cluster->last_start = read->start;
	return 0;
}

/* ---- zones ---- */

static int compare_first_end(const void *a, const void *b)
{
	const struct cluster *x = *(const struct cluster *const *)a;
	const struct cluster *y = *(const struct cluster *const *)b;

	return x->first_end < y->first_end ? -1 : x->first_end > y->first_end;
}

static int refuse_zones(struct checker *c, uint32_t unit,
			const struct cluster *x, const struct cluster *y)
{
	return error_set(
		c->err, EIO,
		"unit %" PRIu32 ": %08" PRIx32 " was there from "
		"%" PRIu64 " to %" PRIu64 ", and %08" PRIx32
		" was there between %" PRIu64 " and %" PRIu64,
		unit, x->id, x->first_end, x->last_start, y->id,
		y->first_end < y->last_start ? y->first_end : y->last_start,
		y->first_end < y->last_start ? y->last_start : y->first_end);
}

/* The last forward zone that begins before @time, or NULL. */
static const struct cluster *zone_before(const struct checker *c, size_t nr,
					 uint64_t time)
{
	size_t low = 0, high = nr;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (c->forward[middle]->first_end < time)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? c->forward[low - 1] : NULL;
}

static int check_zones(struct checker *c, uint32_t unit)
{
	size_t nr = 0;

	for (size_t i = 0; i < c->nr_clusters; i++)
		if (c->clusters[i].first_end < c->clusters[i].last_start)
			c->forward[nr++] = &c->clusters[i];
	qsort(c->forward, nr, sizeof(struct cluster *), compare_first_end);
	for (size_t i = 1; i < nr; i++)
		if (c->forward[i - 1]->last_start > c->forward[i]->first_end)
			return refuse_zones(c, unit, c->forward[i - 1],
					    c->forward[i]);
	for (size_t i = 0; i < c->nr_clusters; i++) {
		const struct cluster *x = &c->clusters[i], *zone;

		if (x->first_end < x->last_start)
			continue;
		zone = zone_before(c, nr, x->last_start);
		if (zone && x->first_end < zone->last_start)
			return refuse_zones(c, unit, zone, x);
	}
	return 0;
}

/* ---- zeros, and cuts ---- */

/* When, at the latest, were the zeros made that @read saw? */
static int find_zeros(struct checker *c, uint32_t unit,
		      const struct history_op *read, uint64_t *ret)
{
	bool found = false;

	*ret = 0;
	for (size_t i = 0; i < c->nr_clusters; i++) {
		const struct cluster *x = &c->clusters[i];

		if (x->id || x->start > read->end)
			continue;
		found = true;
		if (x->end > *ret)
			*ret = x->end;
	}
	if (!found)
		return refuse(c, unit, read, "nobody cleared it;", NULL);
	for (size_t i = 0; i < c->nr_clusters; i++) {
		const struct cluster *x = &c->clusters[i];

		if (x->id && x->start > *ret && x->first_end < read->start)
			return refuse(c, unit, read,
				      "between them was the write", x);
	}
	return 0;
}

/* What comes after the value seen must not come before one shown elsewhere. */
static int check_cut(struct checker *c, uint32_t unit,
		     const struct history_op *cut, uint64_t seen_end)
{
	for (size_t i = 0; i < c->nr_clusters; i++) {
		const struct cluster *x = &c->clusters[i];

		if (x->start > seen_end && x->first_end < cut->last_shown)
			return refuse(c, unit, cut,
				      "it shows later writes, but not", x);
	}
	return 0;
}

static int check_read(struct checker *c, uint32_t unit,
		      const struct history_op *read)
{
	uint32_t id = read->seen[unit - read->first];
	uint64_t seen_end;
	int r;

	if (id) {
		seen_end = find_cluster(c, unit, id)->first_end;
	} else {
		r = find_zeros(c, unit, read, &seen_end);
		if (r < 0)
			return r;
	}
	if (read->kind != HISTORY_CUT)
		return 0;
	return check_cut(c, unit, read, seen_end);
}

static int check_unit(struct checker *c, uint32_t unit)
{
	int r = 0;

	make_clusters(c, unit);
	for (size_t i = 0; i < c->nr_reads && r == 0; i++)
		if (covers(c->reads[i], unit))
			r = join_read(c, unit, c->reads[i]);
	if (r == 0)
		r = check_zones(c, unit);
	for (size_t i = 0; i < c->nr_reads && r == 0; i++)
		if (covers(c->reads[i], unit))
			r = check_read(c, unit, c->reads[i]);
	return r;
}

/* ---- all units ---- */

static uint64_t find_last_shown(const struct history *history,
				const struct history_op *cut)
{
	uint64_t ret = 0;

	for (uint32_t i = 0; i < cut->nr; i++) {
		const struct history_op *write =
			cut->seen[i] ? find_write(history, cut->seen[i]) : NULL;

		if (write && write->start > ret)
			ret = write->start;
	}
	return ret;
}

static void take_op(struct checker *c, struct history_op *op)
{
	if (is_write(op)) {
		op->slot = (uint32_t)c->nr_writes;
		c->writes[c->nr_writes++] = op;
		return;
	}
	c->reads[c->nr_reads++] = op;
}

/* The operations on any of the units from @first. */
static void take_ops(struct checker *c, uint32_t first)
{
	c->nr_writes = c->nr_reads = 0;
	for (uint32_t i = 0; i < HISTORY_CLIENTS_MAX; i++) {
		const struct history_client *client = &c->history->clients[i];

		for (size_t j = 0; j < client->nr; j++) {
			struct history_op *op = &client->ops[j];

			if (op->first < first + UNITS_AT_ONCE &&
			    op->first + op->nr > first)
				take_op(c, op);
		}
	}
}

static void look_at_cuts(struct history *history)
{
	for (uint32_t i = 0; i < HISTORY_CLIENTS_MAX; i++) {
		struct history_client *client = &history->clients[i];

		for (size_t j = 0; j < client->nr; j++)
			if (client->ops[j].kind == HISTORY_CUT)
				client->ops[j].last_shown = find_last_shown(
					history, &client->ops[j]);
	}
}

static int check_units(struct checker *c)
{
	uint32_t nr_units = c->history->nr_units;
	int r = 0;

	for (uint32_t unit = 0; unit < nr_units && r == 0; unit++) {
		if (unit % UNITS_AT_ONCE == 0)
			take_ops(c, unit);
		r = check_unit(c, unit);
	}
	return r;
}

int history_check(struct history *history, struct error *err)
{
	size_t nr = history_nr_ops(history) + 1;
	struct checker c = {
		.history = history,
		.writes = calloc(nr, sizeof(*c.writes)),
		.reads = calloc(nr, sizeof(*c.reads)),
		.clusters = calloc(nr, sizeof(*c.clusters)),
		.of_write = calloc(nr, sizeof(*c.of_write)),
		.forward = calloc(nr, sizeof(*c.forward)),
		.err = err,
	};
	int r;

	if (!c.writes || !c.reads || !c.clusters || !c.of_write || !c.forward)
		die("out of memory");
	look_at_cuts(history);
	r = check_units(&c);
	free(c.writes);
	free(c.reads);
	free(c.clusters);
	free(c.of_write);
	free(c.forward);
	return r;
}
