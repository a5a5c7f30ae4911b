/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * newer-format STORE: make a store one of the next format version, sound in
 * every other way.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "checksum.h"
#include "superblock.h"

int main(int argc, char **argv)
{
	static const off_t offsets[] = {0, SUPERBLOCK_B_OFFSET};
	struct disk_superblock disk;
	int fd, i;

	fd = argc == 2 ? open(argv[1], O_RDWR) : -1;
	if (fd < 0)
		return 2;
	for (i = 0; i < 2; i++) {
		if (pread(fd, &disk, sizeof(disk), offsets[i]) != sizeof(disk))
			return 1;
		disk.version = le32_make(FORMAT_VERSION + 1);
		disk.checksum = le64_make(checksum64(
			&disk, offsetof(struct disk_superblock, checksum)));
		if (pwrite(fd, &disk, sizeof(disk), offsets[i]) != sizeof(disk))
			return 1;
	}
	return close(fd) < 0;
}
