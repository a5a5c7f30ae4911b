/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Check: recount what a checkpoint claims.
 *
 * An unserved store is open read-only with its log replayed in memory, and
 * that state is checked.  A served one takes a checkpoint, opens its image
 * beside the store and checks that; until it is done no dead META segment is
 * freed, so no record that the image names is reused (I7).  Blocks are not
 * read: cleaner and reaper go on.  Both use the same recount.
 */
#include "check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "damage.h"
#include "recount.h"

struct check {
	struct store *store;
	const struct check_output *out;
	struct recount found;
	struct damage damage;
	/* counts above what was found, which what cannot be read may explain */
	uint64_t nr_unsure;
};

void check_complain(const struct check_output *out, const char *format, ...)
{
	char text[500];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	out->report->nr_errors++;
	if (out->line)
		out->line(out->opaque, text);
}

#define complain(c, ...) check_complain((c)->out, __VA_ARGS__)

void check_superblocks(const struct check_output *out, struct backend *be)
{
	for (unsigned int copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
		struct error why = ERROR_NONE;
		struct disk_superblock disk;
		struct superblock sb;
		int r;

		r = backend_super_read(be, copy, &disk, &why);
		if (r < 0)
			(void)error_prefix(&why, "superblock %c",
					   'A' + (int)copy);
		else
			r = superblock_decode(&disk, copy, &sb, &why);
		if (r < 0)
			check_complain(out, "%s", why.message);
	}
}

/* ---- the walk ---- */

/* Who refers: "a@s", "node 5" or "the reaper queue". */
static void print_referrer(const struct check *c,
			   const struct recount_finding *f,
			   char ret[NAME_MAX_BYTES + 1])
{
	if (f->volume)
		volume_full_name(&c->store->volumes, f->volume, ret);
	else if (f->parent)
		(void)snprintf(ret, NAME_MAX_BYTES + 1, "node %" PRIu32,
			       f->parent);
	else
		(void)snprintf(ret, NAME_MAX_BYTES + 1, "the reaper queue");
}

static void complain_names(struct check *c, const struct recount_finding *f)
{
	unsigned int nr = (unsigned int)__builtin_popcountll(f->entries);
	unsigned int i = (unsigned int)__builtin_ctzll(f->entries);
	struct birth name = leaf_entry_birth(f->leaf->entries[i]);

	if (nr == 1)
		complain(c,
			 "node %" PRIu32 ": block %u: name %" PRIu64 ":%" PRIu32
			 " is in no segment",
			 f->parent, i, birth_segno(name), birth_slot(name));
	else
		complain(c,
			 "node %" PRIu32 ": %u blocks from block %u on: their "
			 "names, the first %" PRIu64 ":%" PRIu32
			 ", are in no segment",
			 f->parent, nr, i, birth_segno(name), birth_slot(name));
}

static void add_names(struct check *c, const struct recount_finding *f)
{
	for (uint32_t i = 0; i < LEAF_BLOCKS; i++)
		if (f->entries >> i & 1)
			damage_add_block(&c->damage,
					 leaf_entry_birth(f->leaf->entries[i]));
}

static int finding(void *opaque, const struct recount_finding *f,
		   struct error *err)
{
	struct check *c = opaque;
	char who[NAME_MAX_BYTES + 1];

	print_referrer(c, f, who);
	if (f->fault != RECOUNT_NO_BLOCKS)
		damage_add_node(&c->damage, f->id);
	switch (f->fault) {
	case RECOUNT_NO_NODE:
		complain(c,
			 "%s refers to node %" PRIu32 ", which does not exist",
			 who, f->id);
		break;
	case RECOUNT_UNREADABLE:
		if (f->first) /* once is enough */
			complain(c, "%s", f->text);
		break;
	case RECOUNT_LEVEL:
		complain(c, "%s: node %" PRIu32 " below it has the wrong level",
			 who, f->id);
		break;
	case RECOUNT_NO_BLOCKS:
		complain_names(c, f);
		add_names(c, f);
		break;
	}
	(void)err;
	return 0;
}

/* ---- compare ---- */

/*
 * A count above what was found is an error only when everything could be
 * read: what cannot be read may hold the rest.
 */
static bool count_is_wrong(struct check *c, uint32_t count, uint32_t found)
{
	if (count > found && c->found.nr_unread > 0) {
		c->nr_unsure++;
		return false;
	}
	return count != found;
}

/* I3, and the blocks below. */
static void check_node(struct check *c, uint32_t id)
{
	const struct node_entry *e = node_entry(&c->store->nodes, id);
	const struct recount *rc = &c->found;

	if (count_is_wrong(c, e->count, rc->node_refs[id]))
		complain(c,
			 "node %" PRIu32 ": count %" PRIu32 ", but %" PRIu32
			 " references",
			 id, e->count, rc->node_refs[id]);
	if (recount_was_walked(rc, id) && !recount_is_partly(rc, id) &&
	    recount_level(rc, id) < INNER_LEVELS &&
	    e->used != recount_used(rc, id))
		complain(c,
			 "node %" PRIu32 ": used %" PRIu32 ", but %" PRIu64
			 " blocks",
			 id, e->used, recount_used(rc, id));
}

static void check_refer(struct check *c, const struct volume *v)
{
	const struct recount *rc = &c->found;
	char name[NAME_MAX_BYTES + 1];
	uint64_t used = 0;

	c->out->report->nr_volumes++;
	if (v->map.root) {
		if (!recount_was_walked(rc, v->map.root) ||
		    recount_is_partly(rc, v->map.root))
			return;
		used = recount_used(rc, v->map.root);
	}
	if (v->map.refer == used)
		return;
	volume_full_name(&c->store->volumes, v, name);
	complain(c, "%s: refers to %" PRIu64 " blocks, but %" PRIu64, name,
		 v->map.refer, used);
}

/* I2 for one segment; adds to the live numbers of where its names are. */
static void check_counts(struct check *c, const struct segment *s,
			 uint32_t *live)
{
	struct segment_table *t = &c->store->segments;

	for (uint32_t slot = 1; slot < c->store->core.nr_slots; slot++) {
		struct birth name = birth_make(s->segno, slot);
		uint32_t found = recount_block(&c->found, s, slot), at;
		uint32_t count = count_get(t, name);
		struct segment *holder;

		if (count_is_wrong(c, count, found))
			complain(c,
				 "segment %" PRIu64 " slot %" PRIu32
				 ": count %" PRIu32 ", but %" PRIu32
				 " references",
				 s->segno, slot, count, found);
		if (count == 0)
			continue;
		if (segment_resolve(t, name, &holder, &at, NULL) == 0)
			live[holder->index]++;
		else
			complain(c,
				 "segment %" PRIu64 " slot %" PRIu32
				 ": no physical address",
				 s->segno, slot);
	}
}

static int check_segments(struct check *c, struct error *err)
{
	struct segment_table *t = &c->store->segments;
	CLEANUP_FREE uint32_t *live =
		calloc(t->pages.nr_pages + 1, sizeof(*live));

	if (!live)
		return error_set(err, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < t->pages.nr_pages; i++) {
		if (!t->by_index[i])
			continue;
		c->out->report->nr_segments++;
		check_counts(c, t->by_index[i], live);
	}
	for (uint32_t i = 0; i < t->pages.nr_pages; i++) {
		const struct segment *s = t->by_index[i];

		if (s && s->live != live[i])
			complain(c,
				 "segment %" PRIu64 ": live %" PRIu32
				 ", but %" PRIu32 " blocks",
				 s->segno, s->live, live[i]);
	}
	return 0;
}

static int compare(struct check *c, struct error *err)
{
	struct store *store = c->store;
	int r;

	mutex_lock(&store->core.lock);
	for (uint32_t id = 1; id < store->nodes.next_id; id++)
		check_node(c, id);
	for (size_t i = 0; i < store->volumes.all.len; i++)
		check_refer(c, store->volumes.all.ptr[i]);
	r = check_segments(c, err);
	mutex_unlock(&store->core.lock);
	return r;
}

/* ---- all ---- */

static void tell_unsure(const struct check *c)
{
	char text[120];

	(void)snprintf(text, sizeof(text),
		       "%" PRIu64 " counts are above the references found, "
		       "which may be in what cannot be read",
		       c->nr_unsure);
	if (c->nr_unsure && c->out->line)
		c->out->line(c->out->opaque, text);
}

static void no_line(void *opaque, const char *line)
{
	(void)opaque;
	(void)line;
}

/* Whom it concerns that this cannot be read. */
static int tell_damage(struct check *c, struct error *err)
{
	if (damage_is_empty(&c->damage))
		return 0;
	return damage_report(c->store, &c->damage,
			     c->out->line ? c->out->line : no_line,
			     c->out->opaque, NULL, err);
}

int check_image(struct store *store, const struct check_output *out,
		const _Atomic bool *stop, struct error *err)
{
	struct check c = {.store = store, .out = out};
	int r;

	damage_init(&c.damage);
	r = recount_init(&c.found, store, finding, &c, err);
	c.found.stop = stop;
	if (r == 0)
		r = recount_walk(&c.found, err);
	out->report->nr_nodes = c.found.nr_nodes;
	out->report->nr_blocks = c.found.nr_blocks;
	out->report->nr_lost = c.found.nr_lost;
	if (r == 0)
		r = compare(&c, err);
	if (r == 0)
		tell_unsure(&c);
	recount_done(&c.found);
	if (r == 0)
		r = tell_damage(&c, err);
	damage_done(&c.damage);
	return r;
}

int check_result(const struct check_output *out, struct error *err)
{
	uint64_t nr = out->report->nr_errors;

	if (nr == 0)
		return 0;
	return error_set(err, EUCLEAN, "%" PRIu64 " error%s found", nr,
			 nr == 1 ? "" : "s");
}

/* ---- a store in use ---- */

int image_open(struct store *store, struct store **ret, struct error *err)
{
	struct store_open_options options = {.read_only = true,
					     .at_checkpoint = true};
	int r;

	mutex_assert_held(&store->admin);
	r = checkpoint_run(store, err);
	if (r < 0)
		return r;
	r = store_open(store->core.be, &options, ret, err);
	if (r < 0)
		return r;
	mutex_lock(&store->core.lock);
	store->nr_images++;
	mutex_unlock(&store->core.lock);
	return 0;
}

void image_close(struct store *store, struct store *image)
{
	store_free(image, false);
	mutex_lock(&store->core.lock);
	if (--store->nr_images == 0)
		store->images_revoked = false;
	cond_broadcast(&store->core.changed);
	free_dying(store);
	core_wake(&store->core, WORKER_JANITOR);
	core_wake(&store->core, WORKER_CLEANER);
	mutex_unlock(&store->core.lock);
}

int store_check(struct store *store, line_fn *line, void *opaque,
		struct check_report *ret, struct error *err)
{
	const struct check_output out = {line, opaque, ret};
	struct error failure = ERROR_NONE;
	struct store *image = store;
	bool served = !store->core.read_only;
	int r = 0;

	*ret = (struct check_report){0};
	mutex_lock(&store->admin);
	if (served)
		r = image_open(store, &image, &failure);
	check_superblocks(&out, store->core.be);
	mutex_unlock(&store->admin);
	if (r < 0) {
		check_complain(&out, "%s", failure.message);
		return error_set(err, -r, "%s", failure.message);
	}
	r = check_image(image, &out, served ? &store->images_revoked : NULL,
			err);
	if (served)
		image_close(store, image);
	if (r == -EBUSY)
		return error_set(err, EBUSY,
				 "check given up: the store is too full to "
				 "keep what it reads");
	return r < 0 ? r : check_result(&out, err);
}
