/* SPDX-License-Identifier: BSD-2-Clause */
#include "size.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char letters[] = "KMGTPE";

/* Printed so that nothing in @text can upset a terminal. */
static void quote(const char *text, char ret[48])
{
	size_t i;

	for (i = 0; text[i] && i < 40; i++)
		ret[i] = text[i] >= ' ' && text[i] < 127 ? text[i] : '?';
	strcpy(ret + i, text[i] ? "..." : "");
}

/* Digits; false when they do not fit. */
static bool parse_digits(const char **text, uint64_t *ret)
{
	uint64_t value = 0;
	bool fits = true;

	for (; **text >= '0' && **text <= '9'; (*text)++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, **text - '0', &value))
			fits = false;
	*ret = value;
	return fits;
}

/* The shift of "", "K", "KiB" ...; -1: none of them. */
static int parse_suffix(const char *text)
{
	const char *letter;

	if (!*text)
		return 0;
	letter = strchr(letters, *text >= 'a' ? *text - 'a' + 'A' : *text);
	if (!letter || (text[1] && strcmp(text + 1, "iB") != 0))
		return -1;
	return 10 * (int)(letter - letters + 1);
}

int size_parse(const char *text, uint64_t *ret, struct error *err)
{
	const char *at = text;
	char quoted[48];
	uint64_t value;
	bool fits;
	int shift;

	quote(text, quoted);
	if (*text == '-')
		return error_set(err, EINVAL, "size '%s' is negative", quoted);
	if (*text < '0' || *text > '9')
		return error_set(err, EINVAL,
				 "'%s' is not a size (as 512, 50G or 2T)",
				 quoted);
	fits = parse_digits(&at, &value);
	shift = parse_suffix(at);
	if (shift < 0)
		return error_set(err, EINVAL,
				 "'%s' is not a size: whole numbers with K, M, "
				 "G, T, P or E",
				 quoted);
	if (!fits || value > UINT64_MAX >> shift)
		return error_set(err, EINVAL, "size '%s' is 16 EiB or more",
				 quoted);
	value <<= shift;
	if (value == 0)
		return error_set(err, EINVAL, "size '%s' is zero", quoted);
	if (value % 512)
		return error_set(err, EINVAL,
				 "size '%s' is not a multiple of 512 bytes",
				 quoted);
	*ret = value;
	return 0;
}

/* The unit's index (0: bytes) and @bytes in tenths of it, rounded. */
static unsigned int scale(uint64_t bytes, uint64_t *ret_tenths)
{
	unsigned int unit = 0;
	uint64_t one = 1;

	while (unit < 6 && bytes / one >= 1024) {
		one <<= 10;
		unit++;
	}
	*ret_tenths = bytes / one * 10 + (bytes % one * 10 + one / 2) / one;
	/* 1023.96K reads better as 1M */
	if (unit && unit < 6 && *ret_tenths >= 10235) {
		*ret_tenths = 10;
		unit++;
	}
	return unit;
}

/* Returns the unit that the number in @ret counts. */
static unsigned int format_number(uint64_t bytes, char ret[SIZE_TEXT_BYTES])
{
	uint64_t tenths;
	unsigned int unit = scale(bytes, &tenths);

	if (tenths % 10 == 0 || tenths >= 1000)
		snprintf(ret, SIZE_TEXT_BYTES, "%llu",
			 (unsigned long long)((tenths + 5) / 10));
	else
		snprintf(ret, SIZE_TEXT_BYTES, "%llu.%llu",
			 (unsigned long long)(tenths / 10),
			 (unsigned long long)(tenths % 10));
	return unit;
}

void size_format(uint64_t bytes, char ret[SIZE_TEXT_BYTES])
{
	unsigned int unit = format_number(bytes, ret);
	size_t length = strlen(ret);

	if (unit)
		snprintf(ret + length, SIZE_TEXT_BYTES - length, "%c",
			 letters[unit - 1]);
}

void size_format_long(uint64_t bytes, char ret[SIZE_TEXT_BYTES])
{
	unsigned int unit = format_number(bytes, ret);
	size_t length = strlen(ret);

	if (unit)
		snprintf(ret + length, SIZE_TEXT_BYTES - length, " %ciB",
			 letters[unit - 1]);
	else
		snprintf(ret + length, SIZE_TEXT_BYTES - length, " byte%s",
			 bytes == 1 ? "" : "s");
}
