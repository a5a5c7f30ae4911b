/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names users type: one grammar, one parser.  See FORMAT.md, Names.
 *
 *   name     = volume [ "@" snapshot [ ".." snapshot ] ] [ ":" view ]
 *   volume   = [ word "/" ] word
 *   snapshot = word                      (not an RFC 3339 time)
 *   view     = "attached" (volumes) | "scratch" | "scratch." digits
 *              (snapshots)
 *   word     = [A-Za-z0-9][A-Za-z0-9_.-]*   without ".."
 */
#ifndef FORMAT_NAMES_H
#define FORMAT_NAMES_H

#include <stdint.h>

#include "error.h"

#define NAME_MAX_BYTES 255u

enum name_view {
	VIEW_NONE = 0,
	VIEW_ATTACHED,	/* vol:attached */
	VIEW_SCRATCH,	/* vol@s:scratch */
	VIEW_SCRATCH_N, /* vol@s:scratch.N: a scratch volume that exists */
};

struct name {
	char volume[NAME_MAX_BYTES + 1];   /* with group */
	char snapshot[NAME_MAX_BYTES + 1]; /* "": none */
	char until[NAME_MAX_BYTES + 1];	   /* b of a..b, "": none */
	enum name_view view;
	uint32_t scratch; /* N */
};

/*
 * Parse @text (NUL-terminated).  -EINVAL with a sentence that quotes @text
 * safely (control characters escaped, long names cut).
 */
int name_parse(const char *text, struct name *ret, struct error *err);

/* The same, but the name must be of this kind; else -EINVAL. */
int name_parse_volume(const char *text, struct name *ret, struct error *err);
int name_parse_snapshot(const char *text, struct name *ret, struct error *err);

/* Check the word after "@" alone. */
int name_check_snapshot_word(const char *word, struct error *err);

#endif
