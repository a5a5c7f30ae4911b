/* SPDX-License-Identifier: BSD-2-Clause */
/* Codecs of the checkpoint root, page directories and the small pages. */
#include "checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bytes.h"
#include "segment.h"

#define PAGE_HEADER_BYTES sizeof(struct disk_page_header)
#define META_SEGMENT_BYTES 16u
#define PAGE_REF_BYTES sizeof(struct disk_page_ref)

_Static_assert(PAGE_HEADER_BYTES + DIRECTORY_PAGE_ENTRIES * PAGE_REF_BYTES ==
		       PAGE_BYTES,
	       "see FORMAT.md, Pages");

/* ---- pages ---- */

static uint64_t get_le64(const uint8_t *p)
{
	le64 disk;

	memcpy(&disk, p, sizeof(disk));
	return le64_get(disk);
}

static void put_le64(uint8_t *ret, uint64_t value)
{
	le64 disk = le64_make(value);

	memcpy(ret, &disk, sizeof(disk));
}

void page_ref_encode(const struct page_ref *ref, struct disk_page_ref *ret)
{
	ret->segno = le64_make(ref->segno);
	ret->offset = le32_make(ref->offset);
	ret->length = le32_make(ref->length);
	ret->checksum = le64_make(ref->checksum);
}

int page_ref_decode(const struct disk_page_ref *disk,
		    unsigned int segment_shift, struct page_ref *ret,
		    struct error *err)
{
	struct page_ref ref = {
		.segno = le64_get(disk->segno),
		.offset = le32_get(disk->offset),
		.length = le32_get(disk->length),
		.checksum = le64_get(disk->checksum),
	};
	int r;

	if (ref.segno == 0) {
		if (!bytes_are_zero(disk, sizeof(*disk)))
			return error_set(err, EUCLEAN,
					 "no page, but not all zero");
		*ret = ref;
		return 0;
	}
	if (ref.length < PAGE_HEADER_BYTES || ref.length > PAGE_BYTES_MAX)
		return error_set(err, EUCLEAN, "page length %" PRIu32,
				 ref.length);
	r = record_address_check(ref.segno, ref.offset, ref.length,
				 segment_shift, err);
	if (r < 0)
		return r;
	*ret = ref;
	return 0;
}

void page_header_encode(enum page_kind kind, unsigned int table, uint32_t index,
			uint32_t length, struct disk_page_header *ret)
{
	assert(length >= PAGE_HEADER_BYTES && length <= PAGE_BYTES_MAX);
	*ret = (struct disk_page_header){
		.kind = (uint8_t)kind,
		.table = (uint8_t)table,
		.index = le32_make(index),
		.length = le32_make(length),
	};
}

static const char *page_kind_name(enum page_kind kind)
{
	switch (kind) {
	case PAGE_NODE_TABLE:
		return "node table page";
	case PAGE_SEGMENT_INFO:
		return "segment info page";
	case PAGE_VOLUME:
		return "volume page";
	case PAGE_FRAME_MAP:
		return "frame map page";
	case PAGE_REAPER:
		return "reaper queue page";
	case PAGE_DIRECTORY:
		return "directory page";
	}
	return "page";
}

static int check_page_header(const void *page, size_t length,
			     enum page_kind kind, unsigned int table,
			     uint32_t index, struct error *err)
{
	struct disk_page_header disk;

	if (length < sizeof(disk) || length > PAGE_BYTES_MAX)
		return error_set(err, EUCLEAN, "length %zu", length);
	memcpy(&disk, page, sizeof(disk));
	if (disk.kind != kind)
		return error_set(err, EUCLEAN, "kind %u is not %u", disk.kind,
				 (unsigned int)kind);
	if (disk.table != table)
		return error_set(err, EUCLEAN, "table %u is not %u", disk.table,
				 table);
	if (le32_get(disk.index) != index)
		return error_set(err, EUCLEAN, "holds page %" PRIu32,
				 le32_get(disk.index));
	if (le32_get(disk.length) != length)
		return error_set(err, EUCLEAN, "length %" PRIu32 " is not %zu",
				 le32_get(disk.length), length);
	if (!bytes_are_zero(disk.zero, sizeof(disk.zero)) ||
	    le32_get(disk.zero2) != 0)
		return error_set(err, EUCLEAN, "reserved bytes are not zero");
	return 0;
}

int page_header_check(const void *page, size_t length, enum page_kind kind,
		      unsigned int table, uint32_t index, struct error *err)
{
	int r = check_page_header(page, length, kind, table, index, err);

	if (r < 0)
		(void)error_prefix(err, "%s %" PRIu32, page_kind_name(kind),
				   index);
	return r;
}

/* page_header_check() for the kinds whose pages are all PAGE_BYTES long. */
static int check_full_page(const void *page, size_t length, enum page_kind kind,
			   unsigned int table, uint32_t index,
			   struct error *err)
{
	if (length != PAGE_BYTES)
		return error_set(err, EUCLEAN, "%s %" PRIu32 ": length %zu",
				 page_kind_name(kind), index, length);
	return page_header_check(page, length, kind, table, index, err);
}

static uint8_t *put_full_page_header(void *ret, enum page_kind kind,
				     unsigned int table, uint32_t index)
{
	struct disk_page_header header;

	page_header_encode(kind, table, index, PAGE_BYTES, &header);
	memcpy(ret, &header, sizeof(header));
	return (uint8_t *)ret + sizeof(header);
}

void directory_encode(enum table table, uint32_t index,
		      const struct page_ref *refs, void *ret)
{
	uint8_t *p = put_full_page_header(ret, PAGE_DIRECTORY, table, index);
	struct disk_page_ref disk;

	for (unsigned int i = 0; i < DIRECTORY_PAGE_ENTRIES; i++) {
		page_ref_encode(&refs[i], &disk);
		memcpy(p + i * sizeof(disk), &disk, sizeof(disk));
	}
}

int directory_decode(const void *page, size_t length, enum table table,
		     uint32_t index, unsigned int segment_shift,
		     struct page_ref *ret, struct error *err)
{
	const uint8_t *p = (const uint8_t *)page + PAGE_HEADER_BYTES;
	struct disk_page_ref disk;
	int r;

	r = check_full_page(page, length, PAGE_DIRECTORY, table, index, err);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < DIRECTORY_PAGE_ENTRIES; i++) {
		memcpy(&disk, p + i * sizeof(disk), sizeof(disk));
		r = page_ref_decode(&disk, segment_shift, &ret[i], err);
		if (r < 0) {
			(void)error_prefix(err,
					   "directory page %" PRIu32
					   " of table %u: entry %u",
					   index, (unsigned int)table, i);
			return r;
		}
	}
	return 0;
}

void frame_map_page_encode(uint32_t index, const uint8_t *bits, void *ret)
{
	uint8_t *p = put_full_page_header(ret, PAGE_FRAME_MAP, 0, index);

	memcpy(p, bits, FRAME_MAP_PAGE_FRAMES / 8);
}

int frame_map_page_decode(const void *page, size_t length, uint32_t index,
			  uint8_t *ret_bits, struct error *err)
{
	int r = check_full_page(page, length, PAGE_FRAME_MAP, 0, index, err);

	if (r == 0)
		memcpy(ret_bits, (const uint8_t *)page + PAGE_HEADER_BYTES,
		       FRAME_MAP_PAGE_FRAMES / 8);
	return r;
}

void reaper_page_encode(uint32_t index, const uint32_t *ids, uint32_t nr_ids,
			void *ret)
{
	uint8_t *p = put_full_page_header(ret, PAGE_REAPER, 0, index);
	le32 disk;

	assert(nr_ids <= REAPER_PAGE_ENTRIES);
	memset(p, 0, PAGE_BYTES - PAGE_HEADER_BYTES);
	for (uint32_t i = 0; i < nr_ids; i++) {
		assert(ids[i] != 0);
		disk = le32_make(ids[i]);
		memcpy(p + i * sizeof(disk), &disk, sizeof(disk));
	}
}

int reaper_page_decode(const void *page, size_t length, uint32_t index,
		       uint32_t *ret_ids, uint32_t *ret_nr_ids,
		       struct error *err)
{
	const uint8_t *p = (const uint8_t *)page + PAGE_HEADER_BYTES;
	uint32_t nr_ids = 0;
	le32 disk;
	int r;

	r = check_full_page(page, length, PAGE_REAPER, 0, index, err);
	if (r < 0)
		return r;
	for (; nr_ids < REAPER_PAGE_ENTRIES; nr_ids++) {
		memcpy(&disk, p + nr_ids * sizeof(disk), sizeof(disk));
		if (le32_get(disk) == 0)
			break;
		ret_ids[nr_ids] = le32_get(disk);
	}
	if (!bytes_are_zero(p + nr_ids * sizeof(disk),
			    (REAPER_PAGE_ENTRIES - nr_ids) * sizeof(disk)))
		return error_set(err, EUCLEAN,
				 "reaper queue page %" PRIu32
				 ": a node id after the end of the list",
				 index);
	*ret_nr_ids = nr_ids;
	return 0;
}

/* ---- root ---- */

static uint64_t directories_offset(const struct root *root, unsigned int table)
{
	uint64_t ret = ROOT_FIXED_BYTES +
		       (uint64_t)root->nr_meta_segments * META_SEGMENT_BYTES;

	for (unsigned int t = 0; t < table; t++)
		ret += (uint64_t)nr_directory_pages(root->nr_pages[t]) *
		       PAGE_REF_BYTES;
	return ret;
}

size_t root_bytes(const struct root *root)
{
	return directories_offset(root, NR_TABLES);
}

static void put_root_fixed(const struct root *root, uint8_t *ret)
{
	struct disk_root disk = {
		.checkpoint_id = le64_make(root->checkpoint_id),
		.time_ns = le64_make(root->time_ns),
		.next_segno = le64_make(root->next_segno),
		.next_volume_id = le32_make(root->next_volume_id),
		.next_node_id = le32_make(root->next_node_id),
		.next_epoch = le32_make(root->next_epoch),
		.nr_meta_segments = le32_make(root->nr_meta_segments),
		.scrub_position = le32_make(root->scrub.position),
		.scrub_began_ns = le64_make(root->scrub.began_ns),
		.scrub_segno = le64_make(root->scrub.segno),
		.scrub_ended_ns = le64_make(root->scrub.ended_ns),
		.scrub_errors = le64_make(root->scrub.errors),
		.scrub_stage = (uint8_t)root->scrub.stage,
	};

	memcpy(disk.magic, ROOT_MAGIC, sizeof(disk.magic));
	for (unsigned int t = 0; t < NR_TABLES; t++)
		disk.nr_pages[t] = le32_make(root->nr_pages[t]);
	memcpy(ret, &disk, sizeof(disk));
}

void root_encode(const struct root *root, const struct meta_segment *meta,
		 const struct page_ref *const directories[NR_TABLES], void *ret)
{
	uint8_t *p = ret;
	struct disk_page_ref disk;

	put_root_fixed(root, p);
	p += ROOT_FIXED_BYTES;
	for (uint32_t i = 0; i < root->nr_meta_segments; i++) {
		put_le64(p, meta[i].segno);
		put_le64(p + 8, meta[i].place);
		p += META_SEGMENT_BYTES;
	}
	for (unsigned int t = 0; t < NR_TABLES; t++) {
		uint32_t nr = nr_directory_pages(root->nr_pages[t]);

		for (uint32_t i = 0; i < nr; i++) {
			page_ref_encode(&directories[t][i], &disk);
			memcpy(p, &disk, sizeof(disk));
			p += sizeof(disk);
		}
	}
}

static int check_scrub(const struct scrub_record *scrub, uint64_t next_segno,
		       struct error *err)
{
	if (scrub->ended_ns == 0 && scrub->errors != 0)
		return error_set(err, EUCLEAN, "errors of no scrub");
	if (scrub->began_ns == 0 &&
	    (scrub->segno || scrub->stage || scrub->position))
		return error_set(err, EUCLEAN, "position of no scrub");
	if (scrub->began_ns == 0)
		return 0;
	if (scrub->stage >= NR_SCRUB_STAGES)
		return error_set(err, EUCLEAN, "scrub in stage %" PRIu32,
				 scrub->stage);
	if (scrub->segno == 0 || scrub->segno > next_segno)
		return error_set(err, EUCLEAN,
				 "scrub began at segment %" PRIu64,
				 scrub->segno);
	return 0;
}

static int check_root(const struct disk_root *disk, const struct root *root,
		      uint64_t length, uint64_t checkpoint_id,
		      struct error *err)
{
	if (memcmp(disk->magic, ROOT_MAGIC, sizeof(disk->magic)) != 0)
		return error_set(err, EUCLEAN, "no checkpoint root");
	if (root->checkpoint_id != checkpoint_id)
		return error_set(err, EUCLEAN,
				 "is of checkpoint %" PRIu64 ", not %" PRIu64,
				 root->checkpoint_id, checkpoint_id);
	if (root->next_segno == 0 || root->next_segno > SEGNO_MAX)
		return error_set(err, EUCLEAN, "next segment %" PRIu64,
				 root->next_segno);
	if (root->next_volume_id == 0 || root->next_node_id == 0 ||
	    root->next_epoch == 0)
		return error_set(err, EUCLEAN, "a next id or epoch is 0");
	if (!bytes_are_zero(disk->reserved, sizeof(disk->reserved)))
		return error_set(err, EUCLEAN, "reserved bytes are not zero");
	if (directories_offset(root, NR_TABLES) != length)
		return error_set(err, EUCLEAN,
				 "length %" PRIu64 " is not the %" PRIu64
				 " of its tables",
				 length, directories_offset(root, NR_TABLES));
	return check_scrub(&root->scrub, root->next_segno, err);
}

int root_decode(const void *record, size_t length, uint64_t checkpoint_id,
		struct root *ret, struct error *err)
{
	struct disk_root disk;
	struct root root;
	int r;

	if (length < sizeof(disk))
		return error_set(err, EUCLEAN, "root: length %zu", length);
	memcpy(&disk, record, sizeof(disk));
	root = (struct root){
		.checkpoint_id = le64_get(disk.checkpoint_id),
		.time_ns = le64_get(disk.time_ns),
		.next_segno = le64_get(disk.next_segno),
		.next_volume_id = le32_get(disk.next_volume_id),
		.next_node_id = le32_get(disk.next_node_id),
		.next_epoch = le32_get(disk.next_epoch),
		.nr_meta_segments = le32_get(disk.nr_meta_segments),
		.scrub = {.began_ns = le64_get(disk.scrub_began_ns),
			  .segno = le64_get(disk.scrub_segno),
			  .stage = disk.scrub_stage,
			  .position = le32_get(disk.scrub_position),
			  .ended_ns = le64_get(disk.scrub_ended_ns),
			  .errors = le64_get(disk.scrub_errors)},
	};
	for (unsigned int t = 0; t < NR_TABLES; t++)
		root.nr_pages[t] = le32_get(disk.nr_pages[t]);
	r = check_root(&disk, &root, length, checkpoint_id, err);
	if (r < 0) {
		(void)error_prefix(err, "root");
		return r;
	}
	*ret = root;
	return 0;
}

int root_get_meta_segment(const void *record, const struct root *root,
			  uint32_t index, struct meta_segment *ret,
			  struct error *err)
{
	const uint8_t *p = (const uint8_t *)record + ROOT_FIXED_BYTES +
			   (size_t)index * META_SEGMENT_BYTES;
	struct meta_segment meta = {get_le64(p), get_le64(p + 8)};

	assert(index < root->nr_meta_segments);
	if (meta.segno == 0 || meta.segno >= root->next_segno)
		return error_set(err, EUCLEAN,
				 "root: metadata segment %" PRIu64
				 " is not in 1 to below %" PRIu64,
				 meta.segno, root->next_segno);
	if (index > 0 && get_le64(p - META_SEGMENT_BYTES) >= meta.segno)
		return error_set(err, EUCLEAN,
				 "root: metadata segment %" PRIu64
				 " is not above the one before it",
				 meta.segno);
	if (meta.place == PLACE_NONE)
		return error_set(err, EUCLEAN,
				 "root: metadata segment %" PRIu64
				 " has no place",
				 meta.segno);
	*ret = meta;
	return 0;
}

int root_get_directory(const void *record, const struct root *root,
		       enum table table, uint32_t index,
		       unsigned int segment_shift, struct page_ref *ret,
		       struct error *err)
{
	struct disk_page_ref disk;
	int r;

	assert(table < NR_TABLES &&
	       index < nr_directory_pages(root->nr_pages[table]));
	memcpy(&disk,
	       (const uint8_t *)record + directories_offset(root, table) +
		       (size_t)index * sizeof(disk),
	       sizeof(disk));
	r = page_ref_decode(&disk, segment_shift, ret, err);
	if (r == 0 && ret->segno != 0 && ret->length != PAGE_BYTES)
		r = error_set(err, EUCLEAN, "length %" PRIu32, ret->length);
	if (r < 0)
		(void)error_prefix(
			err, "root: directory page %" PRIu32 " of table %u",
			index, (unsigned int)table);
	return r;
}
