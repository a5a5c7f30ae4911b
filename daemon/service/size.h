/* SPDX-License-Identifier: BSD-2-Clause */
/* Sizes as people write and read them: 512, 50G; K M G T P E are of 1024. */
#ifndef SERVICE_SIZE_H
#define SERVICE_SIZE_H

#include <stdint.h>

#include "error.h"

/*
 * Parse a size in bytes.  -EINVAL with a sentence: not a number, 0, not a
 * multiple of 512, or 16 EiB and more.
 */
int size_parse(const char *text, uint64_t *ret, struct error *err);

#define SIZE_TEXT_BYTES 32
/* "50G", "1.4G", "512": at most four digits. */
void size_format(uint64_t bytes, char ret[SIZE_TEXT_BYTES]);
/* "50 GiB", "1.4 GiB", "512 bytes". */
void size_format_long(uint64_t bytes, char ret[SIZE_TEXT_BYTES]);

#endif
