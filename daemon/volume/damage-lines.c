/* SPDX-License-Identifier: BSD-2-Clause */
#include "damage-lines.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void damage_lines_say(struct damage_lines *lines, const char *text)
{
	if (lines->nr >= DAMAGE_LINES_MAX)
		lines->cut = true;
	if (lines->cut)
		return;
	lines->nr++;
	lines->line(lines->opaque, text);
}

/* Append to @text, which has room for @size bytes. */
static void append(char *text, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void append(char *text, size_t size, const char *format, ...)
{
	size_t at = strlen(text);
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text + at, size - at, format, ap);
	va_end(ap);
}

/* What is wrong with @range, without whose it is. */
static void describe(const struct damage_range *range, uint64_t size,
		     char *text, size_t text_size)
{
	uint64_t offset = range->block * BLOCK_SIZE;
	uint64_t length = range->nr_blocks * BLOCK_SIZE;

	if (offset < size && length > size - offset)
		length = size - offset;
	append(text, text_size, "offset %" PRIu64 ", length %" PRIu64 ": ",
	       offset, length);
	if (range->is_node)
		append(text, text_size, "unreadable map node %" PRIu64,
		       range->what);
	else
		append(text, text_size, "damaged block %" PRIu64 ":%" PRIu32,
		       birth_segno((struct birth){range->what}),
		       birth_slot((struct birth){range->what}));
	if (range->nr > 1)
		append(text, text_size, " and %" PRIu64 " more", range->nr - 1);
}

/* The sharers of a range: the first, and then a list.  Core held. */
struct sharers {
	char first[NAME_MAX_BYTES + 1];
	char others[DAMAGE_NAMES_MAX * (NAME_MAX_BYTES + 3)];
	uint64_t nr;
	uint64_t size; /* of the largest */
};

static void name_sharers(struct damage_lines *lines,
			 const struct damage_range *range, struct sharers *ret)
{
	const struct volumes *volumes = &lines->store->volumes;

	ret->nr = ret->size = 0;
	ret->others[0] = '\0';
	for (size_t i = 0; i < range->members.len; i++) {
		const struct volume *v =
			volume_find_id(volumes, range->members.ptr[i]);
		char name[NAME_MAX_BYTES + 1];

		if (!v) /* deleted meanwhile */
			continue;
		if (v->size > ret->size)
			ret->size = v->size;
		volume_full_name(volumes, v, name);
		if (ret->nr == 0)
			memcpy(ret->first, name, sizeof(name));
		else if (ret->nr <= DAMAGE_NAMES_MAX)
			append(ret->others, sizeof(ret->others), "%s%s",
			       ret->nr > 1 ? ", " : "", name);
		ret->nr++;
	}
}

static void say_range(struct damage_lines *lines,
		      const struct damage_range *range)
{
	struct sharers sharers;
	char text[sizeof(sharers) + 200];

	mutex_lock(&lines->store->core.lock);
	name_sharers(lines, range, &sharers);
	mutex_unlock(&lines->store->core.lock);
	if (sharers.nr == 0)
		return;
	text[0] = '\0';
	append(text, sizeof(text), "%s: ", sharers.first);
	describe(range, sharers.size, text, sizeof(text));
	if (sharers.nr > 1)
		append(text, sizeof(text), "; shared with %s", sharers.others);
	if (sharers.nr > DAMAGE_NAMES_MAX + 1)
		append(text, sizeof(text), " and %" PRIu64 " more",
		       sharers.nr - 1 - DAMAGE_NAMES_MAX);
	damage_lines_say(lines, text);
}

/* ---- ranges ---- */

/* Tell of the ranges that end before @block. */
static void close_ranges(struct damage_lines *lines, uint64_t block)
{
	size_t left = 0;

	for (size_t i = 0; i < lines->open.len; i++) {
		struct damage_range *range = &lines->open.ptr[i];

		if (range->block + range->nr_blocks >= block) {
			lines->open.ptr[left++] = *range;
			continue;
		}
		say_range(lines, range);
		index_vector_done(&range->members);
	}
	lines->open.len = left;
}

static bool same_members(const struct index_vector *a,
			 const struct index_vector *b)
{
	return a->len == b->len &&
	       memcmp(a->ptr, b->ptr, a->len * sizeof(*a->ptr)) == 0;
}

int damage_lines_add(struct damage_lines *lines, struct damage_range *range)
{
	close_ranges(lines, range->block);
	for (size_t i = 0; i < lines->open.len; i++) {
		struct damage_range *at = &lines->open.ptr[i];

		if (at->block + at->nr_blocks != range->block ||
		    at->is_node != range->is_node ||
		    !same_members(&at->members, &range->members))
			continue;
		at->nr_blocks += range->nr_blocks;
		at->nr++;
		index_vector_done(&range->members);
		return 0;
	}
	if (damage_range_vector_push(&lines->open, *range) < 0) {
		index_vector_done(&range->members);
		return -ENOMEM;
	}
	return 0;
}

void damage_lines_end(struct damage_lines *lines)
{
	close_ranges(lines, UINT64_MAX);
}

void damage_lines_done(struct damage_lines *lines)
{
	for (size_t i = 0; i < lines->open.len; i++)
		index_vector_done(&lines->open.ptr[i].members);
	damage_range_vector_done(&lines->open);
}
