/* SPDX-License-Identifier: BSD-2-Clause */
/* The tail file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checksum.h"
#include "tail-file.h"

#define NR 4u
#define BYTES 8192u

static const struct tail_owner owner = {
	.uuid = {0xde, 0xad, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4},
	.device = 0x801,
	.inode = 77};
static char in_memory[64]; /* a directory on tmpfs */
static char on_disk[64];   /* one that is not; "" if there is none */
static const char *dirs[3];

static int make_dirs(void **state)
{
	strcpy(in_memory, "/dev/shm/varve-test-XXXXXX");
	if (!mkdtemp(in_memory))
		return -1;
	dirs[0] = "/nonexistent";
	dirs[1] = in_memory;
	dirs[2] = NULL;
	return 0;
}

static int remove_dirs(void **state)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf %s", in_memory);
	return system(command);
}

static void create(uint64_t incarnation, struct tail_file *ret)
{
	assert_int_equal(tail_file_create(dirs, &owner, incarnation, NR, BYTES,
					  ret, NULL),
			 0);
	assert_true(ret->shared);
}

static int find(uint64_t incarnation, struct tail_file *ret)
{
	return tail_file_find(dirs, &owner, incarnation, ret, NULL);
}

static bool is_found(uint64_t incarnation)
{
	struct tail_file tail;
	int r = find(incarnation, &tail);

	assert_true(r == 0 || r == -ENOENT);
	if (r == 0)
		tail_file_done(&tail);
	return r == 0;
}

static void what_was_written_is_found_again(void **state)
{
	struct tail_file made, found;
	struct stat st;

	create(7, &made);
	assert_int_equal(stat(made.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(st.st_blocks * 512 >= NR * BYTES);
	memset(made.buffers + BYTES, 'x', 10);
	tail_file_done(&made);

	assert_int_equal(find(7, &found), 0);
	assert_int_equal(found.nr_buffers, NR);
	assert_int_equal(found.buffer_bytes, BYTES);
	assert_memory_equal(found.buffers + BYTES, "xxxxxxxxxx", 10);
	assert_int_equal(found.buffers[0], 0);
	tail_file_remove(&found);
	assert_false(is_found(7));
}

static void written_bytes_survive_a_killed_process(void **state)
{
	struct tail_file found;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct tail_file tail;

		if (tail_file_create(dirs, &owner, 9, NR, BYTES, &tail, NULL) <
		    0)
			_exit(1);
		memcpy(tail.buffers, "acknowledged", 12);
		abort();
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(find(9, &found), 0);
	assert_memory_equal(found.buffers, "acknowledged", 12);
	tail_file_remove(&found);
}

static void one_in_use_is_not_taken(void **state)
{
	struct tail_file made;

	create(7, &made);
	assert_false(is_found(7)); /* as a copy of the store would try */
	tail_file_remove_others(dirs, &owner, 8);
	assert_int_equal(access(made.path, F_OK), 0);
	tail_file_done(&made);
	assert_true(is_found(7));
}

static void another_store_or_incarnation_is_not_taken(void **state)
{
	const struct tail_owner other = {.uuid = {1}, .inode = 77};
	struct tail_owner copy = owner;
	struct tail_file made, found;

	create(7, &made);
	tail_file_done(&made);
	assert_false(is_found(6));
	assert_int_equal(tail_file_find(dirs, &other, 7, &found, NULL),
			 -ENOENT);
	copy.inode++; /* same uuid, another file */
	assert_int_equal(tail_file_find(dirs, &copy, 7, &found, NULL), -ENOENT);
	assert_true(is_found(7));
}

/* Change the file of incarnation 7 at @offset, with the checksum right. */
static void patch(const char *path, off_t offset, const void *bytes,
		  size_t length)
{
	uint8_t header[4096];
	uint64_t sum;
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, header, sizeof(header), 0), sizeof(header));
	memcpy(header + offset, bytes, length);
	sum = checksum64(header, sizeof(header) - 8);
	for (int i = 0; i < 8; i++)
		header[4088 + i] = (uint8_t)(sum >> (8 * i));
	assert_int_equal(pwrite(fd, header, sizeof(header), 0), sizeof(header));
	(void)close(fd);
}

static void a_hostile_header_is_not_taken(void **state)
{
	static const struct {
		off_t offset;
		const char *bytes;
		size_t length;
	} cases[] = {
		{0, "V", 1},   /* magic */
		{8, "\2", 1},  /* version */
		{12, "\5", 1}, /* nr_buffers: beyond the file */
		{12, "\0", 1}, /* no buffers */
		{12, "\377\377\377\377", 4},
		{16, "\1", 1}, /* buffer_bytes: no multiple */
		{16, "\0\0\0\0", 4},
		{20, "\1", 1}, /* reserved */
		{24, "\1", 1}, /* uuid */
		{40, "\1", 1}, /* incarnation */
		{48, "not this boot id", 16},
		{64, "\7", 1}, /* device */
		{72, "\1", 1}, /* inode */
		{80, "\1", 1}, /* reserved */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tail_file made;
		char path[512];

		create(7, &made);
		strcpy(path, made.path);
		tail_file_done(&made);
		assert_true(is_found(7));
		patch(path, cases[i].offset, cases[i].bytes, cases[i].length);
		assert_false(is_found(7));
		assert_int_equal(unlink(path), 0);
	}
}

static void a_wrong_checksum_or_size_is_not_taken(void **state)
{
	struct tail_file made;
	char path[512];
	int fd;

	create(7, &made);
	strcpy(path, made.path);
	tail_file_done(&made);
	assert_int_equal(truncate(path, 4096 + NR * BYTES - 1), 0);
	assert_false(is_found(7));
	assert_int_equal(truncate(path, 100), 0);
	assert_false(is_found(7));
	assert_int_equal(unlink(path), 0);

	create(7, &made);
	tail_file_done(&made);
	fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "x", 1, 4090), 1);
	(void)close(fd);
	assert_false(is_found(7));
}

static void a_file_others_can_write_is_not_taken(void **state)
{
	struct tail_file made;

	create(7, &made);
	assert_int_equal(chmod(made.path, 0620), 0);
	tail_file_done(&made);
	assert_false(is_found(7));
}

static void a_symbolic_link_is_not_taken(void **state)
{
	struct tail_file made;
	char moved[600], path[512];

	create(7, &made);
	strcpy(path, made.path);
	tail_file_done(&made);
	(void)snprintf(moved, sizeof(moved), "%s.moved", path);
	assert_int_equal(rename(path, moved), 0);
	assert_int_equal(symlink(moved, path), 0);
	assert_false(is_found(7));
}

static void without_tmpfs_the_memory_is_private(void **state)
{
	const char *const only_disk[] = {on_disk, NULL};
	struct tail_file tail;

	assert_int_equal(
		tail_file_create(NULL, &owner, 7, NR, BYTES, &tail, NULL), 0);
	assert_false(tail.shared);
	assert_string_equal(tail.path, "");
	memset(tail.buffers, 1, NR * BYTES);
	tail_file_remove(&tail);

	strcpy(on_disk, "/proc/self");
	assert_int_equal(
		tail_file_create(only_disk, &owner, 7, NR, BYTES, &tail, NULL),
		0);
	assert_false(tail.shared);
	tail_file_done(&tail);
}

static void a_second_one_of_the_same_name_is_private(void **state)
{
	struct tail_file first, second;

	create(7, &first);
	assert_int_equal(
		tail_file_create(dirs, &owner, 7, NR, BYTES, &second, NULL), 0);
	assert_false(second.shared);
	tail_file_remove(&second);
	assert_int_equal(access(first.path, F_OK), 0);
	tail_file_done(&first);
}

static void removing_others_keeps_the_one_named(void **state)
{
	struct tail_file a, b, c;

	create(7, &a);
	create(8, &b);
	create(9, &c);
	tail_file_done(&a);
	tail_file_done(&b);
	tail_file_done(&c);
	tail_file_remove_others(dirs, &owner, 8);
	assert_false(is_found(7));
	assert_true(is_found(8));
	assert_false(is_found(9));
}

static void done_accepts_a_zeroed_struct(void **state)
{
	struct tail_file tail = {0};

	tail_file_done(&tail);
	tail_file_remove(&tail);
	assert_int_not_equal(fcntl(0, F_GETFD), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dirs, remove_dirs)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(what_was_written_is_found_again),
		TEST(written_bytes_survive_a_killed_process),
		TEST(one_in_use_is_not_taken),
		TEST(another_store_or_incarnation_is_not_taken),
		TEST(a_hostile_header_is_not_taken),
		TEST(a_wrong_checksum_or_size_is_not_taken),
		TEST(a_file_others_can_write_is_not_taken),
		TEST(a_symbolic_link_is_not_taken),
		TEST(without_tmpfs_the_memory_is_private),
		TEST(a_second_one_of_the_same_name_is_private),
		TEST(removing_others_keeps_the_one_named),
		TEST(done_accepts_a_zeroed_struct),
	};

	if (access("/dev/shm", W_OK) < 0)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
