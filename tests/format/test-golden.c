/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes of every structure are those of the golden files.
 *
 * `test-golden --write` makes the files anew, for a change of the format.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hexdump.h"
#include "samples.h"

static FILE *golden_open(const struct sample *sample, const char *mode)
{
	char path[1024];

	(void)snprintf(path, sizeof(path), "%s/golden/%s.hex", TESTS_FORMAT_DIR,
		       sample->name);
	return fopen(path, mode);
}

static size_t golden_read(const struct sample *sample, uint8_t *ret)
{
	FILE *file = golden_open(sample, "r");
	size_t length;

	if (!file)
		fail_msg("%s: no golden file", sample->name);
	length = hexdump_read(file, ret, SAMPLE_BYTES_MAX);
	(void)fclose(file);
	if (length == 0)
		fail_msg("%s: golden file is no dump", sample->name);
	return length;
}

static void encoding_gives_the_golden_bytes(void **state)
{
	const struct sample *sample = *state;
	uint8_t golden[SAMPLE_BYTES_MAX], bytes[SAMPLE_BYTES_MAX];
	size_t length = golden_read(sample, golden);

	memset(bytes, 0x5a, sizeof(bytes));
	assert_int_equal(sample->encode(bytes), length);
	assert_memory_equal(bytes, golden, length);
	assert_int_equal(bytes[length], 0x5a); /* nothing beyond */
}

static void the_golden_bytes_decode_to_the_values(void **state)
{
	const struct sample *sample = *state;
	uint8_t golden[SAMPLE_BYTES_MAX];
	size_t length = golden_read(sample, golden);

	sample->compare(golden, length);
}

static int write_all(void)
{
	for (size_t i = 0; i < NR_SAMPLES; i++) {
		const struct sample *sample = sample_at(i);
		FILE *file = golden_open(sample, "w");
		uint8_t bytes[SAMPLE_BYTES_MAX];

		if (!file)
			return 1;
		hexdump_write(file, bytes, sample->encode(bytes));
		if (fclose(file) != 0)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[2 * NR_SAMPLES] = {{0}};
	char names[2 * NR_SAMPLES][128];

	if (argc > 1 && strcmp(argv[1], "--write") == 0)
		return write_all();
	for (size_t i = 0; i < NR_SAMPLES; i++) {
		(void)snprintf(names[2 * i], sizeof(names[0]),
			       "encoding_%s_gives_the_golden_bytes",
			       sample_at(i)->name);
		(void)snprintf(names[2 * i + 1], sizeof(names[0]),
			       "golden_bytes_of_%s_decode_to_the_values",
			       sample_at(i)->name);
		tests[2 * i] = (struct CMUnitTest){
			.name = names[2 * i],
			.test_func = encoding_gives_the_golden_bytes,
			.initial_state = (void *)sample_at(i),
		};
		tests[2 * i + 1] = (struct CMUnitTest){
			.name = names[2 * i + 1],
			.test_func = the_golden_bytes_decode_to_the_values,
			.initial_state = (void *)sample_at(i),
		};
	}
	return _cmocka_run_group_tests("golden", tests, 2 * NR_SAMPLES, NULL,
				       NULL)
		       ? 1
		       : 0;
}
