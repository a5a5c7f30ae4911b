/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a fuzz target is made of.  It is linked with libFuzzer where the build
 * is made for it (fuzz.ini), else with fuzz-main.c, which runs it on a corpus
 * and on inputs made from that.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "random.h"

#define FUZZ_INPUT_MAX 65536u

/* ---- of each target ---- */

/* Run the target on one input; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * Change the input of @size bytes at @data, which has room for @max_size, in
 * a way that @seed decides; returns its new size.  An input that is empty, or
 * too short for the target, becomes one that makes sense.
 */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed);

/* ---- of libFuzzer, or of fuzz-main.c ---- */

/* Change bytes without knowing what they mean; returns the new size. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* ---- fuzz-check.c ---- */

/* Abort with a line about what the target did wrong. */
_Noreturn void fuzz_fail(const char *what, const char *why);

/* A failure has its code and one printable sentence, and is not ENOMEM. */
void fuzz_check_result(const char *what, int r, const struct error *err);

/* The same, and the code is one of damage. */
void fuzz_check_decoder(const char *what, int r, const struct error *err);

/* No control characters. */
void fuzz_check_text(const char *what, const char *text);

/*
 * From now on abort when more than @bytes are allocated at once; 0: no limit.
 * Without AddressSanitizer it does nothing.
 */
void fuzz_limit_memory(size_t bytes);

/* A copy that ends where it ends, for the sanitizers; free() it. */
void *fuzz_exact(const void *data, size_t size);
/* The same with a zero byte behind it. */
char *fuzz_exact_text(const void *data, size_t size);

#endif
