/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The checked callers in front of every back end, and the geometry of frames.
 */
#include "backend.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stddef.h>

#include "clock.h"
#include "units.h"

static uint64_t frames_offset(unsigned int segment_shift)
{
	uint64_t segment = UINT64_C(1) << segment_shift;

	return segment > FRAMES_OFFSET_MIN ? segment : FRAMES_OFFSET_MIN;
}

uint64_t backend_nr_frames(uint64_t capacity, unsigned int segment_shift)
{
	uint64_t offset = frames_offset(segment_shift);

	return capacity < offset ? 0 : (capacity - offset) >> segment_shift;
}

uint64_t backend_frame_offset(uint64_t place, unsigned int segment_shift)
{
	return frames_offset(segment_shift) + (place << segment_shift);
}

static int check_place(const struct backend *be, uint64_t place,
		       struct error *err)
{
	uint64_t nr_frames = be->nr_frames;

	assert(be->segment_shift != 0);
	if (place < nr_frames)
		return 0;
	return error_set(err, EUCLEAN,
			 "place %" PRIu64 " is beyond the store's %" PRIu64
			 " frames",
			 place, nr_frames);
}

static int check_range(const struct backend *be, uint64_t place,
		       uint32_t offset, uint64_t length, struct error *err)
{
	int r = check_place(be, place, err);

	if (r < 0)
		return r;
	if (range_is_inside(offset, length, UINT64_C(1) << be->segment_shift))
		return 0;
	return error_set(err, EUCLEAN,
			 "place %" PRIu64 ": %" PRIu64 " bytes at %" PRIu32
			 " do not fit in a segment",
			 place, length, offset);
}

/* Total length; alignment is the caller's own duty, hence asserted. */
static uint64_t iov_length(const struct iovec *iov, int nr_iov)
{
	uint64_t length = 0;

	for (int i = 0; i < nr_iov; i++) {
		assert((uintptr_t)iov[i].iov_base % BLOCK_SIZE == 0);
		assert(iov[i].iov_len % BLOCK_SIZE == 0);
		length += iov[i].iov_len;
	}
	return length;
}

/* ---- what is in flight ---- */

/* NULL: more are in flight than are watched. */
static _Atomic uint64_t *flight_begin(struct backend *be)
{
	uint64_t now = monotonic_ms();

	for (unsigned int i = 0; i < BACKEND_IN_FLIGHT; i++) {
		uint64_t none = 0;

		if (atomic_compare_exchange_strong(&be->in_flight_ms[i], &none,
						   now))
			return &be->in_flight_ms[i];
	}
	return NULL;
}

static void flight_end(_Atomic uint64_t *flight)
{
	if (flight)
		atomic_store(flight, 0);
}

uint64_t backend_in_flight_since(const struct backend *be)
{
	uint64_t ret = 0;

	for (unsigned int i = 0; i < BACKEND_IN_FLIGHT; i++) {
		uint64_t since = atomic_load(&be->in_flight_ms[i]);

		if (since != 0 && (ret == 0 || since < ret))
			ret = since;
	}
	return ret;
}

/* ---- the callers ---- */

void backend_close(struct backend *be)
{
	if (be)
		be->ops->close(be);
}

int backend_read(struct backend *be, uint64_t place, uint32_t offset, void *ret,
		 uint32_t length, unsigned int flags, struct error *err)
{
	int r = check_range(be, place, offset, length, err);

	if (r < 0)
		return r;
	return be->ops->read(be, place, offset, ret, length, flags, err);
}

int backend_write(struct backend *be, uint64_t place, uint32_t offset,
		  const struct iovec *iov, int nr_iov, struct error *err)
{
	_Atomic uint64_t *flight;
	int r;

	assert(offset % BLOCK_SIZE == 0);
	r = check_range(be, place, offset, iov_length(iov, nr_iov), err);
	if (r < 0)
		return r;
	flight = flight_begin(be);
	r = be->ops->write(be, place, offset, iov, nr_iov, err);
	flight_end(flight);
	return r;
}

int backend_sync(struct backend *be, struct error *err)
{
	_Atomic uint64_t *flight = flight_begin(be);
	int r = be->ops->sync(be, err);

	flight_end(flight);
	return r;
}

int backend_allocate(struct backend *be, uint64_t place, bool zero_fill,
		     struct error *err)
{
	int r = check_place(be, place, err);

	return r < 0 ? r : be->ops->allocate(be, place, zero_fill, err);
}

int backend_free(struct backend *be, uint64_t place, struct error *err)
{
	int r = check_place(be, place, err);

	return r < 0 ? r : be->ops->free(be, place, err);
}

int backend_drop_cache(struct backend *be, uint64_t place, struct error *err)
{
	int r = check_place(be, place, err);

	return r < 0 ? r : be->ops->drop_cache(be, place, err);
}

void backend_will_read(struct backend *be, uint64_t place, uint32_t offset,
		       uint32_t length)
{
	if (check_range(be, place, offset, length, NULL) == 0)
		be->ops->will_read(be, place, offset, length);
}

int backend_super_read(struct backend *be, unsigned int copy,
		       struct disk_superblock *ret, struct error *err)
{
	assert(copy < SUPERBLOCK_COPIES);
	return be->ops->super_read(be, copy, ret, err);
}

int backend_super_write(struct backend *be, unsigned int copy,
			const struct disk_superblock *disk, struct error *err)
{
	_Atomic uint64_t *flight = flight_begin(be);
	int r;

	assert(copy < SUPERBLOCK_COPIES);
	r = be->ops->super_write(be, copy, disk, err);
	flight_end(flight);
	return r;
}

int backend_grow(struct backend *be, uint64_t capacity, struct error *err)
{
	return be->ops->grow(be, capacity, err);
}

void backend_shrink(struct backend *be, uint64_t size_bytes)
{
	be->ops->shrink(be, size_bytes);
}

void backend_stat(struct backend *be, struct backend_stat *ret)
{
	be->ops->stat(be, ret);
}
