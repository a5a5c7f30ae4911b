/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A scrub, as the files that do it see it; see scrub.c.  Others know
 * store_scrub() of engine.h.
 */
#ifndef VOLUME_SCRUB_H
#define VOLUME_SCRUB_H

#include "damage.h"

/* A data block to be verified, and where it lies. */
struct scrub_block {
	uint64_t segno;
	uint64_t place;
	uint32_t slot;
	uint32_t checksum;
	struct birth name;
};

DEFINE_VECTOR(scrub_block_vector, struct scrub_block);
DEFINE_VECTOR(text_vector, char *);

/* Bytes read at once. */
#define SCRUB_READ_BYTES (1u << 20)
/* Metadata records are small: read ahead so much. */
#define SCRUB_WINDOW_BYTES (256u << 10)

struct scrub {
	struct store *store;
	struct mutex lock; /* rank LOCK_SCRUB: one slice at a time */

	/* guarded by lock */
	bool active;	/* what was found belongs to a scrub */
	uint32_t stage; /* where it is, as in struct scrub_record */
	uint32_t position;
	uint32_t batch_stage, batch_position; /* all before it is verified */
	bool has_found; /* then this is what it was when that was found */
	uint32_t found_stage, found_position;
	uint64_t bytes; /* verified by this process */
	uint64_t errors;
	struct damage damage;
	struct text_vector findings;	  /* of what is in no map */
	struct scrub_block_vector blocks; /* collected */
	size_t nr_verified;    /* of them; they are sorted once this is not 0 */
	uint8_t *data;	       /* SCRUB_READ_BYTES */
	uint8_t *window;       /* SCRUB_WINDOW_BYTES */
	uint64_t window_segno; /* 0: it holds nothing */
	uint32_t window_offset, window_length;
};

/* For store_new() and store_free(); accepts NULL. */
int scrub_new(struct store *store, struct scrub **ret, struct error *err);
void scrub_free(struct scrub *scrub);

/* ---- scrub.c: what was found.  Core not held. ---- */

/* Something is wrong that is told by this sentence. */
void scrub_found(struct scrub *scrub, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* A map node, or a block, cannot be read, for the reason in @err. */
void scrub_found_node(struct scrub *scrub, uint32_t id,
		      const struct error *err);
void scrub_found_block(struct scrub *scrub, struct birth name,
		       const struct error *err);
/* May metadata that memory still knows be written anew? */
bool scrub_can_mend(const struct scrub *scrub);

/*
 * Read a record of the pinned META segment @segment from the medium; @again:
 * this record only, which was wrong.
 */
int scrub_read_record(struct scrub *scrub, const struct segment *segment,
		      uint32_t offset, uint32_t length, bool again, void *ret,
		      struct error *err);

/* ---- scrub-metadata.c ---- */

/* Verify both superblocks and the checkpoint's root.  -ENOMEM. */
int scrub_roots(struct scrub *scrub);
/* Verify page @index of a table, and the directory that begins with it. */
int scrub_page(struct scrub *scrub, enum table table, uint32_t index);

/* ---- scrub-blocks.c ---- */

/*
 * Verify node @id; a leaf's blocks that this scrub has not seen are added to
 * scrub->blocks.  @only_new: nothing is done if it was written before the
 * scrub began.  -ENOMEM: call it again.
 */
int scrub_node(struct scrub *scrub, uint32_t id, bool only_new);
/* Bring scrub->blocks into the order in which they are read. */
void scrub_sort_blocks(struct scrub *scrub);
/* Verify some of them, about a read's worth. */
void scrub_verify_blocks(struct scrub *scrub);
/* No block was seen yet. */
void scrub_forget_blocks(struct scrub *scrub);

#endif
