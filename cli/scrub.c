/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * varve scrub: verify every checksum of a store, in use or not.
 *
 * The store does it in slices that are asked for here; how long this program
 * rests in between is how much the scrub disturbs.  Ctrl-C ends it after a
 * slice; where it was is the store's to know.
 */
#include <stdio.h>

#include <json-c/json.h>

#include "clock.h"
#include "command.h"
#include "connect.h"
#include "duration.h"
#include "interrupt.h"
#include "options.h"
#include "output.h"
#include "progress.h"
#include "size.h"

/* A slice should take so long: Ctrl-C waits for it, and it disturbs. */
#define SLICE_MIN_MS 100
#define SLICE_MAX_MS 400
#define SLICE_BYTES_MIN (1u << 20)
#define SLICE_BYTES_MAX (64u << 20)

struct scrub {
	struct connection *connection;
	struct progress progress;
	uint64_t rate;	   /* bytes a second; 0: none was given */
	uint64_t slice;	   /* bytes to ask for */
	uint64_t id;	   /* 0: not known yet */
	uint64_t bytes;	   /* that this run verified */
	uint64_t reported; /* by the answer before */
	bool restart;
};

static int ask(struct scrub *s, struct json_object **ret)
{
	struct json_object *args = must(json_object_new_object());

	json_object_object_add(args, "bytes", json_object_new_uint64(s->slice));
	if (s->id)
		json_object_object_add(args, "id",
				       json_object_new_uint64(s->id));
	else if (s->restart)
		json_object_object_add(args, "restart",
				       json_object_new_boolean(true));
	return connection_call(s->connection, "scrub", args, ret);
}

/* A rate is kept without bursts of many seconds. */
static void bound_slice(struct scrub *s)
{
	uint64_t most = SLICE_BYTES_MAX;

	if (s->rate && s->rate < most)
		most = s->rate < SLICE_BYTES_MIN ? SLICE_BYTES_MIN : s->rate;
	if (s->slice > most)
		s->slice = most;
}

/* Larger slices on a fast disk, smaller ones on a slow one. */
static void adapt(struct scrub *s, int64_t slice_ms)
{
	if (slice_ms < SLICE_MIN_MS)
		s->slice *= 2;
	else if (slice_ms > SLICE_MAX_MS && s->slice > SLICE_BYTES_MIN)
		s->slice /= 2;
	bound_slice(s);
}

/*
 * Rest after a slice: as the rate says, else as long as it took while
 * somebody uses the store.
 */
static void rest(const struct scrub *s, int64_t slice_ms, bool busy)
{
	int64_t ms = busy ? slice_ms : 0;

	if (s->rate)
		ms = s->progress.began_ms +
		     (int64_t)((double)s->bytes * 1000 / (double)s->rate) -
		     now_ms();
	while (ms > 0 && !interrupt_signal()) {
		int64_t piece = ms < 500 ? ms : 500;

		sleep_ms((uint64_t)piece);
		ms -= piece;
	}
}

/* The first answer of a scrub that went on tells what was done before. */
static void count_bytes(struct scrub *s, uint64_t reported)
{
	s->bytes += reported - (s->id ? s->reported : 0);
	s->reported = reported;
}

/* To the end; *ret is the last answer, NULL when there is none. */
static int run_slices(struct scrub *s, struct json_object **ret)
{
	*ret = NULL;
	bound_slice(s);
	while (!interrupt_signal()) {
		int64_t began_ms = now_ms(), slice_ms;
		struct json_object *data;
		bool busy;
		int r = ask(s, &data);

		if (r)
			return r;
		if (member_bool(data, "done")) {
			*ret = data;
			return 0;
		}
		slice_ms = now_ms() - began_ms;
		count_bytes(s, member_number(data, "bytes"));
		s->id = member_number(data, "id");
		progress_show(&s->progress,
			      (unsigned int)member_number(data, "percent"),
			      s->bytes);
		busy = member_bool(data, "busy");
		json_object_put(data);
		adapt(s, slice_ms);
		rest(s, slice_ms, busy);
	}
	progress_done(&s->progress);
	print_error("interrupted; varve scrub goes on where it was");
	return 128 + interrupt_signal();
}

static int print_result(struct json_object *data, const struct options *options)
{
	uint64_t errors = member_number(data, "errors");

	if (options->json) {
		print_json(json_object_get(data));
	} else if (errors) {
		print_lines(data);
		printf("%llu error%s found\n", (unsigned long long)errors,
		       errors == 1 ? "" : "s");
	} else if (!options->quiet) {
		puts("no errors");
	}
	return errors ? EXIT_CORRUPT : 0;
}

static int parse_rate(const struct options *options, uint64_t *ret)
{
	struct error err = ERROR_NONE;

	*ret = 0;
	if (options->rate && size_parse(options->rate, ret, &err) < 0)
		return usage_error(options->command, "--rate: %s", err.message);
	return 0;
}

static int scrub_run(const struct options *options)
{
	struct scrub s = {.slice = 8u << 20, .restart = options->restart};
	const char *store = options_store(options);
	struct json_object *data = NULL;
	int r = store ? 0 : EXIT_USAGE;

	if (r == 0)
		r = parse_rate(options, &s.rate);
	if (r == 0)
		r = progress_init(&s.progress, options);
	if (r == 0)
		r = connection_open(
			store,
			CONNECT_WRITE |
				(options->verbose ? CONNECT_VERBOSE : 0),
			&s.connection);
	if (r)
		return r;
	interrupt_catch();
	r = run_slices(&s, &data);
	progress_done(&s.progress);
	if (data)
		r = print_result(data, options);
	json_object_put(data);
	return connection_close(s.connection, r);
}

const struct command command_scrub = {
	.name = "scrub",
	.synopsis = "[--rate BYTES] [--restart]",
	.summary = "verify every checksum of the store, in use or not",
	.details = "Reads everything the store refers to and says what is "
		   "damaged: the volume, the\nrange, and the snapshots that "
		   "share it.  Interrupted it goes on later where it\nwas.  "
		   "Exits with 8 when something is damaged.",
	.accepts = OPTION_SCRUB | OPTION_PROGRESS,
	.run = scrub_run,
};
