/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a fuzz target is made of.  fuzz-main.c runs it on files, or on inputs
 * of its own making for some seconds; instead of fuzz-main.c libFuzzer may be
 * linked (clang -fsanitize=fuzzer).
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "random.h"

#define FUZZ_INPUT_MAX 65536u

/* Run the target on one input; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Make an input of at most FUZZ_INPUT_MAX bytes; returns its length. */
size_t fuzz_generate(struct rng *rng, uint8_t *ret);

/* Abort with a line about what the target did wrong. */
_Noreturn void fuzz_fail(const char *what, const char *why);

/* A failure has its code and one printable sentence, and is not ENOMEM. */
void fuzz_check_result(const char *what, int r, const struct error *err);

/* No control characters. */
void fuzz_check_text(const char *what, const char *text);

#endif
