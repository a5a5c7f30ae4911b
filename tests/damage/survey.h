/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every byte of a store is: the structures of an image, by kind, and
 * what the read of each block of interest depends on.
 *
 * Made by the engine's own tables of an undamaged image.
 */
#ifndef DAMAGE_SURVEY_H
#define DAMAGE_SURVEY_H

#include "content.h"
#include "log-walk.h"
#include "medium.h"
#include "vector.h"

enum kind {
	KIND_SUPERBLOCK,
	KIND_ROOT,
	KIND_DIRECTORY,
	KIND_NODE_PAGE, /* in the order of enum table */
	KIND_SEGMENT_PAGE,
	KIND_VOLUME_PAGE,
	KIND_FRAME_PAGE,
	KIND_REAPER_PAGE,
	KIND_INNER,
	KIND_LEAF,
	KIND_DATA,	   /* a live block from before the cut */
	KIND_TAIL_SEGMENT, /* headers and payload of the log to replay */
	KIND_TAIL_BATCH,
	KIND_TAIL_DATA,
	KIND_TAIL_OPERATION,
	KIND_OTHER_SEGMENT, /* headers that nothing needs any more */
	KIND_OTHER_BATCH,
	KIND_UNUSED, /* free frames, ends of segments, dead blocks */
	NR_KINDS,
};

extern const char *const kind_names[NR_KINDS];

struct structure {
	enum kind kind;
	uint64_t key; /* what it is the newest version of */
	uint64_t place;
	uint32_t offset, length;
};

DEFINE_VECTOR(structures, struct structure);

/* What reading one block of interest takes, checkpoint and log aside. */
struct reading {
	struct structure on[INNER_LEVELS + 2];
	unsigned int nr;
};

struct survey {
	struct structures all;
	struct superblock sb;
	struct log_tail tail;
	/* by place in the final state */
	struct reading readings[CONTENTS_MAX][NR_BLOCKS];
};

/* The structures of the checkpoint alone, superblocks included. */
void survey_checkpoint(struct survey *survey, struct medium *medium);
/* All of them; @state is what the store holds. */
void survey_all(struct survey *survey, struct medium *medium,
		const struct state *state);
void survey_done(struct survey *survey);

#endif
