/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz target without libFuzzer.
 *
 *   fuzz-X [--seed N] [--seconds N] [CORPUS...]
 *   fuzz-X --case N [CORPUS...]
 *
 * CORPUS is a file with an input, or a directory of them.  First each of them
 * is run, then inputs made of them by chance.  Input n depends on the corpus
 * and the number n alone, so --case n repeats it.  The inputs run in a child,
 * which may die, hang or eat its memory: the parent tells at which input.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_SECONDS_MAX 60
#define MEMORY_MAX (UINT64_C(1) << 30)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

struct input {
	char *path;
	uint8_t *data;
	size_t size;
};

/* Shared with the child. */
struct progress {
	uint64_t file; /* of the corpus, that is running; nr_inputs: none */
	uint64_t seed; /* of the running input, after the files */
	uint64_t nr;   /* inputs done */
};

static struct input *inputs;
static size_t nr_inputs;
static struct rng mutations;

static void limit_memory(void)
{
#ifndef SANITIZED /* these reserve address space by the terabyte */
	struct rlimit limit = {MEMORY_MAX, MEMORY_MAX};

	(void)setrlimit(RLIMIT_AS, &limit);
#endif
}

/* ---- the corpus ---- */

static void add_file(char *path)
{
	static uint8_t data[FUZZ_INPUT_MAX];
	FILE *file = fopen(path, "rb");
	struct input *input;

	inputs = realloc(inputs, (nr_inputs + 1) * sizeof(*inputs));
	if (!file || !inputs)
		fuzz_fail(path, strerror(errno));
	input = &inputs[nr_inputs++];
	input->path = path;
	input->size = fread(data, 1, sizeof(data), file);
	input->data = fuzz_exact(data, input->size);
	(void)fclose(file);
}

static void add_directory(const char *path)
{
	struct dirent **entries;
	int nr = scandir(path, &entries, NULL, alphasort);
	char *name;

	if (nr < 0)
		fuzz_fail(path, strerror(errno));
	for (int i = 0; i < nr; i++) {
		if (entries[i]->d_name[0] != '.') {
			if (asprintf(&name, "%s/%s", path, entries[i]->d_name) <
			    0)
				fuzz_fail(path, "no memory");
			add_file(name);
		}
		free(entries[i]);
	}
	free(entries);
}

static void add_corpus(char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		fuzz_fail(path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		add_directory(path);
	else
		add_file(strdup(path));
}

static void free_corpus(void)
{
	while (nr_inputs > 0) {
		nr_inputs--;
		free(inputs[nr_inputs].path);
		free(inputs[nr_inputs].data);
	}
	free(inputs);
}

/* ---- inputs by chance ---- */

static const uint8_t odd_bytes[] = {0, 1, 0x7f, 0x80, 0xff, '"', '\n'};

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
	struct rng *rng = &mutations;
	size_t at = size ? rng_below(rng, size) : 0;
	size_t nr = 1 + rng_below(rng, 8);

	if (size == 0 || rng_one_in(rng, 8)) { /* more */
		if (nr > max_size - size)
			nr = max_size - size;
		memmove(data + at + nr, data + at, size - at);
		for (size_t i = at; i < at + nr; i++)
			data[i] = (uint8_t)rng_next(rng);
		return size + nr;
	}
	if (nr > size - at)
		nr = size - at;
	if (rng_one_in(rng, 8) && nr < size) { /* less */
		memmove(data + at, data + at + nr, size - at - nr);
		return size - nr;
	}
	for (size_t i = at; i < at + nr; i++)
		data[i] =
			rng_one_in(rng, 2)
				? (uint8_t)rng_next(rng)
				: odd_bytes[rng_below(rng, sizeof(odd_bytes))];
	return size;
}

static void run(const uint8_t *data, size_t size)
{
	/* it ends where it ends, for the sanitizers */
	uint8_t *exact = fuzz_exact(data, size);

	(void)alarm(INPUT_SECONDS_MAX);
	(void)LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

static void run_case(uint64_t seed)
{
	static uint8_t data[FUZZ_INPUT_MAX];
	struct rng rng = {seed};
	size_t size = 0;

	if (nr_inputs > 0) {
		const struct input *from = &inputs[rng_below(&rng, nr_inputs)];

		size = from->size;
		memcpy(data, from->data, size);
	}
	mutations = (struct rng){rng_next(&rng)};
	do {
		size = LLVMFuzzerCustomMutator(data, size, sizeof(data),
					       (unsigned int)rng_next(&rng));
	} while (rng_one_in(&rng, 2));
	run(data, size);
}

/* ---- parent and child ---- */

static _Noreturn void child(struct progress *progress, uint64_t seconds)
{
	time_t end = time(NULL) + (time_t)seconds;

	limit_memory();
	run(NULL, 0);
	for (; progress->file < nr_inputs; progress->file++) {
		run(inputs[progress->file].data, inputs[progress->file].size);
		progress->nr++;
	}
	do {
		run_case(progress->seed);
		progress->seed++;
		progress->nr++;
	} while (time(NULL) < end);
	free_corpus();
	exit(0);
}

static int supervise(uint64_t seed, uint64_t seconds)
{
	struct progress *progress =
		mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;
	pid_t pid;

	if (progress == MAP_FAILED)
		fuzz_fail("mmap", strerror(errno));
	progress->seed = seed;
	pid = fork();
	if (pid < 0)
		fuzz_fail("fork", strerror(errno));
	if (pid == 0)
		child(progress, seconds);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status == 0) {
		printf("%llu inputs, %zu of them the corpus\n",
		       (unsigned long long)progress->nr, nr_inputs);
		return 0;
	}
	if (WIFSIGNALED(status))
		fprintf(stderr, "%s\n", strsignal(WTERMSIG(status)));
	if (progress->file < nr_inputs)
		fprintf(stderr, "repeat with %s\n",
			inputs[progress->file].path);
	else
		fprintf(stderr, "repeat with --case %llu\n",
			(unsigned long long)progress->seed);
	return 1;
}

int main(int argc, char **argv)
{
	uint64_t seed = rng_time_seed(), seconds = 5, single = 0;
	bool is_single = false;
	int i, r = 0;

	for (i = 1; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
		uint64_t value = strtoull(argv[i + 1], NULL, 0);

		if (strcmp(argv[i], "--seed") == 0) {
			seed = value;
		} else if (strcmp(argv[i], "--seconds") == 0) {
			seconds = value;
		} else if (strcmp(argv[i], "--case") == 0) {
			is_single = true;
			single = value;
		} else {
			fuzz_fail(argv[i], "unknown option");
		}
	}
	for (; i < argc; i++)
		add_corpus(argv[i]);
	if (is_single) {
		limit_memory();
		run_case(single);
	} else {
		printf("--seed %llu\n", (unsigned long long)seed);
		(void)fflush(stdout);
		r = supervise(seed, seconds);
	}
	free_corpus();
	return r;
}
