/* SPDX-License-Identifier: BSD-2-Clause */
/* The workloads of the crash test: one or more for each kind of operation. */
#ifndef CRASH_CASES_H
#define CRASH_CASES_H

#include "workload.h"

struct crash_case {
	const char *name;
	void (*run)(struct workload *w);
	/* begin from a checkpoint; else recovery replays all there is */
	bool checkpoint_first;
	uint64_t nr_frames; /* of the store */
	unsigned int segment_shift;
	bool may_fill_up; /* operations may be refused for lack of space */
};

extern const struct crash_case crash_cases[];
extern const size_t nr_crash_cases;

#endif
