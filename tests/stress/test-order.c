/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many clients at once on the engine, by calls: every read and snapshot must
 * have an order that explains it, and the threads no race.  Meanwhile the
 * store is cleaned, checked and scrubbed all the time.
 *
 * test-order [--seconds N] [--clients N] [--seed N]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "clients.h"
#include "clock.h"
#include "random.h"
#include "test-store.h"

#define SECONDS_DEFAULT 6u
#define CLIENTS_DEFAULT 8u
#define NR_FRAMES 4000u

static struct store *store;

static int engine_open(const char *name, bool write, void **ret,
		       struct error *err)
{
	struct volume_handle *handle;
	int r = volume_open(store, name, write ? VOLUME_OPEN_WRITE : 0, &handle,
			    err);

	if (r == 0)
		*ret = handle;
	return r;
}

static void engine_close(void *connection)
{
	volume_close(connection);
}

static int engine_read(void *connection, void *ret, uint32_t length,
		       uint64_t offset, struct error *err)
{
	return volume_read(connection, ret, length, offset, err);
}

static int engine_write(void *connection, const void *data, uint32_t length,
			uint64_t offset, bool fua, struct error *err)
{
	return volume_write(connection, data, length, offset, fua, err);
}

static int engine_zero(void *connection, uint32_t length, uint64_t offset,
		       struct error *err)
{
	return volume_zero(connection, length, offset, false, err);
}

static int engine_trim(void *connection, uint32_t length, uint64_t offset,
		       struct error *err)
{
	return volume_trim(connection, length, offset, false, err);
}

static int engine_flush(void *connection, struct error *err)
{
	return volume_flush(connection, err);
}

struct pair {
	char names[2][40];
	const char *all[2];
};

static void make_pair(const char *name, struct pair *ret)
{
	for (unsigned int i = 0; i < 2; i++) {
		(void)snprintf(ret->names[i], sizeof(ret->names[i]), "%c@%s",
			       "ab"[i], name);
		ret->all[i] = ret->names[i];
	}
}

static int engine_snapshot(const char *name, struct error *err)
{
	struct pair pair;

	make_pair(name, &pair);
	return store_snapshot(store, pair.all, 2, NULL, err);
}

static int engine_delete(const char *name, struct error *err)
{
	struct pair pair;

	make_pair(name, &pair);
	return store_delete(store, pair.all, 2, false, err);
}

static int scrub(struct error *err)
{
	struct scrub_options options = {.max_bytes = 1 << 20};
	struct scrub_progress progress = {0};
	int r;

	do {
		r = store_scrub(store, &options, &progress, NULL, NULL, err);
		options.began_ns = progress.began_ns;
	} while (r == 0 && !progress.done);
	return r;
}

/* Everything that moves or looks at blocks that clients use. */
static int engine_disturb(struct error *err)
{
	int r;

	sleep_ms(20);
	r = store_clean(store, err);
	if (r < 0 && r != -ENOSPC)
		return r;
	sleep_ms(20);
	if (!test_store_check(store, err))
		return -1;
	sleep_ms(20);
	r = scrub(err);
	return r < 0 ? r : store_checkpoint(store, err);
}

static const struct clients_target engine_target = {
	.open = engine_open,
	.close = engine_close,
	.read = engine_read,
	.write = engine_write,
	.zero = engine_zero,
	.trim = engine_trim,
	.flush = engine_flush,
	.snapshot = engine_snapshot,
	.delete_snapshot = engine_delete,
	.disturb = engine_disturb,
};

static void must(int r, const struct error *err)
{
	if (r < 0)
		die("FAILED %s", err->message);
}

int main(int argc, char **argv)
{
	struct clients_options options = {
		.nr_clients = (unsigned int)test_option(&argc, argv, "clients",
							CLIENTS_DEFAULT),
		.seconds = (unsigned int)test_option(&argc, argv, "seconds",
						     SECONDS_DEFAULT),
		.seed = test_option(&argc, argv, "seed", rng_time_seed()),
	};
	struct store_open_options open_options = {
		.checkpoint_log_bytes = 8 << 20,
	};
	struct memory_disk *disk = test_store_disk(NR_FRAMES);
	struct error err = ERROR_NONE;
	unsigned int nr_more = 10;
	struct store_stat stat;

	if (argc > 1)
		die("%s: unknown option %s", argv[0], argv[1]);
	must(test_store_open(disk, &open_options, &store, &err), &err);
	must(store_start(store, &err), &err);
	must(store_create(store, "a", CLIENTS_VOLUME_BYTES, &err), &err);
	must(store_create(store, "b", CLIENTS_VOLUME_BYTES, &err), &err);
	do { /* on a slow machine, until there was something to clean */
		clients_run(&engine_target, &options);
		store_stat(store, &stat);
	} while (stat.moved_blocks == 0 && nr_more-- > 0);
	printf("%" PRIu64 " blocks moved by the cleaner, %" PRIu64 " renamed\n",
	       stat.moved_blocks, stat.renamed_blocks);
	if (stat.moved_blocks == 0)
		die("FAILED the cleaner had nothing to do");
	must(store_close(store, true, &err), &err);
	memory_disk_put(disk);
	return 0;
}
