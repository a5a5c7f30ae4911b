/* SPDX-License-Identifier: BSD-2-Clause */
/* The random run of test-model: what it works on, and its operations. */
#ifndef STRESS_MODEL_RUN_H
#define STRESS_MODEL_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"
#include "model-volume.h"
#include "random.h"

#define NR_VOLUMES 5u
#define VOLUME_BYTES_MAX_TEST (3u << 20)
#define WRITE_MAX (1u << 20)
#define SNAPSHOTS_MAX 6u /* of one volume */
#define CLONES_MAX 6u

extern struct run {
	uint64_t seed, op;
	struct rng rng;
	struct memory_disk *disk;
	struct store *store;
	struct model *model;
	bool tail_shared, verbose;
	char tail_dir[64]; /* "": no tmpfs */
	const char *tail_dirs[2];
	uint64_t next_name;
	uint64_t most_bytes; /* grown so far it grows no more */
	uint64_t nr_moved, nr_full, nr_reopened, nr_grown;
	char what[160];
} t;

/* ---- for operations ---- */

/* Ends the program. */
void fail(const char *sentence);
void must(int r, const struct error *err);
/* What goes on, for the message of a failure. */
void note(const char *verb, const char *operand, uint64_t length,
	  uint64_t offset);

/* NULL: there is none. */
const struct model_volume *any(bool heads, bool snapshots);
struct model_volume *any_head(void);
struct volume_handle *open_volume(const struct model_volume *v);
void any_range(const struct model_volume *v, uint64_t max, uint64_t *length,
	       uint64_t *offset);
void new_name(const char *prefix, char ret[64]);

/*
 * A request for [offset, offset + length) met ENOSPC: what the store holds
 * now is what the model is to hold, provided each block is as it was or as
 * it was to be (@new; NULL: zeros).
 */
void settle(struct model_volume *v, struct volume_handle *handle,
	    const uint8_t *new, uint64_t length, uint64_t offset);
/* Delete it, from both. */
void drop(const struct model_volume *v);
/* Make room: all snapshots and one volume go.  A full store must let them. */
void relieve(void);
/* True when it worked; a full store is made less full. */
bool verb_worked(int r, const struct error *err);

/* ---- operations ---- */

/* model-data.c */
void do_write(void);
void do_zero(void);
void do_trim(void);
void do_read(void);
void do_extents(void);
void do_flush(void);
/* What must be refused. */
void do_mischief(void);

/* model-verbs.c */
void do_create(void);
void do_snapshot(void);
void do_clone(void);
void do_delete_snapshot(void);
void do_delete_volume(void);
void do_rollback(void);
void do_set(void);
void do_rename(void);
void do_resize(void);
void do_undo(void);
/* A delete frees what its dry run said. */
void do_foretell(void);
/* What volumes hold is what is live. */
void do_space(void);

#endif
