/* SPDX-License-Identifier: BSD-2-Clause */
/* One damage to one store. */
#include "strike.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "test-store.h"

const char *const method_names[NR_METHODS] = {
	"flip bit",    "flip bytes", "zero block", "zero frame",  "swap blocks",
	"swap frames", "duplicate",  "old block",  "old version",
};

/* ---- choosing ---- */

static bool choose_structure(struct strike *strike, enum kind kind,
			     struct rng *rng)
{
	const struct structures *all = &strike->specimen->survey.all;
	size_t nr = 0, pick;

	for (size_t i = 0; i < all->len; i++)
		nr += all->ptr[i].kind == kind;
	if (nr == 0)
		return false;
	pick = rng_below(rng, nr);
	for (size_t i = 0; i < all->len; i++)
		if (all->ptr[i].kind == kind && pick-- == 0)
			strike->aim = all->ptr[i];
	return true;
}

/* A random block of the structure aimed at. */
static struct address choose_block(const struct strike *strike, struct rng *rng)
{
	uint32_t at = strike->aim.offset +
		      (uint32_t)rng_below(rng, strike->aim.length);

	return (struct address){strike->aim.place, at / BLOCK_SIZE};
}

/* Another block, mostly one of some structure. */
static struct address choose_other(const struct strike *strike, struct rng *rng)
{
	const struct structures *all = &strike->specimen->survey.all;
	const struct structure *s = &all->ptr[rng_below(rng, all->len)];

	/* mostly one of the same kind */
	for (unsigned int i = 0;
	     i < 32 && rng_below(rng, 32) > 0 && s->kind != strike->aim.kind;
	     i++)
		s = &all->ptr[rng_below(rng, all->len)];
	return (struct address){s->place, s->offset / BLOCK_SIZE};
}

static void note_place(struct strike *strike, uint64_t place)
{
	for (unsigned int i = 0; i < strike->nr_places; i++)
		if (strike->places[i] == place)
			return;
	strike->places[strike->nr_places++] = place;
}

/* ---- doing ---- */

static void put(struct strike *strike, struct address at,
		const uint8_t data[BLOCK_SIZE])
{
	note_place(strike, at.place);
	medium_write(&strike->medium, at, data);
}

static void flip(struct strike *strike, unsigned int nr, bool bits,
		 struct rng *rng)
{
	uint8_t data[BLOCK_SIZE];

	while (nr-- > 0) {
		uint32_t at = strike->aim.offset +
			      (uint32_t)rng_below(rng, strike->aim.length);
		struct address block = {strike->aim.place, at / BLOCK_SIZE};
		unsigned int how = (unsigned int)rng_next(rng);

		medium_read(&strike->medium, block, data);
		data[at % BLOCK_SIZE] ^=
			(uint8_t)(bits ? 1u << how % 8 : 1 + how % 255);
		put(strike, block, data);
	}
}

static void swap(struct strike *strike, struct address a, struct address b)
{
	uint8_t first[BLOCK_SIZE], second[BLOCK_SIZE];

	medium_read(&strike->medium, a, first);
	medium_read(&strike->medium, b, second);
	put(strike, a, second);
	put(strike, b, first);
}

static void swap_frames(struct strike *strike, struct address a,
			struct address b)
{
	uint32_t nr = medium_nr_slots(&strike->medium, a);

	if (medium_nr_slots(&strike->medium, b) < nr)
		nr = 1;
	for (uint32_t slot = 0; slot < nr; slot++)
		swap(strike, (struct address){a.place, slot},
		     (struct address){b.place, slot});
}

static void zero_frame(struct strike *strike, struct address at)
{
	static const uint8_t zeros[BLOCK_SIZE];

	for (at.slot = 0; at.slot < medium_nr_slots(&strike->medium, at);
	     at.slot++)
		put(strike, at, zeros);
}

static void duplicate(struct strike *strike, struct address from,
		      struct address to)
{
	uint8_t data[BLOCK_SIZE];

	medium_read(&strike->medium, from, data);
	put(strike, to, data);
}

/* The newest or a random one of the contents that @at had before. */
static bool old_block(struct strike *strike, struct address at, struct rng *rng)
{
	const struct disks *past = &strike->specimen->past;
	uint8_t now[BLOCK_SIZE], before[BLOCK_SIZE];
	size_t i =
		rng_one_in(rng, 2) ? past->len : rng_below(rng, past->len + 1);
	bool found = false;

	medium_read(&strike->medium, at, now);
	while (!found && i-- > 0) {
		struct medium medium;

		medium_open(&medium, past->ptr[i],
			    strike->specimen->segment_shift);
		medium_read(&medium, at, before);
		medium_close(&medium);
		found = memcmp(now, before, BLOCK_SIZE) != 0;
	}
	if (found)
		put(strike, at, before);
	return found;
}

/* Bytes that may cross blocks. */
static void put_bytes(struct strike *strike, uint32_t offset,
		      const uint8_t *bytes, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++) {
		struct address block = {strike->aim.place,
					(offset + i) / BLOCK_SIZE};
		uint32_t at = (offset + i) % BLOCK_SIZE;
		uint32_t n = BLOCK_SIZE - at;
		uint8_t data[BLOCK_SIZE];

		n = n < length - i ? n : length - i;
		medium_read(&strike->medium, block, data);
		memcpy(data + at, bytes + i, n);
		put(strike, block, data);
		i += n - 1;
	}
}

static bool old_version(struct strike *strike, struct rng *rng)
{
	const struct versions *versions = &strike->specimen->versions;
	const struct structure *aim = &strike->aim;
	size_t start = rng_below(rng, versions->len);

	for (size_t i = 0; i < versions->len; i++) {
		const struct version *v =
			&versions->ptr[(start + i) % versions->len];
		uint32_t n = v->length < aim->length ? v->length : aim->length;

		if (v->kind != aim->kind || v->key != aim->key)
			continue;
		put_bytes(strike, aim->offset, v->bytes, n);
		if (strike_hit(strike, aim))
			return true;
	}
	return false;
}

static bool act(struct strike *strike, struct rng *rng)
{
	static const uint8_t zeros[BLOCK_SIZE];
	struct address at = choose_block(strike, rng);
	struct address other = choose_other(strike, rng);

	switch (strike->method) {
	case FLIP_BIT:
		flip(strike, 1, true, rng);
		return true;
	case FLIP_BYTES:
		flip(strike, 2 + (unsigned int)rng_below(rng, 40), false, rng);
		return true;
	case ZERO_BLOCK:
		put(strike, at, zeros);
		return true;
	case ZERO_FRAME:
		zero_frame(strike, at);
		return true;
	case SWAP_BLOCKS:
		swap(strike, at, other);
		return true;
	case SWAP_FRAMES:
		swap_frames(strike, at, other);
		return true;
	case DUPLICATE:
		duplicate(strike, other, at);
		return true;
	case OLD_BLOCK:
		return old_block(strike, at, rng);
	default:
		return old_version(strike, rng);
	}
}

bool strike_make(struct strike *ret, const struct specimen *specimen,
		 enum kind kind, struct rng *rng)
{
	*ret = (struct strike){.specimen = specimen};
	if (!choose_structure(ret, kind, rng))
		return false;
	ret->method = (enum method)rng_below(rng, NR_METHODS);
	ret->disk = disk_copy(specimen->disk);
	medium_open(&ret->medium, ret->disk, specimen->segment_shift);
	if (act(ret, rng) && strike_hit(ret, &ret->aim))
		return true;
	strike_done(ret);
	return false;
}

void strike_done(struct strike *strike)
{
	medium_close(&strike->medium);
	memory_disk_put(strike->disk);
}

/* ---- what was hit ---- */

bool strike_hit(const struct strike *strike, const struct structure *s)
{
	uint8_t before[PAGE_BYTES_MAX], after[PAGE_BYTES_MAX];

	for (unsigned int i = 0; i < strike->nr_places; i++) {
		if (strike->places[i] != s->place)
			continue;
		medium_read_bytes(&strike->specimen->medium, s->place,
				  s->offset, before, s->length);
		medium_read_bytes(&strike->medium, s->place, s->offset, after,
				  s->length);
		return memcmp(before, after, s->length) != 0;
	}
	return false;
}

bool strike_hit_kinds(const struct strike *strike, const struct survey *survey,
		      enum kind first, enum kind last)
{
	for (size_t i = 0; i < survey->all.len; i++) {
		const struct structure *s = &survey->all.ptr[i];

		if (s->kind >= first && s->kind <= last &&
		    strike_hit(strike, s))
			return true;
	}
	return false;
}

void strike_print(const struct strike *strike, char *ret, size_t size)
{
	const struct structure *s = &strike->aim;

	(void)snprintf(ret, size,
		       "store '%s': %s of %s %" PRIu64 " at place %" PRIu64
		       " offset %" PRIu32 " length %" PRIu32,
		       specimen_names[strike->specimen->kind],
		       method_names[strike->method], kind_names[s->kind],
		       s->key, s->place, s->offset, s->length);
}
