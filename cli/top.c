/* SPDX-License-Identifier: BSD-2-Clause */
/* varve top: what is asked of the volumes, as it goes on. */
#include "top.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "clock.h"
#include "command.h"
#include "connect.h"
#include "duration.h"
#include "interrupt.h"
#include "metrics.h"
#include "names.h"
#include "options.h"
#include "output.h"
#include "size.h"
#include "units.h"

#define INTERVAL_MS 2000
#define INTERVAL_MIN_MS 100
#define LINE_BYTES (NAME_MAX_BYTES + 512)

struct count {
	uint64_t requests, errors, bytes, ns;
};

struct row {
	char name[NAME_MAX_BYTES + 32];
	struct count counts[NR_TRAFFIC_KINDS];
};

/* What the server said at one moment; or, as a difference, since another. */
struct sample {
	struct row *rows;
	size_t nr;
	uint64_t cleaned; /* bytes that the cleaner wrote */
	struct json_object *status;
	int64_t at_ms;
};

struct top {
	const struct options *options;
	const char *store;
	int64_t interval_ms;
	uint64_t count; /* 0: without an end */
	bool on_screen;
	struct sample now, before;
};

/* ---- samples ---- */

static void sample_done(struct sample *sample)
{
	free(sample->rows);
	json_object_put(sample->status);
	*sample = (struct sample){0};
}

static void read_row(struct json_object *object, struct row *ret)
{
	struct json_object *kind;

	snprintf(ret->name, sizeof(ret->name), "%s",
		 member_string(object, "name"));
	for (int k = 0; k < NR_TRAFFIC_KINDS; k++) {
		if (!json_object_object_get_ex(object, traffic_kind_names[k],
					       &kind))
			continue;
		ret->counts[k] = (struct count){
			member_number(kind, "requests"),
			member_number(kind, "errors"),
			member_number(kind, "bytes"),
			member_number(kind, "ns"),
		};
	}
}

static void read_traffic(struct json_object *data, struct sample *ret)
{
	ret->nr = json_object_array_length(data);
	ret->rows = must(calloc(ret->nr + 1, sizeof(*ret->rows)));
	for (size_t i = 0; i < ret->nr; i++)
		read_row(json_object_array_get_idx(data, i), &ret->rows[i]);
}

/* @quiet: what it fails with is not said, a screen may be open. */
static int sample_take(const struct top *top, bool quiet, struct sample *ret)
{
	unsigned int flags = CONNECT_SERVED | (quiet ? CONNECT_QUIET : 0);
	struct json_object *traffic = NULL, *cleaner;
	struct connection *c = NULL;
	int r;

	*ret = (struct sample){.at_ms = now_ms()};
	r = connection_open(top->store, flags, &c);
	if (r == 0)
		r = connection_call(c, "traffic", NULL, &traffic);
	if (r == 0)
		r = connection_call(c, "status", NULL, &ret->status);
	r = connection_close(c, r);
	if (r == 0) {
		read_traffic(traffic, ret);
		if (json_object_object_get_ex(ret->status, "cleaner", &cleaner))
			ret->cleaned =
				member_number(cleaner, "copied") * BLOCK_SIZE;
	}
	json_object_put(traffic);
	return r;
}

static const struct row *find_row(const struct sample *sample, const char *name)
{
	for (size_t i = 0; i < sample->nr; i++)
		if (strcmp(sample->rows[i].name, name) == 0)
			return &sample->rows[i];
	return NULL;
}

/* Another server, or another volume of this name, counts from 0. */
static uint64_t since(uint64_t now, uint64_t before)
{
	return now >= before ? now - before : now;
}

static struct row row_since(const struct row *now, const struct row *before)
{
	struct row ret = *now;

	for (int k = 0; before && k < NR_TRAFFIC_KINDS; k++) {
		const struct count *b = &before->counts[k];
		struct count *c = &ret.counts[k];

		c->requests = since(c->requests, b->requests);
		c->errors = since(c->errors, b->errors);
		c->bytes = since(c->bytes, b->bytes);
		c->ns = since(c->ns, b->ns);
	}
	return ret;
}

static uint64_t all_requests(const struct row *row)
{
	uint64_t sum = 0;

	for (int k = 0; k < NR_TRAFFIC_KINDS; k++)
		sum += row->counts[k].requests;
	return sum;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->name,
		      ((const struct row *)b)->name);
}

static int compare_busiest(const void *a, const void *b)
{
	uint64_t x = all_requests(a), y = all_requests(b);

	return x == y ? compare_names(a, b) : x < y ? 1 : -1;
}

/*
 * What came between the two samples; of the time before the first one nothing
 * is told.  Its status stays the newer one's.
 */
static struct sample difference(const struct top *top)
{
	const struct sample *before =
		top->before.rows ? &top->before : &top->now;
	struct sample ret = {
		.nr = top->now.nr,
		.cleaned = since(top->now.cleaned, before->cleaned),
		.at_ms = top->now.at_ms - before->at_ms,
	};

	ret.rows = must(calloc(ret.nr + 1, sizeof(*ret.rows)));
	for (size_t i = 0; i < ret.nr; i++) {
		const struct row *row = &top->now.rows[i];

		ret.rows[i] = row_since(row, find_row(before, row->name));
	}
	qsort(ret.rows, ret.nr, sizeof(*ret.rows),
	      top->on_screen ? compare_busiest : compare_names);
	if (ret.at_ms < 1)
		ret.at_ms = 1;
	return ret;
}

/* ---- as text ---- */

static void put_line(const struct top *top, const char *text, bool is_header)
{
	if (top->on_screen)
		screen_line(text, is_header);
	else
		puts(text);
}

static void format_rate(uint64_t n, int64_t ms, char ret[24])
{
	double rate = (double)n * 1000 / (double)ms;

	snprintf(ret, 24, rate < 10 ? "%.1f" : "%.0f", rate);
}

static void format_bytes(uint64_t n, int64_t ms, char ret[SIZE_TEXT_BYTES])
{
	size_format((uint64_t)((double)n * 1000 / (double)ms), ret);
}

/* What one took on average, in milliseconds; "-": there was none. */
static void format_latency(const struct count *count, char ret[24])
{
	double ms = (double)count->ns / 1e6;

	if (count->requests)
		snprintf(ret, 24, "%.*f", ms < (double)count->requests ? 3 : 1,
			 ms / (double)count->requests);
	else
		strcpy(ret, "-");
}

static void put_row(const struct top *top, const struct row *row, int64_t ms)
{
	const struct count *c = row->counts;
	char rates[3][24], latencies[3][24], bytes[2][SIZE_TEXT_BYTES];
	char line[LINE_BYTES];
	uint64_t errors = 0;

	for (int k = 0; k < NR_TRAFFIC_KINDS; k++)
		errors += c[k].errors;
	format_rate(c[TRAFFIC_READ].requests, ms, rates[0]);
	format_rate(c[TRAFFIC_WRITE].requests, ms, rates[1]);
	format_rate(c[TRAFFIC_ZERO].requests + c[TRAFFIC_TRIM].requests +
			    c[TRAFFIC_FLUSH].requests,
		    ms, rates[2]);
	format_bytes(c[TRAFFIC_READ].bytes, ms, bytes[0]);
	format_bytes(c[TRAFFIC_WRITE].bytes, ms, bytes[1]);
	format_latency(&c[TRAFFIC_READ], latencies[0]);
	format_latency(&c[TRAFFIC_WRITE], latencies[1]);
	format_latency(&c[TRAFFIC_FLUSH], latencies[2]);
	snprintf(line, sizeof(line),
		 "%-24s %8s %8s %8s %9s %9s %8s %8s %8s %6" PRIu64, row->name,
		 rates[0], rates[1], rates[2], bytes[0], bytes[1], latencies[0],
		 latencies[1], latencies[2], errors);
	put_line(top, line, false);
}

static void put_store(const struct top *top, const struct sample *d)
{
	struct json_object *s = top->now.status;
	char used[SIZE_TEXT_BYTES], capacity[SIZE_TEXT_BYTES];
	char live[SIZE_TEXT_BYTES], free_text[SIZE_TEXT_BYTES];
	char cleaner[SIZE_TEXT_BYTES], line[LINE_BYTES];

	size_format(member_number(s, "used"), used);
	size_format(member_number(s, "capacity"), capacity);
	size_format(member_number(s, "live"), live);
	size_format(member_number(s, "free"), free_text);
	format_bytes(d->cleaned, d->at_ms, cleaner);
	snprintf(line, sizeof(line),
		 "used %s of %s (%" PRIu64 " %%)  live %s  free %s  cleaner "
		 "%s/s  volumes %" PRIu64 "  snapshots %" PRIu64 "%s",
		 used, capacity, member_number(s, "used_percent"), live,
		 free_text, cleaner, member_number(s, "volumes"),
		 member_number(s, "snapshots"),
		 member_bool(s, "failed") ? "  FAILED: reads only" : "");
	put_line(top, line, false);
}

static void put_text(const struct top *top, const struct sample *d)
{
	char line[LINE_BYTES];

	if (top->on_screen)
		screen_begin();
	put_store(top, d);
	snprintf(line, sizeof(line),
		 "%-24s %8s %8s %8s %9s %9s %8s %8s %8s %6s", "VOLUME",
		 "READ/S", "WRITE/S", "OTHER/S", "READ-B/S", "WRITE-B/S",
		 "READ-MS", "WRITE-MS", "FLUSH-MS", "ERRORS");
	put_line(top, line, true);
	for (size_t i = 0; i < d->nr; i++)
		put_row(top, &d->rows[i], d->at_ms);
	if (top->on_screen)
		screen_show();
	else
		puts("");
}

/* ---- as JSON ---- */

static void add_number(struct json_object *object, const char *key, uint64_t n)
{
	json_object_object_add(object, key, json_object_new_uint64(n));
}

static struct json_object *json_row(const struct row *row)
{
	struct json_object *ret = must(json_object_new_object());

	json_object_object_add(ret, "name", json_object_new_string(row->name));
	for (int k = 0; k < NR_TRAFFIC_KINDS; k++) {
		struct json_object *kind = must(json_object_new_object());

		add_number(kind, "requests", row->counts[k].requests);
		add_number(kind, "errors", row->counts[k].errors);
		add_number(kind, "bytes", row->counts[k].bytes);
		add_number(kind, "ns", row->counts[k].ns);
		json_object_object_add(ret, traffic_kind_names[k], kind);
	}
	return ret;
}

static void put_json(const struct top *top, const struct sample *d)
{
	struct json_object *line = must(json_object_new_object());
	struct json_object *volumes = must(json_object_new_array());

	for (size_t i = 0; i < d->nr; i++)
		json_object_array_add(volumes, json_row(&d->rows[i]));
	json_object_object_add(line, "varve", json_object_new_int(1));
	json_object_object_add(line, "message_type",
			       json_object_new_string("status"));
	json_object_object_add(line, "seconds",
			       json_object_new_double((double)d->at_ms / 1000));
	json_object_object_add(line, "volumes", volumes);
	add_number(line, "cleaned", d->cleaned);
	json_object_object_add(line, "store", json_object_get(top->now.status));
	puts(json_object_to_json_string_ext(
		line, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(line);
}

/* ---- the verb ---- */

/* True: it is to end. */
static bool wait_for_next(const struct top *top)
{
	int64_t end = now_ms() + top->interval_ms;

	if (top->on_screen)
		return screen_wait(top->interval_ms);
	for (int64_t left = top->interval_ms; left > 0 && !interrupt_signal();
	     left = end - now_ms()) {
		int64_t slice = left > 200 ? 200 : left;

		sleep_ms((uint64_t)slice);
	}
	return interrupt_signal() != 0;
}

static int report(struct top *top)
{
	struct sample d = difference(top);

	if (top->options->json)
		put_json(top, &d);
	else
		put_text(top, &d);
	free(d.rows);
	/* nobody reads it any more: main() says so */
	return top->on_screen || fflush(stdout) == 0 ? 0 : EXIT_FAILED;
}

static int run(struct top *top)
{
	uint64_t left = top->count;
	int r;

	r = sample_take(top, false, &top->now);
	if (r)
		return r;
	top->on_screen = !top->options->json && isatty(STDOUT_FILENO) &&
			 isatty(STDIN_FILENO) && screen_open();
	if (top->on_screen)
		r = report(top); /* of no time: what there is */
	while (r == 0 && !wait_for_next(top)) {
		sample_done(&top->before);
		top->before = top->now;
		r = sample_take(top, true, &top->now);
		if (r == 0)
			r = report(top);
		if (left && --left == 0)
			break;
	}
	screen_close();
	if (r == EXIT_NO_STORE)
		print_error("%s: its server has ended", top->store);
	return r;
}

static int parse(struct top *top)
{
	const struct options *o = top->options;
	struct error err = ERROR_NONE;
	char *end;

	top->interval_ms = INTERVAL_MS;
	if (o->interval &&
	    duration_parse(o->interval, &top->interval_ms, &err) < 0)
		return usage_error(o->command, "--interval: %s", err.message);
	if (top->interval_ms < INTERVAL_MIN_MS)
		return usage_error(o->command, "--interval: at least 0.1s");
	if (!o->count)
		return 0;
	top->count = strtoull(o->count, &end, 10);
	if (o->count[0] < '0' || o->count[0] > '9' || *end || top->count == 0 ||
	    strlen(o->count) > 18)
		return usage_error(o->command,
				   "--count: '%s' is not a number above 0",
				   o->count);
	return 0;
}

static int top_run(const struct options *options)
{
	struct top top = {.options = options, .store = options_store(options)};
	int r = top.store ? parse(&top) : EXIT_USAGE;

	if (r)
		return r;
	interrupt_catch();
	r = run(&top);
	sample_done(&top.now);
	sample_done(&top.before);
	return r;
}

const struct command command_top = {
	.name = "top",
	.synopsis = "[-n COUNT] [--interval TIME]",
	.summary = "show what is asked of the volumes, as it goes on",
	.details =
		"Requests and bytes per second, and milliseconds that a "
		"request takes, for each\nvolume; the store's space and its "
		"cleaner.  On a terminal a screen, until q is\npressed; else "
		"lines.",
	.accepts = OPTION_TOP,
	.run = top_run,
};
