/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Little-endian integers as they lie on disk.
 *
 * They are structs of bytes, not integers: using one without conversion does
 * not compile, their alignment is 1 and a struct made of them has no padding.
 */
#ifndef FORMAT_LE_H
#define FORMAT_LE_H

#include <stdint.h>

typedef struct {
	uint8_t bytes[2];
} le16;

typedef struct {
	uint8_t bytes[4];
} le32;

typedef struct {
	uint8_t bytes[8];
} le64;

static inline uint16_t le16_get(le16 v)
{
	return (uint16_t)(v.bytes[0] | v.bytes[1] << 8);
}

static inline uint32_t le32_get(le32 v)
{
	return (uint32_t)v.bytes[0] | (uint32_t)v.bytes[1] << 8 |
	       (uint32_t)v.bytes[2] << 16 | (uint32_t)v.bytes[3] << 24;
}

static inline uint64_t le64_get(le64 v)
{
	uint64_t ret = 0;

	for (int i = 7; i >= 0; i--)
		ret = ret << 8 | v.bytes[i];
	return ret;
}

static inline le16 le16_make(uint16_t x)
{
	return (le16){{(uint8_t)x, (uint8_t)(x >> 8)}};
}

static inline le32 le32_make(uint32_t x)
{
	return (le32){{(uint8_t)x, (uint8_t)(x >> 8), (uint8_t)(x >> 16),
		       (uint8_t)(x >> 24)}};
}

static inline le64 le64_make(uint64_t x)
{
	le64 ret;

	for (int i = 0; i < 8; i++)
		ret.bytes[i] = (uint8_t)(x >> (8 * i));
	return ret;
}

#endif
