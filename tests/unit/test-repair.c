/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Repair: each test damages one thing of a closed store, reads what check
 * and repair say of it, and looks at what is there afterwards: every block is
 * right or an error, and what was not hit is right.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fixture.h"

#define FAR (UINT64_C(1) << 15)	     /* the first block of another inner node */
#define FAR_AWAY (UINT64_C(1) << 24) /* and of another one above it */

static char said[32768];

static void listen(void *opaque, const char *line)
{
	size_t at = strlen(said);

	(void)opaque;
	(void)snprintf(said + at, sizeof(said) - at, "%s\n", line);
}

/*
 * Volume a has blocks 0.. 299, 100 at FAR and 10 at FAR_AWAY; a@s the same,
 * but for 10 blocks that a wrote after; clone b is a@s; of volume c only its
 * snapshots c@old and c@new are of interest; d is deleted and waits for the
 * reaper.
 */
static int set_up(void **state)
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

/* The store may have been left closed. */
static int tear_down(void **state)
{
	if (store)
		stop(false);
	memory_disk_put(disk);
	return 0;
}

/* ---- what is where ---- */

static uint64_t place_of(uint64_t segno)
{
	return segment_find(&store->segments, segno)->place;
}

static struct volume *volume(const char *name)
{
	struct volume *v;

	lock_core();
	must(volume_find(&store->volumes, name, &v, &err));
	unlock_core();
	return v;
}

/* The node of @level above @block of a volume. */
static uint32_t node_of(const char *name, unsigned int level, uint64_t block)
{
	uint32_t id = volume(name)->map.root;

	for (unsigned int at = INNER_LEVELS; at > level; at--) {
		unsigned int shift = 6 + 9 * (at - 1);
		struct node *n;

		must(node_copy(&store->nodes, id, &n, &err));
		id = n->inner->children[block >> shift & 511];
		free(n);
	}
	return id;
}

static void damage_node(uint32_t id)
{
	const struct node_entry *e = node_entry(&store->nodes, id);

	memory_disk_damage(disk, place_of(e->segno), e->offset + 20, 1);
}

static void damage_ref(const struct page_ref *ref)
{
	assert_true(ref->segno > 0);
	memory_disk_damage(disk, place_of(ref->segno), ref->offset + 9, 1);
}

static void damage_page(const struct page_table *table, uint32_t index)
{
	damage_ref(&table->pages[index].ref);
}

static struct segment *segment_of(const char *name, uint64_t block)
{
	struct segment *ret;
	struct node *leaf;

	must(node_copy(&store->nodes, node_of(name, 0, block), &leaf, &err));
	ret = segment_find(
		&store->segments,
		birth_segno(leaf_entry_birth(leaf->leaf->entries[block % 64])));
	free(leaf);
	assert_non_null(ret);
	return ret;
}

/* ---- check and repair ---- */

static struct check_report report;

static int run_check(void)
{
	struct backend *be = backend_memory_open(disk);
	int r;

	said[0] = '\0';
	r = store_check_backend(be, NULL, listen, NULL, &report, &err);
	backend_close(be);
	return r;
}

static int run_repair(struct repair_options options)
{
	struct backend *be = backend_memory_open(disk);
	int r;

	said[0] = '\0';
	r = store_repair(be, &options, listen, NULL, &report, &err);
	backend_close(be);
	return r;
}

static void expect_said(const char *words)
{
	if (!strstr(said, words))
		fail_msg("'%s' was not said, but: %s", words, said);
}

static void expect_not_said(const char *words)
{
	if (strstr(said, words))
		fail_msg("'%s' was said: %s", words, said);
}

/* The closed store is as it should be, and opens; @said stays. */
static void open_clean(void)
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

/* Damage was done to the store, which is closed now: repair it, open it. */
static void repair(void)
{
	stop(false);
	if (run_repair((struct repair_options){0}) != 0)
		fail_msg("repair: %s; %s", err.message, said);
	assert_true(report.nr_errors > 0);
	open_clean();
}

/* Every block reads as put() with @seed left it. */
static void expect_blocks(const char *name, uint64_t block, uint32_t nr,
			  uint32_t seed)
{
	struct volume_handle *h = open_snapshot(name);

	expect(h, block, nr, seed);
	volume_close(h);
}

static void expect_lost(const char *name, uint64_t block, uint32_t nr)
{
	struct volume_handle *h = open_snapshot(name);
	uint8_t data[BLOCK_SIZE];

	for (uint32_t i = 0; i < nr; i++)
		refused(volume_read(h, data, sizeof(data),
				    (block + i) * BLOCK_SIZE, &err),
			EIO, "lost");
	volume_close(h);
}

static void expect_a(void)
{
	expect_blocks("a", 0, 10, 4);
	expect_blocks("a", 10, 290, 1);
	expect_blocks("a", FAR, 100, 2);
	expect_blocks("a", FAR_AWAY, 10, 3);
}

static void expect_s(const char *name)
{
	expect_blocks(name, 0, 300, 1);
	expect_blocks(name, FAR, 100, 2);
	expect_blocks(name, FAR_AWAY, 10, 3);
}

static void expect_c_snapshots(const char *volume)
{
	char name[60];

	(void)snprintf(name, sizeof(name), "%s@old", volume);
	expect_blocks(name, 0, 50, 5);
	(void)snprintf(name, sizeof(name), "%s@new", volume);
	expect_blocks(name, 0, 20, 6);
	expect_blocks(name, 20, 30, 5);
}

static void expect_c(void)
{
	expect_c_snapshots("c");
	expect_blocks("c", 0, 20, 6);
	expect_blocks("c", 20, 10, 7);
	expect_blocks("c", 30, 20, 5);
}

static void expect_all(void)
{
	expect_a();
	expect_s("a@s");
	expect_s("b");
	expect_c();
}

/* ---- nothing, and superblocks ---- */

static void a_sound_store_is_not_written(void **state)
{
	stop(false);
	memory_disk_record(disk);
	assert_int_equal(run_repair((struct repair_options){0}), 0);
	assert_int_equal(report.nr_errors, 0);
	assert_int_equal(memory_disk_nr_events(disk), 0);
	assert_string_equal(said, "");
}

static void a_lost_superblock_is_written_anew(void **state)
{
	memory_disk_damage_super(disk, 1, 50, 1);
	repair();
	expect_said("superblock B: ");
	expect_all();
}

static void refuse_unwritten(struct repair_options options, int code,
			     const char *words)
{
	memory_disk_record(disk);
	refused(run_repair(options), code, words);
	assert_int_equal(memory_disk_nr_events(disk), 0);
}

static void without_a_superblock_there_is_no_repair(void **state)
{
	memory_disk_damage_super(disk, 0, 50, 1);
	memory_disk_damage_super(disk, 1, 50, 1);
	stop(false);
	refuse_unwritten((struct repair_options){0}, EBADMSG, "superblock A: ");
	assert_int_equal(report.nr_errors, 0);
}

static void damage_root(void)
{
	memory_disk_damage(disk, store->sb.root.place,
			   store->sb.root.offset + 30, 1);
}

static void without_a_root_there_is_no_repair(void **state)
{
	damage_root();
	stop(false);
	refuse_unwritten((struct repair_options){0}, EBADMSG,
			 "cannot be repaired: checkpoint root");
	expect_said("checkpoint root: checksum mismatch");
}

/* A crash between the two superblocks of a checkpoint. */
static void the_older_root_is_as_good(void **state)
{
	struct volume_handle *h = open_volume("a");
	struct disk_superblock super;
	struct superblock newer;

	put(h, 20, 5, 9);
	volume_close(h);
	must(store_flush(store, &err));
	memory_disk_fault(disk, MEMORY_SUPER_WRITE, 2, EIO, false);
	refused(store_checkpoint(store, &err), EIO, "reopen");
	must(backend_super_read(store->core.be, 0, &super, &err));
	must(superblock_decode(&super, 0, &newer, &err));
	assert_true(newer.checkpoint_id > store->sb.checkpoint_id);
	memory_disk_damage(disk, newer.root.place, newer.root.offset + 30, 1);
	repair();
	expect_said("the log goes on from there");
	expect_blocks("a", 20, 5, 9);
	expect_s("a@s");
	expect_c();
}

/* ---- nodes ---- */

static void an_unreadable_leaf_loses_its_blocks(void **state)
{
	struct volume_handle *h;

	damage_node(node_of("a", 0, 64)); /* blocks 64 to 127, of all three */
	repair();
	expect_said("a: offset 262144, length 262144: unreadable map node");
	expect_said("shared with a@s, b");
	expect_said("replaced by lost blocks: 2 references");
	expect_lost("a", 64, 64);
	expect_lost("a@s", 64, 64);
	expect_lost("b", 64, 64);
	expect_blocks("a", 0, 10, 4);
	expect_blocks("a", 10, 54, 1);
	expect_blocks("a", 128, 172, 1);
	expect_blocks("b", FAR, 100, 2);
	expect_c();
	assert_int_equal(report.nr_lost, 64);

	h = open_volume("a");
	put(h, 64, 64, 9);
	volume_close(h);
	must(store_checkpoint(store, &err));
	reopen(true);
	expect_blocks("a", 64, 64, 9);
	expect_lost("a@s", 64, 64);
	check_is_clean();
}

static void an_unreadable_inner_node_loses_what_is_below(void **state)
{
	damage_node(node_of("a@s", 1, FAR)); /* shared by all three */
	repair();
	expect_lost("a", FAR, 200);
	expect_lost("a@s", FAR + 10000, 10);
	expect_lost("b", 2 * FAR - 1, 1);
	expect_blocks("b", 2 * FAR, 10, 0);
	expect_blocks("a", 10, 290, 1);
	expect_blocks("b", FAR_AWAY, 10, 3);
	expect_c();
}

static void an_unreadable_root_loses_the_volume_and_no_more(void **state)
{
	struct volume_handle *h;

	damage_node(node_of("c@old", INNER_LEVELS, 0));
	damage_node(node_of("c", INNER_LEVELS, 0));
	repair();
	expect_said("c: offset 0, length 2048000: ");
	expect_lost("c", 0, 500);
	expect_lost("c@old", 0, 500);
	expect_blocks("c@new", 0, 20, 6);
	expect_blocks("c@new", 20, 30, 5);
	expect_a();
	/* what is lost ends where the volume does */
	h = open_volume("c");
	put(h, 0, 500, 9);
	volume_close(h);
	expect_blocks("c", 0, 500, 9);
	assert_int_equal(volume("c")->map.refer, 500);
	check_is_clean();
}

static void a_lost_leaf_is_trimmed_and_deleted_as_any(void **state)
{
	static const char *const all[] = {"a", "b"};
	struct volume_handle *h;

	damage_node(node_of("a@s", 1, FAR));
	repair();
	h = open_volume("a");
	must(volume_trim(h, 100 * BLOCK_SIZE, FAR * BLOCK_SIZE, false, &err));
	volume_close(h);
	expect_blocks("a", FAR, 100, 0);
	expect_lost("a", FAR + 100, 10);
	check_is_clean();
	must(store_delete(store, all, 2, true, &err));
	must(store_reap(store, &err));
	reopen(true);
	check_is_clean();
	expect_c();
}

static void a_replayed_write_heals_a_lost_leaf(void **state)
{
	struct volume_handle *h = open_volume("a");

	damage_node(node_of("a", 0, 64));
	put(h, 64, 64, 9);
	volume_close(h);
	must(store_flush(store, &err));
	repair();
	expect_blocks("a", 64, 64, 9);
	expect_lost("b", 64, 64);
}

/* ---- counts ---- */

static void wrong_counts_are_put_right(void **state)
{
	uint32_t leaf = node_of("a", 0, 64), inner = node_of("b", 1, FAR);
	struct segment *s = segment_of("a", 70);
	uint64_t nr_nodes = stat_now().nr_nodes;

	lock_core();
	node_entry_touch(&store->nodes, leaf);
	node_entry(&store->nodes, leaf)->count += 3;
	node_entry_touch(&store->nodes, inner);
	node_entry(&store->nodes, inner)->used -= 1;
	for (uint32_t slot = 2; slot < TEST_SLOTS; slot++)
		must(segment_set_count(&store->segments, s, slot, 5));
	volume_touch(&store->volumes, volume_find_head(&store->volumes, "b"));
	volume_find_head(&store->volumes, "b")->map.refer = 7;
	unlock_core();
	store->checkpoint_wanted = true;
	must(store_checkpoint(store, &err));
	repair();
	expect_said("count 5, but");
	expect_said("b: refers to 7 blocks, but 410");
	expect_all();
	assert_int_equal(stat_now().nr_nodes, nr_nodes);
}

static void what_nothing_refers_to_is_dropped(void **state)
{
	uint64_t before = stat_now().live_blocks;
	struct volume *c = volume("c");

	lock_core();
	volume_touch(&store->volumes, c);
	c->map.root = 0;
	c->map.refer = 0;
	unlock_core();
	store->checkpoint_wanted = true;
	must(store_checkpoint(store, &err));
	repair();
	assert_int_equal(stat_now().live_blocks, before - 10);
	expect_c_snapshots("c");
	expect_blocks("c", 0, 50, 0);
	expect_a();
}

/* ---- pages ---- */

static void a_node_table_page_loses_its_nodes(void **state)
{
	damage_page(&store->nodes.pages, 0);
	repair();
	expect_said("node table: page 0: ");
	expect_lost("a", 0, 10);
	assert_int_equal(stat_now().nr_volumes, 3);
	check_is_clean();
}

static void a_node_directory_loses_its_nodes(void **state)
{
	damage_ref(&store->nodes.pages.directories[0]);
	repair();
	expect_said("node table: directory page 0: ");
	expect_lost("b", FAR, 10);
}

static void a_segment_page_is_made_anew(void **state)
{
	const struct segment *s = segment_of("a", 70);
	char words[64];

	damage_page(&store->segments.pages, s->index);
	(void)snprintf(words, sizeof(words),
		       "segment %" PRIu64 ": found in frame %" PRIu64, s->segno,
		       s->place);
	repair();
	expect_said("segment table: page ");
	expect_said(words);
	expect_not_said("nowhere");
	expect_all();
}

static void all_segment_pages_are_made_anew(void **state)
{
	uint64_t live = stat_now().live_blocks;

	damage_ref(&store->segments.pages.directories[0]);
	/* and one of them has no header any more */
	memory_disk_damage(disk, segment_of("a", 70)->place, 100, 1);
	repair();
	expect_said("segment table: directory page 0: ");
	expect_all();
	assert_int_equal(stat_now().live_blocks, live);
}

/* Volume m, of which the cleaner has moved every other block, once or twice. */
static void move_blocks(void)
{
	struct volume_handle *h = create_volume("m", 112);

	while (frames_grow(&store->frames, false, NULL) == 0)
		;
	put(h, 0, 112, 10);
	for (uint32_t i = 0; i < 112; i += 2)
		put(h, i, 1, 11);
	must(store_checkpoint(store, &err));
	snapshot("m@s"); /* so that names stay */
	must(store_clean(store, &err));
	for (uint32_t i = 1; i < 112; i += 2)
		if (i % 8 != 1)
			put(h, i, 1, 12);
	must(store_clean(store, &err));
	volume_close(h);
	must(store_checkpoint(store, &err));
	assert_true(stat_now().forwarded_blocks > 0);
	assert_true(stat_now().nr_name_segments > 0);
}

static void expect_moved(void)
{
	for (uint32_t i = 0; i < 112; i++) {
		expect_blocks("m@s", i, 1, i % 2 ? 10 : 11);
		expect_blocks("m", i, 1,
			      i % 2 == 0   ? 11
			      : i % 8 == 1 ? 10
					   : 12);
	}
}

static void moved_blocks_are_found_again(void **state)
{
	uint64_t live;

	move_blocks();
	live = stat_now().live_blocks;
	damage_ref(&store->segments.pages.directories[0]);
	repair();
	expect_said("moved blocks found again: ");
	expect_not_said("nowhere");
	expect_moved();
	expect_all();
	assert_int_equal(stat_now().live_blocks, live);
	assert_true(stat_now().forwarded_blocks > 0);
}

/* Forwards of a segment that is known lead to one that is not. */
static void where_blocks_were_moved_to_is_found_again(void **state)
{
	move_blocks();
	for (uint32_t i = 0; i < store->segments.pages.nr_pages; i++) {
		const struct segment *s = store->segments.by_index[i];

		if (s && s->kind == SEGMENT_GC)
			damage_page(&store->segments.pages, i);
	}
	repair();
	expect_not_said("nowhere");
	expect_moved();
	expect_all();
}

static void a_segment_that_is_gone_loses_its_blocks(void **state)
{
	const struct segment *s = segment_of("a", 70);

	damage_page(&store->segments.pages, s->index);
	memory_disk_damage(disk, s->place, 100, 1);
	memory_disk_damage(disk, s->place, BLOCK_SIZE + 100, 1);
	repair();
	expect_said("a: offset ");
	expect_said("blocks that are nowhere, now lost: ");
	expect_lost("a", 70, 1);
	expect_lost("b", 70, 1);
	expect_blocks("a", 128, 172, 1);
	expect_c();
}

static void the_frame_map_is_made_anew(void **state)
{
	damage_page(&store->frames.pages, 0);
	repair();
	expect_said("frame map: page 0: ");
	expect_all();
	assert_true(stat_now().frames_allocated - stat_now().frames_used >=
		    stat_now().frames_reserve);
	assert_int_equal(memory_disk_unallocated_writes(disk), 0);
}

static void what_waited_to_be_freed_is_freed(void **state)
{
	uint64_t live = stat_now().live_blocks;

	assert_true(stat_now().reaper_queue > 0);
	damage_page(&store->reaper_pages, 0);
	repair();
	expect_said("reaper queue: page 0: ");
	expect_all();
	assert_int_equal(stat_now().live_blocks, live - 20);
	assert_int_equal(stat_now().reaper_queue, 0);
}

static void an_unreadable_node_in_the_reaper_queue_is_dropped(void **state)
{
	damage_node(store->nodes.reaper.ptr[0]);
	repair();
	expect_all();
	assert_int_equal(stat_now().reaper_queue, 0);
}

/* ---- volumes ---- */

static void damage_record(const char *name)
{
	damage_page(&store->volumes.pages, volume(name)->index);
}

static void lost_name(const char *name, char ret[50])
{
	(void)snprintf(ret, 50, "lost-%" PRIu32, volume(name)->id);
}

static void a_lost_volume_gets_a_record_for_its_snapshots(void **state)
{
	char lost[50];

	lost_name("c", lost);
	damage_record("c");
	repair();
	expect_said("only its snapshots are left");
	expect_said("gets a map that no volume leads to");
	/* its own map was found, too */
	expect_blocks(lost, 0, 20, 6);
	expect_blocks(lost, 20, 10, 7);
	expect_c_snapshots(lost);
	assert_int_equal(volume(lost)->size, 500 * BLOCK_SIZE);
	expect_s("b");
}

static void a_lost_volume_whose_map_is_lost_reads_as_errors(void **state)
{
	char lost[50];

	lost_name("c", lost);
	damage_node(node_of("c", INNER_LEVELS, 0));
	damage_record("c");
	repair();
	expect_said("what it held itself is lost");
	expect_lost(lost, 0, 500);
	expect_c_snapshots(lost);
}

/* Behind those that a log may make: see salvage.c. */
#define ADOPTED_ID ((1u << 20) + 1)

static void a_map_without_a_volume_gets_one(void **state)
{
	struct volume_handle *h = open_volume("b");
	char lost[50];

	/* b's root is its own only after it was written to */
	put(h, 5, 1, 9);
	volume_close(h);
	must(store_checkpoint(store, &err));
	(void)snprintf(lost, sizeof(lost), "lost-%" PRIu32,
		       store->volumes.next_id + ADOPTED_ID);
	damage_record("b");
	repair();
	expect_said("gets a map that no volume leads to");
	expect_blocks(lost, 0, 5, 1);
	expect_blocks(lost, 5, 1, 9);
	expect_blocks(lost, FAR_AWAY, 10, 3);
	assert_int_equal(volume(lost)->size, (FAR_AWAY + 10) * BLOCK_SIZE);
	expect_a();
	expect_c();
}

static void the_log_makes_volumes_beside_one_that_was_lost(void **state)
{
	struct volume_handle *h = open_volume("b");
	uint32_t next_id;

	put(h, 5, 1, 9);
	volume_close(h);
	must(store_checkpoint(store, &err));
	next_id = store->volumes.next_id;
	h = create_volume("late", 100);
	put(h, 0, 10, 1);
	volume_close(h);
	snapshot("late@s");
	assert_int_equal(volume("late")->id, next_id);
	damage_record("b");
	repair();
	expect_said("gets a map that no volume leads to");
	expect_blocks("late", 0, 10, 1);
	expect_blocks("late@s", 0, 10, 1);
	assert_int_equal(volume("late")->id, next_id);
	volume_close(create_volume("later", 100));
	assert_true(volume("later")->id > next_id + ADOPTED_ID);
	reopen(false);
	check_is_clean();
	expect_a();
}

static void a_lost_snapshot_takes_no_other_with_it(void **state)
{
	damage_record("c@old");
	repair();
	expect_said("volume table: page ");
	expect_blocks("c@new", 0, 20, 6);
	expect_blocks("c", 20, 10, 7);
	expect_a();
	expect_s("b");
}

static void the_log_of_a_lost_volume_is_given_up(void **state)
{
	struct volume_handle *h = open_volume("b");
	char words[100];

	put(h, 5, 1, 9);
	volume_close(h);
	snapshot("b@late");
	(void)snprintf(words, sizeof(words), "volume %" PRIu32 ": what batch",
		       volume("b")->id);
	damage_record("b");
	repair();
	expect_said(words);
	expect_said("is given up");
	expect_a();
	expect_s("a@s");
	expect_c();
}

/* ---- the log ---- */

/* Three flushed rounds after the checkpoint; the second is damaged. */
static void damage_log(void)
{
	struct volume_handle *h = open_volume("a");
	uint64_t place;
	uint32_t slot;

	put(h, 0, 5, 20);
	must(store_flush(store, &err));
	place = store->log.current->place;
	slot = store->log.slot;
	put(h, 5, 2, 21);
	must(store_flush(store, &err));
	put(h, FAR, 2, 22);
	must(store_flush(store, &err));
	snapshot("a@late");
	volume_close(h);
	if (slot + 1 >= TEST_SLOTS) {
		place = store->log.current->place;
		slot = 1;
	}
	memory_disk_damage(disk, place, slot * BLOCK_SIZE + 200, 1);
	stop(false);
}

static void a_damaged_log_is_not_cut_unless_told(void **state)
{
	damage_log();
	assert_int_equal(run_check(), -EUCLEAN);
	expect_said("log is damaged after batch ");
	expect_said("a: offset 134217728, length 8192: changed behind the "
		    "damage in the log");
	expect_said("snapshot: done behind the damage");
	assert_true(report.log_is_damaged);
	refuse_unwritten((struct repair_options){0}, EBUSY, "only when told");
}

/* Which is found without the header, before and after it was replayed. */
static void a_damaged_log_behind_a_lost_header_is_not_cut_either(void **state)
{
	struct volume_handle *h = open_volume("a");
	uint64_t first = store->log.current->place;
	struct log_buffer b = {0};

	for (uint32_t i = 0; i < 30; i++) {
		put(h, i, 1, 20);
		must(store_flush(store, &err));
		if (i == 20)
			b = store->log.buffers[store->log.sealed_seq %
					       store->log.nr_buffers];
	}
	volume_close(h);
	assert_int_not_equal(b.place, first);
	memory_disk_damage(disk, first, 20, 1);
	memory_disk_damage(disk, b.place, b.slot * BLOCK_SIZE + 200, 1);
	stop(false);
	refuse_unwritten((struct repair_options){0}, EBUSY, "log is damaged");
}

static void a_damaged_log_is_cut_when_told(void **state)
{
	damage_log();
	assert_int_equal(run_repair((struct repair_options){.cut_log = true}),
			 0);
	expect_said("log is damaged after batch ");
	open_clean();
	expect_blocks("a", 0, 5, 20);
	expect_blocks("a", 5, 5, 4);
	expect_blocks("a", FAR, 100, 2);
	assert_null(
		volume_find_snapshot(&store->volumes, volume("a")->id, "late"));
	expect_s("a@s");
	expect_c();
}

/* ---- dry, and cut short ---- */

static void damage_much(void)
{
	damage_node(node_of("a", 0, 64));
	damage_page(&store->segments.pages, segment_of("b", FAR)->index);
	damage_page(&store->volumes.pages, volume("c")->index);
	damage_page(&store->frames.pages, 0);
	stop(false);
}

/* The same repaired; what was volume c is @lost now. */
static void expect_repaired(const char *lost)
{
	open_clean();
	expect_blocks("a", 0, 10, 4);
	expect_lost("a", 64, 64);
	expect_blocks("a", 128, 172, 1);
	expect_blocks("b", FAR, 100, 2);
	expect_c_snapshots(lost);
	expect_blocks(lost, 20, 10, 7);
}

static void a_dry_run_says_the_same_and_writes_nothing(void **state)
{
	char dry[sizeof(said)];

	damage_much();
	memory_disk_record(disk);
	assert_int_equal(run_repair((struct repair_options){.dry_run = true}),
			 0);
	assert_int_equal(memory_disk_nr_events(disk), 0);
	memcpy(dry, said, sizeof(dry));
	assert_int_equal(run_repair((struct repair_options){0}), 0);
	assert_string_equal(said, dry);
	open_clean();
}

/* Whatever of its writes a crash keeps, the repair can be done again. */
static void a_repair_that_is_cut_short_makes_nothing_worse(void **state)
{
	struct memory_disk *whole = disk;
	uint64_t nr_events;
	char lost[50];

	lost_name("c", lost);
	damage_much();
	memory_disk_record(whole);
	assert_int_equal(run_repair((struct repair_options){0}), 0);
	nr_events = memory_disk_nr_events(whole);
	assert_true(nr_events > 10);
	for (uint64_t i = 0; i <= nr_events; i++) {
		for (int p = 0; p < NR_CRASH_POLICIES; p++) {
			disk = memory_disk_rebuild(whole, i, p, i + 1);
			if (run_repair((struct repair_options){0}) != 0)
				fail_msg("event %" PRIu64 ", %s: %s; %s", i,
					 crash_policy_name(p), err.message,
					 said);
			expect_repaired(lost);
			stop(false);
			memory_disk_put(disk);
		}
	}
	disk = whole;
}

/*
 * A medium that does not answer now may answer later: what it holds is not
 * given up.
 */
static void a_medium_that_fails_is_no_damage(void **state)
{
	struct memory_disk *whole = disk;
	uint64_t nr = 0, nr_reads;
	char lost[50];

	lost_name("c", lost);
	damage_much();
	memory_disk_record(whole);
	do {
		disk = memory_disk_rebuild(whole, 0, CRASH_KEEP_ALL, 0);
		memory_disk_fault(disk, MEMORY_READ, ++nr, EIO, false);
		(void)run_repair((struct repair_options){0});
		nr_reads = memory_disk_count(disk, MEMORY_READ);
		memory_disk_fault(disk, MEMORY_READ, 0, 0, false);
		if (run_repair((struct repair_options){0}) != 0)
			fail_msg("read %" PRIu64 ": %s; %s", nr, err.message,
				 said);
		expect_repaired(lost);
		stop(false);
		memory_disk_put(disk);
	} while (nr <= nr_reads);
	disk = whole;
	assert_true(nr > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_sound_store_is_not_written),
		TEST(a_lost_superblock_is_written_anew),
		TEST(without_a_superblock_there_is_no_repair),
		TEST(without_a_root_there_is_no_repair),
		TEST(the_older_root_is_as_good),
		TEST(an_unreadable_leaf_loses_its_blocks),
		TEST(an_unreadable_inner_node_loses_what_is_below),
		TEST(an_unreadable_root_loses_the_volume_and_no_more),
		TEST(a_lost_leaf_is_trimmed_and_deleted_as_any),
		TEST(a_replayed_write_heals_a_lost_leaf),
		TEST(wrong_counts_are_put_right),
		TEST(what_nothing_refers_to_is_dropped),
		TEST(a_node_table_page_loses_its_nodes),
		TEST(a_node_directory_loses_its_nodes),
		TEST(a_segment_page_is_made_anew),
		TEST(all_segment_pages_are_made_anew),
		TEST(moved_blocks_are_found_again),
		TEST(where_blocks_were_moved_to_is_found_again),
		TEST(a_segment_that_is_gone_loses_its_blocks),
		TEST(the_frame_map_is_made_anew),
		TEST(what_waited_to_be_freed_is_freed),
		TEST(an_unreadable_node_in_the_reaper_queue_is_dropped),
		TEST(a_lost_volume_gets_a_record_for_its_snapshots),
		TEST(a_lost_volume_whose_map_is_lost_reads_as_errors),
		TEST(a_map_without_a_volume_gets_one),
		TEST(the_log_makes_volumes_beside_one_that_was_lost),
		TEST(a_lost_snapshot_takes_no_other_with_it),
		TEST(the_log_of_a_lost_volume_is_given_up),
		TEST(a_damaged_log_is_not_cut_unless_told),
		TEST(a_damaged_log_behind_a_lost_header_is_not_cut_either),
		TEST(a_damaged_log_is_cut_when_told),
		TEST(a_dry_run_says_the_same_and_writes_nothing),
		TEST(a_repair_that_is_cut_short_makes_nothing_worse),
		TEST(a_medium_that_fails_is_no_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
