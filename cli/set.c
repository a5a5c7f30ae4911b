/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * varve set: the settings of a volume, or without one of the store; all
 * operands at once.
 */
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "command.h"
#include "connect.h"
#include "options.h"
#include "output.h"
#include "size.h"

static int no_setting(const char *volume, const char *text)
{
	if (volume)
		print_error("%s: '%s' is no setting: quota=SIZE, "
			    "reservation=SIZE or on-full=error|pause",
			    volume, text);
	else
		print_error("%s: a setting of the store is capacity=SIZE",
			    text);
	return EXIT_USAGE;
}

/*
 * Add KEY=VALUE to @settings; a value that begins with a digit is a size.
 * @volume NULL: of the store.
 */
static int add_setting(const char *volume, const char *text,
		       struct json_object *settings)
{
	const char *about = volume ? volume : text;
	const char *value = strchr(text, '=');
	struct error err = ERROR_NONE;
	struct json_object *json;
	char key[32];
	uint64_t size;

	if (!value || value == text || (size_t)(value - text) >= sizeof(key))
		return no_setting(volume, text);
	memcpy(key, text, (size_t)(value - text));
	key[value++ - text] = '\0';
	if (json_object_object_get_ex(settings, key, NULL)) {
		print_error("%s: %s is named twice", about, key);
		return EXIT_USAGE;
	}
	if (*value < '0' || *value > '9') {
		json = json_object_new_string(value);
	} else if (size_parse(value, &size, &err) == 0) {
		json = json_object_new_uint64(size);
	} else {
		print_error("%s: %s: %s", about, key, err.message);
		return EXIT_USAGE;
	}
	json_object_object_add(settings, key, must(json));
	return 0;
}

static void print_settings(const struct options *options, const char *name,
			   struct json_object *settings)
{
	char text[SIZE_TEXT_BYTES];

	printf("%s%s", options->dry_run ? "would set " : "", name);
	json_object_object_foreach(settings, key, value)
	{
		if (json_object_is_type(value, json_type_int)) {
			size_format_long(json_object_get_uint64(value), text);
			printf("  %s=%s", key, text);
		} else {
			printf("  %s=%s", key, json_object_get_string(value));
		}
	}
	putchar('\n');
}

static int set_run(const struct options *options)
{
	struct json_object *args, *settings, *data;
	bool of_store = strchr(options->operands[0], '=') != NULL;
	const char *volume = of_store ? NULL : options->operands[0];
	int i, r = 0;

	if (volume && options->nr_operands < 2)
		return usage_error(&command_set, "KEY=VALUE is missing");
	args = must(json_object_new_object());
	settings = must(json_object_new_object());
	if (volume)
		json_object_object_add(args, "name",
				       json_object_new_string(volume));
	json_object_object_add(args, "settings", settings);
	json_object_object_add(args, "dry_run",
			       json_object_new_boolean(options->dry_run));
	for (i = of_store ? 0 : 1; r == 0 && i < options->nr_operands; i++)
		r = add_setting(volume, options->operands[i], settings);
	if (r) {
		json_object_put(args);
		return r;
	}
	r = connect_run(options, "set", args, &data);
	if (r)
		return r;
	json_object_object_get_ex(data, "settings", &settings);
	if (options->json)
		print_json(json_object_get(data));
	else if (!options->quiet)
		print_settings(options,
			       volume ? volume : options_store(options),
			       settings);
	json_object_put(data);
	return 0;
}

const struct command command_set = {
	.name = "set",
	.synopsis = "[-n] [VOLUME] KEY=VALUE...",
	.summary = "change settings of a volume, or of the store",
	.details =
		"quota=SIZE|none        what the volume and its snapshots may "
		"hold of their own\n"
		"reservation=SIZE|none  what other volumes leave free for "
		"them\n"
		"on-full=error|pause    when there is no space a write fails "
		"at once, or first\n"
		"                       waits 10 s for some to come free\n\n"
		"Rollback and undo keep settings; a clone begins without "
		"any.\n\n"
		"Without VOLUME, of the store:\n\n"
		"capacity=SIZE          the store grows to SIZE; on a block "
		"device max is all of it",
	.accepts = OPTION_DRY_RUN,
	.min_operands = 1,
	.max_operands = -1,
	.run = set_run,
};
