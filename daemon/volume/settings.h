/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The settings of a volume: attributes of its record that the engine acts on.
 *
 * What is not set is no attribute.  A value that is none (a store may come
 * from anywhere) counts as not set.
 */
#ifndef VOLUME_SETTINGS_H
#define VOLUME_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct setting;

struct settings {
	uint64_t quota;	      /* bytes, 0: none */
	uint64_t reservation; /* bytes, 0: none */
	bool pause;	      /* on-full=pause */
};

void settings_parse(const char *attrs, size_t length, struct settings *ret);

/*
 * The attributes @attrs with @settings changed, up to VOLUME_ATTRS_MAX_BYTES;
 * what is set to its default goes.  @volume is for messages.
 * -EINVAL: an unknown key, a bad value, a key named twice, too much.
 */
int settings_change(const char *volume, const char *attrs, size_t length,
		    const struct setting *settings, size_t nr, char *ret,
		    size_t *ret_length, struct error *err);

#define SIZE_TEXT_BYTES 32
/* For messages: in the largest unit of which it is a whole number. */
void settings_format_size(uint64_t bytes, char ret[SIZE_TEXT_BYTES]);

#endif
