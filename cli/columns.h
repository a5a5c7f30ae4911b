/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables of JSON objects, a row for each, with the columns that -o chooses.
 */
#ifndef CLI_COLUMNS_H
#define CLI_COLUMNS_H

#include <stddef.h>

struct attachments;
struct json_object;
struct options;

enum column_kind {
	TEXT,
	BYTES, /* "-" where it is missing or null */
	COUNT,
	AGE,	/* since the time of the member */
	DEVICE, /* at which the volume of this name is attached */
};

struct column {
	const char *name; /* for -o; NULL ends a list of columns */
	const char *header;
	const char *member; /* of the objects */
	enum column_kind kind;
};

#define COLUMNS_MAX 32

struct columns {
	const struct column *list[COLUMNS_MAX];
	size_t nr;
};

/*
 * The columns of @known that -o names, or else @standard.  Returns 0, or
 * EXIT_USAGE after it has said why.
 */
int columns_parse(const struct options *options, const struct column *known,
		  const char *standard, struct columns *ret);

/* @attachments is needed for columns of kind DEVICE only. */
void columns_print(const struct columns *columns, const struct options *options,
		   struct json_object *rows,
		   const struct attachments *attachments);

#endif
