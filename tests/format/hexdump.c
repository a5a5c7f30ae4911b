/* SPDX-License-Identifier: BSD-2-Clause */
#include "hexdump.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 16u

/* The bytes of one line after its offset; returns how many. */
static size_t read_bytes(const char *text, uint8_t *ret)
{
	size_t n = 0;

	for (;;) {
		char *end;
		unsigned long byte;

		while (*text == ' ')
			text++;
		byte = strtoul(text, &end, 16);
		if (end != text + 2 || n == LINE_BYTES)
			return n;
		ret[n++] = (uint8_t)byte;
		text = end;
	}
}

size_t hexdump_read(FILE *file, uint8_t *ret, size_t size)
{
	uint8_t bytes[LINE_BYTES] = {0};
	size_t filled = 0;
	char line[128];

	while (fgets(line, sizeof(line), file)) {
		char *end;
		size_t offset = strtoul(line, &end, 16), n;

		if (line[0] == '*' || end != line + 8)
			continue; /* a repetition or no line of the dump */
		if (offset < filled || offset > size)
			return 0;
		for (; filled < offset; filled += LINE_BYTES)
			memcpy(ret + filled, bytes, LINE_BYTES);
		n = read_bytes(end, bytes);
		if (n == 0)
			return offset;
		if (n > size - filled)
			return 0;
		memcpy(ret + filled, bytes, n);
		filled += n;
	}
	return 0;
}

static void write_line(FILE *file, size_t offset, const uint8_t *bytes,
		       size_t n)
{
	fprintf(file, "%08zx ", offset);
	for (size_t i = 0; i < LINE_BYTES; i++) {
		if (i == 8)
			fputc(' ', file);
		if (i < n)
			fprintf(file, " %02x", bytes[i]);
		else
			fputs("   ", file);
	}
	fputs("  |", file);
	for (size_t i = 0; i < n; i++)
		fputc(bytes[i] >= 0x20 && bytes[i] < 0x7f ? bytes[i] : '.',
		      file);
	fputs("|\n", file);
}

void hexdump_write(FILE *file, const uint8_t *bytes, size_t length)
{
	bool starred = false;

	for (size_t offset = 0; offset < length; offset += LINE_BYTES) {
		size_t n = length - offset < LINE_BYTES ? length - offset
							: LINE_BYTES;
		bool same = offset > 0 && n == LINE_BYTES &&
			    memcmp(bytes + offset, bytes + offset - LINE_BYTES,
				   n) == 0;

		if (!same)
			write_line(file, offset, bytes + offset, n);
		else if (!starred)
			fputs("*\n", file);
		starred = same;
	}
	fprintf(file, "%08zx\n", length);
}
