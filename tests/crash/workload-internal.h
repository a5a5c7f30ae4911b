/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each step of a workload begins and ends with.
 *
 * Typical use: step_begin(), the same to the store and, unless step_settle()
 * says that it was refused, to the model, step_end().
 */
#ifndef CRASH_WORKLOAD_INTERNAL_H
#define CRASH_WORKLOAD_INTERNAL_H

#include "workload.h"

enum outcome {
	DONE,
	REFUSED, /* the store goes on */
	UNKNOWN, /* it has stopped: only a recovery tells */
};

/* NULL: the store has stopped. */
struct step *step_begin(struct workload *w, const char *verb,
			const char *operand, uint64_t length, uint64_t offset);
/* Take note of a result; what the store does for the operation is done. */
enum outcome step_settle(struct workload *w, int r, const struct error *err,
			 const char *what);
void step_end(struct workload *w, struct step *step, bool durable);

#endif
