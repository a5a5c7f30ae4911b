/* SPDX-License-Identifier: BSD-2-Clause */
#include "text.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

/* How many bytes follow the first of a character; 4: it is not the first. */
static size_t nr_following(uint8_t first)
{
	if (first < 0x80)
		return 0;
	if (first >= 0xc2 && first < 0xe0)
		return 1;
	if (first >= 0xe0 && first < 0xf0)
		return 2;
	if (first >= 0xf0 && first < 0xf5)
		return 3;
	return 4;
}

/*
 * The second byte decides whether a character is written too long, is a
 * surrogate, beyond the last one, or a control character (U+0080 to U+009f).
 */
static bool second_fits(uint8_t first, uint8_t second)
{
	switch (first) {
	case 0xc2:
	case 0xe0:
		return second >= 0xa0;
	case 0xed:
		return second < 0xa0;
	case 0xf0:
		return second >= 0x90;
	case 0xf4:
		return second < 0x90;
	default:
		return true;
	}
}

/* Bytes of the plain character that @text begins with; 0: it is none. */
static size_t plain_char(const uint8_t *text, size_t length)
{
	size_t nr = nr_following(text[0]);

	if (nr >= length || nr > 3 || text[0] < 0x20 || text[0] == 0x7f)
		return 0;
	for (size_t i = 1; i <= nr; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	return nr == 0 || second_fits(text[0], text[1]) ? nr + 1 : 0;
}

bool text_is_plain(const char *text)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t left = strlen(text), n;

	for (; left > 0; p += n, left -= n) {
		n = plain_char(p, left);
		if (n == 0)
			return false;
	}
	return true;
}

void text_make_plain(const char *text, size_t length, char *ret, size_t size)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t at = 0;

	assert(size > 0);
	while (length > 0) {
		size_t n = plain_char(p, length);
		size_t taken = n ? n : 1;

		if (at + taken >= size)
			break;
		if (n)
			memcpy(ret + at, p, n);
		else
			ret[at] = '?';
		at += taken;
		p += taken;
		length -= taken;
	}
	ret[at] = '\0';
}
