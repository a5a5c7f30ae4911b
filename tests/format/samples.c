/* SPDX-License-Identifier: BSD-2-Clause */
#include "samples-private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

const struct sample *sample_at(size_t index)
{
	if (index < NR_LOG_SAMPLES)
		return &log_samples[index];
	index -= NR_LOG_SAMPLES;
	if (index < NR_MAP_SAMPLES)
		return &map_samples[index];
	index -= NR_MAP_SAMPLES;
	return index < NR_TABLE_SAMPLES ? &table_samples[index] : NULL;
}

const struct sample *sample_find(const char *name)
{
	const struct sample *sample;

	for (size_t i = 0; (sample = sample_at(i)); i++)
		if (strcmp(sample->name, name) == 0)
			return sample;
	fail_msg("no sample %s", name);
	return NULL;
}
