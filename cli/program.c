/* SPDX-License-Identifier: BSD-2-Clause */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "interrupt.h"
#include "output.h"

enum { HEARD, COMPLAINT, NR_PIPES };

static void __attribute__((noreturn))
become(const struct program *program, int pipes[NR_PIPES][2], pid_t parent)
{
	int input = program->input_fd ? program->input_fd
				      : open("/dev/null", O_RDONLY | O_CLOEXEC);

	/* a copy that nobody waits for is of no use to anybody */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent || input < 0 || dup2(input, STDIN_FILENO) < 0 ||
	    dup2(pipes[HEARD][1], program->heard_fd) < 0 ||
	    dup2(pipes[COMPLAINT][1], STDERR_FILENO) < 0 ||
	    setenv("LC_ALL", "C", 1) < 0)
		_exit(PROGRAM_MISSING - 1);
	(void)signal(SIGPIPE, SIG_DFL);
	execvp(program->args[0], (char *const *)program->args);
	_exit(PROGRAM_MISSING);
}

/* Only the first line, without its "qemu-img: ". */
static void keep_complaint(struct program *program, const char *data,
			   size_t length)
{
	char *to = program->complaint;
	size_t at = strlen(to), own = strlen(program->args[0]);

	for (size_t i = 0; i < length && at + 2 < sizeof(program->complaint);
	     i++) {
		if (at && to[at - 1] == '\n')
			break;
		if (data[i] == '\n' && at == 0)
			continue;
		to[at++] = data[i] == '\n' || (data[i] >= ' ' && data[i] != 127)
				   ? data[i]
				   : '?';
		to[at] = '\0';
	}
	if (strncmp(to, program->args[0], own) == 0 && to[own] == ':' &&
	    to[own + 1] == ' ')
		memmove(to, to + own + 2, strlen(to + own + 2) + 1);
}

void program_keep_text(void *opaque, const char *data, size_t length)
{
	struct program_text *text = opaque;

	if (text->length + length > text->max)
		return;
	text->ptr = must(realloc(text->ptr, text->length + length + 1));
	memcpy(text->ptr + text->length, data, length);
	text->length += length;
	text->ptr[text->length] = '\0';
}

/* False: nothing more will come. */
static bool listen_to(struct program *program, int which, int fd)
{
	char data[4096];
	ssize_t n = read(fd, data, sizeof(data));

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0)
		return false;
	if (which == COMPLAINT)
		keep_complaint(program, data, (size_t)n);
	else if (program->hear)
		program->hear(program->opaque, data, (size_t)n);
	return true;
}

static void attend(struct program *program, pid_t pid, int pipes[NR_PIPES][2])
{
	struct pollfd fds[NR_PIPES];
	bool told = false;

	for (int i = 0; i < NR_PIPES; i++)
		fds[i] = (struct pollfd){pipes[i][0], POLLIN, 0};
	while (fds[HEARD].fd >= 0 || fds[COMPLAINT].fd >= 0) {
		/* a signal just before poll() waits for the next word */
		int n = poll(fds, NR_PIPES, 500);

		if (interrupt_signal() && !told) {
			(void)kill(pid, SIGTERM); /* our own child */
			told = true;
		}
		for (int i = 0; n > 0 && i < NR_PIPES; i++)
			if (fds[i].fd >= 0 && fds[i].revents &&
			    !listen_to(program, i, fds[i].fd))
				fds[i].fd = -1;
	}
}

static void close_both(int pipe_fds[2])
{
	for (int i = 0; i < 2; i++)
		if (pipe_fds[i] >= 0)
			(void)close(pipe_fds[i]); /* nothing to lose */
}

int program_run(struct program *program)
{
	int pipes[NR_PIPES][2] = {{-1, -1}, {-1, -1}};
	int status = 0;
	pid_t pid = -1, parent = getpid();

	program->complaint[0] = '\0';
	if (pipe2(pipes[HEARD], O_CLOEXEC) == 0 &&
	    pipe2(pipes[COMPLAINT], O_CLOEXEC) == 0)
		pid = fork();
	if (pid == 0)
		become(program, pipes, parent);
	if (pid < 0) {
		snprintf(program->complaint, sizeof(program->complaint),
			 "cannot start a process: %s", strerror(errno));
		close_both(pipes[HEARD]);
		close_both(pipes[COMPLAINT]);
		return PROGRAM_MISSING - 1;
	}
	for (int i = 0; i < NR_PIPES; i++) {
		(void)close(pipes[i][1]); /* the child has its own */
		pipes[i][1] = -1;
	}
	attend(program, pid, pipes);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	close_both(pipes[HEARD]);
	close_both(pipes[COMPLAINT]);
	program->complaint[strcspn(program->complaint, "\n")] = '\0';
	if (interrupt_signal())
		return 128 + interrupt_signal();
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
