/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One fixed value of every structure of the format: what the golden files
 * hold and what the damage tests start from.
 */
#ifndef TESTS_SAMPLES_H
#define TESTS_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define SAMPLE_BYTES_MAX 8192u
#define SAMPLE_SEGMENT_SHIFT 16u /* 16 slots */

/* Bytes that the decoder cannot judge, so that only a checksum covers them. */
struct free_bytes {
	uint32_t first, last; /* last 0: end of the list */
	const char *what;
};

struct sample {
	const char *name; /* golden/NAME.hex */
	/* Encode the fixed value; returns its length. */
	size_t (*encode)(void *ret);
	/* Decode and forget. */
	int (*decode)(const void *bytes, size_t length, struct error *err);
	/* Decode and assert that every field has the fixed value. */
	void (*compare)(const void *bytes, size_t length);
	/* Set the checksum inside the structure; NULL: it has none. */
	void (*fix)(void *bytes, size_t length);
	const struct free_bytes *free;
};

#define NR_SAMPLES 17u

/* NULL beyond the last. */
const struct sample *sample_at(size_t index);

/* The sample called @name; fails the test when there is none. */
const struct sample *sample_find(const char *name);

#endif
