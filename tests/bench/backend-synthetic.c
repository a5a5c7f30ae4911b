/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back end that keeps eight bytes of a data block.
 *
 * NOTES ON THE DESIGN.  The second file holds eight bytes for every block of
 * every frame, the mark: 0 when the block is in the store's file, else its
 * first eight bytes.  A block of which only the mark is written is punched out
 * of the store's file, which may hold what an earlier segment left there: so
 * only what reads as zeros needs its mark looked up, and metadata costs what
 * it costs without this back end.
 */
#include "backend-synthetic.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend-file.h"
#include "batch.h"
#include "segment.h"
#include "units.h"

#define BLOCK_WORDS (BLOCK_SIZE / sizeof(uint64_t))
#define WORD_STEP UINT64_C(0x9e3779b97f4a7c15)

/* The largest write: segment header, batch header, payload. */
#define WRITE_BLOCKS_MAX (2u + BATCH_PAYLOAD_MAX)

struct backend_synthetic {
	struct backend be; /* first */
	struct backend *file;
	int marks_fd;
	int punch_fd; /* of the store's file */
	_Atomic uint64_t data_bytes, header_bytes, gc_bytes, meta_bytes;
};

/* ---- blocks ---- */

void synthetic_block(uint64_t seed, void *ret)
{
	uint64_t *words = ret, step = 0;

	for (unsigned int i = 0; i < BLOCK_WORDS; i++, step += WORD_STEP)
		words[i] = seed ^ step;
}

/* Its first word when @block is an expansion, else 0. */
static uint64_t block_mark(const void *block)
{
	uint64_t expansion[BLOCK_WORDS], seed;

	memcpy(&seed, block, sizeof(seed));
	synthetic_block(seed, expansion);
	return memcmp(block, expansion, BLOCK_SIZE) == 0 ? seed : 0;
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
	return length == 0 ||
	       (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

/* ---- files ---- */

static struct backend_synthetic *synthetic_of(struct backend *be)
{
	return (struct backend_synthetic *)be;
}

/* The file back end, with the geometry that was set here. */
static struct backend *file_of(struct backend *be)
{
	struct backend *file = synthetic_of(be)->file;

	file->segment_shift = be->segment_shift;
	file->nr_frames = be->nr_frames;
	return file;
}

static off_t mark_offset(const struct backend *be, uint64_t place,
			 uint32_t offset)
{
	uint64_t block =
		(place << be->segment_shift) / BLOCK_SIZE + offset / BLOCK_SIZE;

	return (off_t)(block * sizeof(uint64_t));
}

static int marks_error(struct error *err, const char *verb)
{
	return error_set(err, EIO, "cannot %s marks: %s", verb,
			 strerror(errno));
}

/* ---- reading ---- */

/*
 * Of the block at @offset @length bytes read as zeros.  Is all of it zeros in
 * the file?  Else it has no mark, and the file with the marks need not be read
 * for it.
 */
static int block_is_hole(struct backend *be, uint64_t place, uint32_t offset,
			 uint32_t length, bool *ret, struct error *err)
{
	uint64_t block[BLOCK_WORDS];
	int r = 0;

	*ret = true;
	if (length == BLOCK_SIZE)
		return 0;
	r = backend_read(file_of(be), place, offset / BLOCK_SIZE * BLOCK_SIZE,
			 block, BLOCK_SIZE, 0, err);
	*ret = r == 0 && is_zero((const uint8_t *)block, BLOCK_SIZE);
	return r;
}

/* Of blocks that lie one behind the other, from @offset of the marks on. */
struct marks {
	off_t offset;
	off_t length;
	uint64_t marks[SLOTS_MAX / 8];
};

/* The mark of the block at @offset; those behind it are read with it. */
static int find_mark(struct backend *be, uint64_t place, uint32_t offset,
		     struct marks *marks, uint64_t *ret, struct error *err)
{
	off_t at = mark_offset(be, place, offset);

	if (at < marks->offset || at >= marks->offset + marks->length) {
		marks->length = pread(synthetic_of(be)->marks_fd, marks->marks,
				      sizeof(marks->marks), at);
		marks->offset = at;
	}
	if (marks->length < (off_t)sizeof(uint64_t))
		return marks_error(err, "read");
	*ret = marks->marks[(size_t)(at - marks->offset) / sizeof(uint64_t)];
	return 0;
}

static int synthetic_read(struct backend *be, uint64_t place, uint32_t offset,
			  void *ret, uint32_t length, unsigned int flags,
			  struct error *err)
{
	struct marks marks = {.length = 0};
	uint64_t block[BLOCK_WORDS], mark = 0;
	uint32_t done = 0;
	bool hole;
	int r;

	r = backend_read(file_of(be), place, offset, ret, length, flags, err);
	if (r < 0)
		return r;
	while (done < length) {
		uint32_t skip = (offset + done) % BLOCK_SIZE;
		uint32_t part = BLOCK_SIZE - skip;
		uint8_t *to = (uint8_t *)ret + done;

		part = part < length - done ? part : length - done;
		done += part;
		if (!is_zero(to, part))
			continue;
		r = block_is_hole(be, place, offset + done - part, part, &hole,
				  err);
		if (r == 0 && hole)
			r = find_mark(be, place, offset + done - part, &marks,
				      &mark, err);
		if (r < 0)
			return r;
		if (!hole || mark == 0)
			continue;
		synthetic_block(mark, block);
		memcpy(to, (const uint8_t *)block + skip, part);
	}
	return 0;
}

/* ---- writing ---- */

/* A write begins with a batch's header, or with its segment's. */
static void count_written(struct backend_synthetic *s, const uint8_t *memory,
			  uint64_t length)
{
	const struct disk_segment_header *segment = (const void *)memory;
	const struct disk_batch *batch = (const void *)memory;
	bool first = memcmp(memory, "varveseg", 8) == 0;
	uint64_t headers = first ? 2 * BLOCK_SIZE : BLOCK_SIZE;

	switch (first ? segment->kind : batch->kind) {
	case SEGMENT_META:
		atomic_fetch_add(&s->meta_bytes, length);
		break;
	case SEGMENT_GC:
		atomic_fetch_add(&s->gc_bytes, length);
		break;
	default:
		atomic_fetch_add(&s->header_bytes, headers);
		atomic_fetch_add(&s->data_bytes, length - headers);
	}
}

/* @nr_blocks go into the file when they are @real, else become a hole. */
static int put_run(struct backend *be, uint64_t place, uint32_t offset,
		   const uint8_t *memory, size_t nr_blocks, bool real,
		   struct error *err)
{
	uint64_t at = backend_frame_offset(place, be->segment_shift) + offset;
	struct iovec iov = {.iov_base = (void *)memory,
			    .iov_len = nr_blocks * BLOCK_SIZE};

	if (real)
		return backend_write(file_of(be), place, offset, &iov, 1, err);
	if (fallocate(synthetic_of(be)->punch_fd,
		      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
		      (off_t)iov.iov_len) < 0)
		return error_set(err, EIO, "cannot punch: %s", strerror(errno));
	return 0;
}

static int write_piece(struct backend *be, uint64_t place, uint32_t offset,
		       const uint8_t *memory, size_t length, struct error *err)
{
	uint64_t marks[WRITE_BLOCKS_MAX];
	size_t nr = length / BLOCK_SIZE, end;
	int r = 0;

	if (nr > WRITE_BLOCKS_MAX)
		return error_set(err, EINVAL, "a write of %zu blocks", nr);
	for (size_t i = 0; i < nr; i++)
		marks[i] = block_mark(memory + i * BLOCK_SIZE);
	for (size_t i = 0; r == 0 && i < nr; i = end) {
		bool real = marks[i] == 0;

		for (end = i + 1; end < nr && (marks[end] == 0) == real; end++)
			;
		r = put_run(be, place, offset + (uint32_t)i * BLOCK_SIZE,
			    memory + i * BLOCK_SIZE, end - i, real, err);
	}
	if (r == 0 &&
	    pwrite(synthetic_of(be)->marks_fd, marks, nr * sizeof(marks[0]),
		   mark_offset(be, place, offset)) !=
		    (ssize_t)(nr * sizeof(marks[0])))
		r = marks_error(err, "write");
	return r;
}

static int synthetic_write(struct backend *be, uint64_t place, uint32_t offset,
			   const struct iovec *iov, int nr_iov,
			   struct error *err)
{
	uint64_t length = 0;
	int r = 0;

	for (int i = 0; r == 0 && i < nr_iov; i++) {
		r = write_piece(be, place, offset + (uint32_t)length,
				iov[i].iov_base, iov[i].iov_len, err);
		length += iov[i].iov_len;
	}
	if (r == 0)
		count_written(synthetic_of(be), iov[0].iov_base, length);
	return r;
}

/* ---- the rest is the file's ---- */

static int synthetic_sync(struct backend *be, struct error *err)
{
	return backend_sync(file_of(be), err);
}

/* Sparse: there is no room for all of it. */
static int synthetic_allocate(struct backend *be, uint64_t place,
			      bool zero_fill, struct error *err)
{
	return 0;
}

/* The marks stay: they mean nothing until they are written again. */
static int synthetic_free(struct backend *be, uint64_t place, struct error *err)
{
	return backend_free(file_of(be), place, err);
}

static int synthetic_drop_cache(struct backend *be, uint64_t place,
				struct error *err)
{
	return backend_drop_cache(file_of(be), place, err);
}

static void synthetic_will_read(struct backend *be, uint64_t place,
				uint32_t offset, uint32_t length)
{
	backend_will_read(file_of(be), place, offset, length);
}

static int synthetic_super_read(struct backend *be, unsigned int copy,
				struct disk_superblock *ret, struct error *err)
{
	return backend_super_read(file_of(be), copy, ret, err);
}

static int synthetic_super_write(struct backend *be, unsigned int copy,
				 const struct disk_superblock *disk,
				 struct error *err)
{
	return backend_super_write(file_of(be), copy, disk, err);
}

static void synthetic_stat(struct backend *be, struct backend_stat *ret)
{
	backend_stat(file_of(be), ret);
}

static void synthetic_close(struct backend *be)
{
	struct backend_synthetic *s = synthetic_of(be);

	backend_close(s->file);
	if (s->marks_fd >= 0)
		(void)close(s->marks_fd);
	if (s->punch_fd >= 0)
		(void)close(s->punch_fd);
	free(s);
}

static const struct backend_ops synthetic_ops = {
	.close = synthetic_close,
	.read = synthetic_read,
	.write = synthetic_write,
	.sync = synthetic_sync,
	.allocate = synthetic_allocate,
	.free = synthetic_free,
	.drop_cache = synthetic_drop_cache,
	.will_read = synthetic_will_read,
	.super_read = synthetic_super_read,
	.super_write = synthetic_super_write,
	.stat = synthetic_stat,
};

/* Takes @file over in any case. */
static int synthetic_new(const char *path, struct backend *file, int flags,
			 uint64_t capacity, struct backend **ret,
			 struct error *err)
{
	struct backend_synthetic *s = calloc(1, sizeof(*s));
	char marks[4096];

	if (!s) {
		backend_close(file);
		return error_set(err, ENOMEM, "out of memory");
	}
	s->be.ops = &synthetic_ops;
	s->file = file;
	(void)snprintf(marks, sizeof(marks), "%s.data", path);
	s->marks_fd = open(marks, O_RDWR | O_CLOEXEC | flags, 0600);
	s->punch_fd = open(path, O_RDWR | O_CLOEXEC);
	if (s->marks_fd < 0 || s->punch_fd < 0 ||
	    (capacity &&
	     ftruncate(s->marks_fd, (off_t)(capacity / BLOCK_SIZE *
					    sizeof(uint64_t))) < 0)) {
		(void)error_set(err, errno, "%s: %s", marks, strerror(errno));
		synthetic_close(&s->be);
		return -errno;
	}
	*ret = &s->be;
	return 0;
}

int backend_synthetic_open(const char *path, struct backend **ret,
			   struct error *err)
{
	struct backend *file;
	int r = backend_file_open(path, 0, -1, 0, &file, err);

	return r < 0 ? r : synthetic_new(path, file, 0, 0, ret, err);
}

int backend_synthetic_create(const char *path, uint64_t capacity,
			     struct backend **ret, struct error *err)
{
	struct backend *file;
	int r;

	r = backend_file_create(path, capacity, true, &file, &capacity, err);
	if (r < 0)
		return r;
	return synthetic_new(path, file, O_CREAT | O_TRUNC, capacity, ret, err);
}

void backend_synthetic_written(struct backend *be,
			       struct synthetic_written *ret)
{
	struct backend_synthetic *s = synthetic_of(be);

	*ret = (struct synthetic_written){
		.data_bytes = atomic_load(&s->data_bytes),
		.header_bytes = atomic_load(&s->header_bytes),
		.gc_bytes = atomic_load(&s->gc_bytes),
		.meta_bytes = atomic_load(&s->meta_bytes),
	};
}
