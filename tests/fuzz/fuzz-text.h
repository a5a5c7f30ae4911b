/* SPDX-License-Identifier: BSD-2-Clause */
/* Changes of inputs that are text, made of the words of its grammar. */
#ifndef FUZZ_TEXT_H
#define FUZZ_TEXT_H

#include "fuzz.h"

/*
 * Put some of @words (NULL ends them) into @data or over it, take a part of
 * it away, or do what LLVMFuzzerMutate() does.  Returns the new size.
 */
size_t fuzz_text_mutate(uint8_t *data, size_t size, size_t max_size,
			const char *const *words, struct rng *rng);

#endif
