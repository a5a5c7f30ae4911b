/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small changes of structures whose fields nobody names: a byte or a field of
 * 2, 4 or 8 bytes in a line of 64 becomes something that matters.
 */
#ifndef FUZZ_EDIT_H
#define FUZZ_EDIT_H

#include <stddef.h>
#include <stdint.h>

#include "random.h"

#define EDIT_LINE_BYTES 64u
/* Line 2, where in it, what to do, with what, and another line. */
#define EDIT_BYTES 6u
#define EDITS_MAX 12u

/* Which of @nr lines an edit changes, and which it copies from. */
size_t edit_line(const uint8_t *edit, size_t nr);
size_t edit_source(const uint8_t *edit, size_t nr);

/* Change @line as @edit says. */
void edit_apply(const uint8_t *edit, const uint8_t other[EDIT_LINE_BYTES],
		uint8_t line[EDIT_LINE_BYTES]);

/*
 * A mutator for inputs of @head bytes and up to EDITS_MAX edits.  Mostly one
 * edit: the more, the sooner the store is refused.
 */
size_t edit_mutate(uint8_t *data, size_t size, size_t max_size, size_t head,
		   struct rng *rng);

#endif
