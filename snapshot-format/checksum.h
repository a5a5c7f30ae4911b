/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store's checksum: XXH3-64 of the bytes, seed 0.  Where 32 bits are
 * stored they are its low half.
 */
#ifndef FORMAT_CHECKSUM_H
#define FORMAT_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint64_t checksum64(const void *data, size_t length);
uint32_t checksum32(const void *data, size_t length);

#endif
