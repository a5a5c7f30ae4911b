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
 * meanwhile.  0 however much is wrong; -ENOMEM; -EBUSY: *stop (may be NULL)
 * became true.
 */
int check_image(struct store *store, const struct check_output *out,
		const _Atomic bool *stop, struct error *err);

/*
 * Take a checkpoint of @store, which is served, and open its image.  Admin
 * held: no later checkpoint may free what it names before nr_images says so.
 */
int image_open(struct store *store, struct store **ret, struct error *err);
void image_close(struct store *store, struct store *image);

/* -EUCLEAN when something was wrong. */
int check_result(const struct check_output *out, struct error *err);

#endif
