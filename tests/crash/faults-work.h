/* SPDX-License-Identifier: BSD-2-Clause */
/* What a store does while something fails: everything it can, or by chance. */
#ifndef CRASH_FAULTS_WORK_H
#define CRASH_FAULTS_WORK_H

#include <stdbool.h>
#include <stddef.h>

#include "workload.h"

/* The @part of doing everything, from 0; false when there is none. */
bool faults_do_part(struct workload *w, size_t part);
/* Frames are allocated, and given back when they are not needed any more. */
void faults_do_space(struct workload *w);
/* The @i-th of any number of steps. */
void faults_do_random(struct workload *w, unsigned int i);

#endif
