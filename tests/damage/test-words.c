/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `varve check`, scrub and repair say about damage: each case names a
 * structure, does something to it, and lists words that must be said, and the
 * exit status.
 *
 * test-words VARVE [CASE]
 *
 * runs the command VARVE on a file; with CASE only those whose name contains
 * it, and prints all that was said.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "specimen.h"
#include "test-store.h"

#define CORRUPT 8
#define SAID_BYTES 65536u

static struct specimen specimens[NR_SPECIMENS];
static const char *varve;
static char path[] = "/tmp/varve-words-XXXXXX";

/* A damaged copy of a store, and what should be said about it. */
struct damage_case {
	const struct specimen *specimen;
	struct medium medium;
	struct memory_disk *disk;
	char words[6][200];
	unsigned int nr_words;
	int status;
	const char *command;
	uint64_t length; /* of the file, when it was cut; 0: it was not */
};

static void begin(struct damage_case *c, enum specimen_kind kind)
{
	*c = (struct damage_case){.specimen = &specimens[kind],
				  .status = CORRUPT,
				  .command = "check"};
	c->disk = disk_copy(c->specimen->disk);
	medium_open(&c->medium, c->disk, c->specimen->segment_shift);
}

static void expect(struct damage_case *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void expect(struct damage_case *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(c->words[c->nr_words++], sizeof(c->words[0]), format,
			args);
	va_end(args);
}

/* ---- damages ---- */

static void flip(struct damage_case *c, const struct structure *s)
{
	uint32_t at = s->offset + s->length / 2;
	struct address block = {s->place, at / BLOCK_SIZE};
	uint8_t data[BLOCK_SIZE];

	medium_read(&c->medium, block, data);
	data[at % BLOCK_SIZE] ^= 4;
	medium_write(&c->medium, block, data);
}

/* The first structure of @kind. */
static const struct structure *first(const struct damage_case *c,
				     enum kind kind)
{
	const struct structures *all = &c->specimen->survey.all;

	for (size_t i = 0; i < all->len; i++)
		if (all->ptr[i].kind == kind)
			return &all->ptr[i];
	die("there is no %s", kind_names[kind]);
}

static void flip_kind(struct damage_case *c, enum kind kind)
{
	flip(c, first(c, kind));
}

static unsigned int content_of(const struct damage_case *c, const char *name)
{
	const struct states *states = &c->specimen->states;
	struct state *last = states->ptr[states->len - 1];

	return (unsigned int)(state_find(last, name) - last->contents);
}

/*
 * What reading the first written block of @name depends on: @depth 0 is its
 * root node, 3 its leaf, 4 the data.
 */
static const struct structure *on_path(const struct damage_case *c,
				       const char *name, unsigned int depth)
{
	unsigned int i = content_of(c, name);

	for (unsigned int b = 0; b < NR_BLOCKS; b++) {
		const struct reading *r = &c->specimen->survey.readings[i][b];

		if (r->nr == INNER_LEVELS + 2)
			return &r->on[depth];
	}
	die("%s holds nothing", name);
}

/* ---- running ---- */

static int run_varve(const char *command, char said[SAID_BYTES])
{
	char line[300];
	size_t length;
	FILE *from;
	int status;

	(void)snprintf(line, sizeof(line), "'%s' -s '%s' %s 2>&1", varve, path,
		       command);
	from = popen(line, "r");
	if (!from)
		die("%s: %s", line, strerror(errno));
	length = fread(said, 1, SAID_BYTES - 1, from);
	said[length] = '\0';
	status = pclose(from);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool run_case(struct damage_case *c, const char *name, bool show)
{
	static char said[SAID_BYTES];
	bool good;
	int status;

	medium_save(&c->medium, path);
	if (c->length && truncate(path, (off_t)c->length) < 0)
		die("%s: %s", path, strerror(errno));
	status = run_varve(c->command, said);
	if (show)
		printf("== %s: %d\n%s", name, status, said);
	good = status == c->status;
	for (unsigned int i = 0; i < c->nr_words; i++)
		good = good && strstr(said, c->words[i]);
	if (!good) {
		printf("FAILED %s: status %d, not %d; wanted:\n", name, status,
		       c->status);
		for (unsigned int i = 0; i < c->nr_words; i++)
			printf("  %s\n", c->words[i]);
		printf("said:\n%s", said);
	}
	medium_close(&c->medium);
	memory_disk_put(c->disk);
	return good;
}

/* ---- cases ---- */

static void nothing(struct damage_case *c)
{
	begin(c, SPECIMEN_CLEAN);
	c->status = 0;
	expect(c, "no errors");
}

static void superblock_a(struct damage_case *c)
{
	begin(c, SPECIMEN_CLEAN);
	flip_kind(c, KIND_SUPERBLOCK);
	expect(c, "superblock A");
}

static void both_superblocks(struct damage_case *c)
{
	begin(c, SPECIMEN_CLEAN);
	for (unsigned int i = 0; i < SUPERBLOCK_COPIES; i++)
		flip(c, &(struct structure){KIND_SUPERBLOCK, i, NR_FRAMES + i,
					    0, BLOCK_SIZE});
	expect(c, "superblock");
	expect(c, "checksum");
}

static void swapped_superblocks(struct damage_case *c)
{
	uint8_t a[BLOCK_SIZE], b[BLOCK_SIZE];

	begin(c, SPECIMEN_CLEAN);
	medium_read(&c->medium, (struct address){NR_FRAMES, 0}, a);
	medium_read(&c->medium, (struct address){NR_FRAMES + 1, 0}, b);
	medium_write(&c->medium, (struct address){NR_FRAMES, 0}, b);
	medium_write(&c->medium, (struct address){NR_FRAMES + 1, 0}, a);
	expect(c, "superblock");
}

static void root(struct damage_case *c)
{
	begin(c, SPECIMEN_CLEAN);
	flip_kind(c, KIND_ROOT);
	expect(c, "checkpoint root: checksum mismatch");
}

static void directory(struct damage_case *c)
{
	begin(c, SPECIMEN_CLEAN);
	flip_kind(c, KIND_DIRECTORY);
	expect(c, "node table: directory page 0: checksum mismatch: ");
}

static void page(struct damage_case *c, enum table table, const char *name)
{
	enum kind kind = KIND_NODE_PAGE + table;

	begin(c, SPECIMEN_CLEAN);
	flip_kind(c, kind);
	expect(c, "%s: page %" PRIu64 ": checksum mismatch: segment ", name,
	       first(c, kind)->key);
}

static void node_page(struct damage_case *c)
{
	page(c, TABLE_NODE, "node table");
}

static void segment_page(struct damage_case *c)
{
	page(c, TABLE_SEGMENT, "segment table");
}

static void volume_page(struct damage_case *c)
{
	page(c, TABLE_VOLUME, "volume table");
}

static void frame_page(struct damage_case *c)
{
	page(c, TABLE_FRAME, "frame map");
}

static void reaper_page(struct damage_case *c)
{
	page(c, TABLE_REAPER, "reaper queue");
}

/* The first leaf covers 256 KiB. */
static void leaf(struct damage_case *c)
{
	begin(c, SPECIMEN_CLEAN);
	flip(c, on_path(c, "w", 3));
	expect(c, "w: offset 0, length 262144: unreadable map node %" PRIu64,
	       on_path(c, "w", 3)->key);
}

static void shared_leaf(struct damage_case *c)
{
	begin(c, SPECIMEN_CLEAN);
	flip(c, on_path(c, "w@2", 3));
	expect(c, "offset 0, length 262144: unreadable map node %" PRIu64,
	       on_path(c, "w@2", 3)->key);
	expect(c, "; shared with ");
}

static void root_node(struct damage_case *c)
{
	begin(c, SPECIMEN_CLEAN);
	flip(c, on_path(c, "w", 0));
	expect(c,
	       "w: offset 0, length %" PRIu64 ": unreadable map node %" PRIu64,
	       (uint64_t)VOLUME_BYTES, on_path(c, "w", 0)->key);
}

static void data_block(struct damage_case *c)
{
	begin(c, SPECIMEN_CLEAN);
	flip(c, on_path(c, "w", 4));
	c->status = 0; /* check reads no data, scrub does */
	expect(c, "no errors");
}

static void log_header(struct damage_case *c)
{
	begin(c, SPECIMEN_IDLE);
	flip_kind(c, KIND_TAIL_BATCH);
	expect(c, "log is damaged after batch %" PRIu64,
	       first(c, KIND_TAIL_BATCH)->key - 1);
}

static void log_operation(struct damage_case *c)
{
	begin(c, SPECIMEN_IDLE);
	flip_kind(c, KIND_TAIL_OPERATION);
	expect(c, "log is damaged after batch %" PRIu64,
	       (first(c, KIND_TAIL_OPERATION)->key >> 8) - 1);
}

static void log_segment(struct damage_case *c)
{
	begin(c, SPECIMEN_IDLE);
	flip_kind(c, KIND_TAIL_SEGMENT);
	c->status = 0; /* the log is found without it */
	expect(c, "no errors");
}

static void torn_end(struct damage_case *c)
{
	const struct log_batch_vector *batches;
	const struct log_batch *b;

	begin(c, SPECIMEN_CRASHED);
	batches = &c->specimen->survey.tail.batches;
	b = &batches->ptr[batches->len - 1];
	flip(c, &(struct structure){KIND_TAIL_BATCH, 0, b->place,
				    b->slot * BLOCK_SIZE, BLOCK_SIZE});
	c->status = 0;
	expect(c, "no errors");
}

static void dead_header(struct damage_case *c)
{
	begin(c, SPECIMEN_CLEAN);
	flip_kind(c, KIND_OTHER_BATCH);
	c->status = 0;
	expect(c, "no errors");
}

static void cut_in_frames(struct damage_case *c)
{
	begin(c, SPECIMEN_CLEAN);
	c->length = backend_frame_offset(NR_FRAMES, TEST_SEGMENT_SHIFT) - 1;
	expect(c, "are there: it was cut off");
}

static void cut_in_superblocks(struct damage_case *c)
{
	begin(c, SPECIMEN_CLEAN);
	c->length = 5000;
	expect(c, "it was cut off");
}

/* ---- scrub ---- */

static void scrubbed_superblock(struct damage_case *c)
{
	superblock_a(c);
	c->command = "scrub";
	c->status = 0; /* opening the store has written it anew */
	expect(c, "using the other copy and writing it anew");
}

static void scrubbed_leaf(struct damage_case *c)
{
	leaf(c);
	c->command = "scrub";
}

/* Its own block, which no snapshot shares. */
static void scrubbed_data(struct damage_case *c)
{
	const struct structure *s;

	data_block(c);
	s = on_path(c, "w", 4);
	c->command = "scrub";
	c->status = CORRUPT;
	c->nr_words = 0;
	expect(c, "w: offset ");
	expect(c, ", length 4096: damaged block ");
	expect(c, ":%" PRIu32, s->offset / BLOCK_SIZE);
}

/* ---- repair ---- */

static void make_repair(struct damage_case *c, const char *command, int status)
{
	c->command = command;
	c->status = status;
}

static void nothing_to_repair(struct damage_case *c)
{
	nothing(c);
	make_repair(c, "check --repair", 0);
}

static void superblock_repaired(struct damage_case *c)
{
	superblock_a(c);
	make_repair(c, "check --repair", 0);
}

static void root_not_repaired(struct damage_case *c)
{
	root(c);
	make_repair(c, "check --repair", CORRUPT);
	expect(c, "cannot be repaired");
}

static void leaf_repaired(struct damage_case *c)
{
	leaf(c);
	make_repair(c, "check --repair", 0);
	expect(c, "replaced by lost blocks");
}

static void segment_page_repaired(struct damage_case *c)
{
	segment_page(c);
	make_repair(c, "check --repair", 0);
}

static void log_not_cut(struct damage_case *c)
{
	log_header(c);
	make_repair(c, "check --repair", CORRUPT);
	expect(c, "behind the damage ");
	expect(c, "only when told to");
}

static void log_cut(struct damage_case *c)
{
	log_header(c);
	make_repair(c, "check --repair --cut-log", 0);
}

static const struct {
	const char *name;
	void (*make)(struct damage_case *c);
} cases[] = {
	{"nothing", nothing},
	{"superblock A", superblock_a},
	{"both superblocks", both_superblocks},
	{"swapped superblocks", swapped_superblocks},
	{"root", root},
	{"directory", directory},
	{"node page", node_page},
	{"segment page", segment_page},
	{"volume page", volume_page},
	{"frame page", frame_page},
	{"reaper page", reaper_page},
	{"leaf", leaf},
	{"shared leaf", shared_leaf},
	{"root node", root_node},
	{"data block", data_block},
	{"log header", log_header},
	{"log operation", log_operation},
	{"log segment", log_segment},
	{"torn end", torn_end},
	{"dead header", dead_header},
	{"cut in frames", cut_in_frames},
	{"cut in superblocks", cut_in_superblocks},
	{"scrub: superblock", scrubbed_superblock},
	{"scrub: leaf", scrubbed_leaf},
	{"scrub: data", scrubbed_data},
	{"repair: nothing", nothing_to_repair},
	{"repair: superblock", superblock_repaired},
	{"repair: root", root_not_repaired},
	{"repair: leaf", leaf_repaired},
	{"repair: segment page", segment_page_repaired},
	{"repair: log not cut", log_not_cut},
	{"repair: log cut", log_cut},
};

int main(int argc, char **argv)
{
	unsigned int nr = 0, nr_failed = 0;
	int fd = mkstemp(path);

	if (argc < 2 || argc > 3 || fd < 0)
		die("usage: %s VARVE [CASE]", argv[0]);
	close(fd);
	varve = argv[1];
	for (int i = 0; i < NR_SPECIMENS; i++)
		specimen_make(&specimens[i], (enum specimen_kind)i, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct damage_case c;

		if (argc == 3 && !strstr(cases[i].name, argv[2]))
			continue;
		cases[i].make(&c);
		nr++;
		nr_failed += !run_case(&c, cases[i].name, argc == 3);
	}
	for (int i = 0; i < NR_SPECIMENS; i++)
		specimen_done(&specimens[i]);
	unlink(path);
	printf("%u cases, %u failed\n", nr, nr_failed);
	return nr > 0 && nr_failed == 0 ? 0 : 1;
}
