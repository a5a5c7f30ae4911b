/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz-edit.h"

#include <string.h>

#include "fuzz.h"

size_t edit_line(const uint8_t *edit, size_t nr)
{
	return (edit[0] | (size_t)edit[1] << 8) % nr;
}

size_t edit_source(const uint8_t *edit, size_t nr)
{
	return edit[5] * 31u % nr;
}

/* 2^k - 1 and what is just below it: where counters and fields end. */
static uint64_t end_of_range(uint8_t value, uint8_t less)
{
	unsigned int k = value % 65;

	return (k == 0 ? 0 : UINT64_MAX >> (64 - k)) - (less & 3);
}

static uint8_t changed(const uint8_t *edit, uint8_t byte, unsigned int index,
		       uint8_t other)
{
	switch (edit[3] % 8) {
	case 0:
		return byte ^ edit[4];
	case 1:
		return edit[4];
	case 2:
		return edit[3] & 8 ? 0xff : 0;
	case 3:
		return (uint8_t)(end_of_range(edit[4], edit[5]) >> (8 * index));
	case 4:
		return (uint8_t)(byte + 1);
	case 5:
		return (uint8_t)(byte - 1);
	default:
		return other;
	}
}

void edit_apply(const uint8_t *edit, const uint8_t other[EDIT_LINE_BYTES],
		uint8_t line[EDIT_LINE_BYTES])
{
	static const bool one_byte[8] = {
		[0] = true, [1] = true, [4] = true, [5] = true};
	unsigned int nr = 1u << (edit[3] >> 6);
	unsigned int at = edit[2] % EDIT_LINE_BYTES;

	at -= at % nr;
	if (one_byte[edit[3] % 8])
		nr = 1;
	for (unsigned int i = 0; i < nr; i++)
		line[at + i] = changed(edit, line[at + i], i, other[at + i]);
}

static void random_bytes(uint8_t *ret, size_t nr, struct rng *rng)
{
	for (size_t i = 0; i < nr; i++)
		ret[i] = (uint8_t)rng_next(rng);
}

size_t edit_mutate(uint8_t *data, size_t size, size_t max_size, size_t head,
		   struct rng *rng)
{
	size_t nr;

	if (max_size < head + EDITS_MAX * EDIT_BYTES)
		return size;
	if (size < head + EDIT_BYTES || rng_one_in(rng, 8)) {
		nr = rng_one_in(rng, 3) ? rng_below(rng, EDITS_MAX) : 1;
		random_bytes(data, head + nr * EDIT_BYTES, rng);
		return head + nr * EDIT_BYTES;
	}
	if (rng_one_in(rng, 2))
		return LLVMFuzzerMutate(data, size, max_size);
	nr = (size - head) / EDIT_BYTES;
	if (nr > EDITS_MAX)
		nr = EDITS_MAX;
	if (nr < EDITS_MAX && rng_one_in(rng, 3))
		nr++;
	size = head + nr * EDIT_BYTES;
	random_bytes(data + size - EDIT_BYTES, EDIT_BYTES, rng);
	return size;
}
