/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stores of small segments in memory, and what test programs without cmocka
 * share.  Failures abort with one line.
 */
#ifndef LIB_TEST_STORE_H
#define LIB_TEST_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "backend-memory.h"
#include "engine.h"

#define TEST_SEGMENT_SHIFT 16u

/* Print a line and exit with 1. */
_Noreturn void die(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* A disk of @nr_frames frames of 64 KiB with an empty store on it. */
struct memory_disk *test_store_disk(uint64_t nr_frames);
/* The same with frames of 2^@segment_shift bytes. */
struct memory_disk *test_store_disk_of(uint64_t nr_frames,
				       unsigned int segment_shift);

/* store_open() on @disk; on failure the back end is closed. */
int test_store_open(struct memory_disk *disk,
		    const struct store_open_options *options,
		    struct store **ret, struct error *err);

/*
 * store_check(), and no map node was touched by moving blocks; false, and the
 * first line it said, when all is not well.
 */
bool test_store_check(struct store *store, struct error *err);

/* --NAME VALUE of the command line: removed from it; else @fallback. */
uint64_t test_option(int *argc, char **argv, const char *name,
		     uint64_t fallback);
/* --NAME without a value. */
bool test_flag(int *argc, char **argv, const char *name);

#endif
