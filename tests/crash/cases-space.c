/* SPDX-License-Identifier: BSD-2-Clause */
/* Workloads of the crash test: frames run out, come back, become more. */
#include "cases.h"

#include <stdio.h>

static const char *const a_s[] = {"a@s"};
static const char *const volume_a[] = {"a"};

void frames_used_again(struct workload *w)
{
	for (unsigned int i = 0; i < 12; i++) {
		work_write(w, "a", 300 << 10, 0, false);
		if (i % 2)
			work_flush(w);
		if (i % 3 == 2)
			work_checkpoint(w);
	}
	work_flush(w);
	work_checkpoint(w);
	work_write(w, "b", 100 << 10, 0, false);
	work_flush(w);
}

/* Frames that were needed once are given back to the host. */
void space_comes_back(struct workload *w)
{
	work_create(w, "big", 3 << 20);
	for (unsigned int i = 0; i < 24; i++) {
		work_write(w, "big", 128 << 10, (uint64_t)i << 17, false);
		work_flush(w);
	}
	work_trim(w, "big", 3 << 20, 0, false);
	for (unsigned int i = 0; i < 4; i++) {
		work_write(w, "a", 4096, 0, false);
		work_reap(w);
		work_checkpoint(w);
	}
	work_write(w, "a", 60 << 10, 0, false);
	work_flush(w);
}

/* Full, and every way out of it. */
void full_store(struct workload *w)
{
	char name[16];
	const char *const names[] = {name};

	work_snapshot(w, a_s, 1);
	for (unsigned int i = 0; i < 5; i++) {
		(void)snprintf(name, sizeof(name), "a@f%u", i);
		work_write(w, "a", 300 << 10, 0, false);
		work_snapshot(w, names, 1);
	}
	work_write(w, "b", 4096, 0, true);
	work_trim(w, "b", 64 << 10, 0, true);
	work_rollback(w, a_s, 1);
	work_delete(w, a_s, 1);
	work_reopen(w, false);
	work_delete(w, volume_a, 1);
	work_reap(w);
	work_checkpoint(w);
	work_write(w, "b", 100 << 10, 0, false);
	work_flush(w);
}

/* The host is full long before the store is. */
void full_host(struct workload *w)
{
	memory_disk_limit_frames(w->disk, 24);
	full_store(w);
	memory_disk_limit_frames(w->disk, UINT64_MAX);
	work_write(w, "b", 100 << 10, 0, false);
	work_flush(w);
}

/* Full, larger, full again; and the frames that came are used. */
void growth(struct workload *w)
{
	char name[16];
	const char *const names[] = {name};

	work_grow(w, 1);
	for (unsigned int i = 0; i < 7; i++) {
		(void)snprintf(name, sizeof(name), "a@g%u", i);
		work_write(w, "a", 300 << 10, 0, false);
		work_snapshot(w, names, 1);
		if (i == 3)
			work_grow(w, 12);
	}
	work_write(w, "b", 100 << 10, 0, true);
	work_reopen(w, false);
	work_write(w, "b", 4096, 0, false);
	work_grow(w, 1);
	work_reopen(w, true);
	work_write(w, "a", 100 << 10, 0, false);
	work_flush(w);
}

/* By so much that the reserve grows, too. */
void growth_of_the_reserve(struct workload *w)
{
	work_write(w, "a", 4096, 0, false);
	work_grow(w, 2048);
	work_write(w, "a", 100 << 10, 0, false);
	work_snapshot(w, a_s, 1);
	work_reopen(w, false);
	work_write(w, "b", 8192, 0, false);
	work_flush(w);
	work_checkpoint(w);
}
