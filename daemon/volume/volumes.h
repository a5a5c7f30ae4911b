/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The volumes and snapshots of a store, in memory.
 *
 * Every record is one page of the volume table.  volume_touch() comes before
 * any change of a record, its map's root and refer included.
 *
 * Lock: core held for every function, unless said otherwise.
 */
#ifndef VOLUME_VOLUMES_H
#define VOLUME_VOLUMES_H

#include "extent-map.h"
#include "names.h"
#include "page-table.h"
#include "settings.h"
#include "volume-record.h"

struct operation_item;
struct traffic;

/*
 * What a head and its snapshots hold alone, in blocks: what would come free
 * if all of them were deleted.  daemon/volume/quota.c keeps it.
 */
struct charge {
	uint64_t low, high; /* as far as is known, it lies between them */
	/* at most so many more are held with other volumes, and are added as
	 * these give theirs up */
	uint64_t shared;
	uint64_t given_up; /* the store's, when that was counted */
	bool counting;	   /* whoever writes to the head waits */
	bool disturbed;	   /* what is counted has changed meanwhile */
};

/* What would come free without it, as last counted: see excl.h. */
struct excl {
	bool known;
	uint64_t sharing, changes; /* of what moment */
	uint64_t blocks;
};

struct volume {
	uint32_t id;
	enum volume_kind kind;
	uint32_t flags;
	uint32_t parent;
	uint32_t origin;
	uint32_t kept;
	struct extent_map map;
	uint64_t size;
	uint64_t written;
	uint64_t created_ns;
	uint64_t seq;
	char name[NAME_MAX_BYTES + 1]; /* snapshot: the word after '@' */
	char *attrs;
	uint16_t attrs_length;
	struct settings settings; /* what the attributes say */
	struct charge charge;	  /* of a head */
	struct excl excl;
	struct traffic *traffic;	       /* NULL: it was never open */
	uint64_t nr_changes;		       /* writes and trims since open */
	uint32_t index;			       /* page of the volume table */
	bool being_deleted;		       /* while a DELETE is checked */
	const struct operation_item *new_name; /* while a SET_NAME is */
	/* open handles */
	uint32_t nr_readers;
	uint32_t nr_writers;
	uint32_t nr_attached;
	uint64_t idle_since_ms; /* scratch: since when nobody has it open */
	struct volume *name_next;
};

DEFINE_VECTOR(volume_vector, struct volume *);

struct volumes {
	struct core *core;
	struct page_table pages;
	struct volume **by_index;
	uint32_t by_index_cap;
	struct index_vector free_indices;
	struct volume_vector all; /* ascending by id */
	struct volume **by_name;  /* hash of name and parent */
	uint32_t nr_names;	  /* buckets: a power of two */
	uint32_t next_id;
	uint32_t next_epoch;
	struct traffic *gone; /* of volumes that are gone; NULL: nothing */
};

int volumes_init(struct volumes *volumes, struct core *core);
void volumes_done(struct volumes *volumes);

int volumes_load(struct volumes *volumes, uint32_t index, const void *page,
		 size_t length, struct error *err);
/* After the last page: order them, find free pages. */
int volumes_loaded(struct volumes *volumes, uint32_t nr_pages,
		   struct error *err);

/* Every snapshot has its volume.  -EUCLEAN. */
int volumes_check_parents(const struct volumes *volumes, struct error *err);

struct volume *volume_find_id(const struct volumes *volumes, uint32_t id);
/* A head by its whole name, NULL: none. */
struct volume *volume_find_head(const struct volumes *volumes,
				const char *name);
struct volume *volume_find_snapshot(const struct volumes *volumes,
				    uint32_t parent, const char *word);
/*
 * The head (@parent 0) or snapshot of @parent whose name is the @length bytes
 * at @name; NULL: none.
 */
struct volume *volume_find_name(const struct volumes *volumes, uint32_t parent,
				const char *name, size_t length);
/*
 * What @text names: a head, a snapshot or an existing scratch view.
 * -EINVAL, -ENOENT, with a sentence that begins with @text.
 */
int volume_find(const struct volumes *volumes, const char *text,
		struct volume **ret, struct error *err);

/* vol or vol@s. */
void volume_full_name(const struct volumes *volumes, const struct volume *v,
		      char ret[NAME_MAX_BYTES + 1]);
bool volume_is_open(const struct volume *v);
/*
 * -EBUSY when somebody has @v open, with who it is about, "in use by N
 * clients" and @what, which may be "".
 */
int volume_check_unused(const struct volumes *volumes, const struct volume *v,
			const char *what, struct error *err);
uint32_t volume_nr_snapshots(const struct volumes *volumes, uint32_t id);

/* Room for @nr more volumes, so that adding them cannot fail.  -ENOMEM. */
int volumes_prepare(struct volumes *volumes, uint32_t nr);
/* Add @v, whose id is new; takes it over. */
void volume_insert(struct volumes *volumes, struct volume *v);
/* Remove @v and free it. */
void volume_remove(struct volumes *volumes, struct volume *v);
void volume_touch(struct volumes *volumes, struct volume *v);
/* Give @v the name, or the word of a snapshot, of @length bytes at @name. */
void volume_rename(struct volumes *volumes, struct volume *v, const char *name,
		   size_t length);
/* A fresh epoch from the store-wide counter (I4). */
uint32_t volumes_new_epoch(struct volumes *volumes);

/* What a checkpoint stores of @v. */
void volume_to_record(const struct volume *v, struct volume_record *ret);

/*
 * Replace the attributes.  -ENOMEM: nothing has changed.  The volume's page
 * was touched.
 */
int volume_set_attrs(struct volume *v, const char *attrs, uint16_t length);

/* Value of attribute @key, its length in *ret_length; NULL: not set. */
const char *volume_attr(const struct volume *v, const char *key,
			size_t *ret_length);

void volume_free(struct volume *v);

#endif
