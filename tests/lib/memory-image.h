/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a medium holds: frames, shared between images until one of them is
 * written, and two superblocks.  A copy costs an array of pointers.
 *
 * Images of one recording may live in different threads; one image may not.
 * Aborts without memory.
 */
#ifndef LIB_MEMORY_IMAGE_H
#define LIB_MEMORY_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "superblock.h"

struct frame;

struct image {
	struct frame **frames; /* NULL: a hole */
	bool *allocated;
	uint64_t nr_frames;
	size_t segment_bytes;
	uint64_t bytes; /* how large the medium is; less than all frames, when
			 * a crash undid its growth */
	struct disk_superblock super[SUPERBLOCK_COPIES];
};

/* Give a zeroed image its geometry: all holes. */
void image_size(struct image *image, uint64_t nr_frames, size_t segment_bytes);
/* Add holes, up to @nr_frames. */
void image_extend(struct image *image, uint64_t nr_frames);
void image_copy(struct image *to, const struct image *from);
struct image *image_dup(const struct image *image);
/* Drop what it holds; accepts a zeroed image. */
void image_done(struct image *image);
/* The same, and free what image_dup() returned; accepts NULL. */
void image_free(struct image *image);

/* The bytes of a frame, to be written: nobody else shares them. */
uint8_t *image_frame(struct image *image, uint64_t place);
/* The same, to be read; NULL: a hole. */
const uint8_t *image_peek(const struct image *image, uint64_t place);
/* The frame goes; from now on it reads as zeros or as poison. */
void image_free_frame(struct image *image, uint64_t place, bool zeros);

#endif
