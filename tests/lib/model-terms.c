/* SPDX-License-Identifier: BSD-2-Clause */
#include "model-terms.h"

#include <string.h>

#include "checksum.h"

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t pair[2] = {a, b};

	return checksum64(pair, sizeof(pair));
}

static uint64_t name_hash(const char *name)
{
	return checksum64(name, strlen(name));
}

uint64_t volume_term(const char *name, uint64_t size)
{
	return mix(name_hash(name), size);
}

uint64_t settings_term(const char *name, uint64_t quota, bool pause)
{
	if (!quota && !pause)
		return 0;
	return mix(name_hash(name) + pause, ~quota);
}

uint64_t capacity_term(uint64_t capacity)
{
	return capacity ? mix(name_hash("capacity"), capacity) : 0;
}

bool all_zero(const uint8_t *bytes, size_t length)
{
	return length == 0 ||
	       (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

uint64_t bytes_term(const char *name, uint64_t index,
		    const uint8_t bytes[BLOCK_SIZE])
{
	if (all_zero(bytes, BLOCK_SIZE))
		return 0;
	return mix(name_hash(name) + index, checksum64(bytes, BLOCK_SIZE));
}
