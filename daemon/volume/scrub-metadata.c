/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of a scrub that verifies superblocks, the root and the pages of
 * the tables.
 *
 * All of it is in memory, too, verified when it was loaded.  So what is
 * damaged on the medium is made dirty, and the next checkpoint writes it
 * anew: else the store could not be opened again.
 */
#include "scrub.h"

#include <inttypes.h>
#include <string.h>

#include "checksum.h"
#include "tables.h"

bool scrub_can_mend(const struct scrub *scrub)
{
	struct core *core = &scrub->store->core;
	bool failed;

	mutex_lock(&core->lock);
	failed = core->failed != 0;
	mutex_unlock(&core->lock);
	return !failed && !core->read_only;
}

/* What is said behind a thing that was damaged. */
static const char *mended(const struct scrub *scrub)
{
	return scrub_can_mend(scrub) ? "; written anew from memory" : "";
}

/* ---- superblocks ---- */

/* Admin held: no checkpoint writes them meanwhile. */
static int check_superblock(struct scrub *scrub, unsigned int copy,
			    struct error *err)
{
	const struct superblock *now = &scrub->store->sb;
	struct disk_superblock disk;
	struct superblock sb;
	int r;

	mutex_assert_held(&scrub->store->admin);
	r = backend_super_read(scrub->store->core.be, copy, &disk, err);
	if (r == 0)
		r = superblock_decode(&disk, copy, &sb, err);
	if (r < 0)
		return r;
	if (memcmp(sb.uuid, now->uuid, sizeof(sb.uuid)) != 0)
		return error_set(err, EUCLEAN, "is of another store");
	/*
	 * A crash may leave an older one until the store is opened for
	 * writing, and so does a failed write.
	 */
	if (!scrub_can_mend(scrub))
		return 0;
	if (sb.checkpoint_id != now->checkpoint_id ||
	    sb.open_incarnation != now->open_incarnation)
		return error_set(err, EUCLEAN,
				 "is of checkpoint %" PRIu64
				 " incarnation %" PRIu64
				 ", which is not the last one",
				 sb.checkpoint_id, sb.open_incarnation);
	return 0;
}

static void scrub_superblocks(struct scrub *scrub)
{
	struct store *store = scrub->store;
	struct error errors[SUPERBLOCK_COPIES] = {ERROR_NONE, ERROR_NONE};
	int r[SUPERBLOCK_COPIES];

	mutex_lock(&store->admin);
	for (unsigned int i = 0; i < SUPERBLOCK_COPIES; i++)
		r[i] = check_superblock(scrub, i, &errors[i]);
	mutex_unlock(&store->admin);
	for (unsigned int i = 0; i < SUPERBLOCK_COPIES; i++)
		if (r[i] < 0)
			scrub_found(scrub, "superblock %c: %s%s", 'A' + i,
				    errors[i].message, mended(scrub));
	scrub->bytes += SUPERBLOCK_COPIES * sizeof(struct disk_superblock);
}

/* ---- records ---- */

/*
 * Pin the segment of @ref; NULL: there is no record to verify, or (*ret_lost)
 * no segment that could hold it.  Core held.
 */
static struct segment *pin(struct scrub *scrub, const struct page_ref *ref,
			   bool *ret_lost)
{
	struct store *store = scrub->store;
	struct segment *s;

	mutex_assert_held(&store->core.lock);
	if (ref->segno == 0 ||
	    !core_record_is_written(&store->core, ref->segno, ref->offset))
		return NULL;
	s = segment_find(&store->segments, ref->segno);
	*ret_lost = !s || s->kind != SEGMENT_META;
	if (*ret_lost)
		return NULL;
	s->pins++;
	return s;
}

static int read_good(struct scrub *scrub, const struct segment *s,
		     const struct page_ref *ref, bool again, void *data,
		     struct error *err)
{
	int r = scrub_read_record(scrub, s, ref->offset, ref->length, again,
				  data, err);

	if (r == 0 && checksum64(data, ref->length) != ref->checksum)
		r = error_set(err, EBADMSG, "does not match its checksum");
	return r;
}

/* Verify the record @ref of the pinned segment @s, and unpin it. */
static int check_record(struct scrub *scrub, struct segment *s,
			const struct page_ref *ref, struct error *err)
{
	CLEANUP_FREE void *data = malloc(ref->length);
	int r = -ENOMEM;

	if (data)
		r = read_good(scrub, s, ref, false, data, err);
	if (data && r < 0)
		r = read_good(scrub, s, ref, true, data, err);
	mutex_lock(&scrub->store->core.lock);
	s->pins--;
	mutex_unlock(&scrub->store->core.lock);
	mutex_give_way(&scrub->store->core.lock);
	scrub->bytes += ref->length;
	return r;
}

int scrub_roots(struct scrub *scrub)
{
	struct store *store = scrub->store;
	struct error err = ERROR_NONE;
	struct page_ref ref;
	struct segment *s;
	bool lost = false;
	int r = 0;

	scrub_superblocks(scrub);
	mutex_lock(&store->core.lock);
	ref = (struct page_ref){.segno = store->sb.root.segno,
				.offset = store->sb.root.offset,
				.length = store->sb.root.length,
				.checksum = store->sb.root.checksum};
	s = pin(scrub, &ref, &lost);
	mutex_unlock(&store->core.lock);
	if (s)
		r = check_record(scrub, s, &ref, &err);
	if (r < 0 && r != -ENOMEM)
		scrub_found(scrub,
			    "checkpoint root (segment %" PRIu64
			    " offset %" PRIu32 "): %s%s",
			    ref.segno, ref.offset, err.message, mended(scrub));
	return r == -ENOMEM ? r : 0;
}

/*
 * Make page @index dirty, or, when there is none, the next one: that writes
 * the directory above them, too.
 */
static void mend_page(struct scrub *scrub, struct page_table *table,
		      uint32_t index)
{
	uint32_t end =
		index - index % DIRECTORY_PAGE_ENTRIES + DIRECTORY_PAGE_ENTRIES;

	/* every checkpoint writes the whole reaper queue */
	if (!scrub_can_mend(scrub) || table->kind == TABLE_REAPER)
		return;
	mutex_lock(&scrub->store->core.lock);
	while (index < table->nr_pages && index < end &&
	       table->pages[index].ref.segno == 0)
		index++;
	if (index < table->nr_pages && index < end)
		store_touch_page(scrub->store, table, index);
	mutex_unlock(&scrub->store->core.lock);
}

/* The reference to page @index, or to the directory above it.  Core held. */
static struct page_ref get_ref(const struct page_table *table, uint32_t index,
			       bool directory)
{
	struct page_ref none = {0};

	if (!directory)
		return index < table->nr_pages ? table->pages[index].ref : none;
	index /= DIRECTORY_PAGE_ENTRIES;
	return index < table->nr_directories ? table->directories[index] : none;
}

static int scrub_ref(struct scrub *scrub, enum table t, uint32_t index,
		     bool directory)
{
	struct page_table *table = store_table(scrub->store, t);
	struct error err = ERROR_NONE;
	struct page_ref ref;
	struct segment *s;
	bool lost = false;
	int r = 0;

	mutex_lock(&scrub->store->core.lock);
	ref = get_ref(table, index, directory);
	s = pin(scrub, &ref, &lost);
	mutex_unlock(&scrub->store->core.lock);
	if (lost)
		r = error_set(&err, EUCLEAN, "its segment is not there");
	else if (s)
		r = check_record(scrub, s, &ref, &err);
	if (r == -ENOMEM)
		return r;
	if (r == 0)
		return 0;
	mend_page(scrub, table, index);
	if (directory)
		index /= DIRECTORY_PAGE_ENTRIES;
	scrub_found(scrub,
		    "%s: %s %" PRIu32 " (segment %" PRIu64 " offset %" PRIu32
		    "): %s%s",
		    table_name(t), directory ? "directory page" : "page", index,
		    ref.segno, ref.offset, err.message, mended(scrub));
	return 0;
}

int scrub_page(struct scrub *scrub, enum table table, uint32_t index)
{
	int r = 0;

	if (index % DIRECTORY_PAGE_ENTRIES == 0)
		r = scrub_ref(scrub, table, index, true);
	return r < 0 ? r : scrub_ref(scrub, table, index, false);
}
