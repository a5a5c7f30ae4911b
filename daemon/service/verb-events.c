/* SPDX-License-Identifier: BSD-2-Clause */
#include "verb-events.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "events.h"
#include "json.h"

#define WAIT_S_MAX 60

static bool has_hung_up(int fd)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLRDHUP};

	return poll(&pollfd, 1, 0) > 0;
}

/* A second at a time: the client may have gone. */
static int wait_for_event(struct events *events, int fd,
			  unsigned int waiting_max, uint64_t after,
			  uint64_t seconds, struct error *err)
{
	if (events_wait(events, after, 0))
		return 0;
	if (!events_begin_waiting(events, waiting_max))
		return error_set(err, EBUSY,
				 "%u clients wait for events already",
				 waiting_max);
	while (seconds-- > 0 && !has_hung_up(fd))
		if (events_wait(events, after, 1000))
			break;
	events_end_waiting(events);
	return 0;
}

int verb_events(struct events *events, int fd, unsigned int waiting_max,
		struct json_object *args, struct json_object **ret,
		struct error *err)
{
	uint64_t after = 0, wait = 0;
	int r;

	if (args && !json_object_is_type(args, json_type_object))
		return error_set(err, EINVAL, "args: must be an object");
	r = args_find_uint(args, "after", &after, err);
	if (r == 0)
		r = args_find_uint(args, "wait", &wait, err);
	if (r < 0)
		return r;
	if (wait > WAIT_S_MAX)
		wait = WAIT_S_MAX;
	if (wait > 0)
		r = wait_for_event(events, fd, waiting_max, after, wait, err);
	if (r < 0)
		return r;
	*ret = events_json(events, after);
	return *ret ? 0 : error_set(err, ENOMEM, "out of memory");
}
