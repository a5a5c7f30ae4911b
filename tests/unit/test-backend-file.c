/* SPDX-License-Identifier: BSD-2-Clause */
/* The back end on files, on a disk's file system and on tmpfs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend-file.h"
#include "clock.h"
#include "units.h"

#define SHIFT 20u
#define FRAMES 8u
#define SEGMENT (1u << SHIFT)
#define CAPACITY ((1u + FRAMES) * SEGMENT)
#define NR_PIECES 40

static char dir[64], path[128];
static uint8_t *memory; /* a segment, aligned */

static int make_dir_in(const char *where)
{
	(void)snprintf(dir, sizeof(dir), "%s/varve-test-XXXXXX", where);
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/store", dir);
	return posix_memalign((void **)&memory, BLOCK_SIZE, SEGMENT) ? -1 : 0;
}

static int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	return make_dir_in(tmp ? tmp : "/var/tmp");
}

static int make_dir_on_tmpfs(void **state)
{
	return make_dir_in("/dev/shm");
}

static int remove_dir(void **state)
{
	char command[128];

	free(memory);
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static struct backend *set_geometry(struct backend *be)
{
	be->segment_shift = SHIFT;
	be->nr_frames = FRAMES;
	return be;
}

static struct backend *create(void)
{
	struct backend *be;
	uint64_t capacity;

	assert_int_equal(backend_file_create(path, CAPACITY, false, &be,
					     &capacity, NULL),
			 0);
	assert_int_equal(capacity, CAPACITY);
	return set_geometry(be);
}

static int try_open(unsigned int flags, unsigned int wait_ms,
		    struct backend **ret)
{
	int r = backend_file_open(path, flags, -1, wait_ms, ret, NULL);

	if (r == 0)
		(void)set_geometry(*ret);
	return r;
}

static void make_file(size_t length)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)length), 0);
	(void)close(fd);
}

static void fill(uint8_t *to, size_t length, unsigned int seed)
{
	for (size_t i = 0; i < length; i++)
		to[i] = (uint8_t)((i >> 12) * 31 + i + seed);
}

static void a_new_store_is_private_and_sparse(void **state)
{
	struct backend *be = create();
	struct backend_stat stat_;
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, CAPACITY);
	assert_true(st.st_blocks * 512 < SEGMENT);
	backend_stat(be, &stat_);
	assert_int_equal(stat_.size_bytes, CAPACITY);
	assert_int_equal(stat_.device, st.st_dev);
	assert_int_equal(stat_.inode, st.st_ino);
	assert_false(stat_.is_device);
	backend_close(be);
}

static void many_pieces_are_written_and_read_back(void **state)
{
	struct iovec iov[NR_PIECES];
	struct backend *be = create();
	uint8_t *read_back = malloc(SEGMENT);
	size_t length = 0;

	fill(memory, SEGMENT, 1);
	for (int i = 0; i < NR_PIECES; i++) {
		iov[i].iov_base = memory + length;
		iov[i].iov_len = (size_t)(1 + i % 3) * BLOCK_SIZE;
		length += iov[i].iov_len;
	}
	assert_int_equal(backend_write(be, 3, 8192, iov, NR_PIECES, NULL), 0);
	assert_int_equal(backend_sync(be, NULL), 0);
	assert_int_equal(
		backend_read(be, 3, 8192, read_back, (uint32_t)length, 0, NULL),
		0);
	assert_memory_equal(read_back, memory, length);
	backend_close(be);

	assert_int_equal(try_open(0, 0, &be), 0);
	memset(read_back, 0, length);
	assert_int_equal(backend_drop_cache(be, 3, NULL), 0);
	assert_int_equal(backend_read(be, 3, 8192 + 77, read_back,
				      (uint32_t)length - 99,
				      BACKEND_READ_AROUND_CACHE, NULL),
			 0);
	assert_memory_equal(read_back, memory + 77, length - 99);
	backend_close(be);
	free(read_back);
}

static void cached_reads_see_later_direct_writes(void **state)
{
	struct backend *be = create();
	struct iovec iov = {memory, BLOCK_SIZE};
	uint8_t byte;

	for (unsigned int round = 0; round < 50; round++) {
		memset(memory, (int)round, BLOCK_SIZE);
		assert_int_equal(backend_write(be, 0, 4096, &iov, 1, NULL), 0);
		assert_int_equal(backend_read(be, 0, 4096, &byte, 1, 0, NULL),
				 0);
		assert_int_equal(byte, round);
	}
	backend_close(be);
}

static void superblocks_are_kept_apart(void **state)
{
	struct disk_superblock a, b, read_back;
	struct backend *be = create();

	memset(&a, 'a', sizeof(a));
	memset(&b, 'b', sizeof(b));
	assert_int_equal(backend_super_write(be, 0, &a, NULL), 0);
	assert_int_equal(backend_super_write(be, 1, &b, NULL), 0);
	backend_close(be);
	assert_int_equal(try_open(BACKEND_FILE_READ_ONLY, 0, &be), 0);
	assert_int_equal(backend_super_read(be, 0, &read_back, NULL), 0);
	assert_memory_equal(&read_back, &a, sizeof(a));
	assert_int_equal(backend_super_read(be, 1, &read_back, NULL), 0);
	assert_memory_equal(&read_back, &b, sizeof(b));
	backend_close(be);
}

static void a_short_file_has_zeros_for_superblocks(void **state)
{
	struct disk_superblock disk, zero;
	struct backend *be;

	make_file(100);
	memset(&zero, 0, sizeof(zero));
	memset(&disk, 1, sizeof(disk));
	assert_int_equal(try_open(0, 0, &be), 0);
	assert_int_equal(backend_super_read(be, 1, &disk, NULL), 0);
	assert_memory_equal(&disk, &zero, sizeof(zero));
	backend_close(be);
}

static void reading_beyond_a_truncated_file_fails(void **state)
{
	struct backend *be = create();
	struct error err = ERROR_NONE;
	uint8_t bytes[100];

	assert_int_equal(truncate(path, 2 * SEGMENT + 50), 0);
	assert_int_equal(backend_read(be, 1, 0, bytes, 50, 0, NULL), 0);
	assert_int_equal(backend_read(be, 1, 0, bytes, 51, 0, &err), -EIO);
	assert_non_null(strstr(err.message, "truncated"));
	assert_int_equal(backend_read(be, 1, 0, bytes, 51,
				      BACKEND_READ_AROUND_CACHE, &err),
			 -EIO);
	assert_int_equal(backend_read(be, 3, 0, bytes, 1, 0, &err), -EIO);
	backend_close(be);
}

static void allocated_frames_are_backed_and_freed_ones_not(void **state)
{
	struct backend *be = create();
	struct backend_stat before, after;
	struct iovec iov = {memory, BLOCK_SIZE};
	uint8_t byte = 1;

	backend_stat(be, &before);
	assert_int_equal(backend_allocate(be, 2, false, NULL), 0);
	assert_int_equal(backend_allocate(be, 3, true, NULL), 0);
	assert_int_equal(backend_sync(be, NULL), 0);
	backend_stat(be, &after);
	assert_true(after.allocated_bytes >=
		    before.allocated_bytes + 2 * SEGMENT);

	memset(memory, 'x', BLOCK_SIZE);
	assert_int_equal(backend_write(be, 2, 0, &iov, 1, NULL), 0);
	assert_int_equal(backend_free(be, 2, NULL), 0);
	assert_int_equal(backend_read(be, 2, 0, &byte, 1, 0, NULL), 0);
	assert_int_equal(byte, 0);
	assert_int_equal(backend_sync(be, NULL), 0);
	backend_stat(be, &before);
	assert_true(before.allocated_bytes < after.allocated_bytes);
	backend_close(be);
}

static void zero_fill_clears_a_used_frame(void **state)
{
	struct backend *be = create();
	struct iovec iov = {memory, SEGMENT};
	uint8_t *read_back = malloc(SEGMENT);

	memset(memory, 'x', SEGMENT);
	assert_int_equal(backend_write(be, 1, 0, &iov, 1, NULL), 0);
	assert_int_equal(backend_allocate(be, 1, true, NULL), 0);
	assert_int_equal(backend_read(be, 1, 0, read_back, SEGMENT, 0, NULL),
			 0);
	memset(memory, 0, SEGMENT);
	assert_memory_equal(read_back, memory, SEGMENT);
	backend_close(be);
	free(read_back);
}

/* Against a file size limit, which is no lack of space. */
static bool write_beyond_limit_is_eio(void)
{
	struct rlimit limit = {SEGMENT, SEGMENT};
	struct iovec iov = {memory, BLOCK_SIZE};
	struct backend *be;
	uint64_t capacity;

	if (backend_file_create(path, CAPACITY, false, &be, &capacity, NULL))
		return false;
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)setrlimit(RLIMIT_FSIZE, &limit);
	return backend_write(set_geometry(be), 3, 0, &iov, 1, NULL) == -EIO;
}

static void a_write_that_fails_is_eio(void **state)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(write_beyond_limit_is_eio() ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* A file system of 4 MiB; false where we may not mount one. */
static bool mount_small(void)
{
	char command[256];

	(void)snprintf(command, sizeof(command),
		       "mount -t tmpfs -o size=4m none %s 2>/dev/null", dir);
	return geteuid() == 0 && system(command) == 0;
}

static void a_full_host_is_enospc(void **state)
{
	struct backend *be;
	char command[128];
	int r = 0;

	if (!mount_small())
		skip();
	be = create();
	for (uint64_t place = 0; place < FRAMES && r == 0; place++)
		r = backend_allocate(be, place, false, NULL);
	assert_int_equal(r, -ENOSPC);
	backend_close(be);
	(void)snprintf(command, sizeof(command), "umount %s", dir);
	assert_int_equal(system(command), 0);
}

static void only_one_writer_or_many_readers(void **state)
{
	struct backend *first = create(), *second, *third;

	assert_int_equal(try_open(0, 0, &second), -EWOULDBLOCK);
	assert_int_equal(try_open(BACKEND_FILE_READ_ONLY, 30, &second),
			 -EWOULDBLOCK);
	backend_close(first);
	assert_int_equal(try_open(BACKEND_FILE_READ_ONLY, 0, &second), 0);
	assert_int_equal(try_open(BACKEND_FILE_READ_ONLY, 0, &third), 0);
	assert_int_equal(try_open(0, 30, &first), -EWOULDBLOCK);
	backend_close(second);
	backend_close(third);
	assert_int_equal(try_open(0, 0, &first), 0);
	backend_close(first);
}

static void a_lock_held_for_a_moment_is_waited_for(void **state)
{
	struct backend *be = create();
	int status;
	pid_t pid;

	backend_close(be);
	assert_true((pid = fork()) >= 0);
	if (pid == 0) {
		int fd = open(path, O_RDONLY);

		(void)flock(fd, LOCK_SH);
		sleep_ms(100);
		_exit(0);
	}
	sleep_ms(30);
	assert_int_equal(try_open(0, 60000, &be), 0);
	backend_close(be);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void an_inherited_lock_is_taken_over(void **state)
{
	struct backend *be = create();
	int fd, other;

	backend_close(be);
	fd = open(path, O_RDWR);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(try_open(0, 0, &be), -EWOULDBLOCK);
	assert_int_equal(backend_file_open(path, 0, fd, 0, &be, NULL), 0);
	backend_close(be);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed with the rest */

	fd = open(path, O_RDWR);
	other = open("/dev/null", O_RDWR);
	assert_int_equal(backend_file_open(path, 0, other, 0, &be, NULL),
			 -EINVAL);
	assert_true(fcntl(other, F_GETFD) >= 0); /* still the caller's */
	(void)close(other);
	(void)close(fd);
}

static void what_is_no_file_is_refused(void **state)
{
	static const struct {
		const char *path;
		int r;
	} cases[] = {
		{"/", -EINVAL},
		{"/dev/null", -EINVAL},
		{"/nonexistent/store", -ENOENT},
		{"/dev/null/store", -ENOENT},
		{"", -ENOENT},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error err = ERROR_NONE;
		struct backend *be;
		uint64_t capacity;

		assert_int_equal(
			backend_file_open(cases[i].path, 0, -1, 0, &be, &err),
			cases[i].r);
		assert_true(strncmp(err.message, cases[i].path,
				    strlen(cases[i].path)) == 0);
		assert_int_equal(backend_file_create(cases[i].path, CAPACITY,
						     true, &be, &capacity,
						     NULL),
				 cases[i].r);
	}
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(try_open(0, 0, &(struct backend *){NULL}), -EINVAL);
}

static void an_existing_file_is_not_overwritten(void **state)
{
	struct backend *be;
	uint64_t capacity;
	struct stat st;

	make_file(1);
	assert_int_equal(backend_file_create(path, CAPACITY, false, &be,
					     &capacity, NULL),
			 -EEXIST);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 1);
	assert_int_equal(
		backend_file_create(path, CAPACITY, true, &be, &capacity, NULL),
		0);
	backend_close(be);

	make_file(0); /* as mktemp leaves it */
	assert_int_equal(backend_file_create(path, CAPACITY, false, &be,
					     &capacity, NULL),
			 0);
	backend_close(be);
}

static void a_served_store_is_not_recreated(void **state)
{
	struct backend *first = create(), *second;
	uint64_t capacity;
	struct stat st;

	assert_int_equal(backend_file_create(path, CAPACITY, true, &second,
					     &capacity, NULL),
			 -EWOULDBLOCK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, CAPACITY);
	backend_close(first);
}

static void impossible_capacities_leave_no_file(void **state)
{
	static const uint64_t cases[] = {0, UINT64_MAX, INT64_MAX};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct backend *be;
		uint64_t capacity;
		int r = backend_file_create(path, cases[i], false, &be,
					    &capacity, NULL);

		if (r == 0) /* tmpfs takes 8 EiB - 1 */
			backend_close(be);
		else
			assert_int_equal(access(path, F_OK), -1);
		assert_true(r == -EINVAL || (i == 2 && r == 0));
	}
}

static void read_only_needs_no_write_permission(void **state)
{
	struct backend *be = create();
	int status;
	pid_t pid;

	backend_close(be);
	assert_int_equal(chmod(path, 0444), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_true((pid = fork()) >= 0);
	if (pid == 0) {
		if (geteuid() == 0 && setuid(65534) < 0)
			_exit(2);
		if (try_open(0, 0, &be) != -EACCES)
			_exit(3);
		_exit(try_open(BACKEND_FILE_READ_ONLY, 0, &be) == 0 ? 0 : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- block devices ---- */

/* A loop device over a file; false where there are none to be had. */
static bool make_loop(char device[64])
{
	char command[256];
	bool made;
	FILE *f;

	make_file(CAPACITY);
	(void)snprintf(command, sizeof(command),
		       "losetup -f --show %s 2>/dev/null", path);
	f = popen(command, "r");
	made = f && fgets(device, 64, f) && device[0] == '/';
	if (f)
		(void)pclose(f);
	device[strcspn(device, "\n")] = '\0';
	return made;
}

static void a_device_is_used_whole_and_held_alone(void **state)
{
	char device[64] = "", command[128];
	struct disk_superblock super;
	struct backend *be, *other;
	struct backend_stat st;
	uint64_t capacity;

	if (geteuid() != 0 || !make_loop(device))
		skip();
	assert_int_equal(
		backend_file_create(device, 0, false, &be, &capacity, NULL), 0);
	assert_int_equal(capacity, CAPACITY);
	(void)set_geometry(be);
	backend_stat(be, &st);
	assert_true(st.is_device);
	assert_int_equal(st.size_bytes, CAPACITY);
	assert_int_equal(backend_allocate(be, 0, true, NULL), 0);
	assert_int_equal(backend_free(be, 0, NULL), 0);
	assert_int_equal(backend_file_open(device, 0, -1, 0, &other, NULL),
			 -EWOULDBLOCK);
	memset(&super, 0, sizeof(super));
	memcpy(super.magic, SUPERBLOCK_MAGIC, sizeof(super.magic));
	assert_int_equal(backend_super_write(be, 1, &super, NULL), 0);
	backend_close(be);
	assert_int_equal(
		backend_file_create(device, 0, false, &be, &capacity, NULL),
		-EEXIST);
	assert_int_equal(backend_file_create(device, 2 * CAPACITY, true, &be,
					     &capacity, NULL),
			 -EINVAL);
	(void)snprintf(command, sizeof(command), "losetup -d %s", device);
	assert_int_equal(system(command), 0);
}

static void a_file_grows_and_is_as_long_as_before_again(void **state)
{
	struct backend *be = create();
	struct backend_stat stat;

	assert_int_equal(backend_grow(be, 2 * CAPACITY, NULL), 0);
	backend_stat(be, &stat);
	assert_int_equal(stat.size_bytes, 2 * CAPACITY);
	backend_shrink(be, CAPACITY);
	backend_shrink(be, 3 * CAPACITY); /* it is shorter */
	backend_stat(be, &stat);
	assert_int_equal(stat.size_bytes, CAPACITY);
	backend_close(be);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
#define TEST_ON_TMPFS(name) \
	cmocka_unit_test_setup_teardown(name, make_dir_on_tmpfs, remove_dir)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_new_store_is_private_and_sparse),
		TEST(many_pieces_are_written_and_read_back),
		TEST_ON_TMPFS(many_pieces_are_written_and_read_back),
		TEST(cached_reads_see_later_direct_writes),
		TEST(superblocks_are_kept_apart),
		TEST_ON_TMPFS(superblocks_are_kept_apart),
		TEST(a_short_file_has_zeros_for_superblocks),
		TEST(reading_beyond_a_truncated_file_fails),
		TEST_ON_TMPFS(reading_beyond_a_truncated_file_fails),
		TEST(allocated_frames_are_backed_and_freed_ones_not),
		TEST_ON_TMPFS(allocated_frames_are_backed_and_freed_ones_not),
		TEST(zero_fill_clears_a_used_frame),
		TEST(a_file_grows_and_is_as_long_as_before_again),
		TEST(a_write_that_fails_is_eio),
		TEST(a_full_host_is_enospc),
		TEST(only_one_writer_or_many_readers),
		TEST(a_lock_held_for_a_moment_is_waited_for),
		TEST(an_inherited_lock_is_taken_over),
		TEST(what_is_no_file_is_refused),
		TEST(an_existing_file_is_not_overwritten),
		TEST(a_served_store_is_not_recreated),
		TEST(impossible_capacities_leave_no_file),
		TEST(read_only_needs_no_write_permission),
		TEST(a_device_is_used_whole_and_held_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
