/* SPDX-License-Identifier: BSD-2-Clause */
/* The verb that changes the settings of a volume. */
#include "quota.h"

static int find_volume(struct store *store, const char *name,
		       struct volume **ret, struct error *err)
{
	struct name parsed;
	int r;

	mutex_assert_held(&store->admin);
	r = name_parse_volume(name, &parsed, err);
	if (r < 0)
		return r;
	mutex_lock(&store->core.lock);
	r = core_check(&store->core, err);
	if (r == 0)
		r = volume_find(&store->volumes, name, ret, err);
	mutex_unlock(&store->core.lock);
	return r;
}

/* Is there room for what the attributes would reserve? */
static int check_room(struct store *store, const struct volume *v,
		      const char *attrs, size_t length, struct error *err)
{
	struct settings wanted;
	int r = 0;

	settings_parse(attrs, length, &wanted);
	if (wanted.reservation == v->settings.reservation)
		return 0;
	mutex_lock(&store->core.lock);
	r = reservation_check(store, v, wanted.reservation, err);
	mutex_unlock(&store->core.lock);
	return r;
}

static int set_locked(struct store *store, const char *name,
		      const struct setting *settings, size_t nr, bool dry_run,
		      struct error *err)
{
	struct operation operation = {.op = OP_SET, .nr_items = 1};
	char attrs[VOLUME_ATTRS_MAX_BYTES];
	struct operation_item item = {.attrs = attrs};
	struct volume *v;
	size_t length;
	int r;

	r = find_volume(store, name, &v, err);
	/* nobody else changes attributes: admin is held */
	if (r == 0)
		r = settings_change(name, v->attrs, v->attrs_length, settings,
				    nr, attrs, &length, err);
	if (r == 0)
		r = check_room(store, v, attrs, length, err);
	if (r < 0 || dry_run)
		return r;
	item.volume = v->id;
	item.attrs_length = (uint16_t)length;
	return operation_run(store, &operation, &item, err);
}

static int set_or_check(struct store *store, const char *name,
			const struct setting *settings, size_t nr, bool dry_run,
			struct error *err)
{
	int r;

	mutex_lock(&store->admin);
	r = set_locked(store, name, settings, nr, dry_run, err);
	mutex_unlock(&store->admin);
	if (r != -ENOSPC || reservations_count(store, name, err) < 0)
		return r;
	/* what reservations hold already is known now */
	mutex_lock(&store->admin);
	r = set_locked(store, name, settings, nr, dry_run, err);
	mutex_unlock(&store->admin);
	return r;
}

int store_set(struct store *store, const char *name,
	      const struct setting *settings, size_t nr, struct error *err)
{
	if (store->core.read_only)
		return error_set(err, EROFS, "store is open read-only");
	return set_or_check(store, name, settings, nr, false, err);
}

int store_set_dry_run(struct store *store, const char *name,
		      const struct setting *settings, size_t nr,
		      struct error *err)
{
	return set_or_check(store, name, settings, nr, true, err);
}
