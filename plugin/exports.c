/* SPDX-License-Identifier: BSD-2-Clause */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "exports.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "engine.h"

/* nbdkit refuses a list of 10,000. */
#define EXPORTS_MAX 9000u

static void format_size(uint64_t size, char *ret, size_t ret_bytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB",
					    "TiB"};
	uint64_t tenths = size * 10; /* at most 32 TiB */
	unsigned int unit = 0;

	while (tenths >= 10240 && unit < 4) {
		tenths /= 1024;
		unit++;
	}
	if (tenths % 10 == 0)
		(void)snprintf(ret, ret_bytes, "%" PRIu64 " %s", tenths / 10,
			       units[unit]);
	else
		(void)snprintf(ret, ret_bytes, "%" PRIu64 ".%" PRIu64 " %s",
			       tenths / 10, tenths % 10, units[unit]);
}

static void format_age(uint64_t created_ns, char *ret, size_t ret_bytes)
{
	static const struct {
		const char *name;
		int64_t seconds;
	} units[] = {
		{"year", 365 * 86400}, {"day", 86400}, {"hour", 3600},
		{"minute", 60},	       {"second", 1},
	};
	int64_t age = (int64_t)time(NULL) - (int64_t)(created_ns / 1000000000);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		int64_t n = age / units[i].seconds;

		if (n < 1)
			continue;
		(void)snprintf(ret, ret_bytes, "%" PRId64 " %s%s old", n,
			       units[i].name, n == 1 ? "" : "s");
		return;
	}
	(void)snprintf(ret, ret_bytes, "new");
}

static void describe(const struct volume_info *info,
		     char ret[EXPORT_DESCRIPTION_BYTES])
{
	char size[40], age[40];

	format_size(info->size, size, sizeof(size));
	format_age(info->created_ns, age, sizeof(age));
	(void)snprintf(ret, EXPORT_DESCRIPTION_BYTES, "%s%s, %s",
		       info->snapshot ? "snapshot, " : "", size, age);
}

/* Volumes in their order, then snapshots, the newest first. */
static int compare_for_list(const void *a, const void *b)
{
	const struct volume_info *x = *(const struct volume_info *const *)a;
	const struct volume_info *y = *(const struct volume_info *const *)b;

	if (x->snapshot != y->snapshot)
		return x->snapshot ? 1 : -1;
	if (x->snapshot && x->created_ns != y->created_ns)
		return x->created_ns < y->created_ns ? 1 : -1;
	return strcmp(x->name, y->name);
}

static int add_sorted(const struct volume_info **sorted, size_t nr,
		      struct nbdkit_exports *exports)
{
	char text[EXPORT_DESCRIPTION_BYTES];

	for (size_t i = 0; i < nr && i < EXPORTS_MAX; i++) {
		describe(sorted[i], text);
		if (nbdkit_add_export(exports, sorted[i]->name, text) < 0)
			return -1;
	}
	return 0;
}

int exports_list(struct store *store, struct nbdkit_exports *exports)
{
	CLEANUP_FREE const struct volume_info **sorted = NULL;
	CLEANUP_FREE struct volume_info *infos = NULL;
	struct error err = ERROR_NONE;
	size_t nr, nr_sorted = 0;

	if (store_list(store, &infos, &nr, &err) < 0) {
		nbdkit_error("cannot list exports: %s", err.message);
		return -1;
	}
	sorted = calloc(nr + 1, sizeof(*sorted));
	if (!sorted) {
		nbdkit_error("cannot list exports: out of memory");
		return -1;
	}
	for (size_t i = 0; i < nr; i++)
		if (!infos[i].hidden)
			sorted[nr_sorted++] = &infos[i];
	qsort(sorted, nr_sorted, sizeof(*sorted), compare_for_list);
	return add_sorted(sorted, nr_sorted, exports);
}

int exports_default(struct store *store, char ret[NAME_MAX_BYTES + 1])
{
	CLEANUP_FREE struct volume_info *infos = NULL;
	struct error err = ERROR_NONE;
	size_t nr, nr_volumes = 0;

	if (store_list(store, &infos, &nr, &err) < 0) {
		nbdkit_error("cannot list exports: %s", err.message);
		return -1;
	}
	for (size_t i = 0; i < nr; i++) {
		if (infos[i].snapshot || infos[i].hidden)
			continue;
		if (nr_volumes++ == 0)
			memcpy(ret, infos[i].name, NAME_MAX_BYTES + 1);
	}
	if (nr_volumes != 1)
		ret[0] = '\0';
	return 0;
}

/* vol:attached and the like are described as what they show. */
void exports_describe(struct store *store, const char *name,
		      char ret[EXPORT_DESCRIPTION_BYTES])
{
	char shown[NAME_MAX_BYTES + 1];
	struct volume_info info;

	ret[0] = '\0';
	(void)snprintf(shown, sizeof(shown), "%s", name);
	shown[strcspn(shown, ":")] = '\0';
	if (store_find(store, shown, &info, NULL) == 0)
		describe(&info, ret);
}
