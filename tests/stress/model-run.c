/* SPDX-License-Identifier: BSD-2-Clause */
#include "model-run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test-store.h"
#include "units.h"

struct run t;

/* ---- small things ---- */

void fail(const char *sentence)
{
	die("FAILED op %" PRIu64 " (%s): %s\n  again: --seed %" PRIu64, t.op,
	    t.what, sentence, t.seed);
}

void must(int r, const struct error *err)
{
	if (r < 0)
		fail(err->message);
}

void note(const char *verb, const char *operand, uint64_t length,
	  uint64_t offset)
{
	(void)snprintf(t.what, sizeof(t.what), "%s %.80s %" PRIu64 "@%" PRIu64,
		       verb, operand, length, offset);
	if (t.verbose)
		printf("%" PRIu64 ": %s\n", t.op, t.what);
}

const struct model_volume *any(bool heads, bool snapshots)
{
	size_t start = rng_below(&t.rng, t.model->nr + 1);

	for (size_t i = 0; i < t.model->nr; i++) {
		const struct model_volume *v =
			t.model->volumes[(start + i) % t.model->nr];

		if (v->snapshot ? snapshots : heads)
			return v;
	}
	return NULL;
}

struct model_volume *any_head(void)
{
	return (struct model_volume *)any(true, false);
}

struct volume_handle *open_volume(const struct model_volume *v)
{
	struct volume_handle *handle;
	struct error err = ERROR_NONE;

	must(volume_open(t.store, v->name, v->snapshot ? 0 : VOLUME_OPEN_WRITE,
			 &handle, &err),
	     &err);
	return handle;
}

/* Mostly small, now and then large; aligned as often as not. */
void any_range(const struct model_volume *v, uint64_t max, uint64_t *length,
	       uint64_t *offset)
{
	uint64_t n = 1 + rng_below(&t.rng, 64 << 10);

	if (rng_one_in(&t.rng, 3))
		n = 1 + rng_below(&t.rng, 3 * BLOCK_SIZE);
	else if (rng_one_in(&t.rng, 20))
		n = 1 + rng_below(&t.rng, max);
	*offset = rng_below(&t.rng, v->size);
	if (rng_one_in(&t.rng, 2)) {
		*offset = *offset / BLOCK_SIZE * BLOCK_SIZE;
		n = round_up_u64(n, BLOCK_SIZE);
	}
	if (rng_one_in(&t.rng, 50))
		n = 0;
	*length = n > v->size - *offset ? v->size - *offset : n;
	if (*length > max)
		*length = max;
}

void new_name(const char *prefix, char ret[64])
{
	(void)snprintf(ret, 64, "%s%" PRIu64, prefix, t.next_name++);
}

/* ---- a full store ---- */

static void settle_block(struct model_volume *v, struct volume_handle *handle,
			 const uint8_t *new, uint64_t length, uint64_t offset)
{
	static const uint8_t zeros[BLOCK_SIZE];
	uint8_t now[BLOCK_SIZE], old[BLOCK_SIZE];
	struct error err = ERROR_NONE;

	must(volume_read(handle, now, (uint32_t)length, offset, &err), &err);
	model_read(v, old, length, offset);
	if (memcmp(now, old, length) != 0 &&
	    memcmp(now, new ? new : zeros, length) != 0)
		fail("a block is neither old nor new after ENOSPC");
	model_settle(t.model, v, now, length, offset);
}

void settle(struct model_volume *v, struct volume_handle *handle,
	    const uint8_t *new, uint64_t length, uint64_t offset)
{
	while (length > 0) {
		uint64_t n = BLOCK_SIZE - offset % BLOCK_SIZE;

		if (n > length)
			n = length;
		settle_block(v, handle, new, n, offset);
		new = new ? new + n : NULL;
		offset += n;
		length -= n;
	}
}

void drop(const struct model_volume *v)
{
	char name[NAME_MAX_BYTES + 1];
	struct error err = ERROR_NONE;

	strcpy(name, v->name);
	must(store_delete(t.store, (const char *const[]){name}, 1, true, &err),
	     &err);
	model_delete(t.model, name);
}

void relieve(void)
{
	const struct model_volume *v;
	struct error err = ERROR_NONE;

	t.nr_full++;
	note("relieve", "", t.nr_full, 0);
	while ((v = any(false, true)))
		drop(v);
	v = any_head();
	if (v)
		drop(v);
	must(store_reap(t.store, &err), &err);
	must(store_checkpoint(t.store, &err), &err);
	must(store_checkpoint(t.store, &err), &err);
}

bool verb_worked(int r, const struct error *err)
{
	if (r == -ENOSPC) {
		relieve();
		return false;
	}
	must(r, err);
	return true;
}
