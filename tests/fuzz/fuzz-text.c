/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz-text.h"

#include <string.h>

static size_t put(uint8_t *data, size_t size, size_t max_size, const char *word,
		  size_t at, bool over)
{
	size_t length = strlen(word);

	if (over) {
		if (length > size - at)
			length = size - at;
		memcpy(data + at, word, length);
		return size;
	}
	if (length > max_size - size)
		length = max_size - size;
	memmove(data + at + length, data + at, size - at);
	memcpy(data + at, word, length);
	return size + length;
}

static size_t drop(uint8_t *data, size_t size, struct rng *rng)
{
	size_t at = rng_below(rng, size);
	size_t nr = 1 + rng_below(rng, size - at);

	memmove(data + at, data + at + nr, size - at - nr);
	return size - nr;
}

size_t fuzz_text_mutate(uint8_t *data, size_t size, size_t max_size,
			const char *const *words, struct rng *rng)
{
	size_t nr = 0;

	while (words[nr])
		nr++;
	do {
		uint64_t how = rng_below(rng, 8);
		const char *word = words[rng_below(rng, nr)];
		size_t at = rng_below(rng, size + 1);

		if (how < 2)
			size = LLVMFuzzerMutate(data, size, max_size);
		else if (how == 2 && size > 0)
			size = drop(data, size, rng);
		else
			size = put(data, size, max_size, word, at, how == 3);
	} while (rng_one_in(rng, 3));
	return size;
}
