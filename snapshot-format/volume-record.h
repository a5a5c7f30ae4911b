/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volume or snapshot as a checkpoint stores it: one page of the volume
 * table.  See FORMAT.md, Volume record.
 */
#ifndef FORMAT_VOLUME_RECORD_H
#define FORMAT_VOLUME_RECORD_H

#include <stddef.h>

#include "checkpoint.h"
#include "error.h"
#include "le.h"
#include "names.h"

enum volume_kind {
	VOLUME_HEAD = 1,     /* writable */
	VOLUME_SNAPSHOT = 2, /* read-only, belongs to parent */
};

#define VOLUME_FLAG_HIDDEN 1u	/* not listed */
#define VOLUME_FLAG_SCRATCH 2u	/* private view of a snapshot, dropped alone */
#define VOLUME_FLAG_POINT 4u	/* history point; reserved */
#define VOLUME_FLAG_OLD_HEAD 8u /* kept by a rollback */
#define VOLUME_FLAGS_KNOWN 15u

#define VOLUME_ATTRS_MAX_BYTES 2048u

struct disk_volume_record {
	struct disk_page_header header;
	le32 id;
	uint8_t kind;
	uint8_t zero[3];
	le32 flags;
	le32 parent; /* snapshot: its volume; head: 0 */
	le32 origin; /* clone: volume id of the snapshot it came from, else 0 */
	le32 kept;   /* head: snapshot that undo swaps with, else 0 */
	le32 root;   /* node id, 0: all holes */
	le32 epoch;
	le64 size;    /* bytes, a multiple of 512 */
	le64 refer;   /* data blocks mapped */
	le64 written; /* blocks written since the snapshot before */
	le64 created_ns;
	le64 seq; /* batch that made it */
	le16 name_length;
	le16 attrs_length;
	uint8_t zero2[4];
	/* then the name (snapshot: the word after '@'), then the attributes:
	 * "key=value" strings, each ended by a zero byte */
};
_Static_assert(sizeof(struct disk_volume_record) == 96,
	       "see FORMAT.md, Volume record");

#define VOLUME_RECORD_BYTES_MAX \
	(sizeof(struct disk_volume_record) + NAME_MAX_BYTES + \
	 VOLUME_ATTRS_MAX_BYTES)

struct volume_record {
	uint32_t id;
	enum volume_kind kind;
	uint32_t flags;
	uint32_t parent;
	uint32_t origin;
	uint32_t kept;
	uint32_t root;
	uint32_t epoch;
	uint64_t size;
	uint64_t refer;
	uint64_t written;
	uint64_t created_ns;
	uint64_t seq;
	char name[NAME_MAX_BYTES + 1];
	uint16_t attrs_length;
	char attrs[VOLUME_ATTRS_MAX_BYTES];
};

/*
 * Check attributes: at most VOLUME_ATTRS_MAX_BYTES of "key=value" strings,
 * each ended by a zero byte, no key empty.  -EUCLEAN.
 */
int volume_attrs_check(const char *attrs, size_t length, struct error *err);

/*
 * Check the name (not NUL-terminated) of a record of this kind and flags:
 * heads have a volume name, scratch heads may have `vol@s:scratch.N`,
 * snapshots the word after "@".  -EUCLEAN.
 */
int volume_name_check(const char *name, size_t length, enum volume_kind kind,
		      uint32_t flags, struct error *err);

/* Returns the length; @ret has VOLUME_RECORD_BYTES_MAX bytes. */
size_t volume_record_encode(uint32_t index, const struct volume_record *record,
			    void *ret);
int volume_record_decode(const void *page, size_t length, uint32_t index,
			 struct volume_record *ret, struct error *err);

#endif
