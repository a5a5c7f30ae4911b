/* SPDX-License-Identifier: BSD-2-Clause */
#include "fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct memory_disk *disk;
struct store *store;
struct error err;

static const struct store_open_options writable;

void lock_core(void) NO_THREAD_SAFETY_ANALYSIS
{
	mutex_lock(&store->core.lock);
}

void unlock_core(void) NO_THREAD_SAFETY_ANALYSIS
{
	mutex_unlock(&store->core.lock);
}

void must_at(int r, const char *file, int line)
{
	if (r == 0)
		return;
	print_error("%d: %s\n", r, err.message);
	_fail(file, line);
}

void refused_at(int r, int code, const char *words, const char *file, int line)
{
	if (r == -code && err.code == code && strstr(err.message, words)) {
		err = (struct error)ERROR_NONE;
		return;
	}
	print_error("%d (%d): '%s', wanted %d: '%s'\n", r, -err.code,
		    err.message, -code, words);
	_fail(file, line);
}

uint64_t cpu_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- stores ---- */

int open_store(void **state)
{
	err = (struct error)ERROR_NONE;
	disk = test_store_disk(TEST_FRAMES);
	return test_store_open(disk, &writable, &store, &err);
}

int open_store_with_snapshot(uint64_t nr_blocks, uint32_t nr_written,
			     void **state)
{
	int r = open_store(state);

	if (r < 0)
		return r;
	make_volume("a", nr_blocks, nr_written);
	snapshot("a@s");
	return 0;
}

int close_store(void **state)
{
	stop(false);
	memory_disk_put(disk);
	return 0;
}

void stop(bool clean)
{
	int r = store_close(store, clean, &err);

	store = NULL;
	if (clean)
		must(r);
}

void reopen(bool clean)
{
	stop(clean);
	must(test_store_open(disk, &writable, &store, &err));
}

void reopen_read_only(void)
{
	static const struct store_open_options options = {.read_only = true};

	stop(false);
	must(test_store_open(disk, &options, &store, &err));
}

int make_modules(void **state)
{
	struct superblock sb = {
		.segment_shift = TEST_SEGMENT_SHIFT,
		.capacity =
			backend_frame_offset(TEST_FRAMES, TEST_SEGMENT_SHIFT),
		.open_incarnation = 1,
	};
	struct backend *be;
	int r;

	err = (struct error)ERROR_NONE;
	disk = memory_disk_create(sb.capacity);
	be = backend_memory_open(disk);
	be->segment_shift = sb.segment_shift;
	be->nr_frames = TEST_FRAMES;
	r = store_new(be, &sb, &writable, &store, &err);
	if (r < 0)
		return r;
	store->core.next_segno = 1;
	store->core.segno_bound = 100000;
	lock_core();
	return 0;
}

int free_modules(void **state)
{
	unlock_core();
	store_free(store, true);
	store = NULL;
	memory_disk_put(disk);
	return 0;
}

uint64_t count_dirty_forwards(void)
{
	const struct segment_table *t = &store->segments;
	uint64_t ret = 0;

	for (size_t i = 0; i < t->pages.dirty.len; i++) {
		const struct segment *s = t->by_index[t->pages.dirty.ptr[i]];

		ret += s ? s->nr_forwards : 0;
	}
	return ret;
}

struct segment *add_segment(enum segment_kind kind)
{
	struct segment *s = segment_new(&store->core, kind);

	mutex_assert_held(&store->core.lock);
	assert_non_null(s);
	assert_int_equal(segment_table_prepare(&store->segments), 0);
	s->segno = core_new_segno(&store->core);
	s->place = s->segno % TEST_FRAMES;
	segment_insert(&store->segments, s);
	return s;
}

/* ---- volumes ---- */

struct volume_handle *open_volume(const char *name)
{
	struct volume_handle *ret = NULL;

	must(volume_open(store, name, VOLUME_OPEN_WRITE, &ret, &err));
	return ret;
}

struct volume_handle *open_snapshot(const char *name)
{
	struct volume_handle *ret = NULL;

	must(volume_open(store, name, 0, &ret, &err));
	return ret;
}

struct volume_handle *create_volume(const char *name, uint64_t nr_blocks)
{
	must(store_create(store, name, nr_blocks * BLOCK_SIZE, &err));
	return open_volume(name);
}

void make_volume(const char *name, uint64_t nr_blocks, uint32_t nr_written)
{
	struct volume_handle *handle = create_volume(name, nr_blocks);

	put(handle, 0, nr_written, 1);
	volume_close(handle);
}

void snapshot(const char *name)
{
	must(store_snapshot(store, &name, 1, NULL, &err));
}

void delete_volume(const char *name)
{
	must(store_delete(store, &name, 1, true, &err));
}

void fill_block(uint8_t ret[BLOCK_SIZE], uint64_t block, uint32_t seed)
{
	uint64_t word = seed ? block << 32 | seed : 0;

	for (size_t i = 0; i < BLOCK_SIZE; i += sizeof(word))
		memcpy(ret + i, &word, sizeof(word));
}

int try_put(struct volume_handle *handle, uint64_t block, uint32_t nr,
	    uint32_t seed)
{
	uint8_t data[BLOCK_SIZE];
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < nr; i++) {
		fill_block(data, block + i, seed);
		r = volume_write(handle, data, sizeof(data),
				 (block + i) * BLOCK_SIZE, false, &err);
	}
	return r;
}

void put(struct volume_handle *handle, uint64_t block, uint32_t nr,
	 uint32_t seed)
{
	must(try_put(handle, block, nr, seed));
}

void expect(struct volume_handle *handle, uint64_t block, uint32_t nr,
	    uint32_t seed)
{
	uint8_t data[BLOCK_SIZE], wanted[BLOCK_SIZE];

	for (uint32_t i = 0; i < nr; i++) {
		fill_block(wanted, block + i, seed);
		must(volume_read(handle, data, sizeof(data),
				 (block + i) * BLOCK_SIZE, &err));
		if (memcmp(data, wanted, sizeof(data)) != 0)
			fail_msg("block %llu does not hold seed %u",
				 (unsigned long long)(block + i), seed);
	}
}

void put_in(const char *name, uint64_t block, uint32_t nr, uint32_t seed)
{
	struct volume_handle *handle = open_volume(name);

	put(handle, block, nr, seed);
	volume_close(handle);
}

void expect_in(const char *name, uint64_t block, uint32_t nr, uint32_t seed)
{
	struct volume_handle *handle = open_snapshot(name);

	expect(handle, block, nr, seed);
	volume_close(handle);
}

int try_limit(const char *name, const char *key, uint64_t nr_blocks)
{
	char bytes[24] = "none";
	struct setting setting = {key, bytes};

	if (nr_blocks)
		(void)snprintf(bytes, sizeof(bytes), "%" PRIu64,
			       nr_blocks * BLOCK_SIZE);
	return store_set(store, name, &setting, 1, &err);
}

struct volume_info info_of(const char *name)
{
	struct volume_info ret;

	must(store_find(store, name, &ret, &err));
	return ret;
}

struct store_stat stat_now(void)
{
	struct store_stat ret;

	store_stat(store, &ret);
	return ret;
}

void check_is_clean(void)
{
	if (!test_store_check(store, &err))
		fail_msg("%s", err.message);
}

struct volume *volume(const char *name)
{
	struct volume *v;

	lock_core();
	must(volume_find(&store->volumes, name, &v, &err));
	unlock_core();
	return v;
}

uint32_t node_of(const char *name, unsigned int level, uint64_t block)
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

struct node *load_node_of(const char *name, unsigned int level, uint64_t block)
{
	uint32_t id = node_of(name, level, block), missing;
	struct node *n;

	must(nodes_fault(&store->nodes, id, &err));
	lock_core();
	must(node_get(&store->nodes, id, level, &n, &missing, &err));
	unlock_core();
	return n;
}

struct birth name_of(const char *name, uint64_t block)
{
	const struct node *leaf = load_node_of(name, 0, block);

	return leaf_entry_birth(leaf->leaf->entries[block % LEAF_BLOCKS]);
}

uint64_t place_of(uint64_t segno)
{
	struct segment *s;

	lock_core();
	s = segment_find(&store->segments, segno);
	unlock_core();
	assert_non_null(s);
	return s->place;
}

void damage_node(uint32_t id)
{
	const struct node_entry *e = node_entry(&store->nodes, id);

	memory_disk_damage(disk, place_of(e->segno), e->offset + 20, 1);
}
