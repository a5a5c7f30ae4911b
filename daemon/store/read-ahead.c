/* SPDX-License-Identifier: BSD-2-Clause */
#include "read-ahead.h"

/* A store that is damaged may name the same range again and again. */
#define RANGES_MAX 65536u

void read_ahead_add(struct read_ahead *ahead, uint64_t place, uint32_t offset,
		    uint32_t length)
{
	struct read_range range = {place, offset, length};

	/* out of memory: this one will be read alone */
	(void)read_range_vector_push(&ahead->ranges, range);
	if (ahead->ranges.len >= RANGES_MAX)
		read_ahead_submit(ahead);
}

int read_range_compare(const void *a, const void *b)
{
	const struct read_range *x = a, *y = b;

	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

static bool ranges_are_near(const struct read_range *a,
			    const struct read_range *b)
{
	return a->place == b->place &&
	       b->offset <=
		       (uint64_t)a->offset + a->length + READ_AHEAD_GAP_BYTES;
}

/* Make @a reach to the end of @b, which begins behind its begin. */
static void range_extend(struct read_range *a, const struct read_range *b)
{
	uint64_t end = (uint64_t)b->offset + b->length;

	if (end > (uint64_t)a->offset + a->length && end <= UINT32_MAX)
		a->length = (uint32_t)end - a->offset;
}

void read_ahead_submit(struct read_ahead *ahead)
{
	struct read_range *ranges = ahead->ranges.ptr, *last = ranges;
	size_t nr = ahead->ranges.len;

	if (nr == 0)
		return;
	qsort(ranges, nr, sizeof(*ranges), read_range_compare);
	for (size_t i = 1; i < nr; i++) {
		if (ranges_are_near(last, &ranges[i])) {
			range_extend(last, &ranges[i]);
			continue;
		}
		backend_will_read(ahead->be, last->place, last->offset,
				  last->length);
		last = &ranges[i];
	}
	backend_will_read(ahead->be, last->place, last->offset, last->length);
	ahead->ranges.len = 0;
}

void read_ahead_done(struct read_ahead *ahead)
{
	read_range_vector_done(&ahead->ranges);
}
