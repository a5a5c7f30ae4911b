/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * New names for volumes and snapshots, any number of them in one record.
 *
 * Who has one open knows it by its name, and asks for it by that name when it
 * connects again: so nothing is renamed under anybody.  A volume takes its
 * snapshots' names along, a snapshot those of its scratch views.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "change.h"

/* ---- check ---- */

/* Whose name is part of the name of @v; NULL: nobody's. */
static const struct volume *named_after(const struct store *store,
					const struct volume *v)
{
	if (v->kind == VOLUME_SNAPSHOT)
		return volume_find_id(&store->volumes, v->parent);
	if (v->flags & VOLUME_FLAG_SCRATCH)
		return volume_find_id(&store->volumes, v->origin);
	return NULL;
}

/* Does @v, said in full, get another name? */
static bool is_renamed(const struct store *store, const struct volume *v)
{
	/* view, snapshot, volume: a damaged store has rings */
	for (int i = 0; v && i < 3; i++) {
		if (v->new_name)
			return true;
		v = named_after(store, v);
	}
	return false;
}

/* What becomes of @v, whether it is named or not. */
static int check_affected(const struct store *store, const struct volume *v,
			  struct error *err)
{
	char name[NAME_MAX_BYTES + 1];
	const struct volume *parent;
	int r = 0;

	if (is_renamed(store, v))
		r = volume_check_unused(&store->volumes, v, "", err);
	if (r < 0 || v->kind != VOLUME_SNAPSHOT)
		return r;
	parent = volume_find_id(&store->volumes, v->parent);
	if (!parent || !parent->new_name)
		return 0;
	volume_full_name(&store->volumes, v, name);
	if (v->new_name)
		return error_set(err, EINVAL,
				 "%s: cannot be renamed together with its "
				 "volume",
				 name);
	if (parent->new_name->name_length + 1 + strlen(v->name) >
	    NAME_MAX_BYTES)
		return error_set(err, EINVAL,
				 "%s: its name would become too long", name);
	return 0;
}

static int check_new_word(const struct volume *head,
			  const struct operation_item *item, struct error *err)
{
	char word[NAME_MAX_BYTES + 1];

	if (strlen(head->name) + 1 + item->name_length > NAME_MAX_BYTES)
		return error_set(err, EINVAL, "%s@%.*s: name is too long",
				 head->name, item->name_length, item->name);
	memcpy(word, item->name, item->name_length);
	word[item->name_length] = '\0';
	return name_check_snapshot_word(word, err);
}

/* Is the name of item @i free, in the store and among those before it? */
static int check_new_name(const struct store *store, const struct volume *v,
			  const struct operation_item *items, uint32_t i,
			  struct error *err)
{
	const struct operation_item *item = &items[i], *other;
	const struct volume *head = NULL, *v2;
	bool taken = volume_find_name(&store->volumes, v->parent, item->name,
				      item->name_length);
	int r = 0;

	if (v->kind == VOLUME_SNAPSHOT) {
		head = volume_find_id(&store->volumes, v->parent);
		r = check_new_word(head, item, err);
	}
	for (uint32_t k = 0; k < i && !taken; k++) {
		other = &items[k];
		if (other->name_length != item->name_length ||
		    memcmp(other->name, item->name, item->name_length) != 0)
			continue;
		v2 = volume_find_id(&store->volumes, other->volume);
		taken = v2->parent == v->parent;
	}
	if (r == 0 && taken)
		r = error_set(err, EEXIST, "%s%s%.*s: already exists",
			      head ? head->name : "", head ? "@" : "",
			      item->name_length, item->name);
	return r;
}

/* Item @i by itself; it is noted in what it is about. */
static int check_item(const struct store *store,
		      const struct operation_item *items, uint32_t i,
		      struct error *err)
{
	struct volume *v = volume_find_id(&store->volumes, items[i].volume);
	char name[NAME_MAX_BYTES + 1];
	int r;

	if (!v || v->flags & VOLUME_FLAG_HIDDEN)
		return error_set(err, ENOENT, "volume %" PRIu32 " is gone",
				 items[i].volume);
	r = check_new_name(store, v, items, i, err);
	if (r < 0)
		return r;
	if (v->new_name) {
		volume_full_name(&store->volumes, v, name);
		return error_set(err, EINVAL, "%s: named twice", name);
	}
	v->new_name = &items[i];
	return 0;
}

int rename_check(struct store *store, const struct operation_item *items,
		 uint32_t nr, struct error *err)
{
	const struct volume_vector *all = &store->volumes.all;
	int r = 0;

	mutex_assert_held(&store->core.lock);
	for (uint32_t i = 0; r == 0 && i < nr; i++)
		r = check_item(store, items, i, err);
	for (size_t i = 0; r == 0 && i < all->len; i++)
		r = check_affected(store, all->ptr[i], err);
	for (uint32_t i = 0; i < nr; i++) {
		struct volume *v =
			volume_find_id(&store->volumes, items[i].volume);

		if (v)
			v->new_name = NULL;
	}
	return r;
}

/* ---- apply ---- */

/*
 * View @v keeps its number, and so its name is free.  Where it would be too
 * long the old one stays.
 */
static void rename_view(struct store *store, struct volume *v,
			const struct volume *origin)
{
	char from[NAME_MAX_BYTES + 1], name[2 * NAME_MAX_BYTES + 1];
	const char *view = strrchr(v->name, ':');
	size_t length;

	if (!view) /* hostile */
		return;
	volume_full_name(&store->volumes, origin, from);
	length = (size_t)snprintf(name, sizeof(name), "%s%s", from, view);
	if (length > NAME_MAX_BYTES ||
	    volume_find_name(&store->volumes, 0, name, length))
		return;
	volume_rename(&store->volumes, v, name, length);
}

void rename_views(struct store *store, const struct operation_item *items,
		  uint32_t nr)
{
	const struct volume_vector *all = &store->volumes.all;

	mutex_assert_held(&store->core.lock);
	for (size_t i = 0; i < all->len; i++) {
		struct volume *v = all->ptr[i];
		const struct volume *origin;

		if (v->kind != VOLUME_HEAD || !(v->flags & VOLUME_FLAG_SCRATCH))
			continue;
		origin = named_after(store, v);
		if (origin && (items_name(items, nr, origin->id) ||
			       items_name(items, nr, origin->parent)))
			rename_view(store, v, origin);
	}
}

/* ---- the verb ---- */

/* A volume or a snapshot, no view and no range. */
static int parse(const char *text, struct name *ret, struct error *err)
{
	int r = name_parse(text, ret, err);

	if (r == 0 && (ret->until[0] || ret->view != VIEW_NONE))
		r = error_set(err, EINVAL, "%s: not a volume or snapshot",
			      text);
	return r;
}

static int add_rename(struct change *change, const char *from, const char *to,
		      struct error *err)
{
	struct operation_item item;
	struct name old, new;
	struct volume *v;
	int r;

	r = parse(from, &old, err);
	if (r == 0)
		r = parse(to, &new, err);
	if (r < 0)
		return r;
	if (!old.snapshot[0] != !new.snapshot[0])
		return error_set(err, EINVAL,
				 "%s: a volume stays a volume and a snapshot "
				 "a snapshot",
				 to);
	if (old.snapshot[0] && strcmp(old.volume, new.volume) != 0)
		return error_set(err, EINVAL,
				 "%s: a snapshot stays with its volume", to);
	r = change_find(change->store, from, &v, err);
	if (r < 0)
		return r;
	/* the word lies behind the '@' of the operand, which stays */
	item = item_named(new.snapshot[0] ? strchr(to, '@') + 1 : to);
	item.volume = v->id;
	return change_add(change, &item, err);
}

static int rename_set(struct store *store, const char *const *from,
		      const char *const *to, size_t nr, bool dry_run,
		      struct error *err)
{
	struct change change;
	int r;

	r = change_begin(&change, store, OP_SET_NAME, dry_run, err);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < nr; i++)
		r = add_rename(&change, from[i], to[i], err);
	r = change_run(&change, r, err);
	change_end(&change);
	return r;
}

int store_rename(struct store *store, const char *const *from,
		 const char *const *to, size_t nr, struct error *err)
{
	return rename_set(store, from, to, nr, false, err);
}

int store_rename_dry_run(struct store *store, const char *const *from,
			 const char *const *to, size_t nr, struct error *err)
{
	return rename_set(store, from, to, nr, true, err);
}
