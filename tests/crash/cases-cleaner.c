/* SPDX-License-Identifier: BSD-2-Clause */
/* Workloads of the crash test: what the cleaners move. */
#include "cases.h"

#include <stdio.h>

#include "units.h"

static const char *const a_s[] = {"a@s"};

/* Every other block of a, so that its segments are half dead. */
static void thin_out(struct workload *w, uint64_t first)
{
	for (uint64_t i = first; i < 75; i += 2)
		work_write(w, "a", BLOCK_SIZE, i * BLOCK_SIZE, false);
}

void cleaning(struct workload *w)
{
	static const char *const c[] = {"c"};

	work_write(w, "a", 300 << 10, 0, false);
	work_snapshot(w, a_s, 1);
	thin_out(w, 0);
	work_clean(w);
	thin_out(w, 1);
	work_delete(w, a_s, 1);
	work_reap(w);
	work_clean(w);
	work_reopen(w, false);
	work_snapshot(w, a_s, 1);
	work_clone(w, "a@s", c, 1);
	thin_out(w, 0);
	work_clean(w);
	work_write(w, "c", 100 << 10, 0, false);
	work_flush(w);
}

/* What happens to blocks between their reading and their moving. */
void blocks_on_their_way(struct workload *w)
{
	work_write(w, "a", 300 << 10, 0, false);
	work_snapshot(w, a_s, 1);
	thin_out(w, 0);
	work_checkpoint(w);
	thin_out(w, 1);
	work_clean_some(w);
	work_write(w, "a", 80 << 10, 40 << 10, false);
	work_delete(w, a_s, 1);
	work_reap(w);
	work_checkpoint(w);
	work_clean(w);
	/* and those that were moved before */
	thin_out(w, 1);
	work_snapshot(w, a_s, 1);
	work_checkpoint(w);
	work_clean_some(w);
	work_write(w, "a", BLOCK_SIZE, 20 * BLOCK_SIZE, true);
	work_checkpoint(w);
	work_clean(w);
	work_delete(w, a_s, 1);
	work_reap(w);
	thin_out(w, 0);
	work_checkpoint(w);
	work_clean_some(w);
	work_trim(w, "a", 100 << 10, 8 << 10, false);
	work_clean(w);
	work_flush(w);
}

/* Names of moved blocks, given up by the writer and by the reaper. */
void renames(struct workload *w)
{
	work_write(w, "a", 300 << 10, 0, false);
	for (uint64_t round = 0; round < 4; round++) {
		thin_out(w, round % 2);
		work_clean(w);
		work_write(w, "a", BLOCK_SIZE, 20 * BLOCK_SIZE, false);
		work_write(w, "a", 300, 70 * BLOCK_SIZE + 100, true);
		if (round == 1)
			work_snapshot(w, a_s, 1);
		if (round == 2)
			work_reopen(w, true);
	}
	work_trim(w, "a", 100 << 10, 0, false);
	work_delete(w, a_s, 1);
	work_reap(w);
	work_checkpoint(w);
	work_clean(w);
	work_write(w, "a", 64 << 10, 0, false);
	work_flush(w);
}

/* META segments that are nearly empty are emptied. */
void metadata_moves(struct workload *w)
{
	char name[16];

	for (unsigned int i = 0; i < 12; i++) {
		(void)snprintf(name, sizeof(name), "v%u", i);
		work_create(w, name, 64 << 10);
		work_write(w, name, 4096, 0, false);
		work_write(w, "a", 20000, 1000 * i, false);
		work_checkpoint(w);
	}
	work_flush(w);
}
