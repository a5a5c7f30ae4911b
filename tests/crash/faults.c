/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults on demand in a recorded store. */
#include "faults.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backend-file.h"
#include "random.h"
#include "test-store.h"
#include "units.h"

/* ---- what counts ---- */

static struct {
	atomic_bool inside, forever, threads;
	_Atomic enum fault fault; /* which is armed; NR_FAULTS: none */
	atomic_uint_fast64_t left, struck;
} armed = {.fault = NR_FAULTS};

/* This thread is in the medium, whose memory is the test's. */
static __thread unsigned int spared;

static bool strikes(enum fault fault)
{
	uint_fast64_t left;

	if (spared || !armed.inside || fault == FAULT_SHORT ||
	    armed.fault != fault)
		return false;
	left = armed.left;
	while (left > 0 && !atomic_compare_exchange_weak(
				   &armed.left, &left,
				   left == 1 && armed.forever ? 1 : left - 1))
		;
	if (left != 1)
		return false;
	armed.struck++;
	return true;
}

const char *fault_name(enum fault fault)
{
	static const char *const names[NR_FAULTS] = {
		"read",	       "write",
		"sync",	       "allocate",
		"free",	       "super-read",
		"super-write", "grow",
		"allocation",  "start of a thread",
		"pread",       "pwritev",
		"fdatasync",   "fallocate",
		"short",
	};

	return names[fault];
}

void faults_arm(struct memory_disk *disk, enum fault fault, uint64_t nr,
		bool forever)
{
	armed.left = nr;
	armed.forever = forever;
	armed.struck = 0;
	armed.fault = fault;
	if (fault < FAULT_ALLOCATION)
		memory_disk_fault(disk, (enum memory_op)fault, nr, EIO,
				  forever);
}

void faults_disarm(struct memory_disk *disk)
{
	enum fault fault = armed.fault;

	armed.fault = NR_FAULTS;
	if (fault < FAULT_ALLOCATION)
		memory_disk_fault(disk, (enum memory_op)fault, 0, 0, false);
}

void faults_threads(bool may)
{
	armed.threads = may;
}

void faults_inside(struct memory_disk *disk, bool inside)
{
	armed.inside = inside;
	memory_disk_suspend_faults(disk, !inside);
}

uint64_t faults_struck(struct memory_disk *disk)
{
	return armed.struck + memory_disk_nr_faults(disk);
}

/* ---- memory and threads ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t nr, size_t size);
void *__real_reallocarray(void *old, size_t nr, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
			  void *(*start)(void *), void *arg);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t nr, size_t size);
void *__wrap_reallocarray(void *old, size_t nr, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
			  void *(*start)(void *), void *arg);

static bool no_memory(void)
{
	if (!strikes(FAULT_ALLOCATION))
		return false;
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return no_memory() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t nr, size_t size)
{
	return no_memory() ? NULL : __real_calloc(nr, size);
}

void *__wrap_reallocarray(void *old, size_t nr, size_t size)
{
	return no_memory() ? NULL : __real_reallocarray(old, nr, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return no_memory() ? NULL : __real_aligned_alloc(alignment, size);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
			  void *(*start)(void *), void *arg)
{
	bool may = armed.threads || armed.forever || !armed.inside;

	return strikes(FAULT_THREAD) || !may
		       ? EAGAIN
		       : __real_pthread_create(thread, attr, start, arg);
}

/* ---- a file ---- */

ssize_t __real_pread64(int fd, void *ret, size_t length, off_t offset);
ssize_t __real_pwritev64(int fd, const struct iovec *iov, int nr, off_t offset);
int __real_fdatasync(int fd);
int __real_fallocate64(int fd, int mode, off_t offset, off_t length);

ssize_t __wrap_pread64(int fd, void *ret, size_t length, off_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int nr, off_t offset);
int __wrap_fdatasync(int fd);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length);

static const char *file; /* NULL: the medium is in memory */

void faults_use_file(const char *path)
{
	file = path;
}

bool faults_use_a_file(void)
{
	return file != NULL;
}

static bool fails(enum fault fault, int code)
{
	if (!strikes(fault))
		return false;
	errno = code;
	return true;
}

/* Reads and writes come in pieces; the seed is the @nr of faults_arm(). */
static bool is_short(struct rng *rng)
{
	static atomic_uint_fast64_t nr_calls;

	if (!armed.inside || armed.fault != FAULT_SHORT)
		return false;
	armed.struck++;
	rng->state = armed.left * 1000003 + nr_calls++;
	return true;
}

ssize_t __wrap_pread64(int fd, void *ret, size_t length, off_t offset)
{
	struct rng rng;
	ssize_t n;

	if (fails(FAULT_PREAD, EIO))
		return -1;
	n = __real_pread64(fd, ret, length, offset);
	if (n <= 0 || !is_short(&rng))
		return n;
	if (rng_one_in(&rng, 4)) {
		errno = EINTR;
		return -1;
	}
	return (ssize_t)(1 + rng_below(&rng, (uint64_t)n));
}

/* The first @length bytes of what @iov holds, which is one piece. */
static ssize_t write_part(int fd, const struct iovec *iov, int nr, off_t offset,
			  size_t length)
{
	struct iovec part = {iov->iov_base, length};

	assert(nr == 1 && length <= iov->iov_len);
	return __real_pwritev64(fd, &part, 1, offset);
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int nr, off_t offset)
{
	struct rng rng;
	ssize_t n;

	if (fails(FAULT_PWRITEV, EIO))
		return -1;
	if (!is_short(&rng))
		return __real_pwritev64(fd, iov, nr, offset);
	if (rng_one_in(&rng, 4)) {
		errno = EINTR;
		return -1;
	}
	if (offset % BLOCK_SIZE || iov->iov_len % BLOCK_SIZE)
		die("FAILED a write of %zu bytes at %lld, not of whole blocks",
		    iov->iov_len, (long long)offset);
	n = (ssize_t)(1 + rng_below(&rng, iov->iov_len / BLOCK_SIZE)) *
	    BLOCK_SIZE;
	n = write_part(fd, iov, nr, offset, (size_t)n);
	/* inside a block, too, but for the first */
	if (n > (ssize_t)BLOCK_SIZE && rng_one_in(&rng, 2))
		n -= (ssize_t)rng_below(&rng, BLOCK_SIZE);
	return n;
}

int __wrap_fdatasync(int fd)
{
	return fails(FAULT_FDATASYNC, EIO) ? -1 : __real_fdatasync(fd);
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length)
{
	return fails(FAULT_FALLOCATE, ENOSPC)
		       ? -1
		       : __real_fallocate64(fd, mode, offset, length);
}

static struct backend *open_file(uint64_t capacity)
{
	struct error err = ERROR_NONE;
	struct backend *be;
	int r;

	if (access(file, F_OK) == 0)
		r = backend_file_open(file, 0, -1, 0, &be, &err);
	else
		r = backend_file_create(file, capacity, false, &be, &capacity,
					&err);
	if (r < 0)
		die("FAILED to open %s: %s", file, err.message);
	return be;
}

/* ---- the medium, spared ---- */

struct backend *__real_backend_memory_open(struct memory_disk *disk);
struct backend *__wrap_backend_memory_open(struct memory_disk *disk);

static const struct backend_ops *medium;

static int spare_end(int r)
{
	spared--;
	return r;
}

static void spared_close(struct backend *be)
{
	medium->close(be);
}

static int spared_read(struct backend *be, uint64_t place, uint32_t offset,
		       void *ret, uint32_t length, unsigned int flags,
		       struct error *err)
{
	spared++;
	return spare_end(
		medium->read(be, place, offset, ret, length, flags, err));
}

static int spared_write(struct backend *be, uint64_t place, uint32_t offset,
			const struct iovec *iov, int nr_iov, struct error *err)
{
	spared++;
	return spare_end(medium->write(be, place, offset, iov, nr_iov, err));
}

static int spared_sync(struct backend *be, struct error *err)
{
	spared++;
	return spare_end(medium->sync(be, err));
}

static int spared_allocate(struct backend *be, uint64_t place, bool zero_fill,
			   struct error *err)
{
	spared++;
	return spare_end(medium->allocate(be, place, zero_fill, err));
}

static int spared_free(struct backend *be, uint64_t place, struct error *err)
{
	spared++;
	return spare_end(medium->free(be, place, err));
}

static int spared_drop_cache(struct backend *be, uint64_t place,
			     struct error *err)
{
	return medium->drop_cache(be, place, err);
}

static void spared_will_read(struct backend *be, uint64_t place,
			     uint32_t offset, uint32_t length)
{
	medium->will_read(be, place, offset, length);
}

static int spared_super_read(struct backend *be, unsigned int copy,
			     struct disk_superblock *ret, struct error *err)
{
	return medium->super_read(be, copy, ret, err);
}

static int spared_super_write(struct backend *be, unsigned int copy,
			      const struct disk_superblock *disk,
			      struct error *err)
{
	spared++;
	return spare_end(medium->super_write(be, copy, disk, err));
}

static int spared_grow(struct backend *be, uint64_t capacity, struct error *err)
{
	spared++;
	return spare_end(medium->grow(be, capacity, err));
}

static void spared_shrink(struct backend *be, uint64_t size_bytes)
{
	spared++;
	medium->shrink(be, size_bytes);
	spared--;
}

static void spared_stat(struct backend *be, struct backend_stat *ret)
{
	medium->stat(be, ret);
}

static const struct backend_ops spared_ops = {
	.close = spared_close,
	.read = spared_read,
	.write = spared_write,
	.sync = spared_sync,
	.allocate = spared_allocate,
	.free = spared_free,
	.drop_cache = spared_drop_cache,
	.will_read = spared_will_read,
	.super_read = spared_super_read,
	.super_write = spared_super_write,
	.grow = spared_grow,
	.shrink = spared_shrink,
	.stat = spared_stat,
};

struct backend *__wrap_backend_memory_open(struct memory_disk *disk)
{
	struct backend_stat stat;
	struct backend *be;

	spared++;
	be = __real_backend_memory_open(disk);
	if (file) {
		backend_stat(be, &stat);
		backend_close(be);
		be = open_file(stat.size_bytes);
		spared--;
		return be;
	}
	spared--;
	medium = be->ops;
	be->ops = &spared_ops;
	return be;
}
