/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define COUNT_MEMORY
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COUNT_MEMORY
#endif
#endif

/* ---- memory ---- */

#ifdef COUNT_MEMORY
#include <stdatomic.h>

/* <sanitizer/allocator_interface.h>, which comes with clang alone */
int __sanitizer_install_malloc_and_free_hooks(
	void (*malloc_hook)(const volatile void *, size_t),
	void (*free_hook)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *data);

static atomic_llong memory_now;
static long long memory_max; /* 0: no limit */

static void count_malloc(const volatile void *data, size_t size)
{
	long long now = atomic_fetch_add(&memory_now, (long long)size);

	if (memory_max == 0 || now + (long long)size <= memory_max)
		return;
	memory_max = 0; /* a message takes memory, too */
	fprintf(stderr, "%lld bytes\n", now + (long long)size);
	fuzz_fail("memory", "an input takes more than it may");
}

static void count_free(const volatile void *data)
{
	size_t size = __sanitizer_get_allocated_size(data);

	(void)atomic_fetch_sub(&memory_now, (long long)size);
}

void fuzz_limit_memory(size_t bytes)
{
	static bool counting;

	if (!counting && !__sanitizer_install_malloc_and_free_hooks(
				 count_malloc, count_free))
		fuzz_fail("memory", "cannot be counted");
	counting = true;
	atomic_store(&memory_now, 0);
	memory_max = (long long)bytes;
}
#else
void fuzz_limit_memory(size_t bytes)
{
	(void)bytes; /* fuzz-main.c has limited the address space */
}
#endif

/* Memory that comes back soon is in the cache. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "hard_rss_limit_mb=1024:allocator_may_return_null=1:"
	       "quarantine_size_mb=16";
}

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
	return "halt_on_error=1:abort_on_error=1:print_stacktrace=1";
}

/* ---- what a target does wrong ---- */

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
