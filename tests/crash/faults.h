/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults on demand in a recorded store: of an operation of its medium, of an
 * allocation, of the start of a thread.
 *
 * The linker puts this file's malloc() and pthread_create() in the place of
 * libc's (see meson.build).  Only what the store itself asks for counts: not
 * the allocations of the test, of the model or of the medium in memory.
 */
#ifndef CRASH_FAULTS_H
#define CRASH_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "backend-memory.h"

enum fault {
	/* the operations of the medium come first, as enum memory_op has them
	 */
	FAULT_ALLOCATION = NR_MEMORY_OPS,
	FAULT_THREAD,
	/* system calls of the back end on files */
	FAULT_PREAD,
	FAULT_PWRITEV,
	FAULT_FDATASYNC,
	FAULT_FALLOCATE,
	FAULT_SHORT, /* no failure: reads and writes come in pieces */
	NR_FAULTS,
};

const char *fault_name(enum fault fault);

/*
 * From now on a store is not in memory but in the file @path, made when it is
 * not there; NULL: in memory again.
 */
void faults_use_file(const char *path);
bool faults_use_a_file(void);

/* The @nr-th @fault from now on, and with @forever each after it. */
void faults_arm(struct memory_disk *disk, enum fault fault, uint64_t nr,
		bool forever);
void faults_disarm(struct memory_disk *disk);
/*
 * So that the n-th of what an open does is the same in every run, and can fail
 * alone, the tables are not loaded by a thread of their own then.  Threads
 * start where they @may, and where all that comes later fails, too.
 */
void faults_threads(bool may);
/* Only between true and false does anything count or fail. */
void faults_inside(struct memory_disk *disk, bool inside);
/* How many struck since faults_arm(). */
uint64_t faults_struck(struct memory_disk *disk);

#endif
