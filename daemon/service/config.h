/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration file, varve.conf(5): lines `key = value`, comments on
 * lines of their own.  Its keys are the long options of varved, and `store`.
 *
 * varved takes all of it; the command line takes the store, and so meets the
 * same mistakes in the same words.
 */
#ifndef SERVICE_CONFIG_H
#define SERVICE_CONFIG_H

#include "error.h"

struct config;

/* $VARVE_CONFIG, else the system's. */
const char *config_path(void);
/* The system's. */
const char *config_system_path(void);

/*
 * Read @path.  Returns 0; -ENOENT and the like when it cannot be read;
 * -EINVAL for the first line that is wrong, with a sentence that names it.
 * Keys are known and occur once, paths are absolute, and a switch is yes or
 * no; what else a value may be is varved's business.
 */
int config_read(const char *path, struct config **ret, struct error *err);

/* The value of @key; NULL: there is no such line. */
const char *config_get(const struct config *config, const char *key);

/* The number of the line that has @key; 0: none. */
unsigned int config_line(const struct config *config, const char *key);

/* Accepts NULL. */
void config_free(struct config *config);

#endif
