/* SPDX-License-Identifier: BSD-2-Clause */
/* Taking down what clients do; history-check.c judges it. */
#include "history.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "test-store.h"

#define WORDS (HISTORY_UNIT / sizeof(uint64_t))
#define ID_SHIFT 24u /* below it the operation, above it the client + 1 */

static void *must(void *p)
{
	if (!p)
		die("out of memory");
	return p;
}

struct history *history_new(uint32_t nr_units)
{
	struct history *h = must(calloc(1, sizeof(*h)));

	h->nr_units = nr_units;
	h->base = must(calloc(nr_units, sizeof(*h->base)));
	for (uint32_t i = 0; i < HISTORY_CLIENTS_MAX; i++)
		h->clients[i].number = i;
	return h;
}

static void forget_ops(struct history_client *client)
{
	for (size_t i = 0; i < client->nr; i++)
		free(client->ops[i].seen);
	client->nr_before += (uint32_t)client->nr;
	client->nr = 0;
}

void history_free(struct history *history)
{
	for (uint32_t i = 0; i < HISTORY_CLIENTS_MAX; i++) {
		forget_ops(&history->clients[i]);
		free(history->clients[i].ops);
	}
	free(history->base);
	free(history);
}

static uint64_t now(struct history *history)
{
	return atomic_fetch_add(&history->clock, 1) + 1;
}

struct history_op *history_add(struct history *history, uint32_t number,
			       enum history_kind kind, uint32_t first,
			       uint32_t nr, uint64_t start, uint64_t end)
{
	struct history_client *client = &history->clients[number];
	struct history_op *op;

	assert(first + nr <= history->nr_units);
	assert(client->nr_before + client->nr + 1 < 1u << ID_SHIFT);
	if (client->nr == client->capacity) {
		client->capacity = client->capacity ? 2 * client->capacity : 64;
		client->ops = must(reallocarray(client->ops, client->capacity,
						sizeof(*client->ops)));
	}
	op = &client->ops[client->nr++];
	*op = (struct history_op){
		.kind = kind,
		.id = (number + 1) << ID_SHIFT |
		      (client->nr_before + (uint32_t)client->nr),
		.first = first,
		.nr = nr,
		.start = start,
		.end = end,
	};
	if (kind == HISTORY_READ || kind == HISTORY_CUT)
		op->seen = must(calloc(nr, sizeof(*op->seen)));
	return op;
}

size_t history_begin(struct history *history, uint32_t number,
		     enum history_kind kind, uint32_t first, uint32_t nr)
{
	struct history_op *op =
		history_add(history, number, kind, first, nr, 0, 0);

	op->start = now(history);
	return (size_t)(op - history->clients[number].ops);
}

void history_end(struct history *history, uint32_t number, size_t op)
{
	history->clients[number].ops[op].end = now(history);
}

/* ---- what a unit holds ---- */

static void unit_fill(uint32_t id, uint32_t unit, uint64_t ret[WORDS])
{
	struct rng rng = {(uint64_t)id << 32 | unit};

	ret[0] = rng.state;
	for (size_t i = 1; i < WORDS; i++)
		ret[i] = rng_next(&rng);
}

void history_fill(const struct history *history, uint32_t number, size_t op,
		  void *ret)
{
	const struct history_op *o = &history->clients[number].ops[op];
	uint64_t words[WORDS];

	for (uint32_t i = 0; i < o->nr; i++) {
		unit_fill(o->id, o->first + i, words);
		memcpy((char *)ret + (size_t)i * HISTORY_UNIT, words,
		       HISTORY_UNIT);
	}
}

static int unit_parse(const void *data, uint32_t unit, uint32_t *ret,
		      struct error *err)
{
	static const uint64_t zeros[WORDS];
	uint64_t words[WORDS], expected[WORDS];

	*ret = 0;
	memcpy(words, data, HISTORY_UNIT);
	if (memcmp(words, zeros, HISTORY_UNIT) == 0)
		return 0;
	*ret = (uint32_t)(words[0] >> 32);
	unit_fill(*ret, unit, expected);
	if (*ret && memcmp(words, expected, HISTORY_UNIT) == 0)
		return 0;
	return error_set(err, EIO,
			 "unit %" PRIu32 ": torn, or of another place: begins "
			 "with %016" PRIx64,
			 unit, words[0]);
}

int history_saw(struct history *history, uint32_t number, size_t op,
		const void *data, struct error *err)
{
	struct history_op *o = &history->clients[number].ops[op];
	int r;

	if (o->kind == HISTORY_READ)
		o->end = now(history);
	assert(o->end);
	for (uint32_t i = 0; i < o->nr; i++) {
		r = unit_parse((const char *)data + (size_t)i * HISTORY_UNIT,
			       o->first + i, &o->seen[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- rounds ---- */

void history_next_round(struct history *history, const struct history_op *last)
{
	assert(last->first == 0 && last->nr == history->nr_units);
	memcpy(history->base, last->seen,
	       history->nr_units * sizeof(*history->base));
	for (uint32_t i = 0; i < HISTORY_CLIENTS_MAX; i++)
		forget_ops(&history->clients[i]);
}

size_t history_nr_ops(const struct history *history)
{
	size_t ret = 0;

	for (uint32_t i = 0; i < HISTORY_CLIENTS_MAX; i++)
		ret += history->clients[i].nr;
	return ret;
}
