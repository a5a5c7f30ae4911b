/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A back end for benchmarks of stores that the machine has no room for.
 *
 * It lies in front of the file back end.  A block that is the expansion of
 * its first eight bytes is kept as these eight bytes, in a second file; what
 * else is written (metadata, headers, data of any other kind) goes into the
 * store's file as always.  Reads give all of it back, so the engine verifies
 * what it verifies elsewhere.  Figures that come from it are of "synthetic
 * data": what a medium needs for data blocks is not in them.
 *
 * Both files are sparse: no frame is allocated ahead.  A store on it is made
 * and read by this back end only.
 */
#ifndef BENCH_BACKEND_SYNTHETIC_H
#define BENCH_BACKEND_SYNTHETIC_H

#include "backend.h"

/* What was written since the back end was opened. */
struct synthetic_written {
	uint64_t data_bytes;   /* payload of DATA segments, synthetic or not */
	uint64_t header_bytes; /* segment and batch headers of the log */
	uint64_t gc_bytes;     /* GC segments */
	uint64_t meta_bytes;   /* META segments */
};

/*
 * The store in @path, data in PATH.data; @create: new files, replacing what
 * was there.  Errors as of backend_file_open() and backend_file_create().
 */
int backend_synthetic_open(const char *path, struct backend **ret,
			   struct error *err);
int backend_synthetic_create(const char *path, uint64_t capacity,
			     struct backend **ret, struct error *err);

/* Any thread. */
void backend_synthetic_written(struct backend *be,
			       struct synthetic_written *ret);

/* Fill a block with the expansion of @seed, which is not 0. */
void synthetic_block(uint64_t seed, void *ret);

#endif
