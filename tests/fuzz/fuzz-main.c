/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz target without libFuzzer.
 *
 *   fuzz-X [--seed N] [--seconds N] [FILE...]
 *   fuzz-X --case N
 *
 * The files are inputs that once found something; then come random inputs.
 * Input n is made from the number n alone, so --case n repeats it.  The
 * inputs run in a child, which may die, hang or eat its memory: the parent
 * tells at which input.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_SECONDS_MAX 60
#define MEMORY_MAX (UINT64_C(2) << 30)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

/* Shared with the child. */
struct progress {
	uint64_t seed; /* of the running input */
	uint64_t nr;   /* inputs done */
};

static uint8_t input[FUZZ_INPUT_MAX];

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "hard_rss_limit_mb=2048:allocator_may_return_null=1";
}

static void limit_memory(void)
{
#ifndef SANITIZED /* these reserve address space by the terabyte */
	struct rlimit limit = {MEMORY_MAX, MEMORY_MAX};

	(void)setrlimit(RLIMIT_AS, &limit);
#endif
}

static void run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	size_t size;

	if (!file)
		fuzz_fail(path, strerror(errno));
	size = fread(input, 1, sizeof(input), file);
	(void)fclose(file);
	printf("%s\n", path);
	(void)fflush(stdout);
	(void)alarm(INPUT_SECONDS_MAX);
	(void)LLVMFuzzerTestOneInput(input, size);
}

static void run_case(uint64_t seed)
{
	struct rng rng = {seed};
	size_t size = fuzz_generate(&rng, input);

	(void)alarm(INPUT_SECONDS_MAX);
	(void)LLVMFuzzerTestOneInput(input, size);
}

static _Noreturn void child(struct progress *progress, uint64_t seconds,
			    char **files)
{
	time_t end = time(NULL) + (time_t)seconds;

	limit_memory();
	for (; *files; files++)
		run_file(*files);
	do {
		run_case(progress->seed);
		progress->seed++;
		progress->nr++;
	} while (time(NULL) < end);
	exit(0);
}

static int supervise(uint64_t seed, uint64_t seconds, char **files)
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
		child(progress, seconds, files);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status == 0) {
		printf("%llu inputs\n", (unsigned long long)progress->nr);
		return 0;
	}
	if (WIFSIGNALED(status))
		fprintf(stderr, "%s\n", strsignal(WTERMSIG(status)));
	fprintf(stderr, "repeat with --case %llu\n",
		(unsigned long long)progress->seed);
	return 1;
}

int main(int argc, char **argv)
{
	uint64_t seed = rng_time_seed();
	uint64_t seconds = getenv("VARVE_TEST_LONG") ? 300 : 5;
	int i;

	for (i = 1; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
		uint64_t value = strtoull(argv[i + 1], NULL, 0);

		if (strcmp(argv[i], "--seed") == 0) {
			seed = value;
		} else if (strcmp(argv[i], "--seconds") == 0) {
			seconds = value;
		} else if (strcmp(argv[i], "--case") == 0) {
			limit_memory();
			run_case(value);
			return 0;
		} else {
			fuzz_fail(argv[i], "unknown option");
		}
	}
	printf("--seed %llu\n", (unsigned long long)seed);
	(void)fflush(stdout);
	return supervise(seed, seconds, argv + i);
}
