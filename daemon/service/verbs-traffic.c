/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs that tell what clients ask for. */
#include "verbs-internal.h"

#include <errno.h>

#include "cleanup.h"
#include "engine.h"
#include "json.h"
#include "metrics.h"

static struct json_object *json_kind(const struct traffic_kind_count *count)
{
	struct json_object *ret = json_object_new_object();

	if (!ret)
		return NULL;
	json_put_uint(ret, "requests", count->requests);
	json_put_uint(ret, "errors", count->errors);
	json_put_uint(ret, "bytes", count->bytes);
	json_put_uint(ret, "ns", count->ns);
	return ret;
}

static struct json_object *json_traffic(const struct volume_traffic *traffic)
{
	struct json_object *ret = json_object_new_object();

	if (!ret)
		return NULL;
	json_put_string(ret, "name", traffic->name);
	for (unsigned int k = 0; k < NR_TRAFFIC_KINDS; k++)
		(void)json_object_object_add(
			ret, traffic_kind_names[k],
			json_kind(&traffic->count.kinds[k]));
	return ret;
}

int verb_traffic(struct store *store, struct json_object *args,
		 struct json_object **ret, struct error *err)
{
	CLEANUP_FREE struct volume_traffic *list = NULL;
	struct traffic_count all;
	struct json_object *array;
	size_t nr;
	int r;

	r = store_traffic(store, &list, &nr, &all, err);
	if (r < 0)
		return r;
	array = json_object_new_array();
	for (size_t i = 0; array && i < nr; i++)
		(void)json_object_array_add(array, json_traffic(&list[i]));
	return verb_give(array, ret, err);
}

int verb_metrics(struct store *store, struct json_object *args,
		 struct json_object **ret, struct error *err)
{
	CLEANUP_FREE char *text = NULL;
	struct json_object *data;
	size_t length;
	int r;

	r = metrics_text(store, &text, &length, err);
	if (r < 0)
		return r;
	data = json_object_new_object();
	if (data) {
		json_put_string(data, "type", METRICS_TYPE);
		json_put_string(data, "text", text);
	}
	return verb_give(data, ret, err);
}
