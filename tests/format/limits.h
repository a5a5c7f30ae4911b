/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fields at and beyond their limits: refused with a sentence that names the
 * place, or accepted.  Each case changes a sample and puts its checksum
 * right.
 */
#ifndef TESTS_LIMITS_H
#define TESTS_LIMITS_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

struct change {
	uint32_t offset, size; /* size 0: none */
	uint64_t value;
};

struct limit {
	const char *sample;
	struct change changes[3];
	int code;	      /* 0: accepted */
	const char *sentence; /* what it must hold */
};

#define AT(type, member, value) \
	{ \
		offsetof(struct type, member), \
			sizeof(((struct type *)0)->member), value \
	}
#define REFUSED(sample, code, sentence, ...) \
	{ \
		sample, {__VA_ARGS__}, code, sentence \
	}
#define ACCEPTED(sample, ...) \
	{ \
		sample, {__VA_ARGS__}, 0, "" \
	}
#define CHECK(limits) limits_check(limits, sizeof(limits) / sizeof(limits[0]))

/* Fail the test at the first case that is not as it says. */
void limits_check(const struct limit *limits, size_t nr);

#endif
