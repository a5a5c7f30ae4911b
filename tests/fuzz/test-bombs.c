/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small stores made to cost much: maps that lead back to themselves or reach
 * one leaf 2^27 times, tables and counters of any size.  Whatever is done
 * with one is over in seconds and takes little memory.
 *
 * Checksums always match here (fuzz-checksum.c), so that bytes can be changed
 * in place.  Each bomb explodes, if it does, in a child.
 *
 * test-bombs [NAME]
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"
#include "fuzz.h"
#include "map-node.h"
#include "node-table.h"
#include "store-use.h"
#include "superblock.h"
#include "test-store.h"

#define NR_FRAMES 64u
#define FRAME_BYTES (1u << TEST_SEGMENT_SHIFT)
#define SECONDS_MAX 60
#define MEMORY_MAX (UINT64_C(256) << 20)

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if !defined(__has_feature)
#define LIMIT_MEMORY
#elif !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
#define LIMIT_MEMORY
#endif
#endif

struct bombed {
	struct memory_disk *disk;
	struct backend *be;
	uint8_t frames[NR_FRAMES][FRAME_BYTES];
};

static struct bombed store;

static void must(int r, const struct error *err)
{
	if (r < 0)
		fuzz_fail("making a store", err->message);
}

/* ---- bytes ---- */

static void load_frames(void)
{
	struct error err = ERROR_NONE;

	for (uint64_t place = 0; place < NR_FRAMES; place++)
		must(backend_read(store.be, place, 0, store.frames[place],
				  FRAME_BYTES, 0, &err),
		     &err);
}

static void poke(uint64_t place, uint32_t offset, const void *bytes,
		 uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		uint8_t *at = &store.frames[place][offset + i];
		uint8_t to = ((const uint8_t *)bytes)[i];

		memory_disk_damage(store.disk, place, offset + i, *at ^ to);
		*at = to;
	}
}

static void poke32(uint64_t place, uint32_t offset, uint32_t value)
{
	le32 disk = le32_make(value);

	poke(place, offset, &disk, sizeof(disk));
}

static void poke_super(uint32_t offset, const void *bytes, uint32_t nr)
{
	struct error err = ERROR_NONE;

	for (unsigned int copy = 0; copy < SUPERBLOCK_COPIES; copy++) {
		struct disk_superblock disk;

		must(backend_super_read(store.be, copy, &disk, &err), &err);
		for (uint32_t i = 0; i < nr; i++)
			memory_disk_damage_super(
				store.disk, copy, offset + i,
				((uint8_t *)&disk)[offset + i] ^
					((const uint8_t *)bytes)[i]);
	}
}

static void poke_super64(uint32_t offset, uint64_t value)
{
	le64 disk = le64_make(value);

	poke_super(offset, &disk, sizeof(disk));
}

static struct superblock superblock(void)
{
	struct error err = ERROR_NONE;
	struct disk_superblock disk;
	struct superblock sb;

	must(backend_super_read(store.be, 0, &disk, &err), &err);
	must(superblock_decode(&disk, 0, &sb, &err), &err);
	return sb;
}

/* Call @fn for every place that looks like a record of @kind. */
static void each_record(uint8_t kind, uint32_t bytes,
			void (*fn)(uint64_t place, uint32_t offset,
				   const uint8_t *record, uint32_t value),
			uint32_t value)
{
	for (uint64_t place = 0; place < NR_FRAMES; place++)
		for (uint32_t at = 8192; at + bytes <= FRAME_BYTES; at += 8) {
			const uint8_t *record = &store.frames[place][at];

			if (record[0] == kind && record[3] == 0)
				fn(place, at, record, value);
		}
}

/* ---- maps ---- */

/* All children of the inner nodes below the root are node @id. */
static void point_at(uint64_t place, uint32_t offset, const uint8_t *record,
		     uint32_t id)
{
	const struct disk_node_header *header = (const void *)record;

	if (header->level < 1 || header->level > 2 || header->encoding)
		return;
	for (uint32_t i = 0; i < INNER_CHILDREN; i++)
		poke32(place, offset + 16 + 4 * i, id);
}

static uint32_t found_id;

static void find_level(uint64_t place, uint32_t offset, const uint8_t *record,
		       uint32_t level)
{
	const struct disk_node_header *header = (const void *)record;

	if (header->level == level && !header->encoding)
		found_id = le32_get(header->id);
}

/* All children of an inner node are its first. */
static void point_at_one(uint64_t place, uint32_t offset, const uint8_t *record,
			 uint32_t value)
{
	const struct disk_node_header *header = (const void *)record;
	uint32_t child = 0;

	if (header->level < 1 || header->level > 3 || header->encoding)
		return;
	for (uint32_t i = 0; !child && i < INNER_CHILDREN; i++) {
		le32 id;

		memcpy(&id, record + 16 + 4 * i, sizeof(id));
		child = le32_get(id);
	}
	for (uint32_t i = 0; i < INNER_CHILDREN; i++)
		poke32(place, offset + 16 + 4 * i, child);
}

/* The count of every node that is in use becomes @value. */
static void set_counts(uint64_t place, uint32_t offset, const uint8_t *record,
		       uint32_t value)
{
	const struct disk_node_table_page *page = (const void *)record;

	if (le32_get(page->header.length) != sizeof(*page))
		return;
	for (uint32_t i = 0; i < NODE_TABLE_PAGE_ENTRIES; i++)
		if (le32_get(page->entries[i].count))
			poke32(place,
			       offset +
				       (uint32_t)(offsetof(struct
							   disk_node_table_page,
							   entries) +
						  i * sizeof(page->entries[0]) +
						  offsetof(struct
							   disk_node_entry,
							   count)),
			       value);
}

static void set_all_counts(uint32_t value)
{
	each_record(PAGE_NODE_TABLE, sizeof(struct disk_node_table_page),
		    set_counts, value);
}

static void cycle(uint64_t count)
{
	each_record(NODE_INNER, NODE_INNER_BYTES, find_level, INNER_LEVELS);
	each_record(NODE_INNER, NODE_INNER_BYTES, point_at, found_id);
	if (count)
		set_all_counts((uint32_t)count);
}

static void fan(uint64_t count)
{
	each_record(NODE_INNER, NODE_INNER_BYTES, point_at_one, 0);
	if (count)
		set_all_counts((uint32_t)count);
}

static void counts(uint64_t count)
{
	set_all_counts((uint32_t)count);
}

/* ---- tables ---- */

#define DIRECTORIES_MAX (FRAME_BYTES / sizeof(struct disk_page_ref))

/* What the root in @bytes says, with its lists. */
struct tables {
	struct root root;
	struct meta_segment meta[NR_FRAMES];
	struct page_ref refs[NR_TABLES][DIRECTORIES_MAX];
};

static void decode_tables(const void *bytes, const struct superblock *sb,
			  struct tables *ret)
{
	struct error err = ERROR_NONE;

	must(root_decode(bytes, sb->root.length, sb->checkpoint_id, &ret->root,
			 &err),
	     &err);
	for (uint32_t i = 0; i < ret->root.nr_meta_segments; i++)
		must(root_get_meta_segment(bytes, &ret->root, i, &ret->meta[i],
					   &err),
		     &err);
	for (uint32_t t = 0; t < NR_TABLES; t++)
		for (uint32_t i = 0;
		     i < nr_directory_pages(ret->root.nr_pages[t]); i++)
			must(root_get_directory(bytes, &ret->root,
						(enum table)t, i,
						TEST_SEGMENT_SHIFT,
						&ret->refs[t][i], &err),
			     &err);
}

/* As many pages in a table as the largest root has directories for. */
static void many_pages(uint64_t table)
{
	static struct tables tables;
	static uint8_t bytes[FRAME_BYTES];
	struct superblock sb = superblock();
	const struct page_ref *refs[NR_TABLES];
	le32 length;

	decode_tables(&store.frames[sb.root.place][sb.root.offset], &sb,
		      &tables);
	for (unsigned int t = 0; t < NR_TABLES; t++)
		refs[t] = tables.refs[t];
	while (root_bytes(&tables.root) + sizeof(struct disk_page_ref) <=
	       FRAME_BYTES - sb.root.offset)
		tables.root.nr_pages[table] += DIRECTORY_PAGE_ENTRIES;
	if (table == TABLE_NODE)
		tables.root.next_node_id = (tables.root.nr_pages[table] - 1) *
					   NODE_TABLE_PAGE_ENTRIES;
	root_encode(&tables.root, tables.meta, refs, bytes);
	length = le32_make((uint32_t)root_bytes(&tables.root));
	poke(sb.root.place, sb.root.offset, bytes, le32_get(length));
	poke_super(offsetof(struct disk_superblock, root_length), &length,
		   sizeof(length));
}

/* ---- counters ---- */

static void super_field(uint32_t offset, uint64_t value)
{
	poke_super64(offset, value);
}

#define SUPER_FIELD(field) \
	static void last_##field(uint64_t value) \
	{ \
		super_field(offsetof(struct disk_superblock, field), value); \
	}
SUPER_FIELD(open_incarnation)
SUPER_FIELD(checkpoint_id)
SUPER_FIELD(segno_bound)
SUPER_FIELD(log_seq)

static void root_field(uint32_t offset, const void *bytes, uint32_t nr)
{
	struct superblock sb = superblock();

	poke(sb.root.place, sb.root.offset + offset, bytes, nr);
}

#define ROOT_FIELD(field, bits) \
	static void last_##field(uint64_t value) \
	{ \
		le##bits disk = le##bits##_make((uint##bits##_t)value); \
\
		root_field(offsetof(struct disk_root, field), &disk, \
			   sizeof(disk)); \
	}
ROOT_FIELD(next_segno, 64)
ROOT_FIELD(next_volume_id, 32)
ROOT_FIELD(next_node_id, 32)
ROOT_FIELD(next_epoch, 32)

static const struct bomb {
	const char *name;
	void (*plant)(uint64_t value);
	uint64_t value;
	bool is_counter;
} bombs[] = {
	{"cycle", cycle, 0},
	{"cycle, counted once", cycle, 1},
	{"cycle, counted out", cycle, UINT32_MAX},
	{"fan", fan, 0},
	{"fan, counted once", fan, 1},
	{"fan, counted right", fan, INNER_CHILDREN},
	{"fan, counted out", fan, UINT32_MAX},
	{"all counts at their end", counts, UINT32_MAX},
	{"all counts 1", counts, 1},
	{"pages of nodes", many_pages, TABLE_NODE},
	{"pages of segments", many_pages, TABLE_SEGMENT},
	{"pages of volumes", many_pages, TABLE_VOLUME},
	{"pages of frames", many_pages, TABLE_FRAME},
	{"pages of the reaper queue", many_pages, TABLE_REAPER},
	{"last incarnation", last_open_incarnation, INT64_MAX, true},
	{"last checkpoint", last_checkpoint_id, INT64_MAX, true},
	{"last bound of segments", last_segno_bound, SEGNO_MAX, true},
	{"last but one bound", last_segno_bound, SEGNO_MAX - 1, true},
	{"bound nearly there", last_segno_bound, SEGNO_MAX - 4096 * 2, true},
	{"last sequence number", last_log_seq, INT64_MAX, true},
	{"last segment", last_next_segno, SEGNO_MAX, true},
	{"last volume", last_next_volume_id, UINT32_MAX, true},
	{"last node", last_next_node_id, UINT32_MAX, true},
	{"last epoch", last_next_epoch, UINT32_MAX, true},
};

/* ---- run ---- */

static void make_store(void)
{
	static const char *const names[] = {"v@1"};
	static const uint8_t block[4096] = "data";
	struct store_open_options options = {.nr_buffers = 4};
	struct error err = ERROR_NONE;
	struct volume_handle *handle;
	struct store *s;

	store.disk = test_store_disk(NR_FRAMES);
	must(test_store_open(store.disk, &options, &s, &err), &err);
	must(store_create(s, "v", UINT64_C(1) << 45, &err), &err);
	must(volume_open(s, "v", VOLUME_OPEN_WRITE, &handle, &err), &err);
	for (uint64_t i = 0; i < 20; i++)
		must(volume_write(handle, block, sizeof(block), i * 4096, false,
				  &err),
		     &err);
	volume_close(handle);
	must(store_snapshot(s, names, 1, NULL, &err), &err);
	must(store_close(s, true, &err), &err);
	store.be = backend_memory_open(store.disk);
	store.be->segment_shift = TEST_SEGMENT_SHIFT;
	store.be->nr_frames = NR_FRAMES;
	load_frames();
}

static void explode(const struct bomb *bomb)
{
	struct store_open_options options = {.nr_buffers = 4};
	struct memory_disk *copy;
	int r;

	(void)alarm(SECONDS_MAX);
	bomb->plant(bomb->value);
	memory_disk_record(store.disk);
	for (int how = 0; how < 4; how++) {
		copy = memory_disk_rebuild(store.disk, 0, CRASH_KEEP_ALL, 0);
		options.read_only = how < 2;
		options.at_checkpoint = how == 1;
		r = store_open_and_use(copy, &options, how != 3);
		printf("%s%d", how ? " " : "  opened: ", r);
		/* a counter that ends is no reason to lose the store */
		options.read_only = true;
		options.at_checkpoint = false;
		if (how == 2 && r == 0 && bomb->is_counter &&
		    store_open_and_use(copy, &options, true) < 0)
			fuzz_fail(bomb->name, "cannot be opened any more");
		memory_disk_put(copy);
	}
	printf("\n");
}

static _Noreturn void child(const struct bomb *bomb)
{
#ifdef LIMIT_MEMORY
	struct rlimit limit = {MEMORY_MAX, MEMORY_MAX};

	(void)setrlimit(RLIMIT_AS, &limit);
#endif
	explode(bomb);
	(void)fflush(stdout);
	_exit(0);
}

/* The time and memory of the child is what getrusage() says. */
static bool survives(const struct bomb *bomb)
{
	struct rusage usage;
	int status = 0;
	pid_t pid;

	printf("%s\n", bomb->name);
	(void)fflush(stdout);
	pid = fork();
	if (pid < 0)
		fuzz_fail("fork", strerror(errno));
	if (pid == 0)
		child(bomb);
	while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR)
		;
	printf("  %ld.%02ld s, %ld KiB\n", (long)usage.ru_utime.tv_sec,
	       (long)usage.ru_utime.tv_usec / 10000, usage.ru_maxrss);
	if (status == 0)
		return true;
	printf("  FAILED: %s\n", WIFSIGNALED(status)
					 ? strsignal(WTERMSIG(status))
					 : "stopped by a sanitizer");
	return false;
}

int main(int argc, char **argv)
{
	unsigned int nr = 0, failed = 0;

	make_store();
	for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
		if (argc > 1 && strcmp(argv[1], bombs[i].name) != 0)
			continue;
		nr++;
		failed += !survives(&bombs[i]);
	}
	backend_close(store.be);
	memory_disk_put(store.disk);
	printf("%u bombs, %u went off\n", nr, failed);
	return nr == 0 || failed ? 1 : 0;
}
