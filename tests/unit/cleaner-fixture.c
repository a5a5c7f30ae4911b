/* SPDX-License-Identifier: BSD-2-Clause */
#include "cleaner-fixture.h"

struct volume_handle *half_dead(const char *name)
{
	struct volume_handle *h = create_volume(name, NR_BLOCKS);

	put(h, 0, NR_BLOCKS, 1);
	for (uint32_t i = 0; i < NR_BLOCKS; i += 2)
		put(h, i, 1, 2);
	/* the segments are written, and the maps clean */
	must(store_checkpoint(store, &err));
	return h;
}

void expect_half(struct volume_handle *h)
{
	for (uint32_t i = 0; i < NR_BLOCKS; i++)
		expect(h, i, 1, i % 2 ? 1 : 2);
}

void no_segment_is_in_quarantine(void)
{
	lock_core();
	for (uint32_t i = 0; i < store->segments.pages.nr_pages; i++)
		assert_false(store->segments.by_index[i] &&
			     store->segments.by_index[i]->quarantine);
	unlock_core();
}
