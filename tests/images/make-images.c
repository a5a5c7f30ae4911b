/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Make the images of this revision of the format: see README.md.
 *
 * make-images DIRECTORY REVISION
 *
 * writes, for each kind of store that the damage tests know,
 * DIRECTORY/REVISION-NAME.store, and REVISION-NAME.txt: what it holds.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "specimen.h"
#include "test-store.h"

#define SEED 20261122u

static void write_text(const struct specimen *specimen, const char *path)
{
	FILE *file = fopen(path, "wx");

	if (!file)
		die("%s: %s", path, strerror(errno));
	state_print(specimen->states.ptr[specimen->states.len - 1], file);
	if (fclose(file) != 0)
		die("%s: %s", path, strerror(errno));
}

int main(int argc, char **argv)
{
	if (argc != 3)
		die("usage: %s DIRECTORY REVISION", argv[0]);
	for (int i = 0; i < NR_SPECIMENS; i++) {
		struct specimen specimen;
		char path[500];

		specimen_make(&specimen, (enum specimen_kind)i, SEED);
		(void)snprintf(path, sizeof(path), "%s/%s-%s.store", argv[1],
			       argv[2], specimen_names[i]);
		medium_save(&specimen.medium, path);
		strcpy(strrchr(path, '.'), ".txt");
		write_text(&specimen, path);
		specimen_done(&specimen);
	}
	return 0;
}
