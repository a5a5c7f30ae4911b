/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and writes of test-model. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model-run.h"
#include "units.h"

static uint8_t data[WRITE_MAX], read_back[WRITE_MAX];

void do_write(void)
{
	struct model_volume *v = any_head();
	uint64_t length, offset;
	bool fua = rng_one_in(&t.rng, 40), full;
	struct volume_handle *handle;
	struct error err = ERROR_NONE;
	int r;

	if (!v)
		return;
	any_range(v, WRITE_MAX, &length, &offset);
	note(fua ? "write-fua" : "write", v->name, length, offset);
	for (uint64_t i = 0; i < length; i += 8) {
		uint64_t word = rng_next(&t.rng);

		memcpy(data + i, &word, length - i < 8 ? length - i : 8);
	}
	if (rng_one_in(&t.rng, 10)) /* whole blocks of zeros */
		memset(data, 0, length / 2);
	handle = open_volume(v);
	r = volume_write(handle, data, (uint32_t)length, offset, fua, &err);
	full = r == -ENOSPC;
	if (full)
		settle(v, handle, data, length, offset);
	else
		must(r, &err);
	volume_close(handle);
	if (full)
		relieve();
	else
		model_write(t.model, v, data, length, offset);
}

void do_zero(void)
{
	struct model_volume *v = any_head();
	uint64_t length, offset;
	struct volume_handle *handle;
	struct error err = ERROR_NONE;
	int r;

	if (!v)
		return;
	any_range(v, v->size, &length, &offset);
	note("zero", v->name, length, offset);
	handle = open_volume(v);
	r = volume_zero(handle, length, offset, rng_one_in(&t.rng, 40), &err);
	if (r == -ENOSPC)
		settle(v, handle, NULL, length, offset);
	else
		must(r, &err);
	volume_close(handle);
	if (r == -ENOSPC)
		relieve();
	else
		model_zero(t.model, v, length, offset);
}

void do_trim(void)
{
	struct model_volume *v = any_head();
	uint64_t length, offset, first, end;
	struct volume_handle *handle;
	struct error err = ERROR_NONE;
	int r;

	if (!v)
		return;
	any_range(v, v->size, &length, &offset);
	note("trim", v->name, length, offset);
	first = round_up_u64(offset, BLOCK_SIZE);
	end = (offset + length) / BLOCK_SIZE * BLOCK_SIZE;
	handle = open_volume(v);
	r = volume_trim(handle, length, offset, rng_one_in(&t.rng, 40), &err);
	if (r == -ENOSPC)
		settle(v, handle, NULL, length, offset);
	else
		must(r, &err);
	if (r == 0 && first < end)
		model_zero(t.model, v, end - first, first);
	/* the last, partial block of a volume may be trimmed or not */
	if (r == 0 && offset + length == v->size && end >= offset)
		settle(v, handle, NULL, v->size - end, end);
	volume_close(handle);
	if (r == -ENOSPC)
		relieve();
}

void do_read(void)
{
	const struct model_volume *v = any(true, true);
	uint64_t length, offset;
	struct volume_handle *handle;
	struct error err = ERROR_NONE;

	if (!v)
		return;
	any_range(v, WRITE_MAX, &length, &offset);
	note("read", v->name, length, offset);
	handle = open_volume(v);
	must(volume_read(handle, read_back, (uint32_t)length, offset, &err),
	     &err);
	model_read(v, data, length, offset);
	if (memcmp(data, read_back, length) != 0)
		fail("read what was not written");
	volume_close(handle);
}

void do_extents(void)
{
	const struct model_volume *v = any(true, true);
	uint64_t length, offset;
	struct volume_handle *handle;
	struct error err = ERROR_NONE;

	if (!v)
		return;
	any_range(v, v->size, &length, &offset);
	note("extents", v->name, length, offset);
	handle = open_volume(v);
	if (!model_volume_check_extents(v, handle, length, offset, &err))
		fail(err.message);
	volume_close(handle);
}

void do_flush(void)
{
	struct error err = ERROR_NONE;

	note("flush", "", 0, 0);
	must(store_flush(t.store, &err), &err);
}

/* Beyond the end, and writing to a snapshot: refused, without effect. */
void do_mischief(void)
{
	const struct model_volume *v = any(true, true);
	struct volume_handle *handle;
	struct error err = ERROR_NONE;

	if (!v)
		return;
	note("mischief", v->name, 0, 0);
	handle = open_volume(v);
	if (volume_read(handle, read_back, 2, v->size - 1, &err) != -EINVAL ||
	    volume_read(handle, read_back, 1, UINT64_MAX, &err) != -EINVAL)
		fail("reading beyond the end is not EINVAL");
	if (!v->snapshot &&
	    (volume_write(handle, data, 2, v->size - 1, false, &err) !=
		     -ENOSPC ||
	     volume_zero(handle, UINT64_MAX, 1, false, &err) != -ENOSPC ||
	     volume_trim(handle, 1, v->size, false, &err) != -ENOSPC))
		fail("changing what is beyond the end is not ENOSPC");
	if (v->snapshot &&
	    volume_write(handle, data, 1, 0, false, &err) != -EROFS)
		fail("writing to a snapshot is not EROFS");
	volume_close(handle);
}
