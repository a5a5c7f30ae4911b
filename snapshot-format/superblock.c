/* SPDX-License-Identifier: BSD-2-Clause */
/* The superblock's codec. */
#include "superblock.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "bytes.h"
#include "checkpoint.h"
#include "checksum.h"
#include "segment.h"

static uint64_t superblock_checksum(const struct disk_superblock *disk)
{
	return checksum64(disk, offsetof(struct disk_superblock, checksum));
}

static void encode_root_ref(const struct root_ref *root,
			    struct disk_superblock *ret)
{
	ret->root_segno = le64_make(root->segno);
	ret->root_offset = le32_make(root->offset);
	ret->root_length = le32_make(root->length);
	ret->root_checksum = le64_make(root->checksum);
	ret->root_place = le64_make(root->place);
}

static void encode_log_position(const struct log_position *log,
				struct disk_superblock *ret)
{
	ret->log_segno = le64_make(log->segno);
	ret->log_slot = le32_make(log->slot);
	ret->log_seq = le64_make(log->seq);
	ret->log_prev_hash = le64_make(log->prev_hash);
	ret->log_incarnation = le64_make(log->incarnation);
	ret->log_place = le64_make(log->place);
}

void superblock_encode(const struct superblock *sb, unsigned int copy,
		       struct disk_superblock *ret)
{
	assert(copy < SUPERBLOCK_COPIES);
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->magic, SUPERBLOCK_MAGIC, sizeof(ret->magic));
	ret->version = le32_make(FORMAT_VERSION);
	ret->copy = (uint8_t)copy;
	ret->block_shift = BLOCK_SHIFT;
	ret->segment_shift = (uint8_t)sb->segment_shift;
	ret->checksum_kind = CHECKSUM_KIND_XXH3;
	ret->features_incompat = le64_make(sb->features_incompat);
	ret->features_ro_compat = le64_make(sb->features_ro_compat);
	ret->features_compat = le64_make(sb->features_compat);
	memcpy(ret->uuid, sb->uuid, sizeof(ret->uuid));
	ret->open_incarnation = le64_make(sb->open_incarnation);
	ret->checkpoint_id = le64_make(sb->checkpoint_id);
	ret->capacity = le64_make(sb->capacity);
	ret->segno_bound = le64_make(sb->segno_bound);
	encode_root_ref(&sb->root, ret);
	encode_log_position(&sb->log, ret);
	ret->checksum = le64_make(superblock_checksum(ret));
}

/* Everything that must hold before the other fields mean anything. */
static int check_version(const struct disk_superblock *disk, struct error *err)
{
	uint32_t version = le32_get(disk->version);
	uint64_t unknown =
		le64_get(disk->features_incompat) & ~FEATURES_INCOMPAT_KNOWN;

	if (memcmp(disk->magic, SUPERBLOCK_MAGIC, sizeof(disk->magic)) != 0)
		return error_set(err, EINVAL, "no varve superblock");
	if (le64_get(disk->checksum) != superblock_checksum(disk))
		return error_set(err, EBADMSG, "checksum does not match");
	if (version > FORMAT_VERSION)
		return error_set(err, ENOTSUP,
				 "format version %" PRIu32
				 " is newer than %u, the newest known",
				 version, FORMAT_VERSION);
	if (version == 0)
		return error_set(err, EUCLEAN, "format version 0");
	if (unknown)
		return error_set(err, ENOTSUP,
				 "unknown incompatible features %#" PRIx64,
				 unknown);
	return 0;
}

static int check_geometry(const struct disk_superblock *disk, unsigned int copy,
			  struct error *err)
{
	uint64_t capacity = le64_get(disk->capacity);
	uint32_t segment_bytes, frames_offset;

	if (disk->copy != copy)
		return error_set(err, EUCLEAN, "holds copy %u", disk->copy);
	if (disk->block_shift != BLOCK_SHIFT)
		return error_set(err, EUCLEAN, "block shift %u is not %u",
				 disk->block_shift, BLOCK_SHIFT);
	if (disk->segment_shift < SEGMENT_SHIFT_MIN ||
	    disk->segment_shift > SEGMENT_SHIFT_MAX)
		return error_set(err, EUCLEAN,
				 "segment shift %u is not in %u to %u",
				 disk->segment_shift, SEGMENT_SHIFT_MIN,
				 SEGMENT_SHIFT_MAX);
	if (disk->checksum_kind != CHECKSUM_KIND_XXH3)
		return error_set(err, EUCLEAN, "checksum kind %u is not known",
				 disk->checksum_kind);
	segment_bytes = 1u << disk->segment_shift;
	frames_offset = 2 * SUPERBLOCK_B_OFFSET;
	if (frames_offset < segment_bytes)
		frames_offset = segment_bytes;
	if (capacity >> 63 || capacity < frames_offset + segment_bytes)
		return error_set(err, EUCLEAN, "capacity %" PRIu64, capacity);
	if (le32_get(disk->zero) != 0 ||
	    !bytes_are_zero(disk->reserved, sizeof(disk->reserved)))
		return error_set(err, EUCLEAN, "reserved bytes are not zero");
	return 0;
}

static int check_root_ref(const struct root_ref *root,
			  unsigned int segment_shift, uint64_t segno_bound,
			  struct error *err)
{
	int r;

	r = record_address_check(root->segno, root->offset, root->length,
				 segment_shift, err);
	if (r < 0) {
		(void)error_prefix(err, "root");
		return r;
	}
	if (root->length < ROOT_FIXED_BYTES)
		return error_set(err, EUCLEAN, "root: length %" PRIu32,
				 root->length);
	if (root->segno >= segno_bound)
		return error_set(err, EUCLEAN,
				 "root: segment %" PRIu64
				 " is beyond the bound %" PRIu64,
				 root->segno, segno_bound);
	if (root->place == PLACE_NONE)
		return error_set(err, EUCLEAN, "root: no place");
	return 0;
}

static int check_log_position(const struct log_position *log,
			      const struct superblock *sb, struct error *err)
{
	if (log->segno == 0 || log->segno >= sb->segno_bound)
		return error_set(err, EUCLEAN,
				 "log: segment %" PRIu64
				 " is not in 1 to below the bound %" PRIu64,
				 log->segno, sb->segno_bound);
	if (log->slot == 0 || log->slot >= segment_slots(sb->segment_shift))
		return error_set(err, EUCLEAN, "log: slot %" PRIu32, log->slot);
	if (log->seq == 0 || log->seq >> 63)
		return error_set(err, EUCLEAN, "log: sequence number %" PRIu64,
				 log->seq);
	if (log->place == PLACE_NONE)
		return error_set(err, EUCLEAN, "log: no place");
	if (log->incarnation > sb->open_incarnation)
		return error_set(err, EUCLEAN,
				 "log: incarnation %" PRIu64
				 " is beyond the last one, %" PRIu64,
				 log->incarnation, sb->open_incarnation);
	return 0;
}

static void get_fields(const struct disk_superblock *disk,
		       struct superblock *ret)
{
	ret->features_incompat = le64_get(disk->features_incompat);
	ret->features_ro_compat = le64_get(disk->features_ro_compat);
	ret->features_compat = le64_get(disk->features_compat);
	memcpy(ret->uuid, disk->uuid, sizeof(ret->uuid));
	ret->open_incarnation = le64_get(disk->open_incarnation);
	ret->checkpoint_id = le64_get(disk->checkpoint_id);
	ret->capacity = le64_get(disk->capacity);
	ret->segno_bound = le64_get(disk->segno_bound);
	ret->segment_shift = disk->segment_shift;
	ret->root = (struct root_ref){
		.segno = le64_get(disk->root_segno),
		.offset = le32_get(disk->root_offset),
		.length = le32_get(disk->root_length),
		.checksum = le64_get(disk->root_checksum),
		.place = le64_get(disk->root_place),
	};
	ret->log = (struct log_position){
		.segno = le64_get(disk->log_segno),
		.slot = le32_get(disk->log_slot),
		.seq = le64_get(disk->log_seq),
		.prev_hash = le64_get(disk->log_prev_hash),
		.incarnation = le64_get(disk->log_incarnation),
		.place = le64_get(disk->log_place),
	};
}

static int check_fields(const struct superblock *sb, struct error *err)
{
	int r;

	/* both are counted up: leave room to do so */
	if (sb->open_incarnation >> 63)
		return error_set(err, EUCLEAN, "incarnation %" PRIu64,
				 sb->open_incarnation);
	if (sb->checkpoint_id >> 63)
		return error_set(err, EUCLEAN, "checkpoint id %" PRIu64,
				 sb->checkpoint_id);
	if (sb->segno_bound > SEGNO_MAX)
		return error_set(err, EUCLEAN, "segment bound %" PRIu64,
				 sb->segno_bound);
	r = check_root_ref(&sb->root, sb->segment_shift, sb->segno_bound, err);
	if (r < 0)
		return r;
	return check_log_position(&sb->log, sb, err);
}

int superblock_decode(const struct disk_superblock *disk, unsigned int copy,
		      struct superblock *ret, struct error *err)
{
	struct superblock sb;
	int r;

	assert(copy < SUPERBLOCK_COPIES);
	r = check_version(disk, err);
	if (r == 0)
		r = check_geometry(disk, copy, err);
	if (r == 0) {
		get_fields(disk, &sb);
		r = check_fields(&sb, err);
	}
	if (r < 0) {
		(void)error_prefix(err, "superblock %c", copy ? 'B' : 'A');
		return r;
	}
	*ret = sb;
	return 0;
}
