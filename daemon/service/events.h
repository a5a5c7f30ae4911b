/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last events of a served store: what the engine and the server have
 * told, numbered from 1 on, for whoever watches (PROTOCOL.md, events).
 *
 * Only the newest EVENTS_MAX are kept.  Adding one never fails and waits for
 * nobody but a reader who copies.  Any thread; lock: none held but what ranks
 * above LOCK_MESSAGE.
 */
#ifndef SERVICE_EVENTS_H
#define SERVICE_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"

#define EVENTS_MAX 1024u

struct events;
struct json_object;

/* NULL: no memory. */
struct events *events_create(void);
/* Accepts NULL.  Nobody waits any more. */
void events_free(struct events *events);

/* The word for @event in the protocol. */
const char *event_name(enum store_event event);

/*
 * Note @text, whose trailing words of the form key=value become members of
 * the event.  @kind is one of event_name() or the server's own, a literal.
 * Wakes those who wait.  False: the same was told within the last minute, and
 * is not told again.
 */
bool events_add(struct events *events, enum message_level level,
		const char *kind, const char *text);

/* Is there one newer than @after?  Waits up to @ms for it. */
bool events_wait(struct events *events, uint64_t after, uint64_t ms);

/*
 * One more waits, several times perhaps, until events_end_waiting().  False: as
 * many as @max do already.
 */
bool events_begin_waiting(struct events *events, unsigned int max);
void events_end_waiting(struct events *events);

/*
 * The data of an answer: all kept events that are newer than @after, oldest
 * first.  NULL: no memory.
 */
struct json_object *events_json(struct events *events, uint64_t after);

#endif
