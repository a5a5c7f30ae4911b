/* SPDX-License-Identifier: BSD-2-Clause */
/* The codec of volume records. */
#include "volume-record.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bytes.h"

int volume_attrs_check(const char *attrs, size_t length, struct error *err)
{
	const char *end = attrs + length;

	if (length > VOLUME_ATTRS_MAX_BYTES)
		return error_set(err, EUCLEAN, "%zu bytes of attributes",
				 length);
	for (const char *p = attrs; p < end;) {
		size_t rest = (size_t)(end - p);
		const char *zero = memchr(p, '\0', rest);
		const char *equals = memchr(p, '=', rest);

		if (!zero)
			return error_set(err, EUCLEAN,
					 "the last attribute does not end");
		if (!equals || equals == p || equals > zero)
			return error_set(err, EUCLEAN,
					 "an attribute without key");
		p = zero + 1;
	}
	return 0;
}

static int check_head_name(const char *text, uint32_t flags, struct error *err)
{
	struct name name;
	int r;

	if (!(flags & VOLUME_FLAG_SCRATCH))
		return name_parse_volume(text, &name, err);
	r = name_parse(text, &name, err);
	if (r < 0)
		return r;
	if (name.snapshot[0] ? name.view != VIEW_SCRATCH_N
			     : name.view != VIEW_NONE)
		return error_set(err, EUCLEAN,
				 "\"%s\": not the name of a scratch view",
				 text);
	return 0;
}

int volume_name_check(const char *name, size_t length, enum volume_kind kind,
		      uint32_t flags, struct error *err)
{
	char text[NAME_MAX_BYTES + 1];
	int r;

	if (length > NAME_MAX_BYTES)
		return error_set(err, EUCLEAN, "a name of %zu bytes", length);
	if (memchr(name, '\0', length))
		return error_set(err, EUCLEAN, "a zero byte in the name");
	memcpy(text, name, length);
	text[length] = '\0';
	r = kind == VOLUME_SNAPSHOT ? name_check_snapshot_word(text, err)
				    : check_head_name(text, flags, err);
	/* a bad name is a user's error there, damage here */
	if (r < 0 && err)
		err->code = EUCLEAN;
	return r < 0 ? -EUCLEAN : 0;
}

static void put_fixed(uint32_t index, const struct volume_record *record,
		      size_t name_length, size_t length, void *ret)
{
	struct disk_volume_record disk = {
		.id = le32_make(record->id),
		.kind = (uint8_t)record->kind,
		.flags = le32_make(record->flags),
		.parent = le32_make(record->parent),
		.origin = le32_make(record->origin),
		.kept = le32_make(record->kept),
		.root = le32_make(record->root),
		.epoch = le32_make(record->epoch),
		.size = le64_make(record->size),
		.refer = le64_make(record->refer),
		.written = le64_make(record->written),
		.created_ns = le64_make(record->created_ns),
		.seq = le64_make(record->seq),
		.name_length = le16_make((uint16_t)name_length),
		.attrs_length = le16_make(record->attrs_length),
	};

	page_header_encode(PAGE_VOLUME, 0, index, (uint32_t)length,
			   &disk.header);
	memcpy(ret, &disk, sizeof(disk));
}

size_t volume_record_encode(uint32_t index, const struct volume_record *record,
			    void *ret)
{
	size_t name_length = strlen(record->name);
	size_t length = sizeof(struct disk_volume_record) + name_length +
			record->attrs_length;
	uint8_t *p = (uint8_t *)ret + sizeof(struct disk_volume_record);

	assert(name_length <= NAME_MAX_BYTES &&
	       record->attrs_length <= VOLUME_ATTRS_MAX_BYTES);
	put_fixed(index, record, name_length, length, ret);
	memcpy(p, record->name, name_length);
	memcpy(p + name_length, record->attrs, record->attrs_length);
	return length;
}

static void get_fixed(const struct disk_volume_record *disk,
		      struct volume_record *ret)
{
	*ret = (struct volume_record){
		.id = le32_get(disk->id),
		.kind = (enum volume_kind)disk->kind,
		.flags = le32_get(disk->flags),
		.parent = le32_get(disk->parent),
		.origin = le32_get(disk->origin),
		.kept = le32_get(disk->kept),
		.root = le32_get(disk->root),
		.epoch = le32_get(disk->epoch),
		.size = le64_get(disk->size),
		.refer = le64_get(disk->refer),
		.written = le64_get(disk->written),
		.created_ns = le64_get(disk->created_ns),
		.seq = le64_get(disk->seq),
		.attrs_length = le16_get(disk->attrs_length),
	};
}

static int check_identity(const struct volume_record *r, struct error *err)
{
	if (r->id == 0)
		return error_set(err, EUCLEAN, "id 0");
	if (r->flags & ~VOLUME_FLAGS_KNOWN)
		return error_set(err, EUCLEAN, "flags %#" PRIx32, r->flags);
	switch (r->kind) {
	case VOLUME_HEAD:
		if (r->parent != 0)
			return error_set(err, EUCLEAN,
					 "a head with parent %" PRIu32,
					 r->parent);
		if (r->epoch == 0)
			return error_set(err, EUCLEAN, "epoch 0");
		return 0;
	case VOLUME_SNAPSHOT:
		if (r->parent == 0 || r->parent == r->id)
			return error_set(err, EUCLEAN,
					 "a snapshot with parent %" PRIu32,
					 r->parent);
		if (r->kept != 0)
			return error_set(
				err, EUCLEAN,
				"a snapshot that keeps volume %" PRIu32,
				r->kept);
		return 0;
	}
	return error_set(err, EUCLEAN, "kind %u", (unsigned int)r->kind);
}

static int check_numbers(const struct disk_volume_record *disk,
			 const struct volume_record *r, struct error *err)
{
	if (r->size == 0 || r->size % 512 != 0 || r->size > VOLUME_BYTES_MAX)
		return error_set(err, EUCLEAN, "size %" PRIu64, r->size);
	if (r->refer > VOLUME_BLOCKS_MAX)
		return error_set(err, EUCLEAN, "refers to %" PRIu64 " blocks",
				 r->refer);
	if (!bytes_are_zero(disk->zero, sizeof(disk->zero)) ||
	    !bytes_are_zero(disk->zero2, sizeof(disk->zero2)))
		return error_set(err, EUCLEAN, "reserved bytes are not zero");
	return 0;
}

/* Check and copy what follows the fixed part. */
static int get_strings(const uint8_t *p, size_t length,
		       const struct disk_volume_record *disk,
		       struct volume_record *ret, struct error *err)
{
	size_t name_length = le16_get(disk->name_length);
	const char *name = (const char *)p;
	const char *attrs = name + name_length;
	int r;

	if (length != name_length + ret->attrs_length)
		return error_set(err, EUCLEAN,
				 "%zu bytes of name and attributes, not %zu",
				 length, name_length + ret->attrs_length);
	r = volume_name_check(name, name_length, ret->kind, ret->flags, err);
	if (r == 0)
		r = volume_attrs_check(attrs, ret->attrs_length, err);
	if (r < 0)
		return r;
	memcpy(ret->name, name, name_length);
	ret->name[name_length] = '\0';
	memcpy(ret->attrs, attrs, ret->attrs_length);
	return 0;
}

int volume_record_decode(const void *page, size_t length, uint32_t index,
			 struct volume_record *ret, struct error *err)
{
	struct disk_volume_record disk;
	struct volume_record record;
	int r;

	r = page_header_check(page, length, PAGE_VOLUME, 0, index, err);
	if (r < 0)
		return r;
	if (length < sizeof(disk))
		return error_set(err, EUCLEAN,
				 "volume page %" PRIu32 ": length %zu", index,
				 length);
	memcpy(&disk, page, sizeof(disk));
	get_fixed(&disk, &record);
	r = check_identity(&record, err);
	if (r == 0)
		r = check_numbers(&disk, &record, err);
	if (r == 0)
		r = get_strings((const uint8_t *)page + sizeof(disk),
				length - sizeof(disk), &disk, &record, err);
	if (r < 0) {
		(void)error_prefix(err,
				   "volume page %" PRIu32 ": volume %" PRIu32,
				   index, record.id);
		return r;
	}
	*ret = record;
	return 0;
}
