/* SPDX-License-Identifier: BSD-2-Clause */
/* What decoders ask of bytes that must be zero. */
#ifndef FORMAT_BYTES_H
#define FORMAT_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool bytes_are_zero(const void *bytes, size_t length)
{
	const uint8_t *p = bytes;

	/* each byte equals the one before it, and the first is zero */
	return length == 0 || (p[0] == 0 && memcmp(p, p + 1, length - 1) == 0);
}

#endif
