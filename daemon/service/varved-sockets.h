/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sockets of varved: systemd's or its own, and where nbdkit expects them.
 * A failure ends the process.
 */
#ifndef SERVICE_VARVED_SOCKETS_H
#define SERVICE_VARVED_SOCKETS_H

#include <stdbool.h>

#include "varved-options.h"

#define NBD_SOCKETS_MAX 16

/* Descriptors from here on are not mistaken for NBD sockets. */
#define FD_MIN 64

struct varved_sockets {
	int nbd[NBD_SOCKETS_MAX];
	int nr_nbd;
	bool nbd_inherited; /* systemd's: their names are not ours to remove */
	int control;	    /* -1: none yet */
	bool control_inherited;
};

/* systemd's sockets: the one named "control", and those that speak NBD. */
void varved_sockets_inherit(struct varved_sockets *ret);

/*
 * Make those that were not inherited.  @lock_fd: the store, whose lock is
 * held.
 */
void varved_sockets_make(struct varved_sockets *sockets,
			 const struct varved_options *options, int lock_fd);

/*
 * Before the exec: NBD sockets to the descriptors of LISTEN_FDS, the control
 * socket and *@lock_fd above them, to live on in nbdkit.
 */
void varved_sockets_place(struct varved_sockets *sockets, int *lock_fd);

#endif
