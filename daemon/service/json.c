/* SPDX-License-Identifier: BSD-2-Clause */
#include "json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "print.h"
#include "units.h"

/* NULL when absent or null. */
static struct json_object *find(struct json_object *args, const char *key)
{
	struct json_object *value = NULL;

	if (args)
		(void)json_object_object_get_ex(args, key, &value);
	return value;
}

/* A name with a NUL in it must not pass for the part before the NUL. */
static const char *plain_string(struct json_object *value)
{
	const char *text;

	if (!json_object_is_type(value, json_type_string))
		return NULL;
	text = json_object_get_string(value);
	if (strlen(text) != (size_t)json_object_get_string_len(value))
		return NULL;
	return text;
}

int args_find_string(struct json_object *args, const char *key,
		     const char **ret, struct error *err)
{
	struct json_object *value = find(args, key);
	const char *text;

	if (!value)
		return 0;
	text = plain_string(value);
	if (!text)
		return error_set(err, EINVAL, "%s: must be a string", key);
	*ret = text;
	return 0;
}

int args_string(struct json_object *args, const char *key, const char **ret,
		struct error *err)
{
	if (!find(args, key))
		return error_set(err, EINVAL, "%s: missing", key);
	return args_find_string(args, key, ret, err);
}

static bool is_unsigned(struct json_object *value)
{
	return json_object_is_type(value, json_type_int) &&
	       json_object_get_int64(value) >= 0;
}

int args_size(struct json_object *args, const char *key, uint64_t *ret,
	      struct error *err)
{
	struct json_object *value = find(args, key);

	if (!value)
		return error_set(err, EINVAL, "%s: missing", key);
	if (!is_unsigned(value))
		return error_set(err, EINVAL, "%s: must be a number of bytes",
				 key);
	*ret = json_object_get_uint64(value);
	return 0;
}

int args_find_uint(struct json_object *args, const char *key, uint64_t *ret,
		   struct error *err)
{
	struct json_object *value = find(args, key);

	if (!value)
		return 0;
	if (!is_unsigned(value))
		return error_set(err, EINVAL, "%s: must be a whole number",
				 key);
	*ret = json_object_get_uint64(value);
	return 0;
}

int args_find_bool(struct json_object *args, const char *key, bool *ret,
		   struct error *err)
{
	struct json_object *value = find(args, key);

	if (!value)
		return 0;
	if (!json_object_is_type(value, json_type_boolean))
		return error_set(err, EINVAL, "%s: must be true or false", key);
	*ret = json_object_get_boolean(value);
	return 0;
}

int args_names(struct json_object *args, const char *key, bool optional,
	       const char ***ret, size_t *ret_nr, struct error *err)
{
	struct json_object *value = find(args, key);
	const char **names;
	size_t nr;

	if (!value && optional) {
		*ret = NULL;
		*ret_nr = 0;
		return 0;
	}
	if (!value)
		return error_set(err, EINVAL, "%s: missing", key);
	if (!json_object_is_type(value, json_type_array))
		return error_set(err, EINVAL, "%s: must be an array of strings",
				 key);
	nr = json_object_array_length(value);
	if (nr < 1 || nr > ARGS_NAMES_MAX)
		return error_set(err, EINVAL, "%s: must have 1 to %u entries",
				 key, ARGS_NAMES_MAX);
	names = calloc(nr, sizeof(*names));
	if (!names)
		return error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < nr; i++) {
		names[i] = plain_string(json_object_array_get_idx(value, i));
		if (!names[i]) {
			free(names);
			return error_set(err, EINVAL,
					 "%s: must be an array of strings",
					 key);
		}
	}
	*ret = names;
	*ret_nr = nr;
	return 0;
}

/*
 * A member there is no memory for becomes null; json-c leaves no better
 * choice, and the engine has no part in it.
 */
void json_put_string(struct json_object *object, const char *key,
		     const char *value)
{
	(void)json_object_object_add(object, key,
				     json_object_new_string(value));
}

void json_put_uint(struct json_object *object, const char *key, uint64_t value)
{
	(void)json_object_object_add(object, key,
				     json_object_new_uint64(value));
}

struct json_object *json_blocks(uint64_t blocks)
{
	if (blocks == BLOCKS_UNKNOWN)
		return NULL;
	return json_object_new_uint64(blocks * BLOCK_SIZE);
}

void json_put_blocks(struct json_object *object, const char *key,
		     uint64_t blocks)
{
	(void)json_object_object_add(object, key, json_blocks(blocks));
}

void json_put_bool(struct json_object *object, const char *key, bool value)
{
	(void)json_object_object_add(object, key,
				     json_object_new_boolean(value));
}

void json_put_time(struct json_object *object, const char *key, uint64_t ns)
{
	char text[TIME_TEXT_BYTES];

	time_format(ns, text);
	json_put_string(object, key, text);
}

static struct json_object *json_frames(const struct store_stat *stat)
{
	struct json_object *ret = json_object_new_object();

	if (!ret)
		return NULL;
	json_put_uint(ret, "total", stat->frames_total);
	json_put_uint(ret, "used", stat->frames_used);
	json_put_uint(ret, "allocated", stat->frames_allocated);
	json_put_uint(ret, "reserve", stat->frames_reserve);
	return ret;
}

static struct json_object *json_memory(const struct store_stat *stat)
{
	struct json_object *ret = json_object_new_object();

	if (!ret)
		return NULL;
	json_put_uint(ret, "tables", stat->tables_bytes);
	json_put_uint(ret, "tables_max", stat->tables_max_bytes);
	json_put_uint(ret, "node_table", stat->table_nodes_bytes);
	json_put_uint(ret, "counts", stat->table_counts_bytes);
	json_put_uint(ret, "forwards", stat->table_forwards_bytes);
	json_put_uint(ret, "inner_nodes", stat->table_inner_bytes);
	json_put_uint(ret, "volumes", stat->table_volumes_bytes);
	json_put_uint(ret, "nodes", stat->nodes_bytes);
	return ret;
}

uint64_t stat_free_bytes(const struct store_stat *stat)
{
	uint64_t taken = stat->frames_used + stat->frames_reserve;

	if (taken >= stat->frames_total)
		return 0;
	return (stat->frames_total - taken) * stat->segment_bytes;
}

static void put_space(struct json_object *ret, const struct store_stat *stat)
{
	json_put_uint(ret, "capacity", stat->capacity);
	json_put_uint(ret, "used", stat->frames_used * stat->segment_bytes);
	json_put_uint(ret, "used_percent", stat->used_percent);
	json_put_uint(ret, "free", stat_free_bytes(stat));
	json_put_blocks(ret, "live", stat->live_blocks);
	json_put_uint(ret, "metadata", stat->meta_bytes_live);
	json_put_uint(ret, "metadata_written", stat->metadata_bytes);
	json_put_uint(ret, "log", stat->log_bytes);
	json_put_uint(ret, "segment", stat->segment_bytes);
	(void)json_object_object_add(ret, "frames", json_frames(stat));
}

static struct json_object *json_scrub(const struct store_stat *stat)
{
	struct json_object *ret = json_object_new_object();

	if (!ret)
		return NULL;
	if (stat->scrub_began_ns) {
		json_put_time(ret, "began", stat->scrub_began_ns);
		json_put_uint(ret, "percent", stat->scrub_percent);
	}
	if (stat->scrub_ended_ns) {
		json_put_time(ret, "ended", stat->scrub_ended_ns);
		json_put_uint(ret, "errors", stat->scrub_errors);
	}
	return ret;
}

static struct json_object *json_cleaner(const struct store_stat *stat)
{
	struct json_object *ret = json_object_new_object();

	if (!ret)
		return NULL;
	json_put_uint(ret, "victims", stat->nr_victims);
	json_put_uint(ret, "copied", stat->copied_blocks);
	json_put_uint(ret, "moved", stat->moved_blocks);
	json_put_uint(ret, "renamed", stat->renamed_blocks);
	json_put_uint(ret, "nodes_touched", stat->nodes_touched);
	json_put_uint(ret, "forwarded", stat->forwarded_blocks);
	json_put_uint(ret, "name_segments", stat->nr_name_segments);
	json_put_uint(ret, "live_segments", stat->nr_live_segments);
	json_put_uint(ret, "named_segments", stat->nr_named_segments);
	return ret;
}

struct json_object *json_status(const struct store_stat *stat)
{
	struct json_object *ret = json_object_new_object();
	char uuid[UUID_TEXT_BYTES];

	if (!ret)
		return NULL;
	uuid_format(stat->uuid, uuid);
	json_put_string(ret, "uuid", uuid);
	put_space(ret, stat);
	json_put_uint(ret, "volumes", stat->nr_volumes);
	json_put_uint(ret, "snapshots", stat->nr_snapshots);
	json_put_uint(ret, "checkpoint", stat->checkpoint_id);
	json_put_uint(ret, "incarnation", stat->open_incarnation);
	json_put_bool(ret, "read_only", stat->read_only);
	json_put_bool(ret, "failed", stat->failed);
	json_put_string(ret, "tail", stat->tail_shared ? "shared" : "private");
	json_put_bool(ret, "direct", stat->direct);
	(void)json_object_object_add(ret, "memory", json_memory(stat));
	json_put_uint(ret, "nodes", stat->nr_nodes);
	json_put_uint(ret, "dirty_nodes", stat->dirty_nodes);
	json_put_uint(ret, "freeing", stat->reaper_queue);
	json_put_uint(ret, "freeing_bytes",
		      stat->dead_segments * stat->segment_bytes);
	json_put_uint(ret, "checksum_errors", stat->checksum_errors);
	(void)json_object_object_add(ret, "cleaner", json_cleaner(stat));
	(void)json_object_object_add(ret, "scrub", json_scrub(stat));
	json_put_uint(ret, "recovered_batches", stat->recovered_batches);
	json_put_uint(ret, "recovered_tail_batches",
		      stat->recovered_tail_batches);
	return ret;
}
