/* SPDX-License-Identifier: BSD-2-Clause */
/* Samples of the pages of a checkpoint and of its root. */
#include "samples-private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint.h"
#include "segment-info.h"
#include "volume-record.h"

/* ---- pages ---- */

static const struct page_ref page_refs[3] = {
	{.segno = 1000,
	 .offset = 8192,
	 .length = 4096,
	 .checksum = UINT64_C(0x0102030405060708)},
	{0},
	{.segno = SEGNO_MAX,
	 .offset = 32768,
	 .length = 4096,
	 .checksum = UINT64_C(0xfffefdfcfbfaf9f8)},
};

static void make_refs(struct page_ref ret[DIRECTORY_PAGE_ENTRIES])
{
	memset(ret, 0, DIRECTORY_PAGE_ENTRIES * sizeof(*ret));
	ret[0] = page_refs[0];
	ret[169] = page_refs[2];
}

static size_t encode_directory(void *ret)
{
	struct page_ref refs[DIRECTORY_PAGE_ENTRIES];

	make_refs(refs);
	directory_encode(TABLE_VOLUME, 3, refs, ret);
	return PAGE_BYTES;
}

static int decode_directory(const void *bytes, size_t length, struct error *err)
{
	struct page_ref refs[DIRECTORY_PAGE_ENTRIES];

	return directory_decode(bytes, length, TABLE_VOLUME, 3, SHIFT, refs,
				err);
}

static void compare_refs(const struct page_ref *a, const struct page_ref *b)
{
	assert_int_equal(a->segno, b->segno);
	assert_int_equal(a->offset, b->offset);
	assert_int_equal(a->length, b->length);
	assert_int_equal(a->checksum, b->checksum);
}

static void compare_directory(const void *bytes, size_t length)
{
	struct page_ref e[DIRECTORY_PAGE_ENTRIES], refs[DIRECTORY_PAGE_ENTRIES];

	make_refs(e);
	assert_int_equal(directory_decode(bytes, length, TABLE_VOLUME, 3, SHIFT,
					  refs, NULL),
			 0);
	for (unsigned int i = 0; i < DIRECTORY_PAGE_ENTRIES; i++)
		compare_refs(&refs[i], &e[i]);
}

static const struct free_bytes directory_free[] = {
	{16, 22, "first reference: segno"},
	{24, 25, "first reference: offset in the segment"},
	{28, 29, "first reference: length in the segment"},
	{32, 39, "first reference: checksum"},
	{4072, 4078, "last reference: segno"},
	{4080, 4081, "last reference: offset in the segment"},
	{4084, 4085, "last reference: length in the segment"},
	{4088, 4095, "last reference: checksum"},
	END_OF_LIST,
};

static void make_frame_bits(uint8_t ret[FRAME_MAP_PAGE_FRAMES / 8])
{
	memset(ret, 0, FRAME_MAP_PAGE_FRAMES / 8);
	ret[0] = 0xff;
	ret[1] = 0x01;
	ret[FRAME_MAP_PAGE_FRAMES / 8 - 1] = 0x80;
}

static size_t encode_frame_map(void *ret)
{
	uint8_t bits[FRAME_MAP_PAGE_FRAMES / 8];

	make_frame_bits(bits);
	frame_map_page_encode(2, bits, ret);
	return PAGE_BYTES;
}

static int decode_frame_map(const void *bytes, size_t length, struct error *err)
{
	uint8_t bits[FRAME_MAP_PAGE_FRAMES / 8];

	return frame_map_page_decode(bytes, length, 2, bits, err);
}

static void compare_frame_map(const void *bytes, size_t length)
{
	uint8_t bits[FRAME_MAP_PAGE_FRAMES / 8];
	uint8_t e[FRAME_MAP_PAGE_FRAMES / 8];

	make_frame_bits(e);
	assert_int_equal(frame_map_page_decode(bytes, length, 2, bits, NULL),
			 0);
	assert_memory_equal(bits, e, sizeof(e));
}

static const struct free_bytes frame_map_free[] = {
	{16, 4095, "a bit per frame"},
	END_OF_LIST,
};

static const uint32_t reaper_ids[] = {77, 0x80000001, 3};

static size_t encode_reaper(void *ret)
{
	reaper_page_encode(1, reaper_ids, 3, ret);
	return PAGE_BYTES;
}

static int decode_reaper(const void *bytes, size_t length, struct error *err)
{
	uint32_t ids[REAPER_PAGE_ENTRIES], nr_ids;

	return reaper_page_decode(bytes, length, 1, ids, &nr_ids, err);
}

static void compare_reaper(const void *bytes, size_t length)
{
	uint32_t ids[REAPER_PAGE_ENTRIES], nr_ids;

	assert_int_equal(
		reaper_page_decode(bytes, length, 1, ids, &nr_ids, NULL), 0);
	assert_int_equal(nr_ids, 3);
	assert_memory_equal(ids, reaper_ids, sizeof(reaper_ids));
}

static const struct free_bytes reaper_free[] = {
	{16, 27, "the ids"},
	{28, 31, "one more id"},
	END_OF_LIST,
};

/* ---- segment info ---- */

static const struct segment_info segment_info = {
	.segno = 1001,
	.place = 18,
	.sealed_time_ns = TIME,
	.first_seq = 6990,
	.last_seq = 7000,
	.live = 5,
	.nr_overflow = 2,
	.nr_forwards = 2,
	.kind = SEGMENT_DATA,
	.flags = SEGMENT_INFO_SEALED | SEGMENT_INFO_QUARANTINE,
};
/* slots 2: 1, 3: 2, 6: more, 15: more */
static const uint8_t segment_counts[4] = {0x90, 0x30, 0x00, 0xc0};
static const uint32_t segment_overflow[2] = {3, 1000};

static void make_forwards(struct slot_forward ret[2])
{
	ret[0] = (struct slot_forward){3, pblock_make(1002, 2)};
	ret[1] = (struct slot_forward){6, pblock_make(SEGNO_MAX, 15)};
}

static size_t encode_segment_info(void *ret)
{
	struct slot_forward forwards[2];

	make_forwards(forwards);
	return segment_info_encode(4, &segment_info, SHIFT, segment_counts,
				   segment_overflow, forwards, ret);
}

/* The same with long lists, as the first writers wrote it. */
static size_t encode_segment_info_long(void *ret)
{
	static const uint64_t lists[] = {
		UINT64_C(3) << 32 | 6,
		UINT64_C(1000) << 32 | 15,
		3,
		0x1f5002,
		6,
		0x3ffffffffffff80f,
	};
	size_t length =
		sizeof(struct disk_segment_info) + sizeof(segment_counts);
	struct disk_segment_info *disk = ret;

	(void)encode_segment_info(ret);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		le64 word = le64_make(lists[i]);

		memcpy((uint8_t *)ret + length, &word, sizeof(word));
		length += sizeof(word);
	}
	disk->header.length = le32_make((uint32_t)length);
	disk->count_bytes = 0;
	return length;
}

static int decode_segment_info(const void *bytes, size_t length,
			       struct error *err)
{
	struct segment_info info;

	return segment_info_decode(bytes, length, 4, SHIFT, &info, err);
}

static void compare_info(const void *bytes, size_t length,
			 unsigned int count_bytes)
{
	const struct segment_info *e = &segment_info;
	struct slot_forward forwards[2];
	struct segment_info info;

	make_forwards(forwards);
	assert_int_equal(
		segment_info_decode(bytes, length, 4, SHIFT, &info, NULL), 0);
	assert_int_equal(info.segno, e->segno);
	assert_int_equal(info.place, e->place);
	assert_int_equal(info.sealed_time_ns, e->sealed_time_ns);
	assert_int_equal(info.first_seq, e->first_seq);
	assert_int_equal(info.last_seq, e->last_seq);
	assert_int_equal(info.live, e->live);
	assert_int_equal(info.kind, e->kind);
	assert_int_equal(info.flags, e->flags);
	assert_int_equal(info.nr_overflow, 2);
	assert_int_equal(info.nr_forwards, 2);
	assert_int_equal(info.count_bytes, count_bytes);
	assert_memory_equal(segment_info_counts(bytes), segment_counts, 4);
	for (uint32_t i = 0; i < 2; i++) {
		struct slot_forward f =
			segment_info_forward(bytes, &info, SHIFT, i);

		assert_int_equal(segment_info_overflow(bytes, &info, SHIFT, i),
				 segment_overflow[i]);
		assert_int_equal(f.slot, forwards[i].slot);
		assert_int_equal(f.place.value, forwards[i].place.value);
	}
}

static void compare_segment_info(const void *bytes, size_t length)
{
	compare_info(bytes, length, 2);
}

static void compare_segment_info_long(const void *bytes, size_t length)
{
	compare_info(bytes, length, 0);
}

static const struct free_bytes segment_info_free[] = {
	{16, 22, "segno, but for its upper bits"},
	BYTES_OF(struct disk_segment_info, place, sealed_time_ns, "any"),
	{40, 41, "first_seq, up to last_seq"},
	{48, 55, "last_seq, not below first_seq"},
	{56, 56, "live, up to the slots"},
	{69, 69, "known flags"},
	{72, 75, "counts below 3"},
	{76, 79, "counts of 3 and more"},
	{80, 80, "slot of the first forward"},
	{82, 89, "place of the first forward"},
	{90, 90, "slot of the second forward"},
	{92, 99, "place of the second forward"},
	END_OF_LIST,
};

static const struct free_bytes segment_info_long_free[] = {
	{16, 22, "segno, but for its upper bits"},
	BYTES_OF(struct disk_segment_info, place, sealed_time_ns, "any"),
	{40, 41, "first_seq, up to last_seq"},
	{48, 55, "last_seq, not below first_seq"},
	{56, 56, "live, up to the slots"},
	{69, 69, "known flags"},
	{72, 75, "counts below 3"},
	{80, 83, "count of the first overflow"},
	{88, 91, "count of the second overflow"},
	{92, 92, "slot of the first forward"},
	{100, 107, "place of the first forward"},
	{108, 108, "slot of the second forward"},
	{116, 123, "place of the second forward"},
	END_OF_LIST,
};

/* ---- volume records ---- */

static const struct volume_record volume_head = {
	.id = 7,
	.kind = VOLUME_HEAD,
	.flags = 0,
	.origin = 3,
	.kept = 9,
	.root = 77,
	.epoch = 5,
	.size = (UINT64_C(50) << 30) + 512,
	.refer = 1234567,
	.written = 999,
	.created_ns = TIME,
	.seq = 6995,
	.name = "web/root",
	.attrs_length = 13,
	.attrs = "message=a\0k=",
};

static const struct volume_record volume_snapshot = {
	.id = 9,
	.kind = VOLUME_SNAPSHOT,
	.flags = VOLUME_FLAG_OLD_HEAD,
	.parent = 7,
	.size = VOLUME_BYTES_MAX,
	.refer = 5,
	.epoch = 4,
	.created_ns = TIME,
	.seq = 6996,
	.name = "before-rollback-20261122T020000Z",
};

static size_t encode_volume_head(void *ret)
{
	return volume_record_encode(2, &volume_head, ret);
}

static size_t encode_volume_snapshot(void *ret)
{
	return volume_record_encode(2, &volume_snapshot, ret);
}

static int decode_volume(const void *bytes, size_t length, struct error *err)
{
	struct volume_record record;

	return volume_record_decode(bytes, length, 2, &record, err);
}

static void compare_volume(const struct volume_record *e, const void *bytes,
			   size_t length)
{
	struct volume_record r;

	assert_int_equal(volume_record_decode(bytes, length, 2, &r, NULL), 0);
	assert_int_equal(r.id, e->id);
	assert_int_equal(r.kind, e->kind);
	assert_int_equal(r.flags, e->flags);
	assert_int_equal(r.parent, e->parent);
	assert_int_equal(r.origin, e->origin);
	assert_int_equal(r.kept, e->kept);
	assert_int_equal(r.root, e->root);
	assert_int_equal(r.epoch, e->epoch);
	assert_int_equal(r.size, e->size);
	assert_int_equal(r.refer, e->refer);
	assert_int_equal(r.written, e->written);
	assert_int_equal(r.created_ns, e->created_ns);
	assert_int_equal(r.seq, e->seq);
	assert_string_equal(r.name, e->name);
	assert_int_equal(r.attrs_length, e->attrs_length);
	assert_memory_equal(r.attrs, e->attrs, e->attrs_length);
}

static void compare_volume_head(const void *bytes, size_t length)
{
	compare_volume(&volume_head, bytes, length);
}

static void compare_volume_snapshot(const void *bytes, size_t length)
{
	compare_volume(&volume_snapshot, bytes, length);
}

static const struct free_bytes volume_head_free[] = {
	FIELD(struct disk_volume_record, id, "any but 0"),
	{24, 24, "known flags"},
	BYTES_OF(struct disk_volume_record, origin, epoch, "any"),
	{49, 53, "size: multiples of 512 up to the largest"},
	{56, 60, "refer, up to the blocks of a volume"},
	BYTES_OF(struct disk_volume_record, written, seq, "any"),
	{96, 110, "letters of name and attributes"},
	{112, 114, "letters of the key k and its name"},
	END_OF_LIST,
};

static const struct free_bytes volume_snapshot_free[] = {
	FIELD(struct disk_volume_record, id, "any but 0"),
	{24, 24, "known flags"},
	FIELD(struct disk_volume_record, parent, "any but 0"),
	FIELD(struct disk_volume_record, origin, "any"),
	BYTES_OF(struct disk_volume_record, root, epoch, "any"),
	{56, 60, "refer, up to the blocks of a volume"},
	BYTES_OF(struct disk_volume_record, written, seq, "any"),
	{96, 127, "letters of the name"},
	END_OF_LIST,
};

/* ---- root ---- */

static const struct root root = {
	.checkpoint_id = 33,
	.time_ns = TIME,
	.next_segno = 1005,
	.next_volume_id = 13,
	.next_node_id = 1500,
	.next_epoch = 6,
	.nr_meta_segments = 2,
	.nr_pages = {11, 171, 0, 1, 0},
	.scrub = {.began_ns = TIME - 1,
		  .segno = 1001,
		  .stage = SCRUB_NODES,
		  .position = 700,
		  .ended_ns = TIME - 2,
		  .errors = 3},
};
static const struct meta_segment root_meta[2] = {{999, 4}, {1000, 17}};

static size_t encode_root(void *ret)
{
	const struct page_ref frames[1] = {{0}};
	const struct page_ref full[2] = {page_refs[0], page_refs[0]};
	const struct page_ref *directories[NR_TABLES] = {full, full, NULL,
							 frames, NULL};

	root_encode(&root, root_meta, directories, ret);
	return root_bytes(&root);
}

static int decode_root(const void *bytes, size_t length, struct error *err)
{
	struct meta_segment meta;
	struct page_ref ref;
	struct root decoded;
	int r;

	r = root_decode(bytes, length, root.checkpoint_id, &decoded, err);
	for (uint32_t i = 0; r == 0 && i < decoded.nr_meta_segments; i++)
		r = root_get_meta_segment(bytes, &decoded, i, &meta, err);
	for (uint32_t t = 0; t < NR_TABLES; t++)
		for (uint32_t i = 0;
		     r == 0 && i < nr_directory_pages(decoded.nr_pages[t]); i++)
			r = root_get_directory(bytes, &decoded, (enum table)t,
					       i, SHIFT, &ref, err);
	return r;
}

static void compare_root(const void *bytes, size_t length)
{
	struct meta_segment meta;
	struct page_ref ref;
	struct root r;

	assert_int_equal(
		root_decode(bytes, length, root.checkpoint_id, &r, NULL), 0);
	assert_int_equal(r.checkpoint_id, root.checkpoint_id);
	assert_int_equal(r.time_ns, root.time_ns);
	assert_int_equal(r.next_segno, root.next_segno);
	assert_int_equal(r.next_volume_id, root.next_volume_id);
	assert_int_equal(r.next_node_id, root.next_node_id);
	assert_int_equal(r.next_epoch, root.next_epoch);
	assert_int_equal(r.nr_meta_segments, 2);
	assert_memory_equal(r.nr_pages, root.nr_pages, sizeof(r.nr_pages));
	assert_int_equal(r.scrub.began_ns, root.scrub.began_ns);
	assert_int_equal(r.scrub.segno, root.scrub.segno);
	assert_int_equal(r.scrub.stage, root.scrub.stage);
	assert_int_equal(r.scrub.position, root.scrub.position);
	assert_int_equal(r.scrub.ended_ns, root.scrub.ended_ns);
	assert_int_equal(r.scrub.errors, root.scrub.errors);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(
			root_get_meta_segment(bytes, &r, i, &meta, NULL), 0);
		assert_int_equal(meta.segno, root_meta[i].segno);
		assert_int_equal(meta.place, root_meta[i].place);
	}
	assert_int_equal(root_get_directory(bytes, &r, TABLE_SEGMENT, 1, SHIFT,
					    &ref, NULL),
			 0);
	compare_refs(&ref, &page_refs[0]);
	assert_int_equal(root_get_directory(bytes, &r, TABLE_FRAME, 0, SHIFT,
					    &ref, NULL),
			 0);
	compare_refs(&ref, &page_refs[1]);
}

static const struct free_bytes root_free[] = {
	FIELD(struct disk_root, time_ns, "any"),
	{24, 30, "next_segno above the metadata segments"},
	BYTES_OF(struct disk_root, next_volume_id, next_epoch, "any but 0"),
	{48, 48, "nr_pages of nodes with as many directories"},
	{52, 52, "nr_pages of segments with as many directories"},
	{60, 60, "nr_pages of frames with as many directories"},
	FIELD(struct disk_root, scrub_position, "any"),
	FIELD(struct disk_root, scrub_began_ns, "any but 0"),
	{80, 81, "scrub_segno up to next_segno"},
	FIELD(struct disk_root, scrub_ended_ns, "any but 0"),
	FIELD(struct disk_root, scrub_errors, "any"),
	FIELD(struct disk_root, scrub_stage, "below NR_SCRUB_STAGES"),
	{128, 129, "first metadata segment, below the second"},
	{136, 143, "its place"},
	{144, 144, "second metadata segment, above the first"},
	{152, 159, "its place"},
	{160, 166, "first directory page: segno"},
	{168, 169, "first directory page: offset in the segment"},
	{176, 190, "its checksum; second directory page: segno"},
	{192, 193, "second directory page: offset in the segment"},
	{200, 214, "its checksum; third directory page: segno"},
	{216, 217, "third directory page: offset in the segment"},
	{224, 231, "its checksum"},
	END_OF_LIST,
};

/* ---- all of them ---- */

const struct sample table_samples[] = {
	SAMPLE(segment_info, "segment-info", segment_info, NULL),
	SAMPLE(segment_info_long, "segment-info-long", segment_info, NULL),
	SAMPLE(volume_head, "volume-head", volume, NULL),
	SAMPLE(volume_snapshot, "volume-snapshot", volume, NULL),
	SAMPLE(frame_map, "frame-map", frame_map, NULL),
	SAMPLE(reaper, "reaper", reaper, NULL),
	SAMPLE(directory, "directory", directory, NULL),
	SAMPLE(root, "root", root, NULL),
};
