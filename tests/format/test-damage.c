/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every bit of every structure is covered: flipping it is refused, by the
 * checksum inside the structure or, once that is put right, by the check of
 * the field.  The bits that no check of a field can judge are listed with the
 * samples; a bit is accepted only there, and each listed byte is one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "samples.h"

/* Shorter nodes do not even hold the hash that the samples look up. */
#define NODE_HEADER_BYTES 16u

static const struct free_bytes *find_free(const struct sample *sample,
					  uint32_t offset)
{
	for (const struct free_bytes *f = sample->free; f->what; f++)
		if (offset >= f->first && offset <= f->last)
			return f;
	return NULL;
}

static bool is_damage(int r)
{
	return r == -EBADMSG || r == -EUCLEAN || r == -EINVAL || r == -ENOTSUP;
}

static void a_flipped_bit_breaks_the_checksum(void **state)
{
	const struct sample *sample = *state;
	uint8_t bytes[SAMPLE_BYTES_MAX];
	size_t length = sample->encode(bytes);

	for (size_t i = 0; i < length; i++) {
		for (unsigned int bit = 0; bit < 8; bit++) {
			struct error err = ERROR_NONE;
			int r;

			bytes[i] ^= (uint8_t)(1u << bit);
			r = sample->decode(bytes, length, &err);
			bytes[i] ^= (uint8_t)(1u << bit);
			if (r != -EBADMSG && r != -EINVAL)
				fail_msg("%s byte %zu bit %u: %d %s",
					 sample->name, i, bit, r, err.message);
		}
	}
}

/* Flip @mask in byte @i, put the checksum right; decode. */
static int decode_flipped(const struct sample *sample, const uint8_t *bytes,
			  size_t length, size_t i, uint8_t mask)
{
	uint8_t copy[SAMPLE_BYTES_MAX];
	struct error err = ERROR_NONE;
	int r;

	memcpy(copy, bytes, length);
	copy[i] ^= mask;
	if (sample->fix)
		sample->fix(copy, length);
	if (memcmp(copy, bytes, length) == 0)
		return -EBADMSG; /* it was the checksum */
	r = sample->decode(copy, length, &err);
	if (r != 0 && (!is_damage(r) || !err.message[0] || err.code != -r))
		fail_msg("%s byte %zu: %d, error %d '%s'", sample->name, i, r,
			 err.code, err.message);
	return r;
}

static void a_flipped_bit_is_refused_unless_any_value_is_right(void **state)
{
	const struct sample *sample = *state;
	uint8_t bytes[SAMPLE_BYTES_MAX];
	size_t length = sample->encode(bytes);
	bool wrong = false;

	for (size_t i = 0; i < length; i++) {
		const struct free_bytes *f = find_free(sample, (uint32_t)i);
		unsigned int accepted = 0;

		for (unsigned int bit = 0; bit < 8; bit++)
			accepted |=
				(unsigned int)(decode_flipped(
						       sample, bytes, length, i,
						       (uint8_t)(1u << bit)) ==
					       0)
				<< bit;
		if (f ? accepted == 0 : accepted != 0) {
			print_error("%s byte %zu: bits %#x accepted, %s\n",
				    sample->name, i, accepted,
				    f ? f->what : "but none is expected");
			wrong = true;
		}
	}
	assert_false(wrong);
}

/*
 * In a buffer of exactly the shorter length, so that AddressSanitizer sees a
 * read beyond it.
 */
static void every_shorter_length_is_refused(void **state)
{
	const struct sample *sample = *state;
	uint8_t bytes[SAMPLE_BYTES_MAX];
	size_t length = sample->encode(bytes);

	for (size_t n = 0; n < length; n++) {
		uint8_t *copy = test_malloc(n + 1) /* malloc(0) is NULL */;

		memcpy(copy + 1, bytes, n);
		if (n >= NODE_HEADER_BYTES &&
		    sample->decode(copy + 1, n, NULL) == 0)
			fail_msg("%s: %zu of %zu bytes are accepted",
				 sample->name, n, length);
		test_free(copy);
	}
}

int main(void)
{
	struct CMUnitTest tests[3 * NR_SAMPLES] = {{0}};
	static char names[3 * NR_SAMPLES][128];
	size_t nr = 0;

	for (size_t i = 0; i < NR_SAMPLES; i++) {
		const struct sample *s = sample_at(i);
		/* structures of one block have no length to get wrong */
		bool has_length = strcmp(s->name, "superblock") != 0 &&
				  strcmp(s->name, "segment-header") != 0 &&
				  strncmp(s->name, "batch", 5) != 0;
		struct {
			const char *claim;
			CMUnitTestFunction test;
			bool applies;
		} claims[] = {
			{"a_flipped_bit_breaks_the_checksum",
			 a_flipped_bit_breaks_the_checksum, s->fix != NULL},
			{"a_flipped_bit_is_refused_unless_"
			 "any_value_is_right",
			 a_flipped_bit_is_refused_unless_any_value_is_right,
			 true},
			{"every_shorter_length_is_refused",
			 every_shorter_length_is_refused, has_length},
		};

		for (size_t c = 0; c < 3; c++) {
			if (!claims[c].applies)
				continue;
			(void)snprintf(names[nr], sizeof(names[nr]), "%s: %s",
				       s->name, claims[c].claim);
			tests[nr] = (struct CMUnitTest){
				.name = names[nr],
				.test_func = claims[c].test,
				.initial_state = (void *)s,
			};
			nr++;
		}
	}
	return _cmocka_run_group_tests("damage", tests, nr, NULL, NULL) ? 1 : 0;
}
