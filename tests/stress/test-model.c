/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random operations on several volumes, against plain arrays of bytes.
 *
 * test-model [--seed N] [--ops N] [--frames N] [--long] [--verbose]
 *
 * One thread, no workers: a seed replays exactly.  The store is closed and
 * opened again now and then: cleanly, after a flush as a process that died,
 * or without a flush when the tail file is on tmpfs.  With few frames the
 * store gets full; a request that fails so leaves each block of its range as
 * it was or as it was to be, a verb leaves everything as it was.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model-volume.h"
#include "random.h"
#include "test-store.h"
#include "units.h"

#define OPS_DEFAULT 200000u
#define OPS_LONG 5000000u
#define FRAMES_DEFAULT 3000u /* 188 MiB */
#define NR_VOLUMES 5u
#define VOLUME_BYTES_MAX_TEST (3u << 20)
#define WRITE_MAX (1u << 20)
#define SNAPSHOTS_MAX 6u /* of one volume */
#define CLONES_MAX 6u
#define COMPARE_EVERY 2500u
#define CHECK_EVERY 20000u

static struct {
	uint64_t seed, op;
	struct rng rng;
	struct memory_disk *disk;
	struct store *store;
	struct model *model;
	bool tail_shared, verbose;
	char tail_dir[64]; /* "": no tmpfs */
	const char *tail_dirs[2];
	uint64_t next_name;
	uint64_t most_bytes; /* grown so far it grows no more */
	uint64_t nr_moved, nr_full, nr_reopened, nr_grown;
	char what[160];
} t;

static uint8_t data[WRITE_MAX], read_back[WRITE_MAX];

/* ---- small things ---- */

static void fail(const char *sentence)
{
	die("FAILED op %" PRIu64 " (%s): %s\n  again: --seed %" PRIu64, t.op,
	    t.what, sentence, t.seed);
}

static void must(int r, const struct error *err)
{
	if (r < 0)
		fail(err->message);
}

/* What goes on, for the message of a failure. */
static void note(const char *verb, const char *operand, uint64_t length,
		 uint64_t offset)
{
	(void)snprintf(t.what, sizeof(t.what), "%s %.80s %" PRIu64 "@%" PRIu64,
		       verb, operand, length, offset);
	if (t.verbose)
		printf("%" PRIu64 ": %s\n", t.op, t.what);
}

static const struct model_volume *any(bool heads, bool snapshots)
{
	size_t start = rng_below(&t.rng, t.model->nr + 1);

	for (size_t i = 0; i < t.model->nr; i++) {
		const struct model_volume *v =
			t.model->volumes[(start + i) % t.model->nr];

		if (v->snapshot ? snapshots : heads)
			return v;
	}
	return NULL;
}

static struct model_volume *any_head(void)
{
	return (struct model_volume *)any(true, false);
}

static struct volume_handle *open_volume(const struct model_volume *v)
{
	struct volume_handle *handle;
	struct error err = ERROR_NONE;

	must(volume_open(t.store, v->name, v->snapshot ? 0 : VOLUME_OPEN_WRITE,
			 &handle, &err),
	     &err);
	return handle;
}

/* Mostly small, now and then large; aligned as often as not. */
static void any_range(const struct model_volume *v, uint64_t max,
		      uint64_t *length, uint64_t *offset)
{
	uint64_t n = 1 + rng_below(&t.rng, 64 << 10);

	if (rng_one_in(&t.rng, 3))
		n = 1 + rng_below(&t.rng, 3 * BLOCK_SIZE);
	else if (rng_one_in(&t.rng, 20))
		n = 1 + rng_below(&t.rng, max);
	*offset = rng_below(&t.rng, v->size);
	if (rng_one_in(&t.rng, 2)) {
		*offset = *offset / BLOCK_SIZE * BLOCK_SIZE;
		n = round_up_u64(n, BLOCK_SIZE);
	}
	if (rng_one_in(&t.rng, 50))
		n = 0;
	*length = n > v->size - *offset ? v->size - *offset : n;
	if (*length > max)
		*length = max;
}

static void new_name(const char *prefix, char ret[64])
{
	(void)snprintf(ret, 64, "%s%" PRIu64, prefix, t.next_name++);
}

/* ---- a full store ---- */

/*
 * A request for [offset, offset + length) met ENOSPC: what the store holds
 * now is what the model is to hold, provided each block is as it was or as
 * it was to be (@new; NULL: zeros).
 */
static void settle_block(struct model_volume *v, struct volume_handle *handle,
			 const uint8_t *new, uint64_t length, uint64_t offset)
{
	static const uint8_t zeros[BLOCK_SIZE];
	uint8_t now[BLOCK_SIZE], old[BLOCK_SIZE];
	struct error err = ERROR_NONE;

	must(volume_read(handle, now, (uint32_t)length, offset, &err), &err);
	model_read(v, old, length, offset);
	if (memcmp(now, old, length) != 0 &&
	    memcmp(now, new ? new : zeros, length) != 0)
		fail("a block is neither old nor new after ENOSPC");
	model_settle(t.model, v, now, length, offset);
}

static void settle(struct model_volume *v, struct volume_handle *handle,
		   const uint8_t *new, uint64_t length, uint64_t offset)
{
	while (length > 0) {
		uint64_t n = BLOCK_SIZE - offset % BLOCK_SIZE;

		if (n > length)
			n = length;
		settle_block(v, handle, new, n, offset);
		new = new ? new + n : NULL;
		offset += n;
		length -= n;
	}
}

static void drop(const struct model_volume *v)
{
	char name[NAME_MAX_BYTES + 1];
	struct error err = ERROR_NONE;

	strcpy(name, v->name);
	must(store_delete(t.store, (const char *const[]){name}, 1, true, &err),
	     &err);
	model_delete(t.model, name);
}

/* Make room: all snapshots and one volume go.  A full store must let them. */
static void relieve(void)
{
	const struct model_volume *v;
	struct error err = ERROR_NONE;

	t.nr_full++;
	note("relieve", "", t.nr_full, 0);
	while ((v = any(false, true)))
		drop(v);
	v = any_head();
	if (v)
		drop(v);
	must(store_reap(t.store, &err), &err);
	must(store_checkpoint(t.store, &err), &err);
	must(store_checkpoint(t.store, &err), &err);
}

/* True when it worked; a full store is made less full. */
static bool verb_worked(int r, const struct error *err)
{
	if (r == -ENOSPC) {
		relieve();
		return false;
	}
	must(r, err);
	return true;
}

/* ---- operations on data ---- */

static void do_write(void)
{
	struct model_volume *v = any_head();
	uint64_t length, offset;
	bool fua = rng_one_in(&t.rng, 40), full;
	struct volume_handle *handle;
	struct error err = ERROR_NONE;
	int r;

	if (!v)
		return;
	any_range(v, WRITE_MAX, &length, &offset);
	note(fua ? "write-fua" : "write", v->name, length, offset);
	for (uint64_t i = 0; i < length; i += 8) {
		uint64_t word = rng_next(&t.rng);

		memcpy(data + i, &word, length - i < 8 ? length - i : 8);
	}
	if (rng_one_in(&t.rng, 10)) /* whole blocks of zeros */
		memset(data, 0, length / 2);
	handle = open_volume(v);
	r = volume_write(handle, data, (uint32_t)length, offset, fua, &err);
	full = r == -ENOSPC;
	if (full)
		settle(v, handle, data, length, offset);
	else
		must(r, &err);
	volume_close(handle);
	if (full)
		relieve();
	else
		model_write(t.model, v, data, length, offset);
}

static void do_zero(void)
{
	struct model_volume *v = any_head();
	uint64_t length, offset;
	struct volume_handle *handle;
	struct error err = ERROR_NONE;
	int r;

	if (!v)
		return;
	any_range(v, v->size, &length, &offset);
	note("zero", v->name, length, offset);
	handle = open_volume(v);
	r = volume_zero(handle, length, offset, rng_one_in(&t.rng, 40), &err);
	if (r == -ENOSPC)
		settle(v, handle, NULL, length, offset);
	else
		must(r, &err);
	volume_close(handle);
	if (r == -ENOSPC)
		relieve();
	else
		model_zero(t.model, v, length, offset);
}

static void do_trim(void)
{
	struct model_volume *v = any_head();
	uint64_t length, offset, first, end;
	struct volume_handle *handle;
	struct error err = ERROR_NONE;
	int r;

	if (!v)
		return;
	any_range(v, v->size, &length, &offset);
	note("trim", v->name, length, offset);
	first = round_up_u64(offset, BLOCK_SIZE);
	end = (offset + length) / BLOCK_SIZE * BLOCK_SIZE;
	handle = open_volume(v);
	r = volume_trim(handle, length, offset, rng_one_in(&t.rng, 40), &err);
	if (r == -ENOSPC)
		settle(v, handle, NULL, length, offset);
	else
		must(r, &err);
	if (r == 0 && first < end)
		model_zero(t.model, v, end - first, first);
	/* the last, partial block of a volume may be trimmed or not */
	if (r == 0 && offset + length == v->size && end >= offset)
		settle(v, handle, NULL, v->size - end, end);
	volume_close(handle);
	if (r == -ENOSPC)
		relieve();
}

static void do_read(void)
{
	const struct model_volume *v = any(true, true);
	uint64_t length, offset;
	struct volume_handle *handle;
	struct error err = ERROR_NONE;

	if (!v)
		return;
	any_range(v, WRITE_MAX, &length, &offset);
	note("read", v->name, length, offset);
	handle = open_volume(v);
	must(volume_read(handle, read_back, (uint32_t)length, offset, &err),
	     &err);
	model_read(v, data, length, offset);
	if (memcmp(data, read_back, length) != 0)
		fail("read what was not written");
	volume_close(handle);
}

static void do_extents(void)
{
	const struct model_volume *v = any(true, true);
	uint64_t length, offset;
	struct volume_handle *handle;
	struct error err = ERROR_NONE;

	if (!v)
		return;
	any_range(v, v->size, &length, &offset);
	note("extents", v->name, length, offset);
	handle = open_volume(v);
	if (!model_volume_check_extents(v, handle, length, offset, &err))
		fail(err.message);
	volume_close(handle);
}

static void do_flush(void)
{
	struct error err = ERROR_NONE;

	note("flush", "", 0, 0);
	must(store_flush(t.store, &err), &err);
}

/* Beyond the end, and writing to a snapshot: refused, without effect. */
static void do_mischief(void)
{
	const struct model_volume *v = any(true, true);
	struct volume_handle *handle;
	struct error err = ERROR_NONE;

	if (!v)
		return;
	note("mischief", v->name, 0, 0);
	handle = open_volume(v);
	if (volume_read(handle, read_back, 2, v->size - 1, &err) != -EINVAL ||
	    volume_read(handle, read_back, 1, UINT64_MAX, &err) != -EINVAL)
		fail("reading beyond the end is not EINVAL");
	if (!v->snapshot &&
	    (volume_write(handle, data, 2, v->size - 1, false, &err) !=
		     -ENOSPC ||
	     volume_zero(handle, UINT64_MAX, 1, false, &err) != -ENOSPC ||
	     volume_trim(handle, 1, v->size, false, &err) != -ENOSPC))
		fail("changing what is beyond the end is not ENOSPC");
	if (v->snapshot &&
	    volume_write(handle, data, 1, 0, false, &err) != -EROFS)
		fail("writing to a snapshot is not EROFS");
	volume_close(handle);
}

/* ---- verbs ---- */

static unsigned int nr_heads(void)
{
	unsigned int nr = 0;

	for (size_t i = 0; i < t.model->nr; i++)
		nr += !t.model->volumes[i]->snapshot;
	return nr;
}

static void do_create(void)
{
	uint64_t size =
		512 * (1 + rng_below(&t.rng, VOLUME_BYTES_MAX_TEST / 512));
	struct error err = ERROR_NONE;
	char name[64];

	if (nr_heads() >= NR_VOLUMES + CLONES_MAX)
		return;
	new_name(rng_one_in(&t.rng, 3) ? "group/v" : "v", name);
	note("create", name, size, 0);
	if (!verb_worked(store_create(t.store, name, size, &err), &err))
		return;
	model_create_volume(t.model, name, size);
	if (store_create(t.store, name, size, &err) != -EEXIST)
		fail("creating it twice is not EEXIST");
}

/* One or two volumes at one instant. */
static void do_snapshot(void)
{
	const struct model_volume *a = any_head(), *b = any_head();
	char names[2][NAME_MAX_BYTES + 1], word[64];
	const char *const list[] = {names[0], names[1]};
	size_t nr = 1;
	struct error err = ERROR_NONE;

	if (!a || model_nr_snapshots(t.model, a->name) >= SNAPSHOTS_MAX)
		return;
	new_name("s", word);
	(void)snprintf(names[0], sizeof(names[0]), "%.100s@%s", a->name, word);
	(void)snprintf(names[1], sizeof(names[1]), "%.100s@%s", b->name, word);
	if (a != b && rng_one_in(&t.rng, 3))
		nr = 2;
	note("snapshot", names[0], nr, 0);
	if (!verb_worked(store_snapshot(t.store, list, nr, NULL, &err), &err))
		return;
	for (size_t i = 0; i < nr; i++)
		model_snapshot(t.model, names[i]);
}

static void do_clone(void)
{
	const struct model_volume *v = any(false, true);
	char from[NAME_MAX_BYTES + 1], name[64];
	const char *const list[] = {name};
	struct error err = ERROR_NONE;

	if (!v || nr_heads() >= NR_VOLUMES + CLONES_MAX)
		return;
	strcpy(from, v->name);
	new_name("c", name);
	note("clone", from, 1, 0);
	if (!verb_worked(store_clone(t.store, from, list, 1, &err), &err))
		return;
	model_clone(t.model, from, name);
}

static void delete_one(const struct model_volume *v)
{
	struct error err = ERROR_NONE;

	note("delete", v->name, 1, 0);
	if (model_nr_snapshots(t.model, v->name) > 0 &&
	    store_delete(t.store, (const char *const[]){v->name}, 1, false,
			 &err) != -EBUSY)
		fail("deleting a volume with snapshots is not EBUSY");
	drop(v);
}

static void do_delete_snapshot(void)
{
	const struct model_volume *v = any(false, true);

	if (v)
		delete_one(v);
}

static void do_delete_volume(void)
{
	const struct model_volume *v = any_head();

	if (v && nr_heads() > NR_VOLUMES)
		delete_one(v);
}

static void do_rollback(void)
{
	const struct model_volume *v = any(false, true);
	char name[NAME_MAX_BYTES + 1], kept[1][NAME_MAX_BYTES + 1];
	const char *const list[] = {name};
	struct error err = ERROR_NONE;

	if (!v)
		return;
	strcpy(name, v->name);
	note("rollback", name, 1, 0);
	if (!verb_worked(store_rollback(t.store, list, 1, kept, &err), &err))
		return;
	model_rollback(t.model, name, kept[0]);
}

/* A quota that nothing here reaches: that it is kept is what counts. */
static void do_set(void)
{
	struct model_volume *v = any_head();
	struct setting setting = {"quota", "none"};
	struct error err = ERROR_NONE;
	uint64_t quota = 0;
	char bytes[24];

	if (!v)
		return;
	if (!rng_one_in(&t.rng, 4)) {
		quota = (1 + rng_below(&t.rng, 1000)) << 40;
		(void)snprintf(bytes, sizeof(bytes), "%" PRIu64, quota);
		setting.value = bytes;
	}
	note("set", v->name, quota, 0);
	if (verb_worked(store_set(t.store, v->name, &setting, 1, &err), &err))
		model_set(t.model, v->name, quota, v->pause);
}

/* Names that are longer, or shorter again; now and then a taken one. */
static void do_rename(void)
{
	const struct model_volume *v = any(true, true);
	char from[NAME_MAX_BYTES + 1], to[NAME_MAX_BYTES + 65], word[64];
	const char *const from_list[] = {from};
	const char *const to_list[] = {to};
	struct error err = ERROR_NONE;
	int r;

	if (!v)
		return;
	strcpy(from, v->name);
	new_name("renamed", word);
	if (v->snapshot)
		(void)snprintf(to, sizeof(to), "%.*s@%s",
			       (int)strcspn(from, "@"), from, word);
	else
		strcpy(to, word);
	if (rng_one_in(&t.rng, 10))
		strcpy(to, from);
	note("rename", from, 1, 0);
	r = store_rename(t.store, from_list, to_list, 1, &err);
	if (strcmp(from, to) == 0) {
		if (r != -EEXIST)
			fail("a name that is taken is not EEXIST");
		return;
	}
	if (verb_worked(r, &err))
		model_rename(t.model, from, to);
}

static void do_resize(void)
{
	const struct model_volume *v = any_head();
	uint64_t size =
		512 * (1 + rng_below(&t.rng, VOLUME_BYTES_MAX_TEST / 512));
	struct error err = ERROR_NONE;
	uint64_t was;

	if (!v)
		return;
	if (size < v->size)
		size = round_up_u64(size, BLOCK_SIZE);
	note("resize", v->name, size, v->size);
	if (size < v->size &&
	    store_resize(t.store, v->name, size, false, &was, &err) != -EINVAL)
		fail("shrinking unasked is not EINVAL");
	if (verb_worked(store_resize(t.store, v->name, size, true, &was, &err),
			&err))
		model_resize(t.model, v->name, size);
}

static void do_undo(void)
{
	const struct model_volume *v = any_head();
	struct error err = ERROR_NONE;
	int r;

	if (!v)
		return;
	note("undo", v->name, 1, 0);
	r = store_undo(t.store, (const char *const[]){v->name}, 1, &err);
	if (!model_find_kept(t.model, v->name)) {
		if (r != -ENOENT)
			fail("undo without a kept head is not ENOENT");
		return;
	}
	if (verb_worked(r, &err))
		model_undo(t.model, v->name);
}

/* ---- the store itself ---- */

static void print_message(void *opaque, enum message_level level,
			  enum store_event event, const char *text)
{
	if (t.verbose)
		printf("%" PRIu64 ": store says: %s\n", t.op, text);
}

static void open_store(void)
{
	struct store_open_options options = {
		.message = print_message,
		.nr_buffers = 4 + (uint32_t)rng_below(&t.rng, 12),
		.checkpoint_log_bytes = (1 + rng_below(&t.rng, 32)) << 20,
		/* mostly so little that leaves are evicted */
		.memory_bytes = (1 + rng_below(&t.rng, 16)) << 20,
	};
	struct store_stat st;
	struct error err = ERROR_NONE;

	/* whoever opens after a death looks where the dead one's tail is */
	if (t.tail_dir[0] && (t.tail_shared || rng_one_in(&t.rng, 2)))
		options.tail_dirs = t.tail_dirs;
	must(test_store_open(t.disk, &options, &t.store, &err), &err);
	store_stat(t.store, &st);
	t.tail_shared = st.tail_shared;
	if (options.tail_dirs && !t.tail_shared)
		fail("no tail file was made");
}

static void do_reopen(void)
{
	bool clean = rng_one_in(&t.rng, 3);
	struct error err = ERROR_NONE;

	note(clean ? "reopen-clean" : "reopen", t.tail_shared ? "tail" : "", 0,
	     0);
	t.nr_reopened++;
	if (!clean && !t.tail_shared)
		must(store_flush(t.store, &err), &err);
	must(store_close(t.store, clean, &err), &err);
	open_store();
	if (!model_equals_store(t.model, t.store, &err))
		fail(err.message);
}

static void do_checkpoint(void)
{
	struct error err = ERROR_NONE;

	note("checkpoint", "", 0, 0);
	must(store_checkpoint(t.store, &err), &err);
}

static void do_reap(void)
{
	struct error err = ERROR_NONE;

	note("reap", "", 0, 0);
	must(store_reap(t.store, &err), &err);
}

/* ---- what would come free ---- */

#define SET_MAX 8u

/* Some snapshots, and a volume when there are enough: names, some twice. */
static size_t any_set(char (*ret)[NAME_MAX_BYTES + 1])
{
	size_t nr = 1 + rng_below(&t.rng, SET_MAX);
	bool heads = nr_heads() > NR_VOLUMES;

	for (size_t i = 0; i < nr; i++) {
		const struct model_volume *v = any(heads, true);

		if (!v)
			return i;
		strcpy(ret[i], v->name);
		heads &= v->snapshot;
	}
	return nr;
}

/* A delete frees what its dry run said, whatever is waiting to be reaped. */
static void do_foretell(void)
{
	char names[SET_MAX][NAME_MAX_BYTES + 1];
	const char *list[SET_MAX];
	size_t nr = any_set(names);
	struct store_stat before, after;
	struct error err = ERROR_NONE;
	struct space_freed freed;

	if (nr == 0)
		return;
	for (size_t i = 0; i < nr; i++)
		list[i] = names[i];
	note("foretell", names[0], nr, 0);
	must(store_delete_dry_run(t.store, list, nr, true, &freed, &err), &err);
	store_stat(t.store, &before);
	must(store_delete(t.store, list, nr, true, &err), &err);
	must(store_reap(t.store, &err), &err);
	store_stat(t.store, &after);
	if (!freed.exact ||
	    before.live_blocks - after.live_blocks != freed.blocks) {
		(void)error_set(&err, EUCLEAN,
				"%" PRIu64 " blocks came free, not %" PRIu64,
				before.live_blocks - after.live_blocks,
				freed.blocks);
		fail(err.message);
	}
	for (size_t i = 0; i < nr; i++)
		if (model_find(t.model, list[i]))
			model_delete(t.model, list[i]);
}

/* What is remembered of one is what a walk finds now. */
static void check_excl(const struct volume_info *info)
{
	const char *name = info->name;
	struct error err = ERROR_NONE;
	struct space_freed freed;

	must(store_delete_dry_run(t.store, &name, 1, false, &freed, &err),
	     &err);
	if (!info->excl_is_known || info->excl_blocks != freed.blocks)
		fail("excl is not what deleting it would free");
}

static void do_space(void)
{
	struct volume_space *rows;
	struct volume_info *infos;
	struct error err = ERROR_NONE;
	struct space_freed all;
	struct store_stat st;
	uint64_t sum = 0;
	size_t nr;

	note("space", "", 0, 0);
	must(store_list(t.store, &infos, &nr, &err), &err);
	must(store_excl(t.store, infos, nr, &err), &err);
	for (size_t i = 0; i < nr; i++)
		if (infos[i].snapshot || infos[i].nr_snapshots == 0)
			check_excl(&infos[i]);
	free(infos);
	must(store_space(t.store, NULL, 0, &rows, &nr, &all, &err), &err);
	store_stat(t.store, &st);
	for (size_t i = 0; i < nr; i++) {
		sum += rows[i].excl_blocks;
		if (rows[i].head_blocks + rows[i].snapshots_blocks >
		    rows[i].excl_blocks)
			fail("the parts of a volume are more than it has");
	}
	free(rows);
	if (all.blocks != st.live_blocks || sum > all.blocks)
		fail("what volumes hold is not what is live");
}

static void do_clean(void)
{
	struct error err = ERROR_NONE;
	struct store_stat st;
	int r;

	note("clean", "", 0, 0);
	r = store_clean(t.store, &err);
	if (r != -ENOSPC)
		must(r, &err);
	store_stat(t.store, &st);
	t.nr_moved += st.moved_blocks > 0;
	if (!model_equals_store(t.model, t.store, &err))
		fail(err.message);
}

static void do_grow(void)
{
	uint64_t capacity = t.model->capacity, now;
	struct error err = ERROR_NONE;

	if (capacity >= t.most_bytes)
		return;
	capacity += rng_below(&t.rng, t.most_bytes / 8);
	note("grow", "", capacity, 0);
	must(store_set_capacity(t.store, capacity, &now, &err), &err);
	model_set_capacity(t.model, capacity);
	t.nr_grown++;
}

static void check_everything(void)
{
	struct error err = ERROR_NONE;

	note("check", "", 0, 0);
	if (!model_equals_store(t.model, t.store, &err) ||
	    !test_store_check(t.store, &err))
		fail(err.message);
	if (memory_disk_unallocated_writes(t.disk) > 0)
		fail("a frame was written that had not been allocated");
}

/* ---- all of it ---- */

static const struct {
	unsigned int weight;
	void (*run)(void);
} operations[] = {
	{4000, do_write},	{2500, do_read},
	{700, do_zero},		{700, do_trim},
	{500, do_extents},	{400, do_flush},
	{120, do_snapshot},	{90, do_delete_snapshot},
	{40, do_clone},		{40, do_rollback},
	{20, do_set},		{40, do_undo},
	{30, do_delete_volume}, {25, do_create},
	{30, do_mischief},	{15, do_checkpoint},
	{20, do_reap},		{5, do_reopen},
	{10, do_clean},		{1, do_grow},
	{30, do_rename},	{40, do_resize},
	{30, do_foretell},	{20, do_space},
};

static void run_operation(unsigned int total_weight)
{
	uint64_t dice = rng_below(&t.rng, total_weight);
	size_t i = 0;

	while (dice >= operations[i].weight)
		dice -= operations[i++].weight;
	operations[i].run();
}

static void make_tail_dir(void)
{
	strcpy(t.tail_dir, "/dev/shm/varve-test-XXXXXX");
	if (!mkdtemp(t.tail_dir))
		t.tail_dir[0] = '\0';
	t.tail_dirs[0] = t.tail_dir;
}

int main(int argc, char **argv)
{
	bool is_long = test_flag(&argc, argv, "long");
	uint64_t ops = test_option(&argc, argv, "ops",
				   is_long ? OPS_LONG : OPS_DEFAULT);
	uint64_t frames = test_option(&argc, argv, "frames", FRAMES_DEFAULT);
	unsigned int total_weight = 0;
	struct error err = ERROR_NONE;
	struct store_stat st;

	t.seed = test_option(&argc, argv, "seed", rng_time_seed());
	t.verbose = test_flag(&argc, argv, "verbose");
	if (argc > 1)
		die("%s: unknown option %s", argv[0], argv[1]);
	printf("seed %" PRIu64 ", %" PRIu64 " operations\n", t.seed, ops);
	fflush(stdout);
	t.rng.state = t.seed;
	t.model = model_create();
	t.disk = test_store_disk(frames);
	make_tail_dir();
	open_store();
	store_stat(t.store, &st);
	model_set_capacity(t.model, st.capacity);
	t.most_bytes = 2 * st.capacity;
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++)
		total_weight += operations[i].weight;
	for (unsigned int i = 0; i < NR_VOLUMES; i++)
		do_create();
	for (t.op = 0; t.op < ops; t.op++) {
		run_operation(total_weight);
		if (t.op % COMPARE_EVERY == 0 &&
		    !model_equals_store(t.model, t.store, &err))
			fail(err.message);
		if (t.op % CHECK_EVERY == 0)
			check_everything();
	}
	check_everything();
	do_reopen();
	check_everything();
	must(store_close(t.store, true, &err), &err);
	if (t.tail_dir[0] && rmdir(t.tail_dir) < 0)
		fail("a clean stop left a tail file");
	printf("%" PRIu64 " operations, %" PRIu64 " times reopened, %" PRIu64
	       " times full, %" PRIu64 " times cleaned, %" PRIu64
	       " times grown, seed %" PRIu64 "\n",
	       ops, t.nr_reopened, t.nr_full, t.nr_moved, t.nr_grown, t.seed);
	if (t.nr_moved == 0)
		fail("the cleaner never moved a block");
	memory_disk_put(t.disk);
	model_free(t.model);
	return 0;
}
