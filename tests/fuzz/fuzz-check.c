/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	if (!err->message[0] || err->code != -r)
		fuzz_fail(what, "failed without a word of its own");
	fuzz_check_text(what, err->message);
	if (r == -ENOMEM)
		fuzz_fail(what, "hostile bytes asked for too much memory");
}

void fuzz_check_decoder(const char *what, int r, const struct error *err)
{
	fuzz_check_result(what, r, err);
	if (r != 0 && r != -EBADMSG && r != -EUCLEAN && r != -EINVAL &&
	    r != -ENOTSUP)
		fuzz_fail(what, "not an error of damage");
}

void *fuzz_exact(const void *data, size_t size)
{
	void *ret = malloc(size);

	if (!ret && size)
		fuzz_fail("malloc", "no memory");
	if (size)
		memcpy(ret, data, size);
	return ret;
}

char *fuzz_exact_text(const void *data, size_t size)
{
	char *ret = malloc(size + 1);

	if (!ret)
		fuzz_fail("malloc", "no memory");
	if (size)
		memcpy(ret, data, size);
	ret[size] = '\0';
	return ret;
}
