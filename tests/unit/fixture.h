/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the unit tests of the engine share: a store in memory that is open
 * without workers, so that nothing happens but what a test asks for; or the
 * engine's modules alone, without content, with core held.
 *
 * Blocks are filled by a seed: a block put with seed s at index i reads as
 * only that seed and index do; seed 0 is zeros.
 */
#ifndef UNIT_FIXTURE_H
#define UNIT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store.h"
#include "test-store.h"

#define TEST_FRAMES 128u
#define TEST_SLOTS 16u /* of a segment of 64 KiB */

extern struct memory_disk *disk;
extern struct store *store;
extern struct error err;

/* cmocka: an empty store, open for writing; and its end. */
int open_store(void **state);
int close_store(void **state);

/*
 * cmocka: a store with volume a, and snapshot a@s of it while its first
 * @nr_written blocks had seed 1.
 */
int open_store_with_snapshot(uint64_t nr_blocks, uint32_t nr_written,
			     void **state);

/* cmocka: modules without content on TEST_FRAMES frames, core held. */
int make_modules(void **state);
int free_modules(void **state);

void lock_core(void);
void unlock_core(void);

/* Close @store, unclean as if the process died, and open it again. */
void reopen(bool clean);
void reopen_read_only(void);
/* Close it and leave it closed. */
void stop(bool clean);

/* Fail the test unless @r is 0; err says why. */
#define must(r) must_at((r), __FILE__, __LINE__)
void must_at(int r, const char *file, int line);
/* Fail the test unless @r is -@code and err's message holds @words. */
#define refused(r, code, words) \
	refused_at((r), (code), (words), __FILE__, __LINE__)
void refused_at(int r, int code, const char *words, const char *file, int line);

/* What the process has used of the processors. */
uint64_t cpu_ms(void);

struct volume_handle *open_volume(const char *name);
struct volume_handle *open_snapshot(const char *name);
/* Create @name of @nr_blocks blocks and open it. */
struct volume_handle *create_volume(const char *name, uint64_t nr_blocks);
/* The same with seed 1 in the first @nr_written, and nobody has it open. */
void make_volume(const char *name, uint64_t nr_blocks, uint32_t nr_written);
void snapshot(const char *name);
void delete_volume(const char *name);

void fill_block(uint8_t ret[BLOCK_SIZE], uint64_t block, uint32_t seed);
int try_put(struct volume_handle *handle, uint64_t block, uint32_t nr,
	    uint32_t seed);
void put(struct volume_handle *handle, uint64_t block, uint32_t nr,
	 uint32_t seed);
/* Set quota or reservation of a volume to so many blocks; 0: none. */
int try_limit(const char *name, const char *key, uint64_t nr_blocks);
/* Every one of the blocks reads as put() with @seed left it. */
void expect(struct volume_handle *handle, uint64_t block, uint32_t nr,
	    uint32_t seed);
/* put() and expect(), opened for that. */
void put_in(const char *name, uint64_t block, uint32_t nr, uint32_t seed);
void expect_in(const char *name, uint64_t block, uint32_t nr, uint32_t seed);

struct store_stat stat_now(void);
struct volume_info info_of(const char *name);
/* store_check() finds nothing. */
void check_is_clean(void);

struct volume *volume(const char *name);
/* The node of @level above @block of a volume: its id, or itself, loaded. */
uint32_t node_of(const char *name, unsigned int level, uint64_t block);
struct node *load_node_of(const char *name, unsigned int level, uint64_t block);
/* What a volume's leaf says of @block, and where the segment @segno is. */
struct birth name_of(const char *name, uint64_t block);
uint64_t place_of(uint64_t segno);
/* The medium no longer holds node @id as it was written. */
void damage_node(uint32_t id);

/* Forwards of the segments whose pages the next checkpoint writes. */
uint64_t count_dirty_forwards(void);

/* A segment in the segment table, at a place that no frame was taken for. */
struct segment *add_segment(enum segment_kind kind);

#endif
