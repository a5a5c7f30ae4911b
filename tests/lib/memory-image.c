/* SPDX-License-Identifier: BSD-2-Clause */
/* What a medium holds. */
#include "memory-image.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POISON 0xd5

struct frame {
	atomic_uint refs;
	uint8_t bytes[];
};

static void *must(void *p)
{
	if (!p) {
		fprintf(stderr, "memory-image: out of memory\n");
		abort();
	}
	return p;
}

static struct frame *frame_new(size_t bytes)
{
	struct frame *frame = must(calloc(1, sizeof(*frame) + bytes));

	atomic_init(&frame->refs, 1);
	return frame;
}

static void frame_put(struct frame *frame)
{
	if (frame && atomic_fetch_sub(&frame->refs, 1) == 1)
		free(frame);
}

uint8_t *image_frame(struct image *image, uint64_t place)
{
	struct frame *old, *frame;

	assert(place < image->nr_frames);
	old = frame = image->frames[place];
	if (!old || atomic_load(&old->refs) > 1) {
		frame = frame_new(image->segment_bytes);
		if (old)
			memcpy(frame->bytes, old->bytes, image->segment_bytes);
		frame_put(old);
		image->frames[place] = frame;
	}
	return frame->bytes;
}

void image_size(struct image *image, uint64_t nr_frames, size_t segment_bytes)
{
	image->frames = must(calloc(nr_frames + 1, sizeof(*image->frames)));
	image->allocated =
		must(calloc(nr_frames + 1, sizeof(*image->allocated)));
	image->nr_frames = nr_frames;
	image->segment_bytes = segment_bytes;
}

void image_extend(struct image *image, uint64_t nr_frames)
{
	struct image old = *image;

	if (nr_frames <= old.nr_frames)
		return;
	image_size(image, nr_frames, old.segment_bytes);
	memcpy(image->frames, old.frames, old.nr_frames * sizeof(*old.frames));
	memcpy(image->allocated, old.allocated,
	       old.nr_frames * sizeof(*old.allocated));
	free(old.frames);
	free(old.allocated);
}

void image_copy(struct image *to, const struct image *from)
{
	*to = *from;
	if (!from->frames)
		return;
	image_size(to, from->nr_frames, from->segment_bytes);
	memcpy(to->allocated, from->allocated,
	       from->nr_frames * sizeof(*from->allocated));
	for (uint64_t i = 0; i < from->nr_frames; i++) {
		to->frames[i] = from->frames[i];
		if (to->frames[i])
			atomic_fetch_add(&to->frames[i]->refs, 1);
	}
}

struct image *image_dup(const struct image *image)
{
	struct image *ret = must(malloc(sizeof(*ret)));

	image_copy(ret, image);
	return ret;
}

void image_done(struct image *image)
{
	for (uint64_t i = 0; i < image->nr_frames; i++)
		frame_put(image->frames[i]);
	free(image->frames);
	free(image->allocated);
}

void image_free(struct image *image)
{
	if (image)
		image_done(image);
	free(image);
}

const uint8_t *image_peek(const struct image *image, uint64_t place)
{
	assert(place < image->nr_frames);
	return image->frames[place] ? image->frames[place]->bytes : NULL;
}

void image_free_frame(struct image *image, uint64_t place, bool zeros)
{
	memset(image_frame(image, place), zeros ? 0 : POISON,
	       image->segment_bytes);
	image->allocated[place] = false;
}
