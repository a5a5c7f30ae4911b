/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Golden files: text as `hexdump -C` writes it.  A line is an offset, up to
 * 16 bytes and, between bars, the same as text; "*" stands for lines like
 * the one before; the last line is the length.  "#" begins a comment.
 */
#ifndef TESTS_HEXDUMP_H
#define TESTS_HEXDUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Read the dump at the current position of @file into @ret; stops after the
 * line with the length, which is returned.  0: not a dump.
 */
size_t hexdump_read(FILE *file, uint8_t *ret, size_t size);

void hexdump_write(FILE *file, const uint8_t *bytes, size_t length);

#endif
