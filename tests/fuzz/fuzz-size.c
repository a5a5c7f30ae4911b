/* SPDX-License-Identifier: BSD-2-Clause */
/* Sizes that users type: what is accepted is a size, and can be printed. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz-text.h"
#include "size.h"

/* The same number of bytes, in the form without a unit. */
static void check_plain(uint64_t bytes)
{
	char text[32];
	uint64_t again = 0;

	(void)snprintf(text, sizeof(text), "%" PRIu64, bytes);
	if (size_parse(text, &again, NULL) < 0 || again != bytes)
		fuzz_fail("size", "not the same in bytes");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_exact_text(data, size);
	char human[SIZE_TEXT_BYTES];
	struct error err = ERROR_NONE;
	uint64_t bytes = 0;
	int r = size_parse(text, &bytes, &err);

	fuzz_check_result("size_parse", r, &err);
	if (r < 0 && r != -EINVAL)
		fuzz_fail("size", "not an error of usage");
	if (r == 0) {
		if (bytes == 0 || bytes % 512)
			fuzz_fail("size", "accepted, and no size of a disk");
		check_plain(bytes);
		size_format(bytes, human);
		fuzz_check_text("size_format", human);
		size_format_long(bytes, human);
		fuzz_check_text("size_format_long", human);
	}
	free(text);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed)
{
	static const char *const words[] = {
		"0",
		"512",
		"1",
		"1023",
		"50G",
		"2T",
		"1.4G",
		"-1",
		"K",
		"M",
		"k",
		"MiB",
		"P",
		"E",
		"iB",
		"B",
		" ",
		"+",
		"0x1",
		"1e9",
		".",
		"16E",
		"15E",
		"\x1b",
		"\xff",
		"18446744073709551615",
		"18446744073709551616",
		NULL,
	};
	struct rng rng = {seed};

	return fuzz_text_mutate(data, size, max_size, words, &rng);
}
