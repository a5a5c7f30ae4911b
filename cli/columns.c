/* SPDX-License-Identifier: BSD-2-Clause */
#include "columns.h"

#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "attachment.h"
#include "command.h"
#include "options.h"
#include "output.h"
#include "size.h"

static const struct column *find_column(const struct column *known,
					const char *word, size_t length)
{
	for (; known->name; known++)
		if (strlen(known->name) == length &&
		    memcmp(known->name, word, length) == 0)
			return known;
	return NULL;
}

static int no_column(const struct options *options, const struct column *known,
		     const char *word, size_t length)
{
	char names[256] = "";
	size_t at = 0;

	for (; known->name && at < sizeof(names); known++)
		at += (size_t)snprintf(names + at, sizeof(names) - at, " %s",
				       known->name);
	return usage_error(options->command, "no column '%.*s'; there are%s",
			   (int)length, word, names);
}

int columns_parse(const struct options *options, const struct column *known,
		  const char *standard, struct columns *ret)
{
	const char *text = options->columns ? options->columns : standard;
	const struct column *column;
	size_t length;

	for (ret->nr = 0;; text += length + 1) {
		length = strcspn(text, ",");
		column = find_column(known, text, length);
		if (!column)
			return no_column(options, known, text, length);
		if (ret->nr == COLUMNS_MAX)
			return usage_error(options->command,
					   "more than %d columns", COLUMNS_MAX);
		ret->list[ret->nr++] = column;
		if (!text[length])
			return 0;
	}
}

static void add_number(struct table *table, uint64_t n)
{
	char text[SIZE_TEXT_BYTES];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	table_cell(table, text);
}

static void add_bytes(const struct options *options, struct table *table,
		      struct json_object *row, const char *member)
{
	uint64_t bytes = member_number(row, member);
	char text[SIZE_TEXT_BYTES];

	if (!member_is_known(row, member)) {
		table_cell(table, "-");
		return;
	}
	if (options->exact) {
		add_number(table, bytes);
		return;
	}
	size_format(bytes, text);
	table_cell(table, text);
}

static void add_age(const struct options *options, struct table *table,
		    const char *created)
{
	int64_t seconds = age_seconds(created);
	char text[AGE_TEXT_BYTES];

	if (options->exact) {
		add_number(table, seconds < 0 ? 0 : (uint64_t)seconds);
		return;
	}
	age_format(seconds, text);
	table_cell(table, text);
}

static void add_cell(const struct options *options, struct table *table,
		     struct json_object *row, const struct column *column,
		     const struct attachments *attachments)
{
	const char *member = column->member, *text;

	switch (column->kind) {
	case TEXT:
		text = member_string(row, member);
		table_cell(table, *text ? text : "-");
		break;
	case BYTES:
		add_bytes(options, table, row, member);
		break;
	case COUNT:
		add_number(table, member_number(row, member));
		break;
	case AGE:
		add_age(options, table, member_string(row, member));
		break;
	case DEVICE:
		text = attachments_device(attachments,
					  member_string(row, member));
		table_cell(table, text ? text : "-");
		break;
	}
}

void columns_print(const struct columns *columns, const struct options *options,
		   struct json_object *rows,
		   const struct attachments *attachments)
{
	const char *headers[COLUMNS_MAX];
	bool right[COLUMNS_MAX];
	struct table table;

	for (size_t i = 0; i < columns->nr; i++) {
		enum column_kind kind = columns->list[i]->kind;

		headers[i] = columns->list[i]->header;
		right[i] = kind == BYTES || kind == COUNT || kind == AGE;
	}
	table_init(&table, columns->nr, headers, right);
	for (size_t i = 0; i < json_object_array_length(rows); i++)
		for (size_t j = 0; j < columns->nr; j++)
			add_cell(options, &table,
				 json_object_array_get_idx(rows, i),
				 columns->list[j], attachments);
	table_print(&table, options);
	table_done(&table);
}
