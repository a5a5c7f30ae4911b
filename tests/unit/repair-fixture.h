/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of repair share.  Each damages one thing of a closed store,
 * reads what check and repair say of it, and looks at what is there
 * afterwards: every block is right or an error, and what was not hit is
 * right.
 *
 * Volume a has blocks 0 to 299, 100 at FAR and 10 at FAR_AWAY; a@s the same,
 * but for 10 blocks that a wrote after; clone b is a@s; of volume c only its
 * snapshots c@old and c@new are of interest; d is deleted and waits for the
 * reaper.
 */
#ifndef UNIT_REPAIR_FIXTURE_H
#define UNIT_REPAIR_FIXTURE_H

#include "fixture.h"

#define FAR (UINT64_C(1) << 15)	     /* the first block of another inner node */
#define FAR_AWAY (UINT64_C(1) << 24) /* and of another one above it */

#define SAID_BYTES 32768u
/* What the last check or repair said, and what it counted. */
extern char said[SAID_BYTES];
extern struct check_report report;

/* cmocka: the store, open; and its end, when it may have been left closed. */
int open_repairable(void **state);
int close_repairable(void **state);

/* What volume @name is called once its record is lost. */
void lost_name(const char *name, char ret[50]);
/* That holds @block of a volume. */
struct segment *segment_of(const char *name, uint64_t block);

void damage_ref(const struct page_ref *ref);
void damage_page(const struct page_table *table, uint32_t index);

/* Of the closed store; they return what the engine does. */
int run_check(void);
int run_repair(struct repair_options options);
void expect_said(const char *words);
void expect_not_said(const char *words);
/* The closed store is as it should be, and opens; @said stays. */
void open_clean(void);
/* Damage was done to the open store: close it, repair it, open it. */
void repair(void);

/* Every block reads as put() with @seed left it. */
void expect_blocks(const char *name, uint64_t block, uint32_t nr,
		   uint32_t seed);
/* Reading any of them fails. */
void expect_lost(const char *name, uint64_t block, uint32_t nr);
/* As they were made; a@s and b are the same. */
void expect_a(void);
void expect_s(const char *name);
void expect_c(void);
void expect_c_snapshots(const char *volume);
void expect_all(void);

#endif
