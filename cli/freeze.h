/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshots of volumes whose file systems stand still: what is mounted from
 * them on this host is frozen meanwhile, and what --freeze-cmd freezes.
 */
#ifndef CLI_FREEZE_H
#define CLI_FREEZE_H

#include <stdbool.h>

struct json_object;
struct options;

/* Is any of that asked for? */
bool freeze_is_wanted(const struct options *options);

/*
 * Run the verb "snapshot" with @args, as connect_run(), and thaw whatever
 * happens.  It fails, and no snapshot stays, when something was not frozen
 * all the time.  *ret gets "frozen" as well: an array of "name", "mounted"
 * (with --freeze: an array of paths) and "ms", which is missing where nothing
 * was frozen, as with -n.
 */
int freeze_and_snapshot(const struct options *options, struct json_object *args,
			struct json_object **ret);

/* "data@clean  frozen 7 ms", one line for each of "frozen". */
void freeze_print(struct json_object *data, bool dry_run);

#endif
