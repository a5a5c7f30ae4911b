/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What lies behind damage in the log: what cutting it there gives up, as far
 * as the headers there can still be read.
 */
#ifndef VOLUME_LOG_LOSS_H
#define VOLUME_LOG_LOSS_H

#include "log-walk.h"

/* Lines of the report. */
#define LOG_LOSS_LINES_MAX 10000u

/*
 * Call @line for the damage behind @tail, then for the ranges and operations
 * beyond it.  @store has the checkpoint's frames and volumes; reads every
 * frame's first blocks.  Locks: none held.  -EIO, -ENOMEM.
 */
int log_loss_report(struct store *store, const struct log_tail *tail,
		    line_fn *line, void *opaque, struct error *err);

#endif
