/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The oracle: volumes and snapshots as plain arrays of bytes.
 *
 * Blocks are shared between copies until one is written, so that a snapshot,
 * or a copy of the whole model for every step of a workload, is cheap.  Not
 * thread-safe.  Aborts without memory and on misuse: a test that asks the
 * model for what does not exist is wrong.
 */
#ifndef LIB_MODEL_VOLUME_H
#define LIB_MODEL_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "names.h"

struct store;
struct volume_handle;
struct model_block;

struct model_volume {
	char name[NAME_MAX_BYTES + 1]; /* vol or vol@s */
	bool snapshot;
	char kept[NAME_MAX_BYTES + 1]; /* head: old head of its last rollback */
	uint64_t size;		       /* bytes */
	uint64_t quota;		       /* bytes, 0: none */
	bool pause;		       /* on-full=pause */
	/* blocks written since the snapshot before; not known after a request
	 * that failed half done */
	uint64_t written;
	bool written_is_unknown;
	uint64_t nr_blocks;
	struct model_block **blocks; /* NULL: zeros */
};

struct model {
	struct model_volume **volumes;
	size_t nr, cap;
	uint64_t capacity; /* of the store; 0: it is not looked at */
	uint64_t hash;	   /* of all that and of the content; up to date */
};

struct model *model_create(void);
struct model *model_copy(const struct model *model);
void model_free(struct model *model);

/* NULL when there is none of that name. */
struct model_volume *model_find(const struct model *model, const char *name);
/* The volume itself for a snapshot's name vol@s, or NULL. */
struct model_volume *model_find_head(const struct model *model,
				     const char *name);
unsigned int model_nr_snapshots(const struct model *model, const char *volume);
/* What undo of @volume would swap it with, or NULL. */
struct model_volume *model_find_kept(const struct model *model,
				     const char *volume);

void model_create_volume(struct model *model, const char *name, uint64_t size);
void model_snapshot(struct model *model, const char *name);
void model_clone(struct model *model, const char *snapshot, const char *name);
/* A volume goes with its snapshots. */
void model_delete(struct model *model, const char *name);
/* The head is kept as the snapshot @kept. */
void model_rollback(struct model *model, const char *snapshot,
		    const char *kept);
void model_undo(struct model *model, const char *volume);
/* A volume's snapshots get other names with it. */
void model_rename(struct model *model, const char *from, const char *to);
/* What lies beyond the new end, whole blocks, is zeros from then on. */
void model_resize(struct model *model, const char *volume, uint64_t size);
/* Settings of a volume; a copy of it has none. */
void model_set(struct model *model, const char *volume, uint64_t quota,
	       bool pause);

/* The store's. */
void model_set_capacity(struct model *model, uint64_t capacity);

void model_write(struct model *model, struct model_volume *volume,
		 const void *data, uint64_t length, uint64_t offset);
/* Every byte of the range becomes zero. */
void model_zero(struct model *model, struct model_volume *volume,
		uint64_t length, uint64_t offset);
/* The bytes are these now, whoever wrote what. */
void model_settle(struct model *model, struct model_volume *volume,
		  const void *data, uint64_t length, uint64_t offset);
void model_read(const struct model_volume *volume, void *ret, uint64_t length,
		uint64_t offset);
bool model_is_zero(const struct model_volume *volume, uint64_t length,
		   uint64_t offset);

/* Of blocks that are not all zeros: what the volume refers to. */
uint64_t model_nr_data(const struct model_volume *volume);

/*
 * Compare with the engine: names, sizes, settings, the capacity and every
 * byte; extents: a hole must be zeros in the model.  On a difference false, and
 * a sentence in @err.
 */
bool model_volume_equals(const struct model_volume *volume,
			 struct volume_handle *handle, struct error *err);
bool model_volume_check_extents(const struct model_volume *volume,
				struct volume_handle *handle, uint64_t length,
				uint64_t offset, struct error *err);
bool model_equals_store(const struct model *model, struct store *store,
			struct error *err);

/* *ret: what model.hash of a model equal to @store would be. */
int model_hash_store(struct store *store, uint64_t *ret, struct error *err);

#endif
