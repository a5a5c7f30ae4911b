/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The superblock: two copies, A at byte 0 and B at 64 KiB, written one after
 * the other.  See FORMAT.md, Superblock.
 */
#ifndef FORMAT_SUPERBLOCK_H
#define FORMAT_SUPERBLOCK_H

#include "le.h"
#include "error.h"
#include "units.h"

#define SUPERBLOCK_SIZE 4096u
#define SUPERBLOCK_COPIES 2u
#define SUPERBLOCK_B_OFFSET 65536u
#define SUPERBLOCK_MAGIC "varvesb\n"
#define FORMAT_VERSION 1u
#define CHECKSUM_KIND_XXH3 1u

/* An unknown bit decides as FORMAT.md says. */
#define FEATURE_INCOMPAT_SHORT_LISTS UINT64_C(1) /* of segment infos */
#define FEATURE_INCOMPAT_NEAR_LEAVES UINT64_C(2)
#define FEATURES_INCOMPAT_KNOWN \
	(FEATURE_INCOMPAT_SHORT_LISTS | FEATURE_INCOMPAT_NEAR_LEAVES)
#define FEATURES_RO_COMPAT_KNOWN UINT64_C(0)

struct disk_superblock {
	uint8_t magic[8];
	le32 version;
	uint8_t copy; /* 0: A, 1: B */
	uint8_t block_shift;
	uint8_t segment_shift;
	uint8_t checksum_kind;
	le64 features_incompat;
	le64 features_ro_compat;
	le64 features_compat;
	uint8_t uuid[16];
	le64 open_incarnation;
	le64 checkpoint_id;
	le64 capacity; /* bytes, superblocks included */
	le64 segno_bound;
	/* root reference */
	le64 root_segno;
	le32 root_offset;
	le32 root_length;
	le64 root_checksum;
	le64 root_place;
	/* log position */
	le64 log_segno;
	le32 log_slot;
	le32 zero;
	le64 log_seq;
	le64 log_prev_hash;
	le64 log_incarnation;
	le64 log_place;
	uint8_t reserved[3920];
	le64 checksum; /* of the bytes before it */
};
_Static_assert(sizeof(struct disk_superblock) == SUPERBLOCK_SIZE,
	       "see FORMAT.md, Superblock");

/* Where the root of a checkpoint is. */
struct root_ref {
	uint64_t segno;
	uint32_t offset; /* bytes in the segment */
	uint32_t length; /* bytes */
	uint64_t checksum;
	uint64_t place;
};

/* Where the log goes on after a checkpoint: the cut. */
struct log_position {
	uint64_t segno;
	uint32_t slot;	    /* of the next batch header */
	uint64_t seq;	    /* of the next batch */
	uint64_t prev_hash; /* of the last batch before the cut */
	uint64_t incarnation;
	uint64_t place;
};

struct superblock {
	uint64_t features_incompat;
	uint64_t features_ro_compat;
	uint64_t features_compat;
	uint8_t uuid[16];
	uint64_t open_incarnation;
	uint64_t checkpoint_id;
	uint64_t capacity;    /* bytes */
	uint64_t segno_bound; /* no segment at or above it has been opened */
	unsigned int segment_shift;
	struct root_ref root;
	struct log_position log;
};

void superblock_encode(const struct superblock *sb, unsigned int copy,
		       struct disk_superblock *ret);

/*
 * Returns 0; -EINVAL: no varve superblock (wrong magic); -ENOTSUP: a newer
 * version or an unknown incompatible feature; -EBADMSG: checksum;
 * -EUCLEAN: a field out of range or in the wrong copy.
 */
int superblock_decode(const struct disk_superblock *disk, unsigned int copy,
		      struct superblock *ret, struct error *err);

#endif
