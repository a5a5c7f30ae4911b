/* SPDX-License-Identifier: BSD-2-Clause */
/* The codec of metadata operations. */
#include "operation.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bytes.h"

#define ITEM_ALIGN 8u

/* Fields of an item that an op uses; all others are zero. */
enum {
	USES_VOLUME = 1,
	USES_OTHER = 2,
	USES_NEW_ID = 4, /* and the flags of the new record, and attributes */
	USES_SIZE = 8,
	USES_NAME = 16,
	USES_ATTRS = 32,
};

static unsigned int op_uses(enum op op)
{
	switch (op) {
	case OP_CREATE:
		return USES_NEW_ID | USES_SIZE | USES_NAME;
	case OP_SNAPSHOT:
		return USES_VOLUME | USES_NEW_ID | USES_NAME;
	case OP_CLONE:
		return USES_OTHER | USES_NEW_ID | USES_NAME;
	case OP_DELETE:
		return USES_VOLUME;
	case OP_ROLLBACK:
		return USES_VOLUME | USES_OTHER | USES_NEW_ID | USES_NAME;
	case OP_UNDO:
		return USES_VOLUME | USES_OTHER;
	case OP_RESIZE:
		return USES_VOLUME | USES_SIZE;
	case OP_SET_NAME:
		return USES_VOLUME | USES_NAME;
	case OP_SET:
		return USES_VOLUME | USES_ATTRS;
	default:
		return 0;
	}
}

/* The kind of the record that the name of an item is for. */
static enum volume_kind op_name_kind(enum op op)
{
	return op == OP_SNAPSHOT || op == OP_ROLLBACK ? VOLUME_SNAPSHOT
						      : VOLUME_HEAD;
}

static size_t item_bytes(size_t name_length, size_t attrs_length)
{
	return sizeof(struct disk_operation_item) +
	       round_up_u64(name_length + attrs_length, ITEM_ALIGN);
}

size_t operation_bytes(const struct operation_item *items, uint32_t nr_items)
{
	size_t ret = sizeof(struct disk_operation);

	for (uint32_t i = 0; i < nr_items; i++)
		ret += item_bytes(items[i].name_length, items[i].attrs_length);
	return ret;
}

/* ---- encoding ---- */

static size_t put_item(const struct operation_item *item, uint8_t *ret)
{
	struct disk_operation_item disk = {
		.volume = le32_make(item->volume),
		.other = le32_make(item->other),
		.new_id = le32_make(item->new_id),
		.flags = le32_make(item->flags),
		.size = le64_make(item->size),
		.name_length = le16_make(item->name_length),
		.attrs_length = le16_make(item->attrs_length),
	};
	size_t length = item_bytes(item->name_length, item->attrs_length);
	uint8_t *p = ret + sizeof(disk);

	memset(ret, 0, length);
	memcpy(ret, &disk, sizeof(disk));
	if (item->name_length > 0)
		memcpy(p, item->name, item->name_length);
	if (item->attrs_length > 0)
		memcpy(p + item->name_length, item->attrs, item->attrs_length);
	return length;
}

void operation_encode(const struct operation *operation,
		      const struct operation_item *items, void *ret)
{
	uint32_t nr_items = operation->nr_items;
	struct disk_operation disk = {
		.op = (uint8_t)operation->op,
		.nr_items = le16_make((uint16_t)nr_items),
		.length = le32_make((uint32_t)operation_bytes(items, nr_items)),
		.time_ns = le64_make(operation->time_ns),
	};
	uint8_t *p = ret;

	assert(op_is_metadata(operation->op));
	assert(nr_items > 0 && nr_items <= UINT16_MAX);
	memcpy(disk.magic, OPERATION_MAGIC, sizeof(disk.magic));
	memcpy(p, &disk, sizeof(disk));
	p += sizeof(disk);
	for (uint32_t i = 0; i < nr_items; i++)
		p += put_item(&items[i], p);
}

/* ---- decoding ---- */

/* An item, whose strings are inside the operation; returns its length. */
static size_t get_item(const uint8_t *p, struct operation_item *ret)
{
	struct disk_operation_item disk;
	const char *strings = (const char *)p + sizeof(disk);

	memcpy(&disk, p, sizeof(disk));
	*ret = (struct operation_item){
		.volume = le32_get(disk.volume),
		.other = le32_get(disk.other),
		.new_id = le32_get(disk.new_id),
		.flags = le32_get(disk.flags),
		.size = le64_get(disk.size),
		.name = strings,
		.name_length = le16_get(disk.name_length),
		.attrs = strings + le16_get(disk.name_length),
		.attrs_length = le16_get(disk.attrs_length),
	};
	return item_bytes(ret->name_length, ret->attrs_length);
}

static int check_presence(bool present, bool wanted, const char *what,
			  struct error *err)
{
	if (present == wanted)
		return 0;
	return error_set(err, EUCLEAN, "%s %s", wanted ? "no" : "an unused",
			 what);
}

static int check_ids(const struct operation_item *item, unsigned int uses,
		     struct error *err)
{
	int r;

	r = check_presence(item->volume != 0, uses & USES_VOLUME, "volume",
			   err);
	if (r == 0)
		r = check_presence(item->other != 0, uses & USES_OTHER,
				   "other volume", err);
	if (r == 0)
		r = check_presence(item->new_id != 0, uses & USES_NEW_ID,
				   "new id", err);
	if (r == 0 && (item->flags & ~VOLUME_FLAGS_KNOWN ||
		       (item->flags && !(uses & USES_NEW_ID))))
		r = error_set(err, EUCLEAN, "flags %#" PRIx32, item->flags);
	return r;
}

static int check_size(uint64_t size, unsigned int uses, struct error *err)
{
	int r = check_presence(size != 0, uses & USES_SIZE, "size", err);

	if (r == 0 && (size % 512 != 0 || size > VOLUME_BYTES_MAX))
		r = error_set(err, EUCLEAN, "size %" PRIu64, size);
	return r;
}

static int check_strings(const struct operation_item *item, enum op op,
			 struct error *err)
{
	unsigned int uses = op_uses(op);
	int r;

	r = check_presence(item->name_length != 0, uses & USES_NAME, "name",
			   err);
	if (r == 0 && item->name_length != 0)
		r = volume_name_check(item->name, item->name_length,
				      op_name_kind(op), item->flags, err);
	if (r == 0 && !(uses & (USES_NEW_ID | USES_ATTRS)))
		r = check_presence(item->attrs_length != 0, false, "attribute",
				   err);
	if (r == 0)
		r = volume_attrs_check(item->attrs, item->attrs_length, err);
	return r;
}

/* Check the item at @p with @room bytes to go; its length or an error. */
static int check_item(const uint8_t *p, size_t room, enum op op,
		      size_t *ret_length, struct error *err)
{
	struct disk_operation_item disk;
	struct operation_item item;
	size_t length, used;
	int r;

	if (room < sizeof(disk))
		return error_set(err, EUCLEAN, "beyond the end");
	memcpy(&disk, p, sizeof(disk));
	length = get_item(p, &item);
	if (length > room)
		return error_set(err, EUCLEAN, "strings beyond the end");
	used = sizeof(disk) + item.name_length + item.attrs_length;
	if (le32_get(disk.zero) != 0 ||
	    !bytes_are_zero(p + used, length - used))
		return error_set(err, EUCLEAN, "reserved bytes are not zero");
	r = check_ids(&item, op_uses(op), err);
	if (r == 0)
		r = check_size(item.size, op_uses(op), err);
	if (r == 0)
		r = check_strings(&item, op, err);
	*ret_length = length;
	return r;
}

static int check_items(const uint8_t *payload, const struct operation *o,
		       struct error *err)
{
	size_t offset = sizeof(struct disk_operation), length = 0;
	int r;

	for (uint32_t i = 0; i < o->nr_items; i++) {
		r = check_item(payload + offset, o->length - offset, o->op,
			       &length, err);
		if (r < 0) {
			(void)error_prefix(err, "item %" PRIu32, i);
			return r;
		}
		offset += length;
	}
	if (offset != o->length)
		return error_set(err, EUCLEAN,
				 "length %" PRIu32 " is not the %zu of its "
				 "items",
				 o->length, offset);
	return 0;
}

static int check_operation(const struct disk_operation *disk,
			   const struct operation *o, const uint8_t *payload,
			   size_t length, enum op op, struct error *err)
{
	if (memcmp(disk->magic, OPERATION_MAGIC, sizeof(disk->magic)) != 0)
		return error_set(err, EUCLEAN, "no magic");
	if (disk->op != op)
		return error_set(err, EUCLEAN, "op %u is not %u of its entry",
				 disk->op, (unsigned int)op);
	if (o->length < sizeof(*disk) || o->length > length)
		return error_set(err, EUCLEAN,
				 "length %" PRIu32 " in a payload of %zu",
				 o->length, length);
	if (o->nr_items == 0)
		return error_set(err, EUCLEAN, "no item");
	if (disk->zero != 0 || le32_get(disk->zero2) != 0 ||
	    !bytes_are_zero(payload + o->length, length - o->length))
		return error_set(err, EUCLEAN, "reserved bytes are not zero");
	return check_items(payload, o, err);
}

int operation_decode(const void *payload, size_t length, enum op op,
		     struct operation *ret, struct error *err)
{
	struct disk_operation disk;
	struct operation o;
	int r;

	if (!op_is_metadata(op) || length == 0 || length % BLOCK_SIZE != 0)
		return error_set(err, EUCLEAN,
				 "operation: op %u with %zu bytes",
				 (unsigned int)op, length);
	memcpy(&disk, payload, sizeof(disk));
	o = (struct operation){
		.op = op,
		.nr_items = le16_get(disk.nr_items),
		.length = le32_get(disk.length),
		.time_ns = le64_get(disk.time_ns),
	};
	r = check_operation(&disk, &o, payload, length, op, err);
	if (r < 0) {
		(void)error_prefix(err, "operation");
		return r;
	}
	*ret = o;
	return 0;
}

void operation_next_item(const void *payload, size_t *cursor,
			 struct operation_item *ret)
{
	size_t offset = *cursor ? *cursor : sizeof(struct disk_operation);

	*cursor = offset + get_item((const uint8_t *)payload + offset, ret);
}
