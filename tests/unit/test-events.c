/* SPDX-License-Identifier: BSD-2-Clause */
/* Events: numbers, what is kept, what becomes a member, who is woken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "events.h"

static struct events *events;

static int create(void **state)
{
	events = events_create();
	return events ? 0 : -1;
}

static int destroy(void **state)
{
	events_free(events);
	return 0;
}

static bool add(const char *text)
{
	return events_add(events, MESSAGE_INFO, "recovery", text);
}

static uint64_t number(struct json_object *object, const char *key)
{
	struct json_object *value;

	assert_true(json_object_object_get_ex(object, key, &value));
	assert_true(json_object_is_type(value, json_type_int));
	return json_object_get_uint64(value);
}

static const char *string(struct json_object *object, const char *key)
{
	struct json_object *value;

	assert_true(json_object_object_get_ex(object, key, &value));
	assert_true(json_object_is_type(value, json_type_string));
	return json_object_get_string(value);
}

/* What there is after @after: its number of events, the first, the last. */
struct answer {
	size_t nr;
	uint64_t first, last, missed;
};

static struct answer ask(uint64_t after)
{
	struct json_object *data = events_json(events, after), *array;
	struct answer ret;

	assert_non_null(data);
	assert_true(json_object_object_get_ex(data, "events", &array));
	ret = (struct answer){
		.nr = json_object_array_length(array),
		.last = number(data, "last"),
		.missed = number(data, "missed"),
	};
	if (ret.nr > 0)
		ret.first = number(json_object_array_get_idx(array, 0), "seq");
	json_object_put(data);
	return ret;
}

/* The newest event; the caller's reference. */
static struct json_object *newest(void)
{
	struct json_object *data = events_json(events, 0), *array, *ret;

	assert_true(json_object_object_get_ex(data, "events", &array));
	assert_true(json_object_array_length(array) > 0);
	ret = json_object_get(json_object_array_get_idx(
		array, json_object_array_length(array) - 1));
	json_object_put(data);
	return ret;
}

static void events_are_numbered_from_one(void **state)
{
	struct answer answer = ask(0);

	assert_int_equal(answer.nr, 0);
	assert_int_equal(answer.last, 0);
	add("a");
	add("b");
	answer = ask(0);
	assert_int_equal(answer.nr, 2);
	assert_int_equal(answer.first, 1);
	answer = ask(1);
	assert_int_equal(answer.nr, 1);
	assert_int_equal(answer.first, 2);
	assert_int_equal(answer.last, 2);
	assert_int_equal(ask(2).nr, 0);
}

/* It comes from another process, whose numbers were others. */
static void a_number_that_was_never_given_is_no_number(void **state)
{
	add("a");
	assert_int_equal(ask(1000).nr, 1);
	assert_true(events_wait(events, 1000, 0));
	assert_int_equal(ask(UINT64_MAX).nr, 1);
	assert_int_equal(ask(UINT64_MAX).missed, 0);
}

static void the_oldest_make_room_and_are_counted(void **state)
{
	char text[32];
	struct answer answer;

	for (unsigned int i = 1; i <= EVENTS_MAX + 10; i++) {
		(void)snprintf(text, sizeof(text), "number %u", i);
		assert_true(add(text));
	}
	answer = ask(0);
	assert_int_equal(answer.nr, EVENTS_MAX);
	assert_int_equal(answer.first, 11);
	assert_int_equal(answer.missed, 10);
	answer = ask(4);
	assert_int_equal(answer.nr, EVENTS_MAX);
	assert_int_equal(answer.missed, 6);
	answer = ask(10);
	assert_int_equal(answer.nr, EVENTS_MAX);
	assert_int_equal(answer.missed, 0);
	answer = ask(EVENTS_MAX + 9);
	assert_int_equal(answer.nr, 1);
	assert_int_equal(answer.first, EVENTS_MAX + 10);
}

static void pairs_at_the_end_become_members(void **state)
{
	struct json_object *event;

	events_add(events, MESSAGE_ERROR, event_name(EVENT_DAMAGE),
		   "not=this checksum mismatch: volume=7 block=12 range=a=b "
		   "text=no huge=99999999999999999999 empty= end=0x1");
	event = newest();
	assert_string_equal(string(event, "level"), "error");
	assert_string_equal(string(event, "event"), "damage");
	assert_non_null(strstr(string(event, "text"), "checksum mismatch"));
	/* "empty=" is no pair, so what is before it is text */
	assert_false(json_object_object_get_ex(event, "volume", NULL));
	assert_string_equal(string(event, "end"), "0x1");
	json_object_put(event);

	events_add(events, MESSAGE_ERROR, event_name(EVENT_DAMAGE),
		   "not=this checksum mismatch: volume=7 block=12 range=a=b "
		   "text=no seq=1000 used=80% much=1%% "
		   "huge=99999999999999999999");
	event = newest();
	assert_int_equal(number(event, "used"), 80);
	assert_string_equal(string(event, "much"), "1%%");
	assert_false(json_object_object_get_ex(event, "not", NULL));
	assert_string_equal(string(event, "volume"), "7");
	assert_int_equal(number(event, "block"), 12);
	assert_string_equal(string(event, "range"), "a=b");
	assert_string_equal(string(event, "huge"), "99999999999999999999");
	assert_int_equal(number(event, "seq"), 2);
	assert_string_not_equal(string(event, "text"), "no");
	json_object_put(event);
}

static void a_text_of_any_length_is_taken(void **state)
{
	static char text[2000];
	struct json_object *event;

	memset(text, '=', sizeof(text) - 1);
	memcpy(text, "a=b ", 4);
	add(text);
	memset(text, 'x', sizeof(text) - 1);
	assert_true(add(text));
	assert_false(add(text)); /* as far as it is kept */
	event = newest();
	assert_int_equal(strlen(string(event, "text")), 511);
	json_object_put(event);
	assert_true(add(""));
	json_object_put(newest());
}

static void what_was_just_told_is_not_told_again(void **state)
{
	assert_true(add("a"));
	assert_true(add("b"));
	assert_false(add("a"));
	assert_false(add("b"));
	assert_true(events_add(events, MESSAGE_INFO, "space", "a"));
	assert_int_equal(ask(0).last, 3);
	for (int i = 0; i < 64; i++) {
		char text[8];

		(void)snprintf(text, sizeof(text), "%d", i);
		assert_true(add(text));
	}
	assert_true(add("a")); /* much has happened since */
}

static void *add_later(void *opaque)
{
	add("later");
	return NULL;
}

static void who_waits_is_woken(void **state)
{
	pthread_t thread;

	add("a");
	assert_true(events_wait(events, 0, 0));
	assert_false(events_wait(events, 1, 10));
	assert_int_equal(pthread_create(&thread, NULL, add_later, NULL), 0);
	/* fails the test by its timeout rather than by a slow machine */
	while (!events_wait(events, 1, 60000))
		;
	assert_int_equal(ask(1).nr, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, create, destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(events_are_numbered_from_one),
		TEST(a_number_that_was_never_given_is_no_number),
		TEST(the_oldest_make_room_and_are_counted),
		TEST(pairs_at_the_end_become_members),
		TEST(a_text_of_any_length_is_taken),
		TEST(what_was_just_told_is_not_told_again),
		TEST(who_waits_is_woken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
