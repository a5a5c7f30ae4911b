/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON of the control protocol: arguments that may be hostile, and the
 * objects that answers are made of.
 */
#ifndef SERVICE_JSON_H
#define SERVICE_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"
#include "error.h"

/* More operands than one verb takes. */
#define ARGS_NAMES_MAX 100000u

/*
 * Get argument @key of @args (may be NULL).  An absent or null argument is
 * -EINVAL from args_*(); args_find_*() leave *ret alone and return 0.  A
 * wrong type is always -EINVAL.  Strings belong to @args.
 */
int args_string(struct json_object *args, const char *key, const char **ret,
		struct error *err);
int args_size(struct json_object *args, const char *key, uint64_t *ret,
	      struct error *err);
int args_find_string(struct json_object *args, const char *key,
		     const char **ret, struct error *err);
int args_find_uint(struct json_object *args, const char *key, uint64_t *ret,
		   struct error *err);
int args_find_bool(struct json_object *args, const char *key, bool *ret,
		   struct error *err);

/* An array of strings; free(*ret).  With @optional absent gives none. */
int args_names(struct json_object *args, const char *key, bool optional,
	       const char ***ret, size_t *ret_nr, struct error *err);

/* Blocks, told in bytes; NULL, which is null, for BLOCKS_UNKNOWN. */
struct json_object *json_blocks(uint64_t blocks);

/* Add a member to @object. */
void json_put_string(struct json_object *object, const char *key,
		     const char *value);
void json_put_uint(struct json_object *object, const char *key, uint64_t value);
void json_put_blocks(struct json_object *object, const char *key,
		     uint64_t blocks);
void json_put_bool(struct json_object *object, const char *key, bool value);
/* RFC 3339, UTC, whole seconds. */
void json_put_time(struct json_object *object, const char *key, uint64_t ns);

/* What writers may still take: the reserve is not theirs. */
uint64_t stat_free_bytes(const struct store_stat *stat);

/* A set of members of info: a bit for each. */
#define INFO_STANDARD ((UINT32_C(1) << 19) - 1) /* all but excl */

/* The members that @key of @args names; absent leaves *ret alone. */
int args_find_info_members(struct json_object *args, const char *key,
			   uint32_t *ret, struct error *err);
/* Is excl one of them?  Then store_excl() comes first. */
bool info_has_excl(uint32_t which);

/* New objects of PROTOCOL.md: info (@which members), status. */
struct json_object *json_info(const struct volume_info *info, uint32_t which);
struct json_object *json_status(const struct store_stat *stat);

#endif
