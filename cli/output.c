/* SPDX-License-Identifier: BSD-2-Clause */
#include "output.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include "options.h"
#include "command.h"

void print_error(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("varve: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void *must(void *p)
{
	if (!p) {
		fputs("varve: out of memory\n", stderr);
		exit(EXIT_FAILED);
	}
	return p;
}

void print_json(struct json_object *data)
{
	struct json_object *object = must(json_object_new_object());

	json_object_object_add(object, "varve", json_object_new_int(1));
	json_object_object_add(object, "data", data);
	puts(json_object_to_json_string_ext(
		object,
		JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

void table_init(struct table *table, size_t nr_columns,
		const char *const *headers, const bool *right)
{
	*table = (struct table){
		.nr_columns = nr_columns,
		.headers = headers,
		.right = right,
	};
}

void table_cell(struct table *table, const char *text)
{
	if (table->nr_cells == table->room) {
		table->room = table->room ? table->room * 2 : 64;
		table->cells = must(reallocarray(table->cells, table->room,
						 sizeof(*table->cells)));
	}
	table->cells[table->nr_cells++] = must(strdup(text));
}

/* Characters of UTF-8, which messages of snapshots may have. */
static size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static size_t column_width(const struct table *table, size_t column)
{
	size_t width = strlen(table->headers[column]), length, i;

	for (i = column; i < table->nr_cells; i += table->nr_columns) {
		length = text_width(table->cells[i]);
		if (length > width)
			width = length;
	}
	return width;
}

static void print_row(const struct table *table, const char *const *cells,
		      const size_t *widths)
{
	size_t i;

	for (i = 0; i < table->nr_columns; i++) {
		if (i)
			fputs("  ", stdout);
		if (table->right[i])
			printf("%*s", (int)widths[i], cells[i]);
		else if (i + 1 < table->nr_columns)
			printf("%s%*s", cells[i],
			       (int)(widths[i] - text_width(cells[i])), "");
		else
			fputs(cells[i], stdout);
	}
	putchar('\n');
}

static void print_tabbed(const struct table *table)
{
	size_t i;

	for (i = 0; i < table->nr_cells; i++)
		printf("%s%c", table->cells[i],
		       (i + 1) % table->nr_columns ? '\t' : '\n');
}

void table_print(const struct table *table, const struct options *options)
{
	size_t *widths, i;

	if (options->no_header) {
		print_tabbed(table);
		return;
	}
	widths = must(calloc(table->nr_columns, sizeof(*widths)));
	for (i = 0; i < table->nr_columns; i++)
		widths[i] = column_width(table, i);
	print_row(table, table->headers, widths);
	for (i = 0; i < table->nr_cells; i += table->nr_columns)
		print_row(table, (const char *const *)table->cells + i, widths);
	free(widths);
}

void table_done(struct table *table)
{
	size_t i;

	for (i = 0; i < table->nr_cells; i++)
		free(table->cells[i]);
	free(table->cells);
	*table = (struct table){0};
}

void print_field(const char *key, const char *format, ...)
{
	va_list args;

	printf("%-12s  ", key);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

int64_t age_seconds(const char *rfc3339)
{
	struct tm tm = {0};

	if (!strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm))
		return -1;
	return (int64_t)time(NULL) - (int64_t)timegm(&tm);
}

void age_format(int64_t seconds, char ret[AGE_TEXT_BYTES])
{
	static const struct {
		int64_t seconds;
		char letter;
	} units[] = {
		{365 * 86400, 'y'},
		{86400, 'd'},
		{3600, 'h'},
		{60, 'm'},
	};
	size_t i;

	if (seconds < 0) /* the clock went back */
		seconds = 0;
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (seconds >= units[i].seconds) {
			snprintf(ret, AGE_TEXT_BYTES, "%lld%c",
				 (long long)(seconds / units[i].seconds),
				 units[i].letter);
			return;
		}
	snprintf(ret, AGE_TEXT_BYTES, "%llds", (long long)seconds);
}

const char *member_string(struct json_object *object, const char *key)
{
	struct json_object *value;
	const char *text = NULL;

	if (json_object_object_get_ex(object, key, &value))
		text = json_object_get_string(value);
	return text ? text : "";
}

uint64_t member_number(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value))
		return 0;
	return json_object_get_uint64(value);
}

bool member_bool(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) &&
	       json_object_get_boolean(value);
}

bool member_is_known(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) && value;
}

int check_counted(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) || value)
		return 0;
	print_error("a map node is damaged: what it is part of cannot be "
		    "counted (varve check says what that is)");
	return EXIT_CORRUPT;
}

struct json_object *string_array(char *const *strings, int nr)
{
	struct json_object *array = must(json_object_new_array());
	int i;

	for (i = 0; i < nr; i++)
		json_object_array_add(array,
				      json_object_new_string(strings[i]));
	return array;
}

struct json_object *operand_array(const struct options *options, int from)
{
	return string_array(options->operands + from,
			    options->nr_operands - from);
}

struct json_object *array_of(const char *text)
{
	struct json_object *array = must(json_object_new_array());

	json_object_array_add(array, json_object_new_string(text));
	return array;
}

struct json_object *name_args(const char *name)
{
	struct json_object *args = must(json_object_new_object());

	json_object_object_add(args, "name", json_object_new_string(name));
	return args;
}

struct json_object *names_args_of(struct json_object *names)
{
	struct json_object *args = must(json_object_new_object());

	json_object_object_add(args, "names", names);
	return args;
}

struct json_object *names_args(const struct options *options, int from)
{
	struct json_object *args = names_args_of(operand_array(options, from));

	if (options->dry_run)
		json_object_object_add(args, "dry_run",
				       json_object_new_boolean(true));
	return args;
}

void print_names(struct json_object *data, const char *suffix)
{
	struct json_object *names;
	size_t i;

	if (!json_object_object_get_ex(data, "names", &names))
		return;
	for (i = 0; i < json_object_array_length(names); i++)
		printf("%s%s\n",
		       json_object_get_string(
			       json_object_array_get_idx(names, i)),
		       suffix);
}

void print_lines(struct json_object *data)
{
	struct json_object *lines;
	size_t i;

	if (!json_object_object_get_ex(data, "lines", &lines))
		return;
	for (i = 0; i < json_object_array_length(lines); i++)
		puts(json_object_get_string(
			json_object_array_get_idx(lines, i)));
}
