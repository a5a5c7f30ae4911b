/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A store made to be damaged: its image, what it holds after each batch of
 * its log, all its earlier images, and every version of its metadata.
 */
#ifndef DAMAGE_SPECIMEN_H
#define DAMAGE_SPECIMEN_H

#include "random.h"
#include "survey.h"

enum specimen_kind {
	SPECIMEN_CLEAN,	   /* stopped cleanly */
	SPECIMEN_CRASHED,  /* a log to replay, its last batches not flushed */
	SPECIMEN_IDLE,	   /* a log to replay, flushed, and idle since */
	SPECIMEN_LARGE,	   /* crashed, with larger segments and run leaves */
	SPECIMEN_BETWEEN,  /* died between the superblocks of a checkpoint */
	SPECIMEN_CLEANED,  /* as idle; the cleaner has moved blocks */
	SPECIMEN_REPAIRED, /* as idle; a leaf was lost, with blocks of several
			    */
	NR_SPECIMENS,
};

extern const char *const specimen_names[NR_SPECIMENS];

/* A structure as it was once. */
struct version {
	enum kind kind;
	uint64_t key;
	uint32_t length;
	uint8_t *bytes;
};

DEFINE_VECTOR(versions, struct version);
DEFINE_VECTOR(states, struct state *);
DEFINE_VECTOR(disks, struct memory_disk *);

struct specimen {
	enum specimen_kind kind;
	unsigned int segment_shift;
	struct memory_disk *disk;
	struct medium medium; /* of disk */
	struct states states; /* rising seqs; the last is what it holds */
	struct disks past;    /* earlier images, oldest first */
	struct versions versions;
	struct survey survey;
	/* BETWEEN: as long as superblock A is not there */
	struct survey older;
};

void specimen_make(struct specimen *ret, enum specimen_kind kind,
		   uint64_t seed);
void specimen_done(struct specimen *specimen);

/* What it holds when its log ends with batch @seq. */
const struct state *specimen_state(const struct specimen *specimen,
				   uint64_t seq);

#endif
