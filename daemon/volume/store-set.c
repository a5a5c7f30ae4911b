/* SPDX-License-Identifier: BSD-2-Clause */
/* The verb that changes the settings of a volume. */
#include "store.h"

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
	if (r < 0 || dry_run)
		return r;
	item.volume = v->id;
	item.attrs_length = (uint16_t)length;
	return operation_run(store, &operation, &item, err);
}

int store_set(struct store *store, const char *name,
	      const struct setting *settings, size_t nr, struct error *err)
{
	int r;

	if (store->core.read_only)
		return error_set(err, EROFS, "store is open read-only");
	mutex_lock(&store->admin);
	r = set_locked(store, name, settings, nr, false, err);
	mutex_unlock(&store->admin);
	return r;
}

int store_set_dry_run(struct store *store, const char *name,
		      const struct setting *settings, size_t nr,
		      struct error *err)
{
	int r;

	mutex_lock(&store->admin);
	r = set_locked(store, name, settings, nr, true, err);
	mutex_unlock(&store->admin);
	return r;
}
