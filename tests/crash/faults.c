/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults on demand in a recorded store. */
#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* ---- what counts ---- */

static struct {
	atomic_bool inside, forever;
	_Atomic enum fault fault; /* which is armed; NR_FAULTS: none */
	atomic_uint_fast64_t left, struck;
} armed = {.fault = NR_FAULTS};

/* This thread is in the medium, whose memory is the test's. */
static __thread unsigned int spared;

static bool strikes(enum fault fault)
{
	uint_fast64_t left;

	if (spared || !armed.inside || armed.fault != fault)
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
		"read",	       "write",	     "sync",
		"allocate",    "free",	     "super-read",
		"super-write", "allocation", "start of a thread",
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
	return strikes(FAULT_THREAD)
		       ? EAGAIN
		       : __real_pthread_create(thread, attr, start, arg);
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

static int spared_seal(struct backend *be, uint64_t place, struct error *err)
{
	return medium->seal(be, place, err);
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

static void spared_stat(struct backend *be, struct backend_stat *ret)
{
	medium->stat(be, ret);
}

static const struct backend_ops spared_ops = {
	.close = spared_close,
	.read = spared_read,
	.write = spared_write,
	.seal = spared_seal,
	.sync = spared_sync,
	.allocate = spared_allocate,
	.free = spared_free,
	.drop_cache = spared_drop_cache,
	.super_read = spared_super_read,
	.super_write = spared_super_write,
	.stat = spared_stat,
};

struct backend *__wrap_backend_memory_open(struct memory_disk *disk)
{
	struct backend *be;

	spared++;
	be = __real_backend_memory_open(disk);
	spared--;
	medium = be->ops;
	be->ops = &spared_ops;
	return be;
}
