/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Another program, run to its end: qemu-img, nbdcopy.
 *
 * What it says is heard as it comes, the first line of what it complains
 * about is kept.  A signal that interrupt_catch() has noted ends it.
 */
#ifndef CLI_PROGRAM_H
#define CLI_PROGRAM_H

#include <stddef.h>

/* What a program that is not installed ends with. */
#define PROGRAM_MISSING 127

/* What is heard, as text.  Of more than @max bytes some is missing. */
struct program_text {
	size_t max, length;
	char *ptr; /* NULL: nothing was said; free() it */
};

/* For .hear; @opaque: a struct program_text. */
void program_keep_text(void *opaque, const char *data, size_t length);

struct program {
	const char *const *args; /* NULL-terminated; args[0]: looked for */
	int input_fd;		 /* its standard input; 0: /dev/null */
	/* descriptor of the program on which it is heard; its standard output
	 * is ours, unless it is that one */
	int heard_fd;
	/* NULL: nobody listens */
	void (*hear)(void *opaque, const char *data, size_t length);
	void *opaque;
	char complaint[256]; /* "": none */
};

/* Returns what it exits with, or 128 + the signal that ended it or us. */
int program_run(struct program *program);

#endif
