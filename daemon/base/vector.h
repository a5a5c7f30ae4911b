/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Growable arrays of one type: DEFINE_VECTOR(ids, uint32_t) gives struct ids
 * with open fields ptr, len, cap and ids_reserve(), ids_push(), ids_done().
 */
#ifndef BASE_VECTOR_H
#define BASE_VECTOR_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* In a source file clang wants each of these used. */
#define VECTOR_FUNCTION __attribute__((unused)) static inline

#define DEFINE_VECTOR(name, type) \
	struct name { \
		type *ptr; \
		size_t len, cap; \
	}; \
	/* Room for @extra more; returns 0 or -ENOMEM. */ \
	VECTOR_FUNCTION int name##_reserve(struct name *v, size_t extra) \
	{ \
		size_t need, cap = v->cap ? v->cap : 8; \
		type *ptr; \
\
		if (__builtin_add_overflow(v->len, extra, &need)) \
			return -ENOMEM; \
		if (need <= v->cap) \
			return 0; \
		while (cap < need) \
			if (__builtin_mul_overflow(cap, 2, &cap)) \
				return -ENOMEM; \
		ptr = reallocarray(v->ptr, cap, sizeof(type)); \
		if (!ptr) \
			return -ENOMEM; \
		v->ptr = ptr; \
		v->cap = cap; \
		return 0; \
	} \
	/* Append @item; returns 0 or -ENOMEM. */ \
	VECTOR_FUNCTION int name##_push(struct name *v, type item) \
	{ \
		int r = name##_reserve(v, 1); \
\
		if (r < 0) \
			return r; \
		v->ptr[v->len++] = item; \
		return 0; \
	} \
	VECTOR_FUNCTION void name##_done(struct name *v) \
	{ \
		free(v->ptr); \
		*v = (struct name){0}; \
	} \
	struct name##_semicolon

#endif
