/* SPDX-License-Identifier: BSD-2-Clause */
/* The screen of varve top. */
#ifndef CLI_TOP_H
#define CLI_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Take the terminal over; false: it is none that can be used. */
bool screen_open(void);
/* As it was before; may be called when it was not opened. */
void screen_close(void);

/* A new page: screen_line() for each line, screen_show(). */
void screen_begin(void);
void screen_line(const char *text, bool is_header);
void screen_show(void);

/* Wait so long; true: the user, or a signal, wants it to end. */
bool screen_wait(int64_t ms);

#endif
