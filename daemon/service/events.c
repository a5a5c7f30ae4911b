/* SPDX-License-Identifier: BSD-2-Clause */
#include "events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "mutex.h"

/* As much as the engine says in one message. */
#define TEXT_BYTES 512
#define KEY_MAX 32
/* What is told again so soon, and not more of other things later, is noise. */
#define REPEAT_NS (UINT64_C(60) * 1000000000)
#define REPEAT_DISTANCE 64u

struct event {
	uint64_t time_ns;
	enum message_level level;
	const char *kind;
	char text[TEXT_BYTES];
};

struct events {
	struct mutex lock; /* protects all; rank LOCK_MESSAGE */
	struct cond added;
	unsigned int nr_waiting;       /* since events_begin_waiting() */
	uint64_t last;		       /* number of the newest; 0: none yet */
	struct event ring[EVENTS_MAX]; /* event n is ring[n % EVENTS_MAX] */
};

struct events *events_create(void)
{
	struct events *events = calloc(1, sizeof(*events));

	if (!events)
		return NULL;
	mutex_init(&events->lock, LOCK_MESSAGE);
	cond_init(&events->added);
	return events;
}

void events_free(struct events *events)
{
	if (!events)
		return;
	cond_done(&events->added);
	mutex_done(&events->lock);
	free(events);
}

const char *event_name(enum store_event event)
{
	switch (event) {
	case EVENT_RECOVERY:
		return "recovery";
	case EVENT_DAMAGE:
		return "damage";
	case EVENT_FAILED:
		return "failed";
	case EVENT_SPACE:
		return "space";
	case EVENT_HOST_FULL:
		return "host-full";
	case EVENT_SCRUB:
		return "scrub";
	case EVENT_STALLED:
		return "stalled";
	}
	return "other";
}

static const char *level_name(enum message_level level)
{
	switch (level) {
	case MESSAGE_ERROR:
		return "error";
	case MESSAGE_WARNING:
		return "warning";
	case MESSAGE_INFO:
		return "info";
	case MESSAGE_DEBUG:
		break;
	}
	return "debug";
}

/* A clock that was set back makes nothing a repetition. */
static bool is_repetition(const struct events *events, const char *kind,
			  const char *text, uint64_t now)
{
	for (uint64_t i = 0; i < REPEAT_DISTANCE && i < events->last; i++) {
		const struct event *event =
			&events->ring[(events->last - i) % EVENTS_MAX];

		if (now - event->time_ns > REPEAT_NS)
			return false;
		if (strcmp(event->kind, kind) == 0 &&
		    strncmp(event->text, text, TEXT_BYTES - 1) == 0)
			return true;
	}
	return false;
}

bool events_add(struct events *events, enum message_level level,
		const char *kind, const char *text)
{
	uint64_t now = clock_ns();
	struct event *event;
	bool ret;

	mutex_lock(&events->lock);
	ret = !is_repetition(events, kind, text, now);
	if (ret) {
		event = &events->ring[++events->last % EVENTS_MAX];
		event->time_ns = now;
		event->level = level;
		event->kind = kind;
		(void)snprintf(event->text, sizeof(event->text), "%s", text);
		cond_broadcast(&events->added);
	}
	mutex_unlock(&events->lock);
	return ret;
}

/*
 * A number from before this process means nothing here: whoever comes with
 * one beyond our last has seen none of ours.
 */
static uint64_t seen(const struct events *events, uint64_t after)
{
	return after > events->last ? 0 : after;
}

bool events_wait(struct events *events, uint64_t after, uint64_t ms)
{
	bool ret;

	mutex_lock(&events->lock);
	if (seen(events, after) == events->last)
		(void)cond_wait_ms(&events->added, &events->lock, ms);
	ret = seen(events, after) < events->last;
	mutex_unlock(&events->lock);
	return ret;
}

bool events_begin_waiting(struct events *events, unsigned int max)
{
	bool ret;

	mutex_lock(&events->lock);
	ret = events->nr_waiting < max;
	events->nr_waiting += ret;
	mutex_unlock(&events->lock);
	return ret;
}

void events_end_waiting(struct events *events)
{
	mutex_lock(&events->lock);
	events->nr_waiting--;
	mutex_unlock(&events->lock);
}

/* ---- as JSON ---- */

/* Length of the key when @word is key=value, else 0. */
static size_t pair_key(const char *word, size_t length)
{
	size_t key = strspn(word, "abcdefghijklmnopqrstuvwxyz_");

	if (key == 0 || key >= KEY_MAX || key + 1 >= length || word[key] != '=')
		return 0;
	return key;
}

/* Where the pairs at the end of @text begin. */
static const char *find_pairs(const char *text)
{
	const char *end = text + strlen(text), *ret = end;

	while (end > text) {
		const char *word = end;

		while (word > text && word[-1] != ' ')
			word--;
		if (!pair_key(word, (size_t)(end - word)))
			break;
		ret = word;
		end = word > text ? word - 1 : text;
	}
	return ret;
}

/* A volume may be called 7: names stay text. */
static bool is_name(const char *key)
{
	return strcmp(key, "volume") == 0 || strcmp(key, "snapshot") == 0;
}

static void put_value(struct json_object *object, const char *key,
		      const char *value)
{
	char *end;
	uint64_t number;

	errno = 0;
	number = strtoull(value, &end, 10);
	if (*end == '%')
		end++;
	if (*end || errno || value[0] < '0' || value[0] > '9' || is_name(key))
		json_put_string(object, key, value);
	else
		json_put_uint(object, key, number);
}

/* What the event itself says is not said again by a pair. */
static void put_pairs(struct json_object *object, const char *text)
{
	char pairs[TEXT_BYTES], *word, *rest;

	(void)snprintf(pairs, sizeof(pairs), "%s", find_pairs(text));
	for (word = strtok_r(pairs, " ", &rest); word;
	     word = strtok_r(NULL, " ", &rest)) {
		char *value = strchr(word, '=');

		*value++ = '\0';
		if (!json_object_object_get_ex(object, word, NULL))
			put_value(object, word, value);
	}
}

static struct json_object *event_json(uint64_t number,
				      const struct event *event)
{
	struct json_object *ret = json_object_new_object();

	if (!ret)
		return NULL;
	json_put_uint(ret, "seq", number);
	json_put_time(ret, "time", event->time_ns);
	json_put_string(ret, "level", level_name(event->level));
	json_put_string(ret, "event", event->kind);
	json_put_string(ret, "text", event->text);
	put_pairs(ret, event->text);
	return ret;
}

struct json_object *events_json(struct events *events, uint64_t after)
{
	struct json_object *ret = json_object_new_object();
	struct json_object *array = json_object_new_array();
	uint64_t first, oldest;

	if (!ret || !array) {
		json_object_put(ret);
		json_object_put(array);
		return NULL;
	}
	(void)json_object_object_add(ret, "events", array);
	mutex_lock(&events->lock);
	first = seen(events, after) + 1;
	oldest = events->last > EVENTS_MAX ? events->last - EVENTS_MAX + 1 : 1;
	json_put_uint(ret, "last", events->last);
	json_put_uint(ret, "missed", first < oldest ? oldest - first : 0);
	for (uint64_t i = first > oldest ? first : oldest; i <= events->last;
	     i++)
		(void)json_object_array_add(
			array, event_json(i, &events->ring[i % EVENTS_MAX]));
	mutex_unlock(&events->lock);
	return ret;
}
