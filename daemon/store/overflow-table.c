/* SPDX-License-Identifier: BSD-2-Clause */
#include "overflow-table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/*
 * Neighbours in a segment lie side by side, as many as two cache lines hold:
 * a checkpoint asks for all of a segment in a row.
 */
#define NEIGHBOURS_BITS 4

static uint32_t overflow_home(const struct overflow_table *t, uint64_t name)
{
	uint64_t hash =
		(name >> NEIGHBOURS_BITS) * UINT64_C(0x9e3779b97f4a7c15);
	uint64_t among = name & ((1u << NEIGHBOURS_BITS) - 1);

	return (uint32_t)(hash >> 32 << NEIGHBOURS_BITS | among) & (t->cap - 1);
}

static uint32_t overflow_slot(const struct overflow_table *t, uint64_t name)
{
	uint32_t i = overflow_home(t, name);

	while (t->names[i] != 0 && t->names[i] != name)
		i = (i + 1) & (t->cap - 1);
	return i;
}

int overflow_reserve(struct overflow_table *t, uint32_t extra)
{
	struct overflow_table grown = {
		.cap = t->cap ? t->cap : 1024,
		.greatest = t->greatest,
	};

	if (t->cap && (t->nr + extra) * UINT64_C(2) <= t->cap)
		return 0;
	while ((t->nr + extra) * UINT64_C(2) > grown.cap)
		grown.cap *= 2;
	grown.names = calloc(grown.cap, sizeof(*grown.names));
	grown.counts = calloc(grown.cap, sizeof(*grown.counts));
	if (!grown.names || !grown.counts) {
		free(grown.names);
		free(grown.counts);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < t->cap; i++) {
		uint32_t at;

		if (t->names[i] == 0)
			continue;
		at = overflow_slot(&grown, t->names[i]);
		grown.names[at] = t->names[i];
		grown.counts[at] = t->counts[i];
		grown.nr++;
	}
	free(t->names);
	free(t->counts);
	*t = grown;
	return 0;
}

uint64_t overflow_bytes(const struct overflow_table *t)
{
	return (uint64_t)t->cap * (sizeof(*t->names) + sizeof(*t->counts));
}

uint32_t overflow_get(const struct overflow_table *t, uint64_t name)
{
	return t->counts[overflow_slot(t, name)];
}

void overflow_set(struct overflow_table *t, uint64_t name, uint32_t count)
{
	uint32_t i = overflow_slot(t, name);

	if (t->names[i] == 0) {
		assert(t->nr * UINT64_C(2) < t->cap);
		t->names[i] = name;
		t->nr++;
	}
	t->counts[i] = count;
	if (count > t->greatest)
		t->greatest = count;
}

void overflow_remove(struct overflow_table *t, uint64_t name)
{
	uint32_t hole = overflow_slot(t, name);
	uint32_t i = hole;

	assert(t->names[hole] == name);
	/* move back what probed past the hole */
	for (;;) {
		uint32_t home;

		i = (i + 1) & (t->cap - 1);
		if (t->names[i] == 0)
			break;
		home = overflow_home(t, t->names[i]);
		if (((i - home) & (t->cap - 1)) < ((i - hole) & (t->cap - 1)))
			continue;
		t->names[hole] = t->names[i];
		t->counts[hole] = t->counts[i];
		hole = i;
	}
	t->names[hole] = 0;
	t->counts[hole] = 0;
	t->nr--;
}

void overflow_done(struct overflow_table *t)
{
	free(t->names);
	free(t->counts);
	*t = (struct overflow_table){0};
}
