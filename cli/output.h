/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What commands print: errors, tables, ages, and the one JSON object.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;
struct options;

/* One line "varve: ..." on standard error. */
void print_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Out of memory ends the program: @p, never NULL. */
void *must(void *p);

/* {"varve": 1, "data": ...}.  Takes a reference of @data over. */
void print_json(struct json_object *data);

/*
 * Rows of cells, columns aligned.  Typical use: table_init(), table_cell()
 * nr_columns times for each row, table_print(), table_done().
 */
struct table {
	size_t nr_columns;
	const char *const *headers;
	const bool *right; /* aligned to the right */
	char **cells;
	size_t nr_cells;
	size_t room;
};

void table_init(struct table *table, size_t nr_columns,
		const char *const *headers, const bool *right);
/* The text is copied. */
void table_cell(struct table *table, const char *text);
/* With options->no_header: no header and one tab between cells. */
void table_print(const struct table *table, const struct options *options);
void table_done(struct table *table);

/* "key:  value", keys padded to one width. */
void print_field(const char *key, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define AGE_TEXT_BYTES 32
/* Seconds since an RFC 3339 time in UTC; -1: not one. */
int64_t age_seconds(const char *rfc3339);
/* "5s", "12m", "3h", "4d", "2y". */
void age_format(int64_t seconds, char ret[AGE_TEXT_BYTES]);

/* Members of objects the service made; "", 0 and false where missing. */
const char *member_string(struct json_object *object, const char *key);
uint64_t member_number(struct json_object *object, const char *key);
bool member_bool(struct json_object *object, const char *key);
/* Is it there, and not null? */
bool member_is_known(struct json_object *object, const char *key);
/*
 * Member @key, a number, is null where damage forbids to tell: EXIT_CORRUPT,
 * after it has said so; else 0.
 */
int check_counted(struct json_object *object, const char *key);

/* Arguments for a verb. */
struct json_object *string_array(char *const *strings, int nr);
struct json_object *operand_array(const struct options *options, int from);
/* [text] */
struct json_object *array_of(const char *text);
/* {"name": name} */
struct json_object *name_args(const char *name);
/* {"names": names}, which are taken over. */
struct json_object *names_args_of(struct json_object *names);
/* {"names": operands, "dry_run": true if -n} */
struct json_object *names_args(const struct options *options, int from);

/* Print what an object has under "names", one a line, with @suffix. */
void print_names(struct json_object *data, const char *suffix);

/* Print what an object has under "lines". */
void print_lines(struct json_object *data);

#endif
