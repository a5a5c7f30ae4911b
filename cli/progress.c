/* SPDX-License-Identifier: BSD-2-Clause */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "duration.h"
#include "options.h"
#include "size.h"

#define BAR_AFTER_MS 1000
#define BAR_EVERY_MS 200
#define JSON_EVERY_MS 1000
#define BAR_CELLS 30u

int progress_init(struct progress *progress, const struct options *options)
{
	const char *how = options->progress;

	*progress = (struct progress){.began_ms = now_ms()};
	if (!how)
		progress->how = isatty(STDERR_FILENO) && !options->quiet
					? PROGRESS_BAR
					: PROGRESS_NONE;
	else if (strcmp(how, "bar") == 0)
		progress->how = PROGRESS_BAR;
	else if (strcmp(how, "json") == 0)
		progress->how = PROGRESS_JSON;
	else if (strcmp(how, "none") != 0)
		return usage_error(options->command,
				   "--progress: must be none, bar or json");
	return 0;
}

static void show_bar(struct progress *progress, unsigned int percent,
		     uint64_t bytes)
{
	uint64_t ms = (uint64_t)(now_ms() - progress->began_ms);
	char cells[BAR_CELLS + 1], done[SIZE_TEXT_BYTES], rate[SIZE_TEXT_BYTES];
	unsigned int full = percent * BAR_CELLS / 100;

	memset(cells, ' ', BAR_CELLS);
	memset(cells, '=', full > BAR_CELLS ? BAR_CELLS : full);
	cells[BAR_CELLS] = '\0';
	size_format_long(bytes, done);
	size_format_long(ms ? bytes / ms * 1000 : 0, rate);
	fprintf(stderr, "\r[%s] %3u %%  %s  %s/s\033[K", cells, percent, done,
		rate);
	progress->shown = true;
}

/* Is it time to show something? */
static bool is_due(struct progress *progress)
{
	int64_t now = now_ms();
	int64_t every =
		progress->how == PROGRESS_BAR ? BAR_EVERY_MS : JSON_EVERY_MS;

	if (progress->how == PROGRESS_NONE ||
	    now - progress->began_ms < BAR_AFTER_MS ||
	    now - progress->shown_ms < every)
		return false;
	progress->shown_ms = now;
	return true;
}

void progress_show(struct progress *progress, unsigned int percent,
		   uint64_t bytes)
{
	if (!is_due(progress))
		return;
	if (progress->how == PROGRESS_BAR)
		show_bar(progress, percent, bytes);
	else
		fprintf(stderr,
			"{\"varve\":1,\"message_type\":\"status\","
			"\"percent\":%u,\"bytes\":%llu}\n",
			percent, (unsigned long long)bytes);
}

void progress_count(struct progress *progress, uint64_t nr, const char *things)
{
	if (!is_due(progress))
		return;
	if (progress->how == PROGRESS_BAR) {
		fprintf(stderr, "\r%llu %s to go\033[K", (unsigned long long)nr,
			things);
		progress->shown = true;
		return;
	}
	fprintf(stderr,
		"{\"varve\":1,\"message_type\":\"status\","
		"\"to_go\":%llu}\n",
		(unsigned long long)nr);
}

void progress_done(struct progress *progress)
{
	if (progress->shown)
		fputs("\r\033[K", stderr);
	progress->shown = false;
}
