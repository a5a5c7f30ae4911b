/* SPDX-License-Identifier: BSD-2-Clause */
#include "store-use.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "test-store.h"

#define VOLUMES_MAX 6u
#define IO_BYTES 16384u
#define SLICES_MAX 1000u

static struct error failure;

static struct error *fresh(void)
{
	failure = (struct error)ERROR_NONE;
	return &failure;
}

static void done(const char *what, int r)
{
	fuzz_check_result(what, r, &failure);
}

static void hear_line(void *opaque, const char *line)
{
	fuzz_check_text("a line", line);
}

static void hear_message(void *opaque, enum message_level level,
			 enum store_event event, const char *text)
{
	fuzz_check_text("a message", text);
}

static int hear_extent(void *opaque, uint64_t offset, uint64_t length,
		       bool is_hole)
{
	if (length == 0)
		fuzz_fail("extents", "an empty extent");
	return 0;
}

/* ---- a volume ---- */

static void read_volume(struct volume_handle *handle, uint64_t end)
{
	static uint8_t data[IO_BYTES];

	done("volume_read",
	     volume_read(handle, data, sizeof(data), 0, fresh()));
	done("volume_read",
	     volume_read(handle, data, sizeof(data), end, fresh()));
	done("volume_extents", volume_extents(handle, UINT64_C(1) << 30, 0,
					      hear_extent, NULL, fresh()));
	done("volume_cache", volume_cache(handle, 4096, end, fresh()));
}

static void write_volume(struct volume_handle *handle, uint64_t end)
{
	done("volume_write",
	     volume_write(handle, "hello", 5, 100, false, fresh()));
	done("volume_write",
	     volume_write(handle, "hello", 5, end, true, fresh()));
	done("volume_zero", volume_zero(handle, 8192, 4096, false, fresh()));
	done("volume_trim", volume_trim(handle, 100 << 20, 0, false, fresh()));
	done("volume_flush", volume_flush(handle, fresh()));
}

static void use_volume(struct store *store, const struct volume_info *info,
		       bool writable)
{
	struct volume_handle *handle;
	uint64_t end;
	int r;

	writable = writable && !info->snapshot;
	r = volume_open(store, info->name, writable ? VOLUME_OPEN_WRITE : 0,
			&handle, fresh());
	done("volume_open", r);
	if (r < 0)
		return;
	end = info->size > IO_BYTES ? info->size - IO_BYTES : 0;
	read_volume(handle, end);
	if (writable)
		write_volume(handle, end);
	volume_close(handle);
}

/* ---- the verbs ---- */

/* What would be lost is counted leaf by leaf: not in all of a large one. */
#define COUNTED_BYTES (UINT64_C(1) << 30)

static void change_size(struct store *store, const char *name, uint64_t size)
{
	uint64_t end = size > COUNTED_BYTES ? size - COUNTED_BYTES : 8192;
	uint64_t was, lost;

	end -= end % 4096;
	done("store_resize_dry_run",
	     store_resize_dry_run(store, name, end, true, &was, &lost,
				  fresh()));
	done("store_resize",
	     store_resize(store, name, 8192, true, &was, fresh()));
	done("store_resize",
	     store_resize(store, name, 1 << 20, false, &was, fresh()));
}

static void change_head(struct store *store, const char *name, uint64_t size)
{
	static const struct setting settings[] = {{"quota", "1048576"},
						  {"on-full", "pause"}};
	char text[NAME_MAX_BYTES + 8];
	const char *other = text;

	(void)snprintf(text, sizeof(text), "%s@new", name);
	done("store_snapshot_dry_run",
	     store_snapshot_dry_run(store, &other, 1, fresh()));
	done("store_snapshot",
	     store_snapshot(store, &other, 1, "text", fresh()));
	done("store_set", store_set(store, name, settings, 2, fresh()));
	done("store_undo_dry_run",
	     store_undo_dry_run(store, &name, 1, fresh()));
	done("store_undo", store_undo(store, &name, 1, fresh()));
	change_size(store, name, size);
	(void)snprintf(text, sizeof(text), "%s-renamed", name);
	done("store_rename_dry_run",
	     store_rename_dry_run(store, &name, &other, 1, fresh()));
	done("store_rename", store_rename(store, &name, &other, 1, fresh()));
}

static void change_snapshot(struct store *store, const char *name)
{
	char kept[1][NAME_MAX_BYTES + 1], text[NAME_MAX_BYTES + 8];
	const char *other = text;
	struct space_freed freed;

	done("store_rollback_dry_run",
	     store_rollback_dry_run(store, &name, 1, fresh()));
	done("store_rollback", store_rollback(store, &name, 1, kept, fresh()));
	(void)snprintf(text, sizeof(text), "%.*s-clone",
		       (int)strcspn(name, "@"), name);
	done("store_clone_dry_run",
	     store_clone_dry_run(store, name, &other, 1, fresh()));
	done("store_clone", store_clone(store, name, &other, 1, fresh()));
	done("store_scratch", store_scratch(store, name, kept[0], fresh()));
	done("store_delete_dry_run",
	     store_delete_dry_run(store, &name, 1, false, &freed, fresh()));
	done("store_delete", store_delete(store, &name, 1, false, fresh()));
}

/* It ends: a slice verifies a little at least. */
static void scrub(struct store *store)
{
	struct scrub_options options = {.max_bytes = 1 << 20, .restart = true};
	struct scrub_progress progress = {0};
	unsigned int nr_slices = 0;
	int r = 0;

	while (r == 0 && !progress.done) {
		r = store_scrub(store, &options, &progress, hear_line, NULL,
				fresh());
		done("store_scrub", r);
		options.restart = false;
		if (progress.percent > 100 || ++nr_slices > SLICES_MAX)
			fuzz_fail("store_scrub", "does not come to an end");
	}
}

static void look(struct store *store)
{
	struct check_report report;
	struct store_stat stat;

	store_stat(store, &stat);
	done("store_check",
	     store_check(store, hear_line, NULL, &report, fresh()));
	done("store_dump", store_dump(store, "all", hear_line, NULL, fresh()));
}

static void ask_all(struct store *store, const struct volume_info *infos,
		    size_t nr, bool writable)
{
	struct space_freed freed;

	for (size_t i = 0; i < nr; i++)
		use_volume(store, &infos[i], writable);
	for (size_t i = 0; i < nr; i++) {
		const char *name = infos[i].name;

		done("store_delete_dry_run",
		     store_delete_dry_run(store, &name, 1, true, &freed,
					  fresh()));
	}
	for (size_t i = 0; writable && i < nr; i++) {
		if (infos[i].snapshot)
			change_snapshot(store, infos[i].name);
		else
			change_head(store, infos[i].name, infos[i].size);
	}
}

static void delete_heads(struct store *store, const struct volume_info *infos,
			 size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		const char *name = infos[i].name;

		if (!infos[i].snapshot)
			done("store_delete",
			     store_delete(store, &name, 1, true, fresh()));
	}
}

static void use(struct store *store, bool writable)
{
	struct volume_info *infos = NULL;
	struct volume_space *spaces;
	struct space_freed all;
	size_t nr_spaces;
	size_t nr = 0;

	look(store);
	done("store_list", store_list(store, &infos, &nr, fresh()));
	done("store_excl", store_excl(store, infos, nr, fresh()));
	if (store_space(store, NULL, 0, &spaces, &nr_spaces, &all, fresh()) ==
	    0)
		free(spaces);
	if (nr > VOLUMES_MAX)
		nr = VOLUMES_MAX;
	ask_all(store, infos, nr, writable);
	scrub(store);
	if (writable) {
		done("store_clean", store_clean(store, fresh()));
		done("store_checkpoint", store_checkpoint(store, fresh()));
		done("store_reap", store_reap(store, fresh()));
		look(store);
		delete_heads(store, infos, nr);
		done("store_reap", store_reap(store, fresh()));
	}
	free(infos);
}

void store_repair_and_check(struct memory_disk *disk, bool cut_log)
{
	struct backend *be = backend_memory_open(disk);
	struct repair_options options = {.cut_log = cut_log, .dry_run = true};
	struct check_report report;
	int r;

	done("store_check_backend",
	     store_check_backend(be, NULL, hear_line, NULL, &report, fresh()));
	done("store_repair, dry run",
	     store_repair(be, &options, hear_line, NULL, &report, fresh()));
	options.dry_run = false;
	r = store_repair(be, &options, hear_line, NULL, &report, fresh());
	done("store_repair", r);
	if (r == 0 && store_check_backend(be, NULL, hear_line, NULL, &report,
					  fresh()) < 0)
		fuzz_fail("check after a repair", failure.message);
	backend_close(be);
}

int store_open_and_use(struct memory_disk *disk,
		       const struct store_open_options *options, bool clean)
{
	struct store_open_options with = *options;
	struct store *store;
	int r;

	with.message = hear_message;
	r = test_store_open(disk, &with, &store, fresh());
	done("store_open", r);
	if (r < 0)
		return r;
	use(store, !options->read_only);
	done("store_close", store_close(store, clean, fresh()));
	return 0;
}
