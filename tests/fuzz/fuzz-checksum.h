/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A checksum that always matches: what an attacker who puts checksums right
 * could write is then reached by changing any byte.
 */
#ifndef FUZZ_CHECKSUM_H
#define FUZZ_CHECKSUM_H

#include <stdbool.h>

/* The real one instead, from now on: false at first. */
extern bool fuzz_real_checksums;

#endif
