/* SPDX-License-Identifier: BSD-2-Clause */
/* FORMAT.md and the code say the same: byte tables and worked example. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "batch.h"
#include "checkpoint.h"
#include "hexdump.h"
#include "map-node.h"
#include "node-table.h"
#include "operation.h"
#include "samples.h"
#include "segment-info.h"
#include "segment.h"
#include "superblock.h"
#include "volume-record.h"

#define NR_FIELDS_MAX 40

struct field {
	const char *name;
	size_t offset, size;
};

#define FIELD(type, member) \
	{ \
#member, offsetof(struct type, member), \
			sizeof(((struct type *)0)->member) \
	}

/* The byte table of one section of FORMAT.md and the struct it is about. */
struct table_claim {
	const char *section;
	size_t size;
	struct field fields[NR_FIELDS_MAX];
};

static const struct table_claim claims[] = {
	{"Superblock",
	 sizeof(struct disk_superblock),
	 {FIELD(disk_superblock, magic),
	  FIELD(disk_superblock, version),
	  FIELD(disk_superblock, copy),
	  FIELD(disk_superblock, block_shift),
	  FIELD(disk_superblock, segment_shift),
	  FIELD(disk_superblock, checksum_kind),
	  FIELD(disk_superblock, features_incompat),
	  FIELD(disk_superblock, features_ro_compat),
	  FIELD(disk_superblock, features_compat),
	  FIELD(disk_superblock, uuid),
	  FIELD(disk_superblock, open_incarnation),
	  FIELD(disk_superblock, checkpoint_id),
	  FIELD(disk_superblock, capacity),
	  FIELD(disk_superblock, segno_bound),
	  FIELD(disk_superblock, root_segno),
	  FIELD(disk_superblock, root_offset),
	  FIELD(disk_superblock, root_length),
	  FIELD(disk_superblock, root_checksum),
	  FIELD(disk_superblock, root_place),
	  FIELD(disk_superblock, log_segno),
	  FIELD(disk_superblock, log_slot),
	  FIELD(disk_superblock, zero),
	  FIELD(disk_superblock, log_seq),
	  FIELD(disk_superblock, log_prev_hash),
	  FIELD(disk_superblock, log_incarnation),
	  FIELD(disk_superblock, log_place),
	  FIELD(disk_superblock, reserved),
	  FIELD(disk_superblock, checksum)}},
	{"Segment header",
	 sizeof(struct disk_segment_header),
	 {FIELD(disk_segment_header, magic), FIELD(disk_segment_header, uuid),
	  FIELD(disk_segment_header, segno), FIELD(disk_segment_header, place),
	  FIELD(disk_segment_header, incarnation),
	  FIELD(disk_segment_header, first_seq),
	  FIELD(disk_segment_header, time_ns),
	  FIELD(disk_segment_header, next_segno),
	  FIELD(disk_segment_header, next_place),
	  FIELD(disk_segment_header, kind),
	  FIELD(disk_segment_header, reserved),
	  FIELD(disk_segment_header, checksum)}},
	{"Batch",
	 sizeof(struct disk_batch),
	 {FIELD(disk_batch, magic), FIELD(disk_batch, kind),
	  FIELD(disk_batch, nr_payload), FIELD(disk_batch, nr_entries),
	  FIELD(disk_batch, seq), FIELD(disk_batch, segno),
	  FIELD(disk_batch, slot), FIELD(disk_batch, zero),
	  FIELD(disk_batch, incarnation), FIELD(disk_batch, prev_hash),
	  FIELD(disk_batch, durable_seq), FIELD(disk_batch, time_ns),
	  FIELD(disk_batch, uuid), FIELD(disk_batch, reserved),
	  FIELD(disk_batch, hash), FIELD(disk_batch, body)}},
	{"Batch entry",
	 sizeof(struct disk_batch_entry),
	 {FIELD(disk_batch_entry, op), FIELD(disk_batch_entry, flags),
	  FIELD(disk_batch_entry, count_low), FIELD(disk_batch_entry, volume),
	  FIELD(disk_batch_entry, first_block),
	  FIELD(disk_batch_entry, count_high)}},
	{"Metadata operations",
	 sizeof(struct disk_operation),
	 {FIELD(disk_operation, magic), FIELD(disk_operation, op),
	  FIELD(disk_operation, zero), FIELD(disk_operation, nr_items),
	  FIELD(disk_operation, length), FIELD(disk_operation, zero2),
	  FIELD(disk_operation, time_ns)}},
	{"Operation item",
	 sizeof(struct disk_operation_item),
	 {FIELD(disk_operation_item, volume), FIELD(disk_operation_item, other),
	  FIELD(disk_operation_item, new_id), FIELD(disk_operation_item, flags),
	  FIELD(disk_operation_item, size),
	  FIELD(disk_operation_item, name_length),
	  FIELD(disk_operation_item, attrs_length),
	  FIELD(disk_operation_item, zero)}},
	{"Map node",
	 sizeof(struct disk_node_header),
	 {FIELD(disk_node_header, kind), FIELD(disk_node_header, level),
	  FIELD(disk_node_header, encoding), FIELD(disk_node_header, zero),
	  FIELD(disk_node_header, id), FIELD(disk_node_header, epoch),
	  FIELD(disk_node_header, hash)}},
	{"Pages",
	 sizeof(struct disk_page_header),
	 {FIELD(disk_page_header, kind), FIELD(disk_page_header, table),
	  FIELD(disk_page_header, zero), FIELD(disk_page_header, index),
	  FIELD(disk_page_header, length), FIELD(disk_page_header, zero2)}},
	{"Page reference",
	 sizeof(struct disk_page_ref),
	 {FIELD(disk_page_ref, segno), FIELD(disk_page_ref, offset),
	  FIELD(disk_page_ref, length), FIELD(disk_page_ref, checksum)}},
	{"Node table",
	 sizeof(struct disk_node_entry),
	 {FIELD(disk_node_entry, segno), FIELD(disk_node_entry, offset),
	  FIELD(disk_node_entry, length), FIELD(disk_node_entry, zero),
	  FIELD(disk_node_entry, count), FIELD(disk_node_entry, checksum),
	  FIELD(disk_node_entry, used)}},
	{"Segment info",
	 sizeof(struct disk_segment_info),
	 {FIELD(disk_segment_info, header), FIELD(disk_segment_info, segno),
	  FIELD(disk_segment_info, place),
	  FIELD(disk_segment_info, sealed_time_ns),
	  FIELD(disk_segment_info, first_seq),
	  FIELD(disk_segment_info, last_seq), FIELD(disk_segment_info, live),
	  FIELD(disk_segment_info, nr_overflow),
	  FIELD(disk_segment_info, nr_forwards), FIELD(disk_segment_info, kind),
	  FIELD(disk_segment_info, flags),
	  FIELD(disk_segment_info, count_bytes),
	  FIELD(disk_segment_info, zero)}},
	{"Volume record",
	 sizeof(struct disk_volume_record),
	 {FIELD(disk_volume_record, header), FIELD(disk_volume_record, id),
	  FIELD(disk_volume_record, kind), FIELD(disk_volume_record, zero),
	  FIELD(disk_volume_record, flags), FIELD(disk_volume_record, parent),
	  FIELD(disk_volume_record, origin), FIELD(disk_volume_record, kept),
	  FIELD(disk_volume_record, root), FIELD(disk_volume_record, epoch),
	  FIELD(disk_volume_record, size), FIELD(disk_volume_record, refer),
	  FIELD(disk_volume_record, written),
	  FIELD(disk_volume_record, created_ns), FIELD(disk_volume_record, seq),
	  FIELD(disk_volume_record, name_length),
	  FIELD(disk_volume_record, attrs_length),
	  FIELD(disk_volume_record, zero2)}},
	{"Root",
	 sizeof(struct disk_root),
	 {FIELD(disk_root, magic), FIELD(disk_root, checkpoint_id),
	  FIELD(disk_root, time_ns), FIELD(disk_root, next_segno),
	  FIELD(disk_root, next_volume_id), FIELD(disk_root, next_node_id),
	  FIELD(disk_root, next_epoch), FIELD(disk_root, nr_meta_segments),
	  FIELD(disk_root, nr_pages), FIELD(disk_root, scrub_position),
	  FIELD(disk_root, scrub_began_ns), FIELD(disk_root, scrub_segno),
	  FIELD(disk_root, scrub_ended_ns), FIELD(disk_root, scrub_errors),
	  FIELD(disk_root, scrub_stage), FIELD(disk_root, reserved)}},
	/* the header page is the daemon's own: only that the table is whole */
	{"Tail file", 4096, {{NULL, 0, 0}}},
};
#define NR_CLAIMS (sizeof(claims) / sizeof(claims[0]))

/* FORMAT.md, positioned behind the heading of @section. */
static FILE *open_at(const char *section)
{
	FILE *file = fopen(FORMAT_MD, "r");
	char line[4096];

	if (!file)
		fail_msg("no %s", FORMAT_MD);
	while (fgets(line, sizeof(line), file)) {
		char *text = line + strspn(line, "#");

		if (text == line || *text != ' ')
			continue;
		text[strcspn(text, "\n")] = '\0';
		if (strcmp(text + 1, section) == 0)
			return file;
	}
	fail_msg("no section %s", section);
	return NULL;
}

/* Parse "Byte A-B: name ..." or "Byte A: name ...". */
static bool parse_row(const char *line, char name[64], size_t *ret_offset,
		      size_t *ret_size)
{
	size_t first, last;

	if (sscanf(line, "Byte %zu-%zu: %63s", &first, &last, name) != 3) {
		if (sscanf(line, "Byte %zu: %63s", &first, name) != 2)
			return false;
		last = first;
	}
	*ret_offset = first;
	*ret_size = last - first + 1;
	return true;
}

static void byte_table_is_the_struct(void **state)
{
	const struct table_claim *claim = *state;
	FILE *file = open_at(claim->section);
	const struct field *field = claim->fields;
	bool compare = field->name;
	size_t offset, size, end = 0;
	char line[4096], name[64];

	while (fgets(line, sizeof(line), file) && line[0] != '#') {
		if (!parse_row(line, name, &offset, &size))
			continue;
		assert_int_equal(offset, end); /* no gap, no overlap */
		end += size;
		if (!compare)
			continue;
		if (!field->name)
			fail_msg("%s is not in the struct", name);
		assert_string_equal(name, field->name);
		assert_int_equal(offset, field->offset);
		assert_int_equal(size, field->size);
		field++;
	}
	assert_null(field->name);
	assert_int_equal(end, claim->size);
	(void)fclose(file);
}

static void worked_example_is_the_golden_batch(void **state)
{
	FILE *file = open_at("Worked example");
	uint8_t document[SAMPLE_BYTES_MAX], golden[SAMPLE_BYTES_MAX];
	size_t length = hexdump_read(file, document, sizeof(document));

	assert_int_equal(length, sample_find("batch-data")->encode(golden));
	assert_memory_equal(document, golden, length);
	(void)fclose(file);
}

static void every_invariant_is_there_once(void **state)
{
	FILE *file = open_at("Invariants");
	unsigned int expected = 1, number;
	char line[4096];

	while (fgets(line, sizeof(line), file) && line[0] != '#')
		if (sscanf(line, "* **I%u**", &number) == 1)
			assert_int_equal(number, expected++);
	assert_int_equal(expected - 1, 14);
	(void)fclose(file);
}

int main(void)
{
	struct CMUnitTest tests[NR_CLAIMS + 2] = {
		cmocka_unit_test(worked_example_is_the_golden_batch),
		cmocka_unit_test(every_invariant_is_there_once),
	};
	static char names[NR_CLAIMS][96];

	for (size_t i = 0; i < NR_CLAIMS; i++) {
		(void)snprintf(names[i], sizeof(names[i]),
			       "byte_table_is_the_struct: %s",
			       claims[i].section);
		tests[i + 2] = (struct CMUnitTest){
			.name = names[i],
			.test_func = byte_table_is_the_struct,
			.initial_state = (void *)&claims[i],
		};
	}
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
