/* SPDX-License-Identifier: BSD-2-Clause */
#include "device-size.h"

#include <string.h>

#include <json-c/json.h>

#include "attachment.h"
#include "command.h"
#include "hold.h"
#include "options.h"
#include "output.h"

/* The size of volume @name, as its server says. */
static int ask_size(const char *store, const char *name, uint64_t *ret)
{
	struct connection *c = NULL;
	struct json_object *data;
	int r;

	r = connection_open(store, CONNECT_SERVED, &c);
	if (r)
		return r;
	r = connection_call(c, "show", name_args(name), &data);
	if (r == 0)
		*ret = member_number(data, "size");
	json_object_put(data);
	return connection_close(c, r);
}

static int follow_one(const struct attachment *a)
{
	struct error err = ERROR_NONE;
	uint64_t size = 0;

	if (ask_size(a->store, a->name, &size))
		return EXIT_PARTLY;
	if (attachment_resize(a, size, &err) == 0)
		return 0;
	print_error("%s: %s; detach and attach it again", a->name, err.message);
	return EXIT_PARTLY;
}

int device_size_follow(const struct options *options)
{
	const char *store = options_store(options);
	struct attachments all;
	int r = 0;

	if (options->dry_run || !store)
		return 0;
	attachments_load_of(store, &all);
	for (size_t i = 0; i < all.nr; i++)
		if (all.ptr[i].device[0] && operands_name(options, &all.ptr[i]))
			r |= follow_one(&all.ptr[i]);
	attachments_done(&all);
	return r;
}
