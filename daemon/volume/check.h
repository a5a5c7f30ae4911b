/* SPDX-License-Identifier: BSD-2-Clause */
/* What check and repair share. */
#ifndef VOLUME_CHECK_H
#define VOLUME_CHECK_H

#include "store.h"

/* A check under way: where its lines go, and their number. */
struct check_output {
	line_fn *line;
	void *opaque;
	struct check_report *report;
};

/* One thing that is wrong. */
void check_complain(const struct check_output *out, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Both superblocks are as they should be.  Nobody writes them meanwhile. */
void check_superblocks(const struct check_output *out, struct backend *be);

/*
 * Check what @store has in memory and what it names; nobody changes it
 * meanwhile.  0 however much is wrong; -ENOMEM.
 */
int check_image(struct store *store, const struct check_output *out,
		struct error *err);

/* -EUCLEAN when something was wrong. */
int check_result(const struct check_output *out, struct error *err);

#endif
