/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of samples have in common. */
#ifndef TESTS_SAMPLES_PRIVATE_H
#define TESTS_SAMPLES_PRIVATE_H

#include "samples.h"

#define SHIFT SAMPLE_SEGMENT_SHIFT
#define UUID \
	{ \
		0x10, 0x21, 0x32, 0x43, 0x54, 0x65, 0x76, 0x87, 0x98, 0xa9, \
			0xba, 0xcb, 0xdc, 0xed, 0xfe, 0x0f \
	}
#define TIME UINT64_C(1795312800000000000) /* 2026-11-22T02:00:00Z */
#define END_OF_LIST \
	{ \
		0, 0, NULL \
	}
#define BYTES_OF(type, first, last, what) \
	{ \
		offsetof(type, first), \
			offsetof(type, last) + sizeof(((type *)0)->last) - 1, \
			what \
	}
#define FIELD(type, field, what) BYTES_OF(type, field, field, what)

#define SAMPLE(id, text, decoder, fixer) \
	{ \
		text, encode_##id, decode_##decoder, compare_##id, fixer, \
			id##_free \
	}

#define NR_LOG_SAMPLES 6
#define NR_MAP_SAMPLES 5
#define NR_TABLE_SAMPLES 8
extern const struct sample log_samples[NR_LOG_SAMPLES];
extern const struct sample map_samples[NR_MAP_SAMPLES];
extern const struct sample table_samples[NR_TABLE_SAMPLES];

#endif
