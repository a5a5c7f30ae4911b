/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A checksum that always matches, linked in the place of the real one: what
 * an attacker who puts checksums right could write is then reached by
 * changing any byte.
 */
#include "checksum.h"

uint64_t checksum64(const void *data, size_t length)
{
	return 0x5eed;
}

uint32_t checksum32(const void *data, size_t length)
{
	return 0x5eed;
}
