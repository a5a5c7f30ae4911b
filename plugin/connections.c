/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbdkit tells when a connection begins, and of its end only when it had
 * come to open an export.  But each has a thread, so its end is that of a
 * thread-specific value.
 */
#include "connections.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "log.h"

/* Descriptors for all but clients: the store, sockets, the control socket. */
#define DESCRIPTORS_OWN 128u

static uint32_t max_connections;
static _Atomic uint32_t nr_connections;
static pthread_key_t key;

static void leave(void *unused)
{
	atomic_fetch_sub(&nr_connections, 1);
}

int connections_init(uint32_t max)
{
	struct rlimit limit;
	rlim_t need = (rlim_t)max + DESCRIPTORS_OWN;

	max_connections = max;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < need) {
		limit.rlim_cur = need < limit.rlim_max ? need : limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit); /* else fewer */
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < need) {
		max_connections =
			limit.rlim_cur > 2 * DESCRIPTORS_OWN
				? (uint32_t)limit.rlim_cur - DESCRIPTORS_OWN
				: (uint32_t)limit.rlim_cur / 2;
		log_say(MESSAGE_WARNING,
			"the limit of open files allows %u connections only, "
			"not %u",
			max_connections, max);
	}
	return -pthread_key_create(&key, leave);
}

bool connections_enter(void)
{
	/* any value but NULL: with that, leave() is called */
	if (atomic_fetch_add(&nr_connections, 1) < max_connections &&
	    pthread_setspecific(key, &key) == 0)
		return true;
	leave(NULL);
	return false;
}
