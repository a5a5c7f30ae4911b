/* SPDX-License-Identifier: BSD-2-Clause */
#include "meta-reader.h"

#include <inttypes.h>
#include <stdlib.h>

#include "checksum.h"

int meta_record_read(struct backend *be, uint64_t place,
		     const struct page_ref *ref, void **ret, struct error *err)
{
	void *data = malloc(ref->length);
	int r;

	if (!data)
		return error_set(err, ENOMEM, "out of memory");
	r = backend_read(be, place, ref->offset, data, ref->length, 0, err);
	if (r == 0 && checksum64(data, ref->length) != ref->checksum)
		r = backend_read(be, place, ref->offset, data, ref->length,
				 BACKEND_READ_AROUND_CACHE, err);
	if (r == 0 && checksum64(data, ref->length) != ref->checksum)
		r = error_set(err, EBADMSG,
			      "checksum mismatch: segment %" PRIu64
			      " offset %" PRIu32,
			      ref->segno, ref->offset);
	if (r < 0) {
		free(data);
		return r;
	}
	*ret = data;
	return 0;
}

int meta_record_find(struct segment_table *table, const struct page_ref *ref,
		     struct segment **ret, struct error *err)
{
	mutex_assert_held(&table->core->lock);
	*ret = segment_find_meta(table, ref->segno);
	if (*ret)
		return 0;
	return error_set(err, EUCLEAN,
			 "a record is in segment %" PRIu64
			 ", which holds no metadata",
			 ref->segno);
}

int meta_record_load(struct segment_table *table, const struct page_ref *ref,
		     void **ret, struct error *err)
{
	struct segment *s;
	int r = meta_record_find(table, ref, &s, err);

	if (r == 0)
		r = meta_record_read(table->core->be, s->place, ref, ret, err);
	if (r == 0) /* cannot fail: it is there */
		r = segment_add_meta(table, ref->segno, ref->length, err);
	return r;
}
