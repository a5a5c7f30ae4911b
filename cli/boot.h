/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Volumes that are attached at boot: systemd has an instance of
 * varve-attach@.service for each, which runs `varve attach --foreground`.
 * All of them are of the store that the configuration of these units names,
 * varve.conf(5), unless somebody has given one of them another.
 */
#ifndef CLI_BOOT_H
#define CLI_BOOT_H

#include <stdbool.h>

#include "names.h"

#define BOOT_UNIT_MAX (4 * NAME_MAX_BYTES + 32)

/* The unit of @volume. */
void boot_unit(const char *volume, char ret[BOOT_UNIT_MAX]);

/*
 * Is @store the one of which the unit of @volume attaches it?  Returns an exit
 * code, after it has said why not.
 */
int boot_check_store(const char *store, const char *volume);

/*
 * Start the unit of @volume, which attaches it, and enable it.  When that
 * fails it is not enabled, and started only if it was.  Returns an exit code.
 */
int boot_enable(const char *volume);

/* The unit is not started at boot any more; one that runs goes on. */
int boot_disable(const char *volume);

bool boot_is_enabled(const char *volume);

#endif
