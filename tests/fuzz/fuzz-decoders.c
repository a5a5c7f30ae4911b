/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random damage to every structure and to names, for the sanitizers to watch.
 *
 *   fuzz-decoders [--seed N] [--rounds N]
 *
 * A round takes the fixed value of a structure, changes some bytes of it,
 * mostly puts its checksum right again, so that the checks behind the
 * checksum are met, and decodes it in a buffer that ends where it ends.
 * Compiled with -DLIBFUZZER it is a libFuzzer target instead, whose first
 * byte chooses the decoder.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "names.h"
#include "random.h"
#include "samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	abort();
}

/* A failure must have a sentence and its own code. */
static void check_result(const char *what, int r, const struct error *err)
{
	if (r == 0)
		return;
	if (r != -EBADMSG && r != -EUCLEAN && r != -EINVAL && r != -ENOTSUP)
		die(what, "not an error of damage");
	if (err->code != -r || !err->message[0])
		die(what, "failed without a word");
	if (strpbrk(err->message, "\n\r\033"))
		die(what, "control characters in the message");
}

static void decode(const struct sample *sample, const uint8_t *data,
		   size_t size)
{
	struct error err = ERROR_NONE;
	uint8_t *exact = malloc(size ? size : 1);

	if (!exact)
		die(sample->name, "no memory");
	memcpy(exact, data, size);
	check_result(sample->name, sample->decode(exact, size, &err), &err);
	free(exact);
}

static void parse(const uint8_t *data, size_t size)
{
	struct error err = ERROR_NONE;
	struct name name;
	char *text = malloc(size + 1);

	if (!text)
		die("name", "no memory");
	memcpy(text, data, size);
	text[size] = '\0';
	check_result("name", name_parse(text, &name, &err), &err);
	free(text);
}

#ifdef LIBFUZZER

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[SAMPLE_BYTES_MAX];
	const struct sample *sample;
	size_t length;

	if (size == 0)
		return 0;
	if (data[0] % (NR_SAMPLES + 1) == NR_SAMPLES) {
		parse(data + 1, size - 1);
		return 0;
	}
	sample = sample_at(data[0] % (NR_SAMPLES + 1));
	/* Decoders of one block are not told a length. */
	length = sample->encode(bytes);
	memcpy(bytes, data + 1, size - 1 < length ? size - 1 : length);
	if (sample->fix)
		sample->fix(bytes, length);
	decode(sample, bytes, length);
	return 0;
}

#else

/* Change a few bytes at one place, more often at the start. */
static void damage(struct rng *rng, uint8_t *bytes, size_t length)
{
	size_t at = rng_below(rng, rng_one_in(rng, 2) ? length
				   : length < 128     ? length
						      : 128);
	size_t nr = 1 + rng_below(rng, 8);
	uint64_t how = rng_below(rng, 4);

	for (; nr > 0 && at < length; nr--, at++) {
		switch (how) {
		case 0:
			bytes[at] ^= (uint8_t)(1u << rng_below(rng, 8));
			nr = 1;
			break;
		case 1:
			bytes[at] = 0xff;
			break;
		case 2:
			bytes[at] = 0;
			break;
		default:
			bytes[at] = (uint8_t)rng_next(rng);
		}
	}
}

static void damage_structure(struct rng *rng)
{
	const struct sample *sample = sample_at(rng_below(rng, NR_SAMPLES));
	static uint8_t bytes[SAMPLE_BYTES_MAX];
	size_t length = sample->encode(bytes);

	do {
		damage(rng, bytes, length);
	} while (rng_one_in(rng, 2));
	if (sample->fix && !rng_one_in(rng, 8))
		sample->fix(bytes, length);
	decode(sample, bytes, length);
}

static void damage_name(struct rng *rng)
{
	static const char *const pieces[] = {
		"a",
		"vm1",
		"@",
		"..",
		":",
		"/",
		".",
		"-",
		"scratch",
		"attached",
		"2026-11-22T10:00:00Z",
		"#",
		"%41",
		"\n",
		"\xc3\xa9",
		"4294967296",
	};
	char text[512] = "";
	size_t nr = rng_below(rng, 10);

	while (nr-- > 0)
		strcat(text, pieces[rng_below(rng, sizeof(pieces) /
							   sizeof(pieces[0]))]);
	if (rng_one_in(rng, 4))
		memset(text, 'x', rng_below(rng, sizeof(text) - 1));
	parse((const uint8_t *)text, strlen(text));
}

int main(int argc, char **argv)
{
	struct rng rng = {rng_time_seed()};
	uint64_t rounds = getenv("VARVE_TEST_LONG") ? 20000000 : 200000;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--seed"))
			rng.state = strtoull(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--rounds"))
			rounds = strtoull(argv[i + 1], NULL, 0);
		else
			die(argv[i], "unknown option");
	}
	printf("--seed %llu --rounds %llu\n", (unsigned long long)rng.state,
	       (unsigned long long)rounds);
	(void)fflush(stdout);
	for (; rounds > 0; rounds--) {
		if (rng_one_in(&rng, NR_SAMPLES + 1))
			damage_name(&rng);
		else
			damage_structure(&rng);
	}
	return 0;
}

#endif
