/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stores of every revision of the format open, read-only and for writing,
 * hold what they held when they were made, and are as good as new ones to
 * write to: see README.md.
 *
 * test-images DIRECTORY
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend-file.h"
#include "content.h"
#include "test-store.h"

static char scratch[] = "/tmp/varve-images-XXXXXX";

struct image {
	char name[NAME_MAX_BYTES + 1];
	char path[PATH_MAX]; /* unpacked */
	struct state state;
};

/* Unpack @packed to @path, with holes. */
static void unpack(const char *packed, const char *path)
{
	static const uint8_t zeros[BLOCK_SIZE];
	uint8_t data[BLOCK_SIZE];
	char command[PATH_MAX + 16];
	off_t size = 0;
	FILE *from;
	int to = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);

	(void)snprintf(command, sizeof(command), "exec gzip -dc '%s'", packed);
	from = popen(command, "r");
	if (to < 0 || !from)
		die("%s: %s", path, strerror(errno));
	for (; fread(data, sizeof(data), 1, from) == 1; size += BLOCK_SIZE)
		if (memcmp(data, zeros, BLOCK_SIZE) != 0 &&
		    pwrite(to, data, BLOCK_SIZE, size) != BLOCK_SIZE)
			die("%s: %s", path, strerror(errno));
	if (pclose(from) != 0 || ftruncate(to, size) < 0 || size == 0)
		die("%s: cannot be unpacked", packed);
	close(to);
}

static struct store *open_image(const struct image *image, bool read_only)
{
	struct store_open_options options = {.read_only = read_only};
	struct error err = ERROR_NONE;
	struct backend *be;
	struct store *store;

	if (backend_file_open(image->path,
			      read_only ? BACKEND_FILE_READ_ONLY : 0, -1, 0,
			      &be, &err) < 0 ||
	    store_open(be, &options, &store, &err) < 0)
		die("%s does not open%s: %s", image->name,
		    read_only ? " read-only" : "", err.message);
	return store;
}

static void stop(const struct image *image, struct store *store)
{
	struct error err = ERROR_NONE;

	if (store_close(store, true, &err) < 0)
		die("%s cannot be stopped: %s", image->name, err.message);
}

/* Every other block of interest. */
static void write_some(struct store *store, struct content *c, uint32_t *number)
{
	struct volume_handle *handle;
	struct error err = ERROR_NONE;
	uint8_t data[BLOCK_SIZE];

	if (volume_open(store, c->name, VOLUME_OPEN_WRITE, &handle, &err) < 0)
		die("%s: %s", c->name, err.message);
	for (unsigned int i = 0; i < NR_BLOCKS; i += 2) {
		c->numbers[i] = (*number)++;
		fill_block(data, c->numbers[i]);
		if (volume_write(handle, data, BLOCK_SIZE,
				 block_of_interest(i).index * BLOCK_SIZE, false,
				 &err) < 0)
			die("%s: %s", c->name, err.message);
	}
	volume_close(handle);
}

static void look(const struct image *image, bool read_only)
{
	struct store *store = open_image(image, read_only);
	struct error err = ERROR_NONE;
	struct unread unread;

	if (!state_compare(&image->state, store, &unread, &err))
		die("%s: %s", image->name, err.message);
	if (unread.nr > 0)
		die("%s cannot be read: %s", image->name, unread.example);
	if (!test_store_check(store, &err))
		die("%s: %s", image->name, err.message);
	stop(image, store);
}

/* Write to a volume that has snapshots, and let the cleaner move blocks. */
static void work(struct image *image)
{
	struct store *store = open_image(image, false);
	struct error err = ERROR_NONE;
	uint32_t number = 1u << 30; /* above all of the image */
	struct store_stat stat;
	int r;

	for (unsigned int round = 0; round < 3; round++) {
		write_some(store, state_find(&image->state, "v"), &number);
		if (store_checkpoint(store, &err) < 0)
			die("%s: %s", image->name, err.message);
		/* there may be no frame before a checkpoint */
		r = store_clean(store, &err);
		if (r < 0 && r != -ENOSPC)
			die("%s: %s", image->name, err.message);
	}
	store_stat(store, &stat);
	if (stat.copied_blocks == 0)
		die("%s: nothing was cleaned", image->name);
	stop(image, store);
}

static void try_image(const char *directory, const char *text_name)
{
	char path[PATH_MAX];
	struct image image;
	FILE *text;

	(void)snprintf(image.name, sizeof(image.name), "%.*s",
		       (int)(strlen(text_name) - strlen(".txt")), text_name);
	(void)snprintf(path, sizeof(path), "%s/%s", directory, text_name);
	text = fopen(path, "r");
	if (!text)
		die("%s: %s", path, strerror(errno));
	state_parse(&image.state, text);
	(void)fclose(text); /* only read */
	(void)snprintf(path, sizeof(path), "%s/%s.store.gz", directory,
		       image.name);
	(void)snprintf(image.path, sizeof(image.path), "%s/store", scratch);
	unpack(path, image.path);
	look(&image, true);
	look(&image, false);
	work(&image);
	look(&image, false);
	look(&image, true);
	unlink(image.path);
	printf("%s: %u volumes and snapshots\n", image.name, image.state.nr);
}

int main(int argc, char **argv)
{
	unsigned int nr = 0;
	struct dirent *entry;
	DIR *dir;

	if (argc != 2)
		die("usage: %s DIRECTORY", argv[0]);
	dir = opendir(argv[1]);
	if (!dir || !mkdtemp(scratch))
		die("%s: %s", argv[1], strerror(errno));
	while ((entry = readdir(dir)) != NULL) {
		size_t length = strlen(entry->d_name);

		if (length > 4 &&
		    strcmp(entry->d_name + length - 4, ".txt") == 0) {
			try_image(argv[1], entry->d_name);
			nr++;
		}
	}
	closedir(dir);
	rmdir(scratch);
	printf("%u images\n", nr);
	return nr > 0 ? 0 : 1;
}
