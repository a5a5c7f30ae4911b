/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The nodes of all extent maps: the node table and the nodes in memory.
 *
 * NOTES ON THE DESIGN.  A node id names an entry {record, count, checksum,
 * used}.  Its content is in memory or has to be faulted in: functions that
 * meet a missing node return -EAGAIN with its id; the caller drops core,
 * calls nodes_fault() and starts again.
 *
 * A node is clean, dirty (changed since the last cut) or pending (dirty at
 * the cut of the running checkpoint, not yet written).  node_touch() comes
 * before every change and keeps an image of a pending node (freeze on first
 * touch).  A freed node that is pending stays as a zombie until the
 * checkpoint has written it; its id is reused only after a checkpoint whose
 * cut came after the free is in both superblocks (I7).
 *
 * The table is loaded page by page: all of it before an open ends, or those
 * pages that somebody needs at once and the others behind (engine.h,
 * load_behind).  A page that is not loaded has no node in memory and is not
 * dirty.  Whoever can fail wants a page before its entries are looked at
 * (node_want(), nodes_fault()); whoever cannot gets it loaded by node_page().
 *
 * Node memory is taken from spares, so that nothing is allocated in the
 * middle of a change: nodes_prepare() comes first in every hold.
 *
 * Clean leaves are evicted while leaves take more than bytes_max; inner nodes
 * and the table stay.  It happens in nodes_prepare() and nodes_fault() only:
 * a pointer to a node is good until core is dropped or one of them is called.
 *
 * Lock: core held, unless said otherwise.
 */
#ifndef MAP_NODES_H
#define MAP_NODES_H

#include <pthread.h>

#include "log.h"
#include "map-node.h"
#include "node-table.h"
#include "page-table.h"
#include "segment-table.h"

struct node {
	uint32_t id;
	uint32_t epoch;
	uint64_t generation; /* dirty when it is core.generation */
	void *image;	     /* encoded as of the cut, when touched since */
	uint32_t image_bytes;
	uint32_t image_hash;
	uint8_t level; /* 0: leaf */
	bool used;     /* since the evictor's hand passed */
	bool pending;
	bool zombie;	    /* freed; only the checkpoint knows it */
	size_t dirty_index; /* while dirty: where in nodes.dirty */
	struct node *next_spare;
	union { /* behind the struct */
		struct leaf_content *leaf;
		struct inner_content *inner;
	};
};

/* One page of the node table in memory. */
struct node_page {
	struct node_entry entries[NODE_TABLE_PAGE_ENTRIES];
	struct node *nodes[NODE_TABLE_PAGE_ENTRIES];
	bool is_loaded; /* else it is as the checkpoint has it */
	bool is_single; /* not one of nodes.loadable */
};

DEFINE_VECTOR(node_vector, struct node *);

struct nodes {
	struct core *core;
	struct segment_table *segments;
	struct page_table pages;
	struct node_page **table; /* pages.nr_pages of them */
	uint32_t table_cap;
	/* in one piece: those on disk at the open */
	struct node_page *loadable;
	uint32_t nr_unloaded;  /* pages of the table */
	uint32_t load_next_id; /* what next_id was in the checkpoint */
	uint32_t next_id;
	struct index_vector free_ids;
	struct index_vector freed;	  /* since the last cut */
	struct index_vector freed_at_cut; /* reusable after the checkpoint */
	struct node_vector dirty;	  /* may hold nodes freed since */
	struct node_vector pending;
	struct index_vector reaper; /* ids whose reference is the queue's */
	/* for the next ones; leaves: all that were evicted */
	struct node *spare_leaves, *spare_inners;
	uint32_t nr_spare_leaves, nr_spare_inners;
	uint64_t nr_nodes;    /* entries with a count, of loaded pages */
	uint64_t nr_loaded;   /* in memory */
	uint64_t leaf_bytes;  /* of memory, for leaves and their images */
	uint64_t inner_bytes; /* for inner nodes, which stay */
	uint64_t bytes_max;   /* leaves are evicted above it */
	uint32_t hand;	      /* the id the evictor looked at last */
	uint64_t dirty_bytes; /* what the dirty ones take on disk, at most */
	bool is_cleaning;     /* cleaning_thread is at work on data */
	pthread_t cleaning_thread;
	uint64_t nr_cleaning_touches; /* see nodes_cleaning_begin() */
};

/* What one hold may use: two paths, and a subtree's worth of ids. */
#define SPARE_LEAVES 2u
#define SPARE_INNERS 6u
#define REAPER_SLACK (2u * INNER_LEVELS * INNER_CHILDREN)

int nodes_init(struct nodes *nodes, struct core *core,
	       struct segment_table *segments);
void nodes_done(struct nodes *nodes);

/*
 * The table is going to be loaded, @next_id is the checkpoint's: its
 * directories have been read (nodes->pages).  -EUCLEAN, -ENOMEM.
 */
int nodes_begin_load(struct nodes *nodes, uint32_t next_id, struct error *err);
/*
 * Load page @index of the table: count its records as live and its free ids
 * as free.  -EBADMSG, -EUCLEAN, -ENOMEM: nothing has changed.
 */
int nodes_load_page(struct nodes *nodes, uint32_t index, const void *page,
		    size_t length, struct error *err);
/*
 * A page that cannot be loaded: its ids are free, as far as is known.
 * -ENOMEM.
 */
int nodes_lose_page(struct nodes *nodes, uint32_t index);
/*
 * Those that were never written: all pages are loaded or lost, or are there to
 * be loaded.  -EUCLEAN: one that must be there is not.
 */
int nodes_make_pages(struct nodes *nodes, struct error *err);
/*
 * Load page @index when it is not: it is needed now.  Reads while core is
 * held, for as long as an open is young.  -EIO, -EBADMSG, -EUCLEAN, -ENOMEM:
 * it is as before, and may be wanted again.
 */
int nodes_want_page(struct nodes *nodes, uint32_t index, struct error *err);
/* The same for the page of node @id, an id that exists or not. */
int node_want(struct nodes *nodes, uint32_t id, struct error *err);
bool node_is_loaded(const struct nodes *nodes, uint32_t id);
/* The pages of all children of @node; -EAGAIN: not that of *ret_missing. */
int node_children_are_loaded(const struct nodes *nodes, const struct node *node,
			     uint32_t *ret_missing);
bool nodes_page_is_loaded(const struct nodes *nodes, uint32_t index);
/* Until all pages are no record of META may be called dead. */
bool nodes_are_loaded(const struct nodes *nodes);

/*
 * The calling thread begins to clean data; at most one does at a time.  It
 * should look at no node, read none, and change none and no entry (I13): each
 * time it does is counted until it ends.
 */
void nodes_cleaning_begin(struct nodes *nodes);
void nodes_cleaning_end(struct nodes *nodes);

/*
 * Make spares, ids and queue room for one hold.  -ENOMEM: nothing has
 * changed.
 */
int nodes_prepare(struct nodes *nodes);

/* Memory that the table takes. */
uint64_t nodes_table_bytes(const struct nodes *nodes);
/* Are there ids that were used before, enough for one hold? */
bool nodes_have_free_ids(const struct nodes *nodes);

/*
 * Is @id a node that exists?  (Ids come from disk.)  A page that was not
 * wanted before and cannot be loaded now is lost and makes the store
 * fail-stop: its nodes are taken for nothing else, nothing is written any
 * more.
 */
bool node_exists(struct nodes *nodes, uint32_t id);
struct node_entry *node_entry(struct nodes *nodes, uint32_t id);

/*
 * The node @id of @level (or LEVEL_ANY), in memory.  -EAGAIN: it is not, or its
 * page is not loaded; *ret_missing is set.  -EUCLEAN: no such node, or of
 * another level.
 */
#define LEVEL_ANY UINT8_MAX
int node_get(struct nodes *nodes, uint32_t id, unsigned int level,
	     struct node **ret, uint32_t *ret_missing, struct error *err);

/*
 * The entry of block @index of leaf @id is about to be looked at: its header
 * and the entry are two cache misses that may as well be one.
 */
void node_prefetch(const struct nodes *nodes, uint32_t id, uint32_t index);

/* All of node @id is about to be looked at. */
void node_prefetch_all(const struct nodes *nodes, uint32_t id);

/* Node @id when it is in memory, else NULL; this is no use of it. */
struct node *node_peek(struct nodes *nodes, uint32_t id);

/*
 * Decode the record of node @id, entry->length bytes, into a new node, which
 * is in no table: free(*ret).  -EBADMSG, -EUCLEAN, -ENOMEM.  No lock needed.
 */
int node_decode(const void *record, const struct node_entry *entry, uint32_t id,
		struct node **ret, struct error *err);

/*
 * Read node @id into memory, or its page of the table first: then it may be
 * missing still.  A node that is there or gone by now is no error.  Core not
 * held.
 */
int nodes_fault(struct nodes *nodes, uint32_t id, struct error *err);

struct read_range;

/* Where the record of node @id lies; false: there is none. */
bool nodes_find_record(struct nodes *nodes, uint32_t id,
		       struct read_range *ret);

/*
 * A copy of node @id for the caller, who frees it: as it is in memory, or
 * read from the medium.  It is not brought into memory for others.
 * -EBADMSG, -EUCLEAN: damage; also when it does not exist.  Core not held.
 */
int node_copy(struct nodes *nodes, uint32_t id, struct node **ret,
	      struct error *err);

/* A new node with count 1, all holes, touched. */
struct node *node_new(struct nodes *nodes, unsigned int level, uint32_t epoch);
/*
 * A copy of @node with count 1 for @epoch: children's (a leaf's blocks')
 * counts go up by one.  The caller moves its reference from @node.
 */
int node_shadow(struct nodes *nodes, struct node *node, uint32_t epoch,
		struct node **ret, struct error *err);

/* @node is about to change. */
void node_touch(struct nodes *nodes, struct node *node);
/* The table entry of @id is about to change. */
void node_entry_touch(struct nodes *nodes, uint32_t id);

/* One more reference to @id. */
void node_ref(struct nodes *nodes, uint32_t id);
/* One reference less; it was not the last. */
void node_unref_shared(struct nodes *nodes, uint32_t id);
/* Give the caller's reference to the reaper. */
void node_reap(struct nodes *nodes, uint32_t id);
/* @node has count 0 and no children any more. */
void node_free(struct nodes *nodes, struct node *node);

/* Repair: node @id, in memory or not, was never there; children are not. */
void node_forget(struct nodes *nodes, uint32_t id);

/* The cut: dirty becomes pending, freed ids wait for the checkpoint. */
void nodes_cut(struct nodes *nodes);
/* The checkpoint is durable: ids freed before its cut can be used again. */
void nodes_checkpoint_done(struct nodes *nodes);
/*
 * Encode pending @node as of the cut into @ret (NODE_BYTES_MAX); returns the
 * length.
 */
uint32_t node_encode_pending(const struct node *node, void *ret,
			     uint32_t *ret_hash);
/*
 * The checkpoint wrote pending @node as record (@segno, @offset, @length):
 * note it in the table and in the page's frozen image.  May free @node.
 */
void node_written(struct nodes *nodes, struct node *node, uint64_t segno,
		  uint32_t offset, uint32_t length, uint32_t hash);

#endif
