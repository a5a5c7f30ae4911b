/* SPDX-License-Identifier: BSD-2-Clause */
/* varve status: the store as a whole, and who serves it. */
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
	print_field(key, "%s", text);
}

/* How full it is in a word; "": not worth one. */
static const char *fullness(uint64_t percent)
{
	if (percent >= 100)
		return ", full";
	if (percent >= 95)
		return ", all but full";
	if (percent >= 90)
		return ", nearly full";
	return percent >= 80 ? ", filling up" : "";
}

static void print_used(struct json_object *data)
{
	uint64_t percent = member_number(data, "used_percent");
	char text[SIZE_TEXT_BYTES];

	size_format_long(member_number(data, "used"), text);
	print_field("used", "%s  %llu%%%s", text, (unsigned long long)percent,
		    fullness(percent));
}

/* What "free" leaves out of the capacity. */
static void print_reserve(struct json_object *data)
{
	struct json_object *frames = NULL;

	if (json_object_object_get_ex(data, "frames", &frames))
		print_bytes("reserve", member_number(frames, "reserve") *
					       member_number(data, "segment"));
}

static void print_count(const char *key, struct json_object *data)
{
	print_field(key, "%llu", (unsigned long long)member_number(data, key));
}

static void print_served(struct json_object *greeting)
{
	const char *socket;

	if (!greeting) {
		print_field("served", "no");
		return;
	}
	print_field("served", "by process %llu",
		    (unsigned long long)member_number(greeting, "pid"));
	socket = member_string(greeting, "socket");
	if (*socket)
		print_field("socket", "%s", socket);
}

static void print_state(struct json_object *data, bool served)
{
	bool shared = strcmp(member_string(data, "tail"), "shared") == 0;

	if (member_bool(data, "failed"))
		print_field("state", "failed: reads only, until it is opened "
				     "again");
	else if (served && member_bool(data, "read_only"))
		print_field("state", "read-only");
	if (served && !member_bool(data, "read_only"))
		print_field("kill -9", shared ? "loses nothing acknowledged"
					      : "loses what was not flushed");
}

static void print_scrub(struct json_object *data)
{
	struct json_object *scrub = NULL;
	const char *began, *ended;
	uint64_t errors;

	(void)json_object_object_get_ex(data, "scrub", &scrub);
	began = member_string(scrub, "began");
	ended = member_string(scrub, "ended");
	errors = member_number(scrub, "errors");
	if (*began)
		print_field("scrub", "%llu %%, since %s",
			    (unsigned long long)member_number(scrub, "percent"),
			    began);
	else if (!*ended)
		print_field("scrub", "never");
	else if (errors)
		print_field("scrub", "finished %s, %llu error%s", ended,
			    (unsigned long long)errors, errors == 1 ? "" : "s");
	else
		print_field("scrub", "finished %s, no errors", ended);
}

static void print_cleaner(struct json_object *data)
{
	struct json_object *cleaner = NULL;

	if (json_object_object_get_ex(data, "cleaner", &cleaner) &&
	    member_number(cleaner, "victims"))
		print_field(
			"cleaner",
			"%llu segments, %llu blocks moved, "
			"%llu map nodes touched",
			(unsigned long long)member_number(cleaner, "victims"),
			(unsigned long long)member_number(cleaner, "moved"),
			(unsigned long long)member_number(cleaner,
							  "nodes_touched"));
}

/* What was deleted and has not come back yet. */
static void print_freeing(struct json_object *data)
{
	uint64_t nodes = member_number(data, "freeing");
	uint64_t bytes = member_number(data, "freeing_bytes");
	char text[SIZE_TEXT_BYTES];

	if (nodes == 0 && bytes == 0)
		return;
	size_format_long(bytes, text);
	if (nodes)
		print_field("freeing", "%llu map nodes, %s",
			    (unsigned long long)nodes, text);
	else
		print_field("freeing", "%s", text);
}

static void print_memory(struct json_object *memory)
{
	uint64_t tables = member_number(memory, "tables");
	char text[SIZE_TEXT_BYTES], limit[SIZE_TEXT_BYTES];

	print_bytes("memory", tables + member_number(memory, "nodes"));
	size_format_long(tables, text);
	size_format_long(member_number(memory, "tables_max"), limit);
	print_field("tables", "%s of it, at most %s", text, limit);
}

static const char *health(const struct attachment *a)
{
	if (a->pid)
		return "";
	return a->is_nbd ? "  (without its monitor; attach it again)"
			 : "  (connection lost; detach it)";
}

static void print_attached(const char *store)
{
	struct attachments attachments;
	size_t i;

	attachments_load_of(store, &attachments);
	for (i = 0; i < attachments.nr; i++)
		if (attachments.ptr[i].device[0])
			print_field("attached", "%s  %s%s",
				    attachments.ptr[i].device,
				    attachments.ptr[i].name,
				    health(&attachments.ptr[i]));
	attachments_done(&attachments);
}

static void print_status(const char *store, struct json_object *data,
			 struct json_object *greeting)
{
	struct json_object *memory = NULL;

	print_field("store", "%s", store);
	print_field("uuid", "%s", member_string(data, "uuid"));
	print_served(greeting);
	print_state(data, greeting != NULL);
	print_bytes("capacity", member_number(data, "capacity"));
	print_used(data);
	print_bytes("free", member_number(data, "free"));
	print_reserve(data);
	print_count("volumes", data);
	print_count("snapshots", data);
	print_count("checkpoint", data);
	print_bytes("log", member_number(data, "log"));
	if (json_object_object_get_ex(data, "memory", &memory))
		print_memory(memory);
	print_freeing(data);
	if (member_number(data, "checksum_errors"))
		print_field("damage", "%llu reads did not match their checksum",
			    (unsigned long long)member_number(
				    data, "checksum_errors"));
	print_cleaner(data);
	print_scrub(data);
	print_attached(store);
}

static void add_served(struct json_object *data, struct json_object *greeting)
{
	struct json_object *served = NULL;

	if (greeting) {
		served = must(json_object_new_object());
		json_object_object_add(
			served, "pid",
			json_object_new_uint64(member_number(greeting, "pid")));
		json_object_object_add(served, "socket",
				       json_object_new_string(member_string(
					       greeting, "socket")));
	}
	json_object_object_add(data, "served", served);
}

static int status_run(const struct options *options)
{
	const char *store = options_store(options);
	struct json_object *greeting, *data;
	struct connection *c = NULL;
	int r;

	if (!store)
		return EXIT_USAGE;
	r = connection_open(
		store, options->verbose ? CONNECT_VERBOSE : CONNECT_READ, &c);
	if (r == 0)
		r = connection_call(c, "status", NULL, &data);
	if (r)
		return connection_close(c, r);
	greeting = connection_greeting(c);
	if (options->json) {
		add_served(data, greeting);
		print_json(json_object_get(data));
	} else {
		print_status(store, data, greeting);
	}
	json_object_put(data);
	return connection_close(c, 0);
}

const struct command command_status = {
	.name = "status",
	.synopsis = "",
	.summary = "say how the store is doing, and who serves it",
	.run = status_run,
};
