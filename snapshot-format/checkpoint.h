/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A checkpoint: the root, page directories and the small pages.
 *
 * Five tables are paged: nodes, segments, volumes, frames and the reaper
 * queue.  A directory page lists 170 pages of one table; the root lists the
 * directory pages.  Pages of the segment and the volume table hold one
 * segment or one volume each and have different lengths.  See FORMAT.md,
 * Checkpoint.
 */
#ifndef FORMAT_CHECKPOINT_H
#define FORMAT_CHECKPOINT_H

#include <stddef.h>

#include "error.h"
#include "le.h"
#include "units.h"

enum table {
	TABLE_NODE = 0,
	TABLE_SEGMENT = 1,
	TABLE_VOLUME = 2,
	TABLE_FRAME = 3,
	TABLE_REAPER = 4,
	NR_TABLES = 5,
};

/* First byte of every page. */
enum page_kind {
	PAGE_NODE_TABLE = 16,
	PAGE_SEGMENT_INFO = 17,
	PAGE_VOLUME = 18,
	PAGE_FRAME_MAP = 19,
	PAGE_REAPER = 20,
	PAGE_DIRECTORY = 21, /* table in the second byte */
};

struct disk_page_header {
	uint8_t kind;
	uint8_t table; /* directories only, else zero */
	uint8_t zero[2];
	le32 index;
	le32 length; /* bytes, this header included */
	le32 zero2;
};
_Static_assert(sizeof(struct disk_page_header) == 16, "see FORMAT.md, Pages");

/* A reference to a page: all zero when the page does not exist. */
struct disk_page_ref {
	le64 segno;
	le32 offset;   /* bytes in the segment, a multiple of 8 */
	le32 length;   /* bytes */
	le64 checksum; /* checksum64 of the page */
};
_Static_assert(sizeof(struct disk_page_ref) == 24, "see FORMAT.md, Pages");

struct page_ref {
	uint64_t segno; /* 0: no page */
	uint32_t offset;
	uint32_t length;
	uint64_t checksum;
};

#define PAGE_BYTES 4096u
#define PAGE_BYTES_MAX (64u << 10) /* longest page of any kind */
#define DIRECTORY_PAGE_ENTRIES 170u
#define FRAME_MAP_PAGE_FRAMES ((PAGE_BYTES - 16u) * 8)
#define REAPER_PAGE_ENTRIES ((PAGE_BYTES - 16u) / 4)

void page_ref_encode(const struct page_ref *ref, struct disk_page_ref *ret);
int page_ref_decode(const struct disk_page_ref *disk,
		    unsigned int segment_shift, struct page_ref *ret,
		    struct error *err);

void page_header_encode(enum page_kind kind, unsigned int table, uint32_t index,
			uint32_t length, struct disk_page_header *ret);
/* Check that @page is of this kind, table, index and @length long. */
int page_header_check(const void *page, size_t length, enum page_kind kind,
		      unsigned int table, uint32_t index, struct error *err);

/* @refs: DIRECTORY_PAGE_ENTRIES; the page is PAGE_BYTES long. */
void directory_encode(enum table table, uint32_t index,
		      const struct page_ref *refs, void *ret);
int directory_decode(const void *page, size_t length, enum table table,
		     uint32_t index, unsigned int segment_shift,
		     struct page_ref *ret, struct error *err);

/* Bit i of @bits (FRAME_MAP_PAGE_FRAMES of them): frame is allocated. */
void frame_map_page_encode(uint32_t index, const uint8_t *bits, void *ret);
int frame_map_page_decode(const void *page, size_t length, uint32_t index,
			  uint8_t *ret_bits, struct error *err);

/* Up to REAPER_PAGE_ENTRIES node ids; unused places are zero. */
void reaper_page_encode(uint32_t index, const uint32_t *ids, uint32_t nr_ids,
			void *ret);
int reaper_page_decode(const void *page, size_t length, uint32_t index,
		       uint32_t *ret_ids, uint32_t *ret_nr_ids,
		       struct error *err);

/* ---- root ---- */

#define ROOT_MAGIC "varvroot"
#define ROOT_FIXED_BYTES 128u

struct disk_root {
	uint8_t magic[8];
	le64 checkpoint_id;
	le64 time_ns;
	le64 next_segno;
	le32 next_volume_id;
	le32 next_node_id;
	le32 next_epoch;
	le32 nr_meta_segments;
	le32 nr_pages[NR_TABLES];
	le32 scrub_position;
	le64 scrub_began_ns;
	le64 scrub_segno;
	le64 scrub_ended_ns;
	le64 scrub_errors;
	uint8_t scrub_stage;
	uint8_t reserved[23];
	/*
	 * then nr_meta_segments x { segno 8, place 8 }, ascending;
	 * then, for each table, its directory pages' references
	 */
};
_Static_assert(sizeof(struct disk_root) == ROOT_FIXED_BYTES,
	       "see FORMAT.md, Root");

struct meta_segment {
	uint64_t segno;
	uint64_t place;
};

/* What a scrub verifies, in this order; before these the pages of each table.
 */
enum scrub_stage {
	SCRUB_NODES = NR_TABLES, /* map nodes, and the blocks leaves name */
	SCRUB_NEW_NODES,	 /* those written since it began */
	NR_SCRUB_STAGES,
};

/* Where a scrub goes on, and how the last complete one ended. */
struct scrub_record {
	uint64_t began_ns; /* of the one under way; 0: none, and so are: */
	uint64_t segno;	   /* lowest one not given out when it began */
	uint32_t stage;	   /* a table, or enum scrub_stage */
	uint32_t position; /* page of the table, or node id */
	uint64_t ended_ns; /* of the last complete one; 0: there was none */
	uint64_t errors;   /* that it found */
};

struct root {
	uint64_t checkpoint_id;
	uint64_t time_ns;
	uint64_t next_segno;
	uint32_t next_volume_id;
	uint32_t next_node_id;
	uint32_t next_epoch;
	uint32_t nr_meta_segments;
	uint32_t nr_pages[NR_TABLES]; /* length of each table, in pages */
	struct scrub_record scrub;
};

/* Directory pages that @nr_pages pages need. */
static inline uint32_t nr_directory_pages(uint32_t nr_pages)
{
	return nr_pages / DIRECTORY_PAGE_ENTRIES +
	       (nr_pages % DIRECTORY_PAGE_ENTRIES != 0);
}

/* Bytes of the encoded root. */
size_t root_bytes(const struct root *root);

/*
 * @meta: nr_meta_segments; @directories[t]: nr_directory_pages(nr_pages[t]).
 * @ret: root_bytes() bytes.
 */
void root_encode(const struct root *root, const struct meta_segment *meta,
		 const struct page_ref *const directories[NR_TABLES],
		 void *ret);

/*
 * Fixed part first; then the arrays by index, each checked.  The caller has
 * verified the checksum of the whole record.
 */
int root_decode(const void *record, size_t length, uint64_t checkpoint_id,
		struct root *ret, struct error *err);
int root_get_meta_segment(const void *record, const struct root *root,
			  uint32_t index, struct meta_segment *ret,
			  struct error *err);
int root_get_directory(const void *record, const struct root *root,
		       enum table table, uint32_t index,
		       unsigned int segment_shift, struct page_ref *ret,
		       struct error *err);

#endif
