/* SPDX-License-Identifier: BSD-2-Clause */
/* What check, scrub or repair said. */
#include "said.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test-store.h"

#define SHARED "; shared with "

void said_hear(void *opaque, const char *line)
{
	struct said *said = opaque;
	char *copy = strdup(line);

	if (!copy || lines_push(&said->lines, copy) < 0)
		die("out of memory");
}

void said_done(struct said *said)
{
	for (size_t i = 0; i < said->lines.len; i++)
		free(said->lines.ptr[i]);
	lines_done(&said->lines);
}

const char *said_first(const struct said *said)
{
	return said->lines.len ? said->lines.ptr[0] : "";
}

/* Is @name in the list behind "shared with"?  Not all may be listed. */
static bool is_shared_with(const char *line, const char *name)
{
	const char *list = strstr(line, SHARED);
	size_t length = strlen(name);

	if (!list)
		return false;
	if (strstr(list, " more"))
		return true;
	list += strlen(SHARED);
	while (*list) {
		size_t n = strcspn(list, ",");

		if (n == length && strncmp(list, name, n) == 0)
			return true;
		list += n + strspn(list + n, ", ");
	}
	return false;
}

static bool line_names(const char *line, const char *name, uint64_t at)
{
	const char *range = strstr(line, ": offset ");
	uint64_t offset, length;

	if (!range || sscanf(range, ": offset %" SCNu64 ", length %" SCNu64,
			     &offset, &length) != 2)
		return false;
	if (at < offset || at - offset >= length)
		return false;
	return ((size_t)(range - line) == strlen(name) &&
		strncmp(line, name, strlen(name)) == 0) ||
	       is_shared_with(line, name);
}

bool said_names(const struct said *said, const char *name, struct vblock block)
{
	for (size_t i = 0; i < said->lines.len; i++)
		if (line_names(said->lines.ptr[i], name,
			       block.index * BLOCK_SIZE))
			return true;
	return false;
}

bool said_names_all(const struct said *said, const struct state *state,
		    const struct unread *unread, struct error *err)
{
	for (unsigned int i = 0; i < state->nr; i++)
		for (unsigned int b = 0; b < NR_BLOCKS; b++) {
			struct vblock block = block_of_interest(b);

			if (!unread->blocks[i][b] ||
			    said_names(said, state->contents[i].name, block))
				continue;
			(void)error_set(err, EUCLEAN,
					"%.80s block %" PRIu64
					" is lost and not named; first: %.200s",
					state->contents[i].name, block.index,
					said_first(said));
			return false;
		}
	return true;
}
