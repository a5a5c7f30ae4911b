/* SPDX-License-Identifier: BSD-2-Clause */
/* varve show: all there is to say of one volume or snapshot. */
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "attachment.h"
#include "command.h"
#include "connect.h"
#include "options.h"
#include "output.h"
#include "size.h"

static void print_bytes(const char *key, uint64_t bytes)
{
	char text[SIZE_TEXT_BYTES];

	size_format_long(bytes, text);
	if (bytes < 1024)
		print_field(key, "%s", text);
	else
		print_field(key, "%s (%llu bytes)", text,
			    (unsigned long long)bytes);
}

static void print_text(const char *key, struct json_object *info)
{
	const char *text = member_string(info, key);

	if (*text)
		print_field(key, "%s", text);
}

static void print_settings(struct json_object *info)
{
	if (member_number(info, "quota"))
		print_bytes("quota", member_number(info, "quota"));
	if (member_number(info, "reservation"))
		print_bytes("reservation", member_number(info, "reservation"));
	print_field("on-full", "%s", member_string(info, "on_full"));
}

static void print_count(const char *key, struct json_object *info)
{
	print_field(key, "%llu", (unsigned long long)member_number(info, key));
}

static void print_info(const struct options *options, struct json_object *info)
{
	const char *name = member_string(info, "name");
	bool volume = strcmp(member_string(info, "type"), "volume") == 0;
	struct attachments attachments;
	const char *device;

	print_text("name", info);
	print_text("type", info);
	print_bytes("size", member_number(info, "size"));
	print_bytes("refer", member_number(info, "refer"));
	print_bytes("written", member_number(info, "written"));
	print_text("created", info);
	print_text("parent", info);
	print_text("origin", info);
	print_text("message", info);
	if (volume)
		print_count("snapshots", info);
	print_count("readers", info);
	if (volume) {
		print_count("writers", info);
		print_settings(info);
	}
	if (member_bool(info, "old_head"))
		print_field("kept", "the head before a rollback");
	attachments_load_of(options_store(options), &attachments);
	device = attachments_device(&attachments, name);
	if (device)
		print_field("attached", "%s", device);
	attachments_done(&attachments);
}

static int show_run(const struct options *options)
{
	struct json_object *args = must(json_object_new_object()), *data;
	int r;

	json_object_object_add(args, "name",
			       json_object_new_string(options->operands[0]));
	r = connect_run(options, "show", args, &data);
	if (r)
		return r;
	if (options->json)
		print_json(json_object_get(data));
	else
		print_info(options, data);
	json_object_put(data);
	return 0;
}

const struct command command_show = {
	.name = "show",
	.synopsis = "VOLUME|VOLUME@SNAPSHOT",
	.summary = "say all about one volume or snapshot",
	.min_operands = 1,
	.max_operands = 1,
	.run = show_run,
};
