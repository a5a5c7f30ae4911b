/* SPDX-License-Identifier: BSD-2-Clause */
#include "interrupt.h"

#include <signal.h>

static volatile sig_atomic_t interrupted; /* by this signal */

static void interrupt(int signal_number)
{
	interrupted = signal_number;
}

void interrupt_catch(void)
{
	const struct sigaction action = {.sa_handler = interrupt,
					 .sa_flags = (int)SA_RESETHAND};

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
}

int interrupt_signal(void)
{
	return interrupted;
}

void interrupt_forget(void)
{
	interrupted = 0;
}
