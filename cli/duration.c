/* SPDX-License-Identifier: BSD-2-Clause */
#include "duration.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

#define LONGEST_MS (1000ll * 86400 * 1000)

int64_t now_ms(void)
{
	return (int64_t)monotonic_ms();
}

/* Milliseconds of a unit; 0: there is no such unit. */
static double unit_ms(const char *unit)
{
	static const struct {
		const char *word;
		double ms;
	} units[] = {
		{"", 1000},   {"ms", 1},      {"s", 1000},
		{"m", 60000}, {"h", 3600000}, {"d", 86400000},
	};
	size_t i;

	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(unit, units[i].word) == 0)
			return units[i].ms;
	return 0;
}

int duration_parse(const char *text, int64_t *ret_ms, struct error *err)
{
	size_t digits = strspn(text, "0123456789."), i;
	double ms = 0;
	int nr_dots = 0;

	for (i = 0; i < digits; i++)
		nr_dots += text[i] == '.';
	if (digits <= 18 && nr_dots <= 1 && isdigit((unsigned char)*text))
		ms = strtod(text, NULL) * unit_ms(text + digits);
	if (ms < 1 || ms > LONGEST_MS)
		return error_set(err, EINVAL,
				 "'%.40s' is no time, as 10, 0.5s, 30m or 2h",
				 text);
	*ret_ms = (int64_t)ms;
	return 0;
}

void duration_format(int64_t ms, char ret[DURATION_TEXT_BYTES])
{
	long long s = ms / 1000;

	if (ms < 10000)
		snprintf(ret, DURATION_TEXT_BYTES, "%lld.%02llds", s,
			 (long long)ms % 1000 / 10);
	else if (s < 60)
		snprintf(ret, DURATION_TEXT_BYTES, "%lld.%llds", s,
			 (long long)ms % 1000 / 100);
	else if (s < 3600)
		snprintf(ret, DURATION_TEXT_BYTES, "%lldm%02llds", s / 60,
			 s % 60);
	else
		snprintf(ret, DURATION_TEXT_BYTES, "%lldh%02lldm", s / 3600,
			 s % 3600 / 60);
}
