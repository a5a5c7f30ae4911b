/* SPDX-License-Identifier: BSD-2-Clause */
#include "limits.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "samples.h"

static void check_one(const struct limit *limit)
{
	const struct sample *sample = sample_find(limit->sample);
	struct error err = ERROR_NONE;
	uint8_t bytes[SAMPLE_BYTES_MAX];
	size_t length = sample->encode(bytes);
	int r;

	for (size_t i = 0; i < 3; i++) {
		const struct change *c = &limit->changes[i];

		for (uint32_t b = 0; b < c->size; b++)
			bytes[c->offset + b] = (uint8_t)(c->value >> (8 * b));
	}
	if (sample->fix)
		sample->fix(bytes, length);
	r = sample->decode(bytes, length, &err);
	if (r != -limit->code || !strstr(err.message, limit->sentence))
		fail_msg("%s byte %" PRIu32 ": %d '%s', expected %d '%s'",
			 limit->sample, limit->changes[0].offset, r,
			 err.message, -limit->code, limit->sentence);
}

void limits_check(const struct limit *limits, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		check_one(&limits[i]);
}
