/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine's public face: a store of volumes on a back end.
 *
 * Typical use:
 *  a) store_open(), store_start() (workers; after any fork),
 *     volume_open(), volume_write() ... volume_close(), store_close();
 *  b) offline verb: store_open(), store_snapshot(), store_close();
 *  c) read verb: store_open() with read_only, store_list(), store_close().
 *
 * Every function may be called from any thread and may block, except where
 * said.  Offsets, lengths and sizes are bytes.  Errors are negative errnos
 * with a sentence in @err: -EIO (also: the store is fail-stopped), -ENOSPC,
 * -ENOENT, -EEXIST, -EBUSY, -EROFS, -EINVAL, -ENOMEM, -EBADMSG and -EUCLEAN
 * (damage).
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "names.h"

struct backend;
struct store;
struct volume_handle;

/*
 * What a message is about, for those who act on it; the text says it in
 * words, with key=value pairs at its end.
 */
enum store_event {
	EVENT_RECOVERY,	 /* the log was replayed */
	EVENT_DAMAGE,	 /* something does not match its checksum */
	EVENT_FAILED,	 /* fail-stop: reads only until the store is reopened */
	EVENT_SPACE,	 /* a threshold of space was crossed */
	EVENT_HOST_FULL, /* the host has no room for another frame */
	EVENT_SCRUB,	 /* a scrub began or ended */
	EVENT_STALLED,	 /* the medium does not answer, or does again */
};

enum message_level {
	MESSAGE_ERROR,
	MESSAGE_WARNING,
	MESSAGE_INFO,
	MESSAGE_DEBUG,
};

struct store_open_options {
	bool read_only;	    /* replay in memory, write nothing */
	bool at_checkpoint; /* read_only: do not replay the log (check) */
	/* tmpfs directories for the tail file, NULL-terminated; the first is
	 * preferred; NULL: private memory */
	const char *const *tail_dirs;
	uint32_t nr_buffers; /* of the log; 0: 32 */
	/* for leaves of maps and buffers of the log; 0: 256 MiB */
	uint64_t memory_bytes;
	/* the most that tables, which stay in memory, may take; 0: a quarter
	 * of the machine's memory */
	uint64_t tables_bytes;
	/* store_start() follows: when no log is to be replayed the node table
	 * is loaded behind, by a thread, or page by page as it is needed */
	bool load_behind;
	/* checkpoint after so many bytes of log; 0: 1 GiB */
	uint64_t checkpoint_log_bytes;
	/* called from any thread, never with a lock held; may be NULL */
	void (*message)(void *opaque, enum message_level level,
			enum store_event event, const char *text);
	void *message_opaque;
};

struct store_init_options {
	uint64_t capacity;	    /* bytes, superblocks included */
	unsigned int segment_shift; /* 0: as the capacity wants it */
	uint8_t uuid[16];	    /* all zero: random */
};

/* Smallest store: 32 frames. */
#define STORE_FRAMES_MIN 32u
/* Bytes of the smallest and the largest one that init makes by itself. */
uint64_t store_capacity_min(void);
uint64_t store_capacity_max(void);

/*
 * Write an empty store: allocate the reserve, write the first checkpoint and
 * both superblocks.  -EINVAL: capacity too small or too large; -ENOSPC: the
 * host has no room for the reserve.
 */
int store_init(struct backend *be, const struct store_init_options *options,
	       struct error *err);

/*
 * Open and, unless read_only, recover.  Takes @be over on success.
 * -EINVAL: no varve store; -ENOTSUP: newer format; -EBADMSG, -EUCLEAN: damage
 * that recovery must not cut; -ENOMEM: also when its tables would take more
 * memory than they may.  Starts no thread.
 */
int store_open(struct backend *be, const struct store_open_options *options,
	       struct store **ret, struct error *err);

/*
 * Start the workers: log writer, checkpoint, reaper, grower; and the loader
 * where the open left it something.  What that cannot load makes the store
 * fail-stop.
 */
int store_start(struct store *store, struct error *err);

/*
 * Stop the workers; when @clean flush, checkpoint and remove the tail file.
 * Frees @store in any case.  Open handles must be closed, but for the stop of
 * a server, which ends with _exit().
 */
int store_close(struct store *store, bool clean, struct error *err);

/*
 * The server's stop: no new request is admitted (they block), everything is
 * flushed and checkpointed, the tail file removed.  The caller then _exits.
 */
int store_stop(struct store *store, struct error *err);

/* Durable when it returns 0: everything acknowledged before the call. */
int store_flush(struct store *store, struct error *err);
int store_checkpoint(struct store *store, struct error *err);
/* Let the reaper work until nothing is left to free. */
int store_reap(struct store *store, struct error *err);

/* How far a store is with giving back the space of what was deleted. */
struct reclaim {
	/*
	 * 0 at the beginning.  Then the checkpoint with which it is free: all
	 * map nodes were freed before.
	 */
	uint64_t checkpoint_id;
	uint64_t nodes; /* that are known to wait for being freed */
	uint64_t bytes; /* of segments in which nothing is live any more */
	bool done;
};

/*
 * A slice, of waiting when there are workers and else of work, of making all
 * free that was deleted before the first call; the caller calls again, with
 * the same @reclaim, until it is done.  -EUCLEAN: a map node cannot be read,
 * so that what lies below it stays; -ENOSPC: no frame is left that freeing
 * takes; -EINVAL: no such checkpoint is due; -EIO: fail-stop.
 */
int store_reclaim(struct store *store, struct reclaim *reclaim,
		  struct error *err);
/*
 * Let the cleaner work until no segment is worth it, then checkpoint.
 * -ENOSPC: it needs a frame, and there is none before a checkpoint.
 */
int store_clean(struct store *store, struct error *err);

struct store_stat {
	uint8_t uuid[16];
	uint64_t capacity; /* bytes */
	uint64_t segment_bytes;
	uint64_t checkpoint_id;
	uint64_t open_incarnation;
	bool read_only;
	bool failed;	      /* fail-stop */
	bool tail_shared;     /* kill -9 loses nothing acknowledged */
	bool direct;	      /* log written by O_DIRECT */
	uint64_t live_blocks; /* data blocks with a name in use */
	uint64_t frames_total;
	uint64_t frames_used;	   /* hold a segment */
	uint64_t frames_allocated; /* used or ready for use */
	uint64_t frames_reserve;
	unsigned int used_percent; /* of what writes may fill */
	uint64_t meta_bytes_live;
	uint64_t metadata_bytes; /* written by checkpoints, since open */
	/* memory for tables that stay resident, and the limit */
	uint64_t tables_bytes, tables_max_bytes;
	uint64_t table_nodes_bytes;    /* of them: the node table */
	uint64_t table_counts_bytes;   /* segments and counts */
	uint64_t table_forwards_bytes; /* places of moved blocks */
	uint64_t table_inner_bytes;    /* inner nodes of maps */
	uint64_t table_volumes_bytes;
	uint64_t nodes_bytes; /* memory for leaves of maps */
	uint64_t nr_nodes;
	uint64_t dirty_nodes;
	uint64_t reaper_queue;		 /* nodes waiting to be freed */
	uint64_t dead_segments;		 /* free with a checkpoint */
	uint32_t nr_volumes;		 /* heads, hidden ones not counted */
	uint32_t nr_snapshots;		 /* hidden ones not counted */
	uint64_t forwarded_blocks;	 /* whose name is not their place */
	uint32_t nr_name_segments;	 /* without a frame: names only */
	uint32_t nr_live_segments;	 /* that hold live blocks */
	uint32_t nr_named_segments;	 /* with names in use, frame or not */
	uint64_t copied_blocks;		 /* by the cleaner, since open */
	uint64_t moved_blocks;		 /* of them, still live then */
	uint64_t renamed_blocks;	 /* since open */
	uint64_t nr_victims;		 /* segments chosen, since open */
	uint64_t nodes_touched;		 /* by moving blocks, since open: 0 */
	uint64_t log_bytes;		 /* since the last checkpoint */
	uint64_t checksum_errors;	 /* since open */
	uint64_t scrub_began_ns;	 /* of the one under way; 0: none */
	unsigned int scrub_percent;	 /* of it */
	uint64_t scrub_ended_ns;	 /* of the last complete one; 0: none */
	uint64_t scrub_errors;		 /* that it found */
	uint64_t recovered_batches;	 /* replayed by this open */
	uint64_t recovered_tail_batches; /* of those, from the tail file */
};

/* Never blocks on I/O. */
void store_stat(struct store *store, struct store_stat *ret);

/* ---- volumes and snapshots ---- */

struct volume_info {
	uint32_t id;
	char name[NAME_MAX_BYTES + 1];	 /* vol or vol@s */
	char origin[NAME_MAX_BYTES + 1]; /* clone: of what; "" */
	bool snapshot;
	bool hidden;
	bool scratch;
	bool old_head; /* kept by a rollback */
	uint64_t size;
	uint64_t refer_blocks;
	/* since the snapshot before, or since it was created; what was
	 * written twice counts twice */
	uint64_t written_blocks;
	uint64_t created_ns;
	uint32_t nr_snapshots; /* of a head */
	uint32_t nr_readers;   /* open handles */
	uint32_t nr_writers;   /* open handles that count as writers */
	uint32_t nr_attached;  /* open `:attached` handles */
	char message[512];     /* snapshot -m TEXT, plain (text.h) */
	/* what is set of a head */
	uint64_t quota_bytes;	    /* 0: none */
	uint64_t reservation_bytes; /* 0: none */
	bool pause_on_full;	    /* on-full=pause */
	/* store_excl(): what would come free if this alone were deleted */
	uint64_t excl_blocks;
};

/* That many: a map node cannot be read, so that nobody can tell. */
#define BLOCKS_UNKNOWN UINT64_MAX

/*
 * All volumes and snapshots, hidden ones too, ordered by volume name, a
 * volume before its snapshots, those by creation.  *ret is malloc'ed.
 */
int store_list(struct store *store, struct volume_info **ret, size_t *ret_nr,
	       struct error *err);
/*
 * Fill in excl_blocks of the @nr @infos: a walk of the map nodes that each has
 * alone, unless the answer is known from before.  Waits up to 10 s for
 * what was deleted to be freed.
 */
int store_excl(struct store *store, struct volume_info *infos, size_t nr,
	       struct error *err);
/* What would come free. */
struct space_freed {
	uint64_t blocks; /* of data, or BLOCKS_UNKNOWN */
	/* false: while it was counted, others went on dropping blocks that may
	 * be shared with it, so that it is about that; or it is unknown */
	bool exact;
};

/*
 * The space of a volume with its snapshots, or of a snapshot by itself.  What
 * would come free may be BLOCKS_UNKNOWN.
 */
struct volume_space {
	char name[NAME_MAX_BYTES + 1];
	bool snapshot; /* by itself: head and snapshots_blocks mean nothing */
	uint64_t refer_blocks;	   /* what the head, or the snapshot, maps */
	uint64_t head_blocks;	   /* come free without the head */
	uint64_t snapshots_blocks; /* come free without its snapshots */
	/* come free without all of it: the two, and what is held by both */
	uint64_t excl_blocks;
};

/*
 * Where the space is: of the volumes @names (none: of all, hidden ones too),
 * and of snapshots among them whose volume is not.  *ret is malloc'ed and in
 * the order of store_list().  *ret_all is what would come free if all of
 * that were deleted; it is more than the sum by what several of them share.
 * Walks and waits as store_excl().  -ENOENT, -EINVAL.
 */
int store_space(struct store *store, const char *const *names, size_t nr_names,
		struct volume_space **ret, size_t *ret_nr,
		struct space_freed *ret_all, struct error *err);

/* One of them, by its name.  -ENOENT, -EINVAL. */
int store_find(struct store *store, const char *name, struct volume_info *ret,
	       struct error *err);

/*
 * The verbs.  Each is one log record and durable when it returns 0; nothing
 * is done by halves.  Messages begin with the operand they are about.
 *
 * create: -EEXIST; -EINVAL: name, or size 0, not a multiple of 512, over
 *   32 TiB.
 * snapshot: @names are vol@s, all taken in one instant; @text may be NULL,
 *   else it is plain (text.h): -EINVAL.
 * clone: one snapshot to @nr new volumes.
 * delete: volumes or snapshots.  -EBUSY: open or attached, or a volume that
 *   has snapshots without @recursive.
 * rollback: @names are vol@s; each head becomes the snapshot's content, the
 *   old head is kept as vol@before-rollback-<time>; its name is written to
 *   ret_kept[i] (NAME_MAX_BYTES + 1 each).  -EBUSY: a writer is connected.
 *   rollback_keeping: as vol@keep.  -EEXIST.
 * undo: @names are volumes; swaps each with the head its last rollback kept.
 *   -ENOENT: none.
 * rename: from[i] becomes to[i], a volume or a snapshot of the same volume.
 *   -EBUSY: it is open or attached, or a snapshot or view of it; -EEXIST.
 * resize: *ret_was is the size before.  -EINVAL: it would shrink, and not
 *   @shrink, or not to whole blocks; -EBUSY: it would, and is open.
 */
int store_create(struct store *store, const char *name, uint64_t size,
		 struct error *err);
int store_snapshot(struct store *store, const char *const *names, size_t nr,
		   const char *text, struct error *err);
int store_clone(struct store *store, const char *snapshot,
		const char *const *names, size_t nr, struct error *err);
int store_delete(struct store *store, const char *const *names, size_t nr,
		 bool recursive, struct error *err);
int store_rollback(struct store *store, const char *const *names, size_t nr,
		   char (*ret_kept)[NAME_MAX_BYTES + 1], struct error *err);
int store_rollback_keeping(struct store *store, const char *const *names,
			   size_t nr, const char *keep,
			   char (*ret_kept)[NAME_MAX_BYTES + 1],
			   struct error *err);
int store_undo(struct store *store, const char *const *names, size_t nr,
	       struct error *err);
int store_rename(struct store *store, const char *const *from,
		 const char *const *to, size_t nr, struct error *err);
int store_resize(struct store *store, const char *name, uint64_t size,
		 bool shrink, uint64_t *ret_was, struct error *err);

/*
 * Make a private writable view of a snapshot: a hidden clone, whose name
 * (vol@s:scratch.N) goes to @ret_name.  It is dropped by store_delete(), or
 * by the worker 120 s after its last handle was closed.
 */
int store_scratch(struct store *store, const char *snapshot,
		  char ret_name[NAME_MAX_BYTES + 1], struct error *err);

/*
 * Would deleting (as store_delete, same checks and errors) be allowed, and
 * what would come free.  Waits up to 10 s for what was deleted before.
 */
int store_delete_dry_run(struct store *store, const char *const *names,
			 size_t nr, bool recursive, struct space_freed *ret,
			 struct error *err);
/* Same checks and errors as the verbs; changes nothing. */
int store_rollback_dry_run(struct store *store, const char *const *names,
			   size_t nr, struct error *err);
int store_undo_dry_run(struct store *store, const char *const *names, size_t nr,
		       struct error *err);
int store_rename_dry_run(struct store *store, const char *const *from,
			 const char *const *to, size_t nr, struct error *err);
/* *ret_lost: bytes of data beyond the new end. */
int store_resize_dry_run(struct store *store, const char *name, uint64_t size,
			 bool shrink, uint64_t *ret_was, uint64_t *ret_lost,
			 struct error *err);
int store_snapshot_dry_run(struct store *store, const char *const *names,
			   size_t nr, struct error *err);
int store_clone_dry_run(struct store *store, const char *snapshot,
			const char *const *names, size_t nr, struct error *err);
int store_create_dry_run(struct store *store, const char *name, uint64_t size,
			 struct error *err);

/* ---- what clients ask for ---- */

enum traffic_kind {
	TRAFFIC_READ,
	TRAFFIC_WRITE,
	TRAFFIC_ZERO,
	TRAFFIC_TRIM,
	TRAFFIC_FLUSH,
	NR_TRAFFIC_KINDS,
};

/* The last bucket is of all that took longer than the last bound. */
#define TRAFFIC_BUCKETS 19u
extern const uint64_t traffic_bounds_us[TRAFFIC_BUCKETS - 1];

struct traffic_kind_count {
	uint64_t requests; /* that were answered, errors among them */
	uint64_t errors;
	uint64_t bytes; /* of requests without an error */
	uint64_t ns;	/* that they took, together */
	uint64_t buckets[TRAFFIC_BUCKETS];
};

struct traffic_count {
	struct traffic_kind_count kinds[NR_TRAFFIC_KINDS];
};

struct volume_traffic {
	char name[NAME_MAX_BYTES + 1];
	bool hidden;
	struct traffic_count count;
};

/*
 * What was asked of each volume and snapshot that was open since the store
 * was opened; *ret is malloc'ed.  *ret_all is the sum, with those that are
 * gone.
 */
int store_traffic(struct store *store, struct volume_traffic **ret,
		  size_t *ret_nr, struct traffic_count *ret_all,
		  struct error *err);

/* ---- settings ---- */

struct setting {
	const char *key;
	const char *value;
};

/*
 * Change settings of a volume, all of them or none, in one log record;
 * durable when it returns 0.  A value of `none` or `error` is the standard.
 *   quota=BYTES|none        what the volume and its snapshots may hold alone;
 *                           blocks that clones share do not count
 *   reservation=BYTES|none  what others leave free for them
 *   on-full=error|pause     how a write meets a full store: -ENOSPC at once,
 *                           or after 10 s in which nothing came free
 * They outlive rollback and undo; a clone begins without any.
 * -EINVAL: an unknown key, a bad value, or no volume; -ENOSPC: no room for
 * the reservation.
 */
int store_set(struct store *store, const char *name,
	      const struct setting *settings, size_t nr, struct error *err);
int store_set_dry_run(struct store *store, const char *name,
		      const struct setting *settings, size_t nr,
		      struct error *err);

/*
 * Grow the store to @capacity bytes, CAPACITY_MAX: to all of its block device;
 * *ret is what it has then.  The space is there at once, and for good when it
 * returns 0.  -EINVAL: less than now, beyond what a store or the device can
 * be; -ENOSPC: the host has no room for the larger reserve, and nothing has
 * changed.
 */
#define CAPACITY_MAX UINT64_MAX
int store_set_capacity(struct store *store, uint64_t capacity, uint64_t *ret,
		       struct error *err);
int store_set_capacity_dry_run(struct store *store, uint64_t capacity,
			       uint64_t *ret, struct error *err);

/* ---- check and dump ---- */

struct check_report {
	uint64_t nr_errors;
	uint64_t nr_nodes;
	uint64_t nr_blocks; /* leaf entries */
	uint64_t nr_lost;   /* blocks that a repair had to give up */
	uint64_t nr_segments;
	uint32_t nr_volumes;
	bool log_is_damaged; /* store_check_backend() */
};

/* One line of a report or a dump; no newline. */
typedef void line_fn(void *opaque, const char *line);

/*
 * Recount I2, I3 and I6, frames and the tables of the newest checkpoint (a
 * served store: of a fresh one; an unserved one: with the log replayed), and
 * call @line for each thing that is wrong.  -EUCLEAN when something is; -EBUSY:
 * a served store became too full to keep what the check reads.
 */
int store_check(struct store *store, line_fn *line, void *opaque,
		struct check_report *ret, struct error *err);

/*
 * The same for a store that nobody has open, also for one that store_open()
 * refuses: then everything wrong that can be found.  @be stays the caller's;
 * nothing is written.  -EINVAL, -ENOTSUP, and when both superblocks are lost
 * -EBADMSG or -EUCLEAN: as store_open().
 */
int store_check_backend(struct backend *be, const char *const *tail_dirs,
			line_fn *line, void *opaque, struct check_report *ret,
			struct error *err);

struct repair_options {
	bool dry_run; /* say what would be done, write nothing */
	bool cut_log; /* give up what lies behind damage in the log */
	const char *const *tail_dirs; /* as in store_open_options */
};

/*
 * Check as store_check_backend(), then make sound what is not, and call @line
 * for each thing that is done and each that is given up.  Data is never
 * invented: what is lost reads as an error.  *ret is what the check found.
 *
 * 0: the store is sound now, or was.  -EBUSY: the log is damaged, and cut_log
 * was not given.  -EUCLEAN, -EBADMSG: it cannot be repaired.  Unless it
 * returns 0, or a write failed, nothing was written.
 */
int store_repair(struct backend *be, const struct repair_options *options,
		 line_fn *line, void *opaque, struct check_report *ret,
		 struct error *err);

/*
 * Read everything the store refers to from the medium, and verify it, in
 * slices: the caller asks again until it is done, and rests in between as
 * long as it likes.  Where a scrub is belongs to the store: the next caller
 * goes on with it, also after the store was opened anew.
 */
struct scrub_options {
	uint64_t max_bytes; /* of this slice; it verifies a little at least */
	bool restart;	    /* from the beginning */
	/* 0, or progress.began_ns of the scrub to go on with; when that one is
	 * over (another caller may have ended it) no other one is begun */
	uint64_t began_ns;
};

struct scrub_progress {
	bool done;
	uint64_t began_ns;
	unsigned int percent;
	uint64_t bytes; /* verified since it began, or since the store opened */
	uint64_t errors; /* found */
	bool busy;	 /* somebody has a volume open */
};

/*
 * One slice.  When the scrub is done @line is called for each thing that was
 * found, and -EUCLEAN returned when there was one.  -EIO: the store is
 * fail-stopped and its result could not be kept.
 */
int store_scrub(struct store *store, const struct scrub_options *options,
		struct scrub_progress *ret, line_fn *line, void *opaque,
		struct error *err);

/* @what: "super", "log", "segments", "volumes", "nodes", "all". */
int store_dump(struct store *store, const char *what, line_fn *line,
	       void *opaque, struct error *err);

/* ---- input and output ---- */

#define VOLUME_OPEN_WRITE 1u

/*
 * Open by export name: vol, vol@s, vol:attached, vol@s:scratch (a scratch
 * view of this handle's own), vol@s:scratch.N.  Snapshots refuse
 * VOLUME_OPEN_WRITE with -EROFS.  The volume is not deleted while open, nor
 * renamed; the snapshot of vol@s:scratch until the first request makes the
 * view.
 */
int volume_open(struct store *store, const char *name, unsigned int flags,
		struct volume_handle **ret, struct error *err);
void volume_close(struct volume_handle *handle);

/* Current size; for vol:attached the format's maximum. */
uint64_t volume_size(const struct volume_handle *handle);
bool volume_is_read_only(const struct volume_handle *handle);
/* Content is decided at connect: must not be multi-conn. */
bool volume_is_private(const struct volume_handle *handle);

/*
 * Beyond the end: read -EINVAL, others -ENOSPC.  Any offset and length, zero
 * included.  A write is acknowledged when it returns 0 and durable after the
 * next flush, or at once with @fua.  Trimmed and zeroed ranges read as
 * zeros; trim ignores partial blocks.
 */
int volume_read(struct volume_handle *handle, void *ret, uint32_t length,
		uint64_t offset, struct error *err);
int volume_write(struct volume_handle *handle, const void *data,
		 uint32_t length, uint64_t offset, bool fua, struct error *err);
int volume_zero(struct volume_handle *handle, uint64_t length, uint64_t offset,
		bool fua, struct error *err);
int volume_trim(struct volume_handle *handle, uint64_t length, uint64_t offset,
		bool fua, struct error *err);
int volume_flush(struct volume_handle *handle, struct error *err);
/* Prefetch; best effort. */
int volume_cache(struct volume_handle *handle, uint32_t length, uint64_t offset,
		 struct error *err);

/*
 * Call @extent for consecutive runs from @offset; runs may be reported in
 * pieces and go on past @offset + @length.  At most 1 GiB in all (nbdkit
 * before 1.42.4 aborts on extents of 4 GiB).  A hole reads as zeros.
 */
typedef int extent_fn(void *opaque, uint64_t offset, uint64_t length,
		      bool is_hole);
int volume_extents(struct volume_handle *handle, uint64_t length,
		   uint64_t offset, extent_fn *extent, void *opaque,
		   struct error *err);

#endif
