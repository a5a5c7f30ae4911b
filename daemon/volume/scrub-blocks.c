/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of a scrub that verifies map nodes and the blocks their leaves
 * name.
 *
 * A node's record is read from the medium, also when the node is in memory.
 * What its leaf names now is taken from memory when it is there: the map may
 * have changed since the record was written.  Each name is read once in a
 * scrub, however many leaves hold it: a bit per slot remembers it.
 *
 * The blocks of many leaves are collected and then read in the order in
 * which they lie, around the page cache: it is the medium that is to be
 * verified, and clients need the cache more.
 */
#include "scrub.h"

#include <inttypes.h>
#include <string.h>

#include "checksum.h"

/* Blocks between two wanted ones that are read over. */
#define GAP_BLOCKS 8u

/* ---- what a leaf names ---- */

/* The bits of the segment of @name, which is there; NULL: no memory. */
static uint8_t *seen_bits(struct scrub *scrub, struct birth name)
{
	struct store *store = scrub->store;
	struct segment *s = segment_find(&store->segments, birth_segno(name));

	if (!s->scrubbed)
		s->scrubbed = calloc(1, store->core.nr_slots / 8);
	return s->scrubbed;
}

void scrub_forget_blocks(struct scrub *scrub)
{
	struct segment_table *t = &scrub->store->segments;

	mutex_lock(&scrub->store->core.lock);
	for (uint32_t i = 0; i < t->pages.nr_pages; i++) {
		if (!t->by_index[i])
			continue;
		free(t->by_index[i]->scrubbed);
		t->by_index[i]->scrubbed = NULL;
	}
	mutex_unlock(&scrub->store->core.lock);
}

/* Add the block that @e names; *ret_lost: it has no address.  Core held. */
static int add_block(struct scrub *scrub, struct leaf_entry e, bool *ret_lost)
{
	struct store *store = scrub->store;
	struct scrub_block block = {.checksum = e.checksum,
				    .name = leaf_entry_birth(e)};
	uint32_t slot = birth_slot(block.name);
	struct log_buffer *buffer;
	struct segment *holder;
	const uint8_t *data;
	uint8_t *bits;

	*ret_lost = segment_resolve(&store->segments, block.name, &holder,
				    &block.slot, NULL) < 0;
	if (*ret_lost)
		return 0;
	buffer = log_pin(&store->log, holder->segno, block.slot, &data);
	if (buffer) {
		bool is_written = buffer->state == BATCH_WRITTEN;

		log_unpin(&store->log, buffer);
		if (!is_written) /* it is not on the medium yet */
			return 0;
	}
	bits = seen_bits(scrub, block.name);
	if (!bits)
		return -ENOMEM;
	if (bits[slot / 8] & 1u << slot % 8)
		return 0;
	block.segno = holder->segno;
	block.place = holder->place;
	if (scrub_block_vector_push(&scrub->blocks, block) < 0)
		return -ENOMEM;
	bits[slot / 8] |= (uint8_t)(1u << slot % 8);
	return 0;
}

/* Names of a leaf that have no address. */
struct lost_names {
	struct birth names[LEAF_BLOCKS];
	uint32_t nr;
};

/* Core held. */
static int add_leaf(struct scrub *scrub, const struct leaf_content *leaf,
		    struct lost_names *lost)
{
	int r = 0;

	mutex_assert_held(&scrub->store->core.lock);
	for (uint32_t i = 0; r == 0 && i < LEAF_BLOCKS; i++) {
		bool is_lost = false;

		if (leaf_entry_kind(leaf->entries[i]) != ENTRY_DATA)
			continue;
		r = add_block(scrub, leaf->entries[i], &is_lost);
		if (is_lost)
			lost->names[lost->nr++] =
				leaf_entry_birth(leaf->entries[i]);
	}
	return r;
}

/* ---- nodes ---- */

/* A node's record, as it was when its segment was pinned. */
struct record {
	struct node_entry entry;
	struct segment *segment; /* NULL: there is nothing to read */
	bool lost;		 /* and there should be */
	struct node *node;	 /* decoded */
};

/* Core held.  False: this node is not looked at. */
static bool pin_record(struct scrub *scrub, uint32_t id, bool only_new,
		       struct record *ret)
{
	struct store *store = scrub->store;

	mutex_assert_held(&store->core.lock);
	*ret = (struct record){0};
	if (!node_exists(&store->nodes, id))
		return false;
	ret->entry = *node_entry(&store->nodes, id);
	if (ret->entry.segno == 0 || /* then it is in memory */
	    !core_record_is_written(&store->core, ret->entry.segno,
				    ret->entry.offset))
		return true;
	if (only_new && ret->entry.segno < store->scrub_record.segno)
		return false;
	ret->segment = segment_find(&store->segments, ret->entry.segno);
	ret->lost = !ret->segment || ret->segment->kind != SEGMENT_META ||
		    ret->entry.length > NODE_BYTES_MAX ||
		    ret->entry.length < sizeof(struct disk_node_header);
	if (ret->lost)
		ret->segment = NULL;
	else
		ret->segment->pins++;
	return true;
}

static int read_record(struct scrub *scrub, uint32_t id, bool again,
		       struct record *rec, struct error *err)
{
	uint8_t data[NODE_BYTES_MAX];
	int r;

	r = scrub_read_record(scrub, rec->segment, rec->entry.offset,
			      rec->entry.length, again, data, err);
	return r < 0 ? r : node_decode(data, &rec->entry, id, &rec->node, err);
}

static int verify_record(struct scrub *scrub, uint32_t id, struct record *rec,
			 struct error *err)
{
	int r;

	if (rec->lost)
		return error_set(err, EUCLEAN,
				 "its record is in no META segment");
	if (!rec->segment)
		return 0;
	r = read_record(scrub, id, false, rec, err);
	if (r < 0 && r != -ENOMEM)
		r = read_record(scrub, id, true, rec, err);
	scrub->bytes += rec->entry.length;
	return r;
}

/* Is the record still that of node @id?  Core held. */
static bool record_is_current(struct scrub *scrub, uint32_t id,
			      const struct record *rec)
{
	struct nodes *nodes = &scrub->store->nodes;
	const struct node_entry *now;

	if (!node_exists(nodes, id))
		return false;
	now = node_entry(nodes, id);
	return now->segno == rec->entry.segno &&
	       now->offset == rec->entry.offset;
}

/* Write a node whose record is damaged anew, if memory has it. */
static bool mend_node(struct scrub *scrub, uint32_t id)
{
	struct nodes *nodes = &scrub->store->nodes;
	struct node *n = NULL;

	if (!scrub_can_mend(scrub))
		return false;
	mutex_lock(&scrub->store->core.lock);
	if (nodes_prepare(nodes) == 0)
		n = node_peek(nodes, id);
	if (n)
		node_touch(nodes, n);
	mutex_unlock(&scrub->store->core.lock);
	return n != NULL;
}

static void found_record(struct scrub *scrub, uint32_t id,
			 const struct record *rec, const struct error *why)
{
	if (mend_node(scrub, id))
		scrub_found(
			scrub,
			"map node %" PRIu32 " (segment %" PRIu64
			" offset %" PRIu32 "): %s; written anew from memory",
			id, rec->entry.segno, rec->entry.offset, why->message);
	else
		scrub_found_node(scrub, id, why);
}

/* One attempt; -EAGAIN: the node was written anew meanwhile. */
static int try_node(struct scrub *scrub, uint32_t id, bool only_new)
{
	struct core *core = &scrub->store->core;
	struct lost_names lost = {.nr = 0};
	struct error err = ERROR_NONE;
	struct record rec;
	struct node *n;
	bool looked_at, current;
	int bad = 0, r = 0;

	mutex_lock(&core->lock);
	looked_at = pin_record(scrub, id, only_new, &rec);
	mutex_unlock(&core->lock);
	if (!looked_at)
		return 0;
	bad = verify_record(scrub, id, &rec, &err);
	mutex_lock(&core->lock);
	if (rec.segment)
		rec.segment->pins--;
	current = record_is_current(scrub, id, &rec);
	n = node_peek(&scrub->store->nodes, id);
	if (!n && current)
		n = rec.node;
	else if (!n && node_exists(&scrub->store->nodes, id))
		r = -EAGAIN;
	if (n && n->level == 0)
		r = add_leaf(scrub, n->leaf, &lost);
	mutex_unlock(&core->lock);
	mutex_give_way(&core->lock);
	free(rec.node);
	if (bad < 0 && bad != -ENOMEM && current)
		found_record(scrub, id, &rec, &err);
	(void)error_set(&err, EUCLEAN, "it has no physical address");
	for (uint32_t i = 0; i < lost.nr; i++)
		scrub_found_block(scrub, lost.names[i], &err);
	return bad == -ENOMEM ? bad : r;
}

int scrub_node(struct scrub *scrub, uint32_t id, bool only_new)
{
	int r = -EAGAIN;

	/* one that is written again and again is looked at in the end */
	for (int i = 0; r == -EAGAIN && i < 3; i++)
		r = try_node(scrub, id, only_new);
	return r == -EAGAIN ? 0 : r;
}

/* ---- blocks ---- */

static int compare_blocks(const void *a, const void *b)
{
	const struct scrub_block *x = a, *y = b;

	if (x->place != y->place)
		return x->place > y->place ? 1 : -1;
	if (x->segno != y->segno)
		return x->segno > y->segno ? 1 : -1;
	return (x->slot > y->slot) - (x->slot < y->slot);
}

void scrub_sort_blocks(struct scrub *scrub)
{
	if (scrub->blocks.len > 0)
		qsort(scrub->blocks.ptr, scrub->blocks.len,
		      sizeof(*scrub->blocks.ptr), compare_blocks);
}

/* How many blocks from @i on are read in one. */
static size_t run_length(const struct scrub_block_vector *blocks, size_t i)
{
	const struct scrub_block *b = blocks->ptr + i;
	size_t nr = 1;

	while (i + nr < blocks->len && b[nr].segno == b->segno &&
	       b[nr].slot - b[nr - 1].slot <= GAP_BLOCKS &&
	       b[nr].slot - b->slot < SCRUB_READ_BYTES / BLOCK_SIZE)
		nr++;
	return nr;
}

static int read_block(struct scrub *scrub, const struct scrub_block *b,
		      struct error *err)
{
	int r = backend_read(scrub->store->core.be, b->place,
			     b->slot * BLOCK_SIZE, scrub->data, BLOCK_SIZE,
			     BACKEND_READ_AROUND_CACHE, err);

	if (r == 0 && checksum32(scrub->data, BLOCK_SIZE) != b->checksum)
		r = error_set(err, EBADMSG, "does not match its checksum");
	return r;
}

/*
 * Where the block of @name is now; NULL: nothing names it any more, or it
 * has lost its address, which is found when its leaf is.  Core held.
 */
static struct segment *find_block(struct scrub *scrub, struct birth name,
				  uint32_t *ret_slot)
{
	struct segment_table *t = &scrub->store->segments;
	struct segment *s;

	if (count_get(t, name) == 0 ||
	    segment_resolve(t, name, &s, ret_slot, NULL) < 0)
		return NULL;
	return s;
}

/*
 * Read a block that was wrong once more.  One that died is no loss, and one
 * that has moved was verified on its way.
 */
static void verify_block(struct scrub *scrub, const struct scrub_block *b)
{
	struct core *core = &scrub->store->core;
	struct error err = ERROR_NONE;
	struct segment *s;
	uint32_t slot;
	bool is_there;

	if (read_block(scrub, b, &err) == 0)
		return;
	mutex_lock(&core->lock);
	s = find_block(scrub, b->name, &slot);
	is_there = s && s->segno == b->segno && slot == b->slot;
	mutex_unlock(&core->lock);
	if (is_there)
		scrub_found_block(scrub, b->name, &err);
}

/* Read @nr blocks of one pinned segment at once. */
static void verify_run(struct scrub *scrub, const struct scrub_block *b,
		       size_t nr)
{
	uint32_t length = (b[nr - 1].slot - b->slot + 1) * BLOCK_SIZE;
	bool wrong[SCRUB_READ_BYTES / BLOCK_SIZE];
	int r;

	r = backend_read(scrub->store->core.be, b->place, b->slot * BLOCK_SIZE,
			 scrub->data, length, BACKEND_READ_AROUND_CACHE, NULL);
	/* before what was read is overwritten */
	for (size_t i = 0; i < nr; i++)
		wrong[i] =
			r < 0 ||
			checksum32(scrub->data + (size_t)(b[i].slot - b->slot) *
							 BLOCK_SIZE,
				   BLOCK_SIZE) != b[i].checksum;
	for (size_t i = 0; i < nr; i++)
		if (wrong[i])
			verify_block(scrub, &b[i]);
}

/*
 * Pin the segment that holds block @b now; NULL: the block is gone.  As long
 * as it is pinned its frame holds what it held, also what has moved since.
 */
static struct segment *pin_holder(struct scrub *scrub, struct scrub_block *b)
{
	struct core *core = &scrub->store->core;
	struct segment *s;

	mutex_lock(&core->lock);
	s = find_block(scrub, b->name, &b->slot);
	if (s) {
		b->segno = s->segno;
		b->place = s->place;
		s->pins++;
	}
	mutex_unlock(&core->lock);
	return s;
}

void scrub_verify_blocks(struct scrub *scrub)
{
	struct core *core = &scrub->store->core;
	struct scrub_block *b = scrub->blocks.ptr + scrub->nr_verified;
	struct segment *s = pin_holder(scrub, b);
	size_t nr = 1;

	if (s) {
		nr = run_length(&scrub->blocks, scrub->nr_verified);
		verify_run(scrub, b, nr);
		mutex_lock(&core->lock);
		s->pins--;
		mutex_unlock(&core->lock);
	}
	mutex_give_way(&core->lock);
	scrub->bytes += nr * BLOCK_SIZE;
	scrub->nr_verified += nr;
}
