/* SPDX-License-Identifier: BSD-2-Clause */
/* The verb events (PROTOCOL.md): the server's own, and not the store's. */
#ifndef SERVICE_VERB_EVENTS_H
#define SERVICE_VERB_EVENTS_H

#include "error.h"

struct events;
struct json_object;

/*
 * As a verb of verbs.h; but it waits, if @args say so, until there is an event
 * or the client at @fd has hung up.  -EBUSY: @waiting_max clients wait.
 */
int verb_events(struct events *events, int fd, unsigned int waiting_max,
		struct json_object *args, struct json_object **ret,
		struct error *err);

#endif
