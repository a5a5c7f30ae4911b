/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the crash test has met.  Recorded writes are read with the codecs; a
 * step is known by its kind and by what came before it.
 */
#include "coverage.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "checkpoint.h"
#include "map-node.h"
#include "memory-recording.h"
#include "segment-info.h"
#include "superblock.h"
#include "test-store.h"

#define BIT(feature) (UINT64_C(1) << (feature))

_Static_assert(NR_FEATURES <= 64, "a bit for each");

/* Needed at these levels, and to be replayed. */
#define ONLY_WORK 1u
#define ALL_LEVELS 7u
#define REPLAYED 8u

static const struct {
	const char *name;
	unsigned int needed;
} feature_table[NR_FEATURES] = {
	[MET_WRITE] = {"log: WRITE", ONLY_WORK | REPLAYED},
	[MET_ZERO] = {"log: ZERO", ONLY_WORK | REPLAYED},
	[MET_TRIM] = {"log: TRIM", ONLY_WORK | REPLAYED},
	[MET_CREATE] = {"log: CREATE", ONLY_WORK | REPLAYED},
	[MET_SNAPSHOT] = {"log: SNAPSHOT", ONLY_WORK | REPLAYED},
	[MET_CLONE] = {"log: CLONE", ONLY_WORK | REPLAYED},
	[MET_DELETE] = {"log: DELETE", ONLY_WORK | REPLAYED},
	[MET_ROLLBACK] = {"log: ROLLBACK", ONLY_WORK | REPLAYED},
	[MET_UNDO] = {"log: UNDO", ONLY_WORK | REPLAYED},
	[MET_SET] = {"log: SET", ONLY_WORK | REPLAYED},
	[MET_SET_NAME] = {"log: SET_NAME", ONLY_WORK | REPLAYED},
	[MET_RESIZE] = {"log: RESIZE", ONLY_WORK | REPLAYED},
	[MET_DURABLE] = {"log: durable_seq only", ONLY_WORK | REPLAYED},
	[MET_LOG_BEGUN] = {"log: segment begun by a cut",
			   ALL_LEVELS | REPLAYED},
	[MET_LOG_BATCH] = {"log: batch", ONLY_WORK | REPLAYED},
	[MET_LOG_SEGMENT] = {"log: next segment", ONLY_WORK | REPLAYED},
	[MET_LOG_FRAME_AGAIN] = {"log: frame used again", ONLY_WORK | REPLAYED},
	[MET_META_BATCH] = {"metadata: batch", ALL_LEVELS},
	[MET_META_SEGMENT] = {"metadata: next segment", ALL_LEVELS},
	[MET_META_FRAME_AGAIN] = {"metadata: frame used again", ONLY_WORK},
	[MET_GC_BATCH] = {"moved blocks: batch", ONLY_WORK},
	[MET_GC_SEGMENT] = {"moved blocks: next segment", ONLY_WORK},
	[MET_GC_FRAME_AGAIN] = {"moved blocks: frame used again", ONLY_WORK},
	[MET_LEAF_NEAR] = {"metadata: leaf, near", ALL_LEVELS},
	[MET_LEAF_RUN] = {"metadata: leaf, run", ONLY_WORK},
	[MET_INNER] = {"metadata: inner node", ALL_LEVELS},
	[MET_NODE_TABLE] = {"metadata: node table", ALL_LEVELS},
	[MET_SEGMENT_INFO] = {"metadata: segment info", ALL_LEVELS},
	[MET_OVERFLOW] = {"metadata: counts of 3 and more", ONLY_WORK},
	[MET_FORWARDS] = {"metadata: forwards", ONLY_WORK},
	[MET_NAMES] = {"metadata: segment of names only", ONLY_WORK},
	[MET_VOLUME] = {"metadata: volume record", ALL_LEVELS},
	[MET_FRAME_MAP] = {"metadata: frame map", ONLY_WORK},
	[MET_REAPER] = {"metadata: reaper queue", ONLY_WORK},
	[MET_REAPER_QUEUE] = {"metadata: reaper queue, not empty", ONLY_WORK},
	[MET_DIRECTORY] = {"metadata: directory", ALL_LEVELS},
	[MET_ROOT] = {"metadata: root", ALL_LEVELS},
	[MET_FLUSH] = {"step: flush", ONLY_WORK},
	[MET_GROW] = {"step: frame allocated", ONLY_WORK},
	[MET_LONGER] = {"step: store made longer", ONLY_WORK},
	[MET_PUNCH] = {"step: frame given back", ONLY_WORK},
	[MET_CHECKPOINT_SYNC] = {"checkpoint: sync before A", ALL_LEVELS},
	[MET_CHECKPOINT_A] = {"checkpoint: A written", ALL_LEVELS},
	[MET_CHECKPOINT_A_SYNC] = {"checkpoint: A synced", ALL_LEVELS},
	[MET_CHECKPOINT_B] = {"checkpoint: B written", ALL_LEVELS},
	[MET_CHECKPOINT_B_SYNC] = {"checkpoint: B synced", ALL_LEVELS},
	[MET_CLAIM_FIRST] = {"recovery: first copy claimed", ALL_LEVELS},
	[MET_CLAIM_FIRST_SYNC] = {"recovery: and synced", ALL_LEVELS},
	[MET_CLAIM_SECOND] = {"recovery: second copy claimed", ALL_LEVELS},
	[MET_CLAIM_SECOND_SYNC] = {"recovery: and synced", ALL_LEVELS},
	[MET_RECOVERY_SYNC] = {"recovery: sync before the log", ALL_LEVELS},
};

static const char *const circumstances[NR_CIRCUMSTANCES] = {
	[SEEN_LOG_EMPTY] = "recovery: nothing to replay",
	[SEEN_LOG_REPLAYED] = "recovery: log replayed",
	[SEEN_COPY_A_NEWER] = "superblocks: A is newer",
	[SEEN_COPY_B_NEWER] = "superblocks: B is newer",
	[SEEN_COPY_A_INVALID] = "superblocks: A is invalid",
	[SEEN_COPY_B_INVALID] = "superblocks: B is invalid",
	[SEEN_TWO_CAPACITIES] = "superblocks: of two capacities",
	[SEEN_QUEUE] = "reaper: nodes to free after recovery",
	[SEEN_FULL] = "work refused: store is full",
	[SEEN_REAPED] = "reaper: nodes freed",
	[SEEN_META_CLEANED] = "META cleaner: nodes moved",
	[SEEN_MOVED] = "cleaner: blocks moved",
	[SEEN_RENAMED] = "cleaner: moved blocks renamed",
};

/* ---- what an event is ---- */

struct reader {
	uint64_t segnos[4096];	  /* by place: seen last, 0: none */
	uint64_t id, incarnation; /* of the super write before */
	bool meta;		  /* META was written since */
	uint64_t last;		  /* feature of the event before */
	unsigned int segment_shift;
};

static uint64_t op_feature(enum op op)
{
	switch (op) {
	case OP_WRITE:
		return BIT(MET_WRITE);
	case OP_ZERO:
		return BIT(MET_ZERO);
	case OP_TRIM:
		return BIT(MET_TRIM);
	case OP_CREATE:
		return BIT(MET_CREATE);
	case OP_SNAPSHOT:
		return BIT(MET_SNAPSHOT);
	case OP_CLONE:
		return BIT(MET_CLONE);
	case OP_DELETE:
		return BIT(MET_DELETE);
	case OP_ROLLBACK:
		return BIT(MET_ROLLBACK);
	case OP_UNDO:
		return BIT(MET_UNDO);
	case OP_SET:
		return BIT(MET_SET);
	case OP_SET_NAME:
		return BIT(MET_SET_NAME);
	case OP_RESIZE:
		return BIT(MET_RESIZE);
	default:
		die("coverage: log entry %d is not known", (int)op);
	}
}

static uint64_t log_features(const struct disk_batch *disk,
			     const struct batch_header *h)
{
	uint64_t ret = BIT(MET_LOG_BATCH);
	struct batch_entry e;

	if (h->nr_entries == 0)
		return ret |
		       (h->slot == 1 ? BIT(MET_LOG_BEGUN) : BIT(MET_DURABLE));
	for (uint32_t i = 0; i < h->nr_entries; i++) {
		if (batch_get_entry(disk, i, h->kind, &e, NULL) < 0)
			die("coverage: a batch with a bad entry");
		ret |= op_feature(e.op);
	}
	return ret;
}

static uint64_t segment_info_features(const struct reader *reader,
				      const uint8_t *page, uint32_t length)
{
	const struct disk_page_header *h = (const void *)page;
	struct error err = ERROR_NONE;
	struct segment_info info;

	if (segment_info_decode(page, length, le32_get(h->index),
				reader->segment_shift, &info, &err) < 0)
		die("coverage: a bad segment info: %s", err.message);
	return BIT(MET_SEGMENT_INFO) |
	       (info.nr_overflow ? BIT(MET_OVERFLOW) : 0) |
	       (info.nr_forwards ? BIT(MET_FORWARDS) : 0) |
	       (info.place == PLACE_NONE ? BIT(MET_NAMES) : 0);
}

static uint64_t reaper_features(const uint8_t *page, uint32_t length)
{
	const struct disk_page_header *h = (const void *)page;
	uint32_t ids[REAPER_PAGE_ENTRIES], nr;

	if (reaper_page_decode(page, length, le32_get(h->index), ids, &nr,
			       NULL) < 0)
		die("coverage: a bad reaper page");
	return BIT(MET_REAPER) | (nr ? BIT(MET_REAPER_QUEUE) : 0);
}

static uint64_t leaf_features(const uint8_t *record, uint32_t *ret_length)
{
	switch (record[2]) {
	case LEAF_NEAR:
		*ret_length = NODE_LEAF_NEAR_BYTES;
		return BIT(MET_LEAF_NEAR);
	case LEAF_RUN:
		*ret_length = NODE_LEAF_RUN_BYTES;
		return BIT(MET_LEAF_RUN);
	default:
		die("coverage: a leaf of encoding %u", record[2]);
	}
}

/* The record at @record; *ret_length 0: the root, which is the last one. */
static uint64_t record_features(const struct reader *reader,
				const uint8_t *record, uint32_t *ret_length)
{
	const struct disk_page_header *h = (const void *)record;

	*ret_length = le32_get(h->length);
	switch (record[0]) {
	case NODE_LEAF:
		return leaf_features(record, ret_length);
	case NODE_INNER:
		*ret_length = NODE_INNER_BYTES;
		return BIT(MET_INNER);
	case PAGE_NODE_TABLE:
		return BIT(MET_NODE_TABLE);
	case PAGE_SEGMENT_INFO:
		return segment_info_features(reader, record, *ret_length);
	case PAGE_VOLUME:
		return BIT(MET_VOLUME);
	case PAGE_FRAME_MAP:
		return BIT(MET_FRAME_MAP);
	case PAGE_REAPER:
		return reaper_features(record, *ret_length);
	case PAGE_DIRECTORY:
		return BIT(MET_DIRECTORY);
	default:
		*ret_length = 0;
		return memcmp(record, ROOT_MAGIC, 8) == 0 ? BIT(MET_ROOT) : 0;
	}
}

static uint64_t meta_features(const struct reader *reader,
			      const uint8_t *payload, uint32_t bytes)
{
	uint64_t ret = BIT(MET_META_BATCH);
	uint32_t at = 0, length = 1;

	while (length > 0 && at < bytes) {
		ret |= record_features(reader, payload + at, &length);
		at += (uint32_t)round_up_u64(length, 8);
	}
	return ret;
}

static const enum feature next_segment[] = {
	[SEGMENT_DATA] = MET_LOG_SEGMENT,
	[SEGMENT_GC] = MET_GC_SEGMENT,
	[SEGMENT_META] = MET_META_SEGMENT,
};

static const enum feature frame_again[] = {
	[SEGMENT_DATA] = MET_LOG_FRAME_AGAIN,
	[SEGMENT_GC] = MET_GC_FRAME_AGAIN,
	[SEGMENT_META] = MET_META_FRAME_AGAIN,
};

static uint64_t write_features(struct reader *reader, const struct event *e)
{
	const struct disk_batch *batch = (const void *)e->data;
	bool first = e->offset == 0;
	struct segment_header segment;
	struct batch_header h;
	uint64_t ret = 0, *segno;

	assert(e->place < sizeof(reader->segnos) / sizeof(*segno));
	segno = &reader->segnos[e->place];
	if (first) {
		if (segment_header_decode((const void *)e->data, e->place,
					  &segment, NULL) < 0)
			die("coverage: a bad segment header");
		batch++;
	}
	if (batch_decode(batch, &h, NULL) < 0)
		die("coverage: a bad batch");
	if (h.kind == SEGMENT_DATA)
		ret = log_features(batch, &h);
	else if (h.kind == SEGMENT_GC)
		ret = BIT(MET_GC_BATCH);
	else
		ret = meta_features(reader, (const uint8_t *)(batch + 1),
				    h.nr_payload * BLOCK_SIZE);
	reader->meta |= h.kind == SEGMENT_META;
	if (!first)
		return ret;
	ret |= BIT(next_segment[h.kind]);
	if (*segno && *segno != segment.segno)
		ret |= BIT(frame_again[h.kind]);
	*segno = segment.segno;
	return ret;
}

/* A checkpoint writes META before it writes a superblock, a claim does not. */
static uint64_t super_features(struct reader *reader, const struct event *e)
{
	struct superblock sb;
	bool second;

	if (superblock_decode((const void *)e->data, (unsigned int)e->place,
			      &sb, NULL) < 0)
		die("coverage: a bad superblock");
	second = sb.checkpoint_id == reader->id &&
		 sb.open_incarnation == reader->incarnation;
	reader->id = sb.checkpoint_id;
	reader->incarnation = sb.open_incarnation;
	if (reader->meta || reader->last == BIT(MET_CHECKPOINT_A_SYNC)) {
		reader->meta = false;
		return second ? BIT(MET_CHECKPOINT_B) : BIT(MET_CHECKPOINT_A);
	}
	return second ? BIT(MET_CLAIM_SECOND) : BIT(MET_CLAIM_FIRST);
}

static uint64_t sync_features(const struct reader *reader)
{
	if (reader->meta)
		return BIT(MET_CHECKPOINT_SYNC);
	switch (reader->last) {
	case BIT(MET_CHECKPOINT_A):
		return BIT(MET_CHECKPOINT_A_SYNC);
	case BIT(MET_CHECKPOINT_B):
		return BIT(MET_CHECKPOINT_B_SYNC);
	case BIT(MET_CLAIM_FIRST):
		return BIT(MET_CLAIM_FIRST_SYNC);
	case BIT(MET_CLAIM_SECOND):
		return BIT(MET_CLAIM_SECOND_SYNC);
	case BIT(MET_CLAIM_SECOND_SYNC):
		return BIT(MET_RECOVERY_SYNC);
	default:
		return BIT(MET_FLUSH);
	}
}

static uint64_t event_features(struct reader *reader, const struct event *e)
{
	switch (e->op) {
	case MEMORY_WRITE:
		return write_features(reader, e);
	case MEMORY_SUPER_WRITE:
		return super_features(reader, e);
	case MEMORY_SYNC:
		return sync_features(reader);
	case MEMORY_ALLOCATE:
		return BIT(MET_GROW);
	case MEMORY_GROW:
		return BIT(MET_LONGER);
	case MEMORY_FREE:
		return BIT(MET_PUNCH);
	default:
		die("coverage: event %d is not known", (int)e->op);
	}
}

struct features features_of(struct memory_disk *disk,
			    unsigned int segment_shift)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	uint64_t nr = memory_disk_nr_events(disk);
	struct features ret = {0};

	if (!reader || features_reserve(&ret, nr) < 0)
		die("out of memory");
	reader->segment_shift = segment_shift;
	for (uint64_t i = 0; i < nr; i++) {
		reader->last =
			event_features(reader, memory_disk_event(disk, i));
		ret.ptr[ret.len++] = reader->last;
	}
	free(reader);
	return ret;
}

/* ---- counting ---- */

static void add(uint64_t *counts, uint64_t bits)
{
	for (unsigned int i = 0; i < NR_FEATURES; i++)
		counts[i] += bits >> i & 1;
}

void coverage_recorded(struct coverage *coverage, const struct features *f)
{
	for (size_t i = 0; i < f->len; i++)
		add(coverage->recorded, f->ptr[i]);
}

void coverage_crashed(struct coverage *coverage, const struct features *f,
		      uint64_t nr_events, unsigned int level, bool whole)
{
	uint64_t replayed = 0;

	if (nr_events == 0)
		return;
	add(coverage->crashed[level], f->ptr[nr_events - 1]);
	/* what is in the log behind the last checkpoint's superblock */
	for (uint64_t i = nr_events; whole && i-- > 0;) {
		if (f->ptr[i] & (BIT(MET_CHECKPOINT_A) | BIT(MET_CLAIM_FIRST)))
			break;
		if (f->ptr[i] & BIT(MET_LOG_BATCH))
			replayed |= f->ptr[i];
	}
	add(coverage->replayed, replayed);
}

void coverage_superblocks(struct coverage *coverage, struct memory_disk *disk)
{
	struct backend *be = backend_memory_open(disk);
	struct superblock sb[SUPERBLOCK_COPIES] = {0};
	struct disk_superblock bytes;
	bool ok[SUPERBLOCK_COPIES];
	uint64_t a, b;

	for (unsigned int i = 0; i < SUPERBLOCK_COPIES; i++)
		ok[i] = backend_super_read(be, i, &bytes, NULL) == 0 &&
			superblock_decode(&bytes, i, &sb[i], NULL) == 0;
	backend_close(be);
	a = sb[0].checkpoint_id + sb[0].open_incarnation;
	b = sb[1].checkpoint_id + sb[1].open_incarnation;
	coverage->seen[SEEN_COPY_A_INVALID] += !ok[0];
	coverage->seen[SEEN_COPY_B_INVALID] += !ok[1];
	coverage->seen[SEEN_COPY_A_NEWER] += ok[0] && ok[1] && a > b;
	coverage->seen[SEEN_COPY_B_NEWER] += ok[0] && ok[1] && b > a;
	coverage->seen[SEEN_TWO_CAPACITIES] +=
		ok[0] && ok[1] && sb[0].capacity != sb[1].capacity;
}

/* ---- the table ---- */

static bool was_met(const struct coverage *c, unsigned int i)
{
	unsigned int needed = feature_table[i].needed;
	bool met = c->recorded[i] > 0;

	for (unsigned int level = 0; level < CRASH_LEVELS; level++)
		met &= !(needed >> level & 1) || c->crashed[level][i] > 0;
	return met && (!(needed & REPLAYED) || c->replayed[i] > 0);
}

unsigned int coverage_print(const struct coverage *c)
{
	unsigned int nr_missing = 0;

	printf("%-36s %8s %8s %8s %8s %8s\n", "", "recorded", "crash", "2nd",
	       "3rd", "replayed");
	for (unsigned int i = 0; i < NR_FEATURES; i++) {
		bool met = was_met(c, i);

		printf("%-36s", feature_table[i].name);
		printf(" %8" PRIu64, c->recorded[i]);
		for (unsigned int level = 0; level < CRASH_LEVELS; level++)
			printf(" %8" PRIu64, c->crashed[level][i]);
		if (feature_table[i].needed & REPLAYED)
			printf(" %8" PRIu64, c->replayed[i]);
		printf("%s\n", met ? "" : "  NOT REACHED");
		nr_missing += !met;
	}
	for (unsigned int i = 0; i < NR_CIRCUMSTANCES; i++) {
		printf("%-36s %8" PRIu64 "%s\n", circumstances[i], c->seen[i],
		       c->seen[i] ? "" : "  NOT REACHED");
		nr_missing += !c->seen[i];
	}
	return nr_missing;
}
