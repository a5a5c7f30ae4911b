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

/* cases-space.c */
void frames_used_again(struct workload *w);
void space_comes_back(struct workload *w);
void full_store(struct workload *w);
void full_host(struct workload *w);
void growth(struct workload *w);
void growth_of_the_reserve(struct workload *w);

/* cases-cleaner.c */
void cleaning(struct workload *w);
void blocks_on_their_way(struct workload *w);
void renames(struct workload *w);
void metadata_moves(struct workload *w);

extern const struct crash_case crash_cases[];
extern const size_t nr_crash_cases;

#endif
