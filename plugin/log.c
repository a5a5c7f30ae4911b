/* SPDX-License-Identifier: BSD-2-Clause */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "mutex.h"
#include "print.h"
#include "starter.h"

#define LINE_BYTES 1024
#define REQUESTS_MAX 10u
#define REQUESTS_PERIOD_MS 60000u

enum log_style {
	LOG_NBDKIT,
	LOG_TERMINAL, /* or a pipe */
	LOG_FILE,
	LOG_JOURNAL,
};

static enum log_style style = LOG_NBDKIT; /* fixed by log_open() */
static bool with_times;			  /* fixed by log_started() */

/* How many failed requests were said, and not said, in this period. */
static struct {
	struct mutex lock; /* protects the rest; rank LOCK_MESSAGE */
	uint64_t since_ms;
	unsigned int nr_said;
	uint64_t nr_dropped;
} requests;

void log_open(bool under_varved)
{
	struct stat st;

	mutex_init(&requests.lock, LOCK_MESSAGE);
	if (!under_varved)
		return;
	style = LOG_TERMINAL;
	if (starter_is_journal())
		style = LOG_JOURNAL;
	else if (fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode))
		style = LOG_FILE;
}

void log_started(void)
{
	with_times = style == LOG_FILE;
}

/* As <syslog.h> numbers them. */
static int syslog_level(enum message_level level)
{
	switch (level) {
	case MESSAGE_ERROR:
		return 3;
	case MESSAGE_WARNING:
		return 4;
	case MESSAGE_INFO:
		return 6;
	case MESSAGE_DEBUG:
		break;
	}
	return 7;
}

static const char *level_word(enum message_level level)
{
	switch (level) {
	case MESSAGE_ERROR:
		return "error: ";
	case MESSAGE_WARNING:
		return "warning: ";
	default:
		return "";
	}
}

static void say_nbdkit(enum message_level level, const char *text)
{
	if (level <= MESSAGE_WARNING)
		nbdkit_error("%s%s",
			     level == MESSAGE_WARNING ? "warning: " : "", text);
	else
		nbdkit_debug("%s", text);
}

/* One write for a line: threads do not mix theirs. */
static void say_stderr(enum message_level level, const char *text)
{
	char line[LINE_BYTES + 64], time[TIME_TEXT_BYTES] = "";

	if (with_times)
		time_format(clock_ns(), time);
	if (style == LOG_JOURNAL)
		(void)snprintf(line, sizeof(line), "<%d>%s\n",
			       syslog_level(level), text);
	else
		(void)snprintf(line, sizeof(line), "%s%svarved: %s%s\n", time,
			       with_times ? " " : "", level_word(level), text);
	(void)fputs(line, stderr);
}

static void say(enum message_level level, const char *format, va_list ap)
	__attribute__((format(printf, 2, 0)));
static void say(enum message_level level, const char *format, va_list ap)
{
	char text[LINE_BYTES];

	(void)vsnprintf(text, sizeof(text), format, ap);
	if (style == LOG_NBDKIT || level == MESSAGE_DEBUG)
		say_nbdkit(level, text);
	else
		say_stderr(level, text);
}

void log_say(enum message_level level, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(level, format, ap);
	va_end(ap);
}

/*
 * May another one be said?  *ret_dropped is what the period that has ended
 * kept back.
 */
static bool count_request(uint64_t *ret_dropped)
{
	uint64_t now = monotonic_ms();
	bool ret;

	mutex_lock(&requests.lock);
	*ret_dropped = 0;
	if (requests.since_ms == 0 ||
	    now >= requests.since_ms + REQUESTS_PERIOD_MS) {
		*ret_dropped = requests.nr_dropped;
		requests.since_ms = now;
		requests.nr_said = 0;
		requests.nr_dropped = 0;
	}
	ret = requests.nr_said < REQUESTS_MAX;
	if (ret)
		requests.nr_said++;
	else
		requests.nr_dropped++;
	mutex_unlock(&requests.lock);
	return ret;
}

void log_request(const char *format, ...)
{
	uint64_t nr_dropped;
	va_list ap;

	if (!count_request(&nr_dropped))
		return;
	if (nr_dropped > 0)
		log_say(MESSAGE_ERROR,
			"more requests failed and were not told: "
			"requests=%" PRIu64,
			nr_dropped);
	va_start(ap, format);
	say(MESSAGE_ERROR, format, ap);
	va_end(ap);
}
