/* SPDX-License-Identifier: BSD-2-Clause */
/* What every byte of a store is. */
#include "survey.h"

#include <stdlib.h>
#include <string.h>

#include "tables.h"
#include "test-store.h"

const char *const kind_names[NR_KINDS] = {
	"superblock",	     "root",
	"directory page",    "node table page",
	"segment page",	     "volume page",
	"frame map page",    "reaper page",
	"inner node",	     "leaf",
	"data block",	     "log: segment header",
	"log: batch header", "log: data block",
	"log: operation",    "old segment header",
	"old batch header",  "unused",
};

static void must(int r, const struct error *err)
{
	if (r < 0)
		die("survey: %s", err->message);
}

static void add(struct survey *survey, enum kind kind, uint64_t key,
		uint64_t place, uint32_t offset, uint32_t length)
{
	struct structure s = {kind, key, place, offset, length};

	if (structures_push(&survey->all, s) < 0)
		die("out of memory");
}

static struct store *open_store(struct medium *medium, bool at_checkpoint)
{
	struct store_open_options options = {.read_only = true,
					     .at_checkpoint = at_checkpoint};
	struct error err = ERROR_NONE;
	struct store *store;

	must(test_store_open(medium->disk, &options, &store, &err), &err);
	return store;
}

static void close_store(struct store *store)
{
	(void)store_close(store, false, NULL); /* read-only */
}

/* ---- the checkpoint ---- */

static uint64_t place_of(struct store *store, uint64_t segno)
{
	struct segment *s = segment_find(&store->segments, segno);

	if (!s)
		die("survey: no segment %llu", (unsigned long long)segno);
	return s->place;
}

static void add_ref(struct survey *survey, struct store *store, enum kind kind,
		    uint64_t key, const struct page_ref *ref)
{
	if (ref->segno)
		add(survey, kind, key, place_of(store, ref->segno), ref->offset,
		    ref->length);
}

static void add_table(struct survey *survey, struct store *store,
		      const struct page_table *table)
{
	for (uint32_t i = 0; i < table->nr_directories; i++)
		add_ref(survey, store, KIND_DIRECTORY,
			(uint64_t)table->kind << 32 | i,
			&table->directories[i]);
	for (uint32_t i = 0; i < table->nr_pages; i++)
		add_ref(survey, store, KIND_NODE_PAGE + table->kind, i,
			&table->pages[i].ref);
}

static void add_nodes(struct survey *survey, struct store *store)
{
	for (uint32_t id = 1; id < store->nodes.next_id; id++) {
		const struct node_entry *e;

		if (!node_exists(&store->nodes, id))
			continue;
		e = node_entry(&store->nodes, id);
		add(survey,
		    e->length == NODE_INNER_BYTES ? KIND_INNER : KIND_LEAF, id,
		    place_of(store, e->segno), e->offset, e->length);
	}
}

void survey_checkpoint(struct survey *survey, struct medium *medium)
{
	struct store *store = open_store(medium, true);
	const struct root_ref *root = &store->sb.root;

	memset(survey, 0, sizeof(*survey));
	survey->sb = store->sb;
	mutex_lock(&store->core.lock);
	for (unsigned int i = 0; i < SUPERBLOCK_COPIES; i++)
		add(survey, KIND_SUPERBLOCK, i, NR_FRAMES + i, 0, BLOCK_SIZE);
	add(survey, KIND_ROOT, 0, root->place, root->offset, root->length);
	for (int t = 0; t < NR_TABLES; t++)
		add_table(survey, store, store_table(store, t));
	add_nodes(survey, store);
	mutex_unlock(&store->core.lock);
	close_store(store);
}

/* ---- the log to replay ---- */

static bool is_in_tail(const struct survey *survey, uint64_t place,
		       uint32_t slot)
{
	for (size_t i = 0; i < survey->tail.batches.len; i++) {
		const struct log_batch *b = &survey->tail.batches.ptr[i];

		if (b->place == place && slot >= b->slot &&
		    slot <= b->slot + b->nr_payload)
			return true;
	}
	return false;
}

static void add_tail(struct survey *survey, struct medium *medium)
{
	struct error err = ERROR_NONE;
	uint64_t segno = 0;

	must(log_tail_find(medium->be, &survey->sb, NULL, false, &survey->tail,
			   &err),
	     &err);
	for (size_t i = 0; i < survey->tail.batches.len; i++) {
		const struct log_batch *b = &survey->tail.batches.ptr[i];

		if (b->segno != segno)
			add(survey, KIND_TAIL_SEGMENT, b->segno, b->place, 0,
			    BLOCK_SIZE);
		segno = b->segno;
		add(survey, KIND_TAIL_BATCH, b->seq, b->place,
		    b->slot * BLOCK_SIZE, BLOCK_SIZE);
		for (uint32_t k = 1; k <= b->nr_payload; k++)
			add(survey,
			    b->has_operation ? KIND_TAIL_OPERATION
					     : KIND_TAIL_DATA,
			    b->seq << 8 | k, b->place,
			    (b->slot + k) * BLOCK_SIZE, BLOCK_SIZE);
	}
}

/* ---- what reading takes ---- */

static void depend(struct reading *reading, enum kind kind, uint64_t key,
		   uint64_t place, uint32_t offset, uint32_t length)
{
	reading->on[reading->nr++] =
		(struct structure){kind, key, place, offset, length};
}

/* Node @id, faulted in; core held, dropped for that. */
static struct node *get_node(struct store *store, uint32_t id)
{
	struct error err = ERROR_NONE;
	uint32_t missing;
	struct node *n;
	int r;

	r = node_get(&store->nodes, id, LEVEL_ANY, &n, &missing, &err);
	if (r == -EAGAIN) {
		must(store_fault(store, missing, &err), &err);
		r = node_get(&store->nodes, id, LEVEL_ANY, &n, &missing, &err);
	}
	must(r, &err);
	return n;
}

static void read_data(struct store *store, struct reading *reading,
		      struct leaf_entry entry)
{
	struct error err = ERROR_NONE;
	struct segment *s;
	uint32_t slot;

	if (leaf_entry_kind(entry) != ENTRY_DATA)
		return;
	must(segment_resolve(&store->segments, leaf_entry_birth(entry), &s,
			     &slot, &err),
	     &err);
	depend(reading, KIND_DATA, s->place << 16 | slot, s->place,
	       slot * BLOCK_SIZE, BLOCK_SIZE);
}

/* Nodes that the replay changed were read by it, and are no more. */
static void read_block(struct store *store, const struct volume *v,
		       struct vblock block, struct reading *reading)
{
	uint32_t id = v->map.root;

	reading->nr = 0;
	for (int level = INNER_LEVELS; id && level >= 0; level--) {
		struct node *n = get_node(store, id);
		const struct node_entry *e = node_entry(&store->nodes, id);

		if (n->generation != store->core.generation)
			depend(reading, level ? KIND_INNER : KIND_LEAF, id,
			       place_of(store, e->segno), e->offset, e->length);
		if (level == 0)
			read_data(store, reading,
				  n->leaf->entries[block.index % LEAF_BLOCKS]);
		else
			id = n->inner->children[block.index >> (9 * level - 3) &
						(INNER_CHILDREN - 1)];
	}
}

static void add_readings(struct survey *survey, struct medium *medium,
			 const struct state *state)
{
	struct store *store = open_store(medium, false);
	struct error err = ERROR_NONE;
	struct volume *v;

	mutex_lock(&store->core.lock);
	for (unsigned int i = 0; i < state->nr; i++) {
		must(volume_find(&store->volumes, state->contents[i].name, &v,
				 &err),
		     &err);
		for (unsigned int b = 0; b < NR_BLOCKS; b++)
			read_block(store, v, block_of_interest(b),
				   &survey->readings[i][b]);
	}
	mutex_unlock(&store->core.lock);
	close_store(store);
}

static bool is_known(const struct survey *survey, const struct structure *s)
{
	for (size_t i = 0; i < survey->all.len; i++) {
		const struct structure *t = &survey->all.ptr[i];

		if (t->place == s->place && t->offset < s->offset + s->length &&
		    s->offset < t->offset + t->length)
			return true;
	}
	return false;
}

static void add_data(struct survey *survey, const struct state *state)
{
	for (unsigned int i = 0; i < state->nr; i++)
		for (unsigned int b = 0; b < NR_BLOCKS; b++) {
			const struct reading *r = &survey->readings[i][b];
			const struct structure *s =
				r->nr ? &r->on[r->nr - 1] : NULL;

			if (s && s->kind == KIND_DATA && !is_known(survey, s))
				structures_push(&survey->all, *s);
		}
}

/* ---- the rest ---- */

static void add_other(struct survey *survey, enum kind kind, uint64_t place,
		      uint32_t slot)
{
	struct structure s = {kind, 0, place, slot * BLOCK_SIZE, BLOCK_SIZE};

	if (!is_known(survey, &s) && structures_push(&survey->all, s) < 0)
		die("out of memory");
}

/* Blocks in which no structure is: headers of the past, or nothing. */
static void add_rest(struct survey *survey, struct medium *medium)
{
	uint8_t block[BLOCK_SIZE];

	for (uint64_t place = 0; place < NR_FRAMES; place++)
		for (uint32_t slot = 0; slot < medium->nr_slots; slot++) {
			enum kind kind = KIND_UNUSED;

			medium_read(medium, (struct address){place, slot},
				    block);
			if (memcmp(block, SEGMENT_MAGIC, 8) == 0)
				kind = KIND_OTHER_SEGMENT;
			else if (memcmp(block, BATCH_MAGIC, 4) == 0)
				kind = KIND_OTHER_BATCH;
			if (!is_in_tail(survey, place, slot))
				add_other(survey, kind, place, slot);
		}
}

void survey_all(struct survey *survey, struct medium *medium,
		const struct state *state)
{
	survey_checkpoint(survey, medium);
	add_tail(survey, medium);
	add_readings(survey, medium, state);
	add_data(survey, state);
	add_rest(survey, medium);
}

void survey_done(struct survey *survey)
{
	structures_done(&survey->all);
	log_tail_done(&survey->tail);
}
