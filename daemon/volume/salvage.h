/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Salvage: opening a store that store_open() refuses, to tell what is wrong
 * with it (check) or to make it sound again (repair).
 *
 * A page that cannot be read is noted and taken for one that is not there.
 * What other places tell is put back: volumes of which only snapshots are
 * left get a head, segments that no page lists are found by the headers in
 * their frames.  Nothing is guessed: what stands nowhere is lost.
 *
 * One thread; nobody else knows the store.
 */
#ifndef VOLUME_SALVAGE_H
#define VOLUME_SALVAGE_H

#include "log-walk.h"

DEFINE_VECTOR(segno_vector, uint64_t);

struct salvage {
	/* damage that is met is said by the one, what a repair does about it
	 * by the other; each may be NULL */
	line_fn *found;
	line_fn *done;
	void *opaque;
	uint64_t nr_found;
	bool repairs; /* make it sound before the log is replayed */
	bool cut_log; /* give up what lies behind damage in the log */

	bool root_is_lost;
	struct index_vector lost_pages[NR_TABLES]; /* by table */
	uint32_t adopted_id;	     /* the last one given to a map */
	struct index_vector heads;   /* ids of volumes given a record */
	struct index_vector skipped; /* ids the log names and nobody knows */
};

void salvage_done(struct salvage *salvage);

void salvage_found(struct salvage *salvage, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void salvage_say(struct salvage *salvage, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * @nr pages of @table from @first on cannot be read, as @err says.  Returns 0
 * and clears @err, or -ENOMEM.
 */
int salvage_lose_pages(struct salvage *salvage, enum table table,
		       uint32_t first, uint32_t nr, struct error *err);
/*
 * May what failed with @r be taken for lost?  Not when there is no memory; nor
 * by a repair when the medium failed, which may answer another time.
 */
bool salvage_may_lose(const struct salvage *salvage, int r);
/* Has any page of @table been lost? */
bool salvage_has_lost(const struct salvage *salvage, enum table table);

/* Give the volumes of which only snapshots are left a head.  Core held. */
int salvage_heads(struct store *store, struct error *err);
/* A head called lost-@id, of size 0 and without content.  Core held. */
int salvage_new_head(struct store *store, uint32_t id, struct volume **ret,
		     struct error *err);

/*
 * The same for a map that no volume leads to.  The ids that come next belong
 * to what the log makes, which is replayed later: its id is far beyond them.
 */
int salvage_adopting_head(struct store *store, struct volume **ret,
			  struct error *err);
/* The log has been replayed: no id is used again.  Core held. */
void salvage_end_ids(struct store *store);

/*
 * Find the segments that leaves name and no page lists.  Their counts are
 * those found in the maps.  Core not held.
 */
int salvage_segments(struct store *store, struct error *err);

/*
 * Where pages of the frame map are lost, the frames in use are known to be
 * allocated, and no others.  Core held.
 */
void salvage_frames(struct store *store);

/* The log is about a volume that is lost: said once.  Core held. */
void salvage_skip(struct store *store, uint64_t seq, uint32_t volume);

/* ---- recovery.c ---- */

/*
 * Open as store_open(), with a salvage.  @be stays the caller's.  When the
 * root of the newer superblock is lost the older one is tried.
 */
int store_open_salvage(struct backend *be,
		       const struct store_open_options *options,
		       struct salvage *salvage, struct store **ret,
		       struct error *err);

/* ---- repair.c ---- */

/* Make the loaded checkpoint sound; the log is not yet replayed. */
int repair_tables(struct store *store, struct error *err);

#endif
