/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A store made to be damaged.
 *
 * Every operation is one batch of the log, so that a state can be told for
 * each place where the log may end: data are cut to what the open segment
 * still takes.
 */
#include "specimen.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test-store.h"

#define LARGE_SHIFT 19u
#define NR_ROUNDS 6u

const char *const specimen_names[NR_SPECIMENS] = {
	"clean", "crashed", "idle", "large", "between", "cleaned", "repaired",
};

struct maker {
	struct specimen *specimen;
	struct memory_disk *disk;
	struct store *store;
	struct state state;
	struct rng rng;
	uint32_t next_number;
};

static void must(int r, const struct error *err)
{
	if (r < 0)
		die("making a specimen: %s", err->message);
}

/* ---- notes ---- */

static void push_state(struct maker *m, uint64_t seq)
{
	struct state *state = malloc(sizeof(*state));

	if (!state)
		die("out of memory");
	m->state.seq = seq;
	*state = m->state;
	if (states_push(&m->specimen->states, state) < 0)
		die("out of memory");
}

/* What was done is a batch of its own; note what there is now. */
static void note(struct maker *m)
{
	uint64_t seq;

	mutex_lock(&m->store->core.lock);
	log_seal(&m->store->log);
	seq = m->store->log.sealed_seq;
	mutex_unlock(&m->store->core.lock);
	push_state(m, seq);
	if (disks_push(&m->specimen->past,
		       memory_disk_rebuild(m->disk,
					   memory_disk_nr_events(m->disk),
					   CRASH_KEEP_ALL, 0)) < 0)
		die("out of memory");
}

static void add_versions(struct specimen *specimen, struct memory_disk *disk)
{
	struct medium medium;
	struct survey survey;

	medium_open(&medium, disk, specimen->segment_shift);
	survey_checkpoint(&survey, &medium);
	for (size_t i = 0; i < survey.all.len; i++) {
		const struct structure *s = &survey.all.ptr[i];
		struct version v = {s->kind, s->key, s->length,
				    malloc(s->length)};

		if (!v.bytes || versions_push(&specimen->versions, v) < 0)
			die("out of memory");
		medium_read_bytes(&medium, s->place, s->offset, v.bytes,
				  s->length);
	}
	survey_done(&survey);
	medium_close(&medium);
}

/* ---- operations ---- */

/* Payload blocks that the next batch can take in its segment. */
static unsigned int room(struct maker *m)
{
	const struct log *log = &m->store->log;
	uint32_t nr_slots = m->store->core.nr_slots, left;

	mutex_lock(&m->store->core.lock);
	left = nr_slots - log->slot;
	mutex_unlock(&m->store->core.lock);
	return left < 2 ? nr_slots - 2 : left - 1;
}

static void write_blocks(struct maker *m, const char *name, unsigned int first,
			 unsigned int nr)
{
	struct volume_handle *handle;
	struct error err = ERROR_NONE;
	struct content *c = state_find(&m->state, name);
	uint64_t offset = block_of_interest(first).index * BLOCK_SIZE;
	static uint8_t data[LEAF_BLOCKS * BLOCK_SIZE];

	nr = nr < room(m) ? nr : room(m);
	for (unsigned int i = 0; i < nr; i++) {
		c->numbers[first + i] = m->next_number++;
		fill_block(data + i * BLOCK_SIZE, c->numbers[first + i]);
	}
	must(volume_open(m->store, name, VOLUME_OPEN_WRITE, &handle, &err),
	     &err);
	must(volume_write(handle, data, nr * BLOCK_SIZE, offset, false, &err),
	     &err);
	volume_close(handle);
	note(m);
}

static void clear_blocks(struct maker *m, const char *name, unsigned int first,
			 unsigned int nr, bool trim)
{
	struct volume_handle *handle;
	struct error err = ERROR_NONE;
	struct content *c = state_find(&m->state, name);
	uint64_t offset = block_of_interest(first).index * BLOCK_SIZE;

	for (unsigned int i = 0; i < nr; i++)
		c->numbers[first + i] = 0;
	must(volume_open(m->store, name, VOLUME_OPEN_WRITE, &handle, &err),
	     &err);
	must((trim ? volume_trim : volume_zero)(handle, nr * BLOCK_SIZE, offset,
						false, &err),
	     &err);
	volume_close(handle);
	note(m);
}

/* A write, zero or trim inside one of the groups of blocks. */
static void change_some(struct maker *m, const char *name)
{
	static const unsigned int first[] = {0, 64, 70, 76, 80, 84};
	unsigned int g = rng_one_in(&m->rng, 2)
				 ? 0
				 : (unsigned int)rng_below(&m->rng, 5);
	unsigned int nr = first[g + 1] - first[g];
	unsigned int at = (unsigned int)rng_below(&m->rng, nr);
	unsigned int n = 1 + (unsigned int)rng_below(&m->rng, nr - at);

	if (rng_one_in(&m->rng, 5))
		clear_blocks(m, name, first[g] + at, n < 5 ? n : 5,
			     rng_one_in(&m->rng, 2));
	else
		write_blocks(m, name, first[g] + at, n);
}

static void create(struct maker *m, const char *name)
{
	struct error err = ERROR_NONE;

	must(store_create(m->store, name, VOLUME_BYTES, &err), &err);
	(void)state_add(&m->state, NULL, name, false);
	note(m);
}

/* @names: one or two of vol@s. */
static void snapshot(struct maker *m, const char *const *names, size_t nr)
{
	struct error err = ERROR_NONE;

	must(store_snapshot(m->store, names, nr, "note", &err), &err);
	for (size_t i = 0; i < nr; i++) {
		char head[NAME_MAX_BYTES + 1];

		(void)snprintf(head, sizeof(head), "%.*s",
			       (int)strcspn(names[i], "@"), names[i]);
		(void)state_add(&m->state, state_find(&m->state, head),
				names[i], true);
	}
	note(m);
}

static void snapshot_one(struct maker *m, const char *name)
{
	snapshot(m, &name, 1);
}

static void clone_one(struct maker *m, const char *from, const char *name)
{
	struct error err = ERROR_NONE;

	must(store_clone(m->store, from, &name, 1, &err), &err);
	(void)state_add(&m->state, state_find(&m->state, from), name, false);
	note(m);
}

static void scratch(struct maker *m, const char *from)
{
	char name[NAME_MAX_BYTES + 1];
	struct error err = ERROR_NONE;

	must(store_scratch(m->store, from, name, &err), &err);
	(void)state_add(&m->state, state_find(&m->state, from), name, false);
	note(m);
	write_blocks(m, name, 2, 3);
}

/* A snapshot, or a volume without any. */
static void delete_one(struct maker *m, const char *name)
{
	struct error err = ERROR_NONE;

	must(store_delete(m->store, &name, 1, false, &err), &err);
	state_remove(&m->state, name);
	note(m);
}

static void rollback(struct maker *m, const char *name, const char *head)
{
	char kept[1][NAME_MAX_BYTES + 1];
	struct error err = ERROR_NONE;

	must(store_rollback(m->store, &name, 1, kept, &err), &err);
	(void)state_add(&m->state, state_find(&m->state, head), kept[0], true);
	memcpy(state_find(&m->state, head)->numbers,
	       state_find(&m->state, name)->numbers,
	       sizeof(state_find(&m->state, name)->numbers));
	note(m);
}

static void set_quota(struct maker *m, const char *name, uint64_t bytes)
{
	char value[24];
	struct setting settings[] = {{"quota", value}, {"on-full", "pause"}};
	struct error err = ERROR_NONE;

	(void)snprintf(value, sizeof(value), "%" PRIu64, bytes);

	must(store_set(m->store, name, settings, 2, &err), &err);
	state_find(&m->state, name)->quota = bytes;
	note(m);
}

static void flush(struct maker *m)
{
	struct error err = ERROR_NONE;

	must(store_flush(m->store, &err), &err);
	note(m);
}

/* On the medium, not synced. */
static void write_out(struct maker *m)
{
	struct log *log = &m->store->log;
	struct error err = ERROR_NONE;

	mutex_lock(&m->store->core.lock);
	must(log_write_upto(log, log->sealed_seq, &err), &err);
	mutex_unlock(&m->store->core.lock);
	note(m);
}

static void checkpoint(struct maker *m)
{
	struct error err = ERROR_NONE;

	must(store_checkpoint(m->store, &err), &err);
	note(m);
	add_versions(m->specimen,
		     m->specimen->past.ptr[m->specimen->past.len - 1]);
}

static void reap(struct maker *m)
{
	struct error err = ERROR_NONE;

	must(store_reap(m->store, &err), &err);
}

/* One slice, which is not all of it; @whole: to its end. */
static void scrub(struct maker *m, bool whole)
{
	struct scrub_options options = {.max_bytes = 32 << 10};
	struct scrub_progress progress = {0};
	struct error err = ERROR_NONE;

	do {
		must(store_scrub(m->store, &options, &progress, NULL, NULL,
				 &err),
		     &err);
	} while (whole && !progress.done);
}

/* Few live blocks in many segments, moved: forwards, and names without a frame.
 */
static void clean(struct maker *m)
{
	struct error err = ERROR_NONE;
	struct store_stat stat;

	for (unsigned int i = 0; i < 12; i++) {
		write_blocks(m, "v", 5 * i, 1);
		write_blocks(m, "w", 0, 12);
		write_blocks(m, "w", 0, 12);
		if (i == 6)
			snapshot_one(m, "v@cleaned");
	}
	checkpoint(m);
	must(store_clean(m->store, &err), &err);
	checkpoint(m);
	write_blocks(m, "v", 0, 2); /* renames those beside it */
	checkpoint(m);
	store_stat(m->store, &stat);
	if (!stat.forwarded_blocks || !stat.nr_name_segments ||
	    !stat.renamed_blocks)
		die("making a specimen: nothing was cleaned");
}

/* ---- histories ---- */

static void open_store(struct maker *m)
{
	struct store_open_options options = {.nr_buffers = 8};
	struct error err = ERROR_NONE;

	must(test_store_open(m->disk, &options, &m->store, &err), &err);
}

/* Old versions of everything, and frames that are used again. */
static void live(struct maker *m)
{
	create(m, "v");
	create(m, "w");
	for (unsigned int i = 0; i < NR_ROUNDS; i++) {
		write_blocks(m, "v", 0, 64);
		change_some(m, "v");
		change_some(m, "w");
		change_some(m, i % 2 ? "w" : "v");
		if (i == 1) {
			snapshot_one(m, "v@1");
			set_quota(m, "v", 1 << 30);
		}
		if (i == 2)
			clone_one(m, "v@1", "group/c");
		if (i == 3)
			snapshot(m, (const char *const[]){"v@2", "w@2"}, 2);
		if (i == 4) {
			rollback(m, "w@2", "w");
			delete_one(m, "v@1");
			scratch(m, "v@2");
			reap(m);
		}
		if (i > 2)
			change_some(m, "group/c");
		checkpoint(m);
	}
	snapshot_one(m, "w@3");
	change_some(m, "w");
	delete_one(m, "w@3"); /* waits for the reaper */
	scrub(m, true);
	scrub(m, false);
	write_blocks(m, "v", 0, 64);
	checkpoint(m);
}

/* A log of every kind of entry, with and without flushes in between. */
static void work(struct maker *m)
{
	for (unsigned int i = 0; i < 3; i++)
		change_some(m, "v");
	flush(m);
	snapshot_one(m, "v@3");
	for (unsigned int i = 0; i < 8; i++)
		write_blocks(m, i % 3 ? "v" : "w", 4 * i, 16);
	flush(m);
	clone_one(m, "w@2", "d");
	set_quota(m, "d", 512 << 20);
	change_some(m, "d");
	rollback(m, "v@3", "v");
	delete_one(m, "v@2");
	for (unsigned int i = 0; i < 4; i++)
		change_some(m, i % 2 ? "group/c" : "v");
	flush(m);
	change_some(m, "w");
	change_some(m, "v");
	flush(m);
}

static void end_idle(struct maker *m)
{
	mutex_lock(&m->store->core.lock);
	m->store->log.flushed_at_ms -= 2000;
	log_advertise_durable(&m->store->log);
	mutex_unlock(&m->store->core.lock);
	note(m);
}

static void end_unflushed(struct maker *m)
{
	for (unsigned int i = 0; i < 4; i++) {
		change_some(m, i % 2 ? "w" : "v");
		write_out(m);
	}
}

/* The image before superblock B of the last checkpoint was written. */
static struct memory_disk *die_between(struct maker *m)
{
	memory_disk_fault(m->disk, MEMORY_SUPER_WRITE, 2, EIO, true);
	if (store_checkpoint(m->store, NULL) == 0)
		die("making a specimen: the checkpoint did not die");
	memory_disk_fault(m->disk, MEMORY_SUPER_WRITE, 0, 0, false);
	return disk_copy(m->disk);
}

static void repair(struct maker *m)
{
	struct repair_options options = {0};
	struct backend *be = backend_memory_open(m->disk);
	struct check_report report;
	struct error err = ERROR_NONE;

	must(store_repair(be, &options, NULL, NULL, &report, &err), &err);
	backend_close(be);
}

/* The first leaf of w@2 is damaged, and what is below it given up. */
static void lose_leaf(struct maker *m)
{
	unsigned int w = (unsigned int)(state_find(&m->state, "w@2") -
					m->state.contents);
	static struct survey survey;
	struct medium medium;
	struct error err = ERROR_NONE;
	struct structure leaf;
	uint8_t data[BLOCK_SIZE];

	must(store_close(m->store, true, &err), &err);
	medium_open(&medium, m->disk, m->specimen->segment_shift);
	survey_all(&survey, &medium, &m->state);
	leaf = survey.readings[w][0].on[INNER_LEVELS];
	medium_read(&medium,
		    (struct address){leaf.place, leaf.offset / BLOCK_SIZE},
		    data);
	data[leaf.offset % BLOCK_SIZE] ^= 1;
	medium_write(&medium,
		     (struct address){leaf.place, leaf.offset / BLOCK_SIZE},
		     data);
	medium_close(&medium);
	repair(m);
	for (unsigned int i = 0; i < m->state.nr; i++)
		for (unsigned int b = 0; b < NR_BLOCKS; b++)
			if (survey.readings[i][b].nr > INNER_LEVELS &&
			    survey.readings[i][b].on[INNER_LEVELS].key ==
				    leaf.key)
				m->state.contents[i].numbers[b] = NUMBER_LOST;
	survey_done(&survey);
	open_store(m);
	note(m);
}

static struct memory_disk *make_image(struct maker *m, enum specimen_kind kind)
{
	struct memory_disk *ret = NULL;

	live(m);
	if (kind == SPECIMEN_CLEANED)
		clean(m);
	if (kind == SPECIMEN_REPAIRED)
		lose_leaf(m);
	if (kind != SPECIMEN_CLEAN)
		work(m);
	if (kind == SPECIMEN_IDLE || kind == SPECIMEN_CLEANED ||
	    kind == SPECIMEN_REPAIRED)
		end_idle(m);
	if (kind == SPECIMEN_CRASHED || kind == SPECIMEN_LARGE)
		end_unflushed(m);
	if (kind == SPECIMEN_BETWEEN)
		ret = die_between(m);
	(void)store_close(m->store, kind == SPECIMEN_CLEAN, NULL);
	return ret ? ret : disk_copy(m->disk);
}

static struct memory_disk *empty_disk(unsigned int segment_shift)
{
	struct store_init_options options = {
		.segment_shift = segment_shift,
		.capacity = backend_frame_offset(NR_FRAMES, segment_shift),
	};
	struct memory_disk *disk = memory_disk_create(options.capacity);
	struct backend *be = backend_memory_open(disk);
	struct error err = ERROR_NONE;

	must(store_init(be, &options, &err), &err);
	backend_close(be);
	return disk;
}

/* With superblock A lost, the checkpoint before counts. */
static void survey_older(struct specimen *specimen)
{
	static const uint8_t zeros[BLOCK_SIZE];
	struct memory_disk *disk = disk_copy(specimen->disk);
	struct medium medium;

	medium_open(&medium, disk, specimen->segment_shift);
	medium_write(&medium, (struct address){NR_FRAMES, 0}, zeros);
	survey_all(&specimen->older, &medium,
		   specimen->states.ptr[specimen->states.len - 1]);
	medium_close(&medium);
	memory_disk_put(disk);
}

void specimen_make(struct specimen *ret, enum specimen_kind kind, uint64_t seed)
{
	struct maker m = {
		.specimen = ret, .rng = {seed + kind}, .next_number = 1};

	memset(ret, 0, sizeof(*ret));
	ret->kind = kind;
	ret->segment_shift =
		kind == SPECIMEN_LARGE ? LARGE_SHIFT : TEST_SEGMENT_SHIFT;
	m.disk = empty_disk(ret->segment_shift);
	memory_disk_record(m.disk);
	open_store(&m);
	ret->disk = make_image(&m, kind);
	memory_disk_put(m.disk);
	medium_open(&ret->medium, ret->disk, ret->segment_shift);
	survey_all(&ret->survey, &ret->medium,
		   ret->states.ptr[ret->states.len - 1]);
	if (kind == SPECIMEN_BETWEEN)
		survey_older(ret);
}

void specimen_done(struct specimen *specimen)
{
	survey_done(&specimen->survey);
	if (specimen->kind == SPECIMEN_BETWEEN)
		survey_done(&specimen->older);
	medium_close(&specimen->medium);
	memory_disk_put(specimen->disk);
	for (size_t i = 0; i < specimen->past.len; i++)
		memory_disk_put(specimen->past.ptr[i]);
	disks_done(&specimen->past);
	for (size_t i = 0; i < specimen->states.len; i++)
		free(specimen->states.ptr[i]);
	states_done(&specimen->states);
	for (size_t i = 0; i < specimen->versions.len; i++)
		free(specimen->versions.ptr[i].bytes);
	versions_done(&specimen->versions);
}

const struct state *specimen_state(const struct specimen *specimen,
				   uint64_t seq)
{
	/* notes without a batch of their own repeat the seq: the last counts */
	for (size_t i = specimen->states.len; i-- > 0;)
		if (specimen->states.ptr[i]->seq == seq)
			return specimen->states.ptr[i];
	die("no state is known after batch %" PRIu64, seq);
}
