/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The recount: what the references of a store add up to, whatever its tables
 * say.  Check compares the two, repair believes the recount.
 *
 * Every node that a volume, a snapshot or the reaper queue reaches is read
 * once and forgotten again: memory is nine bytes a node and one a block of
 * the store, not the maps.  A child is one level below its parent, so the
 * walk ends whatever the store holds.
 *
 * Typical use: recount_init(); recount_walk(); compare; recount_done().
 *
 * One thread; nobody changes the store but the recount_fn itself.  Locks:
 * none held; recount_walk() reads from the medium.
 */
#ifndef VOLUME_RECOUNT_H
#define VOLUME_RECOUNT_H

#include "store.h"

enum recount_fault {
	RECOUNT_NO_NODE,    /* no such node */
	RECOUNT_UNREADABLE, /* its record cannot be read, or is no node */
	RECOUNT_LEVEL,	    /* it has another level */
	RECOUNT_NO_BLOCKS,  /* names in a leaf whose content is nowhere */
};

/* A reference that leads nowhere. */
struct recount_finding {
	enum recount_fault fault;
	/* who refers: the root of a volume, a node, else the reaper queue */
	struct volume *volume;
	uint32_t parent;
	uint32_t index; /* of the child in its parent */
	/* to what */
	uint32_t id;
	unsigned int level; /* it should have; LEVEL_ANY */
	bool first;	    /* nothing was found about this node before */
	const char *text;   /* RECOUNT_UNREADABLE and first: why */
	int error;	    /* and the same as a negative errno */
	/* RECOUNT_NO_BLOCKS: entries of leaf @parent, bit i is entry i */
	uint64_t entries;
	const struct leaf_content *leaf;
};

/* Returns 0, or a negative errno that ends the walk. */
typedef int recount_fn(void *opaque, const struct recount_finding *finding,
		       struct error *err);

struct recount_step {
	struct node *node;
	uint32_t next;	/* child to look at */
	uint64_t used;	/* data blocks found below so far */
	bool is_partly; /* and there are more that cannot be read */
};

DEFINE_VECTOR(recount_sums, uint64_t);

struct recount {
	struct store *store;
	recount_fn *finding;
	void *opaque;
	uint32_t nr_ids;     /* what is made during the walk is left alone */
	uint32_t *node_refs; /* by node id: references found (I3) */
	uint32_t *node_used; /* by node id: see recount_used() */
	uint8_t *node_state;
	struct recount_sums root_used;
	uint32_t nr_indices;
	uint8_t **block_refs; /* by index of the segment table; NULL: none */
	struct overflow_table many; /* names with more than a byte holds */
	const _Atomic bool *stop;   /* the walk ends when it is true; or NULL */
	struct recount_step path[INNER_LEVELS + 1];
	unsigned int depth;
	uint64_t nr_nodes; /* read */
	uint64_t nr_blocks;
	uint64_t nr_lost;
	uint64_t nr_unread; /* references to nodes that were not read */
};

/* -ENOMEM. */
int recount_init(struct recount *recount, struct store *store,
		 recount_fn *finding, void *opaque, struct error *err);
void recount_done(struct recount *recount);

/* -ENOMEM, what the recount_fn returned, or -EBUSY: it was to stop. */
int recount_walk(struct recount *recount, struct error *err);

/* Has @id been read, and all below it as far as that can be told? */
bool recount_was_walked(const struct recount *recount, uint32_t id);
/* Is there anything below @id that could not be read? */
bool recount_is_partly(const struct recount *recount, uint32_t id);
/* The level of @id, which was walked. */
unsigned int recount_level(const struct recount *recount, uint32_t id);
/* Data blocks below @id, which was walked; leaves reached twice count twice. */
uint64_t recount_used(const struct recount *recount, uint32_t id);
/* Leaf entries that hold @slot of @segment (I2). */
uint32_t recount_block(const struct recount *recount,
		       const struct segment *segment, uint32_t slot);

/*
 * Make the counts of @segment those that were found; the live numbers have
 * to be added up anew.  Core held.  -ENOMEM.
 */
int recount_assign_segment(const struct recount *recount,
			   struct segment *segment, struct error *err);

#endif
