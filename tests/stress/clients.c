/* SPDX-License-Identifier: BSD-2-Clause */
#include "clients.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "history.h"
#include "random.h"
#include "test-store.h"
#include "units.h"

#define CLIENTS_MAX 32u
#define NR_CUTTERS 2u
/* A round ends with the first of these; longer ones take long to judge. */
#define ROUND_SECONDS 3u
#define ROUND_OPS_OF_CLIENT 3000u
#define UNITS_OF_BLOCK (BLOCK_SIZE / HISTORY_UNIT)
#define UNITS_OF_VOLUME (CLIENTS_VOLUME_BYTES / HISTORY_UNIT)
#define NR_UNITS (2 * UNITS_OF_VOLUME)
#define UNITS_MAX 1024u

static const char *const volumes[] = {"a", "b"};

static const struct clients_target *target;
static struct history *history;
static uint64_t seed;
static atomic_bool stopping;
static _Atomic uint64_t nr_cuts;

/* One thread.  Cutters are clients of the history, too. */
struct client {
	uint32_t number;
	struct rng rng;
	void *connections[2];
	char *data;
	pthread_t thread;
};

static void check(int r, const struct error *err, const char *what)
{
	if (r < 0)
		die("FAILED %s: %s (seed %" PRIu64 ")", what, err->message,
		    seed);
}

static void client_open(struct client *client, const char *suffix, bool write)
{
	struct error err = ERROR_NONE;

	for (unsigned int i = 0; i < 2; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "%s%s", volumes[i], suffix);
		check(target->open(name, write, &client->connections[i], &err),
		      &err, name);
	}
}

static void client_close(struct client *client)
{
	for (unsigned int i = 0; i < 2; i++)
		target->close(client->connections[i]);
}

/* ---- requests ---- */

struct range {
	unsigned int volume;
	uint32_t first, nr; /* units of the volume */
};

/* Mostly short, and mostly in a part of the volume, so that many meet. */
static struct range choose_range(struct rng *rng)
{
	static const uint32_t lengths[] = {16,	16,  16,       128,
					   128, 128, UNITS_MAX};
	uint32_t nr = 1 + (uint32_t)rng_below(rng, lengths[rng_below(rng, 7)]);
	uint32_t room = rng_one_in(rng, 3) ? UNITS_OF_VOLUME : 4096 + nr;

	return (struct range){
		.volume = (unsigned int)rng_below(rng, 2),
		.first = (uint32_t)rng_below(rng, room - nr + 1),
		.nr = nr,
	};
}

/* Two volumes are one row of units. */
static uint32_t unit_of(const struct range *range)
{
	return range->volume * UNITS_OF_VOLUME + range->first;
}

static uint64_t offset_of(const struct range *range)
{
	return (uint64_t)range->first * HISTORY_UNIT;
}

static void send_write(struct client *client)
{
	struct range range = choose_range(&client->rng);
	bool fua = rng_one_in(&client->rng, 50);
	struct error err = ERROR_NONE;
	size_t op;

	op = history_begin(history, client->number, HISTORY_WRITE,
			   unit_of(&range), range.nr);
	history_fill(history, client->number, op, client->data);
	check(target->write(client->connections[range.volume], client->data,
			    range.nr * HISTORY_UNIT, offset_of(&range), fua,
			    &err),
	      &err, "write");
	history_end(history, client->number, op);
}

static void send_read(struct client *client)
{
	struct range range = choose_range(&client->rng);
	struct error err = ERROR_NONE;
	size_t op;

	op = history_begin(history, client->number, HISTORY_READ,
			   unit_of(&range), range.nr);
	check(target->read(client->connections[range.volume], client->data,
			   range.nr * HISTORY_UNIT, offset_of(&range), &err),
	      &err, "read");
	check(history_saw(history, client->number, op, client->data, &err),
	      &err, "read");
}

static void send_zero(struct client *client)
{
	struct range range = choose_range(&client->rng);
	struct error err = ERROR_NONE;
	size_t op;

	op = history_begin(history, client->number, HISTORY_CLEAR,
			   unit_of(&range), range.nr);
	check(target->zero(client->connections[range.volume],
			   range.nr * HISTORY_UNIT, offset_of(&range), &err),
	      &err, "zero");
	history_end(history, client->number, op);
}

/* Clears whole blocks only. */
static void send_trim(struct client *client)
{
	struct range range = choose_range(&client->rng), whole = range;
	struct error err = ERROR_NONE;
	uint32_t end = range.first + range.nr;
	size_t op = 0;

	end -= end % UNITS_OF_BLOCK;
	whole.first += UNITS_OF_BLOCK - 1;
	whole.first -= whole.first % UNITS_OF_BLOCK;
	whole.nr = end > whole.first ? end - whole.first : 0;
	if (whole.nr)
		op = history_begin(history, client->number, HISTORY_CLEAR,
				   unit_of(&whole), whole.nr);
	check(target->trim(client->connections[range.volume],
			   range.nr * HISTORY_UNIT, offset_of(&range), &err),
	      &err, "trim");
	if (whole.nr)
		history_end(history, client->number, op);
}

static void send_flush(struct client *client)
{
	struct error err = ERROR_NONE;

	check(target->flush(client->connections[rng_below(&client->rng, 2)],
			    &err),
	      &err, "flush");
}

static void *run_client(void *opaque)
{
	struct client *client = opaque;

	client_open(client, "", true);
	for (unsigned int i = 0; !atomic_load(&stopping); i++) {
		uint64_t dice = rng_below(&client->rng, 100);

		if (dice < 48)
			send_write(client);
		else if (dice < 90)
			send_read(client);
		else if (dice < 94)
			send_zero(client);
		else if (dice < 98)
			send_trim(client);
		else
			send_flush(client);
		if (i == ROUND_OPS_OF_CLIENT)
			atomic_store(&stopping, true);
	}
	client_close(client);
	return NULL;
}

/* ---- snapshots ---- */

static void read_all(struct client *client, char *ret)
{
	struct error err = ERROR_NONE;

	for (unsigned int i = 0; i < 2; i++)
		check(target->read(client->connections[i],
				   ret + (size_t)i * CLIENTS_VOLUME_BYTES,
				   CLIENTS_VOLUME_BYTES, 0, &err),
		      &err, "read of all");
}

static void cut(struct client *client)
{
	char *again = client->data + (size_t)2 * CLIENTS_VOLUME_BYTES;
	struct error err = ERROR_NONE;
	char name[32], suffix[40];
	size_t op;

	(void)snprintf(name, sizeof(name), "s%" PRIu64,
		       atomic_fetch_add(&nr_cuts, 1));
	(void)snprintf(suffix, sizeof(suffix), "@%s", name);
	op = history_begin(history, client->number, HISTORY_CUT, 0, NR_UNITS);
	check(target->snapshot(name, &err), &err, name);
	history_end(history, client->number, op);
	client_open(client, suffix, false);
	read_all(client, client->data);
	check(history_saw(history, client->number, op, client->data, &err),
	      &err, name);
	read_all(client, again);
	if (memcmp(client->data, again, (size_t)2 * CLIENTS_VOLUME_BYTES) != 0)
		die("FAILED snapshot %s changed (seed %" PRIu64 ")", name,
		    seed);
	client_close(client);
	check(target->delete_snapshot(name, &err), &err, name);
}

static void *run_cutter(void *opaque)
{
	struct client *client = opaque;

	while (!atomic_load(&stopping)) {
		cut(client);
		sleep_ms(rng_below(&client->rng, 20));
	}
	return NULL;
}

static void *run_disturber(void *opaque)
{
	struct error err = ERROR_NONE;

	while (!atomic_load(&stopping))
		check(target->disturb(&err), &err, "disturbance");
	return NULL;
}

/* ---- rounds ---- */

static void start_thread(pthread_t *ret, void *(*run)(void *), void *opaque)
{
	if (pthread_create(ret, NULL, run, opaque) != 0)
		die("pthread_create failed");
}

static void run_threads(struct client *clients, unsigned int nr_clients,
			uint64_t deadline_ms)
{
	pthread_t disturber;

	atomic_store(&stopping, false);
	for (unsigned int i = 0; i < nr_clients + NR_CUTTERS; i++)
		start_thread(&clients[i].thread,
			     i < nr_clients ? run_client : run_cutter,
			     &clients[i]);
	start_thread(&disturber, run_disturber, NULL);
	while (!atomic_load(&stopping) && monotonic_ms() < deadline_ms)
		sleep_ms(10);
	atomic_store(&stopping, true);
	for (unsigned int i = 0; i < nr_clients + NR_CUTTERS; i++)
		(void)pthread_join(clients[i].thread, NULL);
	(void)pthread_join(disturber, NULL);
}

/* What is there when all have left is one more read. */
static void judge(struct client *client)
{
	struct error err = ERROR_NONE;
	size_t op;

	client_open(client, "", false);
	op = history_begin(history, client->number, HISTORY_READ, 0, NR_UNITS);
	read_all(client, client->data);
	check(history_saw(history, client->number, op, client->data, &err),
	      &err, "last read");
	client_close(client);
	check(history_check(history, &err), &err, "no order explains it");
	history_next_round(history, &history->clients[client->number].ops[op]);
}

static void make_clients(struct client *clients, unsigned int nr_clients)
{
	for (uint32_t i = 0; i < nr_clients + NR_CUTTERS; i++) {
		clients[i] = (struct client){
			.number = i,
			.rng = {seed + i},
			/* a cutter's: both volumes, twice */
			.data = malloc((size_t)4 * CLIENTS_VOLUME_BYTES),
		};
		if (!clients[i].data)
			die("out of memory");
	}
}

void clients_run(const struct clients_target *the_target,
		 const struct clients_options *options)
{
	static struct client clients[CLIENTS_MAX + NR_CUTTERS];
	uint64_t end_ms = monotonic_ms() + UINT64_C(1000) * options->seconds;
	unsigned int nr = options->nr_clients, nr_rounds = 0;
	uint64_t nr_ops = 0;

	if (nr > CLIENTS_MAX)
		die("at most %u clients", CLIENTS_MAX);
	target = the_target;
	seed = options->seed;
	history = history_new(NR_UNITS);
	make_clients(clients, nr);
	for (; monotonic_ms() < end_ms; nr_rounds++) {
		run_threads(clients, nr, monotonic_ms() + ROUND_SECONDS * 1000);
		nr_ops += history_nr_ops(history);
		judge(&clients[nr]);
	}
	for (unsigned int i = 0; i < nr + NR_CUTTERS; i++)
		free(clients[i].data);
	history_free(history);
	printf("%u clients, %u rounds, %" PRIu64 " requests and %" PRIu64
	       " snapshots have an order, seed %" PRIu64 "\n",
	       nr, nr_rounds, nr_ops, atomic_load(&nr_cuts), seed);
}
