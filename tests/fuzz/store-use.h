/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything that can be asked of a store that may hold anything.  Every call
 * returns, with a sentence when it fails; else the program aborts.
 */
#ifndef FUZZ_STORE_USE_H
#define FUZZ_STORE_USE_H

#include <stdbool.h>

struct memory_disk;
struct store_open_options;

/*
 * Open @disk, ask, when it is not read-only change, and close it, @clean or
 * as a crash does.  Returns what store_open() did.
 */
int store_open_and_use(struct memory_disk *disk,
		       const struct store_open_options *options, bool clean);

/* Check, repair, as a dry run and in earnest, and what is repaired is sound. */
void store_repair_and_check(struct memory_disk *disk, bool cut_log);

#endif
