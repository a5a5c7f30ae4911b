/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verbs one by one, as verbs.c finds them by name, and what they share.
 */
#ifndef SERVICE_VERBS_INTERNAL_H
#define SERVICE_VERBS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

struct check_report;
struct json_object;
struct store;
struct volume_info;

/* As verb_run(); PROTOCOL.md says what @args may hold. */
typedef int verb_fn(struct store *store, struct json_object *args,
		    struct json_object **ret, struct error *err);

/* verbs-read.c */
verb_fn verb_status, verb_list, verb_show, verb_check_store, verb_scrub,
	verb_dump;

/* verbs-traffic.c */
verb_fn verb_traffic, verb_metrics;

/* verbs-space.c */
verb_fn verb_du;

/* verbs-change.c */
verb_fn verb_create, verb_snapshot, verb_clone, verb_delete, verb_reclaim,
	verb_rollback, verb_undo, verb_rename, verb_resize, verb_scratch;

/* verbs-set.c */
verb_fn verb_set;

/* Takes @object over; NULL (no memory) is an error. */
int verb_give(struct json_object *object, struct json_object **ret,
	      struct error *err);

/*
 * True when one of @names is the volume or snapshot @info, or the volume it
 * is a snapshot of; also when there are no names.
 */
bool verb_names_cover(const char *const *names, size_t nr,
		      const struct volume_info *info);

/* Lines of a report or a dump, on their way into an array. */
struct lines {
	struct json_object *array;
	size_t bytes;
	bool truncated; /* beyond 64 MiB */
};

/*
 * { "lines": [...] }, to which lines_add() adds; NULL: out of memory.
 * @ret->array is part of it.
 */
struct json_object *lines_start(struct lines *ret);
/* A line_fn; @opaque is the lines. */
void lines_add(void *opaque, const char *line);

/*
 * The answer of a check that ended with @r: @data, which it takes over, with
 * the numbers of @report.  Damage that was found is an answer, no failure.
 */
int verb_give_report(struct json_object *data, const struct lines *lines,
		     const struct check_report *report, int r,
		     struct json_object **ret);

#endif
