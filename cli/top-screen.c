/* SPDX-License-Identifier: BSD-2-Clause */
/* A page on the terminal, by ncurses. */
#include "top.h"

#include <curses.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "duration.h"
#include "interrupt.h"

#define CTRL(letter) ((letter)&31)

static SCREEN *screen; /* NULL: not open */
static int next_line;
static volatile sig_atomic_t ended;

/* These would end the program with the terminal as it is. */
static void note_end(int signal_number)
{
	ended = signal_number;
}

bool screen_open(void)
{
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return false;
	(void)atexit(screen_close);
	(void)signal(SIGQUIT, note_end);
	(void)signal(SIGHUP, note_end);
	/* Ctrl-C and Ctrl-\ come as keys, and Ctrl-Z does not stop it */
	(void)raw();
	(void)noecho();
	(void)nonl();
	(void)keypad(stdscr, TRUE);
	(void)curs_set(0); /* where it can be hidden */
	return true;
}

void screen_close(void)
{
	if (!screen)
		return;
	(void)endwin();
	delscreen(screen);
	screen = NULL;
}

void screen_begin(void)
{
	(void)erase();
	next_line = 0;
}

void screen_line(const char *text, bool is_header)
{
	if (next_line >= LINES)
		return;
	if (is_header)
		(void)attron(A_REVERSE);
	(void)mvaddnstr(next_line, 0, text, COLS);
	if (is_header)
		(void)attroff(A_REVERSE);
	next_line++;
}

void screen_show(void)
{
	(void)refresh();
}

bool screen_wait(int64_t ms)
{
	int64_t end = now_ms() + ms;

	while (now_ms() < end && !ended && !interrupt_signal()) {
		/* in slices: a signal may come just before it waits */
		int64_t slice = end - now_ms();

		timeout(slice > 200 ? 200 : slice < 1 ? 1 : (int)slice);
		switch (getch()) {
		case 'q':
		case 'Q':
		case CTRL('C'):
		case CTRL('\\'):
			return true;
		case KEY_RESIZE:
		case CTRL('L'):
			(void)redrawwin(stdscr);
			(void)refresh();
			break;
		default:
			break;
		}
	}
	return ended || interrupt_signal();
}
