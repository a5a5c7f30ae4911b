/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runtime directory, and the names of what lies in it: control sockets,
 * NBD sockets, tail files.
 */
#ifndef SERVICE_RUNTIME_H
#define SERVICE_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

/* With the NUL: what sun_path holds. */
#define RUNTIME_PATH_MAX 108u
#define RUNTIME_DIRS_MAX 3u

struct runtime_path {
	char path[RUNTIME_PATH_MAX];
};

/*
 * The directories a server's socket may be in, this process's own first:
 * the first entry of $RUNTIME_DIRECTORY, /run/varve (for root before, for
 * others after the next), $XDG_RUNTIME_DIR/varve.  Those that are unset, too
 * long or not absolute are left out.  Returns their number.
 */
size_t runtime_dirs(struct runtime_path ret[RUNTIME_DIRS_MAX]);

/*
 * The directory this process puts its own sockets in; its last component is
 * made when missing (root: 0755, else 0700).  -ENOENT: no such directory is
 * known; -EACCES and the like.
 */
int runtime_dir_own(struct runtime_path *ret, struct error *err);

/*
 * NULL-terminated directories for tail files: the own directory, /dev/shm.
 * The array and its strings live as long as the process.  Makes nothing.
 * Not for several threads at once.
 */
const char *const *runtime_tail_dirs(void);

/* @dir/<device>:<inode>.ctl.  -ENAMETOOLONG. */
int runtime_control_path(const char *dir, uint64_t device, uint64_t inode,
			 struct runtime_path *ret, struct error *err);

/* @dir/<name of the store without its suffix>.sock.  -ENAMETOOLONG. */
int runtime_nbd_path(const char *dir, const char *store,
		     struct runtime_path *ret, struct error *err);

#endif
