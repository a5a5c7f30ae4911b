/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frames of a store: which hold a segment, which are allocated, and the
 * reserve.
 *
 * NOTES ON THE DESIGN.  A frame is unallocated (a hole of the file), ready
 * (allocated, holds nothing) or used.  The log never allocates: it takes
 * ready frames only, and the grower makes frames ready outside of any lock.
 * While no more than the reserve is ready, user writes are not admitted.  Of
 * the reserve metadata operations and trims may take a quarter, deletes one
 * more, so that any number of them leaves a quarter for the checkpoint that
 * makes what they deleted free; admission bounds its size by that, and lets
 * reaper and META cleaner work only as far as that quarter goes.  The last
 * quarter is recovery's alone.  What a checkpoint took is free again when it
 * is cut short by a crash, so that recovery finds half: enough for a log, the
 * tail file and a checkpoint.
 *
 * A frame becomes unallocated again in two steps (retire): a checkpoint says
 * so in both superblocks, then it is punched.  In between nobody takes it.
 *
 * Lock: core held for every function, unless said otherwise.
 */
#ifndef STORE_FRAMES_H
#define STORE_FRAMES_H

#include "page-table.h"

DEFINE_VECTOR(place_vector, uint64_t);

/* Who takes a frame, and so how deep it may go. */
enum frame_user {
	FRAME_USER_WRITE,      /* leaves the reserve whole */
	FRAME_USER_METADATA,   /* leaves three quarters */
	FRAME_USER_CLEANER,    /* leaves half */
	FRAME_USER_DELETE,     /* leaves half */
	FRAME_USER_CHECKPOINT, /* leaves one quarter */
	FRAME_USER_RECOVERY,   /* may take all */
};

struct frames {
	struct core *core;
	struct page_table pages;
	uint64_t nr;
	uint64_t reserve;
	uint8_t *allocated; /* bit per frame, page-sized multiples */
	uint8_t *used; /* bit per frame; also while it is grown or retires */
	struct place_vector ready;    /* allocated and not used, a stack */
	struct place_vector retiring; /* marked unallocated, map not written */
	struct place_vector retired;  /* map is being written by a checkpoint */
	uint64_t nr_used;
	uint64_t nr_allocated;
	uint64_t nr_growing;  /* a grower is at work on them */
	uint64_t nr_doubtful; /* used since before a crash, not in the map */
	uint64_t nr_taken;    /* since the last cut */
	/*
	 * Where the grower looks next.  It begins anew with each cut, so that
	 * after a crash the frames it took since are the first ones that the
	 * map does not know.
	 */
	uint64_t scan;
	bool host_full;	      /* the grower met ENOSPC */
	uint64_t retry_at_ms; /* monotonic: when it tries again */
};

/* Frames held ready beyond the reserve. */
#define FRAMES_SPARE_MAX 8u
/*
 * So many frames, and for so long, are tried after a crash.  Those that the
 * grower had taken since the cut are the first of them; more than these it
 * takes seldom, and takes them again some time.
 */
#define FRAMES_FORGOTTEN_MAX 1024u
#define FRAMES_FORGOTTEN_MS 100u
/* Shorter than a write waits for space: it may come while one waits. */
#define FRAMES_RETRY_MS 1000u

/* The reserve of a store of @nr_frames. */
uint64_t frames_reserve(uint64_t nr_frames);

/*
 * The largest capacity of a store, bytes: with so many frames that the
 * directories of a page for each fill half of a checkpoint's root.
 */
uint64_t frames_capacity_max(unsigned int segment_shift);

int frames_init(struct frames *frames, struct core *core, uint64_t nr_frames);
void frames_done(struct frames *frames);

/* Load one page of the frame map (open). */
int frames_load(struct frames *frames, uint32_t index, const void *page,
		size_t length, struct error *err);
/* A segment lives in @place (open, recovery).  -EUCLEAN: two do. */
int frames_mark_used(struct frames *frames, uint64_t place, struct error *err);
bool frames_is_used(const struct frames *frames, uint64_t place);
bool frames_is_allocated(const struct frames *frames, uint64_t place);
/*
 * Page @index of the map is lost: what is used is allocated, the rest is not
 * known to be.
 */
void frames_believe_used(struct frames *frames, uint32_t index);
/* After loading: collect what is allocated and not used.  -ENOMEM. */
int frames_loaded(struct frames *frames);

/* Will there be @nr frames for @user, those included that can be grown? */
bool frames_suffice(const struct frames *frames, enum frame_user user,
		    uint64_t nr);
/* May @user take @nr frames now? */
bool frames_available(const struct frames *frames, enum frame_user user,
		      uint32_t nr);
/* Take a ready frame, which becomes used.  PLACE_NONE: none for @user. */
uint64_t frames_take(struct frames *frames, enum frame_user user);
/* The segment in @place is gone. */
void frames_release(struct frames *frames, uint64_t place);

/* Frames user writes may still take, those to be grown included. */
uint64_t frames_free(const struct frames *frames);

/* Should the grower make a frame ready? */
bool frames_want_growth(const struct frames *frames);
/*
 * Make one frame ready, filled with zeros when @zero_fill.  -ENOSPC: the host
 * is full, or all frames are allocated.  Lock: core not held.
 */
int frames_grow(struct frames *frames, bool zero_fill, struct error *err);
/*
 * Wait for those that others make ready.  Is there one for @user then?
 * Lock: core not held.
 */
bool frames_wait_grown(struct frames *frames, enum frame_user user);

/*
 * There will be @nr frames, no fewer than now: the next checkpoint says so,
 * and that those which the larger reserve takes are allocated.  They are the
 * first ones beyond the old end.  Nobody takes any of them before
 * frames_extended(): until both superblocks have the new capacity, a crash
 * may leave a store that has no such frame.  -ENOMEM: nothing has changed.
 */
int frames_extend(struct frames *frames, uint64_t nr);
void frames_extended(struct frames *frames, uint64_t nr);

/*
 * Would more frames be ready than an idle store keeps, when @nr_coming more
 * are?  Somewhat more: what a checkpoint takes must not make the next one.
 */
bool frames_have_spare(const struct frames *frames, uint64_t nr_coming);
/*
 * Choose spare frames to give back; called right before a cut.  Unless the
 * store is idle, those stay that a little work would take, and as many as
 * were taken since the last cut, so that a busy store uses its frames again
 * instead of punching and allocating them.  @nr_wanted stay for the checkpoint.
 */
void frames_retire_spare(struct frames *frames, bool idle, uint64_t nr_wanted);
/* The cut: what retires now is in the map being written. */
void frames_cut(struct frames *frames);
/* The checkpoint is durable: punch what retired.  Lock: core not held. */
void frames_punch_retired(struct frames *frames);
/*
 * After a crash: give the host what the grower had made ready since the map
 * was written, and the map does not know.  Nobody else uses the frames yet.
 * Lock: core not held.
 */
void frames_punch_forgotten(struct frames *frames);

#endif
