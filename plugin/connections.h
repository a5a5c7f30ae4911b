/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many clients there are, those among them that have not said yet what
 * they want.  nbdkit takes them all, and when descriptors run out it does
 * nothing but say so, as fast as it can.
 */
#ifndef PLUGIN_CONNECTIONS_H
#define PLUGIN_CONNECTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define CONNECTIONS_DEFAULT 1000u

/*
 * Let there be @max at once, and descriptors for them; before the first.
 * Fewer when the hard limit of descriptors asks for that, which is logged.
 * Returns 0 or a negative errno.
 */
int connections_init(uint32_t max);

/*
 * For the thread of a connection: false when there are too many.  One that
 * was let in leaves when its thread ends.
 */
bool connections_enter(void);

#endif
