/* SPDX-License-Identifier: BSD-2-Clause */
/* What volumes should hold: a number for each block of interest. */
#include "content.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "le.h"
#include "test-store.h"

struct vblock block_of_interest(unsigned int i)
{
	/* a full leaf, and parts of leaves under other nodes of each level */
	static const struct {
		unsigned int nr;
		uint64_t first;
	} groups[] = {
		{64, 0},
		{6, 64},
		{6, 5u << 15},
		{4, UINT64_C(1) << 24},
		{4, (UINT64_C(1) << 24) + (3u << 15) + 7 * 64},
	};
	unsigned int g = 0;

	while (i >= groups[g].nr)
		i -= groups[g++].nr;
	return (struct vblock){groups[g].first + i};
}

void fill_block(uint8_t ret[BLOCK_SIZE], uint32_t number)
{
	le32 word = le32_make(number);

	for (unsigned int i = 0; i < BLOCK_SIZE; i += sizeof(word))
		memcpy(ret + i, &word, sizeof(word));
}

/* ---- states ---- */

struct content *state_find(struct state *state, const char *name)
{
	for (unsigned int i = 0; i < state->nr; i++)
		if (strcmp(state->contents[i].name, name) == 0)
			return &state->contents[i];
	die("the state has no %s", name);
}

struct content *state_add(struct state *state, const struct content *from,
			  const char *name, bool snapshot)
{
	struct content *c = &state->contents[state->nr];

	if (state->nr++ >= CONTENTS_MAX || strlen(name) >= sizeof(c->name))
		die("%s: no room in the state", name);
	*c = from ? *from : (struct content){0};
	strcpy(c->name, name);
	c->snapshot = snapshot;
	c->quota = 0;
	return c;
}

void state_remove(struct state *state, const char *name)
{
	*state_find(state, name) = state->contents[state->nr - 1];
	state->nr--;
}

/* ---- as text ---- */

/* How many blocks from @i on have rising numbers, one after the other. */
static unsigned int run_length(const struct content *c, unsigned int i)
{
	uint64_t first = block_of_interest(i).index;
	unsigned int nr = 1;

	while (i + nr < NR_BLOCKS && c->numbers[i] != NUMBER_LOST &&
	       c->numbers[i + nr] == c->numbers[i] + nr &&
	       block_of_interest(i + nr).index == first + nr)
		nr++;
	return nr;
}

void state_print(const struct state *state, FILE *to)
{
	for (unsigned int i = 0; i < state->nr; i++) {
		const struct content *c = &state->contents[i];
		unsigned int nr;

		fprintf(to, "%s %" PRIu64 " %s\n",
			c->snapshot ? "snapshot" : "volume", c->quota, c->name);
		for (unsigned int b = 0; b < NR_BLOCKS; b += nr) {
			nr = 1;
			if (!c->numbers[b])
				continue;
			nr = run_length(c, b);
			fprintf(to, "  %" PRIu64 " %u %" PRIu32 "\n",
				block_of_interest(b).index, nr, c->numbers[b]);
		}
	}
}

static unsigned int interest_of(uint64_t index)
{
	for (unsigned int b = 0; b < NR_BLOCKS; b++)
		if (block_of_interest(b).index == index)
			return b;
	die("block %" PRIu64 " is of no interest", index);
}

/* A line that begins a volume; NULL: it does not. */
static struct content *parse_name(struct state *state, const char *line)
{
	char kind[9], name[NAME_MAX_BYTES + 1];
	struct content *c;
	uint64_t quota;

	if (sscanf(line, "%8s %" SCNu64 " %255s", kind, &quota, name) != 3 ||
	    (strcmp(kind, "volume") != 0 && strcmp(kind, "snapshot") != 0))
		return NULL;
	c = state_add(state, NULL, name, kind[0] == 's');
	c->quota = quota;
	return c;
}

static void parse_run(struct content *c, const char *line)
{
	unsigned int nr, number, b;
	uint64_t first;

	if (!c || sscanf(line, "%" SCNu64 " %u %u", &first, &nr, &number) != 3)
		die("what is this: %s", line);
	for (b = interest_of(first); nr-- > 0 && b < NR_BLOCKS; b++)
		c->numbers[b] = number++;
}

void state_parse(struct state *ret, FILE *from)
{
	char line[NAME_MAX_BYTES + 40];
	struct content *c = NULL, *next;

	memset(ret, 0, sizeof(*ret));
	while (fgets(line, sizeof(line), from)) {
		next = parse_name(ret, line);
		if (next)
			c = next;
		else
			parse_run(c, line);
	}
}

/* ---- comparison ---- */

/* May a read fail with @r?  Damage, not an answer to a wrong request. */
static bool is_damage(int r)
{
	return r == -EIO || r == -EBADMSG || r == -EUCLEAN;
}

static int see_extent(void *opaque, uint64_t offset, uint64_t length,
		      bool is_hole)
{
	*(bool *)opaque = is_hole;
	return 1; /* the first run is enough */
}

static bool compare_block(const struct content *c, unsigned int i,
			  struct volume_handle *handle, bool *ret_unread,
			  struct error *err)
{
	uint64_t offset = block_of_interest(i).index * BLOCK_SIZE;
	uint8_t data[BLOCK_SIZE], wanted[BLOCK_SIZE];
	struct error failure = ERROR_NONE;
	bool is_hole = false;
	int r;

	r = volume_read(handle, data, BLOCK_SIZE, offset, &failure);
	*ret_unread = r < 0 && c->numbers[i] != NUMBER_LOST;
	if (r == 0 && c->numbers[i] == NUMBER_LOST) {
		(void)error_set(err, EUCLEAN,
				"WRONG DATA: %.80s: block %" PRIu64 " was lost",
				c->name, block_of_interest(i).index);
		return false;
	}
	if (r < 0) {
		*err = failure;
		return is_damage(r);
	}
	fill_block(wanted, c->numbers[i]);
	if (memcmp(data, wanted, BLOCK_SIZE) != 0) {
		(void)error_set(err, EUCLEAN,
				"WRONG DATA: %.80s: block %" PRIu64, c->name,
				block_of_interest(i).index);
		return false;
	}
	(void)volume_extents(handle, BLOCK_SIZE, offset, see_extent, &is_hole,
			     NULL);
	if (is_hole && c->numbers[i]) {
		(void)error_set(err, EUCLEAN,
				"WRONG EXTENT: %.80s: block %" PRIu64
				" is no hole",
				c->name, block_of_interest(i).index);
		return false;
	}
	return true;
}

static bool compare_content(const struct content *c, struct store *store,
			    bool *unread, struct unread *ret, struct error *err)
{
	struct volume_handle *handle;
	bool good = true;

	if (volume_open(store, c->name, 0, &handle, err) < 0)
		return false;
	for (unsigned int i = 0; good && i < NR_BLOCKS; i++) {
		struct error failure = ERROR_NONE;

		good = compare_block(c, i, handle, &unread[i], &failure);
		if (!good)
			*err = failure;
		else if (unread[i] && ret->nr++ == 0)
			memcpy(ret->example, failure.message,
			       sizeof(failure.message));
	}
	volume_close(handle);
	return good;
}

static bool is_listed(const struct volume_info *list, size_t nr,
		      const struct content *c)
{
	for (size_t i = 0; i < nr; i++)
		if (strcmp(list[i].name, c->name) == 0)
			return list[i].snapshot == c->snapshot &&
			       list[i].size == VOLUME_BYTES &&
			       (c->snapshot || list[i].quota_bytes == c->quota);
	return false;
}

static bool compare_names(const struct state *state, struct store *store,
			  struct error *err)
{
	struct volume_info *list;
	bool good;
	size_t nr;

	if (store_list(store, &list, &nr, err) < 0)
		return false;
	good = nr == state->nr;
	if (!good)
		(void)error_set(err, EUCLEAN, "%zu volumes, not %u", nr,
				state->nr);
	for (unsigned int i = 0; good && i < state->nr; i++) {
		good = is_listed(list, nr, &state->contents[i]);
		if (!good)
			(void)error_set(err, EUCLEAN,
					"%.80s is missing or another",
					state->contents[i].name);
	}
	free(list);
	return good;
}

bool state_compare_contents(const struct state *state, struct store *store,
			    struct unread *ret, struct error *err)
{
	bool good = true;

	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; good && i < state->nr; i++)
		good = compare_content(&state->contents[i], store,
				       ret->blocks[i], ret, err);
	return good;
}

bool state_compare(const struct state *state, struct store *store,
		   struct unread *ret, struct error *err)
{
	memset(ret, 0, sizeof(*ret));
	return compare_names(state, store, err) &&
	       state_compare_contents(state, store, ret, err);
}
