/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

enum kind {
	KIND_TEXT,
	KIND_PATH, /* absolute: who reads it may be anywhere */
	KIND_SWITCH,
};

static const struct {
	const char *name;
	enum kind kind;
} keys[] = {
	{"store", KIND_PATH},
	{"socket", KIND_PATH},
	{"port", KIND_TEXT},
	{"address", KIND_TEXT},
	{"tls-certificates", KIND_PATH},
	{"tls-verify-peer", KIND_SWITCH},
	{"tls-psk", KIND_PATH},
	{"control", KIND_PATH},
	{"mode", KIND_TEXT},
	{"group", KIND_TEXT},
	{"threads", KIND_TEXT},
	{"connections", KIND_TEXT},
	{"memory", KIND_TEXT},
	{"memory-tables", KIND_TEXT},
	{"metrics", KIND_TEXT},
	{"read-only", KIND_SWITCH},
	{"verbose", KIND_SWITCH},
};

#define NR_KEYS (sizeof(keys) / sizeof(keys[0]))

/* Looked for here by those who change them with `varve set`. */
static const char *const settings[] = {"capacity", "quota", "reservation",
				       "on-full"};

struct config {
	char *values[NR_KEYS]; /* NULL: no such line */
	unsigned int lines[NR_KEYS];
};

/* One line, and where it stands. */
struct line {
	const char *path;
	unsigned int number;
	char *key;
	char *value;
};

const char *config_path(void)
{
	const char *path = getenv("VARVE_CONFIG");

	return path && *path ? path : config_system_path();
}

const char *config_system_path(void)
{
	return VARVE_CONFIG;
}

static size_t find_key(const char *key)
{
	size_t i = 0;

	while (i < NR_KEYS && strcmp(keys[i].name, key) != 0)
		i++;
	return i;
}

const char *config_get(const struct config *config, const char *key)
{
	size_t i = find_key(key);

	return i < NR_KEYS ? config->values[i] : NULL;
}

unsigned int config_line(const struct config *config, const char *key)
{
	size_t i = find_key(key);

	return i < NR_KEYS ? config->lines[i] : 0;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < NR_KEYS; i++)
		free(config->values[i]);
	free(config);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Without blanks at both ends, in its place. */
static char *strip(char *text)
{
	size_t length;

	while (is_blank(*text))
		text++;
	length = strlen(text);
	while (length && is_blank(text[length - 1]))
		text[--length] = '\0';
	return text;
}

/* The message ends up on terminals. */
static bool is_printable(const char *text)
{
	for (; *text; text++)
		if (((unsigned char)*text < ' ' && *text != '\t') ||
		    *text == 0x7f)
			return false;
	return true;
}

static int line_error(const struct line *line, struct error *err,
		      const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static int line_error(const struct line *line, struct error *err,
		      const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return error_set(err, EINVAL, "%.150s:%u: %s", line->path, line->number,
			 text);
}

static int unknown_key(const struct line *line, struct error *err)
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (strcmp(settings[i], line->key) == 0)
			return line_error(line, err,
					  "%s is kept in the store: change it "
					  "with varve set",
					  line->key);
	return line_error(line, err, "unknown key '%.60s'", line->key);
}

static int check_value(const struct line *line, enum kind kind,
		       struct error *err)
{
	if (!*line->value)
		return line_error(line, err, "%s has no value", line->key);
	if (strchr(line->value, '#'))
		return line_error(line, err,
				  "%s: a comment needs a line of its own",
				  line->key);
	if (kind == KIND_PATH && line->value[0] != '/')
		return line_error(line, err,
				  "%s %.60s: must be an absolute path",
				  line->key, line->value);
	if (kind == KIND_SWITCH && strcmp(line->value, "yes") != 0 &&
	    strcmp(line->value, "no") != 0)
		return line_error(line, err, "%s %.60s: must be yes or no",
				  line->key, line->value);
	return 0;
}

static int add_line(struct config *config, const struct line *line,
		    struct error *err)
{
	size_t i = find_key(line->key);
	int r;

	if (i == NR_KEYS)
		return unknown_key(line, err);
	r = check_value(line, keys[i].kind, err);
	if (r < 0)
		return r;
	if (config->values[i])
		return line_error(line, err, "%s is in line %u already",
				  line->key, config->lines[i]);
	config->values[i] = strdup(line->value);
	if (!config->values[i])
		return error_set(err, ENOMEM, "%s: out of memory", line->path);
	config->lines[i] = line->number;
	return 0;
}

/* @text, of @length bytes and a NUL, is cut up. */
static int parse_line(struct config *config, struct line *line, char *text,
		      size_t length, struct error *err)
{
	bool has_nul = strlen(text) < length;
	char *equals;

	text = strip(text);
	if (has_nul || !is_printable(text))
		return line_error(line, err, "is not text");
	if (!*text || *text == '#')
		return 0;
	equals = strchr(text, '=');
	if (!equals)
		return line_error(line, err, "'%.60s' is not key = value",
				  text);
	*equals = '\0';
	line->key = strip(text);
	line->value = strip(equals + 1);
	return add_line(config, line, err);
}

static int read_lines(FILE *file, const char *path, struct config *config,
		      struct error *err)
{
	struct line line = {.path = path};
	CLEANUP_FREE char *text = NULL;
	size_t room = 0;
	ssize_t length;
	int r;

	while ((length = getline(&text, &room, file)) >= 0) {
		line.number++;
		r = parse_line(config, &line, text, (size_t)length, err);
		if (r < 0)
			return r;
	}
	if (!feof(file)) /* no memory for a line is no error of the file */
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	return 0;
}

int config_read(const char *path, struct config **ret, struct error *err)
{
	struct config *config;
	FILE *file;
	int r;

	file = fopen(path, "re");
	if (!file)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	config = calloc(1, sizeof(*config));
	if (config)
		r = read_lines(file, path, config, err);
	else
		r = error_set(err, ENOMEM, "%s: out of memory", path);
	(void)fclose(file);
	if (r < 0) {
		config_free(config);
		return r;
	}
	*ret = config;
	return 0;
}
