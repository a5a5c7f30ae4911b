/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What users write besides names.  Plain text is one line of UTF-8 without
 * control characters: it can be printed on a terminal, as one field of a
 * table, and in JSON.  A store may hold any bytes in its place.
 */
#ifndef FORMAT_TEXT_H
#define FORMAT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

bool text_is_plain(const char *text);
/*
 * The @length bytes of @text as plain text, ended by a zero byte; what is
 * not plain becomes '?', and what does not fit into @size bytes is left out,
 * whole characters of it.
 */
void text_make_plain(const char *text, size_t length, char *ret, size_t size);

#endif
