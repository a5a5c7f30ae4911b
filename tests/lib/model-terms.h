/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hash of a model is a sum of one term per volume and one per block that
 * is not all zeros, so that a change costs the terms it changes.
 */
#ifndef LIB_MODEL_TERMS_H
#define LIB_MODEL_TERMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "units.h"

bool all_zero(const uint8_t *bytes, size_t length);

uint64_t volume_term(const char *name, uint64_t size);
/* 0 where nothing is set. */
uint64_t settings_term(const char *name, uint64_t quota, bool pause);
uint64_t capacity_term(uint64_t capacity);
/* Of a block's bytes; content that is all zeros counts as nothing. */
uint64_t bytes_term(const char *name, uint64_t index,
		    const uint8_t bytes[BLOCK_SIZE]);

#endif
