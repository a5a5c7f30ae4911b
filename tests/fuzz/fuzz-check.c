/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void fuzz_fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	abort();
}

void fuzz_check_text(const char *what, const char *text)
{
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			fuzz_fail(what, "control characters in a text");
}

void fuzz_check_result(const char *what, int r, const struct error *err)
{
	if (r >= 0)
		return;
	if (!err->message[0] || err->code <= 0)
		fuzz_fail(what, "failed without a word");
	fuzz_check_text(what, err->message);
	if (r == -ENOMEM)
		fuzz_fail(what, "hostile bytes asked for too much memory");
}
