/* SPDX-License-Identifier: BSD-2-Clause */
#include "repair-fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

char said[SAID_BYTES];

static void listen(void *opaque, const char *line)
{
	size_t at = strlen(said);

	(void)opaque;
	(void)snprintf(said + at, sizeof(said) - at, "%s\n", line);
}

int open_repairable(void **state)
{
	static const char *const b[] = {"b"}, *const d[] = {"d"};
	struct volume_handle *h;
	int r = open_store(state);

	if (r < 0)
		return r;
	h = create_volume("a", 2 * FAR_AWAY);
	put(h, 0, 300, 1);
	put(h, FAR, 100, 2);
	put(h, FAR_AWAY, 10, 3);
	snapshot("a@s");
	put(h, 0, 10, 4);
	volume_close(h);
	must(store_clone(store, "a@s", b, 1, &err));
	h = create_volume("c", 500);
	put(h, 0, 50, 5);
	snapshot("c@old");
	put(h, 0, 20, 6);
	snapshot("c@new");
	put(h, 20, 10, 7);
	volume_close(h);
	h = create_volume("d", 100);
	put(h, 0, 20, 8);
	volume_close(h);
	must(store_checkpoint(store, &err));
	must(store_delete(store, d, 1, false, &err));
	must(store_checkpoint(store, &err));
	return 0;
}

int close_repairable(void **state)
{
	if (store)
		stop(false);
	memory_disk_put(disk);
	return 0;
}

/* ---- what is where ---- */

void damage_ref(const struct page_ref *ref)
{
	assert_true(ref->segno > 0);
	memory_disk_damage(disk, place_of(ref->segno), ref->offset + 9, 1);
}

void damage_page(const struct page_table *table, uint32_t index)
{
	damage_ref(&table->pages[index].ref);
}

struct segment *segment_of(const char *name, uint64_t block)
{
	struct segment *ret = segment_find(&store->segments,
					   birth_segno(name_of(name, block)));

	assert_non_null(ret);
	return ret;
}

void lost_name(const char *name, char ret[50])
{
	(void)snprintf(ret, 50, "lost-%" PRIu32, volume(name)->id);
}

/* ---- check and repair ---- */

struct check_report report;

int run_check(void)
{
	struct backend *be = backend_memory_open(disk);
	int r;

	said[0] = '\0';
	r = store_check_backend(be, NULL, listen, NULL, &report, &err);
	backend_close(be);
	return r;
}

int run_repair(struct repair_options options)
{
	struct backend *be = backend_memory_open(disk);
	int r;

	said[0] = '\0';
	r = store_repair(be, &options, listen, NULL, &report, &err);
	backend_close(be);
	return r;
}

void expect_said(const char *words)
{
	if (!strstr(said, words))
		fail_msg("'%s' was not said, but: %s", words, said);
}

void expect_not_said(const char *words)
{
	if (strstr(said, words))
		fail_msg("'%s' was said: %s", words, said);
}

void open_clean(void)
{
	static const struct store_open_options writable;
	char kept[sizeof(said)];

	memcpy(kept, said, sizeof(said));
	err = (struct error)ERROR_NONE;
	if (run_check() != 0)
		fail_msg("check after repair: %s", said);
	must(test_store_open(disk, &writable, &store, &err));
	check_is_clean();
	memcpy(said, kept, sizeof(said));
}

void repair(void)
{
	stop(false);
	if (run_repair((struct repair_options){0}) != 0)
		fail_msg("repair: %s; %s", err.message, said);
	assert_true(report.nr_errors > 0);
	open_clean();
}

void expect_blocks(const char *name, uint64_t block, uint32_t nr, uint32_t seed)
{
	struct volume_handle *h = open_snapshot(name);

	expect(h, block, nr, seed);
	volume_close(h);
}

void expect_lost(const char *name, uint64_t block, uint32_t nr)
{
	struct volume_handle *h = open_snapshot(name);
	uint8_t data[BLOCK_SIZE];

	for (uint32_t i = 0; i < nr; i++)
		refused(volume_read(h, data, sizeof(data),
				    (block + i) * BLOCK_SIZE, &err),
			EIO, "lost");
	volume_close(h);
}

void expect_a(void)
{
	expect_blocks("a", 0, 10, 4);
	expect_blocks("a", 10, 290, 1);
	expect_blocks("a", FAR, 100, 2);
	expect_blocks("a", FAR_AWAY, 10, 3);
}

void expect_s(const char *name)
{
	expect_blocks(name, 0, 300, 1);
	expect_blocks(name, FAR, 100, 2);
	expect_blocks(name, FAR_AWAY, 10, 3);
}

void expect_c_snapshots(const char *volume)
{
	char name[60];

	(void)snprintf(name, sizeof(name), "%s@old", volume);
	expect_blocks(name, 0, 50, 5);
	(void)snprintf(name, sizeof(name), "%s@new", volume);
	expect_blocks(name, 0, 20, 6);
	expect_blocks(name, 20, 30, 5);
}

void expect_c(void)
{
	expect_c_snapshots("c");
	expect_blocks("c", 0, 20, 6);
	expect_blocks("c", 20, 10, 7);
	expect_blocks("c", 30, 20, 5);
}

void expect_all(void)
{
	expect_a();
	expect_s("a@s");
	expect_s("b");
	expect_c();
}
