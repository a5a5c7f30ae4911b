/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the cleaner share: segments of which half is dead. */
#ifndef UNIT_CLEANER_FIXTURE_H
#define UNIT_CLEANER_FIXTURE_H

#include "fixture.h"

#define NR_BLOCKS 112u /* eight segments' worth, in two leaves */

/* A volume of NR_BLOCKS: all were written, and then every other one again. */
struct volume_handle *half_dead(const char *name);
void expect_half(struct volume_handle *h);

void no_segment_is_in_quarantine(void);

#endif
