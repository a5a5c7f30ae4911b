/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a store: which superblock is believed, and that it fits. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "salvage.h"

int superblock_choose(struct backend *be, struct superblock *ret,
		      unsigned int *ret_first, struct error *err)
{
	struct superblock sb[SUPERBLOCK_COPIES];
	struct error errors[SUPERBLOCK_COPIES] = {ERROR_NONE, ERROR_NONE};
	int r[SUPERBLOCK_COPIES];
	unsigned int newer;

	for (unsigned int i = 0; i < SUPERBLOCK_COPIES; i++) {
		struct disk_superblock disk;

		r[i] = backend_super_read(be, i, &disk, &errors[i]);
		if (r[i] == 0)
			r[i] = superblock_decode(&disk, i, &sb[i], &errors[i]);
		/* an unknown format is never overruled by the other copy */
		if (r[i] == -ENOTSUP) {
			if (err)
				*err = errors[i];
			return r[i];
		}
	}
	if (r[0] < 0 && r[1] < 0) {
		unsigned int told = r[0] == -EINVAL && r[1] != -EINVAL;

		if (err)
			*err = errors[told];
		return r[told];
	}
	/* an init that was cut short on an old store's device */
	if (r[0] == 0 && r[1] == 0 &&
	    memcmp(sb[0].uuid, sb[1].uuid, sizeof(sb[0].uuid)) != 0)
		return error_set(err, EUCLEAN,
				 "the superblock copies are of two stores: "
				 "init was cut short, run it again");
	newer = r[0] < 0 ||
		(r[1] == 0 &&
		 (sb[1].checkpoint_id > sb[0].checkpoint_id ||
		  (sb[1].checkpoint_id == sb[0].checkpoint_id &&
		   sb[1].open_incarnation > sb[0].open_incarnation)));
	*ret = sb[newer];
	*ret_first = 1 - newer;
	return 0;
}

/*
 * What places and offsets mean.  A check opens the image of a store beside
 * it, on the same back end, which other threads read: then it is set already.
 */
static void set_geometry(struct backend *be, const struct superblock *sb)
{
	uint64_t nr_frames = backend_nr_frames(sb->capacity, sb->segment_shift);

	if (be->segment_shift == sb->segment_shift &&
	    be->nr_frames == nr_frames)
		return;
	be->segment_shift = sb->segment_shift;
	be->nr_frames = nr_frames;
}

/* A cut-off copy must not be worked on, nor tables made for what it lacks. */
static int check_size(struct backend *be, const struct superblock *sb,
		      struct error *err)
{
	uint64_t nr = backend_nr_frames(sb->capacity, sb->segment_shift);
	uint64_t end = backend_frame_offset(nr, sb->segment_shift);
	struct backend_stat stat;

	backend_stat(be, &stat);
	if (stat.size_bytes >= end)
		return 0;
	return error_set(err, EUCLEAN,
			 "the store is %" PRIu64
			 " bytes long, but only %" PRIu64
			 " are there: it was cut off",
			 end, stat.size_bytes);
}

/* Open the store as superblock @sb has it; @first is written first. */
static int open_as(struct backend *be, const struct superblock *sb,
		   unsigned int first, const struct store_open_options *options,
		   struct salvage *salvage, struct store **ret,
		   struct error *err)
{
	int r;

	if (!options->read_only &&
	    (sb->features_ro_compat & ~FEATURES_RO_COMPAT_KNOWN))
		return error_set(err, ENOTSUP,
				 "made by a newer version: can be opened "
				 "read-only only");
	r = check_size(be, sb, err);
	if (r < 0)
		return r;
	set_geometry(be, sb);
	return recovery_open(be, sb, first, options, salvage, ret, err);
}

/* A copy that a crash tore, or that was damaged: the other one is as good. */
static void tell_of_other_copy(struct backend *be,
			       const struct store_open_options *options,
			       unsigned int copy)
{
	struct error failure = ERROR_NONE;
	struct disk_superblock disk;
	struct superblock sb;
	char text[500];

	if (!options->message ||
	    (backend_super_read(be, copy, &disk, &failure) == 0 &&
	     superblock_decode(&disk, copy, &sb, &failure) == 0))
		return;
	(void)snprintf(text, sizeof(text), "%s, using the other copy%s",
		       failure.message,
		       options->read_only ? "" : " and writing it anew");
	options->message(options->message_opaque, MESSAGE_WARNING, EVENT_DAMAGE,
			 text);
}

int store_open(struct backend *be, const struct store_open_options *options,
	       struct store **ret, struct error *err)
{
	struct superblock sb;
	unsigned int first;
	int r;

	r = superblock_choose(be, &sb, &first, err);
	if (r < 0)
		return r;
	tell_of_other_copy(be, options, first);
	return open_as(be, &sb, first, options, NULL, ret, err);
}

int store_open_salvage(struct backend *be,
		       const struct store_open_options *options,
		       struct salvage *salvage, struct store **ret,
		       struct error *err)
{
	struct superblock sb, older;
	struct disk_superblock disk;
	unsigned int first;
	int r;

	r = superblock_choose(be, &sb, &first, err);
	if (r < 0)
		return r;
	r = open_as(be, &sb, first, options, salvage, ret, err);
	if (r == 0 || !salvage->root_is_lost)
		return r;
	/* between the two superblocks of a checkpoint both are whole (I7) */
	if (backend_super_read(be, first, &disk, NULL) < 0 ||
	    superblock_decode(&disk, first, &older, NULL) < 0 ||
	    older.checkpoint_id == sb.checkpoint_id)
		return r;
	salvage_found(salvage, "%s", err->message);
	salvage_say(salvage,
		    "checkpoint %" PRIu64 " is taken for checkpoint %" PRIu64
		    ": the log goes on from there",
		    older.checkpoint_id, sb.checkpoint_id);
	salvage->root_is_lost = false;
	if (older.segno_bound < sb.segno_bound)
		older.segno_bound = sb.segno_bound;
	if (older.open_incarnation < sb.open_incarnation)
		older.open_incarnation = sb.open_incarnation;
	return open_as(be, &older, 1 - first, options, salvage, ret, err);
}
