/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names that users type.  What is accepted says exactly what was typed, and
 * the decoder of volume records takes the same names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz-text.h"
#include "names.h"
#include "volume-record.h"

/* The text that @name stands for. */
static void compose(const struct name *name, char *ret, size_t size)
{
	char number[16] = "";

	if (name->view == VIEW_SCRATCH_N)
		(void)snprintf(number, sizeof(number), ".%u", name->scratch);
	(void)snprintf(ret, size, "%s%s%s%s%s%s%s", name->volume,
		       name->snapshot[0] ? "@" : "", name->snapshot,
		       name->until[0] ? ".." : "", name->until,
		       name->view == VIEW_NONE	     ? ""
		       : name->view == VIEW_ATTACHED ? ":attached"
						     : ":scratch",
		       number);
}

static void check_name(const char *text, const struct name *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-/@:";
	char composed[4 * (NAME_MAX_BYTES + 1)];

	compose(name, composed, sizeof(composed));
	if (strcmp(text, composed) != 0)
		fuzz_fail("name", "accepted as another");
	if (text[strspn(text, allowed)])
		fuzz_fail("name", "accepted with a letter no name has");
}

/* A record holds the name of a volume, or the word of a snapshot. */
static void check_record(const char *text, bool is_volume)
{
	struct error err = ERROR_NONE;
	int r = volume_name_check(text, strlen(text), VOLUME_HEAD, 0, &err);

	fuzz_check_result("volume_name_check", r, &err);
	if ((r == 0) != is_volume)
		fuzz_fail("volume name", "a record and a user disagree");
	err = (struct error)ERROR_NONE;
	r = volume_name_check(text, strlen(text), VOLUME_SNAPSHOT, 0, &err);
	fuzz_check_result("volume_name_check", r, &err);
	if ((r == 0) != (name_check_snapshot_word(text, NULL) == 0))
		fuzz_fail("snapshot name", "a record and a user disagree");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_exact_text(data, size);
	struct error errors[3] = {ERROR_NONE, ERROR_NONE, ERROR_NONE};
	struct name name;
	bool volume, snapshot;
	int r;

	r = name_parse(text, &name, &errors[0]);
	fuzz_check_decoder("name_parse", r, &errors[0]);
	if (r == 0)
		check_name(text, &name);
	volume = name_parse_volume(text, &name, &errors[1]) == 0;
	snapshot = name_parse_snapshot(text, &name, &errors[2]) == 0;
	if ((volume && snapshot) || ((volume || snapshot) && r < 0))
		fuzz_fail("name", "a volume and a snapshot, or neither");
	check_record(text, volume);
	free(text);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed)
{
	static const char *const words[] = {
		"a",
		"vm1",
		"web/root",
		"@",
		"@monday",
		"..",
		":",
		"/",
		".",
		"-",
		"_",
		":scratch",
		":scratch.1",
		":scratch.4294967296",
		":attached",
		"2026-11-22T10:00:00Z",
		"2026-11-22",
		"#",
		"%41",
		"\n",
		"\x1b[2J",
		"\xc3\xa9",
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"x"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"x"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"x"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"x",
		NULL,
	};
	struct rng rng = {seed};

	return fuzz_text_mutate(data, size, max_size, words, &rng);
}
