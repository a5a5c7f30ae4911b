/* SPDX-License-Identifier: BSD-2-Clause */
/* The bytes of a disk in memory, one block at a time. */
#include "medium.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test-store.h"

/* Bytes from superblock A to B. */
#define SUPER_DISTANCE (64u << 10)

void medium_open(struct medium *ret, struct memory_disk *disk,
		 unsigned int segment_shift)
{
	ret->disk = disk;
	ret->be = backend_memory_open(disk);
	ret->be->segment_shift = segment_shift;
	ret->be->nr_frames = NR_FRAMES;
	ret->nr_slots = segment_slots(segment_shift);
}

void medium_close(struct medium *medium)
{
	backend_close(medium->be);
}

uint32_t medium_nr_slots(const struct medium *medium, struct address at)
{
	return address_is_super(at) ? 1 : medium->nr_slots;
}

static void must(int r, const struct error *err)
{
	if (r < 0)
		die("medium: %s", err->message);
}

void medium_read_bytes(const struct medium *medium, uint64_t place,
		       uint32_t offset, void *ret, uint32_t length)
{
	struct error err = ERROR_NONE;
	struct disk_superblock super;

	if (place < NR_FRAMES) {
		must(backend_read(medium->be, place, offset, ret, length, 0,
				  &err),
		     &err);
		return;
	}
	assert(offset + length <= sizeof(super));
	must(backend_super_read(medium->be, (unsigned int)(place - NR_FRAMES),
				&super, &err),
	     &err);
	memcpy(ret, (const uint8_t *)&super + offset, length);
}

void medium_read(const struct medium *medium, struct address at,
		 uint8_t ret[BLOCK_SIZE])
{
	medium_read_bytes(medium, at.place, at.slot * BLOCK_SIZE, ret,
			  BLOCK_SIZE);
}

void medium_write(const struct medium *medium, struct address at,
		  const uint8_t data[BLOCK_SIZE])
{
	struct error err = ERROR_NONE;
	struct disk_superblock super;
	struct iovec iov;
	void *aligned;

	if (address_is_super(at)) {
		memcpy(&super, data, sizeof(super));
		must(backend_super_write(medium->be,
					 (unsigned int)(at.place - NR_FRAMES),
					 &super, &err),
		     &err);
		return;
	}
	aligned = aligned_alloc(BLOCK_SIZE, BLOCK_SIZE);
	if (!aligned)
		die("out of memory");
	memcpy(aligned, data, BLOCK_SIZE);
	iov = (struct iovec){aligned, BLOCK_SIZE};
	must(backend_write(medium->be, at.place, at.slot * BLOCK_SIZE, &iov, 1,
			   &err),
	     &err);
	free(aligned);
}

static void save_block(const struct medium *medium, struct address from, int fd,
		       uint64_t offset)
{
	static const uint8_t zeros[BLOCK_SIZE];
	uint8_t data[BLOCK_SIZE];

	medium_read(medium, from, data);
	if (memcmp(data, zeros, BLOCK_SIZE) != 0 &&
	    pwrite(fd, data, BLOCK_SIZE, (off_t)offset) != BLOCK_SIZE)
		die("medium: write: %s", strerror(errno));
}

void medium_save(const struct medium *medium, const char *path)
{
	unsigned int shift = medium->be->segment_shift;
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	if (fd < 0 ||
	    ftruncate(fd, (off_t)backend_frame_offset(NR_FRAMES, shift)) < 0)
		die("%s: %s", path, strerror(errno));
	for (unsigned int i = 0; i < SUPERBLOCK_COPIES; i++)
		save_block(medium, (struct address){NR_FRAMES + i, 0}, fd,
			   (uint64_t)i * SUPER_DISTANCE);
	for (uint64_t place = 0; place < NR_FRAMES; place++)
		for (uint32_t slot = 0; slot < medium->nr_slots; slot++)
			save_block(medium, (struct address){place, slot}, fd,
				   backend_frame_offset(place, shift) +
					   (uint64_t)slot * BLOCK_SIZE);
	close(fd);
}

struct memory_disk *disk_copy(struct memory_disk *disk)
{
	memory_disk_record(disk);
	return memory_disk_rebuild(disk, 0, CRASH_KEEP_ALL, 0);
}
