/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disk images in files: what import and export have in common.  The formats
 * are qemu-img's to read and to write.
 */
#ifndef CLI_IMAGE_H
#define CLI_IMAGE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "nbd-uri.h"
#include "progress.h"

struct json_object;
struct options;
struct program;

struct image {
	const char *operand;  /* as it was typed, for messages */
	char path[PATH_MAX];  /* absolute: no word of another meaning */
	const char *format;   /* of qemu-img: raw or qcow2 */
	bool format_is_guess; /* nobody said it */
	int fd;		      /* of the file; 0: not open */
	struct statx opened;  /* as it was found */
};

/*
 * What programs call the file: their input_fd is image.fd.  So whatever
 * becomes of its name, all of them, and we, have the same file.
 */
#define IMAGE_PATH "/dev/stdin"

/* The file of operand 1, and its format: as --format says, else its name. */
int image_init(const struct options *options, struct image *ret);

/*
 * Open it, to be read.  Its size is that of the disk in it, of whole sectors.
 * One that reads other files is refused: it would bring along whatever of
 * this host it names.
 */
int image_open_file(struct image *image, uint64_t *ret_size);

/* Is all of an open one there, as far as its format can tell? */
int image_check(const struct image *image);

/*
 * Has nobody written to an open one since?  It is said when somebody has.  A
 * block device does not tell.
 */
int image_check_unchanged(const struct image *image);

void image_close_file(struct image *image);

/*
 * Run a copying @program that says how far it is.  Complaints are printed,
 * with @operand before them.  Returns an exit code.
 */
int image_copy(struct program *program, const char *operand,
	       struct progress *progress, uint64_t size);

/* One verb on the server of @store, which may be busy with us for a moment. */
int image_call(const char *store, const char *verb, struct json_object *args,
	       struct json_object **ret_data);

/* Where the server of @store has @export, for the programs that copy. */
int image_uri(const char *store, const char *export, char ret[NBD_URI_MAX]);

/* What was copied: "name", "size" and "format". */
void image_print_json(const struct image *image, const char *name,
		      uint64_t size);

#endif
